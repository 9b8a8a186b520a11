"""OpenDocument (OASIS, ISO/IEC 26300): the text of .odt and .odp files, packed or flat."""

from collections.abc import Iterator
from dataclasses import replace

from daybreak.data.cleaning import Document
from daybreak.data.formats.documents import parts
from daybreak.data.formats.documents.elements import (
    LINE,
    SPACE,
    TAB,
    Attributes,
    Elements,
    ElementText,
    element_documents,
    element_texts,
    names,
    one_text,
)
from daybreak.data.formats.documents.package import Package, PackageFormat, attribute
from daybreak.data.formats.documents.vocabulary import Vocabulary, named
from daybreak.data.formats.findings import Unsuitable
from daybreak.data.formats.format import Text

_MOST_SPACES = 1000  # that one element may stand for


def _spaces(attributes: Attributes) -> str:
    count = attribute(attributes, "c")
    return SPACE * (min(int(count), _MOST_SPACES) if count.isascii() and count.isdigit() else 1)


ELEMENTS = Elements(
    guessed=False,
    blocks=names("p h"),
    rows=names("table-row"),
    cells=names("table-cell covered-table-cell"),
    apart=names("note text-box"),
    text_in=names("p h"),
    skipped=names("note-citation scripts forms sequence-decls user-field-decls variable-decls title desc"),
    left_out={
        "annotation": parts.COMMENTS,
        "binary-data": parts.PICTURES,
        "deletion": parts.DELETED,
        "hidden-text": parts.HIDDEN_TEXT,
        "ruby-text": parts.READINGS,
        "table-of-content": parts.CONTENTS,
    },
    stands_for={"s": _spaces, "tab": lambda _: TAB, "line-break": lambda _: LINE},
)
# In one file there are also the styles, with headers and footers, and what is told of the document.
_FLAT = replace(
    ELEMENTS,
    skipped=ELEMENTS.skipped | names("meta settings font-face-decls"),
    left_out={**ELEMENTS.left_out, "styles": parts.FURNITURE, "master-styles": parts.FURNITURE},
)


def _documents(package: Package) -> Iterator[Document]:
    if is_encrypted(package):
        raise Unsuitable("encrypted")
    return one_text(element_texts(ElementText(ELEMENTS, package.findings), package.text("content.xml"), None))


def is_encrypted(package: Package) -> bool:
    """With a password, which leaves the names of the parts as they are."""
    manifest = package.index("META-INF/manifest.xml")
    return manifest is not None and any(one.tag.endswith("encryption-data") for one in manifest.iter())


def is_open_document(package: Package) -> bool:
    told = package.mimetype
    return "content.xml" in package.names and (
        "opendocument" in told or "sun.xml" in told or "META-INF/manifest.xml" in package.names
    )


def _flat(text: Text) -> Iterator[Document]:
    return element_documents(_FLAT, text)


ODT = PackageFormat(name="odt", recognize=is_open_document, documents=_documents)
FLAT_ODT = Vocabulary(
    name="flat odt", recognize=named("document", "document-content", namespace="opendocument"), documents=_flat
)
