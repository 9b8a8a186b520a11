"""Archives: the members of zip and tar files one by one, never written anywhere, and the chapters of an EPUB."""

import contextlib
import functools
import posixpath
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, BinaryIO
from urllib.parse import unquote
from xml.etree import ElementTree

from daybreak.core import outputs
from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.documents.word import WORD_FILES, word_documents
from daybreak.data.formats.findings import HIDDEN, SPECIAL, Findings, Stopped, Unsuitable
from daybreak.data.formats.format import BinaryFormat, Read, starts_with
from daybreak.data.formats.markup import page
from daybreak.data.formats.streams import Bounded, Budget, Stream, expected_errors

Member = tuple[str, int, Callable[[], BinaryIO]]  # a file's name, bytes and how it is opened
_TAR = slice(257, 262)  # where the header of a tar file says what it is
_MARK_BYTES = 1 << 20  # read from a file that may identify the kind of its folder
_INDEX_BYTES = 10_000_000  # most bytes of an EPUB's list of chapters


def zip_documents(stream: Stream, findings: Findings, read: Read) -> Iterator[Document]:
    """Of the members, in the archive's order; of an EPUB in reading order, of a word processor's file its text.

    A member's name is only ever shown, so that one with `..` in it leads nowhere.
    """
    file = stream.seekable()
    with zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if member.filename]
        if len(members) > limits.MEMBERS:
            raise Unsuitable(f"an archive of more than {limits.MEMBERS} files")
        names = {member.filename for member in members}
        if "META-INF/container.xml" in names:
            yield from _chapters(stream, archive, findings)
        elif names & {"[Content_Types].xml", "mimetype"} and names & set(WORD_FILES):
            yield from word_documents(stream, file, findings)
        elif "[Content_Types].xml" in names or "mimetype" in names:
            raise Unsuitable("an office file without body text")
        else:
            looked = {m.filename: _opener(archive, m, stream.budget.unused()) for m in members}
            ours = outputs.kinds_in_archive(looked, lambda name: _start_of(looked[name]))
            opened = ((m.filename, m.file_size, _opener(archive, m, stream.budget)) for m in members if not m.is_dir())
            yield from _members(stream, opened, findings, read, ours)


def _opener(archive: zipfile.ZipFile, member: zipfile.ZipInfo, budget: Budget) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        if member.flag_bits & 1:
            raise Unsuitable("encrypted")
        return Bounded(archive.open(member), lambda: member.compress_size, budget)  # type: ignore[return-value]

    return opened


def _start_of(opened: Callable[[], BinaryIO]) -> bytes:
    """The beginning of a small file; empty where it cannot be read, which is reported when it is read."""
    try:
        with opened() as file:
            return file.read(_MARK_BYTES)
    except (Unsuitable, Stopped):
        return b""
    except expected_errors():
        return b""


def tar_documents(stream: Stream, findings: Findings, read: Read) -> Iterator[Document]:
    """Of the regular files in it, in its order; links and devices are passed over."""
    ours: dict[str, str] = {}
    if again := stream.again():
        ours = _kinds_in_tar(again)
        stream = stream.again() or stream
    with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]

        def members() -> Iterator[Member]:
            for number, member in enumerate(archive):
                if number >= limits.MEMBERS:
                    raise Stopped(f"an archive of more than {limits.MEMBERS} files")
                archive.members = []  # type: ignore[attr-defined]  # it would keep all
                if not member.isdir() and (member.issparse() or not member.isfile()):
                    findings.leave_out(f"{stream.name}/{member.name}", SPECIAL)
                elif member.isfile():
                    yield member.name, member.size, functools.partial(archive.extractfile, member)

        yield from _members(stream, members(), findings, read, ours)


def _kinds_in_tar(stream: Stream) -> dict[str, str]:
    """The kinds of the folders in it, by a scan of all members: the file that identifies a folder may come last."""
    names, marks = list[str](), dict[str, bytes]()
    expected: tuple[type[Exception], ...] = (Unsuitable, Stopped, *expected_errors())  # reading will say so
    with contextlib.suppress(*expected), tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
        for _, member in zip(range(limits.MEMBERS), archive, strict=False):
            archive.members = []  # type: ignore[attr-defined]
            if member.isfile() and not member.issparse():
                names.append(member.name)
                if member.name.endswith(outputs.MARKS) and (file := archive.extractfile(member)):
                    marks[member.name] = file.read(_MARK_BYTES)
    return outputs.kinds_in_archive(names, lambda name: marks.get(name, b""))


def _members(
    stream: Stream,
    members: Iterator[Member],
    findings: Findings,
    read: Read,
    ours: Mapping[str, str],
) -> Iterator[Document]:
    """One that cannot be read is named, and the others go on. Raises Unsuitable: none could be read.

    ours: folders in it that hold no text of the user's, and what they are.
    """
    expected = expected_errors()
    good, reason = 0, ""
    told = set[str]()
    for name, size, opened in members:
        folder, what = _not_text(name, ours)
        if what:
            if folder not in told:
                findings.leave_out(f"{stream.name}/{folder}", what)
            told.add(folder)
            reason = reason if what == HIDDEN else what
            continue
        shown = f"{stream.name}/{name}"
        try:
            file: IO[bytes] = opened()
            with file:
                inner = stream.inside(shown, file)  # type: ignore[arg-type]
                if name.lower().endswith(outputs.PAGES) and outputs.is_page(inner.peek(outputs.HEAD_BYTES), name):
                    findings.leave_out(shown, outputs.PAGE)
                    reason = outputs.PAGE
                    continue
                yield from read(inner)
            good += 1
        except Unsuitable as error:
            reason = str(error)
            findings.skip(shown, reason, size=size)
        except Stopped:
            raise
        except expected as error:
            reason = "cannot be read, or only in part"
            findings.skip(shown, reason, str(error) or type(error).__name__, size)
    if not good and reason:
        raise Unsuitable(reason)


def _not_text(name: str, ours: Mapping[str, str]) -> tuple[str, str]:
    """The folder that a member lies in, or the member itself, where that is no text of the user's, and what it is."""
    folder, what = outputs.kind_in_archive(name, ours)
    if what:
        return folder, what
    parts = name.split("/")
    for place, part in enumerate(parts):
        if (part.startswith(".") and part not in (".", "..")) or part == "__MACOSX":
            return "/".join(parts[: place + 1]), HIDDEN
    return "", ""


def _chapters(stream: Stream, archive: zipfile.ZipFile, findings: Findings) -> Iterator[Document]:
    """A page a chapter, in the order of the spine of the package (EPUB 3.3, W3C)."""

    def held(name: str, most: int) -> bytes:
        member = archive.getinfo(name)
        with archive.open(member) as raw:
            data = Bounded(raw, lambda: member.compress_size, stream.budget).read(most + 1)
        if len(data) > most:
            raise Unsuitable(f"a chapter over {most // 1_000_000} MB")
        return data

    def parsed(name: str) -> ElementTree.Element:
        try:
            return ElementTree.fromstring(held(name, _INDEX_BYTES))
        except (ElementTree.ParseError, KeyError):
            raise Unsuitable("an EPUB without a list of its chapters") from None

    root = next((e for e in parsed("META-INF/container.xml").iter() if e.tag.endswith("rootfile")), None)
    package = root.get("full-path", "") if root is not None else ""
    book = parsed(package)
    files = {e.get("id", ""): e.get("href", "") for e in book.iter() if e.tag.endswith("}item")}
    order = [files.get(e.get("idref", ""), "") for e in book.iter() if e.tag.endswith("}itemref")]
    for href in order:
        name = posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(href)))
        shown = f"{stream.name}/{name}"
        try:
            data = held(name, limits.PAGE_BYTES)
            findings.bytes += len(data)
            yield from page(stream, [data], findings)
        except KeyError:
            findings.skip(shown, "a chapter that is not in the book")
        except Unsuitable as error:
            findings.skip(shown, str(error))


ZIP = BinaryFormat(
    name="zip", recognize=starts_with(b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"), documents=zip_documents
)
TAR = BinaryFormat(name="tar", recognize=lambda head: head[_TAR] == b"ustar", documents=tar_documents)
