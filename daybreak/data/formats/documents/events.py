"""Events: XML parsed as it streams by, with its limits: no file is fetched, no entity multiplies, nothing is lost."""

import codecs
import html.entities
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol
from xml.parsers import expat

from daybreak.data.formats import charsets
from daybreak.data.formats.documents import damaged
from daybreak.data.formats.findings import Findings, Stopped, Unsuitable

_DECLARED = re.compile(rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9_.:-]+)""")
_LONGEST_SIGN = 300
_BEGUN = re.compile(rb"[&<][^&<>;]*\Z")  # a tag or an entity that is not at its end
_STEP_BYTES = 1 << 16  # parsed between two looks at what is done
_MOST_AMPLIFIED, _AMPLIFIED_FROM = 100, 8_000_000  # characters of text for a byte, as expat's own limit has it
_ANOTHER = tuple(  # root element or declaration follows the end of the first
    expat.errors.codes[said]
    for said in (expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT, expat.errors.XML_ERROR_MISPLACED_XML_PI)
)
_CUT = tuple(  # the end is missing: there is nothing behind it
    expat.errors.codes[said]
    for said in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_ASYNC_ENTITY,
        expat.errors.XML_ERROR_AMPLIFICATION_LIMIT_BREACH,
    )
)
OTHER_FILE = "text of another file that an XML file names"
_UNKNOWN_ENTITY = "entities that an XML file does not define"


class Handler(Protocol):
    """What is done with the events; the names of elements are without prefix."""

    def start(self, name: str, attributes: Mapping[str, str], /) -> None: ...
    def end(self, name: str, /) -> None: ...
    def text(self, text: str, /) -> None: ...
    def given(self) -> bool:
        """Some text has been found."""


class _Parser:
    """expat with the handler's methods, for one root element."""

    def __init__(self, handler: Handler, name: str, findings: Findings, encoding: str | None) -> None:
        self._handler, self._name, self._findings = handler, name, findings
        self._locals: dict[str, str] = {}
        self.open: list[str] = []  # elements that have begun and not ended
        self.parser = expat.ParserCreate(encoding)
        self.parser.buffer_text = True
        self.parser.buffer_size = 1 << 16
        self.parser.UseForeignDTD(True)  # so that an entity of a definition that is not read is told, and no error
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.SkippedEntityHandler = self._entity
        self.parser.ExternalEntityRefHandler = self._external
        self.size = 0  # characters of text
        self._fed = 0
        self._last = b""

    def parse(self, piece: bytes) -> bytes:
        """What is left from where another root element begins. Raises expat.ExpatError."""
        try:
            self.parser.Parse(piece, False)
        except expat.ExpatError as error:
            if error.code not in _ANOTHER:
                raise
            place = self.parser.ErrorByteIndex - self._fed
            return piece[place:] if place >= 0 else self._last[place:] + piece
        self._fed += len(piece)
        self._last = piece
        return b""

    def rest(self, piece: bytes) -> bytes:
        """Of a piece that is not well-formed, what comes after the text that was found in it."""
        self.parser.buffer_text = False  # which hands over the text that waits
        place = self.parser.ErrorByteIndex - self._fed
        whole, place = (piece, place) if place >= 0 else (self._last + piece, place + len(self._last))
        begun = _BEGUN.search(whole[max(0, place - _LONGEST_SIGN) : place])
        return whole[place - (len(begun[0]) if begun else 0) :]

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        local = self._locals.get(name)
        if local is None:
            local = self._locals[name] = name.rpartition(":")[2]
        self.open.append(local)
        self._handler.start(local, attributes)

    def _end(self, name: str) -> None:
        self.open.pop()
        self._handler.end(self._locals[name])

    def _text(self, text: str) -> None:
        self.size += len(text)
        self._handler.text(text)

    def _entity(self, name: str, is_parameter: bool) -> None:
        if is_parameter:
            return
        if known := html.entities.html5.get(f"{name};"):
            self._handler.text(known)
        else:
            self._findings.leave_part(_UNKNOWN_ENTITY, len(name) + 2)

    def _external(self, _context: str, _base: str | None, system: str | None, _public: str | None) -> int:
        if system:
            self._findings.leave_part(OTHER_FILE)
        return 1


def _as_declared(blocks: Iterator[bytes]) -> tuple[Iterator[bytes], str | None]:
    """Blocks in an encoding that the parser knows, and that encoding; None: the parser finds it in the file."""
    first = next(blocks, b"")
    found = _DECLARED.match(first)
    codec = charsets.of_label(found[1].decode("ascii")) if found else None
    blocks = itertools.chain((first,), blocks)
    if codec is None or codec.startswith("utf"):
        return blocks, "utf-8" if found and codec is None else None
    decoder = codecs.getincrementaldecoder(codec)("replace")
    return (decoder.decode(block).encode("utf-8", "replace") for block in blocks), "utf-8"


def parsed(
    blocks: Iterable[bytes],
    handler: Handler,
    name: str,
    findings: Findings,
    encoding: str | None = "utf-8",
    *,
    mended: bool = True,
) -> Iterator[None]:
    """Gives the events of all elements to the handler; stops after each piece of the text, and before an error, for its
    user to look.

    One root after another, as files that were joined have them, is read as one file; what is not well-formed is read as
    far as its tags can be told, which is said with the line. encoding: None is what the file declares.
    mended: False stops at what is not well-formed.

    Raises Unsuitable: not well-formed before its first element; Stopped: cut off.
    """
    if encoding is None:
        blocks, encoding = _as_declared(iter(blocks))
    reader = _Parser(handler, name, findings, encoding)
    size = lines = 0
    steps = (block[start : start + _STEP_BYTES] for block in blocks for start in range(0, len(block), _STEP_BYTES))
    piece = b""
    try:
        for piece in steps:
            size += len(piece)
            while rest := reader.parse(piece):
                lines += reader.parser.ErrorLineNumber - 1
                piece, reader = rest, _Parser(handler, name, findings, encoding)
            if reader.size > max(_AMPLIFIED_FROM, _MOST_AMPLIFIED * size):
                raise Stopped("its entities make the text a hundred times as long as the file")
            yield
        reader.parser.Parse(b"", True)
    except expat.ExpatError as error:
        reason = expat.errors.messages.get(error.code, "") or str(error)
        line = lines + reader.parser.ErrorLineNumber
        if mended and reader.open and error.code not in _CUT and (encoding == "utf-8" or b"\0" not in piece):
            findings.stop(name, "not well-formed XML, of which the text between tags is read", f"line {line}: {reason}")
            behind = itertools.chain((reader.rest(piece),), steps)
            yield from damaged.parsed(behind, handler, name, findings, reader.open)
            return
        yield  # what was whole before the place
        if handler.given():
            raise Stopped(f"not well-formed XML at line {line}: {reason}") from None
        raise Unsuitable(f"not well-formed XML at line {line}: {reason}") from None
    yield
