"""Sources: from the files, folders, patterns and addresses that people name to a stream of documents."""

import glob
import os
import re
import stat
import sysconfig
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from daybreak.core import cache, outputs
from daybreak.core.errors import DataError, UsageError
from daybreak.data import remote
from daybreak.data.cleaning import Document
from daybreak.data.formats import reader
from daybreak.data.formats.files import Watched
from daybreak.data.formats.findings import HIDDEN, NO_COLUMN, SPECIAL, Findings, Stopped, Unsuitable
from daybreak.data.formats.folders import beside_text
from daybreak.data.formats.format import Text
from daybreak.data.formats.members import MARK_BYTES, is_hidden
from daybreak.data.formats.ranges import (
    Part,
    bytes_before,
    first_line,
    known_shape,
    parts,
    range_blocks,
    text_format_of,
)
from daybreak.data.formats.streams import Budget, Stream, expected_errors

__all__ = ["Document", "Part", "Reading", "builtin_sources", "find", "parts", "search"]

_ANY_DEPTH = re.compile(r"(?:^|(?<=/))\*\*(?:/|$)")
_NOT_BUILTIN = frozenset(("test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "_bundled"))
# What is left out where it was not named itself.
CLOSED = "a folder that may not be entered"
_IN_PART = "cannot be read, or only in part"


# Which files


@dataclass(frozen=True, kw_only=True)
class Found:
    """The files of the sources, and the names of files among them that are left out."""

    files: tuple[Path, ...]
    left_out: dict[str, tuple[str, ...]]  # names by what they are

    def tell(self, findings: Findings, told: set[str] | None = None) -> None:
        """Tells findings of the files that are left out, but for those in `told`, which gets them."""
        told = set() if told is None else told
        for what, names in self.left_out.items():
            for name in names:
                if name not in told:
                    findings.leave_out(name, what)
                    told.add(name)

    def notes(self) -> tuple[str, ...]:
        """Sentences on the files that are left out."""
        findings = Findings()
        self.tell(findings)
        return findings.passed_over()


def find(sources: Sequence[str]) -> list[Path]:
    """The files that the sources name, as `search` finds them. Raises DataError."""
    return list(search(sources).files)


def search(sources: Sequence[str], *, own: Collection[Path] = ()) -> Found:
    """The files that the sources name: files, folders with all that is below them, patterns ('**' too), addresses.

    An address (http, https, hf) is fetched into the cache; what is there already is not fetched again.

    In the order given, sorted within a folder or a pattern, each file once. What is hidden, special or unreadable is
    left out, and so is what daybreak has written (run folders, models, pages, its cache) and installed packages.
    own: further folders and files that are daybreak's, there or not. Raises DataError: a source that is missing, empty,
    unreadable or a run folder, or a file named directly that is no text.
    """
    found: dict[tuple[int, int], Path] = {}
    walk = _Walk({_identity(path) for path in own}, {_identity(cache.folder())})
    for source in sources:
        path = Path(source)
        if remote.is_address(source):
            files = remote.fetched(source)
            if len(files) == 1:
                _check_named(files[0])
        elif _is_folder(path):
            _check_no_run(path)
            files = walk.below(path)
            if not files:
                raise DataError(
                    "the folder has no readable files",
                    received=source + walk.said(),
                    attempt="name a folder with text files in it, or a file",
                )
        elif os.path.lexists(source):
            _check_named(path)
            files = [path]
        elif glob.has_magic(source):
            files = sorted({file for match in walk.expanded(source) for file in walk.matched(match)})
            if not files:
                raise DataError(
                    "no file matches the pattern",
                    received=source + walk.said(),
                    attempt="put the pattern in quotes, so that the shell does not expand it, and check "
                    "with `ls` what is there",
                )
        else:
            raise DataError(
                "the file or folder does not exist",
                received=source,
                attempt="check the name with `ls`; - reads standard input",
            )
        for file in files:
            found.setdefault(_identity(file), file)
    if not found:
        raise DataError(
            "no text was named", received="no sources", attempt="name files, folders, globs, or - for standard input"
        )
    return Found(
        files=tuple(found.values()),
        left_out={what: tuple(dict.fromkeys(map(str, names))) for what, names in walk.left_out.items()},
    )


def builtin_sources() -> list[Path]:
    """Text that every Python brings along: the standard library and its documentation, sorted.

    Tests, generated tables and installed packages are left out. Raises DataError where the library is not in files.
    """
    library = Path(sysconfig.get_path("stdlib"))
    below = _Walk(names=_NOT_BUILTIN).below(library)
    files = [file for file in below if _is_builtin_text(file, file.relative_to(library))]
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


class _Walk:
    """Walks through folders and patterns, and records the files that it leaves out."""

    def __init__(
        self,
        own: Collection[tuple[int, int]] = (),  # where the command's own results go, which is not worth a word
        caches: Collection[tuple[int, int]] = (),
        names: Collection[str] = (),
    ) -> None:
        self._own, self._caches, self._names = frozenset(own), frozenset(caches), frozenset(names)
        self._kinds: dict[Path, str] = {}  # kinds of folders
        self.left_out: defaultdict[str, list[Path]] = defaultdict(list)

    def said(self) -> str:
        """The files left out, for the error where no others were found."""
        return "".join(f"; left out: {what} ({names[0]})" for what, names in self.left_out.items() if what != HIDDEN)

    def below(self, path: Path) -> list[Path]:
        """Regular files at or below a path, sorted; a folder that links lead back to is entered once."""
        files = [path]
        if _is_folder(path):
            files = [folder / name for folder, names in self.folders(path) for name in names]
        return sorted(filter(self._is_text, files))

    def matched(self, path: Path) -> list[Path]:
        """The files of a pattern's match, which may lie in a folder that is left out."""
        for folder in (path, *path.parents) if _is_folder(path) else path.parents:
            if self._is_left_out(folder):
                return []
        return self.below(path)

    def folders(self, root: Path) -> Iterator[tuple[Path, list[str]]]:
        entered: set[tuple[int, int]] = set()
        for name, below, names in os.walk(root, followlinks=True, onerror=self._closed):
            folder = Path(name)
            identity = _identity(folder)
            if identity in entered:
                below.clear()
                continue
            entered.add(identity)
            for name in (*below, *names):
                if is_hidden(name):
                    self.left_out[HIDDEN].append(folder / name)
            below[:] = sorted(
                child
                for child in below
                if not is_hidden(child) and child not in self._names and not self._is_left_out(folder / child)
            )
            aside = beside_text(names, lambda name, folder=folder: _start_of(folder / name))  # type: ignore[misc]
            for name, what in aside.items():
                self.left_out[what].append(folder / name)
            yield folder, [name for name in names if name not in aside and not is_hidden(name)]

    def expanded(self, pattern: str) -> Iterator[Path]:
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
                for folder, _ in self.folders(Path(start)):
                    yield from self.expanded(f"{glob.escape(str(folder))}/{rest}")

    def _is_left_out(self, folder: Path) -> bool:
        if _identity(folder) in self._own:
            return True
        if folder not in self._kinds:
            cached = _identity(folder) in self._caches
            self._kinds[folder] = outputs.CACHE if cached else outputs.kind_of_folder(folder)
            if what := self._kinds[folder]:
                self.left_out[what].append(folder)
        return self._kinds[folder] != ""

    def _is_text(self, path: Path) -> bool:
        if _identity(path) in self._own:
            return False
        what = "" if _is_regular(path) else SPECIAL
        if not what and outputs.is_page_file(path):
            what = outputs.PAGE
        if what:
            self.left_out[what].append(path)
        return not what

    def _closed(self, error: OSError) -> None:
        self.left_out[CLOSED].append(Path(error.filename))


def _check_no_run(path: Path) -> None:
    """Raises DataError: a run's folder, or a part of one, was named as text."""
    if run := outputs.inside_run(path):
        raise DataError(
            "the source is a run folder, not text",
            received=f"{path}, of the run {run}" if run != path.absolute() else str(path),
            attempt="name the text that the run was made from; `sources` in its request.json lists it",
        )


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # gone since it was listed: it equals nothing
        return -1, hash(path)
    return status.st_dev, status.st_ino


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _start_of(path: Path) -> bytes:
    """The beginning of a file; empty where it cannot be read, which is told when it is read."""
    try:
        with Watched(path) as file:
            return file.read(MARK_BYTES)
    except (OSError, Unsuitable):
        return b""


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
            "the source is not a regular file",
            received=str(path),
            attempt=f"for a stream, use `cat {path} | daybreak run -`",
        )
    next(iter(Reading([path], named=[path])), None)


def _not_text(path: Path, reason: str) -> DataError:
    attempt = "use a text, or .jsonl, .csv, .parquet, .html, .xml, .epub, .pdf, .docx or WARC, compressed or not"
    if reason == NO_COLUMN:
        attempt = "call the column that holds the text `text`, if there is one"
    return DataError("the file holds no text that can be read", received=f"{path}: {reason}", attempt=attempt)


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        "the file cannot be read",
        received=f"{path}: {_reason(error)}",
        attempt="check that the file is complete and that you may read it",
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
        self.findings = Findings()  # on everything read so far
        self.file = Path()  # that the last document came from

    @property
    def replaced_bytes(self) -> int:
        """Bytes that were not valid in their file's encoding."""
        return self.findings.replaced_bytes

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on where text came from, decisions made and files skipped."""
        return self.findings.notes()

    def __iter__(self) -> Iterator[Document]:
        """Raises DataError: a file in `named` holds no text or cannot be read."""
        self.findings = Findings()
        for part in self._parts:
            for path in part.paths:
                self.file = path
                yield from self._file(path, part)

    def _file(self, path: Path, part: Part) -> Iterator[Document]:
        findings, name, first = self.findings, path.name, not part.start
        left = 0
        if first and (origin := remote.origin(path)):
            findings.say(name, origin)
        try:
            with Watched(path) as file:
                try:
                    yield from self._range(path, file, part) if part.stop else self._whole(path, file)
                finally:
                    left = max(0, (part.stop or file.size) - file.offset)
                if change := file.changed():
                    findings.stop(name, change, f"at byte {file.offset}")
            findings.files += first
        except Unsuitable as error:
            if path in self._named:
                raise _not_text(path, str(error)) from None
            if first:
                findings.skip(name, str(error), size=_size(path))
        except Stopped as error:
            if path in self._named:
                raise _unreadable(path, error) from None
            findings.stop(name, str(error), size=left)
        except UsageError as error:  # a library is missing
            if path in self._named:
                raise
            findings.skip(name, f"{error.what}: {error.attempt}", size=_size(path))
        except expected_errors() as error:
            if path in self._named:
                raise _unreadable(path, error) from None
            if first:
                findings.skip(name, _IN_PART, _reason(error), _size(path))

    def _whole(self, path: Path, file: Watched) -> Iterator[Document]:
        stream = Stream(path.name, file, Budget(file.size), seekable=True)  # type: ignore[arg-type]
        yield from reader.documents(stream, self.findings)

    def _range(self, path: Path, file: Watched, part: Part) -> Iterator[Document]:
        record, detail, coded = text_format_of(path, file)  # type: ignore[arg-type]
        if record is None or coded is None:
            raise Unsuitable("its beginning has changed since it was cut into parts")
        mark = coded.mark
        known = known_shape(record, path, file, mark)  # type: ignore[arg-type]
        if known and known.said and not part.start:
            self.findings.say(path.name, known.said)
        before = bytes_before(file, part.start, record.begins)  # type: ignore[arg-type]
        blocks = range_blocks(file, part.start, part.stop, self.findings, record.begins)  # type: ignore[arg-type]
        if mark and not part.start:
            blocks = (block[mark:] if index == 0 else block for index, block in enumerate(blocks))
        stream = Stream(path.name, file, Budget(0))  # type: ignore[arg-type]
        yield from record.documents(
            Text(
                stream=stream,
                blocks=blocks,
                detail=detail,
                findings=self.findings,
                shape=known,
                before=before,
                first_line=lambda: first_line(path, part.start, record.begins),
            )
        )
