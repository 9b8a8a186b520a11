"""Books: the chapters of EPUB 2 and 3 (W3C, EPUB 3.3) in reading order, without their tables of contents."""

import posixpath
import re
from collections.abc import Iterator
from xml.etree import ElementTree

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.documents.hypertext import page_text
from daybreak.data.formats.documents.package import Package, PackageFormat
from daybreak.data.formats.documents.parts import CONTENTS
from daybreak.data.formats.findings import Unsuitable
from daybreak.data.formats.streams import expected_errors
from daybreak.data.formats.texts import text_documents

_CONTAINER = "META-INF/container.xml"
_ENCRYPTED = "encrypted"
# Fonts alone are garbled by these, and no text.
_OBFUSCATED = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_PAGE = re.compile(r"\.x?html?$", re.I)
_NUMBERS = re.compile(r"(\d+)")


def _recognize(package: Package) -> bool:
    if package.mimetype == "application/epub+zip":
        return True
    return bool(_package_part(package))


def _package_part(package: Package) -> str:
    """The name of the list of the book's parts; empty: there is none."""
    index = package.index(_CONTAINER)
    for one in index.iter() if index is not None else ():
        if _local(one) == "rootfile" and (named := package.resolved("", one.get("full-path", ""))) in package.names:
            return named
    return min((name for name in package.names if name.lower().endswith(".opf")), default="")


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2].rpartition(":")[2]


def _documents(package: Package) -> Iterator[Document]:
    """A document a chapter; one that cannot be read is named, and the others go on."""
    findings, given, reason = package.findings, 0, "an EPUB without a list of its chapters"
    order, contents = _chapters(package)
    locked = _encrypted(package)
    for name in order:
        shown = f"{package.stream.name}/{name}"
        size = package.archive.getinfo(name).file_size if name in package.names else 0
        try:
            if name in locked:
                raise Unsuitable(_ENCRYPTED)
            if name in contents:
                findings.leave_part(CONTENTS, size)
                continue
            data = package.data(name, limits.PAGE_BYTES)
            findings.bytes += len(data)
            text = page_text(package.stream, data, findings)
        except KeyError:
            reason = "a chapter that is not in the book"
            findings.skip(shown, reason)
        except Unsuitable as error:
            reason = str(error)
            findings.skip(shown, reason, size=size)
        except expected_errors() as error:
            reason = "cannot be read, or only in part"
            findings.skip(shown, reason, str(error) or type(error).__name__, size)
        else:
            given += 1
            if text.strip():
                yield from text_documents(text, "text", package.stream.name, findings)
    if not given:
        raise Unsuitable(reason)


def _chapters(package: Package) -> tuple[list[str], set[str]]:
    """The names of the chapters in reading order, and of those pages that only list them."""
    part = _package_part(package)
    book = package.index(part) if part else None
    if book is None:
        pages = [name for name in package.names if _PAGE.search(name)]
        package.findings.say(package.stream.name, "without a list of its chapters: read in the order of their names")
        return sorted(pages, key=_natural), set()
    folder = posixpath.dirname(part)
    files: dict[str, str] = {}
    contents, order = set[str](), []
    for one in book.iter():
        kind = _local(one)
        named = package.resolved(folder, one.get("href", "")) if one.get("href") else ""
        if kind == "item":
            files[one.get("id", "")] = named
            told = one.get("media-type", "")
            if "nav" in one.get("properties", "").split() or told == "application/x-dtbncx+xml":
                contents.add(named)
            elif told.startswith("image/"):
                files.pop(one.get("id", ""))
        elif kind == "itemref" and one.get("idref", "") in files:
            order.append(files[one.get("idref", "")])
        elif kind == "reference" and one.get("type", "").lower() == "toc":
            contents.add(named)
    return list(dict.fromkeys(order)), contents


def _natural(name: str) -> list[tuple[int, str]]:
    """In which chapter 10 comes after chapter 9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in _NUMBERS.split(name) if part]


def _encrypted(package: Package) -> set[str]:
    """The names of the parts that are encrypted."""
    index = package.index("META-INF/encryption.xml")
    found, way = set[str](), ""
    for one in index.iter() if index is not None else ():
        if _local(one) == "EncryptedData":
            way = ""
        elif _local(one) == "EncryptionMethod":
            way = way or one.get("Algorithm", "")
        elif _local(one) == "CipherReference" and way not in _OBFUSCATED:
            found.add(package.resolved("", one.get("URI", "")))
    return found


EPUB = PackageFormat(name="epub", recognize=_recognize, documents=_documents)
