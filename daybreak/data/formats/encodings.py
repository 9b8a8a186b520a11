"""Encodings: which one a text is in, told by all of it, and its bytes as UTF-8, a block at a time.

Text in UTF-8 passes at the speed of the check that it is. Where the check fails, all of the text is looked through once
for the lines that are not UTF-8, and `detection` weighs how they read; only then are they decoded.
"""

import codecs
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from daybreak.data.formats import detection, limits
from daybreak.data.formats.charsets import of_label, shown
from daybreak.data.formats.evidence import (
    ESCAPED,
    HIGH,
    HZ,
    Verdict,
    beginning,
    decided,
    evidence_of,
    is_damaged,
    is_utf8,
    reads_damaged,
    so_far,
)
from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.formats.pieces import line_blocks
from daybreak.data.formats.streams import Stream

__all__ = ["Coded", "Verdict", "coded", "decoded", "of_label", "text_of", "utf8_blocks"]

_CHUNK_BYTES = 1 << 11  # decoded at once where lines are of several encodings
_AHEAD_BYTES = 1 << 23  # looked through of a stream that cannot be read twice
_COMPOSED = "web-windows-1258"  # writes the mark of a tone behind its letter
_counted = threading.local()


@dataclass(frozen=True)
class Coded:
    """A stream to read; what its encoding is; and its beginning as UTF-8, behind the mark."""

    stream: Stream
    verdict: Verdict
    start: bytes
    whole: bool  # the beginning is all there is
    mark: int = 0  # bytes in front of the text


def coded(stream: Stream) -> Coded:
    """A text's stream with its encoding, as far as its beginning tells it. The stream that was given is used up.

    Raises Unsuitable: this is no text.
    """
    data = stream.peek(limits.SNIFFED_BYTES)
    whole = len(data) < limits.SNIFFED_BYTES
    verdict, mark = beginning(data, whole)
    if not verdict.settled and not so_far(data, whole):
        verdict, stream = settled(stream, verdict)
    data = stream.peek(limits.SNIFFED_BYTES)[mark:]
    start = data if verdict.plain else b"".join(_blocks([data], verdict, Findings(), "", cut=not whole))
    return Coded(stream, verdict, start, whole, mark)


# All of a text


def settled(stream: Stream, first: Verdict) -> tuple[Verdict, Stream]:
    """The verdict on all of a text that is not UTF-8, and the stream to read it from. Raises Unsuitable: none fits."""
    looked = stream.again()
    if looked is None:
        return decided(evidence_of([stream.peek(_AHEAD_BYTES)]), first), stream
    return decided(evidence_of(looked.blocks()), first), stream.again() or stream


def is_plain(stream: Stream, first: Verdict) -> bool:
    """All of a text is UTF-8, damaged or not, as its beginning is."""
    looked = stream.again()
    checked = codecs.getincrementaldecoder("utf-8")("strict")
    if not looked or all(_passes(block, checked, first) for block in looked.blocks()):
        return True
    return settled(stream, first)[0].plain


# Bytes as UTF-8


def utf8_blocks(coded: Coded, findings: Findings) -> Iterator[bytes]:
    """The text as UTF-8. What is in UTF-8 stays as it is, for pieces and rows to decode; what else is replaced here."""
    stream, verdict, name = coded.stream, coded.verdict, coded.stream.name
    stream.read(coded.mark)
    if verdict.settled:
        say(verdict, name, findings)
        yield from _blocks(_read(stream), verdict, findings, name)
        return
    checked = codecs.getincrementaldecoder("utf-8")("strict")
    kept = b""
    for block in _read(stream):
        data = kept + block if kept else block
        if not _passes(data, checked, verdict):
            verdict, rest = _settled_here(stream, data, verdict)
            say(verdict, name, findings)
            yield from _blocks(rest, verdict, findings, name)
            return
        kept = checked.getstate()[0] if not data.isascii() else b""
        checked.reset()
        data = data[: len(data) - len(kept)]
        findings.bytes += len(data)
        if data:
            yield data
    if kept:
        verdict, rest = _settled_here(stream, kept, verdict)
        say(verdict, name, findings)
        yield from _blocks(rest, verdict, findings, name)


def _read(stream: Stream) -> Iterator[bytes]:
    while block := stream.read(limits.BLOCK_BYTES):
        yield block


def _passes(data: bytes, checked: codecs.IncrementalDecoder, verdict: Verdict) -> bool:
    if data.isascii():
        return not ((b"\x1b" in data and ESCAPED.search(data)) or (b"~{" in data and HZ.search(data)))
    if verdict.label not in ("", "utf-8"):
        return False
    try:
        checked.decode(data)
    except UnicodeDecodeError:
        return False
    return True


def _settled_here(stream: Stream, data: bytes, first: Verdict) -> tuple[Verdict, Iterator[bytes]]:
    """The verdict on all of a text of which `data` is the last block that was read, and the blocks from there on."""
    place = stream.offset - len(data)
    looked = stream.again()
    try:
        if looked is None:
            ahead = stream.peek(_AHEAD_BYTES)
            return decided(evidence_of([data, ahead]), first), _chained(data, stream)
        found = decided(evidence_of(looked.blocks()), first)
    except Unsuitable:  # what came before was text, and what is none is replaced
        found = Verdict(label=first.label, settled=True)
    if looked is None:
        return found, _chained(data, stream)
    fresh = stream.again()
    assert fresh
    while fresh.offset < place and fresh.read(min(limits.BLOCK_BYTES, place - fresh.offset)):
        pass
    return found, _read(fresh)


def _chained(data: bytes, stream: Stream) -> Iterator[bytes]:
    yield data
    yield from _read(stream)


def _blocks(
    blocks: Iterable[bytes], verdict: Verdict, findings: Findings, name: str, *, cut: bool = False
) -> Iterator[bytes]:
    """In UTF-8. cut: the last block ends anywhere."""
    if verdict.plain:
        for block in blocks:
            findings.bytes += len(block)
            yield block
        return
    if len(verdict.codecs) > 1:
        texts = _by_lines(blocks, verdict.codecs, findings, name)
    else:
        texts = _by_one(blocks, verdict.codecs[0], findings, name, cut)
    for text in texts:
        data = text.encode("utf-8", "replace")
        findings.bytes += len(data)
        if data:
            yield data


def _by_one(blocks: Iterable[bytes], codec: str, findings: Findings, name: str, cut: bool) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(codec)("daybreak-counted")
    composed = codec == _COMPOSED
    for block in blocks:
        yield _counting(decoder, block, False, findings, name, composed)
    if not cut:
        yield _counting(decoder, b"", True, findings, name, composed)


def _counting(
    decoder: codecs.IncrementalDecoder, block: bytes, final: bool, findings: Findings, name: str, composed: bool
) -> str:
    _counted.bytes = 0
    text = decoder.decode(block, final)
    if _counted.bytes:
        findings.replaced[name] += _counted.bytes
    return unicodedata.normalize("NFC", text) if composed else text


def _by_lines(blocks: Iterable[bytes], names: tuple[str, ...], findings: Findings, name: str) -> Iterator[str]:
    """Each line in the encoding in which it is valid UTF-8, or reads best, together with those around it."""
    others = [codec for codec in names if codec != "utf-8"]
    waiting: list[bytes] = []
    for line in _lines(blocks):
        if "utf-8" in names and (line.isascii() or is_utf8(line)):
            yield from _chunk(waiting, others, findings, name)
            waiting = []
            yield line.decode()
            continue
        beyond = len(line) - len(line.translate(None, HIGH))
        if "utf-8" in names and is_damaged(line, beyond) and reads_damaged(line, others[0]):
            yield from _chunk(waiting, others, findings, name)
            waiting = []
            yield decoded(line, name, findings)
            continue
        waiting.append(line)
        if sum(map(len, waiting)) > _CHUNK_BYTES:
            yield from _chunk(waiting, others, findings, name)
            waiting = []
    yield from _chunk(waiting, others, findings, name)


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in line_blocks(blocks, limits.BLOCK_BYTES * 4):
        yield from block.splitlines(keepends=True)


def _chunk(lines: list[bytes], others: list[str], findings: Findings, name: str) -> Iterator[str]:
    """Lines in one encoding; where the first and the last read best in different ones, each by itself."""
    beyond = [line for line in lines if not line.isascii()]
    several = len(others) > 1 and bool(beyond)
    if several and _best(beyond[:1], others) != _best(beyond[-1:], others):
        for line in lines:
            yield from _chunk([line], others, findings, name)
    elif lines:
        codec = _best(beyond, others) if several else others[0]
        decoder = codecs.getincrementaldecoder(codec)("daybreak-counted")
        yield _counting(decoder, b"".join(lines), True, findings, name, codec == _COMPOSED)


def _best(lines: list[bytes], others: list[str]) -> str:
    return min(others, key=lambda codec: detection.reading(b"".join(lines), codec).nats)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    _counted.bytes = getattr(_counted, "bytes", 0) + error.end - error.start
    return "\ufffd", error.end


codecs.register_error("daybreak-counted", _replaced)


def decoded(data: bytes, name: str, findings: Findings) -> str:
    """UTF-8 as text; what is not becomes U+FFFD and is counted."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        _counted.bytes = 0
        text = data.decode("utf-8", "daybreak-counted")
        findings.replaced[name] += _counted.bytes
        return text


def text_of(data: bytes, label: str | None, name: str, findings: Findings) -> str:
    """The text of a page, a mail or a record that is there whole; its bytes are counted by whoever has read them.

    label: as a header names the encoding, `iso-8859-1`; what the text itself says comes after it.
    Raises Unsuitable: this is no text.
    """
    first, mark = beginning(data, True)
    told = (of_label(label) if label else None) or first.label
    if not first.settled:
        data, first = data[mark:], replace(first, label=told)
        if (told and told != "utf-8" and not data.isascii()) or not so_far(data, True):
            first = decided(evidence_of([data]), first)
        mark = 0
    if first.plain:
        return decoded(data[mark:], name, findings)
    aside = Findings(replaced=findings.replaced)
    say(first, name, findings)
    return b"".join(_blocks([data[mark:]], first, aside, name)).decode()


def say(verdict: Verdict, name: str, findings: Findings) -> None:
    """What was decided, and what is doubtful about it."""
    if verdict.plain:
        return
    named = [shown(codec) for codec in verdict.codecs]
    if len(named) > 1:
        findings.doubt(name, f"its lines are in different encodings: {', '.join(named)}")
    elif verdict.rivals:
        findings.doubt(name, f"its encoding is {named[0]}, or else {', '.join(map(shown, verdict.rivals))}")
    else:
        findings.say(name, f"its encoding is {named[0]}")
    if verdict.label and verdict.label not in verdict.codecs:
        findings.doubt(name, f"it says that it is in {shown(verdict.label)}, and reads as {named[0]}")
