"""Stop words: the commonest words of English and Chinese taken out, for classic baselines that count words."""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources

from daybreak.core.errors import MissingPackage
from daybreak.data.cleaning import Document, Note

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_ROUNDS = 10  # what is left may be divided into words otherwise
_LONGEST = 10_000  # characters that are divided into words at once


@dataclass(frozen=True, kw_only=True)
class StopWords:
    """Without English and Chinese stop words (Luhn 1960, doi:10.1002/asi.5090110403); jieba finds the Chinese words.

    Of no use to a language model, whose task they are part of. Raises MissingPackage: jieba is not installed.
    """

    name: str = dataclasses.field(default="stop_words", init=False)

    def __call__(self, document: Document, note: Note) -> Document | None:
        if document.kind == "code":
            return document
        text = _english().sub("", document.text)
        if not text.isascii() and _HAN.search(text):
            text = _HAN.sub(_without_chinese, text)
        if text == document.text:
            return document
        note("words taken out")
        return dataclasses.replace(document, text=text)


def listed(language: str) -> tuple[str, ...]:
    """The stop words of "en" or "zh", in lower case."""
    text = resources.files("daybreak.data").joinpath(f"stop_words_{language}.txt").read_text("utf-8")
    return tuple(dict.fromkeys(text.split()))


@functools.cache
def _english() -> re.Pattern[str]:
    """A stop word in any case, with either apostrophe, and the blank after it."""
    words = "|".join(re.escape(word).replace("'", "['’]") for word in sorted(listed("en"), key=len, reverse=True))
    return re.compile(rf"(?<![\w'’])(?:(?:{words})(?![\w'’])[ \t]*)+", re.IGNORECASE)


@functools.cache
def _chinese() -> frozenset[str]:
    return frozenset(listed("zh"))


def _without_chinese(found: re.Match[str]) -> str:
    stop, cut, run = _chinese(), _jieba(), found[0]
    for _ in range(_ROUNDS):
        pieces = (run[start : start + _LONGEST] for start in range(0, len(run), _LONGEST))
        left = "".join(word for piece in pieces for word in cut(piece) if word not in stop)
        if left == run:
            break
        run = left
    return run


@functools.cache
def _jieba() -> Callable[[str], Iterable[str]]:
    try:
        import jieba
    except ImportError:
        raise MissingPackage(
            "Chinese stop words need jieba, which is not installed",
            received="stop_words",
            attempt="run pip install '.[zh]' in the checkout",
        ) from None
    jieba.setLogLevel(60)
    tokenizer = jieba.Tokenizer()
    return lambda run: tokenizer.cut(run, HMM=False)
