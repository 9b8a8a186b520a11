"""Sources: from the files, folders and patterns that people name to a stream of documents."""

import glob
import io
import json
import os
import re
import stat
import sysconfig
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from daybreak.core.errors import DataError
from daybreak.data.cleaning import Document

_BLOCK = 1 << 18  # bytes read at a time
_SNIFFED = 1 << 13  # bytes that tell text from binary
_MOST_INVALID = 0.3  # of the sniffed bytes; above it the file is no text
_WHOLE = 1 << 13  # a text file up to here is one document
_PIECE = 1 << 12  # longer ones are cut at the first good place after this
_GATHERED = 1 << 13  # a blank line up to here is better than the first line break
_LONGEST_PIECE = 1 << 14
_WHOLE_ROW = 1 << 16  # a row is a document; only a book in a row is cut
_LONGEST_ROW = 1 << 26
_LOOKED_AT_ROWS = 100
_LOOKED_AT_BYTES = 1 << 20
_ANY_DEPTH = re.compile(r"(?:^|(?<=/))\*\*(?:/|$)")
_BLANK_LINE = re.compile(rb"\n[ \t\r]*\n(?:[ \t\r]*\n)*")
_NOT_BUILTIN = frozenset(("test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "_bundled"))
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _Unsuitable(Exception):
    """A file that holds no text for us; its message is the reason, as the notes say it."""


@dataclass(frozen=True)
class Part:
    """Files that are read together, or a range of bytes of one."""

    paths: tuple[Path, ...]
    start: int = 0
    stop: int = 0


def parts(paths: Sequence[Path], *, part_bytes: int = 1 << 25) -> list[Part]:
    return [Part(paths=tuple(paths))]


# Which files


def find(sources: Sequence[str]) -> list[Path]:
    """The files that the sources name: files, folders with all that is below them, patterns ('**' too).

    In the order given, sorted within a folder or a pattern, each file once; hidden and special files are passed over.
    Raises DataError: a source that is missing, empty or unreadable, or a file named directly that is no text.
    """
    found: dict[tuple[int, int], Path] = {}
    for source in sources:
        path = Path(source)
        if _is_folder(path):
            files = _below(path)
            if not files:
                raise DataError(
                    "the folder holds no files that can be read",
                    received=source,
                    attempt="a folder with text files in it, or a file",
                )
        elif os.path.lexists(source):
            _check_named(path)
            files = [path]
        elif glob.has_magic(source):
            files = sorted({file for match in _expanded(source) for file in _below(match)})
            if not files:
                raise DataError(
                    "nothing matches the pattern",
                    received=source,
                    attempt="quotes around it, so that the shell leaves it alone, and `ls` to see what is there",
                )
        else:
            raise DataError(
                "there is no such file or folder",
                received=source,
                attempt="`ls` on its folder; `-` reads standard input",
            )
        for file in files:
            found.setdefault(_identity(file), file)
    if not found:
        raise DataError("no text was named", received="no sources", attempt="files, folders, patterns or `-`")
    return list(found.values())


def builtin_sources() -> list[Path]:
    """Text that every Python brings along: the standard library and its documentation, sorted.

    Tests, generated tables and installed packages are left out. Raises DataError where the library is not in files.
    """
    library = Path(sysconfig.get_path("stdlib"))
    files = [file for file in _below(library, _NOT_BUILTIN) if _is_builtin_text(file, file.relative_to(library))]
    if not any(file.suffix == ".py" for file in files):
        raise DataError(
            "this Python has no readable standard library to train on",
            received=str(library),
            attempt="name a text file or a folder instead",
        )
    return files


def _is_builtin_text(file: Path, name: Path) -> bool:
    if name.suffix not in (".py", ".txt", ".rst", ".md"):
        return False
    if name.parts[0].startswith(("config-", "_sysconfigdata")) or name.name == "stringprep.py":
        return False
    if name.parts[0] == "encodings" and re.search(rb"decoding_(table|map)\b", file.read_bytes()):
        return False
    return name == Path("pydoc_data/topics.py") or file.stat().st_size <= 300_000


def _below(path: Path, left_out: Collection[str] = ()) -> list[Path]:
    """Regular files at or below a path, sorted; a folder that links lead back to is entered once."""
    if not _is_folder(path):
        return [path] if _is_regular(path) else []
    files = (folder / name for folder, names in _folders(path, left_out) for name in names if name[0] != ".")
    return sorted(filter(_is_regular, files))


def _folders(root: Path, left_out: Collection[str] = ()) -> Iterator[tuple[Path, list[str]]]:
    entered: set[tuple[int, int]] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        identity = _identity(Path(folder))
        if identity in entered:
            below.clear()
            continue
        entered.add(identity)
        below[:] = sorted(child for child in below if child[0] != "." and child not in left_out)
        yield Path(folder), names


def _expanded(pattern: str) -> Iterator[Path]:
    """Like glob.glob(recursive=True), which follows links around in circles."""
    stars = _ANY_DEPTH.search(pattern)
    if not stars:
        yield from map(Path, glob.glob(pattern))  # noqa: PTH207 (pathlib knows no hidden files)
        return
    before, rest = pattern[: stars.start()], pattern[stars.end() :]
    for start in glob.glob(before) if before else ["."]:  # noqa: PTH207
        if not rest:
            yield Path(start)
        elif _is_folder(Path(start)):
            for folder, _ in _folders(Path(start)):
                yield from _expanded(f"{glob.escape(str(folder))}/{rest}")


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # gone since it was listed: it equals nothing
        return -1, hash(path)
    return status.st_dev, status.st_ino


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # above it is one that may not be entered
        return False


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:  # a link to nowhere, or gone since it was listed
        return False


def _check_named(path: Path) -> None:
    """A file that was asked for by name has to be text. Raises DataError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(
                "this is not a regular file", received=str(path), attempt=f"`cat {path} | daybreak run -` for a stream"
            )
        with path.open("rb") as raw, _unpacked(raw) as file:
            _check_text(file.read(_SNIFFED))
    except _Unsuitable as error:
        raise _not_text(path, str(error)) from None
    except Exception as error:
        if not isinstance(error, _reading_errors()):
            raise
        raise _unreadable(path, error) from None


def _not_text(path: Path, reason: str) -> DataError:
    attempt = "a file of text (UTF-8), .jsonl, .csv or .tsv, plain or packed with gzip, xz or bzip2"
    if "UTF-16" in reason:
        attempt = f"iconv -f UTF-16 -t UTF-8 '{path}' > text.txt"
    return DataError("the file holds no text that can be read", received=f"{path}: {reason}", attempt=attempt)


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DataError(
        "the file cannot be read", received=f"{path}: {reason}", attempt="check that it is whole and yours"
    )


def _reading_errors() -> tuple[type[Exception], ...]:
    import lzma
    import zlib

    return (OSError, EOFError, zlib.error, lzma.LZMAError)


# From files to documents


class Reading:
    """The documents of files, in order; when they have been read, facts about them. May be read again.

    A row of a .jsonl, .csv or .tsv file is a document, and so is a short text file; a longer one comes in pieces that
    join up to exactly its text. A file that cannot be read is skipped and noted, or is a DataError where it is in
    `named`.
    """

    def __init__(self, paths: Sequence[Any], *, named: Collection[Path] = ()) -> None:
        self._paths = tuple(q for p in paths for q in (p.paths if isinstance(p, Part) else (p,)))
        self._named = frozenset(named)
        self._reset()

    def _reset(self) -> None:
        self.files = 0
        self.bytes = 0  # as text, unpacked
        self.replaced_bytes = 0  # that were not UTF-8
        self.skipped: Counter[str] = Counter()  # files by reason
        self.skipped_rows = 0
        self._columns: dict[str, list[str]] = {}  # names of files by the column that holds their text

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was decided and what was passed over."""
        notes = []
        for column, files in self._columns.items():
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            notes.append(f"{files[0]}{more}: {column} holds the text")
        for reason, count in self.skipped.items():
            notes.append(f"{count} file{'s' if count > 1 else ''} skipped: {reason}")
        if self.skipped_rows:
            notes.append(f"{self.skipped_rows} rows skipped: broken, or without text")
        if self.replaced_bytes:
            notes.append(f"{self.replaced_bytes} bytes that are not UTF-8 were replaced")
        return tuple(notes)

    def __iter__(self) -> Iterator[Document]:
        """Raises DataError: a file in `named` holds no text or cannot be read."""
        self._reset()
        expected = _reading_errors()
        for path in self._paths:
            try:
                with path.open("rb") as raw, _unpacked(raw) as file:
                    yield from self._documents(path, file)
                self.files += 1
            except _Unsuitable as error:
                if path in self._named:
                    raise _not_text(path, str(error)) from None
                self.skipped[str(error)] += 1
            except expected as error:
                if path in self._named:
                    raise _unreadable(path, error) from None
                self.skipped["cannot be read, or only in part"] += 1

    def _documents(self, path: Path, file: io.BufferedIOBase) -> Iterator[Document]:
        start = file.read(_SNIFFED)
        _check_text(start)
        start = start.removeprefix(_BYTE_ORDER_MARK)
        blocks = self._blocks(start, file)
        name = path.name.lower()
        for ending in (".gz", ".xz", ".bz2"):
            name = name.removesuffix(ending)
        if name.endswith((".jsonl", ".ndjson")):
            yield from self._rows(path, self._json_rows(_lines(blocks)))
        elif name.endswith((".csv", ".tsv")):
            yield from self._rows(path, self._csv_rows(_lines(blocks), "\t" if name.endswith(".tsv") else None))
        else:
            for index, piece in enumerate(_pieces(blocks, _WHOLE)):
                if index or piece.strip():
                    yield Document(self._decoded(piece), index == 0)

    def _blocks(self, start: bytes, file: io.BufferedIOBase) -> Iterator[bytes]:
        block = start
        while block:
            self.bytes += len(block)
            yield block
            block = file.read(_BLOCK)

    def _decoded(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            text, replaced = _replaced(data)
            self.replaced_bytes += replaced
            return text

    # Rows

    def _rows(self, path: Path, rows: Iterator[str | dict[str, Any]]) -> Iterator[Document]:
        first: list[str | dict[str, Any]] = []
        size = 0
        for row in rows:
            first.append(row)
            size += len(row) if isinstance(row, str) else sum(len(v) for v in row.values() if isinstance(v, str))
            if len(first) == _LOOKED_AT_ROWS or size > _LOOKED_AT_BYTES:
                break
        column = self._text_column(path, first)
        for part in (first, rows):
            for row in part:
                text = row if isinstance(row, str) else row.get(column)
                if isinstance(text, str) and text.strip():
                    yield from self._row_documents(text)
                else:
                    self.skipped_rows += 1

    def _row_documents(self, text: str) -> Iterator[Document]:
        if len(text) <= _WHOLE_ROW // 4 and text.isascii():
            yield Document(text, True)
            return
        try:
            data = text.encode()
        except UnicodeEncodeError:  # JSON can spell half of a surrogate pair, UTF-8 cannot
            whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            self.replaced_bytes += 3 * (whole.count("\ufffd") - text.count("\ufffd"))
            data = whole.encode()
        for index, piece in enumerate(_pieces([data], _WHOLE_ROW)):
            yield Document(piece.decode(), index == 0)

    def _text_column(self, path: Path, rows: list[str | dict[str, Any]]) -> str:
        """`text`, else the column with the longest strings on average. Raises _Unsuitable: there is none."""
        lengths: Counter[str] = Counter()
        for row in rows:
            if isinstance(row, dict):
                lengths.update({name: len(value) for name, value in row.items() if isinstance(value, str)})
        if "text" in lengths:
            return "text"
        if lengths:
            column = max(lengths, key=lambda name: lengths[name])
            said = column if column.startswith("column ") else f"the column {column!r}"
            self._columns.setdefault(said, []).append(path.name)
            return column
        if rows and not any(isinstance(row, str) for row in rows):
            raise _Unsuitable("no column of text in it")
        return "text"

    def _json_rows(self, lines: Iterable[bytes]) -> Iterator[str | dict[str, Any]]:
        for line in lines:
            if not line.strip():
                continue
            try:
                row = json.loads(self._decoded(line))
            except (ValueError, RecursionError):
                row = None
            if isinstance(row, str | dict):
                yield row
            else:
                self.skipped_rows += 1

    def _csv_rows(self, lines: Iterable[bytes], delimiter: str | None) -> Iterator[dict[str, Any]]:
        import csv

        csv.field_size_limit(_LONGEST_ROW)
        stream = map(self._decoded, lines)
        head = next(stream, "")
        if delimiter is None:
            delimiter = max(",;\t|", key=head.count)
        reader = csv.reader(_chained(head, stream), delimiter=delimiter)
        names: list[str] | None = None
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error:
                self.skipped_rows += 1
                continue
            if names is None:
                names = _header(row)
                if names == row:
                    continue
            if row:
                yield dict(zip(names, row, strict=False))


def _header(row: list[str]) -> list[str]:
    """The names of the columns; without a row of names above the data, 'column 1', 'column 2' and so on."""
    if any(row) and len(set(row)) == len(row) and all(len(name) <= 60 and not name.isdigit() for name in row):
        return row
    return [f"column {index + 1}" for index in range(len(row))]


def _chained(head: str, rest: Iterator[str]) -> Iterator[str]:
    yield head
    yield from rest


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines with their ends; one that is absurdly long comes in parts, which no row survives."""
    waiting: list[bytes] = []
    size = 0
    for block in blocks:
        for line in block.splitlines(keepends=True):  # at a lone carriage return too, which ends no row
            waiting.append(line)
            size += len(line)
            if line.endswith(b"\n") or size > _LONGEST_ROW:
                yield b"".join(waiting)
                waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


# Bytes


def _unpacked(raw: BinaryIO) -> io.BufferedIOBase:
    """The file as it is, or what is packed in it; told by its first bytes, whatever its name says."""
    magic = raw.read(10)
    raw.seek(0)
    if magic.startswith(b"\x1f\x8b\x08"):
        import gzip

        return gzip.GzipFile(fileobj=raw)
    if magic.startswith(b"\xfd7zXZ\x00"):
        import lzma

        return lzma.LZMAFile(raw)
    if re.match(rb"BZh[1-9]1AY&SY", magic):
        import bz2

        return bz2.BZ2File(raw)
    return raw  # type: ignore[return-value]


def _check_text(start: bytes) -> None:
    """Raises _Unsuitable: these first bytes of a file are not text."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Unsuitable("UTF-16, not UTF-8")
    if b"\0" in start:
        raise _Unsuitable("binary, not text")
    try:
        start.decode()
    except UnicodeDecodeError:
        if _replaced(start)[1] > _MOST_INVALID * len(start):
            raise _Unsuitable("binary, or text that is not UTF-8") from None


def _replaced(data: bytes) -> tuple[str, int]:
    """The text with U+FFFD for what is not UTF-8, and how many bytes that was."""
    text = data.decode("utf-8", "replace")
    put_in = text.count("\ufffd") - data.count(b"\xef\xbf\xbd")
    return text, len(data) - (len(text.encode()) - 3 * put_in)


def _pieces(blocks: Iterable[bytes], whole: int) -> Iterator[bytes]:
    """Text of up to `whole` bytes as it is; longer text in pieces that join up to exactly it, with whole characters."""
    data, start = b"", 0
    cutting = False
    for block in blocks:
        data, start = data[start:] + block, 0
        while len(data) - start > (_LONGEST_PIECE if cutting else max(whole, _LONGEST_PIECE)):
            cutting = True
            end = _cut(data, start)
            yield data[start:end]
            start = end
    while len(data) - start > (_WHOLE if cutting else whole):
        cutting = True
        end = _cut(data, start)
        yield data[start:end]
        start = end
    if start < len(data):
        yield data[start:]


def _cut(data: bytes, start: int) -> int:
    """The best place to end a piece: a blank line, a line break, a space, or anywhere between two characters."""
    blank = _BLANK_LINE.search(data, start + _PIECE, min(start + _GATHERED, len(data)))
    if blank:
        return blank.end()
    limit = min(start + _LONGEST_PIECE, len(data))
    line = data.find(b"\n", start + _PIECE, limit)
    if line >= 0:
        return line + 1
    space = data.rfind(b" ", start + _PIECE, limit)
    if space >= 0:
        return space
    end = limit
    while end < len(data) and limit - end < 3 and data[end] & 0xC0 == 0x80:
        end -= 1
    return end
