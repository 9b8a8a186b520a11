"""Archives: the members of zip and tar files one by one, never written anywhere, and the chapters of an EPUB."""

import functools
import posixpath
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any, BinaryIO
from urllib.parse import unquote
from xml.etree import ElementTree

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.findings import Findings, Stopped, Unsuitable
from daybreak.data.formats.markup import WORD_FILES, page, word_documents
from daybreak.data.formats.streams import Bounded, Stream, expected_errors

Read = Callable[[Stream], Iterator[Document]]  # a stream's documents, whatever it is
_INDEX_BYTES = 10_000_000  # of an EPUB's list of chapters


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
            raise Unsuitable("an office file without running text")
        else:
            sized = ((m.filename, _opener(archive, m, stream)) for m in members if not m.is_dir())
            yield from _members(stream, sized, findings, read)


def _opener(archive: zipfile.ZipFile, member: zipfile.ZipInfo, stream: Stream) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        if member.flag_bits & 1:
            raise Unsuitable("encrypted")
        return Bounded(archive.open(member), lambda: member.compress_size, stream.budget)  # type: ignore[return-value]

    return opened


def tar_documents(stream: Stream, findings: Findings, read: Read) -> Iterator[Document]:
    """Of the regular files in it, in its order; links and devices are passed over."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]

        def members() -> Iterator[tuple[str, Callable[[], Any]]]:
            for number, member in enumerate(archive):
                if number >= limits.MEMBERS:
                    raise Stopped(f"an archive of more than {limits.MEMBERS} files")
                archive.members = []  # type: ignore[attr-defined]  # it would keep all
                if member.isfile() and not member.issparse():
                    yield member.name, functools.partial(archive.extractfile, member)

        yield from _members(stream, members(), findings, read)


def _members(
    stream: Stream, members: Iterator[tuple[str, Callable[[], Any]]], findings: Findings, read: Read
) -> Iterator[Document]:
    """One that cannot be read is named, and the others go on. Raises Unsuitable: none could be read."""
    expected = expected_errors()
    good, reason = 0, ""
    for name, opened in members:
        if any(part.startswith(".") and part not in (".", "..") for part in name.split("/")) or "__MACOSX" in name:
            continue
        shown = f"{stream.name}/{name}"
        try:
            file: IO[bytes] = opened()
            with file:
                yield from read(stream.inside(shown, file))  # type: ignore[arg-type]
            good += 1
        except Unsuitable as error:
            reason = str(error)
            findings.skip(shown, reason)
        except Stopped:
            raise
        except expected as error:
            reason = "cannot be read, or only in part"
            findings.skip(shown, reason, str(error) or type(error).__name__)
    if not good and reason:
        raise Unsuitable(reason)


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
