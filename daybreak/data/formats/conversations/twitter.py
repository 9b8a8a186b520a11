"""Twitter: the archive that X gives its users, of posts and direct messages."""

import html
import re
from collections.abc import Iterator
from itertools import chain

from daybreak.data.cleaning import Document
from daybreak.data.formats.conversations.transcript import NO_WORDS, transcript
from daybreak.data.formats.findings import Findings
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.rows.json_tree import tree_rows
from daybreak.data.formats.rows.messages import spoken
from daybreak.data.formats.rows.shape import listed
from daybreak.data.formats.texts import text_documents

_ARCHIVE = re.compile(rb"\s*window\.YTD\.[\w.]+\s*=\s*(?=[\[{])")
_LINK = re.compile(r"\s*https://t\.co/\w+")


def _recognize(sample: Sample) -> str | None:
    return "" if _ARCHIVE.match(sample.data) else None


def _documents(text: Text) -> Iterator[Document]:
    """A tweet, a note or a conversation is a document; what else the archive holds has no words and is counted."""
    text.findings.say(text.name, "an archive of X (Twitter); posts and direct messages are read")
    first = next(text.blocks, b"")
    start = _ARCHIVE.match(first)
    blocks = chain([first[start.end() :] if start else first], text.blocks)
    for row in tree_rows(blocks, text.name, text.findings):
        inner = next(iter(row.values()), None) if isinstance(row, dict) and len(row) == 1 else row
        if isinstance(inner, dict) and isinstance(inner.get("messages"), list):
            lines = _spoken(listed(inner["messages"]), text.findings)
            yield from transcript(lines, text.name, text.findings, newest_first=True)
            continue
        said = _tweet(inner)
        if said:
            text.findings.rows_seen += 1
            yield from text_documents(said, "text", text.name, text.findings)
        else:
            text.findings.skip_row(NO_WORDS)


def _tweet(value: object) -> str:
    core = value.get("core") if isinstance(value, dict) else None
    for one in (value, core):
        said = one.get("full_text", one.get("text")) if isinstance(one, dict) else None
        if isinstance(said, str) and not said.startswith("RT @"):
            return html.unescape(_LINK.sub("", said)).strip()
    return ""


def _spoken(messages: list[object], findings: Findings) -> Iterator[str]:
    for message in messages:
        made = message.get("messageCreate") if isinstance(message, dict) else None
        text = made.get("text") if isinstance(made, dict) else None
        if isinstance(made, dict) and isinstance(text, str) and text.strip():
            yield spoken(made.get("senderId"), html.unescape(_LINK.sub("", text)).strip())
        else:
            findings.skip_row(NO_WORDS)


TWITTER = TextFormat(name="archive of X", recognize=_recognize, documents=_documents)
