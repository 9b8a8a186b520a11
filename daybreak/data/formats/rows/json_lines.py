"""JSON lines: a row a line."""

import json
from collections.abc import Callable, Iterable, Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.findings import BROKEN_ROW, LONG_ROW, Findings
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.pieces import lines
from daybreak.data.formats.rows.documents import row_documents
from daybreak.data.formats.rows.json_kind import kind_of_json
from daybreak.data.formats.rows.shape import Row

_COUNTED_FROM = 1 << 20  # bytes of a row, from which its values are counted before they are made


def _recognize(sample: Sample) -> str | None:
    return "" if kind_of_json(sample) == "jsonl" else None


def json_rows(blocks: Iterable[bytes], name: str, findings: Findings) -> Iterator[Row]:
    """Objects and strings; lists too. What is broken, too long or neither is counted."""
    import orjson

    loads = orjson.loads
    lost: list[int] = []
    for line in lines(blocks, limits.ROW_BYTES, lost):
        if not line:
            findings.skip_row(LONG_ROW, lost.pop())
            continue
        try:
            row = loads(line) if len(line) < _COUNTED_FROM else _long_row(line, loads)
        except ValueError:
            if not line.strip():
                continue
            row = _lenient(line, name, findings)
        if isinstance(row, str | dict | list):
            yield row
        else:
            findings.skip_row(BROKEN_ROW if row is not _TOO_LONG else LONG_ROW, len(line))


_TOO_LONG = object()


def _long_row(line: bytes, loads: Callable[[bytes], Row]) -> Row:
    if sum(line.count(sign) for sign in (b",", b"[", b"{")) > limits.ROW_VALUES and not _one_string(line):
        return _TOO_LONG
    return loads(line)


def _one_string(line: bytes) -> bool:
    """Most of the row is text, so that commas in it are no values."""
    return line.count(b'"') < limits.ROW_VALUES // 10 and line.count(b" ") > line.count(b",")


def _lenient(line: bytes, name: str, findings: Findings) -> Row:
    """Parses rows that orjson refuses and Python takes: bytes that are not UTF-8, half a surrogate pair, NaN."""
    try:
        return json.loads(decoded(line, name, findings))
    except (ValueError, RecursionError):
        return None


def _documents(text: Text) -> Iterator[Document]:
    rows = json_rows(text.blocks, text.name, text.findings)
    return row_documents(rows, text.name, text.findings, text.shape)


JSON_LINES = TextFormat(name="jsonl", recognize=_recognize, documents=_documents, in_ranges=True, in_rows=json_rows)
