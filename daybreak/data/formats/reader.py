"""Reader: the documents of a stream, whatever its bytes turn out to be."""

from collections.abc import Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats import archives, encodings, kinds, records
from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.formats.format import HEAD_BYTES, BinaryFormat, Sample, Text, TextFormat
from daybreak.data.formats.packings import packing, unpacked
from daybreak.data.formats.streams import Stream


def documents(stream: Stream, findings: Findings) -> Iterator[Document]:
    """Raises Unsuitable: no text for us; Stopped: read only up to a place; and the errors of reading and unpacking."""
    before, given = findings.told, False
    for document in _documents(stream, findings):
        given = True
        yield document
    if not given and findings.told == before:
        findings.skip(stream.name, "empty or blank")


def _documents(stream: Stream, findings: Findings) -> Iterator[Document]:
    head = stream.peek(HEAD_BYTES)
    if packed := packing(head, stream.name):
        yield from documents(unpacked(stream, packed, findings), findings)
        return
    binary, text = _format_of(stream, head)
    if binary:
        yield from binary.documents(stream, findings, lambda inner: documents(inner, findings))
    elif text:
        record, detail, coded = text
        blocks = encodings.utf8_blocks(coded, findings)
        yield from record.documents(Text(stream=coded.stream, blocks=blocks, detail=detail, findings=findings))


def _format_of(
    stream: Stream, head: bytes
) -> tuple[BinaryFormat | None, tuple[TextFormat, str, encodings.Coded] | None]:
    """One of the two. Raises Unsuitable: neither."""
    try:
        binary = binary_format(head)
        return binary, None if binary else text_format(stream)
    except Unsuitable:
        if not kinds.may_hold_more(head) or not archives.has_zip(stream):
            raise
        return archives.ZIP, None


def binary_format(head: bytes) -> BinaryFormat | None:
    """The format that the first HEAD_BYTES tell. Raises Unsuitable: one that is not read."""
    for record in records.BINARY:
        if record.recognize(head):
            return record
    if what := kinds.not_text(head):
        raise Unsuitable(what)
    return None


def text_format(stream: Stream) -> tuple[TextFormat, str, encodings.Coded]:
    """Format, its detail, and the text with its encoding. Raises Unsuitable: it is none."""
    coded = encodings.coded(stream)
    record, detail = recognized(Sample(coded.start, stream.name, coded.whole))
    return record, detail, coded


def recognized(sample: Sample) -> tuple[TextFormat, str]:
    """The format of a text and its detail; the name of the file decides only where the content is ambiguous."""
    for record in records.TEXT:
        detail = record.recognize(sample)
        if detail is not None:
            return record, detail
    raise AssertionError("the last record takes every text")
