"""Word processors: the text of .docx (ECMA-376, WordprocessingML) and .odt (OpenDocument 1.3) files."""

import zipfile
from collections.abc import Iterator
from typing import BinaryIO

from daybreak.data.cleaning import Document
from daybreak.data.formats.documents.elements import Blanks, Elements, element_documents, names
from daybreak.data.formats.findings import Findings
from daybreak.data.formats.format import Text
from daybreak.data.formats.streams import Bounded, Stream

WORD_FILES = ("word/document.xml", "content.xml")  # of Office Open XML and of OpenDocument
_ELEMENTS = Elements(
    blanks=Blanks.LINES,
    blocks=names("p h"),
    guessed=False,
    stands_for={"tab": lambda _: "\t", "br": lambda _: "\n", "cr": lambda _: "\n", "line-break": lambda _: "\n"},
)


def word_documents(stream: Stream, file: BinaryIO, findings: Findings) -> Iterator[Document]:
    """Text of a .docx or .odt file, a paragraph a line: it is a zip with XML in it, read as a stream."""
    with zipfile.ZipFile(file) as archive:
        name = next(name for name in WORD_FILES if name in archive.namelist())
        member = archive.getinfo(name)
        with archive.open(member) as raw:
            bounded = Bounded(raw, lambda: member.compress_size, stream.budget)
            inside = stream.inside(stream.name, bounded)  # type: ignore[arg-type]
            text = Text(stream=inside, blocks=counted(inside, findings), detail="", findings=findings)
            yield from element_documents(_ELEMENTS, text)


def counted(stream: Stream, findings: Findings) -> Iterator[bytes]:
    """The blocks, counted."""
    for block in stream.blocks():
        findings.bytes += len(block)
        yield block
