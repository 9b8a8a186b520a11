"""Feeds: the items of RSS (https://www.rssboard.org/rss-specification) and Atom (RFC 4287), and notes of Evernote.

An export of a blog is a feed, too. What an item says is HTML in XML; the longest of its summary and its content is it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.documents.events import parsed
from daybreak.data.formats.documents.hypertext import html_text
from daybreak.data.formats.documents.parts import METADATA
from daybreak.data.formats.documents.vocabulary import Root, Vocabulary
from daybreak.data.formats.findings import LONG_ROW, Findings
from daybreak.data.formats.format import Text
from daybreak.data.formats.texts import text_documents

_ITEMS = ("item", "entry", "note")
_TITLE = "title"
_SAID = ("encoded", "description", "content", "summary")  # of an item; the same at different lengths
_BLOCK = re.compile(r"<(?:p|div|br|li|h\d|td|body|pre)\b", re.I)
_NO_TEXT = "an item without text"


@dataclass
class _Item:
    """What an item says, by the names of its elements."""

    parts: dict[str, list[str]] = field(default_factory=dict)
    size: int = 0
    other: int = 0  # bytes of what is told of it


class _Items:
    """Takes the events of a feed and keeps its items until they are asked for."""

    def __init__(self) -> None:
        self.done: list[_Item] = []
        self._given = False
        self._item: _Item | None = None
        self._inside = ""
        self._depth = 0  # of elements in the one that is said, where HTML is written as XML

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if self._item is None:
            self._item = _Item() if name in _ITEMS else None
        elif self._inside:
            self._depth += 1
            self._keep(f"<{name}>")
        elif name == _TITLE or name in _SAID:
            self._inside, self._depth = name, 0

    def end(self, name: str) -> None:
        if self._item is None:
            return
        if self._inside:
            if self._depth:
                self._depth -= 1
                self._keep(f"</{name}>")
            else:
                self._inside = ""
        elif name in _ITEMS:
            self.done.append(self._item)
            self._item, self._given = None, True

    def text(self, text: str) -> None:
        if self._item is not None and not self._inside and not text.isspace():
            self._item.other += len(text.encode("utf-8", "replace"))
        elif self._item is not None and self._inside:
            self._keep(text if not self._depth else text.replace("&", "&amp;").replace("<", "&lt;"))

    def _keep(self, text: str) -> None:
        assert self._item is not None
        self._item.size += len(text)
        if self._item.size <= limits.ROW_BYTES:
            self._item.parts.setdefault(self._inside, []).append(text)

    def given(self) -> bool:
        return self._given


def _plain(text: str, findings: Findings) -> str:
    """The text of HTML; where it has no blocks, its line breaks are the text's own, as blogs are written."""
    if not _BLOCK.search(text):
        text = text.strip().replace("\n", "<br/>")
    return html_text(text, findings).strip()


def _documents(text: Text) -> Iterator[Document]:
    """A document an item: its title and what it says."""
    findings, items = text.findings, _Items()
    for _ in parsed(text.blocks, items, text.name, findings):
        done, items.done = items.done, []
        for item in done:
            if item.size > limits.ROW_BYTES:
                findings.skip_row(LONG_ROW, item.size)
                continue
            title, *said = [_plain("".join(item.parts.get(name, ())), findings) for name in (_TITLE, *_SAID)]
            longest = max(said, key=len)
            if not longest and not title:
                findings.skip_row(_NO_TEXT)
                continue
            if item.other:
                findings.leave_part(METADATA, item.other)
            findings.rows_seen += 1
            whole = f"{title}\n{longest}" if title and not longest.startswith(title) else longest
            yield from text_documents(whole.strip(), "text", text.name, findings)


def _recognize(root: Root) -> bool:
    return root.name in ("rss", "en-export") or (
        (root.name == "RDF" and "channel" in root.seen) or (root.name == "feed" and "entry" in root.seen)
    )


FEED = Vocabulary(name="feed", recognize=_recognize, documents=_documents)
