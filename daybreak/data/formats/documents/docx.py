"""DOCX: the text of word processor files of Office Open XML (ECMA-376, part 1, WordprocessingML)."""

from collections.abc import Iterator
from dataclasses import replace

from daybreak.data.cleaning import Document
from daybreak.data.formats.documents import symbols
from daybreak.data.formats.documents.elements import (
    LINE,
    TAB,
    Attributes,
    Blanks,
    Elements,
    ElementText,
    element_documents,
    element_texts,
    names,
    one_text,
)
from daybreak.data.formats.documents.package import Package, PackageFormat, attribute, is_office
from daybreak.data.formats.documents.parts import COMMENTS, CONTENTS, DELETED, FURNITURE, HIDDEN_TEXT, READINGS, SYMBOLS
from daybreak.data.formats.documents.vocabulary import Vocabulary
from daybreak.data.formats.findings import Findings
from daybreak.data.formats.format import Text

ELEMENTS = Elements(
    blanks=Blanks.KEPT,
    guessed=False,
    blocks=names("p"),
    rows=names("tr"),
    cells=names("tc"),
    apart=names("txbxContent"),
    text_in=names("t"),
    skipped=names("pPr rPr sectPr tblPr tblGrid trPr tcPr sdtPr"),  # where a tab is a stop and no text
    left_out={"del": DELETED, "moveFrom": DELETED, "rt": READINGS},
    first_of=names("AlternateContent"),  # the same for new programs and for old ones
    stands_for={
        "tab": lambda _: TAB,
        "ptab": lambda _: TAB,
        "br": lambda _: LINE,
        "cr": lambda _: LINE,
        "noBreakHyphen": lambda _: "-",
    },
)
_FLAT = replace(ELEMENTS, left_out={**ELEMENTS.left_out, "hdr": FURNITURE, "ftr": FURNITURE, "comments": COMMENTS})
_ROOTS = (("wordDocument", ""), ("package", "xmlPackage"), ("document", "wordprocessingml"))
_NOTES = ("footnotes", "endnotes")
_OURS = frozenset(("r", "pPr", "rPrChange", "vanish", "sym", "fldChar", "instrText"))
_OFF = ("0", "false", "off")


class WordText(ElementText):
    """As the text of any XML, without hidden runs and with the symbols of fonts."""

    _hidden = _former = _instructing = False

    def __init__(self, elements: Elements, findings: Findings) -> None:
        super().__init__(elements, findings)
        self._fields: list[str] = []  # what those are told to be whose end has not come

    def start(self, name: str, attributes: Attributes) -> None:
        if name not in _OURS:
            super().start(name, attributes)
            return
        if name == "r":
            self._hidden = False
        elif name == "rPrChange":
            self._former = True
        elif name == "vanish" and not self._former:
            self._hidden = attribute(attributes, "val") not in _OFF
        elif name == "fldChar":
            kind = attribute(attributes, "fldCharType")
            if kind == "begin":
                self._fields.append("")
            elif kind == "end" and self._fields:
                self._fields.pop()
        self._instructing = name == "instrText"
        super().start(name, attributes)
        if name == "sym":
            self._symbol(attributes)

    def end(self, name: str) -> None:
        if name in _OURS:
            self._hidden = self._hidden and name not in ("r", "pPr")
            self._former = self._former and name != "rPrChange"
            self._instructing = False
        super().end(name)

    def text(self, text: str) -> None:
        if self._instructing and self._fields:
            self._fields[-1] += text
        elif self.is_text() and (self._hidden or any(field.split()[:1] == ["TOC"] for field in self._fields)):
            what = HIDDEN_TEXT if self._hidden else CONTENTS
            self.findings.leave_part(what, len(text.encode("utf-8", "replace")))
        else:
            super().text(text)

    def _symbol(self, attributes: Attributes) -> None:
        try:
            found = symbols.character(int(attribute(attributes, "char"), 16), attribute(attributes, "font"))
        except ValueError:
            found = ""
        if found:
            self.add(found)
        else:
            self.findings.leave_part(SYMBOLS)


def _documents(package: Package) -> Iterator[Document]:
    """The body, then the footnotes and endnotes, a paragraph a line."""
    return one_text(_texts(package))


def _texts(package: Package) -> Iterator[str]:
    main = package.office_part
    for part in (main, *package.referred(main, *_NOTES)):
        yield from element_texts(WordText(ELEMENTS, package.findings), package.text(part), None)
    for part in package.referred(main, "diagramData"):
        yield from element_texts(ElementText(ELEMENTS, package.findings), package.text(part), None)
    for kinds, what in ((("comments",), COMMENTS), (("header", "footer"), FURNITURE)):
        for part in package.referred(main, *kinds):
            found = "".join(element_texts(WordText(ELEMENTS, package.findings), package.text(part), None))
            if any(map(str.isalpha, found)):  # not only a number
                package.findings.leave_part(what, len(found.strip().encode()))
    for part in package.referred(main, "aFChunk"):  # a part in a format of its own
        for document in package.read(package.text(part).stream):
            yield document.text


def _flat(text: Text) -> Iterator[Document]:
    return element_documents(_FLAT, text, WordText(_FLAT, text.findings))


DOCX = PackageFormat(
    name="docx",
    recognize=lambda package: is_office(package, "wordprocessingml", "ms-word", "word/"),
    documents=_documents,
)
WORD_XML = Vocabulary(  # Word's own XML in one file, of 2003 and of today
    name="word xml",
    recognize=lambda root: any(root.name == name and part in root.namespace for name, part in _ROOTS),
    documents=_flat,
)
