"""Reader: the documents of a stream, whatever its bytes turn out to be."""

from collections.abc import Iterable, Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats import archives, crawls, encodings, kinds, limits, markup, pieces, rows, trees
from daybreak.data.formats.columns import Shape
from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.formats.streams import Stream, packing, unpacked

_TAR = slice(257, 262)  # where the header of a tar file says what it is
_PACKED = {b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"Rar!": "a RAR archive", b"\xd0\xcf\x11\xe0": "an old Office file"}


def documents(stream: Stream, findings: Findings) -> Iterator[Document]:
    """Raises Unsuitable: no text for us; Stopped: read only up to a place; and the errors of reading and unpacking."""
    before, given = findings.told, False
    for document in _documents(stream, findings):
        given = True
        yield document
    if not given and findings.told == before:
        findings.skip(stream.name, "empty or blank")


def _documents(stream: Stream, findings: Findings) -> Iterator[Document]:
    head = stream.peek(512)
    packed = packing(head)
    if packed:
        yield from documents(unpacked(stream, packed), findings)
    elif head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        yield from archives.zip_documents(stream, findings, lambda inner: documents(inner, findings))
    elif head[_TAR] == b"ustar":
        yield from archives.tar_documents(stream, findings, lambda inner: documents(inner, findings))
    elif head.startswith(b"PAR1"):
        from daybreak.data.formats.parquet import parquet_rows

        yield from rows.row_documents(parquet_rows(stream, findings), stream.name, findings)
    elif head.startswith(b"%PDF-"):
        from daybreak.data.formats.pdf import pdf_documents

        yield from pdf_documents(stream, findings)
    elif head.startswith((b"WARC/1.", b"WARC/0.")):
        yield from crawls.warc_documents(stream, findings)
    else:
        for magic, what in _PACKED.items():
            if head.startswith(magic):
                raise Unsuitable(f"{what}, which is not read")
        yield from _text_documents(stream, findings)


def text_kind(stream: Stream) -> tuple[str, str, str, int]:
    """Kind, delimiter, encoding and size of the mark of a text. Raises Unsuitable: it is none."""
    sample = stream.peek(limits.SNIFFED_BYTES)
    whole = len(sample) < limits.SNIFFED_BYTES
    encoding, mark = encodings.recognized(sample, whole=whole)
    start = sample[mark:]
    if encoding != "utf-8":
        start = start.decode(encoding, "replace").encode("utf-8", "replace")
    kind, delimiter = kinds.recognized(start, stream.name, whole=whole)
    return kind, delimiter, encoding, mark


def _text_documents(stream: Stream, findings: Findings) -> Iterator[Document]:
    kind, delimiter, encoding, mark = text_kind(stream)
    if encoding != "utf-8":
        findings.say(stream.name, f"its encoding is {encoding}")
    blocks = encodings.utf8_blocks(stream, encoding, mark, findings)
    name = stream.name
    if kind == "page":
        yield from markup.page(stream, blocks, findings)
    elif kind == "xml":
        yield from markup.xml_documents(stream, blocks, findings)
    elif kind == "jsonl":
        yield from rows.row_documents(rows.json_rows(blocks, name, findings), name, findings)
    elif kind == "json":
        yield from rows.row_documents(trees.tree_rows(blocks, name, findings), name, findings)
    elif kind == "table":
        yield from rows.row_documents(rows.table_rows(blocks, delimiter, name, findings), name, findings)
    elif kind == "tagged":
        yield from plain_documents(rows.tagged_text(blocks, name, findings), "text", name, findings)
    else:
        yield from plain_documents(blocks, kind, name, findings)


def plain_documents(
    blocks: Iterable[bytes], kind: str, name: str, findings: Findings, *, continues: bool = False
) -> Iterator[Document]:
    """Text in pieces that join up to exactly it; a text of blanks alone is none."""
    for index, piece in enumerate(pieces.pieces(blocks, pieces.WHOLE)):
        if index or continues or piece.strip():
            yield Document(encodings.decoded(piece, name, findings), index == 0 and not continues, kind)


def range_documents(
    stream: Stream, blocks: Iterable[bytes], kind: str, known: Shape | None, findings: Findings, *, continues: bool
) -> Iterator[Document]:
    """Of a part of a file of lines in UTF-8, of a kind and shape that its start has told."""
    if kind == "jsonl":
        read = rows.json_rows(blocks, stream.name, findings)
        yield from rows.row_documents(read, stream.name, findings, known)
    else:
        yield from plain_documents(blocks, kind, stream.name, findings, continues=continues)
