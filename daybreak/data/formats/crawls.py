"""Crawls: pages and text out of WARC files (ISO 28500), as web crawls keep them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.encodings import text_of
from daybreak.data.formats.findings import NO_TEXT, Findings, Stopped, Unsuitable
from daybreak.data.formats.format import BinaryFormat, Read, starts_with
from daybreak.data.formats.streams import Stream
from daybreak.data.formats.texts import text_documents

if TYPE_CHECKING:
    from warcio.recordloader import ArcWarcRecord

_PAGES = ("text/html", "application/xhtml+xml")
_OTHER = "responses without a page or text"


def warc_documents(stream: Stream, findings: Findings, _: Read) -> Iterator[Document]:
    """The pages and plain texts that were answered with success, and the texts of WET files."""
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed

    records = ArchiveIterator(stream)
    read = 0
    while True:
        try:
            record = next(records, None)
        except ArchiveLoadFailed as error:
            raise (Stopped if read else Unsuitable)(f"a damaged WARC file: {error}") from None
        if record is None:
            return
        read += 1
        kind = _kind(record)
        if not kind:
            if record.rec_type == "response":
                findings.skip_row(_OTHER)
            continue
        data = record.content_stream().read(limits.PAGE_BYTES + 1)
        findings.bytes += len(data)
        if len(data) > limits.PAGE_BYTES:
            findings.skip_row(f"a page over {limits.PAGE_BYTES // 1_000_000} MB", len(data))
            continue
        text = _text(data, record, stream.name, findings)
        if text is None:
            findings.skip_row("binary, whatever its type says", len(data))
            continue
        if not text.strip():
            findings.skip_row(NO_TEXT, len(data))
            continue
        findings.rows_seen += 1
        if kind == "page":
            yield Document(text, True, "page")
        else:
            yield from text_documents(text, "text", stream.name, findings)


def _kind(record: "ArcWarcRecord") -> str:
    if record.rec_type == "conversion":
        return "text"
    if record.rec_type != "response" or record.http_headers is None or record.http_headers.get_statuscode() != "200":
        return ""
    given = (record.http_headers.get_header("Content-Type") or "").partition(";")[0].strip().lower()
    return "page" if given in _PAGES else "text" if given == "text/plain" else ""


def _text(data: bytes, record: "ArcWarcRecord", name: str, findings: Findings) -> str | None:
    told = record.http_headers.get_header("Content-Type") or "" if record.http_headers else ""
    try:
        return text_of(data, told.lower().partition("charset=")[2].partition(";")[0], name, findings)
    except Unsuitable:
        return None


WARC = BinaryFormat(name="warc", recognize=starts_with(b"WARC/1.", b"WARC/0."), documents=warc_documents)
