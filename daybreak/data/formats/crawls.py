"""Crawls: pages and text out of WARC files (ISO 28500) and the ARC files before them, as web crawls keep them."""

import importlib
import logging
import zlib
from collections.abc import Callable, Iterator
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

_PAGES = ("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml")
_TEXTS = ("text/plain", "text/markdown", "text/x-markdown")
_ABOUT = ("warcinfo", "request", "metadata", "arc_header")  # records about the crawl and not from it
_ANSWERED = ("200", "203")
_OTHER = "responses without a page or text"
_AGAIN = "pages that were fetched before and are not in the crawl again"
_DAMAGED = "pages whose compression is damaged"
_CUT_SHORT = "the crawl ends too early"
_LENGTHS = "records of a crawl do not end where they say"
_FACTS = "facts about pages and no text, such as a WAT file"
LONG_PAGE = f"a page over {limits.PAGE_BYTES // 1_000_000} MB"


def warc_documents(stream: Stream, findings: Findings, _: Read) -> Iterator[Document]:
    """The pages and plain texts that were answered with success or saved, and the texts of WET files."""
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed

    logging.getLogger("warcio").setLevel(logging.CRITICAL)  # it warns of every address with a blank in it
    records = ArchiveIterator(stream)
    records.INC_RECORD = ""  # it writes of such a record to the terminal
    read = facts = given = 0
    while True:
        try:
            record = next(records, None)
        except (ArchiveLoadFailed, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise (Stopped if read else Unsuitable)(f"a damaged WARC file: {error}") from None
        if record is None:
            break
        read += 1
        if document := _document(record, stream, findings):
            given += 1
            yield from document
        facts += record.rec_type == "metadata" and record.content_type == "application/json"
    if records.err_count:
        findings.stop(stream.name, _LENGTHS)
    if facts and not given:
        raise Unsuitable(_FACTS)


def _document(record: "ArcWarcRecord", stream: Stream, findings: Findings) -> Iterator[Document] | None:
    """None: the record holds no text for us."""
    kind = _kind(record)
    if not kind:
        if record.rec_type == "revisit":
            findings.skip_row(_AGAIN)
        elif record.rec_type not in _ABOUT:
            findings.skip_row(_OTHER)
        return None
    data, cut = _raw(record, stream, findings)
    if record.http_headers is not None and len(data) <= limits.PAGE_BYTES:
        try:
            data = _decoded(data, record.http_headers.get_header, cut)
        except Unsuitable as error:
            findings.skip_row(str(error), len(data))
            return None
    findings.bytes += len(data)
    if len(data) > limits.PAGE_BYTES:
        findings.skip_row(LONG_PAGE, len(data))
        return None
    text = _text(data, record, stream.name, findings)
    if text is None:
        findings.skip_row("binary, whatever its type says", len(data))
        return None
    if not text.strip():
        findings.skip_row(NO_TEXT, len(data))
        return None
    findings.rows_seen += 1
    if kind == "page":
        return iter((Document(text, True, "page"),))
    return text_documents(text, "text", stream.name, findings)


def _kind(record: "ArcWarcRecord") -> str:
    if record.rec_type == "conversion":
        return "text"
    if record.rec_type == "resource":
        return kind_of(record.content_type or "")
    if record.rec_type != "response" or record.http_headers is None:
        return ""
    if record.http_headers.get_statuscode() not in _ANSWERED:
        return ""
    return kind_of(record.http_headers.get_header("Content-Type") or "")


def kind_of(content_type: str) -> str:
    """page, text, or nothing that is read."""
    given = content_type.partition(";")[0].strip().lower()
    return "page" if given in _PAGES else "text" if given in _TEXTS else ""


def _raw(record: "ArcWarcRecord", stream: Stream, findings: Findings) -> tuple[bytes, bool]:
    """What is in the record, as far as it is there, and whether something is known to be missing."""
    parts, left = [], limits.PAGE_BYTES + 1
    while left and (block := record.raw_stream.read(min(left, limits.BLOCK_BYTES))):
        parts.append(block)
        left -= len(block)
    short = left > 0 and getattr(record.raw_stream, "limit", 0) > 0
    if short:
        findings.stop(stream.name, _CUT_SHORT)
    return b"".join(parts), short or record.rec_headers.get_header("WARC-Truncated") is not None


# As it was sent


def _zlib(bits: int) -> Callable[[bytes, bool], bytes]:
    def decompressed(data: bytes, cut: bool) -> bytes:
        one = zlib.decompressobj(bits)
        out = one.decompress(data, limits.PAGE_BYTES + 1)
        if not (one.eof or cut or len(out) > limits.PAGE_BYTES):
            raise zlib.error  # nothing says whether it is right
        return out

    return decompressed


def _deflate(data: bytes, cut: bool) -> bytes:
    """With the header of zlib, as the standard has it, or without, as some servers send it."""
    try:
        return _zlib(15)(data, cut)
    except zlib.error:
        return _zlib(-15)(data, cut)


def _zstd(data: bytes, _: bool) -> bytes:
    import zstandard

    with zstandard.ZstdDecompressor(max_window_size=limits.ZSTD_WINDOW_BYTES).stream_reader(data) as reader:
        return reader.read(limits.PAGE_BYTES + 1)


def _brotli(data: bytes, _: bool) -> bytes:
    """Raises Unsuitable: the library is missing."""
    try:
        brotli = importlib.import_module("brotli")
    except ImportError:
        raise Unsuitable("pages compressed with brotli, for which `pip install brotli` brings the library") from None
    one, parts, size = brotli.Decompressor(), [], 0
    for start in range(0, len(data), limits.BLOCK_BYTES):
        parts.append(one.process(data[start : start + limits.BLOCK_BYTES]))
        size += len(parts[-1])
        if size > limits.PAGE_BYTES:
            break
    return b"".join(parts)


_CODINGS: dict[str, tuple[bytes, Callable[[bytes, bool], bytes]]] = {  # the first bytes, where they tell it
    "gzip": (b"\x1f\x8b", _zlib(31)),
    "x-gzip": (b"\x1f\x8b", _zlib(31)),
    "deflate": (b"", _deflate),
    "br": (b"", _brotli),
    "zstd": (b"\x28\xb5\x2f\xfd", _zstd),
}


def _decoded(data: bytes, header: Callable[[str], str | None], cut: bool) -> bytes:
    """Without chunks and compression (RFC 9110, RFC 9112). Some crawlers leave the headers when they have undone it.

    Raises Unsuitable: it cannot be done.
    """
    if "chunked" in (header("Transfer-Encoding") or "").lower():
        data = _joined(data)
    codings = [coding.strip().lower() for coding in (header("Content-Encoding") or "").split(",")]
    for coding in reversed([coding for coding in codings if coding not in ("", "identity", "none", "utf-8")]):
        if coding not in _CODINGS:
            if coding.isascii() and coding.isalpha():
                raise Unsuitable(f"pages compressed with {coding}, which is not read")
            continue
        start, decompress = _CODINGS[coding]
        if not data.startswith(start) or data[:256].lstrip()[:1] == b"<":
            continue
        try:
            data = decompress(data, cut)
        except Unsuitable:
            raise
        except Exception:  # of as many kinds as there are libraries
            raise Unsuitable(_DAMAGED) from None
    return data


def _joined(data: bytes) -> bytes:
    """Chunks, each behind its size; data that is in none as it is."""
    parts, place = list[bytes](), 0
    while (end := data.find(b"\r\n", place, place + 64)) >= 0:
        try:
            size = int(data[place:end].partition(b";")[0], 16)
        except ValueError:
            break
        if size <= 0:
            return b"".join(parts)
        parts.append(data[end + 2 : end + 2 + size])
        place = end + 2 + size + 2
    return b"".join(parts) if parts else data


def _text(data: bytes, record: "ArcWarcRecord", name: str, findings: Findings) -> str | None:
    told = record.http_headers.get_header("Content-Type") if record.http_headers else record.content_type
    try:
        label = (told or "").lower().partition("charset=")[2].partition(";")[0].strip(" \"'")
        return text_of(data, label, name, findings)
    except Unsuitable:
        return None


WARC = BinaryFormat(
    name="warc", recognize=starts_with(b"WARC/1.", b"WARC/0.", b"filedesc://"), documents=warc_documents
)
