"""Archives: zip files, which are archives of files, books or documents."""

import posixpath
import struct
import zipfile
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import unquote
from xml.etree import ElementTree

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits, zips
from daybreak.data.formats.documents.word import WORD_FILES, word_documents
from daybreak.data.formats.findings import Findings, Stopped, Unsuitable
from daybreak.data.formats.folders import outside_text
from daybreak.data.formats.format import BinaryFormat, Read, starts_with
from daybreak.data.formats.markup import page
from daybreak.data.formats.members import MARK_BYTES, member_documents
from daybreak.data.formats.streams import Bounded, Budget, Stream, expected_errors

NO_LIST = "a zip archive without its list of files, such as one that ends too early"
_INDEX_BYTES = 10_000_000  # most bytes of an EPUB's list of chapters


def zip_documents(stream: Stream, findings: Findings, read: Read) -> Iterator[Document]:
    """Of the members, in the archive's order; of an EPUB in reading order, of a word processor's file its text.

    A member's name is only ever shown, so that one with `..` in it leads nowhere.
    """
    file = stream.seekable()
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, EOFError, struct.error):
        yield from _found_documents(stream, file, findings, read)
        return
    with archive:
        names = set(archive.namelist())
        if len(names) > limits.MEMBERS:
            raise Unsuitable(f"an archive of more than {limits.MEMBERS} files")
        if "META-INF/container.xml" in names:
            yield from _chapters(stream, archive, findings)
        elif names & {"[Content_Types].xml", "mimetype"} and names & set(WORD_FILES):
            yield from word_documents(stream, file, findings)
        elif "[Content_Types].xml" in names or "mimetype" in names:
            raise Unsuitable("an office file without body text")
        elif any(name.endswith("/data.pkl") for name in names):
            raise Unsuitable("weights of PyTorch, a pickle, which is never opened")
        else:
            yield from _listed_documents(stream, archive, file, findings, read)


def _listed_documents(
    stream: Stream, archive: zipfile.ZipFile, file: BinaryIO, findings: Findings, read: Read
) -> Iterator[Document]:
    looked = {info.filename: info for info in archive.infolist()}
    budget = stream.budget.unused()
    not_ours = outside_text(looked, lambda name: _start_of(archive, looked[name], file, budget))
    yield from member_documents(stream, zips.listed(archive, file, stream.budget), findings, read, not_ours)


def _start_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: BinaryIO, budget: Budget) -> bytes:
    """The beginning of a small file; empty where it cannot be read, which is reported when it is read."""
    try:
        with zips.opened(archive, info, file, budget) as opened:
            return opened.read(MARK_BYTES)
    except (Unsuitable, Stopped):
        return b""
    except expected_errors():
        return b""


def _found_documents(stream: Stream, file: BinaryIO, findings: Findings, read: Read) -> Iterator[Document]:
    """Of an archive whose list of files is missing or damaged."""
    file.seek(0)
    front = Stream(stream.name, file, stream.budget, depth=stream.depth)
    given = False
    for document in member_documents(front, zips.found(front, findings), findings, read, {}):
        given = True
        yield document
    if not given:
        raise Unsuitable(NO_LIST)
    findings.stop(stream.name, NO_LIST)


def has_zip(stream: Stream) -> bool:
    """Whether a file that begins otherwise is a zip archive, too, such as a program that unpacks itself."""
    return stream.is_file and zipfile.is_zipfile(stream.seekable())


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
