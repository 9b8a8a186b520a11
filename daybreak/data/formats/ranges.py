"""Ranges: files shared out for several processes, many small ones together and a big one in byte ranges of lines."""

import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from daybreak.data.formats import limits
from daybreak.data.formats.borders import BEFORE_BYTES
from daybreak.data.formats.encodings import Coded, Verdict, is_plain, utf8_blocks
from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.formats.format import HEAD_BYTES, TextFormat
from daybreak.data.formats.packings import packing
from daybreak.data.formats.reader import binary_format, text_format
from daybreak.data.formats.rows.documents import looked_at
from daybreak.data.formats.rows.shape import Shape
from daybreak.data.formats.rows.shapes import shape_of
from daybreak.data.formats.streams import Budget, Stream, expected_errors

PART_BYTES = 1 << 25
_LINE_END = re.compile(rb"\n")
_COUNTED_BYTES = 4 << 30  # in front of a range, whose lines are counted where one of its rows cannot be read
_LOOKED_BACK = 64  # bytes that are seen again with the next block: a line end and what tells how the next line begins


@dataclass(frozen=True)
class Part:
    """Whole files, or the lines of one file that begin in [start, stop); a stop of 0 says that it is not cut."""

    paths: tuple[Path, ...]
    start: int = 0
    stop: int = 0


def parts(paths: Sequence[Path], *, part_bytes: int = PART_BYTES) -> list[Part]:
    """The files, in order, in parts of about `part_bytes`; only JSON lines and plain text in UTF-8 are cut."""
    made: list[Part] = []
    gathered: list[Path] = []
    size = 0
    for path in paths:
        own = _size(path)
        ranges = own > 2 * part_bytes and _is_lines(path)
        if gathered and (ranges or size + own > part_bytes):
            made.append(Part(tuple(gathered)))
            gathered, size = [], 0
        if ranges:
            bounds = [*range(0, own - part_bytes // 2, part_bytes), own]
            made += [Part((path,), start, stop) for start, stop in pairwise(bounds)]
        else:
            gathered.append(path)
            size += own
    return [*made, Part(tuple(gathered))] if gathered else made


def _size(path: Path) -> int:
    try:
        status = path.stat()
    except OSError:  # reading will say so
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _is_lines(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            record, _, coded = text_format_of(path, file)
            if record is None or not record.in_ranges or coded is None:
                return False
            # A part cannot know what the lines of another part say about the encoding.
            return coded.verdict.plain and is_plain(coded.stream, coded.verdict)
    except Unsuitable:
        return False
    except expected_errors():
        return False


def text_format_of(path: Path, file: BinaryIO) -> tuple[TextFormat | None, str, Coded | None]:
    """Format, its detail, and the text with its encoding; None where it is no plain text."""
    stream = Stream(path.name, file, Budget(0), seekable=True)
    head = stream.peek(HEAD_BYTES)
    if packing(head, path.name) or binary_format(head):
        return None, "", None
    return text_format(stream)


def known_shape(record: TextFormat, path: Path, file: BinaryIO, mark: int) -> Shape | None:
    """Of the rows at the start of a file, as a reading of all of it finds it; None: the format has no rows."""
    if record.in_rows is None:
        return None
    file.seek(0)
    aside = Findings()
    stream = Stream(path.name, file, Budget(0))
    blocks = utf8_blocks(Coded(stream, Verdict(settled=True), b"", False, mark), aside)
    return shape_of(looked_at(iter(record.in_rows(blocks, path.name, aside))))


def range_blocks(
    file: BinaryIO, start: int, stop: int, findings: Findings, begins: re.Pattern[bytes] | None = None
) -> Iterator[bytes]:
    """From the first line that begins at or after `start` up to the last that begins before `stop`.

    begins: of the lines that count; those between two of them stay together.
    """
    cut = _cut(begins)
    offset = start
    if start:
        offset = _next_line(file, start - 1, cut)
    end = max(offset, _next_line(file, stop - 1, cut)) if stop else 0
    file.seek(offset)
    while offset < end and (block := file.read(min(limits.BLOCK_BYTES, end - offset))):
        offset += len(block)
        findings.bytes += len(block)
        yield block


def bytes_before(file: BinaryIO, start: int, begins: re.Pattern[bytes] | None = None) -> bytes:
    """What stands in front of a range that begins there: the end of the range before it, at most BEFORE_BYTES."""
    if not start:
        return b""
    offset = _next_line(file, start - 1, _cut(begins))
    first = max(0, offset - BEFORE_BYTES)
    file.seek(first)
    return file.read(offset - first)


def _cut(begins: re.Pattern[bytes] | None) -> re.Pattern[bytes]:
    return re.compile(rb"\n(?=" + begins.pattern + rb")") if begins else _LINE_END


def _next_line(file: BinaryIO, offset: int, cut: re.Pattern[bytes]) -> int:
    """Where the first line begins behind a line end at or after `offset`, or the end of the file."""
    file.seek(offset)
    block = b""
    while more := file.read(limits.BLOCK_BYTES):
        block += more
        if found := cut.search(block):
            return offset + found.end()
        offset += max(0, len(block) - _LOOKED_BACK)
        block = block[-_LOOKED_BACK:]
    return offset + len(block)


def first_line(path: Path, start: int, begins: re.Pattern[bytes] | None) -> int:
    """The number of the line at which the range from `start` begins; 0: it is too far on to be counted."""
    if not start or start > _COUNTED_BYTES:
        return int(not start)
    with path.open("rb") as file:
        offset = _next_line(file, start - 1, _cut(begins))
        file.seek(0)
        count = 1
        while offset > 0 and (block := file.read(min(limits.BLOCK_BYTES, offset))):
            count += block.count(b"\n")
            offset -= len(block)
    return count
