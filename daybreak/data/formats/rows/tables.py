"""Tables: comma- and tab-separated values (RFC 4180 and what programs write in its name), a document a row."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.findings import LONG_ROW, Findings
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.pieces import whole_lines
from daybreak.data.formats.rows.delimited import Rows
from daybreak.data.formats.rows.dialect import SEPARATOR, clean, delimiter_of, dialect_of
from daybreak.data.formats.rows.documents import row_documents

_NAMED = ("csv", "tsv", "tab", "psv")  # ends of names of tables
_NO_TABLES = ("md", "rst", "tex", "log", "srt", "vtt", "org", "adoc")  # and of texts that may hold some and are none
_RECOGNIZED_LINES = 200
_LOOKED_AT_LINES = 1000
_SWAPPED = bytes.maketrans(b"\r\n", b"\n\r")
_ABOVE = "a line above the names of the columns"
NULL = "\\N"  # of MySQL and Hive: nothing is in the cell
_REPEATED = "the names of the columns once more"


def _recognize(sample: Sample) -> str | None:
    if sample.ending in _NO_TABLES:
        return None
    named = sample.ending if sample.ending in _NAMED else ""
    text = sample.data.decode("utf-8", "replace")
    if ends_with_return(text):
        text = _swapped(text)
    found = text.split("\n")
    if not sample.whole and len(found) > 1:
        found.pop()
    whole = sample.whole and len(found) <= _RECOGNIZED_LINES
    return delimiter_of(found[:_RECOGNIZED_LINES], named=named, whole=whole) or None


def _documents(text: Text) -> Iterator[Document]:
    rows = table_rows(text.blocks, text.detail, text.name, text.findings)
    return row_documents(rows, text.name, text.findings)


def ends_with_return(text: str) -> bool:
    """Lines end with a carriage return alone, as on old Macs; a line feed is in quotes at most."""
    if "\r" not in text:
        return False
    outside = "".join(text.split('"')[::2]) if "\n" in text else text
    return "\n" not in outside and "\r" in outside


def _swapped(text: str) -> str:
    return text.translate({10: 13, 13: 10})


def table_rows(blocks: Iterable[bytes], delimiter: str, name: str, findings: Findings) -> Iterator[dict[str, str]]:
    """Rows as dictionaries. Without a row of names above the data the columns are 'column 1', 'column 2' and so on."""
    blocks = iter(blocks)
    start = b""
    while len(start) < limits.SNIFFED_BYTES and (block := next(blocks, b"")):
        start += block
    blocks = chain([start], blocks)
    swapped = ends_with_return(start[: limits.SNIFFED_BYTES].decode("utf-8", "replace"))
    if swapped:
        blocks = (block.translate(_SWAPPED) for block in blocks)
    told = _lines(blocks, name, findings)
    first = _first(told)
    if first and SEPARATOR.fullmatch(first[0]):
        del first[0]
    after = next(told, None)
    dialect = dialect_of(first, delimiter, whole=after is None)
    rows = Rows(
        chain(first, told if after is None else chain([after], told)),
        dialect.signs,
        dialect.form,
        lambda how: findings.say_rows(name, how),
        lambda size: findings.skip_row(LONG_ROW, size),
    )
    found = iter(rows)
    for row in islice(found, dialect.above - bool(dialect.header)):
        findings.skip_row(_ABOVE, _size(row))
    if dialect.header:
        next(found, None)
    names, header = dialect.names, [*dialect.header]
    for row in found:
        if (
            len(row) == len(header) and row[-1].strip("\"' ") == header[-1] and clean(row) == header
        ):  # of a joined table
            findings.skip_row(_REPEATED, _size(row))
            continue
        if swapped:
            row = [cell.replace("\r", "\n") for cell in row]
        if NULL in row:
            row = ["" if cell == NULL else cell for cell in row]
        if any(row) and (len(row) > 1 or row[0].strip()):
            yield dict(zip(names, row, strict=False))


def _size(row: Sequence[str]) -> int:
    return sum(len(cell.encode("utf-8", "replace")) + 1 for cell in row)


def _first(told: Iterator[str]) -> list[str]:
    first: list[str] = []
    size = 0
    for line in islice(told, _LOOKED_AT_LINES):
        first.append(line)
        size += len(line)
        if size > limits.SNIFFED_BYTES:
            break
    return first


def _lines(blocks: Iterable[bytes], name: str, findings: Findings) -> Iterator[str]:
    """Without their line feeds."""
    lost: list[int] = []
    for block in whole_lines(blocks, limits.ROW_BYTES, lost):
        if block:
            yield from decoded(block.removesuffix(b"\n"), name, findings).split("\n")
        else:
            findings.skip_row(LONG_ROW, lost.pop())


TABLE = TextFormat(name="table", recognize=_recognize, documents=_documents)
