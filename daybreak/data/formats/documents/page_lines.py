"""Lines of pages: what pages repeat is taken out, words are joined over line ends, and lines to paragraphs."""

import re
import unicodedata
from collections import Counter
from itertools import pairwise

from daybreak.data.formats.documents.parts import CONTENTS, FURNITURE
from daybreak.data.formats.findings import Findings

_EDGE = 2  # lines at the top and at the bottom of a page that may be a heading or a number of it
_NEAR = 4  # pages on both sides, among which
_LEAST = 3  # pages have the same line
_MOST_ODD = 0.3  # share of characters that no text has
_CONTENTS = re.compile(r"(?:[.\u2026\u00b7] ?){5,}\s*(?:\d+|[ivxlc]+)$")
_NUMBER = re.compile(r"\d+|\b[ivxlc]+\b")
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_TO_TEXT = {**_LIGATURES, 0xA0: " ", 0x0: None, 0xFFFE: "\x02", 0xAD: "-"}
_HYPHENS = ("-", "\x02", "\u2010")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_LAST_WORD = re.compile(r"[^\W\d_]+$")
_FIRST_WORD = re.compile(r"[^\W\d_]+")
_HAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uff00-\uffef，、]")
_FULL, _FULL_ASIAN = 0.7, 0.85  # of a long line: shorter lines end on purpose
_SHORT = 30  # characters, under which no line is a long one


def is_garbled(text: str) -> bool:
    """Most of it is no character: the font of the page does not tell which letters its shapes are."""
    text = text[:4096]
    odd = sum(unicodedata.category(c) in ("Cc", "Cn", "Co") and c not in "\t\n\r\f\x02\ufffe" for c in text)
    return odd + text.count("\ufffd") > _MOST_ODD * len(text)


def joined(pages: list[str], findings: Findings) -> list[str]:
    """The texts of pages, each with a line break behind it, as one text has them."""
    lines = [_lines(page) for page in pages]
    _without_furniture(lines, findings)
    lines = [_without_contents(page, findings) for page in lines]
    known = Counter(word.lower() for page in lines for line in page for word in _WORD.findall(line))
    return [f"{paragraph}\n" for paragraph in _paragraphs(lines, known)]


def _lines(page: str) -> list[str]:
    text = page.translate(_TO_TEXT).replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    text = text.replace("\x02\n", "\x02").replace("\x02", "\x02\n")
    return [line for line in (" ".join(line.split(" ")).strip(" \t") for line in text.split("\n")) if line]


def _without_furniture(pages: list[list[str]], findings: Findings) -> None:
    """Takes out the lines at the edges of pages that the pages around have, too, but for their numbers."""
    edges = []
    for lines in pages:
        places = [*range(min(_EDGE, len(lines))), *range(max(_EDGE, len(lines) - _EDGE), len(lines))]
        edges.append({place: _NUMBER.sub("#", lines[place].lower()).strip() for place in places})
    gone: list[list[int]] = []
    counting = _counting(pages)
    for number, edge in enumerate(edges):
        around = edges[max(0, number - _NEAR) : number + _NEAR + 1]
        counted = Counter(line for one in around for line in set(one.values()))
        gone.append([place for place, line in edge.items() if counted[line] >= _LEAST or line in counting[number]])
    for lines, places in zip(pages, gone, strict=True):
        if places:
            findings.leave_part(FURNITURE, sum(len(lines[place].encode("utf-8", "replace")) for place in places))
        for place in reversed(places):
            del lines[place]


def _counting(pages: list[list[str]]) -> list[set[str]]:
    """Of each page "#", where a line at an edge is a number that is one more on the next page, or one less before."""
    numbers = [{int(line) for line in (*page[:1], *page[-1:]) if line.isdecimal() and len(line) < 6} for page in pages]
    found: list[set[str]] = [set() for _ in pages]
    for place, (here, after) in enumerate(pairwise(numbers)):
        if any(number + 1 in after for number in here):
            found[place].add("#")
            found[place + 1].add("#")
    return found


def _without_contents(lines: list[str], findings: Findings) -> list[str]:
    """Without the lines of a table of contents, which dots lead to a number of a page."""
    kept = [line for line in lines if not _CONTENTS.search(line)]
    if len(kept) < len(lines):
        lost = sum(len(line.encode("utf-8", "replace")) for line in lines if _CONTENTS.search(line))
        findings.leave_part(CONTENTS, lost)
    return kept


def _paragraphs(pages: list[list[str]], known: Counter[str]) -> list[str]:
    """Lines of one paragraph on one line, also over the end of a page, and words that were divided whole."""
    parts: list[str] = []
    above, long = "", 0
    for lines in pages:
        lengths = sorted(map(len, lines))
        for line in lines:
            shown = line.removesuffix("\x02")
            if above.endswith(_HYPHENS) and (divided := _divided(above, line, known)) is not None:
                parts[-1] = parts[-1].rstrip("-\u2010") + divided + shown
            elif above and long >= _SHORT and _goes_on(above, line, long):
                parts[-1] += ("" if _HAN.match(above[-1]) and _HAN.match(line[0]) else " ") + shown
            else:
                parts.append(shown)
            above, long = line, lengths[len(lengths) * 9 // 10]  # a long line of the page that this one is of
    return parts


def _divided(above: str, line: str, known: Counter[str]) -> str | None:
    """What stands between the halves of a word that goes over a line end: nothing or a hyphen; None: it is no word."""
    first, second = _LAST_WORD.search(above[:-1]), _FIRST_WORD.match(line)
    if not first or not second or not second[0][0].islower():
        return None
    whole, hyphened = (first[0] + second[0]).lower(), f"{first[0]}-{second[0]}".lower()
    return "-" if known[hyphened] > known[whole] else ""


def _goes_on(above: str, line: str, long: int) -> bool:
    """Whether a sentence goes on in the next line, as far as that can be told."""
    if _HAN.match(above[-1]) and _HAN.match(line[0]):
        return len(above) >= _FULL_ASIAN * long
    return len(above) >= _FULL * long and line[0].islower() and (above[-1].isalnum() or above[-1] in ",’'\")")
