"""PDF (ISO 32000): the text of its pages, as far as it is text and not pictures of it, without what pages repeat.

PDFium finds words by where their letters stand; pypdf, which is read with where PDFium is not installed, takes blanks
as they are written, which many programs do not do.
"""

import io
import logging
import threading
from collections.abc import Iterator
from typing import cast

from daybreak.core.errors import UsageError
from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.documents.elements import one_text
from daybreak.data.formats.documents.page_lines import is_garbled, joined
from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.formats.format import BinaryFormat, Read, starts_with
from daybreak.data.formats.streams import Stream

_DAMAGED = "pages of PDF files that cannot be read"
_PICTURES = "pages of PDF files without text, such as scans"
_GARBLED = "pages of PDF files whose fonts do not tell their characters"
_LOCKED = "a PDF file with a password"
_WRONG_PASSWORD = 4  # FPDF_ERR_PASSWORD of PDFium
_one_at_a_time = threading.Lock()  # PDFium is not for several threads


def pdf_documents(stream: Stream, findings: Findings, _: Read) -> Iterator[Document]:
    """One text in pieces. Raises Unsuitable: damaged, encrypted, or pictures; UsageError: a library is missing."""
    pages = _pages(stream)
    texts = []
    empty = garbled = 0
    for page in pages:
        if page is None:
            findings.skip_row(_DAMAGED)
        elif not page.strip():
            empty += 1
        elif is_garbled(page):
            garbled += 1
        else:
            texts.append(page)
    if not texts:
        raise Unsuitable(_GARBLED if garbled else "a PDF file without text, such as a scan")
    for count, what in ((empty, _PICTURES), (garbled, _GARBLED)):
        for _number in range(count):
            findings.leave_part(what)
    found = joined(texts, findings)
    findings.bytes += sum(len(text.encode("utf-8", "replace")) for text in found)
    yield from one_text(found)


def _pages(stream: Stream) -> list[str | None]:
    """The text of each page; None: it is damaged."""
    try:
        import pypdfium2
    except ImportError:
        pass
    else:
        del pypdfium2
        with _one_at_a_time:
            buffered = io.BufferedReader(cast(io.RawIOBase, stream.seekable()))
            try:
                return _by_pdfium(buffered)
            finally:
                buffered.detach()
    try:
        import pypdf
    except ImportError:
        raise UsageError(
            "reading PDF files needs the library pypdfium2",
            received=stream.name,
            attempt="run pip install '.[documents]' in the checkout",
        ) from None
    del pypdf
    return _by_pypdf(stream)


def _by_pdfium(file: io.BufferedIOBase) -> list[str | None]:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as error:
        locked = getattr(error, "err_code", 0) == _WRONG_PASSWORD
        raise Unsuitable(_LOCKED if locked else f"a damaged PDF file: {error}") from None
    try:
        count = len(document)
        if count > limits.PDF_PAGES:
            raise Unsuitable(f"a PDF file of more than {limits.PDF_PAGES} pages")
        return [_page_by_pdfium(document, number) for number in range(count)]
    finally:
        document.close()


def _page_by_pdfium(document: "pypdfium2.PdfDocument", number: int) -> str | None:  # type: ignore[name-defined]  # noqa: F821
    import pypdfium2

    try:
        page = document[number]
        try:
            text = page.get_textpage()
            try:
                return str(text.get_text_range())
            finally:
                text.close()
        finally:
            page.close()
    except pypdfium2.PdfiumError:
        return None


def _by_pypdf(stream: Stream) -> list[str | None]:
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns of every blemish; what matters is in the notes
    try:
        reader = pypdf.PdfReader(stream.seekable())
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unsuitable(_LOCKED)
        count = len(reader.pages)
    except pypdf.errors.DependencyError:
        raise UsageError(
            "this PDF file is encrypted with AES, which needs the library cryptography, or pypdfium2",
            received=stream.name,
            attempt="run pip install cryptography, or pip install '.[documents]' in the checkout",
        ) from None
    except Unsuitable:
        raise
    except Exception as error:  # its errors on damaged files are of many kinds
        raise Unsuitable(f"a damaged or encrypted PDF file: {type(error).__name__}") from None
    if count > limits.PDF_PAGES:
        raise Unsuitable(f"a PDF file of more than {limits.PDF_PAGES} pages")
    pages: list[str | None] = []
    for number in range(count):
        try:
            pages.append(reader.pages[number].extract_text())
        except Exception:
            pages.append(None)
    return pages


PDF = BinaryFormat(name="pdf", recognize=starts_with(b"%PDF-"), documents=pdf_documents)
