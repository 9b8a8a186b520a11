"""JSON lines: a row a line, and what people have in their place, each row that cannot be read counted by its line."""

import json
from collections.abc import Callable, Iterable, Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.findings import BROKEN_ROW, LONG_ROW, Findings
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.pieces import lines
from daybreak.data.formats.rows import lenient
from daybreak.data.formats.rows.documents import row_documents
from daybreak.data.formats.rows.json_kind import BEGINS, kind_of_json
from daybreak.data.formats.rows.layout import is_page, unrolled
from daybreak.data.formats.rows.shape import Row

_COUNTED_FROM = 1 << 20  # bytes of a row, from which its values are counted before they are made
_BETWEEN = " \t\r\n\ufeff\x1e\0,"  # what stands between rows, or around one: blanks, marks, RFC 7464's separator
# Lines of a list whose elements are the rows, of Markdown's fence, of YAML's documents.
_BRACKETS = frozenset(("[", "]", "(", ")", "];", ");", "]);", "```", "```json", "```jsonl", "---", "..."))
_ATTEMPTS = 50  # to end a row that goes over several lines
_JOINED_BYTES = 1 << 20  # in such a row
_PREFIX = 300  # characters of a log's own before the row


def _recognize(sample: Sample) -> str | None:
    return "" if kind_of_json(sample) == "jsonl" else None


def json_rows(
    blocks: Iterable[bytes], name: str, findings: Findings, *, first_line: Callable[[], int] = lambda: 1
) -> Iterator[Row]:
    """Objects and strings; lists too. What is broken, too long or neither is counted, with the number of its line.

    first_line: tells the number of the first line, where the blocks begin further on in the file; 0: nobody knows.
    """
    import orjson

    loads = orjson.loads
    lost: list[int] = []
    mending = _Mending(name, findings, first_line)
    waiting = mending.waiting  # looked at for every row
    for index, line in enumerate(lines(blocks, limits.ROW_BYTES, lost)):
        if not line:
            findings.skip_row(LONG_ROW, lost.pop(), name, mending.place(index))
            continue
        try:
            row = loads(line) if len(line) < _COUNTED_FROM else _long_row(line, loads)
        except ValueError:
            if line.strip():
                yield from unrolled(mending.rows(line, index))
            continue
        if waiting:
            yield from unrolled(mending.rows(line, index))
        elif isinstance(row, str | dict):
            yield row
        elif isinstance(row, list):
            yield from row if is_page(row) else [row]
        else:
            findings.skip_row(BROKEN_ROW if row is not _TOO_LONG else LONG_ROW, len(line), name, mending.place(index))
    yield from unrolled(mending.give_up())


_TOO_LONG = object()


def _long_row(line: bytes, loads: Callable[[bytes], Row]) -> Row:
    if sum(line.count(sign) for sign in (b",", b"[", b"{")) > limits.ROW_VALUES and not _one_string(line):
        return _TOO_LONG
    return loads(line)


def _one_string(line: bytes) -> bool:
    """Most of the row is text, so that commas in it are no values."""
    return line.count(b'"') < limits.ROW_VALUES // 10 and line.count(b" ") > line.count(b",")


class _Mending:
    """Reads lines that are no JSON as they stand; a row that goes over several lines waits for its end.

    Such a row ends at the latest where a line begins another one: so ranges of a file that are cut at those lines have
    the rows of the whole.
    """

    def __init__(self, name: str, findings: Findings, first_line: Callable[[], int]) -> None:
        self._name, self._findings, self._first_line = name, findings, first_line
        self._first, self._prefixed = -1, False
        self._attempts = self._size = self._index = 0
        self.waiting: list[bytes] = []  # the lines of a row that has not ended

    def place(self, index: int) -> str:
        """Where a line is, by its index among those that are read."""
        if self._first < 0:
            self._first = self._first_line()
        return f"line {self._first + index:,}" if self._first else ""

    def rows(self, line: bytes, index: int) -> list[Row]:
        """The rows of a line, or of those that it ends; none, where the row goes on."""
        if self.waiting:
            if not BEGINS.match(line):
                return self._go_on(line)
            return [*self.give_up(), *self._alone(line, index)]
        return self._alone(line, index)

    def _alone(self, line: bytes, index: int) -> list[Row]:
        text = decoded(line, self._name, self._findings).strip(_BETWEEN)
        if not text or text in _BRACKETS:
            return []
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            return self._loose(text, line, index)
        if isinstance(row, str | dict | list):
            return [row]
        self._skip(line, index)
        return []

    def give_up(self) -> list[Row]:
        """The row that waits has no end: its first line is passed over, and the others are read by themselves."""
        if not self.waiting:
            return []
        first, *others = self.waiting
        self.waiting.clear()
        self._skip(first, self._index)
        return [row for at, line in enumerate(others, self._index + 1) for row in self._alone(line, at)]

    def _go_on(self, line: bytes) -> list[Row]:
        self.waiting.append(line)
        self._size += len(line)
        if line.rstrip(b" \t\r\n,;)").endswith((b"}", b"]")):
            self._attempts += 1
            text = decoded(b"".join(self.waiting), self._name, Findings()).strip(_BETWEEN)
            try:
                found = list(lenient.values(text))
            except ValueError:
                found = []
            if found:
                self.waiting.clear()
                return found
        if self._attempts >= _ATTEMPTS or self._size > _JOINED_BYTES:
            return self.give_up()
        return []

    def _loose(self, text: str, line: bytes, index: int) -> list[Row]:
        if lenient.is_blank(text):
            return []
        found: list[Row] = []
        try:
            for value in lenient.values(text):
                found.append(value)
        except lenient.Unfinished:
            if text[0] == "[" and text[1:].lstrip()[:1] in ("{", "["):  # the list's own bracket before its first row
                return self._loose(text[1:].strip(_BETWEEN), line, index)
            if not found and text[0] in "{[(" and BEGINS.match(line):
                self.waiting.append(line)
                self._index, self._attempts, self._size = index, 0, len(line)
                return []
            self._skip(line, index)
        except ValueError:
            if not found and (row := _behind_prefix(text)) is not None:
                if not self._prefixed:
                    self._findings.say(self._name, "what stands in front of its rows is not read")
                self._prefixed = True
                return [row]
            self._skip(line, index)
        return found

    def _skip(self, line: bytes, index: int) -> None:
        self._findings.skip_row(BROKEN_ROW, len(line), self._name, self.place(index))


def _behind_prefix(text: str) -> Row | None:
    """The object behind a log's time and level."""
    start = text.find('{"', 1, _PREFIX)
    if start < 0:
        return None
    try:
        row = json.loads(text[start:])
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _documents(text: Text) -> Iterator[Document]:
    rows = json_rows(text.blocks, text.name, text.findings, first_line=text.first_line)
    return row_documents(rows, text.name, text.findings, text.shape)


JSON_LINES = TextFormat(
    name="jsonl",
    recognize=_recognize,
    documents=_documents,
    in_ranges=True,
    begins=BEGINS,
    in_rows=json_rows,
)
