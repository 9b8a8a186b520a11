"""Encodings: which one a text is in, told by all of it, and its bytes as UTF-8, a block at a time.

Text in UTF-8 passes at the speed of the check that it is. Where the check fails, all of the text is looked through once
for the lines that are not UTF-8, and `detection` weighs how they read; only then are they decoded.
"""

import codecs
import re
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from daybreak.data.formats import detection, limits
from daybreak.data.formats.charsets import of_label, shown
from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.formats.letters import cost
from daybreak.data.formats.streams import Stream

__all__ = ["Coded", "Verdict", "coded", "decoded", "of_label", "text_of", "utf8_blocks"]

_MARKS = (  # the longer mark first: that of UTF-32 begins like that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_MOST_CONTROLS = 0.02  # share of control characters; text has none but line ends, tabs and form feeds
_MOST_NULS = 0.01
_MOST_ODD = 0.03  # share of unassigned or private characters; more come from a wrong guess
_LEAST_USUAL = 0.04  # share of ASCII or Chinese punctuation; a wrong byte order has almost none
_MOST_WIDE_NATS = 9.0  # for each character of UTF-16 that has no such marks
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\x0b\f\r\x1b"))
_SHIFTS = b"\x0e\x0f"  # of ISO-2022-KR, whose texts name it first
_KOREAN = b"\x1b$)C"
_MANY_BYTES = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_BEYOND = re.compile(rb"[^\n]*[\x80-\xff][^\n]*\n?")
_DECLARED = re.compile(
    rb"""<(?:\?xml[^>]{0,100}encoding|meta[^>]{0,200}charset)\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.I
)
_LABEL_BYTES = 2048  # in which browsers look for a label: 1024, and some pages begin with a long comment
_ESCAPED = re.compile(rb"\x1b(?:\$[@B]|\([IJ]|\$\)C)")
_HZ = re.compile(rb"~\{(?:[\x21-\x77][\x21-\x7e])+~\}")
_COMPOSED = "web-windows-1258"  # writes the mark of a tone behind its letter
_SEVEN_BITS = ("web-iso-2022-jp", "iso2022_kr", "hz")
_KEPT_BYTES = 1 << 17  # of lines that are not UTF-8, from all over the text
_LONGEST_LINE = 1 << 12  # of which this much is kept
_AHEAD_BYTES = 1 << 23  # looked through of a stream that cannot be read twice
_SEGMENTS = 8  # of a text, which are compared where it may be of two encodings
_SEGMENT_NATS = 60.0  # by which another encoding has to be likelier in one of them
_SEGMENT_BYTES = 400
_CHUNK_BYTES = 1 << 11  # decoded at once where lines are of several encodings
_FEW_LINES = 2
_counted = threading.local()


@dataclass(frozen=True)
class Verdict:
    """What encoding a text is in."""

    codecs: tuple[str, ...] = ("utf-8",)  # several: its lines are in different ones
    rival: str = ""  # about as likely
    label: str = ""  # the codec that the text says it is in
    settled: bool = False  # not only by the beginning
    marked: bool = False  # it begins with the mark of UTF-8

    @property
    def plain(self) -> bool:
        """UTF-8, damaged or not, so that its bytes can stay as they are."""
        return self.codecs == ("utf-8",)


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
    verdict, mark = _beginning(data, whole)
    if not verdict.settled and not _so_far(data, whole):
        verdict, stream = settled(stream, verdict)
    data = stream.peek(limits.SNIFFED_BYTES)[mark:]
    start = data if verdict.plain else b"".join(_blocks([data], verdict, Findings(), "", cut=not whole))
    return Coded(stream, verdict, start, whole, mark)


def _beginning(data: bytes, whole: bool) -> tuple[Verdict, int]:
    """By a mark or a label, and the size of the mark. Raises Unsuitable: this is no text."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            narrow = encoding == "utf-8"
            return Verdict((encoding,), settled=not narrow, marked=narrow), len(mark)
    controls = len(data) - len(data.translate(None, _CONTROLS))
    if _KOREAN in data:
        controls -= sum(data.count(shift) for shift in _SHIFTS)
    nuls = data.count(b"\0")
    if nuls > _MOST_NULS * len(data) or controls > _MOST_CONTROLS * len(data):
        wide = _wide(data, whole)
        if not wide:
            raise Unsuitable("binary, not text")
        return Verdict((wide,), settled=True), 0
    return Verdict(label=label_in(data) or ""), 0


def label_in(data: bytes) -> str | None:
    """The codec of the label that a page or an XML text has at its beginning."""
    declared = _DECLARED.search(data[:_LABEL_BYTES])
    return of_label(declared[1].decode("ascii"), within=True) if declared else None


def _so_far(data: bytes, whole: bool) -> bool:
    """UTF-8 as far as the beginning goes, and not in one of the encodings that look like ASCII."""
    if _ESCAPED.search(data) or _HZ.search(data):
        return False
    if data.isascii():
        return True
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(data, whole)
    except UnicodeDecodeError:
        return False
    return True


def _wide(data: bytes, whole: bool) -> str:
    """Which of UTF-16 and UTF-32 the bytes are in, or nothing."""
    found = []
    for encoding in _WIDE:
        width = 4 if "32" in encoding else 2
        if whole and len(data) % width:
            continue
        try:
            text = data[: min(len(data), 1 << 13) // width * width].decode(encoding)
        except UnicodeDecodeError as error:
            if len(data) - error.start > 3:
                continue
            text = data[: error.start].decode(encoding)
        if not text or _odd(text) > _MOST_ODD:
            continue
        nats = cost(text, frozenset()).nats / len(text)
        usual = sum("\t" <= c <= "~" or c in "，。、！？：；“”" for c in text)
        if usual >= _LEAST_USUAL * len(text) or nats <= _MOST_WIDE_NATS:
            found.append((nats, encoding))
    return min(found)[1] if found else ""


def _odd(text: str) -> float:
    """The share of characters that no text has."""
    text = text[:4096]
    odd = sum(unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") and c not in "\t\n\r\f\x0b\x1b" for c in text)
    return odd / max(1, len(text))


# All of a text


@dataclass
class _Lines:
    """Lines kept of many, evenly from all of a text."""

    kept: list[bytes] = field(default_factory=list)
    size: int = 0
    seen: int = 0
    stride: int = 1
    beyond: int = 0  # bytes beyond ASCII in all of them

    def add(self, line: bytes, beyond: int) -> None:
        self.beyond += beyond
        self.seen += 1
        if self.seen % self.stride:
            return
        self.kept.append(line[:_LONGEST_LINE])
        self.size += len(self.kept[-1])
        while self.size > _KEPT_BYTES and len(self.kept) > 1:
            self.kept = self.kept[1::2]
            self.size = sum(map(len, self.kept))
            self.stride *= 2


@dataclass
class _Evidence:
    """Of a text: its lines that are not UTF-8, and those that are and are not ASCII."""

    foreign: _Lines = field(default_factory=_Lines)
    utf8: _Lines = field(default_factory=_Lines)
    damaged: _Lines = field(default_factory=_Lines)  # mostly UTF-8, with bytes that are none
    seven: set[str] = field(default_factory=set)  # encodings that look like ASCII and were seen

    def add(self, block: bytes) -> None:
        """Whole lines."""
        if _ESCAPED.search(block):
            self.seven.add("iso2022_kr" if _KOREAN in block else "web-iso-2022-jp")
        if b"~{" in block and _HZ.search(block):
            self.seven.add("hz")
        if block.isascii():
            return
        if _is_utf8(block):
            first = _BEYOND.search(block)
            self.utf8.add(first[0] if first else b"", len(block) - len(block.decode()))
            return
        for found in _BEYOND.finditer(block):
            line = found[0]
            beyond = len(line) - len(line.translate(None, _HIGH))
            if _is_utf8(line):
                self.utf8.add(line, beyond)
            elif _is_damaged(line, beyond):
                self.damaged.add(line, beyond)
            else:
                self.foreign.add(line, beyond)


_HIGH = bytes(range(0x80, 0x100))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_damaged(line: bytes, beyond: int) -> bool:
    """Most of what is beyond ASCII is UTF-8."""
    rest = _MANY_BYTES.sub(b"", line)
    return len(line) - len(rest) > beyond / 2


def settled(stream: Stream, first: Verdict) -> tuple[Verdict, Stream]:
    """The verdict on all of a text that is not UTF-8, and the stream to read it from. Raises Unsuitable: none fits."""
    looked = stream.again()
    if looked is None:
        return verdict(_evidence([stream.peek(_AHEAD_BYTES)]), first), stream
    return verdict(_evidence(looked.blocks()), first), stream.again() or stream


def _evidence(blocks: Iterable[bytes]) -> _Evidence:
    evidence = _Evidence()
    rest = b""
    for block in blocks:
        data = rest + block
        end = data.rfind(b"\n") + 1
        if not end and len(data) < limits.BLOCK_BYTES * 4:
            rest = data
            continue
        end = end or len(data)
        evidence.add(data[:end])
        rest = data[end:]
    evidence.add(rest)
    return evidence


def verdict(evidence: _Evidence, first: Verdict) -> Verdict:
    """The encoding of a text, by all of it; first: by its beginning. Raises Unsuitable: it reads like no language."""
    label = first.label
    utf8 = Verdict(label=label, settled=True)
    if seven := _seven_bits(evidence, label):
        return replace(utf8, codecs=(seven,))
    foreign, damaged = evidence.foreign, evidence.damaged
    if damaged.kept and not _reads_damaged(b"".join(damaged.kept), detection.ranked(damaged.kept, label)[0].codec):
        foreign, damaged = _together(foreign, damaged), _Lines()
    if not foreign.kept:
        return replace(utf8, codecs=_labelled(evidence.utf8, label))
    candidates = detection.ranked(foreign.kept, label)
    best, rival = candidates[0], detection.rival(candidates)
    if best.codec == "utf-8":
        return utf8
    by_chance = not damaged.kept and evidence.utf8.kept and _better(best.codec, evidence.utf8)
    if first.marked or ((damaged.kept or evidence.utf8.kept) and not by_chance):
        if foreign.seen >= _FEW_LINES and foreign.seen > damaged.seen and not best.strange:
            return replace(utf8, codecs=("utf-8", best.codec), rival=rival)
        if first.marked or damaged.kept or foreign.beyond < evidence.utf8.beyond:
            return utf8
    if best.weak:
        names = ", ".join(dict.fromkeys(shown(one.codec) for one in candidates[:3]))
        raise Unsuitable(f"binary, or text in an unknown encoding (the likeliest are {names})")
    others = _of_segments(foreign.kept, best.codec, label)
    return replace(utf8, codecs=(best.codec, *others), rival=rival)


def _together(some: _Lines, more: _Lines) -> _Lines:
    return _Lines([*some.kept, *more.kept], some.size + more.size, some.seen + more.seen, 1, some.beyond + more.beyond)


def _reads_damaged(data: bytes, codec: str) -> bool:
    """Bytes read better as UTF-8 with some that are none than in another encoding."""
    data = data[: 1 << 14]
    return detection.reading(data, "utf-8").nats < detection.reading(data, codec).nats


def _seven_bits(evidence: _Evidence, label: str) -> str:
    """An encoding that looks like ASCII and that the text was seen to be in, or nothing."""
    if evidence.foreign.kept:
        return ""
    if label in _SEVEN_BITS:
        return label if evidence.seven else ""
    return next((codec for codec in _SEVEN_BITS if codec in evidence.seven), "")


def _labelled(utf8: _Lines, label: str) -> tuple[str, ...]:
    """UTF-8, unless the few lines that are valid in it read better by the label."""
    return (label,) if label and label != "utf-8" and utf8.kept and _better(label, utf8) else ("utf-8",)


def _better(codec: str, utf8: _Lines) -> bool:
    """Lines that are valid UTF-8 read better in another encoding: they are so by chance."""
    data = b"".join(utf8.kept)[: 1 << 14]
    found = detection.reading(data, codec)
    return bool(data) and found.nats < cost(data.decode("utf-8", "ignore"), frozenset()).nats


def _of_segments(lines: list[bytes], codec: str, label: str) -> tuple[str, ...]:
    """Other encodings that parts of a text are in."""
    others: list[str] = []
    step = max(1, -(-len(lines) // _SEGMENTS))
    for start in range(0, len(lines), step):
        segment = lines[start : start + step]
        if sum(map(len, segment)) < _SEGMENT_BYTES or len(segment) == len(lines):
            continue
        first = detection.ranked(segment, label)[0]
        if first.codec in (codec, *others) or first.weak:
            continue
        own = detection.reading(b"".join(segment)[: 1 << 14], codec)
        other = detection.reading(b"".join(segment)[: 1 << 14], first.codec)
        if other.nats < own.nats - _SEGMENT_NATS and other.text != own.text:
            others.append(first.codec)
    return tuple(others)


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
        return not (_ESCAPED.search(data) or (b"~{" in data and _HZ.search(data)))
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
            return verdict(_evidence([data, ahead]), first), _chained(data, stream)
        found = verdict(_evidence(looked.blocks()), first)
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
        if "utf-8" in names and (line.isascii() or _is_utf8(line)):
            yield from _chunk(waiting, others, findings, name)
            waiting = []
            yield line.decode()
            continue
        beyond = len(line) - len(line.translate(None, _HIGH))
        if "utf-8" in names and _is_damaged(line, beyond) and _reads_damaged(line, others[0]):
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
    rest = b""
    for block in blocks:
        data = rest + block
        end = data.rfind(b"\n") + 1
        if not end and len(data) < limits.BLOCK_BYTES * 4:
            rest = data
            continue
        end = end or len(data)
        yield from data[:end].splitlines(keepends=True) if b"\r" not in data[:end] else _cut(data[:end])
        rest = data[end:]
    if rest:
        yield rest


def _cut(data: bytes) -> list[bytes]:
    return [line + b"\n" for line in data.split(b"\n")[:-1]] if data.endswith(b"\n") else [data]


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
    first, mark = _beginning(data, True)
    told = (of_label(label) if label else None) or first.label
    if not first.settled:
        data, first = data[mark:], replace(first, label=told)
        if (told and told != "utf-8" and not data.isascii()) or not _so_far(data, True):
            first = verdict(_evidence([data]), first)
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
        findings.doubt(name, f"different lines are in {' and in '.join(named)}")
    elif verdict.rival:
        findings.doubt(name, f"its encoding is {named[0]}, or else {shown(verdict.rival)}")
    else:
        findings.say(name, f"its encoding is {named[0]}")
    if verdict.label and verdict.label not in verdict.codecs:
        findings.doubt(name, f"it says that it is in {shown(verdict.label)}, and reads as {named[0]}")
