"""PDF: the text of its pages, as far as it is text and not pictures of it."""

import logging
from collections.abc import Iterator

from daybreak.core.errors import UsageError
from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.formats.format import BinaryFormat, Read, starts_with
from daybreak.data.formats.pieces import WHOLE, pieces
from daybreak.data.formats.streams import Stream

_DAMAGED = "pages of PDF files that cannot be read"


def pdf_documents(stream: Stream, findings: Findings, _: Read) -> Iterator[Document]:
    """One text in pieces. Raises Unsuitable: damaged, encrypted, or pictures; UsageError: the library is missing."""
    try:
        import pypdf
    except ImportError:
        raise UsageError(
            "reading PDF files needs the library pypdf",
            received=stream.name,
            attempt="run pip install '.[documents]' in the checkout",
        ) from None
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns of every blemish; what matters is in the notes
    file = stream.seekable()
    try:
        reader = pypdf.PdfReader(file)
        count = len(reader.pages)
    except Exception as error:  # its errors on damaged files are of many kinds
        raise Unsuitable(f"a damaged or encrypted PDF file: {type(error).__name__}") from None
    if count > limits.PDF_PAGES:
        raise Unsuitable(f"a PDF file of more than {limits.PDF_PAGES} pages")

    def texts() -> Iterator[bytes]:
        for number in range(count):
            try:
                text = reader.pages[number].extract_text()
            except Exception:
                findings.skip_row(_DAMAGED)
                continue
            data = (text.strip() + "\n\n").encode("utf-8", "replace") if text.strip() else b""
            findings.bytes += len(data)
            yield data

    given = False
    for index, piece in enumerate(pieces(texts(), WHOLE)):
        given = True
        yield Document(piece.decode(), index == 0)
    if not given:
        raise Unsuitable("a PDF file without text, such as a scan")


PDF = BinaryFormat(name="pdf", recognize=starts_with(b"%PDF-"), documents=pdf_documents)
