"""Words: whole words as tokens, Chinese split by jieba, and bytes for rare words; for n-gram baselines."""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from daybreak.core.errors import MissingPackage
from daybreak.core.values import Json
from daybreak.data.tokenizers.base import BYTES_AND_END, Tokenizer, utf8

if TYPE_CHECKING:
    import jieba

# Letters with a space before them, digits, signs, white space: every character is in exactly one of these.
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_WORD = re.compile(rf"[{_HAN}]+| ?(?:(?![{_HAN}])[^\W\d_])+| ?\d+| ?[^\w\s]+|_+|\s+?(?= ?\S)|\s+")
_STARTS_HAN = re.compile(f"[{_HAN}]")
_LEAST_SEEN = 2
_LONGEST = 64  # bytes of a word that gets a token


class Words(Tokenizer):
    """The id of a byte is its value, word i is token 256 + i, the most frequent first, and the last id ends a text.

    A word without a token is spelled in those of its characters that are words, and the rest in bytes, so that every
    text comes back. chinese: whether jieba cuts runs of Chinese characters; else each character is a word. Other
    libraries cannot open its tokenizer.json.
    """

    kind = "words"

    def __init__(self, words: Sequence[str], *, chinese: bool) -> None:
        self.words, self.chinese = tuple(words), chinese
        self._pieces = [*(bytes([value]) for value in range(256)), *(word.encode() for word in self.words), b""]
        self._known = {word: 256 + index for index, word in enumerate(self.words)}
        self.vocabulary = len(self._pieces)
        self.end_of_text = self.vocabulary - 1
        self.token_bytes = np.array([len(piece) for piece in self._pieces], dtype=np.uint16)

    def truncated(self, vocabulary: int) -> "Words":
        return Words(self.words[: max(vocabulary, BYTES_AND_END) - BYTES_AND_END], chinese=self.chinese)

    @classmethod
    def of_json(cls, data: Json) -> "Words":
        own = data["daybreak"]
        if own["kind"] != cls.kind or not all(isinstance(word, str) for word in own["words"]):
            raise ValueError(f"an unknown kind {own['kind']!r}")
        return cls(own["words"], chinese=bool(own["chinese"]))

    def to_json(self) -> Json:
        return {"version": "1.0", "daybreak": {"kind": self.kind, "chinese": self.chinese, "words": self.words}}

    def encode_documents(self, batch: Sequence[str]) -> list[np.ndarray]:
        return [self._encoded(utf8(text).decode()) for text in batch]

    def _encoded(self, text: str) -> np.ndarray:
        ids: list[int] = []
        known = self._known
        for word in cut(text, chinese=self.chinese):
            token = known.get(word)
            if token is not None:
                ids.append(token)
                continue
            for character in word:
                token = known.get(character)
                if token is None:
                    ids.extend(character.encode())
                else:
                    ids.append(token)
        return np.array(ids, dtype=self.dtype)

    def bytes_of(self, token: int) -> bytes:
        return self._pieces[token]


def learnt(texts: Iterable[str], vocabulary: int) -> Words:
    """The most frequent words, without those of a single byte, which have a token already."""
    counts: Counter[str] = Counter()
    chinese = False
    for text in texts:
        chinese = chinese or _STARTS_HAN.search(text) is not None
        counts.update(cut(text, chinese=chinese))
    words = [word for word, count in counts.items() if count >= _LEAST_SEEN and 1 < len(word.encode()) <= _LONGEST]
    words.sort(key=lambda word: (-counts[word], word))
    return Words(words[: vocabulary - BYTES_AND_END], chinese=chinese)


def cut(text: str, *, chinese: bool) -> Iterator[str]:
    """Words that join up to the text. Raises MissingPackage: Chinese, and jieba is not installed."""
    for match in _WORD.finditer(text):
        word = match[0]
        if not _STARTS_HAN.match(word):
            yield word
        elif chinese:
            yield from _segmented(word)
        else:
            yield from word


def _segmented(run: str) -> list[str]:
    words = _jieba().lcut(run, HMM=False)
    return words if "".join(words) == run else list(run)


@functools.cache
def _jieba() -> "jieba.Tokenizer":
    """A segmenter with jieba's own dictionary, whatever else in the process has taught it."""
    try:
        import jieba
    except ImportError:
        raise MissingPackage(
            "splitting Chinese into words needs jieba, which is not installed",
            received="a text with Chinese characters",
            attempt="run pip install '.[zh]' in the checkout, or use --tokenizer bpe",
        ) from None
    jieba.setLogLevel("WARNING")
    segmenter = jieba.Tokenizer()
    segmenter.initialize()
    return segmenter
