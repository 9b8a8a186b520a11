"""Detection: which encoding the bytes of a text without a mark or a label are in, and which one comes next."""

import unicodedata
from dataclasses import dataclass

from daybreak.data.formats.letters import cost

_WESTERN = "af ca da de en es et eu fi fr ga id is it ms nb nl nn pt so sq sv sw tl"
# Languages, and the encodings that they are written in, each behind how much rarer it is than Windows-1252, in nats.
_USED = (
    (_WESTERN, "0 web-windows-1252 3 web-iso-8859-15 3 web-macintosh 3 cp850 3 cp437 6 cp858 6 cp860 6 cp861 6 cp863"),
    (_WESTERN, "6 cp865 6 mac_iceland 6 web-iso-8859-10 6 web-iso-8859-14"),
    (_WESTERN, "12 cp037 12 cp500 12 cp273"),  # of mainframes
    ("cs sk pl hu hr bs sl ro sq de en", "0 web-windows-1250 1 web-iso-8859-2 3 cp852 6 mac_latin2 6 mac_croatian"),
    ("cs sk pl hu hr bs sl ro sq de en", "6 mac_romanian 6 web-iso-8859-16"),
    ("cy ga en", "6 web-iso-8859-14"),
    ("ru uk bg be sr mk mn", "0 web-windows-1251 1 web-koi8-r 3 web-koi8-u 3 web-ibm866 3 web-iso-8859-5"),
    ("ru uk bg be sr mk mn", "3 web-x-mac-cyrillic 6 cp855 6 cp1125"),
    ("kk ru mn", "6 kz1048 6 ptcp154 6 koi8-t"),
    ("el", "1 web-windows-1253 1 web-iso-8859-7 5 cp737 5 cp869 5 mac_greek"),
    ("tr az", "1 web-windows-1254 5 cp857 5 mac_turkish 6 web-iso-8859-3"),
    ("eo", "6 web-iso-8859-3"),
    ("he", "1 web-windows-1255 2 web-iso-8859-8 5 cp862"),
    ("ar fa ur", "1 web-windows-1256 2 web-iso-8859-6 5 cp720 5 cp864"),
    ("lt lv et", "1 web-windows-1257 3 web-iso-8859-13 3 web-iso-8859-4 5 cp775"),
    ("vi", "2 web-windows-1258"),
    ("th", "1 web-windows-874"),
    ("zh", "0 web-gb18030 0 web-big5"),
    ("ja", "0 cp932 1 web-euc-jp 6 euc_jis_2004 6 shift_jis_2004"),
    ("ko", "0 cp949 6 johab"),
)
_LABELLED = 20.0  # nats that a label is worth
_DOUBTFUL = 20.0  # nats between two readings, below which neither is sure
_WEAK = 5.6  # strain above which it is no reading at all
_STRANGE = 4.9  # likewise, above which the reading is not sure, though it may be the best
_FEW = 20  # characters beyond ASCII; fewer can be odd in a good text
_MOST_RIVALS = 3
_FIRST_BYTES = 1 << 9  # for a first look, which most of the encodings do not survive
_FIRST_MARGIN = 120.0  # nats
_SAMPLE_BYTES = 1 << 15


@dataclass(frozen=True)
class Candidate:
    """A reading of some bytes."""

    codec: str
    nats: float  # the cost of its text, with that of the encoding
    strain: float
    text: str

    @property
    def weak(self) -> bool:
        """It looks like no language."""
        return self.strain > _WEAK and sum(c > "\x7f" for c in self.text) >= _FEW

    @property
    def strange(self) -> bool:
        """It is not sure to be a reading at all, however many there are to choose from."""
        return self.strain > _STRANGE


def _languages() -> dict[str, tuple[float, frozenset[str]]]:
    found: dict[str, tuple[float, frozenset[str]]] = {}
    for languages, encodings in _USED:
        words = encodings.split()
        for rarity, codec in zip(words[::2], words[1::2], strict=True):
            found[codec] = float(rarity), frozenset(languages.split()) | found.get(codec, (0.0, frozenset[str]()))[1]
    return found


_ENCODINGS = _languages()


def ranked(lines: list[bytes], label: str = "") -> list[Candidate]:
    """The readings of lines beyond ASCII, the likeliest first. label: the codec that the text says it is in."""
    sample = _thinned(lines, _SAMPLE_BYTES)
    codecs = list(_ENCODINGS)
    if label and label not in _ENCODINGS:
        codecs.append(label)
    if len(sample) > 2 * _FIRST_BYTES:
        first = _sorted(_thinned(lines, _FIRST_BYTES), codecs, label)
        codecs = [one.codec for one in first if one.nats <= first[0].nats + _FIRST_MARGIN or one.codec == label]
    return _sorted(sample, codecs, label)


def _thinned(lines: list[bytes], most: int) -> bytes:
    """Lines from all over, as many as there is room for."""
    size = sum(map(len, lines))
    step = max(1, -(-size // most))
    kept, left = [], most
    for line in lines[::step]:
        kept.append(line[: max(0, left)])
        left -= len(line)
        if left <= 0:
            break
    return b"".join(kept)


def _sorted(sample: bytes, codecs: list[str], label: str) -> list[Candidate]:
    return sorted((reading(sample, codec, label) for codec in codecs), key=lambda one: one.nats)


def reading(sample: bytes, codec: str, label: str = "") -> Candidate:
    """The bytes as text of one encoding."""
    rarity, languages = _ENCODINGS.get(codec, (6.0, frozenset[str]()))
    text = sample.decode(codec, "replace")
    if codec == "web-windows-1258":
        text = unicodedata.normalize("NFC", text)
    found = cost(text, languages)
    return Candidate(codec, found.nats + rarity - (_LABELLED if codec == label else 0.0), found.strain, text)


def rivals(candidates: list[Candidate]) -> tuple[str, ...]:
    """The codecs whose readings differ from the likeliest, and from each other, and are about as likely; at most three.

    Where the likeliest is a strange text the next one is among them, however much less likely it is.
    """
    best = candidates[0]
    found: dict[str, str] = {}
    for one in candidates[1:]:
        near = one.nats <= best.nats + _DOUBTFUL or (best.strange and not found)
        if near and one.text != best.text and len(found) < _MOST_RIVALS:
            found.setdefault(one.text, one.codec)
    return tuple(found.values())
