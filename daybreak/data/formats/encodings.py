"""Encodings: which one a text is in, told by its first bytes, and its bytes as UTF-8, a block at a time."""

import codecs
import re
import threading
import unicodedata
from collections.abc import Iterator

from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.formats.streams import Stream

_MARKS = (  # the longer mark first: that of UTF-32 begins like that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
# Those that charset-normalizer chooses from, where bytes are not UTF-8: what old files on disks are in.
_LEGACY = ("gb18030", "big5", "cp1252", "cp1250", "cp1251", "koi8_r", "shift_jis", "euc_jp", "euc_kr", "cp1253")
_GUESSED_BYTES = 1 << 14
_MOST_CONTROLS = 0.02  # share of control characters; text has none but line ends, tabs and form feeds
_MOST_NULS = 0.01
_MOST_DAMAGED = 0.1  # share of damaged characters among those beyond ASCII, for damaged UTF-8
_MOST_ODD = 0.03  # share of unassigned or private characters; more come from a wrong guess
_LEAST_USUAL = 0.04  # share of ASCII or Chinese punctuation; a wrong byte order has almost none
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\x0b\f\r\x1b"))
_MANY_BYTES = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_DECLARED = re.compile(
    rb"""<(?:\?xml[^>]{0,100}encoding|meta[^>]{0,200}charset)\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.I
)
_counted = threading.local()


def recognized(sample: bytes, *, whole: bool) -> tuple[str, int]:
    """The encoding, and the size of the mark in front. `whole`: the sample is all there is.

    Raises Unsuitable: this is no text.
    """
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding, len(mark)
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if b"\0" in sample and sample.count(b"\0") > _MOST_NULS * len(sample):
        wide = next((encoding for encoding in _WIDE if _is_wide(sample, encoding)), "")
        if not wide:
            raise Unsuitable("binary, not text")
        return wide, 0
    if controls > _MOST_CONTROLS * len(sample):
        raise Unsuitable("binary, not text")
    if _is_utf8(sample, whole):
        return "utf-8", 0
    return _legacy(sample), 0


def _is_utf8(sample: bytes, whole: bool) -> bool:
    """Valid, or damaged in a few places."""
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(sample, whole)
    except UnicodeDecodeError:
        rest = _MANY_BYTES.sub(b"", sample)
        good = (len(sample) - len(rest)) / 3
        bad = sum(byte >= 0x80 for byte in rest)
        return good > 0 and bad <= _MOST_DAMAGED * (good + bad)
    return True


def _is_wide(sample: bytes, encoding: str) -> bool:
    width = 4 if "32" in encoding else 2
    try:
        text = sample[: len(sample) // width * width].decode(encoding)
    except UnicodeDecodeError as error:
        if len(sample) - error.start > 3:
            return False
        text = sample[: error.start].decode(encoding)
    if not text or _odd(text) > _MOST_ODD:
        return False
    usual = sum("\t" <= c <= "~" or c in "，。、！？：；“”" for c in text)
    return usual >= _LEAST_USUAL * len(text)


def _odd(text: str) -> float:
    """The share of characters that no text has."""
    text = text[:4096]
    odd = sum(unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") and c not in "\t\n\r\f\x0b\x1b" for c in text)
    return odd / max(1, len(text))


def _legacy(sample: bytes) -> str:
    """The encoding of text that is not UTF-8. Raises Unsuitable: none fits."""
    declared = _DECLARED.search(sample[:2048])
    if declared:
        try:
            name = codecs.lookup(declared[1].decode("ascii")).name
            if name not in ("utf-8", *_WIDE) and "\ufffd" not in sample[:2048].decode(name, "ignore"):
                return "gb18030" if name in ("gb2312", "gbk") else name
        except (LookupError, UnicodeError):
            pass
    import charset_normalizer

    start = sample[:_GUESSED_BYTES]
    if len(sample) > _GUESSED_BYTES and b"\n" in start:
        start = start[: start.rindex(b"\n") + 1]
    best = charset_normalizer.from_bytes(start, cp_isolation=list(_LEGACY), explain=False).best()
    if best is not None and _odd(str(best)) <= _MOST_ODD:
        return str(best.encoding)
    high = [byte for byte in start if byte >= 0x80]
    if len(high) <= 0.3 * len(start) and not any(byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D) for byte in high):
        return "cp1252"  # a few accents in much ASCII, too few to be told from any other
    raise Unsuitable("binary, or text in an unknown encoding")


def utf8_blocks(stream: Stream, encoding: str, mark: int, findings: Findings) -> Iterator[bytes]:
    """The text as UTF-8. What is in UTF-8 stays as it is, for pieces and rows to decode; what else is replaced here."""
    stream.read(mark)
    if encoding == "utf-8":
        for block in stream.blocks():
            findings.bytes += len(block)
            yield block
        return
    decoder = codecs.getincrementaldecoder(encoding)("daybreak-counted")
    ended = False
    while not ended:
        block = stream.read(1 << 16)
        ended = not block
        _counted.bytes = 0
        text = decoder.decode(block, ended).encode("utf-8", "replace")
        if _counted.bytes:
            findings.replaced[stream.name] += _counted.bytes
        findings.bytes += len(text)
        if text:
            yield text


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    _counted.bytes = getattr(_counted, "bytes", 0) + error.end - error.start
    return "\ufffd", error.end


codecs.register_error("daybreak-counted", _replace)


def decoded(data: bytes, name: str, findings: Findings) -> str:
    """UTF-8 as text; what is not becomes U+FFFD and is counted."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        _counted.bytes = 0
        text = data.decode("utf-8", "daybreak-counted")
        findings.replaced[name] += _counted.bytes
        return text
