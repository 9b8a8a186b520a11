"""Archives: zip files, which are archives of files, books or documents."""

import struct
import zipfile
from collections.abc import Collection, Iterator
from typing import BinaryIO

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits, zips
from daybreak.data.formats.documents.package import Package
from daybreak.data.formats.documents.packages import PACKAGES
from daybreak.data.formats.findings import Findings, Stopped, Unsuitable
from daybreak.data.formats.folders import outside_text
from daybreak.data.formats.format import BinaryFormat, Read, starts_with
from daybreak.data.formats.members import MARK_BYTES, member_documents
from daybreak.data.formats.streams import Budget, Stream, expected_errors

NO_LIST = "a zip archive without its list of files, such as one that ends too early"


def zip_documents(stream: Stream, findings: Findings, read: Read) -> Iterator[Document]:
    """Of the members, in the archive's order; of an EPUB in reading order, of a word processor's file its text.

    A member's name is only ever shown, so that one with `..` in it leads nowhere.
    """
    try:
        file = stream.seekable()
    except Unsuitable:  # packed and long: it is read from the front on, without its list
        yield from _found_documents(stream, findings, read)
        return
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, EOFError, struct.error):
        file.seek(0)
        front = Stream(stream.name, file, stream.budget, depth=stream.depth)
        yield from _found_documents(front, findings, read)
        findings.stop(stream.name, NO_LIST)
        return
    with archive:
        names = set(archive.namelist())
        if len(names) > limits.MEMBERS:
            raise Unsuitable(f"an archive of more than {limits.MEMBERS} files")
        package = Package(stream, archive, frozenset(names), findings, read)
        if record := next((one for one in PACKAGES if one.recognize(package)), None):
            yield from record.documents(package)
        elif _is_pytorch(names):
            raise Unsuitable("weights of PyTorch, a pickle, which is never opened")
        else:
            yield from _listed_documents(stream, archive, file, findings, read)


def _is_pytorch(names: Collection[str]) -> bool:
    """Whether torch.save has written it: one folder with a pickle, its version and its tensors."""
    folders = {name.partition("/")[0] for name in names}
    return len(folders) == 1 and {f"{folder}/{own}" for folder in folders for own in ("data.pkl", "version")} <= set(
        names
    )


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


def _found_documents(stream: Stream, findings: Findings, read: Read) -> Iterator[Document]:
    """Of an archive whose list of files is missing or out of reach. Raises Unsuitable: there are none."""
    given = False
    for document in member_documents(stream, zips.found(stream, findings), findings, read, {}):
        given = True
        yield document
    if not given:
        raise Unsuitable(NO_LIST)


def has_zip(stream: Stream) -> bool:
    """Whether a file that begins otherwise is a zip archive, too, such as a program that unpacks itself."""
    return stream.is_file and zipfile.is_zipfile(stream.seekable())


ZIP = BinaryFormat(
    name="zip", recognize=starts_with(b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"), documents=zip_documents
)
