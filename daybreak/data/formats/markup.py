"""Markup: HTML pages, which stay as they are: cleaning takes the main text out of them."""

import re
from collections.abc import Iterable, Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.documents.vocabulary import root_of
from daybreak.data.formats.documents.xml import is_xml
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.streams import Stream

_HTML = re.compile(rb"\s*(?:<!--.{0,4000}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_PAGE_ENDINGS = ("html", "htm", "xhtml")


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


def _recognize_page(sample: Sample) -> str | None:
    if sample.start == b"<":
        if _HTML.match(sample.data) or (sample.ending in _PAGE_ENDINGS and is_xml(sample)):
            return ""
        root = root_of(sample.data) if is_xml(sample) else None
        if root and root.name.lower() == "html":
            return ""
    named = sample.ending in _PAGE_ENDINGS
    return "" if named and re.search(rb"<(?:p|div|a|h1|table|br)\b", sample.data, re.I) else None


def _read_page(text: Text) -> Iterator[Document]:
    return page(text.stream, text.blocks, text.findings)


PAGE = TextFormat(name="page", recognize=_recognize_page, documents=_read_page)
