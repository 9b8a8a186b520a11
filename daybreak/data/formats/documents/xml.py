"""XML: its root element tells the vocabulary, and that how its text is read."""

import re
from collections.abc import Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats import borders
from daybreak.data.formats.code import CODE_ENDINGS
from daybreak.data.formats.documents.vocabularies import VOCABULARIES
from daybreak.data.formats.documents.vocabulary import Root, root_of
from daybreak.data.formats.format import Sample, Text, TextFormat

_XML = re.compile(rb"\s*(?:<!--.{0,4000}?-->\s*)*<(?:\?xml\b|[A-Za-z_][\w:.-]*(?:\s[^<>]*)?>|!DOCTYPE\s)", re.S)
_OPENED, _CLOSED = re.compile(rb"<([A-Za-z_][\w:.-]*)"), re.compile(rb"</([A-Za-z_][\w:.-]*)")
_XML_ENDINGS = ("xml", "rss", "atom", "tei", "svg")
_NO_XML = CODE_ENDINGS | {"md", "jsonl", "csv", "tsv"}


def is_xml(sample: Sample) -> bool:
    if sample.start != b"<" or not _XML.match(sample.data) or sample.ending in _NO_XML:
        return False
    if sample.ending in _XML_ENDINGS:
        return True
    if borders.begins(sample.data):
        return False
    return sample.data.lstrip()[:2] in (b"<?", b"<!") or _closes(sample)


def _closes(sample: Sample) -> bool:
    """The first element ends, or any one does where the end of the text is not in sight."""
    opened = _OPENED.findall(sample.data)
    closed = set(_CLOSED.findall(sample.data))
    return opened[0] in closed or (not sample.whole and not closed.isdisjoint(opened))


def _recognize(sample: Sample) -> str | None:
    """The name of the vocabulary."""
    if not is_xml(sample):
        return None
    root = root_of(sample.data) or Root("", "", {})
    return next(vocabulary.name for vocabulary in VOCABULARIES if vocabulary.recognize(root))


def _documents(text: Text) -> Iterator[Document]:
    return next(v for v in VOCABULARIES if v.name == text.detail).documents(text)


XML = TextFormat(name="xml", recognize=_recognize, documents=_documents)
