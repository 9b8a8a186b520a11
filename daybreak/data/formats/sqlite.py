"""SQLite: the rows of the tables of a database file, each table by itself; nothing in its schema is run."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from urllib.parse import quote

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.findings import LONG_ROW, Findings, Unsuitable
from daybreak.data.formats.format import BinaryFormat, Read, starts_with
from daybreak.data.formats.rows.documents import row_documents
from daybreak.data.formats.rows.shape import Row
from daybreak.data.formats.streams import Stream

BLOBS = "bytes in columns of a database, such as pictures"
NO_TEXT = "a table without text"
VIEW = "a view of other tables, which is not run"
INDEX = "the index of a full-text search, whose texts are read"
MODULE = "a table that a module of SQLite computes"
LOG = "changes that are still in its -wal file are not read; `PRAGMA wal_checkpoint(TRUNCATE)` writes them into it"
_MAGIC = b"SQLite format 3\0"
_MODES = slice(18, 20)  # of the header: 2 is for a write-ahead log, which a database in memory cannot have
_MOST_LENGTH = 256_000_000  # of a row or a value, in bytes: more of them than a row may have are read and counted
_SEARCHED = re.compile(r"CREATE\s+VIRTUAL\s+TABLE\s.*?\sUSING\s+(fts[345])\b", re.I | re.S)
_SCHEMA = "SELECT * FROM sqlite_master ORDER BY rowid"
_BESIDE = ("_segments", "_segdir", "_docsize", "_stat", "_data", "_idx", "_config")  # its own tables


def sqlite_documents(stream: Stream, findings: Findings, _: Read) -> Iterator[Document]:
    """A row a document. Raises Unsuitable: damaged, or without any text."""
    database = _opened(stream)
    with contextlib.closing(database):
        database.text_factory = lambda data: decoded(data, stream.name, findings)
        try:
            tables, given = list(_tables(_schema(database), stream.name, findings)), False
            if _has_log(stream):
                findings.stop(stream.name, LOG)
            for table in tables:
                for document in _table_documents(database, table, stream, findings):
                    given = True
                    yield document
        except sqlite3.Error as error:
            raise Unsuitable(f"a damaged SQLite database: {error}") from None
    if not given:
        raise Unsuitable("a database without text")


def _opened(stream: Stream) -> sqlite3.Connection:
    """For reading only; of a packed one a copy in memory. Raises Unsuitable: too long."""
    if stream.path:
        # Immutable: SQLite would make files of its own beside it.
        address = f"file:{quote(str(stream.path.absolute()))}?mode=ro&immutable=1"
        database = sqlite3.connect(address, uri=True)
    else:
        data = bytearray(stream.whole(limits.HELD_BYTES))
        data[_MODES] = b"\1\1"
        database = sqlite3.connect(":memory:")
        database.deserialize(bytes(data))
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_LENGTH)
    for setting in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON"):
        with contextlib.suppress(sqlite3.Error):
            database.execute(f"PRAGMA {setting}")
    database.set_authorizer(_allowed)
    return database


def _allowed(action: int, *about: str | None) -> int:
    """Reading of tables and of their columns; no function, and nothing that writes."""
    reads = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)
    if action in reads or (action == sqlite3.SQLITE_PRAGMA and about[0] == "table_xinfo"):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _has_log(stream: Stream) -> bool:
    if not stream.path:
        return False
    try:
        return stream.path.with_name(stream.path.name + "-wal").stat().st_size > 0
    except OSError:
        return False


def _schema(database: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """Type, name and definition of all that is in the database. Raises sqlite3.Error."""
    for again in (False, True):
        try:
            return [(kind, name, sql) for kind, name, _, _, sql in database.execute(_SCHEMA)]
        except sqlite3.DatabaseError:
            if again:
                raise
            database.set_authorizer(None)
            database.execute("PRAGMA writable_schema = ON")  # then a file that is cut short is opened, too
            database.set_authorizer(_allowed)
    raise AssertionError


def _tables(schema: list[tuple[str, str, str]], name: str, findings: Findings) -> Iterator[str]:
    """Those with rows of their own. What else is there is told."""
    names = {table for _, table, _ in schema}
    searches = [table for kind, table, sql in schema if kind == "table" and _SEARCHED.match(sql or "")]
    own = {search + ending for search in searches for ending in _BESIDE}
    for kind, table, sql in schema:
        shown = f"{name}/{table}"
        if kind == "view":
            findings.leave_out(shown, VIEW)
        elif kind != "table" or table.startswith("sqlite_"):
            continue
        elif table in own or (table in searches and table + "_content" in names):
            findings.leave_out(shown, INDEX)
        elif (sql or "").lstrip()[:14].upper() == "CREATE VIRTUAL":
            findings.leave_out(shown, MODULE)
        else:
            yield table


def _table_documents(
    database: sqlite3.Connection, table: str, stream: Stream, findings: Findings
) -> Iterator[Document]:
    shown = f"{stream.name}/{table}"
    given = False
    try:
        for document in row_documents(_rows(database, table, stream, findings), shown, findings):
            given = True
            yield document
        if not given:
            findings.leave_out(shown, NO_TEXT)
    except Unsuitable:
        findings.leave_out(shown, NO_TEXT)
    except sqlite3.Error as error:
        if given:
            findings.stop(shown, "a damaged table", str(error))
        else:
            findings.skip(shown, "a damaged table", str(error))


def _rows(database: sqlite3.Connection, table: str, stream: Stream, findings: Findings) -> Iterator[Row]:
    """Columns that are computed are not: 2 and 3 in what the schema says of a column."""
    columns = [row[1] for row in database.execute(f"PRAGMA table_xinfo({_quoted(table)})") if row[6] == 0]
    if not columns:
        return
    for values in database.execute(f"SELECT {', '.join(map(_quoted, columns))} FROM {_quoted(table)} NOT INDEXED"):
        row: dict[str, object] = {}
        size = 1
        for column, value in zip(columns, values, strict=True):
            if isinstance(value, bytes):
                findings.leave_part(BLOBS, len(value))
                size += len(value)
            elif value is not None:
                row[column] = value
                size += len(value) if isinstance(value, str) else 8
        stream.budget.take(size)  # a tree of pages that leads back to itself has rows without end
        if size > limits.ROW_BYTES:
            findings.skip_row(LONG_ROW, size)
            continue
        findings.bytes += size
        yield row


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


SQLITE = BinaryFormat(name="sqlite", recognize=starts_with(_MAGIC), documents=sqlite_documents)
