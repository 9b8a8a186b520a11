"""Parquet: rows out of columnar files, some at a time, within the memory that their headers say they need."""

from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

from daybreak.core.errors import UsageError
from daybreak.data.cleaning import Document
from daybreak.data.formats.findings import Findings, Stopped, Unsuitable
from daybreak.data.formats.format import BinaryFormat, Read, starts_with
from daybreak.data.formats.rows.documents import row_documents
from daybreak.data.formats.rows.shape import Row
from daybreak.data.formats.streams import Stream

if TYPE_CHECKING:
    import pyarrow

_ROWS = 256  # at a time
_GROUP_BYTES = 2_000_000_000  # of a row group, unpacked: files of data sets have up to some hundred megabytes


def parquet_rows(stream: Stream, findings: Findings) -> Iterator[Row]:
    """Raises Unsuitable: damaged; UsageError: the library is missing."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(
            "reading Parquet files needs the library pyarrow",
            received=stream.name,
            attempt="run pip install '.[parquet]' in the checkout",
        ) from None
    given = False
    try:
        file = parquet.ParquetFile(stream.seekable(), memory_map=False, pre_buffer=False)
        names = _text_columns(file.schema_arrow, pyarrow.types)
        if not names:
            raise Unsuitable("it has no column of text")
        for group in range(file.metadata.num_row_groups):
            size = file.metadata.row_group(group).total_byte_size
            if not 0 <= size <= _GROUP_BYTES:
                findings.stop(stream.name, f"a row group over {_GROUP_BYTES // 10**9} GB")
                continue
            for batch in file.iter_batches(batch_size=_ROWS, row_groups=[group], columns=names, use_threads=False):
                stream.budget.take(batch.nbytes)
                findings.bytes += batch.nbytes
                given = True
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        if given:
            raise Stopped(f"a damaged Parquet file: {reason}") from None
        raise Unsuitable(f"a damaged Parquet file: {reason}") from None


def _text_columns(schema: "pyarrow.Schema", types: ModuleType) -> list[str]:
    """Columns that are, or hold, strings; binary ones and numbers are not even read."""

    def texts(kind: "pyarrow.DataType") -> bool:
        if types.is_list(kind) or types.is_large_list(kind):
            return texts(kind.value_type)
        if types.is_struct(kind):
            return any(texts(kind.field(i).type) for i in range(kind.num_fields))
        if types.is_dictionary(kind):
            return texts(kind.value_type)
        return bool(types.is_string(kind) or types.is_large_string(kind))

    return [field.name for field in schema if texts(field.type)]


def _documents(stream: Stream, findings: Findings, _: Read) -> Iterator[Document]:
    return row_documents(parquet_rows(stream, findings), stream.name, findings)


PARQUET = BinaryFormat(name="parquet", recognize=starts_with(b"PAR1"), documents=_documents)
