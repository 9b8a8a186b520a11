"""Unicode: steps that repair wrongly decoded characters, give text one spelling, and take invisible characters out."""

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from daybreak.core.errors import MissingPackage
from daybreak.data.cleaning import Document, Note

_ROUNDS = 4  # repeated until nothing changes any more
_LOOKED_AT = 100_000  # characters of a line

# What the bytes 80 to BF of UTF-8 look like when each was read as a character of Latin-1 or Windows-1252.
_CONTINUED = "\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
# "à" before a space that does not break is French, so that alone is no trace.
_MISREAD = re.compile(
    f"[\u00c2-\u00df][{_CONTINUED}]|(?!à\u00a0)[\u00e0-\u00ef][{_CONTINUED}]{{2}}|\u00f0\u0178|\u00f0\u009f"
)
# The same over UTF-8, where all that it begins with is the byte C3, which is found fast.
_CONTINUED_BYTES = rb"(?:\xc2[\x80-\xbf]|\xc5|\xc6|\xcb|\xe2[\x80\x82\x84])"
_MISREAD_BYTES = re.compile(rb"\xc3(?:[\x82-\x9f\xb0]|(?!\xa0\xc2\xa0)[\xa0-\xaf])" + _CONTINUED_BYTES)
# The comma and the full stop of Chinese, as UTF-8 read as GBK: two characters that hardly any text has otherwise.
_MISREAD_AS_GBK = re.compile("[锛銆]")
_LEAST_MISREAD_AS_GBK = 2
_KEPT_MARKS = 30  # on one letter: the limit of Unicode's stream-safe format

_BLANKS = " \t\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u202f\u205f\u3000\ufeff"
_LINE_ENDS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_LINE_END = re.compile(f"\r\n?|[{_LINE_ENDS}]")
_ENDS_BLANK = frozenset(_BLANKS)
_BLANK_ENDS = (" \n", "\t\n")  # of lines in ASCII
_VISIBLE = bytes((*range(0x20, 0x7F), *b"\t\n"))
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_HALF_WIDTH_KANA = re.compile("[\uff61-\uff9f]+")
_WIDE = re.compile("[\u3000\uff01-\uff5e\uff61-\uff9f]")
_PLAIN = {
    **dict.fromkeys(map(ord, "‘’‚‛′"), "'"),
    **dict.fromkeys(map(ord, "“”„‟″"), '"'),
    **dict.fromkeys(map(ord, "‐‑‒–—―−"), "-"),
    **dict.fromkeys((0x00A0, *range(0x2000, 0x200B), 0x202F, 0x205F), " "),
    ord("…"): "...",
}
_FANCY = re.compile("[" + "".join(map(chr, _PLAIN)) + "]")
_HAN = re.compile("[\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]+")

_SURROGATE = re.compile("[\ud800-\udfff]")

# Letters whose shape ZWJ and ZWNJ change: Arabic and its neighbours, the scripts of India and around it, Mongolian.
_JOINED = "\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u17ff\u1800-\u18af\ufb50-\ufdcf\ufdf0-\ufeef"
_EMOJI = "\u00a9\u00ae\u203c-\u3299\ufe0f\U0001f000-\U0001faff"
_INVISIBLE = (
    "\x1b\\[[0-?]{0,64}[ -/]{0,8}[@-~]"  # colours of a terminal
    f"|(?<![{_JOINED}])\u200c|\u200c(?![{_JOINED}])"
    f"|(?<![{_JOINED}{_EMOJI}])\u200d"
    "|[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\uffff\ufdd0-\ufdef\ue000-\uf8ff\ud800-\udfff\U000e0000-\U000e007f\U000f0000-\U0010ffff]"
)
_FLAG = "\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f"  # of a part of a country, spelled in invisible letters
_TAKEN_OUT = re.compile(_INVISIBLE)
_TAKEN_OUT_BUT_FLAGS = re.compile(f"({_FLAG})|{_INVISIBLE}")


@dataclass(frozen=True, kw_only=True)
class UnicodeRepair:
    """Text that was decoded with the wrong encoding, as it was meant, by ftfy (Speer 2019, doi:10.5281/zenodo.2591652);
    UTF-8 read as GBK by undoing just that; then normalization form C (https://www.unicode.org/reports/tr15/).

    Only lines in which a regular expression finds the traces of a wrong decoding are handed to ftfy.
    """

    name: str = dataclasses.field(default="unicode_repair", init=False)
    composed: bool = True  # normalization form C

    def __call__(self, document: Document, note: Note) -> Document | None:
        text = document.text
        if text.isascii():
            return document
        for _ in range(_ROUNDS):
            before, text = text, self._once(text, note)
            if text == before:
                break
        return document if text == document.text else dataclasses.replace(document, text=text)

    def _once(self, text: str, note: Note) -> str:
        if self.composed and not unicodedata.is_normalized("NFC", text):
            # Putting the marks of a letter in order takes the square of their number.
            text = unicodedata.normalize("NFC", _many_marks().sub(lambda found: found[0][:_KEPT_MARKS], text))
            note("composed")
        if _MISREAD_BYTES.search(text.encode("utf-8", "replace")):
            text = _by_line(text, _MISREAD, 1, _ftfy(), "UTF-8 read as Latin", note)
        if "锛" in text or "銆" in text:
            text = _by_line(text, _MISREAD_AS_GBK, _LEAST_MISREAD_AS_GBK, _from_gbk, "UTF-8 read as GBK", note)
        return text


def _by_line(text: str, trace: re.Pattern[str], least: int, repair: Callable[[str], str], what: str, note: Note) -> str:
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if len(trace.findall(line, 0, _LOOKED_AT)) >= least:
            repaired = repair(line)
            if repaired != line:
                lines[index] = repaired
                note(what)
    return "\n".join(lines)


@functools.cache
def _ftfy() -> Callable[[str], str]:
    import ftfy

    def repaired(line: str) -> str:
        # Halves of surrogate pairs defeat every attempt, and each takes its time.
        return line if _SURROGATE.search(line) else ftfy.fix_encoding(line)

    return repaired


@functools.cache
def _many_marks() -> re.Pattern[str]:
    marks = "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.combining(chr(code)))
    return re.compile(f"[{marks}]{{{_KEPT_MARKS + 1},}}")


def _from_gbk(line: str) -> str:
    try:
        repaired = line.encode("gb18030").decode("utf-8")
    except UnicodeError:  # a real 锛, or bytes that were lost on the way
        return line
    return repaired


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """One spelling: line ends are \\n, lines end without blanks, no more than `blank_lines` follow each other.

    On request the width of East Asian forms (https://www.unicode.org/reports/tr11/), plain punctuation, and simplified
    characters by OpenCC's tables (https://github.com/BYVoid/OpenCC). Raises MissingPackage: OpenCC is not installed.
    """

    name: str = dataclasses.field(default="normalization", init=False)
    blank_lines: int = 2  # at most, in a row
    width: bool = False  # full-width letters, digits and ASCII punctuation to half width, half-width kana to full
    simplified: bool = False  # traditional to simplified Chinese characters
    punctuation: bool = False  # curly quotes, dashes, ellipses and special spaces to those of ASCII

    def __call__(self, document: Document, note: Note) -> Document | None:
        text = document.text
        if self.width and not text.isascii() and _WIDE.search(text):
            text = _HALF_WIDTH_KANA.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
            text = text.translate(_FULL_WIDTH)
            note("width")
        if self.punctuation and not text.isascii() and _FANCY.search(text):
            text = text.translate(_PLAIN)
            note("punctuation")
        if self.simplified and not text.isascii():
            text = self._simplified(text, note)
        text = self._lines(text, note)
        return document if text == document.text else dataclasses.replace(document, text=text)

    def _simplified(self, text: str, note: Note) -> str:
        convert = _opencc()
        for _ in range(_ROUNDS):
            before, text = text, _HAN.sub(lambda found: convert(found[0]), text)
            if text == before:
                break
            note("simplified")
        return text

    def _lines(self, text: str, note: Note) -> str:
        if any(end in text for end in _LINE_ENDS):
            text = _LINE_END.sub("\n", text)
            note("line ends")
        even = text.isascii() and not any(end in text for end in _BLANK_ENDS)
        lines = [] if even else text.split("\n")
        if not _ENDS_BLANK.isdisjoint([line[-1:] for line in lines[:-1]]):
            text = "\n".join([*(line.rstrip(_BLANKS) for line in lines[:-1]), lines[-1]])
            note("trailing blanks")
        if "\n" * (self.blank_lines + 2) in text:
            text = _blank_lines(self.blank_lines).sub("\n" * (self.blank_lines + 1), text)
            note("blank lines")
        return text


@functools.cache
def _blank_lines(most: int) -> re.Pattern[str]:
    return re.compile(f"\n{{{most + 2},}}")


@functools.cache
def _opencc() -> Callable[[str], str]:
    try:
        from opencc import OpenCC
    except ImportError:
        raise MissingPackage(
            "simplified Chinese needs OpenCC, which is not installed",
            received="simplified=True",
            attempt="run pip install '.[zh]' in the checkout",
        ) from None
    convert: Callable[[str], str] = OpenCC("t2s").convert
    return convert


@dataclass(frozen=True, kw_only=True)
class ControlCharacters:
    """Removes characters without a shape: control codes but tab and line break, zero-width characters, marks of
    direction, byte order marks, soft hyphens, private use, noncharacters, and what stands for bytes that were lost
    (categories Cc, Cf, Cs and Co of https://www.unicode.org/reports/tr44/).

    A zero-width joiner stays where a script or an emoji needs it.
    """

    name: str = dataclasses.field(default="control_characters", init=False)

    def __call__(self, document: Document, note: Note) -> Document | None:
        text = document.text
        if not _may_hold_invisible(text):
            return document
        cleaned = _LINE_END.sub("\n", text)
        flags = "\U0001f3f4" in cleaned
        cleaned = _TAKEN_OUT_BUT_FLAGS.sub(r"\1", cleaned) if flags else _TAKEN_OUT.sub("", cleaned)
        if cleaned == text:
            return document
        note("characters taken out" if len(cleaned) < len(text) else "line ends")
        return dataclasses.replace(document, text=cleaned)


def _may_hold_invisible(text: str) -> bool:
    if text.isascii():
        return bool(text.encode().translate(None, _VISIBLE))
    return "\ufffd" in text or not text.replace("\n", " ").replace("\t", " ").replace("\u3000", " ").isprintable()
