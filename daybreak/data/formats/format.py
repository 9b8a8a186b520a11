"""Format: a record of how the bytes of a format are recognised and how its documents are read."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from daybreak.data.cleaning import Document
from daybreak.data.formats.findings import Findings
from daybreak.data.formats.rows.shape import Row, Shape
from daybreak.data.formats.streams import Stream

Read = Callable[[Stream], Iterator[Document]]  # a stream's documents, whatever it is
HEAD_BYTES = 512  # of the beginning, for recognising a binary format
_PACKED_ENDINGS = (".gz", ".bgz", ".xz", ".bz2", ".zst", ".lzma", ".lz4", ".br", ".zz")


@dataclass(frozen=True, kw_only=True)
class BinaryFormat:
    """A format whose first bytes tell it."""

    name: str
    recognize: Callable[[bytes], bool]  # by the first HEAD_BYTES
    documents: Callable[[Stream, Findings, Read], Iterator[Document]]  # Read: for streams that are inside this one


def starts_with(*magic: bytes) -> Callable[[bytes], bool]:
    """Recognises what begins with one of these."""
    return lambda head: head.startswith(magic)


@dataclass(frozen=True)
class Sample:
    """The beginning of a text, as UTF-8."""

    data: bytes
    name: str  # of the file
    whole: bool  # there is no more than this

    @cached_property
    def ending(self) -> str:
        """Of the name, without that of what it is packed with: jsonl of rows.jsonl.gz."""
        base = self.name.rpartition("/")[2].lower()
        for packed in _PACKED_ENDINGS:
            base = base.removesuffix(packed)
        return base.rpartition(".")[2] if "." in base else ""

    @cached_property
    def start(self) -> bytes:
        """The first character that is not blank."""
        return self.data.lstrip()[:1]

    @cached_property
    def lines(self) -> str:
        """The lines that are there whole; all of it where there is none."""
        text = self.data.decode("utf-8", "replace")
        return text[: text.rindex("\n") + 1] if not self.whole and "\n" in text else text


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text that is read: its bytes as UTF-8 in blocks, and what its beginning has told."""

    stream: Stream
    blocks: Iterator[bytes]
    detail: str
    findings: Findings
    shape: Shape | None = None  # of a range's rows, as the beginning of the file has told it
    before: bytes = b""  # what stands in front of a range: its last bytes; none at the beginning of the file
    first_line: Callable[[], int] = lambda: 1  # tells the number of its first line in the file; 0: unknown

    @property
    def name(self) -> str:
        return self.stream.name


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """A format of text, told by a look at its beginning."""

    name: str
    recognize: Callable[[Sample], str | None]  # a detail such as a delimiter, mostly empty; None: it is not this one
    documents: Callable[[Text], Iterator[Document]]
    in_ranges: bool = False  # every range of its lines can be read alone
    begins: re.Pattern[bytes] | None = None  # of the lines between which ranges are cut; None: between any
    in_rows: Callable[[Iterable[bytes], str, Findings], Iterator[Row]] | None = None  # of its lines
