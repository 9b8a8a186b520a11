"""Columnar files (Parquet, Arrow, ORC): which columns hold text, and rows out of batches of them, a few at a time."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO, Protocol

from daybreak.core.errors import UsageError
from daybreak.data.formats import limits
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.findings import NO_COLUMN, Findings, Stopped, Unsuitable
from daybreak.data.formats.rows.shape import Row
from daybreak.data.formats.streams import Stream

if TYPE_CHECKING:
    import pyarrow

ROWS = 256  # at a time
GROUP_BYTES = 2_000_000_000  # of a group of rows, unpacked: files of data sets have up to some hundred megabytes
_LOOKED_AT_ROWS = 8  # of a column of bytes, to see whether they are text
_CONTROLS = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")


def library(stream: Stream, what: str) -> ModuleType:
    """pyarrow. Raises UsageError: it is missing."""
    try:
        import pyarrow
    except ImportError:
        raise UsageError(
            f"reading {what} files needs the library pyarrow",
            received=stream.name,
            attempt="run pip install '.[parquet]' in the checkout",
        ) from None
    return pyarrow


class Source:
    """A file for pyarrow, which cannot be made to hold more than a group of rows may have."""

    closed = False

    def __init__(self, file: BinaryIO | Stream) -> None:
        self._file = file
        if not isinstance(file, Stream):
            self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Raises Stopped: more is asked for at once."""
        if size > GROUP_BYTES:
            raise Stopped(f"a group of rows over {GROUP_BYTES // 10**9} GB")
        parts, left = [], size
        while left and (block := self._file.read(left)):
            parts.append(block)
            left -= len(block) if size >= 0 else 0
        return b"".join(parts)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return not isinstance(self._file, Stream)

    def close(self) -> None:
        self.closed = True


class Table(Protocol):
    """A file that is open."""

    @property
    def schema(self) -> "pyarrow.Schema": ...
    def first(self, columns: Sequence[str], /) -> "pyarrow.RecordBatch | None":
        """Its first rows; they are still to come."""

    def batches(self, columns: Sequence[str], /) -> Iterable["pyarrow.RecordBatch"]:
        """All of its rows, once."""


def rows(
    stream: Stream, opened: Callable[[], Table], findings: Findings, what: str, library: ModuleType
) -> Iterator[Row]:
    """The rows of the columns that hold text; of bytes without a type, those that are UTF-8.

    Raises Unsuitable: no text; damaged from the start; Stopped: damaged further on.
    """
    given = False
    try:
        table, types = opened(), library.types
        schema = table.schema
        names = [field.name for field in schema if _holds_text(field.type, types)]
        binary = [field.name for field in schema if _is_binary(field.type, types)]
        if binary:
            first = table.first(binary)
            looked = [name for name in binary if first is not None and _is_text(first.column(name))]
            names = [field.name for field in schema if field.name in names or field.name in looked]
        if not names:
            raise Unsuitable(NO_COLUMN)
        as_bytes = set(binary)
        for batch in table.batches(names):
            stream.budget.take(batch.nbytes)
            findings.bytes += batch.nbytes
            for start in range(0, batch.num_rows, ROWS):
                given = True
                for row in batch.slice(start, ROWS).to_pylist():
                    for name in as_bytes & row.keys():
                        if row[name] is not None:
                            row[name] = decoded(row[name], stream.name, findings)
                    yield row
    except (library.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise (Stopped if given else Unsuitable)(f"a damaged {what} file: {reason}") from None


def _holds_text(kind: "pyarrow.DataType", types: ModuleType) -> bool:
    """Whether it is, or holds, strings; bytes of pictures and sounds beside their paths, and numbers, are not read."""
    kind = getattr(kind, "storage_type", kind)  # of an extension, such as JSON
    if types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        if {field.name for field in fields} == {"bytes", "path"}:
            return False
        return any(_holds_text(field.type, types) for field in fields)
    if types.is_map(kind):
        return _holds_text(kind.item_type, types)
    inner = getattr(kind, "value_type", None)  # of lists of every kind, of dictionaries and of runs
    if inner is not None:
        return _holds_text(inner, types)
    is_view = getattr(types, "is_string_view", lambda _: False)
    return bool(types.is_string(kind) or types.is_large_string(kind) or is_view(kind))


def _is_binary(kind: "pyarrow.DataType", types: ModuleType) -> bool:
    is_view = getattr(types, "is_binary_view", lambda _: False)
    kind = getattr(kind, "value_type", kind) if types.is_dictionary(kind) else kind
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or is_view(kind))


def _is_text(column: "pyarrow.Array") -> bool:
    """Whether the first values of a column of bytes are text, as writers that know no strings leave it."""
    values = [value for value in column.slice(0, limits.LOOKED_AT_ROWS).to_pylist() if value][:_LOOKED_AT_ROWS]
    return bool(values) and all(map(_is_utf8, values))


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return not _CONTROLS.search(value)
