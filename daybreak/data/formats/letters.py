"""Letters: how unlikely a text is as text of one of some fifty languages, by its letters and their order.

The cost of a text is -ln of its probability, in nats: of pairs of letters within words, of characters of Chinese,
Japanese and Korean alone, and of marks, symbols and controls by their class. Two readings of the same bytes are
compared by it: the wrong one puts letters where no language has them. benchmarks/letters.py makes the tables.
"""

import functools
import unicodedata
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STEPS = 4.0  # of the tables, a nat
_UNSEEN = 40  # the most of a pair, and that of one with a letter that the language does not have, in steps
_BORROWED = 28  # of a pair with a letter that names and borrowed words have in every language
_BORROWED_LETTERS = "áàäåæçéèêíñóöøôúü"
_MIXED = 60  # of a pair of letters of two scripts, which no word has
_RARE = 60  # of a character that Chinese, Japanese or Korean text hardly has
_IDEOGRAPHS = ("zh", "ja", "ko")
_USUAL = "‘’‚“”„–—…«»‹›•·©®™°§€£¿¡、。，．：；？！「」『』（）《》〈〉【】〔〕・ー　～％＂＇／－＋＝،؛؟ـ"
_USUAL_COST, _SYMBOL_COST, _ODD_COST, _LINE_COST = 4.0, 8.0, 30.0, 1.0
_IDEOGRAPH_SHARE = 0.75  # in the strain: one out of thousands costs more than a letter
_BESIDE = 3.0  # more for a symbol that touches a letter
_RAISED = 4.0  # for a capital behind a small letter
_TURNED = 4.0  # for an apostrophe in front of a word
_UNEXPECTED = 12.0  # for a language that the encoding is not used for
_LATIN = "abcdefghijklmnopqrstuvwxyz"
_FOLDED = str.maketrans("șț", "şţ")


@dataclass(frozen=True)
class _Tables:
    """Arrays by code point below 2**16, and of pairs of places in the alphabet of all languages."""

    languages: list[str]
    place: "NDArray[np.int64]"  # of a letter, from 2; 1: a letter of no language; 0: no letter
    classes: (
        "NDArray[np.uint8]"  # 0: plain, 1: usual mark, 2: symbol, 3: control or unassigned, 4: an ideograph, 5: ª, º
    )
    case: "NDArray[np.uint8]"  # 1: small, 2: capital
    size: int  # of the alphabet, with the two places that are no letters
    pairs: "NDArray[np.uint8]"  # first times size and second; language: in steps
    beyond: "NDArray[np.bool_]"  # of a place: the letter is none of ASCII
    alone: "NDArray[np.uint8]"  # Chinese, Japanese, Korean; code point: in steps


@dataclass(frozen=True)
class Cost:
    """Of a text as one of a language. Nats."""

    nats: float
    language: str
    strain: float  # nats for each pair with a letter beyond ASCII, and for each symbol; a text has 2 to 5, noise 8


def cost(text: str, expected: frozenset[str] = frozenset()) -> Cost:
    """Of the language in which the text is likeliest. expected: any other has to be much likelier."""
    import numpy as np

    tables = _tables()
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)
    codes = np.minimum(codes, 0xFFFF)
    place, kinds, case = tables.place[codes], tables.classes[codes], tables.case[codes]
    size = tables.size
    edged = np.concatenate(([0], place, [0]))
    seen, counts = np.unique(edged[:-1] * size + edged[1:], return_counts=True)
    by_language: NDArray[np.float64] = counts.astype(np.float64) @ tables.pairs[seen] / STEPS
    wide = codes[kinds == 4]
    for row, language in enumerate(tables.languages):
        if language in _IDEOGRAPHS:
            by_language[row] += tables.alone[_IDEOGRAPHS.index(language)][wide].sum() / STEPS
        else:
            by_language[row] += len(wide) * _RARE / STEPS
    letter = (place > 0) | (kinds == 4)
    symbol = (kinds == 2) | (kinds == 5)
    beside = (symbol[:-1] & letter[1:]).sum() + (symbol[1:] & letter[:-1]).sum()
    turned = ((codes[1:-1] == ord("’")) & ~letter[:-2] & letter[2:]).sum()
    raised = ((case[:-1] == 1) & (case[1:] == 2)).sum()
    rest = (kinds == 1).sum() * _USUAL_COST + (kinds == 5).sum() * _USUAL_COST
    rest += (kinds == 2).sum() * _SYMBOL_COST + (kinds == 3).sum() * _ODD_COST
    line = (codes[1:] == codes[:-1]) & (codes[1:] >= 0x2500) & (codes[1:] < 0x25A0)  # box drawing that goes on
    rest -= line.sum() * (_SYMBOL_COST - _LINE_COST)
    rest += beside * _BESIDE + raised * _RAISED + turned * _TURNED
    if expected:
        by_language += np.array([0.0 if language in expected else _UNEXPECTED for language in tables.languages])
    best = int(by_language.argmin())
    beyond = tables.beyond[seen // size] | tables.beyond[seen % size]
    touching = counts[beyond].astype(np.float64)
    nats = tables.pairs[seen[beyond], best] @ touching / STEPS + rest
    if len(wide):
        known = tables.languages[best] in _IDEOGRAPHS
        alone = tables.alone[_IDEOGRAPHS.index(tables.languages[best])][wide].sum() if known else len(wide) * _RARE
        nats += alone / STEPS * _IDEOGRAPH_SHARE
    strain = float(nats) / max(1.0, float(touching.sum() + len(wide) + (kinds > 0).sum()))
    return Cost(float(by_language[best] + rest), tables.languages[best], strain)


@functools.cache
def _tables() -> _Tables:
    import numpy as np

    lines = resources.files("daybreak.data").joinpath("letters.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    languages = [row[0] for row in rows]
    alphabet = sorted({c for row in rows if row[0] not in _IDEOGRAPHS for c in row[1]})
    index = {c: n for n, c in enumerate(alphabet, 2)}
    size = len(alphabet) + 2
    scripts = np.array(["", "none", *(unicodedata.name(c).split()[0] for c in alphabet)])
    mixed = (scripts[:, None] != scripts) & (scripts[:, None] != "") & (scripts != "")
    borrowed = np.array([c in _BORROWED_LETTERS for c in ["", "", *alphabet]])
    borrowed = borrowed[:, None] | borrowed
    unseen = np.where(mixed, _MIXED, np.where(borrowed, _BORROWED, _UNSEEN)).astype(np.uint8)
    pairs = np.tile(unseen, (len(rows), 1, 1))
    alone = np.full((len(_IDEOGRAPHS), 1 << 16), _RARE, dtype=np.uint8)
    latin = [0, *(index[c] for c in _LATIN)]
    english = rows[languages.index("en")]
    own = _square(english[2], len(english[1]))
    kept = [0, *(english[1].index(c) + 1 for c in _LATIN)]
    for number, row in enumerate(rows):
        pairs[number][np.ix_(latin, latin)] = own[np.ix_(kept, kept)]  # English words are in texts of every language
        if row[0] in _IDEOGRAPHS:
            for band in row[1:]:
                alone[_IDEOGRAPHS.index(row[0])][[ord(c) for c in band[1:] if ord(c) < 1 << 16]] = ord(band[0]) - 33
        else:
            places = [0, *(index[c] for c in row[1])]
            here = np.ix_(places, places)
            pairs[number][here] = np.minimum(_square(row[2], len(row[1])), unseen[here])
        pairs[number, 0, 0] = 0
    beyond = np.ones(size, dtype=np.bool_)
    beyond[latin] = False
    by_pair = np.ascontiguousarray(pairs.reshape(len(rows), -1).T)
    return _Tables(languages, *_characters(index), size, by_pair, beyond, alone)


def _square(steps: str, letters: int) -> "NDArray[np.uint8]":
    import numpy as np

    return np.frombuffer(steps.encode(), dtype=np.uint8).reshape(letters + 1, letters + 1) - 33


def _characters(index: dict[str, int]) -> "tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint8]]":
    import numpy as np

    place = np.zeros(1 << 16, dtype=np.int64)
    classes = np.zeros(1 << 16, dtype=np.uint8)
    case = np.zeros(1 << 16, dtype=np.uint8)
    for code in range(1 << 16):
        c = chr(code)
        if 0x3400 <= code < 0xA000 or 0x3041 <= code < 0x30FF or 0xAC00 <= code < 0xD7A4:
            classes[code] = 0 if c in _USUAL else 4
            continue
        if 0xD800 <= code < 0xF900 or code == 0xFFFD:
            classes[code] = 3
            continue
        if c in "ªº":
            classes[code] = 5
            continue
        small = c.lower()[:1].translate(_FOLDED)
        if small in index:
            place[code] = index[small]
            case[code] = 1 if c == c.lower() else 2
            continue
        category = unicodedata.category(c)
        if category[0] in "LM":
            place[code] = 1
            case[code] = {"Ll": 1, "Lu": 2}.get(category, 0)
        elif category[0] == "C" and c not in "\t\n\r\f\x0b\x1b":
            classes[code] = 3
        elif code >= 0x80:
            classes[code] = 1 if c in _USUAL or c == "\u00a0" else 2
    return place, classes, case
