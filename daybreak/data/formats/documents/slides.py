"""Slides: the text of .pptx files (ECMA-376, part 1, PresentationML), slide after slide, each with its notes."""

from collections.abc import Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats.documents.elements import (
    LINE,
    Attributes,
    Blanks,
    Elements,
    ElementText,
    element_texts,
    names,
    one_text,
)
from daybreak.data.formats.documents.package import Package, PackageFormat, attribute, is_office
from daybreak.data.formats.documents.parts import SLIDE_FIELDS


def _field(attributes: Attributes) -> str:
    return SLIDE_FIELDS if attribute(attributes, "type").startswith(("slidenum", "datetime")) else ""


_ELEMENTS = Elements(
    blanks=Blanks.KEPT,
    guessed=False,
    blocks=names("p"),
    rows=names("tr"),
    cells=names("tc"),
    text_in=names("t"),
    first_of=names("AlternateContent"),
    left_out_where={"fld": _field},
    stands_for={"br": lambda _: LINE},
)


def _documents(package: Package) -> Iterator[Document]:
    return one_text(_texts(package))


def _texts(package: Package) -> Iterator[str]:
    for number, slide in enumerate(_slides(package)):
        yield "\n" if number else ""
        for part in (slide, *package.referred(slide, "diagramData", "notesSlide")):
            yield from element_texts(ElementText(_ELEMENTS, package.findings), package.text(part), None)


def _slides(package: Package) -> list[str]:
    """In the order of the presentation."""
    main = package.office_part
    references, index = package.references(main), package.index(main)
    found = []
    for one in index.iter() if index is not None else ():
        if one.tag.endswith("}sldId"):
            place = next((value for key, value in one.attrib.items() if key.endswith("}id")), "")
            if place in references and references[place].part in package.names:
                found.append(references[place].part)
    return found or sorted(package.referred(main, "slide"))


SLIDES = PackageFormat(
    name="pptx",
    recognize=lambda package: is_office(package, "presentationml", "ms-powerpoint", "ppt/"),
    documents=_documents,
)
