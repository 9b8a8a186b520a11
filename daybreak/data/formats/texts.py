"""Texts: documents of plain text, whole where it is short and in pieces where it is long."""

from collections.abc import Iterable, Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats import borders, encodings, pieces
from daybreak.data.formats.findings import Findings
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.pieces import WHOLE_ROW


def plain_documents(
    blocks: Iterable[bytes], kind: str, name: str, findings: Findings, *, always: str = "", before: bytes = b""
) -> Iterator[Document]:
    """Texts between borders in pieces that join up to exactly them; a text of blanks alone is none.

    always, before: as `borders.documents_between` takes them.
    """
    texts = borders.documents_between(blocks, name, findings, always=always, before=before)
    for starts, text in texts:
        for index, piece in enumerate(pieces.pieces(text, pieces.WHOLE)):
            if index or not starts or piece.strip():
                yield Document(encodings.decoded(piece, name, findings), starts and index == 0, kind)


def text_documents(text: str, kind: str, name: str, findings: Findings) -> Iterator[Document]:
    """A text, cut where it is a book."""
    data = in_utf8(text, name, findings)
    if len(data) <= WHOLE_ROW:
        yield Document(data.decode(), True, kind)
        return
    for index, piece in enumerate(pieces.pieces([data], WHOLE_ROW)):
        yield Document(piece.decode(), index == 0, kind)


def in_utf8(text: str, name: str, findings: Findings) -> bytes:
    """The text as UTF-8. JSON can spell half of a surrogate pair, UTF-8 cannot: that is replaced and counted."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        findings.replaced[name] += 3 * (whole.count("\ufffd") - text.count("\ufffd"))
        return whole.encode()


def _documents(text: Text) -> Iterator[Document]:
    return plain_documents(text.blocks, "text", text.name, text.findings, always=text.detail, before=text.before)


def _recognize(sample: Sample) -> str:
    """Whatever no other format has recognised."""
    return borders.always(sample.data)


TEXT = TextFormat(name="text", recognize=_recognize, documents=_documents, in_ranges=True)
