"""Rows: JSON lines, tables and words with tags, a line at a time; and from rows to documents."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.columns import Row, Shape, shape
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.findings import BROKEN_ROW, LONG_ROW, Findings
from daybreak.data.formats.pieces import WHOLE_ROW, lines, pieces

_FIELD_CHARACTERS = 4_000_000  # most in a field of a table: an unclosed quote takes the rest of the file into one
_COUNTED_FROM = 1 << 20  # bytes of a row, from which its values are counted before they are made
_LICENCES = ("license", "licence", "licenses", "max_stars_repo_licenses", "copyright_license")  # columns
_LICENCE_CHARACTERS = 60
_TAG = re.compile(r"(?:O|[BIESMLU]-\S+)")


def row_documents(rows: Iterable[Row], name: str, findings: Findings, known: Shape | None = None) -> Iterator[Document]:
    """A document a row; only a book in a row is cut. The first rows tell where the text is, unless it is `known`.

    Raises Unsuitable: no text is in them.
    """
    rows = iter(rows)
    first = [] if known else looked_at(rows)
    found = known or shape(first)
    if found.said and not known:
        findings.say(name, found.said)
    plain = not found.said  # text as it is: only then its own blanks matter
    text_of, kind = found.text, found.kind
    for row in chain(first, rows):
        text = text_of(row)
        if not text or not text.strip():
            findings.skip_row(found.missing(row), _size_of(row))
            continue
        findings.rows_seen += 1
        if named := licence(row):
            findings.licence(named)
        if plain and len(text) <= WHOLE_ROW // 4 and text.isascii():
            yield Document(text, True, kind)
        else:
            yield from text_documents(text, kind, name, findings)


def _size_of(row: Row) -> int:
    """About how many bytes the row takes as JSON."""
    import orjson

    try:
        return len(orjson.dumps(row, default=str))
    except (TypeError, ValueError):  # half of a surrogate pair, or deeper than that goes
        return 0


def licence(row: Row) -> str:
    """The licence that a row names; empty where it names none."""
    if not isinstance(row, dict):
        return ""
    for name in _LICENCES:
        if value := row.get(name):
            values = value if isinstance(value, list) else [value]
            return ", ".join(sorted({v.strip() for v in values if isinstance(v, str)}))[:_LICENCE_CHARACTERS]
    return ""


def looked_at(rows: Iterator[Row]) -> list[Row]:
    """The first rows, enough to guess from."""
    first: list[Row] = []
    size = 0
    for row in rows:
        first.append(row)
        size += len(row) if isinstance(row, str) else sum(len(v) for v in _values(row) if isinstance(v, str))
        if len(first) == limits.LOOKED_AT_ROWS or size > limits.LOOKED_AT_BYTES:
            break
    return first


def _values(row: Row) -> Iterable[object]:
    return row.values() if isinstance(row, dict) else row if isinstance(row, list) else ()


def text_documents(text: str, kind: str, name: str, findings: Findings) -> Iterator[Document]:
    """A text, cut where it is a book."""
    try:
        data = text.encode()
    except UnicodeEncodeError:  # JSON can spell half of a surrogate pair, UTF-8 cannot
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        findings.replaced[name] += 3 * (whole.count("\ufffd") - text.count("\ufffd"))
        text, data = whole, whole.encode()
    if len(data) <= WHOLE_ROW:
        yield Document(text, True, kind)
        return
    for index, piece in enumerate(pieces([data], WHOLE_ROW)):
        yield Document(piece.decode(), index == 0, kind)


# JSON lines


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


# Tables


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


# Words with tags


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
