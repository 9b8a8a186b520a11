"""Damaged XML: what is not well-formed, such as SGML and tags set by hand, read as far as tags can be told."""

import codecs
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html.parser import HTMLParser
from typing import Protocol

from daybreak.data.formats.findings import Findings

_CDATA = "CDATA["


class Handler(Protocol):
    """What is done with the events; the names of elements are without prefix."""

    def start(self, name: str, attributes: Mapping[str, str], /) -> None: ...
    def end(self, name: str, /) -> None: ...
    def text(self, text: str, /) -> None: ...


class _Tags(HTMLParser):
    """Reads tags as browsers do, signs that begin none as text, and makes pairs of those that have a name in common."""

    def __init__(self, handler: Handler, opened: Sequence[str]) -> None:
        super().__init__(convert_charrefs=True)
        self._handler = handler
        self._open = list(opened)

    def set_cdata_mode(self, elem: str, **_: object) -> None:
        """Only HTML has elements in which tags are text."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = (self.get_starttag_text() or "")[1 : len(tag) + 1]  # as it is written; the tag is in small letters
        self._open.append(name.rpartition(":")[2])
        self._handler.start(self._open[-1], {key: value or "" for key, value in attrs})

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._handler.end(self._open.pop())

    def handle_endtag(self, tag: str) -> None:
        """Ends the last element of this name with all that is open inside it; where there is none, nothing."""
        local = tag.rpartition(":")[2]
        place = next((at for at in range(len(self._open) - 1, -1, -1) if self._open[at].lower() == local), None)
        if place is not None:
            self._end(place)

    def handle_data(self, data: str) -> None:
        self._handler.text(data)

    def unknown_decl(self, data: str) -> None:
        if data.startswith(_CDATA):
            self._handler.text(data[len(_CDATA) :])

    def finish(self) -> None:
        self.close()
        self._end(0)

    def _end(self, place: int) -> None:
        for name in reversed(self._open[place:]):
            self._handler.end(name)
        del self._open[place:]


def parsed(
    blocks: Iterable[bytes], handler: Handler, name: str, findings: Findings, opened: Sequence[str]
) -> Iterator[None]:
    """Gives the events of the rest of a text in UTF-8 to the handler; stops after each block, for its user to look.

    opened: the elements that have begun before it.
    """
    tags = _Tags(handler, opened)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for block in blocks:
        text = decoder.decode(block)
        if replaced := text.count("\ufffd") - block.count("\ufffd".encode()):
            findings.replaced[name] += replaced
        tags.feed(text)
        yield
    tags.finish()
    yield
