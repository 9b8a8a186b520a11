"""Evidence: what the bytes of a text say about its encoding: its mark, its label, and all of its lines beyond ASCII."""

import codecs
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from daybreak.data.formats import detection, limits
from daybreak.data.formats.charsets import of_label, shown
from daybreak.data.formats.findings import Unsuitable
from daybreak.data.formats.letters import cost
from daybreak.data.formats.pieces import line_blocks

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
_NARROW = re.compile(rb"[\t\n\r -~]{64}")  # 32 characters of UTF-16 in a row with two such bytes: not in 10^13 texts
_WIDE_RUN = re.compile(rb"(?:[\t\n\r -~]\0{1,3}){24}")
JOINED = "text of one byte a character joined with UTF-16 or UTF-32, as `>>` of PowerShell does it: convert the parts"
_LEAST_USUAL = 0.04  # share of ASCII or Chinese punctuation; a wrong byte order has almost none
_TINY_BYTES = 100  # a text that may be of UTF-16 though it has neither a space nor a line end
_WIDE_NATS = 8.0  # how much rarer it is then
_CHANCE = 20.0  # nats by which a few lines may be likelier as UTF-8 and yet be words of another encoding
_MOST_WIDE_NATS = 9.0  # for each character of UTF-16 that has no such marks
# Of control characters, text may have those and the signs that part records, fields and the columns of Hive.
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\x0b\f\r\x1b\x01\x1e\x1f"))
_SHIFTS = b"\x0e\x0f"  # of ISO-2022-KR, whose texts name it first
_KOREAN = b"\x1b$)C"
_MANY_BYTES = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_BEYOND = re.compile(rb"[^\n]*[\x80-\xff][^\n]*\n?")
_DECLARED = re.compile(
    rb"""<(?:\?xml[^>]{0,100}encoding|meta[^>]{0,200}charset)\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.I
)
_LABEL_BYTES = 2048  # in which browsers look for a label: 1024, and some pages begin with a long comment
ESCAPED = re.compile(rb"\x1b(?:\$[@B]|\([IJ]|\$\)C)")
HZ = re.compile(rb"~\{(?:[\x21-\x77][\x21-\x7e])+~\}")
_SEVEN_BITS = ("web-iso-2022-jp", "iso2022_kr", "hz")
_EVERY_LINE = 20_000  # looked at one by one; behind them one in so many is, all over the text
_STEP = 16
_KEPT_BYTES = 1 << 17  # of lines that are not UTF-8, from all over the text
_LONGEST_LINE = 1 << 12  # a longer one is kept in pieces
# Cut behind a byte that no encoding has within a character; what is without one is one piece, for its beginning.
_PIECE = re.compile(rb"[^\n]{1,4000}[\x20-\x2f]|[^\n]+\n?")
_SEGMENTS = 8  # of a text, which are compared where it may be of two encodings
_SEGMENT_NATS = 60.0  # by which another encoding has to be likelier in one of them
_SEGMENT_BYTES = 400
_FEW_LINES = 2


@dataclass(frozen=True)
class Verdict:
    """What encoding a text is in."""

    codecs: tuple[str, ...] = ("utf-8",)  # several: its lines are in different ones
    rivals: tuple[str, ...] = ()  # about as likely
    label: str = ""  # the codec that the text says it is in
    settled: bool = False  # not only by the beginning
    marked: bool = False  # it begins with the mark of UTF-8

    @property
    def plain(self) -> bool:
        """UTF-8, damaged or not, so that its bytes can stay as they are."""
        return self.codecs == ("utf-8",)


def beginning(data: bytes, whole: bool) -> tuple[Verdict, int]:
    """By a mark or a label, and the size of the mark. Raises Unsuitable: this is no text."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            narrow = encoding == "utf-8"
            return Verdict((encoding,), settled=not narrow, marked=narrow), len(mark)
    body = data.rstrip(b"\0")  # files whose space was set aside, and not filled, end with zeros
    body = body if so_far(body, whole) else data
    controls = len(body) - len(body.translate(None, _CONTROLS))
    if _KOREAN in body:
        controls -= sum(body.count(shift) for shift in _SHIFTS)
    nuls = body.count(b"\0")
    if (data and not body) or nuls > _MOST_NULS * len(body) or controls > _MOST_CONTROLS * len(body):
        wide = _wide(data, whole)
        if _NARROW.search(data) and (wide or _WIDE_RUN.search(data)):
            raise Unsuitable(JOINED)
        if not wide:
            raise Unsuitable("binary, not text")
        return Verdict((wide,), settled=True), 0
    if whole and len(data) <= _TINY_BYTES and not so_far(data, True) and (wide := _wide(data, True)):
        nats = cost(data.decode(wide, "replace")).nats
        if nats + _WIDE_NATS < detection.ranked([data])[0].nats:
            return Verdict((wide,), settled=True), 0
    return Verdict(label=label_in(data) or ""), 0


def label_in(data: bytes) -> str | None:
    """The codec of the label that a page or an XML text has at its beginning."""
    declared = _DECLARED.search(data[:_LABEL_BYTES])
    return of_label(declared[1].decode("ascii"), within=True) if declared else None


def so_far(data: bytes, whole: bool) -> bool:
    """UTF-8 as far as the beginning goes, and not in one of the encodings that look like ASCII."""
    if ESCAPED.search(data) or HZ.search(data):
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
        if not text or _odd(text) > _MOST_ODD or len(set(text)) < min(3, len(text)):
            continue
        nats = cost(text).nats / len(text)
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
        if len(line) > _LONGEST_LINE:
            for piece in _PIECE.findall(line):
                self.add(piece[:_LONGEST_LINE], 0)
            return
        self.seen += 1
        if self.seen % self.stride:
            return
        self.kept.append(line)
        self.size += len(line)
        while self.size > _KEPT_BYTES and len(self.kept) > 1:
            self.kept = self.kept[1::2]
            self.size = sum(map(len, self.kept))
            self.stride *= 2


@dataclass
class Evidence:
    """Of a text: its lines that are not UTF-8, and those that are and are not ASCII."""

    foreign: _Lines = field(default_factory=_Lines)
    utf8: _Lines = field(default_factory=_Lines)
    damaged: _Lines = field(default_factory=_Lines)  # mostly UTF-8, with bytes that are none
    lines: int = 0  # looked at one by one
    seven: set[str] = field(default_factory=set)  # encodings that look like ASCII and were seen

    def add(self, block: bytes) -> None:
        """Whole lines."""
        if b"\x1b" in block and ESCAPED.search(block):
            self.seven.add("iso2022_kr" if _KOREAN in block else "web-iso-2022-jp")
        if b"~{" in block and HZ.search(block):
            self.seven.add("hz")
        if block.isascii():
            return
        if is_utf8(block):
            first = _BEYOND.search(block)
            self.utf8.add(first[0] if first else b"", len(block) - len(block.decode()))
            return
        lines = block.splitlines(keepends=True)
        step = 1 if self.lines < _EVERY_LINE else _STEP
        for line in lines[:: step if len(lines) > step else 1]:
            if line.isascii():
                continue
            self.lines += 1
            beyond = len(line) - len(line.translate(None, HIGH))
            if is_utf8(line):
                self.utf8.add(line, beyond)
            elif is_damaged(line, beyond):
                self.damaged.add(line, beyond)
            else:
                self.foreign.add(line, beyond)


HIGH = bytes(range(0x80, 0x100))


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_damaged(line: bytes, beyond: int) -> bool:
    """Most of what is beyond ASCII is UTF-8."""
    rest = _MANY_BYTES.sub(b"", line)
    return len(line) - len(rest) > beyond / 2


def evidence_of(blocks: Iterable[bytes]) -> Evidence:
    evidence = Evidence()
    for block in line_blocks(blocks, limits.BLOCK_BYTES * 4):
        evidence.add(block)
    return evidence


def decided(evidence: Evidence, first: Verdict) -> Verdict:
    """The encoding of a text, by all of it; first: by its beginning. Raises Unsuitable: it reads like no language."""
    label = first.label
    utf8 = Verdict(label=label, settled=True)
    if seven := _seven_bits(evidence, label):
        return replace(utf8, codecs=(seven,))
    foreign, damaged = evidence.foreign, evidence.damaged
    if damaged.kept and not reads_damaged(b"".join(damaged.kept), detection.ranked(damaged.kept, label)[0].codec):
        foreign, damaged = _together(foreign, damaged), _Lines()
    if not foreign.kept:
        return replace(utf8, codecs=_labelled(evidence.utf8, label))
    candidates = detection.ranked(foreign.kept, label)
    best, rivals = candidates[0], detection.rivals(candidates)
    if best.codec == "utf-8":
        return utf8
    by_chance = not damaged.kept and evidence.utf8.kept and _better(best.codec, evidence.utf8)
    if first.marked or ((damaged.kept or evidence.utf8.kept) and not by_chance):
        if foreign.seen >= _FEW_LINES and foreign.seen > damaged.seen and not best.strange:
            return replace(utf8, codecs=("utf-8", best.codec), rivals=rivals)
        if first.marked or damaged.kept or foreign.beyond < evidence.utf8.beyond:
            return utf8
    if best.weak:
        names = ", ".join(dict.fromkeys(shown(one.codec) for one in candidates[:3]))
        raise Unsuitable(f"binary, or text in an unknown encoding (the likeliest are {names})")
    others = _of_segments(foreign.kept, best.codec, label)
    return replace(utf8, codecs=(best.codec, *others), rivals=rivals)


def _together(some: _Lines, more: _Lines) -> _Lines:
    return _Lines([*some.kept, *more.kept], some.size + more.size, some.seen + more.seen, 1, some.beyond + more.beyond)


def reads_damaged(data: bytes, codec: str) -> bool:
    """Bytes read better as UTF-8 with some that are none than in another encoding."""
    data = data[: 1 << 14]
    return detection.reading(data, "utf-8").nats < detection.reading(data, codec).nats


def _seven_bits(evidence: Evidence, label: str) -> str:
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
    chance = 0.0 if found.strange else _CHANCE
    return bool(data) and found.nats < cost(data.decode("utf-8", "ignore")).nats + chance


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
