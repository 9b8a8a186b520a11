"""Arrow and ORC: rows of files and streams of Arrow (Feather, data sets that `datasets` has saved), and of ORC."""

import re
import struct
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, BinaryIO

from daybreak.data.cleaning import Document
from daybreak.data.formats.columnar import Source, Table, library, rows
from daybreak.data.formats.findings import Findings
from daybreak.data.formats.format import BinaryFormat, Read, starts_with
from daybreak.data.formats.rows.documents import row_documents
from daybreak.data.formats.streams import Stream

if TYPE_CHECKING:
    import pyarrow

_MAGIC_BYTES = 8  # of an Arrow file, in front of the stream that is in it
_MOST_HEADER_BYTES = 1 << 24  # of the schema of a stream
_CONTROLS = re.compile(rb"[\0-\x08]")
_NO_LIST = "an Arrow file without its list of batches, such as one that ends too early"


class _File:
    """Batches in any order (arrow.apache.org/docs/format/Columnar.html, IPC file format)."""

    def __init__(self, file: BinaryIO) -> None:
        from pyarrow import ipc

        self._file = file
        self.schema: pyarrow.Schema = ipc.open_file(Source(file)).schema

    def first(self, columns: Sequence[str]) -> "pyarrow.RecordBatch | None":
        return next(self.batches(columns), None)

    def batches(self, columns: Sequence[str]) -> Iterator["pyarrow.RecordBatch"]:
        from pyarrow import ipc

        options = ipc.IpcReadOptions(included_fields=[self.schema.get_field_index(name) for name in columns])
        opened = ipc.open_file(Source(self._file), options=options)
        for place in range(opened.num_record_batches):
            yield _checked(opened.get_batch(place))


class _Stream:
    """Batches one after another (IPC streaming format)."""

    def __init__(self, stream: Stream) -> None:
        from pyarrow import ipc

        reader = ipc.open_stream(Source(stream))
        self.schema: pyarrow.Schema = reader.schema
        self._all = map(_checked, reader)

    def first(self, columns: Sequence[str]) -> "pyarrow.RecordBatch | None":
        first = list(islice(self._all, 1))
        self._all = chain(first, self._all)  # type: ignore[assignment]
        return first[0].select(list(columns)) if first else None

    def batches(self, columns: Sequence[str]) -> Iterator["pyarrow.RecordBatch"]:
        return (batch.select(list(columns)) for batch in self._all)


def _checked(batch: "pyarrow.RecordBatch") -> "pyarrow.RecordBatch":
    """Raises pyarrow.ArrowInvalid: its places point outside of its bytes, which pyarrow would follow."""
    batch.validate(full=True)
    return batch


class _Stripes:
    """Of an ORC file (orc.apache.org/specification)."""

    def __init__(self, file: BinaryIO) -> None:
        from pyarrow import orc

        self._file = orc.ORCFile(Source(file))
        self.schema: pyarrow.Schema = self._file.schema

    def first(self, columns: Sequence[str]) -> "pyarrow.RecordBatch | None":
        return next(self.batches(columns), None)

    def batches(self, columns: Sequence[str]) -> Iterator["pyarrow.RecordBatch"]:
        for place in range(self._file.nstripes):
            yield self._file.read_stripe(place, columns=list(columns))


def _file_documents(stream: Stream, findings: Findings, _: Read) -> Iterator[Document]:
    """Raises Unsuitable: damaged, or no text; UsageError: the library is missing."""
    pyarrow = library(stream, "Arrow")

    def opened() -> Table:
        file = stream.seekable()
        try:
            return _File(file)
        except (pyarrow.ArrowException, OSError, ValueError):
            file.seek(_MAGIC_BYTES)
            table = _Stream(Stream(stream.name, file, stream.budget, depth=stream.depth))
            findings.stop(stream.name, _NO_LIST)
            return table

    return row_documents(rows(stream, opened, findings, "Arrow", pyarrow), stream.name, findings)


def _stream_documents(stream: Stream, findings: Findings, _: Read) -> Iterator[Document]:
    pyarrow = library(stream, "Arrow")
    return row_documents(rows(stream, lambda: _Stream(stream), findings, "Arrow", pyarrow), stream.name, findings)


def _orc_documents(stream: Stream, findings: Findings, _: Read) -> Iterator[Document]:
    pyarrow = library(stream, "ORC")
    found = rows(stream, lambda: _Stripes(stream.seekable()), findings, "ORC", pyarrow)
    return row_documents(found, stream.name, findings)


def _is_stream(head: bytes) -> bool:
    """A mark that goes on, the size of a header, and where its table begins."""
    if len(head) < 16 or head[:4] != b"\xff\xff\xff\xff":
        return False
    size, root = struct.unpack_from("<iI", head, 4)
    return 8 <= size <= _MOST_HEADER_BYTES and size % 8 == 0 and 4 <= root < 256 and root % 4 == 0


ARROW = BinaryFormat(name="arrow", recognize=starts_with(b"ARROW1\0\0"), documents=_file_documents)
ARROW_STREAM = BinaryFormat(name="arrow-stream", recognize=_is_stream, documents=_stream_documents)
ORC = BinaryFormat(
    name="orc",
    recognize=lambda head: head.startswith(b"ORC") and _CONTROLS.search(head) is not None,
    documents=_orc_documents,
)
