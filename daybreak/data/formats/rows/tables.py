"""Tables: comma- and tab-separated values (RFC 4180 and what programs write in its name), a document a row."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.findings import BROKEN_ROW, LONG_ROW, Findings
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.pieces import lines
from daybreak.data.formats.rows.documents import row_documents

_FIELD_CHARACTERS = 4_000_000  # most in a field of a table: an unclosed quote takes the rest of the file into one
_NO_TABLES = ("md", "rst", "tex")  # ends of names of texts that hold tables and are none


def _recognize(sample: Sample) -> str | None:
    if sample.ending in _NO_TABLES:
        return None
    return delimiter_of(sample.lines, named=sample.ending if sample.ending in ("csv", "tsv") else "") or None


def _documents(text: Text) -> Iterator[Document]:
    rows = table_rows(text.blocks, text.detail, text.name, text.findings)
    return row_documents(rows, text.name, text.findings)


def table_rows(blocks: Iterable[bytes], delimiter: str, name: str, findings: Findings) -> Iterator[dict[str, str]]:
    """Rows as dictionaries. Without a row of names above the data the columns are 'column 1', 'column 2' and so on."""
    csv.field_size_limit(_FIELD_CHARACTERS)
    text = (decoded(line, name, findings) for line in lines(blocks, limits.ROW_BYTES))
    head = next(text, "")
    bare = delimiter == "\t" and '"' not in head  # tabs need no quotes: then they are the text's own
    lined = chain([head], text)
    if bare:
        reader = csv.reader(lined, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(lined, delimiter=delimiter)
    names: list[str] | None = None
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            findings.skip_row(LONG_ROW if names else BROKEN_ROW)
            continue
        if names is None:
            names = _header(row)
            if names == row:
                continue
        if row:
            yield dict(zip(names, row, strict=False))


def _header(row: list[str]) -> list[str]:
    if any(row) and len(set(row)) == len(row) and all(len(name) <= 60 and not _is_data(name) for name in row):
        return row
    return [f"column {index + 1}" for index in range(len(row))]


def _is_data(name: str) -> bool:
    """A number, or a sentence: names of columns are neither."""
    name = name.strip()
    return name.replace(".", "", 1).isdigit() or name.endswith((".", "!", "?", "。", "！", "？")) or name.count(" ") > 4


def delimiter_of(sample: str, *, named: str = "") -> str:
    """The delimiter of a table; empty: it is none. `named`: csv or tsv by its file name, which needs less proof."""
    rows = sample.splitlines(keepends=True)
    head = rows[0] if rows else ""
    if named == "tsv":
        return "\t"
    if named == "csv":
        return max(",;\t|", key=lambda sign: _regular(rows[:100], sign))
    for delimiter, least_rows, least_columns in (("\t", 3, 2), (",", 6, 3), (";", 6, 3)):
        if head.count(delimiter) < least_columns - 1 or 2 * sample.count(f"{delimiter} ") > sample.count(delimiter):
            continue  # few, or with a space after it, as sentences have it
        # A quote between tabs is the text's own: one that opens and never closes is no reason against a table.
        plain = [row.replace('"', " ") for row in rows] if delimiter == "\t" else rows
        try:
            found = [len(row) for row in csv.reader(plain, delimiter=delimiter, strict=True)]
        except csv.Error:  # the sample ends inside quotes, or this is no table
            continue
        if len(found) >= least_rows and len(set(found)) == 1 and found[0] >= least_columns:
            return delimiter
    return ""


def _regular(rows: list[str], delimiter: str) -> tuple[float, int]:
    """How many of the rows have as many columns as most, and how many columns that is."""
    try:
        found = Counter(len(row) for row in csv.reader(rows, delimiter=delimiter) if row)
    except csv.Error:
        return 0.0, 0
    columns, often = found.most_common(1)[0] if found else (0, 0)
    return (often / found.total() if columns > 1 else 0.0), columns


TABLE = TextFormat(name="table", recognize=_recognize, documents=_documents)
