"""Quality: removes documents not worth learning from: noise, dumps, numbers, lists of links, and repetition."""

import dataclasses
import functools
import re
from dataclasses import dataclass

import numpy as np

from daybreak.data import word_hashes
from daybreak.data.cleaning import Document, Note

_SHORT = 160  # bytes, up to which words are counted to see whether there are enough
_JUDGED = 100  # characters without blanks, from which on shares say something
_WINDOW = 32  # bytes that are compared to find repetition cheaply
# Windows that begin with a byte whose lower five bits are 0x15 are sampled: u, 5 and one in 32 of UTF-8's.
_ARE_SAMPLED = bytes(byte & 0x1F == 0x15 for byte in range(256))
_SAMPLED_LESS_FROM = 3000  # bytes, from which on there are enough of v, 6 and one in 32 of UTF-8's
_ARE_SAMPLED_LESS = bytes(byte & 0x1F == 0x16 for byte in range(256))
_SUSPECT = 0.15  # share of copies among sampled windows, below which n-grams are not counted
_HAN_LOOKED_AT = 400  # characters
_SCRIPTS_LOOKED_AT = 6000  # bytes
_LEAST_OF_SCRIPT = 0.08  # share of the characters of each of three scripts
_CONSONANTS = re.compile("[bcdfghjklmnpqrstvwxz]{5,}", re.IGNORECASE)
_HAN = re.compile("[\u4e00-\u9fff]+")
_MARKS = re.compile("[.,;:!?。，；：！？、…]")
_ASCII_LETTERS, _VOWELS, _HEX, _DIGITS, _BLANKS, _ASCII, _FOREIGN, _WHOLE, _HAN_LEADS, _TABLE = range(10)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Filters after Gopher (arXiv:2112.11446, table A1), C4 (arXiv:1910.10683) and FineWeb (arXiv:2406.17557).

    The rules are theirs; the thresholds are wider, so that poems, laws, dialogues and manuals, Chinese ones too, pass.
    A Chinese character is a word, and shares are of characters where languages without spaces would fail a rule on
    words. Of code only the length is looked at.
    """

    name: str = dataclasses.field(default="quality", init=False)
    least_words: int = 3  # in a document
    least_letters: float = 0.35  # share of the characters that are neither blanks nor lines of a table
    most_digits: float = 0.4  # share of the characters that are not blanks
    least_blanks: float = 0.04  # share of the characters, in Latin script
    most_consonants: float = 0.2  # share of the letters, in runs of five and more
    least_common_han: float = 0.6  # share of Chinese characters in the common half of GB 2312 or Big5
    most_mixed_scripts: float = 0.45  # share of neighbouring characters of different scripts, where there are three
    most_repeated_lines: float = 0.5  # share of the characters in repeated lines
    most_repeated_runs: float = 0.5  # share of the words in repeated runs
    run_words: int = 10  # in such a run
    link_lines: int = 8  # so many short lines without punctuation are a list of links
    cautious: bool = False  # documents are doubted, not taken away: too many of them say that this text is so

    def __call__(self, document: Document, note: Note) -> Document | None:
        reason = self.reason(document)
        if not reason:
            return document
        note(reason)
        return dataclasses.replace(document, doubted=self.name) if self.cautious else None

    def reason(self, document: Document) -> str:
        """Why the document goes, in a few words; empty where it stays."""
        text = document.text
        data = text.encode("utf-8", "replace")
        if document.starts and len(data) <= _SHORT and len(word_hashes.hashes(text)) < self.least_words:
            return "too short"
        if document.kind == "code":
            return ""
        counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256) @ _classes()
        return self._characters(text, data, counts) or self._repeated_lines(text) or self._repeated_runs(text, data)

    def _characters(self, text: str, data: bytes, counts: np.ndarray) -> str:
        solid = counts[_WHOLE] - counts[_BLANKS]
        if solid < _JUDGED:
            return ""
        latin, digits = counts[_ASCII_LETTERS], counts[_DIGITS]
        if digits > self.most_digits * solid:
            return "numbers"
        alphanumeric = latin + digits
        if digits > 0.2 * solid and counts[_HEX] + digits > 0.8 * alphanumeric and alphanumeric > 0.5 * solid:
            return "hexadecimal"
        letters = latin + counts[_FOREIGN]
        if letters < self.least_letters * (solid - counts[_TABLE]) or letters < self.least_letters / 2 * solid:
            return "symbols"
        foreign = counts[_ASCII] < 0.9 * counts[_WHOLE]
        if foreign and _mixed_scripts(data[:_SCRIPTS_LOOKED_AT]) > self.most_mixed_scripts:
            return "characters at random"
        if counts[_ASCII] > 0.95 * counts[_WHOLE]:
            if counts[_BLANKS] < self.least_blanks * counts[_WHOLE]:
                return "no spaces"
            if latin > 0.5 * solid and counts[_VOWELS] < 0.33 * latin:
                runs = sum(map(len, _CONSONANTS.findall(text)))
                if runs > self.most_consonants * latin:
                    return "letters at random"
        if counts[_HAN_LEADS] > max(0.3 * solid, _JUDGED):
            return self._chinese(text)
        return ""

    def _chinese(self, text: str) -> str:
        han = "".join(_HAN.findall(text, 0, 4 * _HAN_LOOKED_AT))[:_HAN_LOOKED_AT]
        if not han:
            return ""
        common = _common_han()[np.frombuffer(han.encode("utf-16-le"), np.uint16)]
        return "characters at random" if common.mean() < self.least_common_han else ""

    def _repeated_lines(self, text: str) -> str:
        lines = text.split("\n")
        if len(lines) < self.link_lines:
            return ""
        lines = [line for line in map(str.strip, lines) if line]
        distinct = set(lines)
        total = sum(map(len, lines))
        if len(lines) >= self.link_lines:
            repeated = total - sum(map(len, distinct))
            if repeated > self.most_repeated_lines * total:
                return "repeated lines"
            short = 24 if total == len("".join(lines).encode("utf-8", "replace")) else 10
            if total < short * len(lines) and len(_MARKS.findall(text)) < 0.1 * len(lines):
                return "a list of links"
        return ""

    def _repeated_runs(self, text: str, data: bytes) -> str:
        if _copies(data) < _SUSPECT:
            return ""
        runs = word_hashes.runs(word_hashes.hashes(text), self.run_words)
        if len(runs) < 2 * self.run_words:
            return ""
        first = np.zeros(len(runs), bool)
        first[np.unique(runs, return_index=True)[1]] = True
        return "repeated words" if (~first).mean() > self.most_repeated_runs else ""


def _copies(data: bytes) -> float:
    """The share of sampled windows of 32 bytes that stand twice: what no repetition of words can do without."""
    size = len(data) - _WINDOW + 1
    if size < 2 * _WINDOW:
        return 0.0
    # Chosen by their content, so that copies are chosen alike.
    sampled = _ARE_SAMPLED if size < _SAMPLED_LESS_FROM else _ARE_SAMPLED_LESS
    places = np.flatnonzero(np.frombuffer(data.translate(sampled), np.bool_, size)).tolist()
    if len(places) < 8:  # a few characters over and over: too few different windows to sample
        places = list(range(min(size, 1 << 16)))
    return 1 - len({data[place : place + _WINDOW] for place in places}) / len(places)


def _mixed_scripts(data: bytes) -> float:
    """The share of neighbouring characters that are of different scripts; 0 where fewer than three have a part in it.

    Writing changes its script for a word, not for each character; what is drawn from all of Unicode keeps to none.
    """
    scripts = _scripts()[np.frombuffer(data, np.uint8)]
    scripts = scripts[scripts > 0]
    shares = np.bincount(scripts, minlength=2) / max(1, len(scripts))
    if np.count_nonzero(shares >= _LEAST_OF_SCRIPT) < 3:
        return 0.0
    return float(np.mean(scripts[1:] != scripts[:-1]))


@functools.cache
def _scripts() -> np.ndarray:
    """uint8 [256]: the script that a character's first byte in UTF-8 tells, about; 0: white space, or no first byte."""
    table = np.zeros(256, np.uint8)
    groups = (
        (*range(0x21, 0x7F), *range(0xC3, 0xD0), 0xE1),  # Latin with its marks, Greek
        tuple(range(0xD0, 0xE0)),  # Cyrillic, Hebrew, Arabic
        (0xE0,),  # Indic
        (0xE2,),  # symbols
        (*range(0xE3, 0xEA), 0xEF),  # kana, Chinese and their marks
        tuple(range(0xEA, 0xEE)),  # Hangul
        tuple(range(0xF0, 0xF5)),  # emoji
    )
    for number, first_bytes in enumerate(groups, 1):
        table[list(first_bytes)] = number
    return table


@functools.cache
def _classes() -> np.ndarray:
    """float64 [256, 10]: how much each byte of UTF-8 adds to each count."""
    table = np.zeros((256, 10))
    for letters, column in (("abcdefghijklmnopqrstuvwxyz", _ASCII_LETTERS), ("aeiouy", _VOWELS), ("abcdef", _HEX)):
        table[list((letters + letters.upper()).encode()), column] = 1
    table[list(b"0123456789"), _DIGITS] = 1
    table[list(b" \t\n\r"), _BLANKS] = 1
    table[list(b"-|=+_"), _TABLE] = 1
    table[:0x80, _ASCII] = 1
    table[:0x80, _WHOLE] = 1
    table[0xC2:0xF5, _WHOLE] = 1  # the first byte of a character stands for it
    # Which first bytes are letters': C2 is signs of Latin-1, E2 punctuation and symbols, EF mostly full-width signs;
    # E3 kana and the marks of Chinese.
    table[0xC3:0xE0, _FOREIGN] = 1
    table[[0xE0, 0xE1, *range(0xE3, 0xEE)], _FOREIGN] = 1
    table[0xE4:0xEA, _HAN_LEADS] = 1
    return table


@functools.cache
def _common_han() -> np.ndarray:
    """bool [65536]: the characters that GB 2312 and Big5 order by use before the rare ones."""
    common = np.zeros(0x10000, bool)
    for codec, first, last in (("gb2312", 0xB0, 0xD7), ("big5", 0xA4, 0xC6)):
        for high in range(first, last + 1):
            for low in range(0x40, 0xFF):
                character = bytes((high, low)).decode(codec, "ignore")
                if len(character) == 1:
                    common[ord(character)] = True
    return common
