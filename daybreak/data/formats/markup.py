"""Markup: text out of XML as it streams by, and out of the XML in word processor files; pages stay as they are."""

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import BinaryIO
from xml.parsers import expat

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.code import CODE_ENDINGS
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.findings import LONG_ROW, Findings, Stopped, Unsuitable
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.pieces import WHOLE, pieces
from daybreak.data.formats.streams import Bounded, Stream
from daybreak.data.formats.texts import text_documents

_HTML = re.compile(rb"\s*(?:<!--.{0,4000}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_XML = re.compile(rb"\s*<(?:\?xml\b|[A-Za-z_][\w:.-]*(?:\s[^<>]*)?>|!DOCTYPE\s)", re.S)
_XHTML = re.compile(rb"<(?:!doctype\s+html|html)\b", re.I)
_PAGE_ENDINGS = ("html", "htm", "xhtml")
_XML_ENDINGS = ("xml", "rss", "atom", "tei", "svg")
_NO_XML = CODE_ENDINGS | {"md", "jsonl", "csv", "tsv"}
_SPACES = re.compile(r"[ \t]*\n\s*")
WORD_FILES = ("word/document.xml", "content.xml")  # of Office Open XML and of OpenDocument
_NO_PAGE = "a page without text of its own, such as a redirect"
_WORD_BREAKS = frozenset(("p", "h", "br", "cr", "line-break", "tr", "table-row"))
_INLINE = frozenset(
    ("a", "abbr", "b", "bold", "em", "emph", "emphasis", "hi", "i", "q", "span", "strong", "sub", "sup", "u")
)


def page(stream: Stream, blocks: Iterable[bytes], findings: Findings) -> Iterator[Document]:
    """An HTML file as it was found. Raises Unsuitable: it is too long."""
    parts, size = [], 0
    for block in blocks:
        parts.append(block)
        size += len(block)
        if size > limits.PAGE_BYTES:
            raise Unsuitable(f"a page over {limits.PAGE_BYTES // 1_000_000} MB")
    text = decoded(b"".join(parts), stream.name, findings)
    if text.strip():
        yield Document(text, True, "page")


class _Elements:
    """Takes the events of the parser and keeps text until it is asked for."""

    def __init__(self, breaks: frozenset[str] = frozenset()) -> None:
        self.parser = expat.ParserCreate("utf-8")  # whatever the file declares: its bytes are UTF-8 by now
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.only = ""  # the element whose texts are documents; empty: all text is one
        self.breaks = breaks  # elements that end a line; empty: all but those within a line
        self.root = ""
        self.kept: list[str] = []
        self.size = 0
        self.done: list[str | None] = []  # texts of `only`; None for one that is too long
        self._inside = False

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        name = name.rpartition(":")[2]
        if not self.root:
            self.root = name
            self.only = "text" if name == "mediawiki" else ""
        self._inside = self._inside or name == self.only
        if not self.only and name == "tab":
            self.kept.append("\t")

    def _end(self, name: str) -> None:
        name = name.rpartition(":")[2]
        if self.only and name == self.only:
            self.done.append("".join(self.kept) if self.size <= limits.ROW_BYTES else None)
            self.kept, self.size, self._inside = [], 0, False
        elif not self.only and (name in self.breaks if self.breaks else name not in _INLINE):
            self.kept.append("\n")

    def _text(self, text: str) -> None:
        if self.only and not self._inside:
            return
        self.size += len(text)
        if not self.only or self.size <= limits.ROW_BYTES:
            self.kept.append(text)

    def text(self) -> str:
        """All since the last call, without the blanks that only indent."""
        text = _SPACES.sub("\n", "".join(self.kept))
        self.kept = []
        return text


def xml_documents(
    stream: Stream, blocks: Iterable[bytes], findings: Findings, breaks: frozenset[str] = frozenset()
) -> Iterator[Document]:
    """The text of all elements as one text; of a MediaWiki dump a document a page.

    Raises Unsuitable: not well-formed from the start, or a sitemap; Stopped: not well-formed further on.
    """
    elements = _Elements(breaks)
    texts = _xml_text(stream, blocks, elements)
    first = next(texts, None)
    if elements.root in ("urlset", "sitemapindex"):
        raise Unsuitable("a sitemap: addresses and no text")
    if elements.root == "mediawiki":
        findings.say(stream.name, "the text of the pages of a MediaWiki dump is read")
    if first is None:
        return
    if elements.only:
        while first is not None:
            for text in first:
                if text is None:
                    findings.skip_row(LONG_ROW)
                elif not text.strip() or text.lstrip().upper().startswith("#REDIRECT"):
                    findings.skip_row(_NO_PAGE, len(text.encode("utf-8", "replace")))
                else:
                    findings.rows_seen += 1
                    yield from text_documents(text, "text", stream.name, findings)
            first = next(texts, None)
        return
    yield from _one_text(first, texts)


def _one_text(first: list[str | None], rest: Iterator[list[str | None]]) -> Iterator[Document]:
    parts = (text.encode() for texts in chain([first], rest) for text in texts if text)
    for index, piece in enumerate(pieces(parts, WHOLE)):
        if index or piece.strip():
            yield Document(piece.decode(), index == 0)


def _xml_text(stream: Stream, blocks: Iterable[bytes], elements: _Elements) -> Iterator[list[str | None]]:
    given = False
    try:
        for block in blocks:
            for start in range(0, len(block), 1 << 16):
                elements.parser.Parse(block[start : start + (1 << 16)], False)
                if elements.only:
                    done, elements.done = elements.done, []
                else:
                    done = [elements.text()]
                    if not given:
                        done = [(done[0] or "").lstrip()]
                if any(done):
                    given = True
                    yield done
        elements.parser.Parse(b"", True)
    except expat.ExpatError as error:
        reason = expat.errors.messages.get(error.code, "") or str(error)
        if given:
            raise Stopped(f"not well-formed XML after byte {elements.parser.CurrentByteIndex}: {reason}") from None
        raise Unsuitable(f"not well-formed XML: {reason}") from None
    last: list[str | None] = list(elements.done) if elements.only else [elements.text()]
    if any(last):
        yield last


def word_documents(stream: Stream, file: BinaryIO, findings: Findings) -> Iterator[Document]:
    """Text of a .docx or .odt file, a paragraph a line: it is a zip with XML in it, read as a stream."""
    with zipfile.ZipFile(file) as archive:
        name = next(name for name in WORD_FILES if name in archive.namelist())
        member = archive.getinfo(name)
        with archive.open(member) as raw:
            bounded = Bounded(raw, lambda: member.compress_size, stream.budget)
            inside = stream.inside(stream.name, bounded)  # type: ignore[arg-type]
            yield from xml_documents(inside, counted(inside, findings), findings, _WORD_BREAKS)


def counted(stream: Stream, findings: Findings) -> Iterator[bytes]:
    """The blocks, counted."""
    for block in stream.blocks():
        findings.bytes += len(block)
        yield block


def _recognize_page(sample: Sample) -> str | None:
    if sample.start == b"<":
        if _HTML.match(sample.data) or (_XML.match(sample.data) and _XHTML.search(sample.data[:2000])):
            return ""
        if sample.ending in _PAGE_ENDINGS and _is_xml(sample):
            return ""
    named = sample.ending in _PAGE_ENDINGS
    return "" if named and re.search(rb"<(?:p|div|a|h1|table|br)\b", sample.data, re.I) else None


def _recognize_xml(sample: Sample) -> str | None:
    return "" if _is_xml(sample) else None


def _is_xml(sample: Sample) -> bool:
    if sample.start != b"<" or not _XML.match(sample.data) or sample.ending in _NO_XML:
        return False
    return sample.data.lstrip()[:5] == b"<?xml" or sample.ending in _XML_ENDINGS or b"</" in sample.data


def _read_page(text: Text) -> Iterator[Document]:
    return page(text.stream, text.blocks, text.findings)


def _read_xml(text: Text) -> Iterator[Document]:
    return xml_documents(text.stream, text.blocks, text.findings)


PAGE = TextFormat(name="page", recognize=_recognize_page, documents=_read_page)
XML = TextFormat(name="xml", recognize=_recognize_xml, documents=_read_xml)
