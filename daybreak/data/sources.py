"""Sources: from the files, folders, patterns and addresses that people name to a stream of documents."""

import glob
import os
import re
import stat
import sysconfig
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from daybreak.core.errors import DataError, UsageError
from daybreak.data import remote
from daybreak.data.cleaning import Document
from daybreak.data.formats import reader
from daybreak.data.formats.files import Watched
from daybreak.data.formats.findings import Findings, Stopped, Unsuitable
from daybreak.data.formats.ranges import Part, kind_of, known_shape, parts, range_blocks
from daybreak.data.formats.streams import Budget, Stream, expected_errors

__all__ = ["Document", "Part", "Reading", "builtin_sources", "find", "parts"]

_ANY_DEPTH = re.compile(r"(?:^|(?<=/))\*\*(?:/|$)")
_NOT_BUILTIN = frozenset(("test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "_bundled"))
_IN_PART = "cannot be read, or only in part"


# Which files


def find(sources: Sequence[str]) -> list[Path]:
    """The files that the sources name: files, folders with all that is below them, patterns ('**' too), addresses.

    An address (http, https, hf) is fetched into the cache; what is there already is not fetched again.

    In the order given, sorted within a folder or a pattern, each file once; hidden and special files are passed over.
    Raises DataError: a source that is missing, empty or unreadable, or a file named directly that is no text.
    """
    found: dict[tuple[int, int], Path] = {}
    for source in sources:
        path = Path(source)
        if remote.is_address(source):
            files = remote.fetched(source)
            if len(files) == 1:
                _check_named(files[0])
        elif _is_folder(path):
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
    if "\0" not in str(path) and not _is_regular(path) and not path.is_symlink():
        raise DataError(
            "this is not a regular file", received=str(path), attempt=f"`cat {path} | daybreak run -` for a stream"
        )
    next(iter(Reading([path], named=[path])), None)


def _not_text(path: Path, reason: str) -> DataError:
    attempt = "a text, or .jsonl, .csv, .parquet, .html, .xml, .epub, .pdf, .docx or WARC, plain or packed"
    return DataError("the file holds no text that can be read", received=f"{path}: {reason}", attempt=attempt)


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        "the file cannot be read", received=f"{path}: {_reason(error)}", attempt="check that it is whole and yours"
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


# From files to documents


class Reading:
    """The documents of files, or of parts of them, in order; then facts about them. May be read again.

    A row of a table or of JSON is a document, and so is a page, a chapter and a short text file; a longer text comes
    in pieces that join up to exactly its text. What a file is, its content tells. A file that cannot be read is skipped
    and named in the notes, or is a DataError where it is in `named`. All parts in order give what their files give.
    """

    def __init__(self, paths: Sequence[Path | Part], *, named: Collection[Path] = ()) -> None:
        self._parts = tuple(path if isinstance(path, Part) else Part((path,)) for path in paths)
        self._named = frozenset(named)
        self.findings = Findings()  # of what has been read so far

    @property
    def replaced_bytes(self) -> int:
        """That were no text in their file's encoding."""
        return self.findings.replaced_bytes

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on where text came from, what was decided and what was passed over."""
        return self.findings.notes()

    def __iter__(self) -> Iterator[Document]:
        """Raises DataError: a file in `named` holds no text or cannot be read."""
        self.findings = Findings()
        for part in self._parts:
            for path in part.paths:
                yield from self._file(path, part)

    def _file(self, path: Path, part: Part) -> Iterator[Document]:
        findings, name, first = self.findings, path.name, not part.start
        if first and (origin := remote.origin(path)):
            findings.say(name, origin)
        try:
            with Watched(path) as file:
                yield from self._range(path, file, part) if part.stop else self._whole(path, file)
                if change := file.changed():
                    findings.stop(name, change, f"at byte {file.offset}")
            findings.files += first
        except Unsuitable as error:
            if path in self._named:
                raise _not_text(path, str(error)) from None
            if first:
                findings.skip(name, str(error))
        except Stopped as error:
            if path in self._named:
                raise _unreadable(path, error) from None
            findings.stop(name, str(error))
        except UsageError as error:  # a library is missing
            if path in self._named:
                raise
            findings.skip(name, f"{error.what}: {error.attempt}")
        except expected_errors() as error:
            if path in self._named:
                raise _unreadable(path, error) from None
            if first:
                findings.skip(name, _IN_PART, _reason(error))

    def _whole(self, path: Path, file: Watched) -> Iterator[Document]:
        stream = Stream(path.name, file, Budget(file.size), seekable=True)  # type: ignore[arg-type]
        yield from reader.documents(stream, self.findings)

    def _range(self, path: Path, file: Watched, part: Part) -> Iterator[Document]:
        kind, mark, _ = kind_of(path, file)  # type: ignore[arg-type]
        known = known_shape(path, file, mark) if kind == "jsonl" else None  # type: ignore[arg-type]
        if known and known.said and not part.start:
            self.findings.say(path.name, known.said)
        blocks = range_blocks(file, part.start, part.stop, self.findings)  # type: ignore[arg-type]
        if mark and not part.start:
            blocks = (block[mark:] if index == 0 else block for index, block in enumerate(blocks))
        stream = Stream(path.name, file, Budget(0))  # type: ignore[arg-type]
        yield from reader.range_documents(stream, blocks, kind, known, self.findings, continues=part.start > 0)
