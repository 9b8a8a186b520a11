"""Tokenizers: one small protocol, the kinds by name, learnt from text or read from any tokenizer.json."""

import abc
import codecs
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from daybreak.core.errors import UsageError, nearest

END_OF_TEXT = "<|endoftext|>"
VOCABULARY_LADDER = (257, 512, 1024, 2048, 4096, 8192, 16384, 32768)
KINDS = ("bytes", "characters", "bpe", "wordpiece", "unigram", "words")
LEARNT_AT_EVERY_SIZE = ("bytes", "characters", "bpe", "words")  # a smaller vocabulary is a beginning of a larger one
NOT_LOSSLESS = {"wordpiece": "WordPiece drops white space and what its alphabet lacks"}
BYTES_AND_END = 257  # the smallest vocabulary

_MEASURED_CHARACTERS = 128_000
_LONGEST_LEARNT = 100_000  # characters of one string; shorter strings also spread over the cores


class Tokenizer(abc.ABC):
    """Text to ids and back.

    `lossless`: every text is decoded to exactly itself, and `token_bytes` are the bytes of the text behind each token.
    Where it is not, `loss` says why in words, `token_bytes` are only about right, and bits per byte cannot be told
    from tokens. Half of a surrogate pair, which UTF-8 cannot hold, counts as U+FFFD everywhere.
    """

    kind: str
    vocabulary: int
    end_of_text: int
    loss: str = ""
    end_of_text_token: str = END_OF_TEXT
    token_bytes: np.ndarray  # uint16 [vocabulary]; special tokens have none

    @property
    def lossless(self) -> bool:
        return not self.loss

    @property
    def dtype(self) -> type[np.unsignedinteger[Any]]:
        return np.uint16 if self.vocabulary <= 1 << 16 else np.uint32

    # Making one

    @classmethod
    def bytes_only(cls) -> "Tokenizer":
        """Every byte is a token, and the end of a text is one: a vocabulary of 257."""
        from daybreak.data.tokenizing.byte_level import ByteLevelBpe

        return ByteLevelBpe(())

    @classmethod
    def learn(
        cls, documents: Iterable[str], vocabulary: int, *, kind: str = "bpe", join_han: bool = True
    ) -> "Tokenizer":
        """Learns at most `vocabulary` tokens, fewer where the text has too little to learn. Raises UsageError.

        kind: one of KINDS. join_han: whether a token of a byte-level BPE may hold more than one Chinese character; the
        tokenizer is of the same kind either way: where no such merge was learnt, none can happen. All of `documents`
        is read; a bounded sample is the caller's duty. The same documents give the same tokens.
        """
        if kind not in KINDS:
            raise UsageError("an unknown kind of tokenizer", received=kind, attempt=nearest(kind, KINDS))
        if vocabulary < BYTES_AND_END:
            raise UsageError(
                "the vocabulary is too small",
                received=str(vocabulary),
                attempt=f"at least {BYTES_AND_END}: the bytes and the end of a text",
            )
        if kind == "bytes" or (vocabulary == BYTES_AND_END and kind != "wordpiece"):
            return cls.bytes_only()
        texts = _cut(documents)
        if kind == "bpe":
            from daybreak.data.tokenizing import byte_level

            return byte_level.learnt(texts, vocabulary, join_han=join_han)
        if kind == "characters":
            from daybreak.data.tokenizing import characters

            return characters.learnt(texts, vocabulary)
        if kind == "words":
            from daybreak.data.tokenizing import words

            return words.learnt(texts, vocabulary)
        from daybreak.data.tokenizing import learning

        return learning.wordpiece(texts, vocabulary) if kind == "wordpiece" else learning.unigram(texts, vocabulary)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Reads what `save` or another library wrote; see `loaded`."""
        return loaded(path)

    def truncated(self, vocabulary: int) -> "Tokenizer":
        """The tokenizer that learning at this smaller vocabulary would have given: its tokens are the first ones.

        Raises UsageError: of this kind, or as it was read from a file, the tokenizer has one vocabulary only.
        """
        if vocabulary == self.vocabulary:
            return self
        raise UsageError(
            f"this tokenizer ({self.kind}) has one vocabulary only",
            received=f"vocabulary={vocabulary}",
            attempt=f"vocabulary={self.vocabulary}",
        )

    # Files

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What tokenizer.json holds, in Hugging Face's layout wherever that can say it."""

    def save(self, path: Path) -> None:
        """Writes tokenizer.json; whole or not at all."""
        aside = path.with_name(path.name + ".part")
        aside.write_text(json.dumps(self.to_json(), ensure_ascii=False), encoding="utf-8")
        os.replace(aside, path)

    # Encoding

    @abc.abstractmethod
    def encode_documents(self, batch: Sequence[str]) -> list[np.ndarray]:
        """Tokens of each text, uint16 (uint32 above 65,536 tokens); nothing is put between texts.

        On all cores, unless the process may use one only. A special token that is spelled out in a text is text.
        """

    def encode(self, text: str) -> list[int]:
        return self.encode_documents([text])[0].tolist()

    def pieces(self, text: str) -> list[tuple[int, bytes]]:
        """Each token with the bytes of `text` that it stands for; where the kind drops some, those are in none."""
        return [(token, self.bytes_of(token)) for token in self.encode(text)]

    def text_bytes(self, texts: Sequence[str], tokens: np.ndarray) -> int:
        """UTF-8 bytes of the texts that `tokens` are of: from the tokens where they tell exactly, else counted."""
        if self.lossless:
            return int(self.token_bytes[tokens].sum(dtype=np.int64))
        return sum(len(utf8(text)) for text in texts)

    # Decoding

    @abc.abstractmethod
    def bytes_of(self, token: int) -> bytes:
        """The bytes behind a token; none behind a special one."""

    def decode(self, tokens: Iterable[int]) -> str:
        """The text; bytes that are not UTF-8 become U+FFFD, and special tokens are nothing."""
        return b"".join(map(self.bytes_of, tokens)).decode("utf-8", "replace")

    def shows_text(self, tokens: Iterable[int]) -> bool:
        """Whether there is anything to see in the text: a whole character that is no white space."""
        text = b"".join(map(self.bytes_of, tokens)).decode("utf-8", "ignore")
        return any(character.isprintable() and not character.isspace() for character in text)


class StreamDecoder:
    """Text of tokens as they come; the first bytes of a character wait for its last one.

    Where the tokens end before that, the character is left out: there is no such character to show.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        return self._decoder.decode(self._tokenizer.bytes_of(token))


def loaded(path: Path, *, end_of_text: str = "", lossless: bool = False) -> Tokenizer:
    """Reads any tokenizer.json: daybreak's own, and those of Hugging Face's libraries with their ids kept.

    end_of_text: the special token that ends a text; else the first known one that the file has, or the `eos_token` of
    a tokenizer_config.json beside it. lossless: leave out a Unicode normalization before a byte-level tokenizer, which
    changes no token of text that is normalized. Raises ResourceError: the file is missing or damaged. Raises
    UsageError: nothing is known to end a text; the error names the special tokens that there are.
    """
    from daybreak.data.tokenizing.layout import read

    return read(path, end_of_text=end_of_text, lossless=lossless)


def measure(
    sample: Sequence[str], vocabularies: Sequence[int] = VOCABULARY_LADDER, *, learnt: Tokenizer | None = None
) -> tuple[dict[str, float], float]:
    """Bytes per token for each vocabulary, and tokens encoded per second at the largest.

    Learns once, at the largest vocabulary, from nine tenths of the sample, and measures on the rest: on the text that
    it was learnt from, a large vocabulary looks better than it is. With `learnt` given, nothing is learnt, and the
    sample should be text that it has not seen. Vocabularies that the text is too small for are left out.
    """
    unseen = [text for index, text in enumerate(sample) if index % 10 == 9] if learnt is None else list(sample)
    if learnt is None:
        seen = [text for index, text in enumerate(sample) if index % 10 != 9] if unseen else sample
        learnt = Tokenizer.learn(seen, max(vocabularies))
    texts = list(_first_characters(unseen or sample, _MEASURED_CHARACTERS))
    total_bytes = sum(len(utf8(text)) for text in texts)
    bytes_per_token, rate = {}, 0.0
    for vocabulary in sorted(vocabularies):
        if vocabulary > learnt.vocabulary:
            break
        tokenizer = learnt.truncated(vocabulary)
        tokenizer.encode("warm")
        start = time.perf_counter()
        tokens = sum(len(ids) for ids in tokenizer.encode_documents(texts))
        rate = tokens / max(time.perf_counter() - start, 1e-9)
        bytes_per_token[str(vocabulary)] = total_bytes / max(tokens, 1)
    return bytes_per_token, rate


def utf8(text: str) -> bytes:
    """UTF-8; half of a surrogate pair, which Python's strings can hold and UTF-8 cannot, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _first_characters(texts: Iterable[str], limit: int) -> Iterator[str]:
    for text in texts:
        if limit <= 0:
            return
        yield text[:limit]
        limit -= len(text)


def _cut(documents: Iterable[str]) -> Iterator[str]:
    for text in documents:
        for start in range(0, len(text), _LONGEST_LEARNT):
            yield utf8(text[start : start + _LONGEST_LEARNT]).decode()
