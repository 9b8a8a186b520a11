"""Package: a file that is a zip of parts, such as an office file or a book, and what its parts refer to."""

import posixpath
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote
from xml.etree import ElementTree

from daybreak.data.cleaning import Document
from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.formats.format import Read, Text
from daybreak.data.formats.streams import Bounded, Stream

_INDEX_BYTES = 10_000_000  # most in a list of parts


@dataclass(frozen=True)
class Reference:
    """What a part refers to."""

    kind: str  # the last word of its type, such as footnotes
    part: str  # its name in the package


@dataclass(frozen=True)
class Package:
    """An open package."""

    stream: Stream
    archive: zipfile.ZipFile
    names: frozenset[str]
    findings: Findings
    read: Read  # of what may be in it, in whatever format
    _indexes: dict[str, ElementTree.Element | None] = field(default_factory=dict)

    def data(self, name: str, most: int) -> bytes:
        """A part. Raises Unsuitable: encrypted, or longer; KeyError: there is none; and the errors of zip files."""
        member = self.archive.getinfo(name)
        if member.flag_bits & 1:
            raise Unsuitable("encrypted")
        with self.archive.open(member) as raw:
            data = Bounded(raw, lambda: member.compress_size, self.stream.budget).read(most + 1)
        if len(data) > most:
            raise Unsuitable(f"a part over {most // 1_000_000} MB")
        return data

    def index(self, name: str) -> ElementTree.Element | None:
        """A list of parts, or another short part that is XML; None: there is none, or it is none."""
        if name not in self._indexes:
            try:
                self._indexes[name] = ElementTree.fromstring(self.data(name, _INDEX_BYTES))
            except (ElementTree.ParseError, KeyError):
                self._indexes[name] = None
        return self._indexes[name]

    def text(self, name: str) -> Text:
        """A part of XML as it streams by, to be read in the encoding that it declares."""
        member = self.archive.getinfo(name)
        if member.flag_bits & 1:
            raise Unsuitable("encrypted")
        bounded = Bounded(self.archive.open(member), lambda: member.compress_size, self.stream.budget)
        inside = self.stream.inside(self.stream.name, bounded)  # type: ignore[arg-type]
        return Text(stream=inside, blocks=counted(inside, self.findings), detail="", findings=self.findings)

    def references(self, part: str = "") -> dict[str, Reference]:
        """By their names, of a part or of the package, as Open Packaging Conventions (ECMA-376-2) have them."""
        folder, name = posixpath.split(part)
        index = self.index(posixpath.join(folder, "_rels", f"{name}.rels"))
        found = {}
        for one in index if index is not None else ():
            if one.get("TargetMode") != "External":
                kind = one.get("Type", "").rpartition("/")[2]
                found[one.get("Id", "")] = Reference(kind, self.resolved(folder, one.get("Target", "")))
        return found

    def referred(self, part: str, *kinds: str) -> list[str]:
        """The parts of these kinds that a part refers to and that are there, each once."""
        found = [one.part for one in self.references(part).values() if one.kind in kinds]
        return [name for name in dict.fromkeys(found) if name in self.names]

    def resolved(self, folder: str, target: str) -> str:
        """The name of a part that is named in another one of this folder."""
        target = target.partition("#")[0]
        for name in (unquote(target), target):
            joined = posixpath.normpath(posixpath.join("/", folder, name)).lstrip("/")
            if joined in self.names:
                return joined
        lower = joined.lower()
        return next((name for name in self.names if name.lower() == lower), joined)

    @property
    def office_part(self) -> str:
        """The main part of an Office Open XML file; empty: this is none."""
        if "[Content_Types].xml" not in self.names:
            return ""
        main = self.referred("", "officeDocument")
        usual = ("word/document.xml", "ppt/presentation.xml", "xl/workbook.xml")
        return main[0] if main else next((name for name in usual if name in self.names), "")

    def content_type(self, part: str) -> str:
        """As the list of types of an Office Open XML file has it."""
        types = self.index("[Content_Types].xml")
        for one in types if types is not None else ():
            if one.get("PartName", "").lower() == f"/{part}".lower():
                return one.get("ContentType", "")
        return ""

    @property
    def mimetype(self) -> str:
        """As the file of this name says it, which OpenDocument and EPUB have."""
        if "mimetype" not in self.names:
            return ""
        return self.data("mimetype", 1000).decode("ascii", "replace").strip()


@dataclass(frozen=True, kw_only=True)
class PackageFormat:
    """A kind of package."""

    name: str
    recognize: Callable[[Package], bool]
    documents: Callable[[Package], Iterator[Document]]


def counted(stream: Stream, findings: Findings) -> Iterator[bytes]:
    """The blocks, counted."""
    for block in stream.blocks():
        findings.bytes += len(block)
        yield block


def is_office(package: Package, language: str, program: str, folder: str) -> bool:
    """An Office Open XML file whose main part is in such a language, or has macros of a program."""
    part = package.office_part
    told = package.content_type(part)
    return part.endswith(".xml") and (language in told or program in told if told else part.startswith(folder))


def attribute(attributes: Mapping[str, str], name: str) -> str:
    """One whatever its prefix; empty: there is none."""
    return next((value for key, value in attributes.items() if key.rpartition(":")[2] == name), "")
