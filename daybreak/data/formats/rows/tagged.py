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


_COLUMNS = 10  # of CoNLL-U (https://universaldependencies.org/format.html)
_NUMBER = re.compile(r"\d+(?:[-.]\d+)?")


def _recognize(sample: Sample) -> str | None:
    if is_tagged(sample.lines):
        return "tags"
    return "trees" if is_conllu(sample.lines) else None


def _documents(text: Text) -> Iterator[Document]:
    read = tagged_text if text.detail == "tags" else conllu_text
    return plain_documents(read(text.blocks, text.name, text.findings), "text", text.name, text.findings)


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


def is_conllu(sample: str) -> bool:
    """A numbered word a line in ten columns, with comments between the sentences."""
    rows = [line.split("\t") for line in sample.splitlines() if line.strip() and not line.startswith("#")]
    words = sum(len(row) == _COLUMNS and _NUMBER.fullmatch(row[0]) is not None for row in rows)
    return len(rows) >= 3 and words >= 0.97 * len(rows)


def conllu_text(blocks: Iterable[bytes], name: str, findings: Findings) -> Iterator[bytes]:
    """The sentences as they were written, one a line; an empty line where a document or paragraph begins."""
    findings.say(name, "words with tags; only the words are read")
    written, sentence, covered = "", "", 0
    for line in chain(lines(blocks, limits.ROW_BYTES), [b""]):
        row = decoded(line, name, findings).rstrip("\r\n")
        if row.startswith("#"):
            key, _, value = row[1:].partition("=")
            written = value.strip() if key.strip() == "text" else written
            if key.split()[:1] in (["newdoc"], ["newpar"]):
                yield b"\n"
            continue
        columns = row.split("\t")
        if len(columns) < _COLUMNS:
            if text := written or sentence.strip():
                yield f"{text}\n".encode()
            written, sentence, covered = "", "", 0
            continue
        number, _, end = columns[0].partition("-")
        if "." in number or (not end and int(number) <= covered):  # not written, or a part of the word before
            continue
        covered = int(end or 0) or covered
        sentence += columns[1] + ("" if "SpaceAfter=No" in columns[9] else " ")


TAGGED = TextFormat(name="tagged", recognize=_recognize, documents=_documents)
