"""Transcript: a conversation as one document, a line a message, however long it is."""

from collections.abc import Iterable, Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.findings import Findings, Stopped
from daybreak.data.formats.pieces import WHOLE_ROW, pieces
from daybreak.data.formats.texts import in_utf8

NO_WORDS = "messages without words: pictures, calls, people who come and go"
SYSTEM = "system messages of a chat"


def transcript(
    lines: Iterable[str],
    name: str,
    findings: Findings,
    *,
    newest_first: bool = False,
    kind: str = "dialogue",
    between: str = "\n",
) -> Iterator[Document]:
    """The lines as one document; only one as long as a book is cut. Nothing is held but the piece in hand.

    newest_first: they are turned around, as far as they fit. Raises Stopped as the lines do, after what came before.
    """
    stopped: list[Stopped] = []

    def whole() -> Iterator[str]:
        try:
            yield from lines
        except Stopped as error:
            stopped.append(error)

    ordered = _turned(whole()) if newest_first else whole()
    for index, piece in enumerate(pieces(_joined(ordered, name, findings, between), WHOLE_ROW)):
        if index or piece.strip():
            yield Document(piece.decode(), index == 0, kind)
    if stopped:
        raise stopped[0]


def _turned(lines: Iterator[str]) -> Iterator[str]:
    """From the last to the first; what is longer than may be held is turned part by part."""
    held: list[str] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size > limits.HELD_BYTES:
            yield from reversed(held)
            held, size = [], 0
    yield from reversed(held)


def _joined(lines: Iterable[str], name: str, findings: Findings, between: str) -> Iterator[bytes]:
    held: list[str] = []
    size, before = 0, ""
    for line in lines:
        findings.rows_seen += 1
        held.append(line)
        size += len(line)
        if size > WHOLE_ROW:
            yield in_utf8(before + between.join(held), name, findings)
            held, size, before = [], 0, between
    if held:
        yield in_utf8(before + between.join(held), name, findings)
