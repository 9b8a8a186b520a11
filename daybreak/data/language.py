"""Language: which one a text is in, by its script, its commonest words and py3langid; and a filter by it."""

import dataclasses
import functools
import tempfile
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from daybreak.core.errors import ResourceError, UsageError
from daybreak.data.cleaning import Document, Note

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

UNKNOWN = "und"  # ISO 639-2's word for text without letters

_SLICE = 320  # characters, of the beginning, the middle and the end; together they are the sample
_SLICES = 3
_MODEL_BYTES = 300  # given to the model; more costs time and decides nothing
_LEAST_WORDS = 20  # in a sample, for its commonest words to decide
_LEAST_SHARE = 0.2  # share of its words that must be in the list of one language
_LEAD = 3.0  # times those of the next list
_HAN_WEIGHT = 2.0  # a Chinese character says about as much as so many letters
_LEAST_SCRIPT = 0.1  # of the letters; a Chinese manual is full of English names, an English one quotes little Chinese
_LEAST_KANA = 0.04  # share of kana among Han and kana, for Japanese

# Scripts that one language, or nearly only one, is written in. The others only tell the model's sample apart.
_OTHER, _LATIN, _HAN, _KANA = range(4)
_SCRIPTS = (
    ("ko", ((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7A3))),
    ("th", ((0x0E00, 0x0E7F),)),
    ("el", ((0x0370, 0x03FF), (0x1F00, 0x1FFF))),
    ("he", ((0x0590, 0x05FF),)),
    ("ka", ((0x10A0, 0x10FF),)),
    ("hy", ((0x0530, 0x058F),)),
    ("ta", ((0x0B80, 0x0BFF),)),
    ("te", ((0x0C00, 0x0C7F),)),
    ("kn", ((0x0C80, 0x0CFF),)),
    ("ml", ((0x0D00, 0x0D7F),)),
    ("gu", ((0x0A80, 0x0AFF),)),
    ("pa", ((0x0A00, 0x0A7F),)),
    ("or", ((0x0B00, 0x0B7F),)),
    ("si", ((0x0D80, 0x0DFF),)),
    ("km", ((0x1780, 0x17FF),)),
    ("lo", ((0x0E80, 0x0EFF),)),
    ("am", ((0x1200, 0x137F),)),
)
_FIRST_SCRIPT = 4
_CHINESE = {"yue": "zh", "wuu": "zh", "cmn": "zh", "nan": "zh"}  # the model's codes for kinds of it
# Short words that make up a third of any prose in their language and hardly stand in another's.
_COMMON = {
    "en": "the of and to that is was for it with as his he be on by are this have from or had you they which not were "
    "their been has but its will would there what when if who can more your",
    "de": "der die und den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat "
    "dass sie nach wird bei einer um einem einen über steht vor ich",
    "fr": "le la les et des du une est dans qui que pour par sur au avec ce il sont pas plus aux se sa ses elle ou été "
    "deux cette leur un être je vous nous",
    "es": "el los las que y del se por una con para es al lo como más su pero sus le ha o este sí porque esta son fue",
    "it": "il di che è e la per un in del della non una sono dei con si le gli nel alla più da anche ma come ha",
    "pt": "o a que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua",
    "nl": "de het een van en dat die is op te zijn met voor niet aan er maar om ook als dan bij nog uit wordt naar",
}


def identified(text: str, *, model: bool = True) -> tuple[str, float]:
    """The language's ISO 639-1 code and the confidence, 0 to 1; ("und", 0.0) where there are no letters.

    model: whether py3langid is asked; it takes a second to load. Without it, fewer of the commonest words must do, and
    what they leave open is "und".

    A sample from the beginning, the middle and the end decides, first by its script, then by its commonest words, and
    where both leave it open by py3langid (Lui and Baldwin 2012, https://aclanthology.org/P12-3005), which is restricted
    to nothing and normed to probabilities. Raises ResourceError: there is no room for its model.
    """
    sample = _sample(text)
    if not sample.isascii():
        script, share = _by_script(sample)
        if script:
            return script, share
    by_words = _by_words(sample, _LEAST_SHARE if model else _LEAST_SHARE / 3)
    if by_words:
        return by_words
    data = sample.encode("utf-8", "replace")
    if not model or not any(map(str.isalpha, sample)):
        return UNKNOWN, 0.0
    code, confidence = _model().classify(_shortened(data))
    return _CHINESE.get(code, str(code)), float(confidence)


def _sample(text: str) -> str:
    if len(text) <= _SLICE * _SLICES:
        return text
    step = (len(text) - _SLICE) // (_SLICES - 1)
    return "\n".join(text[start : start + _SLICE] for start in range(0, step * (_SLICES - 1) + 1, step))


def _shortened(data: bytes) -> bytes:
    if len(data) <= _MODEL_BYTES:
        return data
    half, middle = _MODEL_BYTES // 2, len(data) // 2
    return data[:half] + b" " + data[middle : middle + half]


def _by_script(sample: str) -> tuple[str, float]:
    codes = np.frombuffer(sample.encode("utf-32-le", "replace"), np.uint32)
    counts = np.bincount(_script_of()[np.minimum(codes, 0xFFFF)], minlength=_FIRST_SCRIPT + len(_SCRIPTS))
    counts[_HAN] += np.count_nonzero((codes >= 0x20000) & (codes < 0x32400))
    han, kana = _HAN_WEIGHT * counts[_HAN], _HAN_WEIGHT * counts[_KANA]
    letters = counts[_LATIN] + han + kana + counts[_FIRST_SCRIPT:].sum()
    if not letters:
        return "", 0.0
    east, other = float((han + kana) / letters), int(counts[_FIRST_SCRIPT:].argmax())
    if east >= _LEAST_SCRIPT:
        return ("ja" if kana > _LEAST_KANA * (han + kana) else "zh"), min(1.0, 0.5 + east / 2)
    share = float(counts[_FIRST_SCRIPT + other] / letters)
    if share >= 0.5:
        return _SCRIPTS[other][0], share
    return "", 0.0


@functools.cache
def _script_of() -> np.ndarray:
    """uint8 [65536]: a script's number for each code point."""
    table = np.zeros(0x10000, np.uint8)
    for first, last in ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x400, 0x52F), (0x600, 0x6FF), (0x900, 0x9FF)):
        table[first : last + 1] = _LATIN  # the scripts that the model tells apart
    for first, last in ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF)):
        table[first : last + 1] = _HAN
    table[0x3041:0x30FB] = _KANA
    table[0xFF66:0xFF9E] = _KANA
    for number, (_, ranges) in enumerate(_SCRIPTS):
        for first, last in ranges:
            table[first : last + 1] = _FIRST_SCRIPT + number
    return table


def _by_words(sample: str, least_share: float) -> tuple[str, float] | None:
    found = sample.lower().split()
    if len(found) < _LEAST_WORDS:
        return None
    known = _languages_of()
    counts = Counter(language for word in found if word in known for language in known[word])
    first, second = (*counts.most_common(2), ("", 0), ("", 0))[:2]
    if first[1] < least_share * len(found) or first[1] < _LEAD * second[1]:
        return None
    return first[0], min(1.0, first[1] / (first[1] + second[1]))


@functools.cache
def _languages_of() -> dict[str, tuple[str, ...]]:
    languages: dict[str, tuple[str, ...]] = {}
    for language, listed in _COMMON.items():
        for word in listed.split():
            languages[word] = (*languages.get(word, ()), language)
    return languages


@functools.cache
def _model() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    try:
        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    except OSError as error:  # it is unpacked into a file, 30 MB
        raise ResourceError(
            "the language detection model cannot be unpacked",
            received=f"{tempfile.gettempdir()}: {error.strerror or error}",
            attempt="free some space there, or name another folder in the variable TMPDIR",
        ) from None


@dataclass(frozen=True, kw_only=True)
class LanguageFilter:
    """Keeps documents in some languages, as `identified` tells them; those too short to tell stay.

    Raises UsageError: a code that is not two letters.
    """

    name: str = dataclasses.field(default="language_filter", init=False)
    languages: str = "en,zh"  # ISO 639-1 codes, with commas between
    least_confidence: float = 0.5  # below it a document's language is not known, and it stays
    least_bytes: int = 100  # likewise

    def __post_init__(self) -> None:
        for code in self.codes():
            if len(code) != 2 or not code.isascii() or not code.isalpha():
                raise UsageError(
                    "a language is named by two letters",
                    received=self.languages,
                    attempt="separate the languages by commas, such as en,zh",
                )

    def codes(self) -> tuple[str, ...]:
        return tuple(part.strip().lower() for part in self.languages.split(","))

    def __call__(self, document: Document, note: Note) -> Document | None:
        if document.kind == "code" or len(document.text) < self.least_bytes // 3:
            return document
        if len(document.text.encode("utf-8", "replace")) < self.least_bytes:
            return document
        code, confidence = (document.language, 1.0) if document.language else identified(document.text)
        if code == UNKNOWN or confidence < self.least_confidence or code in self.codes():
            return document
        note(code)
        return None
