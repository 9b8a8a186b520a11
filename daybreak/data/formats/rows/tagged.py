"""Words with tags: a word a line and its tags in further columns, as CoNLL's corpora come."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.findings import Findings
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.pieces import lines
from daybreak.data.formats.texts import plain_documents

_TAG = re.compile(r"(?:O|[BIESMLU]-\S+)")


def _recognize(sample: Sample) -> str | None:
    return "" if is_tagged(sample.lines) else None


def _documents(text: Text) -> Iterator[Document]:
    words = tagged_text(text.blocks, text.name, text.findings)
    return plain_documents(words, "text", text.name, text.findings)


def is_tagged(sample: str) -> bool:
    """A word a line, with tags in further columns and an empty line after a sentence, as CoNLL-2003 has it."""
    rows = [line.split() for line in sample.splitlines() if line.strip()]
    tagged = sum(2 <= len(row) <= 10 and _TAG.fullmatch(row[-1]) is not None for row in rows)
    return len(rows) >= 6 and tagged >= 0.97 * len(rows) and any(len(row[-1]) > 1 for row in rows)


def tagged_text(blocks: Iterable[bytes], name: str, findings: Findings) -> Iterator[bytes]:
    """The sentences without the tags, one a line; an empty line between documents."""
    findings.say(name, "words with tags; only the words are read")
    words: list[str] = []
    for line in chain(lines(blocks, limits.ROW_BYTES), [b""]):
        columns = decoded(line, name, findings).split()
        if columns and columns[0] != "-DOCSTART-":
            words.append(columns[0])
            continue
        if words:
            wide = sum(not word.isascii() and len(word) == 1 for word in words) * 2 > len(words)
            yield (("" if wide else " ").join(words) + "\n").encode()
            words = []
        if columns:
            yield b"\n"


TAGGED = TextFormat(name="tagged", recognize=_recognize, documents=_documents)
