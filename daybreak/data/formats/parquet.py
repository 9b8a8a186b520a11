"""Parquet: rows out of columnar files, within the memory that their headers say they need."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.columnar import GROUP_BYTES, ROWS, library, rows
from daybreak.data.formats.findings import Findings
from daybreak.data.formats.format import BinaryFormat, Read, starts_with
from daybreak.data.formats.rows.documents import row_documents
from daybreak.data.formats.streams import Stream

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import RowGroupMetaData


class _Table:
    def __init__(self, stream: Stream, findings: Findings) -> None:
        from pyarrow import parquet

        self._name, self._findings = stream.name, findings
        self._file = parquet.ParquetFile(stream.seekable(), memory_map=False, pre_buffer=False)

    @property
    def schema(self) -> "pyarrow.Schema":
        return self._file.schema_arrow

    def first(self, columns: Sequence[str]) -> "pyarrow.RecordBatch | None":
        return next(self._read(columns, limits.LOOKED_AT_ROWS, Findings()), None)

    def batches(self, columns: Sequence[str]) -> Iterator["pyarrow.RecordBatch"]:
        return self._read(columns, ROWS, self._findings)

    def _read(self, columns: Sequence[str], size: int, findings: Findings) -> Iterator["pyarrow.RecordBatch"]:
        for group in range(self._file.metadata.num_row_groups):
            if 0 <= _size(self._file.metadata.row_group(group), columns) <= GROUP_BYTES:
                yield from self._file.iter_batches(
                    batch_size=size, row_groups=[group], columns=columns, use_threads=False
                )
            else:
                findings.stop(self._name, f"a row group over {GROUP_BYTES // 10**9} GB")


def _size(group: "RowGroupMetaData", names: Sequence[str]) -> int:
    """Bytes of the columns, unpacked; negative where one of them lies."""
    sizes = [
        column.total_uncompressed_size
        for column in map(group.column, range(group.num_columns))
        if column.path_in_schema in names or column.path_in_schema.partition(".")[0] in names
    ]
    return -1 if any(size < 0 for size in sizes) else sum(sizes)


def _documents(stream: Stream, findings: Findings, _: Read) -> Iterator[Document]:
    """Raises Unsuitable: damaged, or no text; UsageError: the library is missing."""
    pyarrow = library(stream, "Parquet")
    found = rows(stream, lambda: _Table(stream, findings), findings, "Parquet", pyarrow)
    return row_documents(found, stream.name, findings)


PARQUET = BinaryFormat(name="parquet", recognize=starts_with(b"PAR1"), documents=_documents)
