"""PDF (ISO 32000): the text of its pages, as far as it is text and not pictures of it, without what pages repeat.

PDFium finds words by where their letters stand; pypdf, which is read with where PDFium is not installed, takes blanks
as they are written, which many programs do not do.
"""

import io
import itertools
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
_TOGETHER = 200  # pages
_one_at_a_time = threading.Lock()  # PDFium is not for several threads


def pdf_documents(stream: Stream, findings: Findings, _: Read) -> Iterator[Document]:
    """One text in pieces. Raises Unsuitable: damaged, encrypted, or pictures; UsageError: a library is missing."""
    yield from one_text(_texts(_pages(stream), findings))


def _texts(pages: Iterator[str | None], findings: Findings) -> Iterator[str]:
    """The paragraphs of so many pages together that what they repeat is seen."""
    given = False
    reason = "a PDF file without text, such as a scan"
    while some := list(itertools.islice(pages, _TOGETHER)):
        texts = []
        for page in some:
            if page is None:
                findings.skip_row(_DAMAGED)
            elif not page.strip():
                findings.leave_part(_PICTURES)
            elif is_garbled(page):
                reason = _GARBLED
                findings.leave_part(_GARBLED)
            else:
                texts.append(page)
        for text in joined(texts, findings):
            given = True
            findings.bytes += len(text.encode("utf-8", "replace"))
            yield text
    if not given:
        raise Unsuitable(reason)


def _pages(stream: Stream) -> Iterator[str | None]:
    """The text of each page; None: it is damaged."""
    try:
        import pypdfium2
    except ImportError:
        pass
    else:
        del pypdfium2
        return _by_pdfium(stream)
    try:
        import pypdf
    except ImportError:
        raise UsageError(
            "reading PDF files needs the library pypdfium2",
            received=stream.name,
            attempt="run pip install '.[documents]' in the checkout",
        ) from None
    del pypdf
    return iter(_by_pypdf(stream))


def _by_pdfium(stream: Stream) -> Iterator[str | None]:
    import pypdfium2

    file = io.BufferedReader(cast(io.RawIOBase, stream.seekable()))
    document = None
    try:
        with _one_at_a_time:
            document = pypdfium2.PdfDocument(file)
            count = len(document)
        if count > limits.PDF_PAGES:
            raise Unsuitable(f"a PDF file of more than {limits.PDF_PAGES} pages")
        for number in range(count):
            with _one_at_a_time:
                page = _page_by_pdfium(document, number)
            yield page
    except pypdfium2.PdfiumError as error:
        locked = getattr(error, "err_code", 0) == _WRONG_PASSWORD
        raise Unsuitable(_LOCKED if locked else f"a damaged PDF file: {error}") from None
    finally:
        if document is not None:
            with _one_at_a_time:
                document.close()
        file.detach()


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
