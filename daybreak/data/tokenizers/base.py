"""Tokenizer: the small protocol of all kinds, and the text of tokens as they come."""

import abc
import codecs
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from daybreak.core.errors import UsageError
from daybreak.core.values import Json

END_OF_TEXT = "<|endoftext|>"
BYTES_AND_END = 257  # the smallest vocabulary


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
    def dtype(self) -> type[np.uint16 | np.uint32]:
        return np.uint16 if self.vocabulary <= 1 << 16 else np.uint32

    def truncated(self, vocabulary: int) -> "Tokenizer":
        """The tokenizer that learning at this smaller vocabulary would have given: its tokens are the first ones.

        Raises UsageError: of this kind, or as it was read from a file, the tokenizer has one vocabulary only.
        """
        if vocabulary == self.vocabulary:
            return self
        raise UsageError(
            f"this tokenizer ({self.kind}) has a fixed vocabulary",
            received=f"vocabulary={vocabulary}",
            attempt=f"leave the vocabulary at {self.vocabulary}",
        )

    # Files

    @abc.abstractmethod
    def to_json(self) -> Json:
        """The content of tokenizer.json, in Hugging Face's layout where that can express it."""

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


def utf8(text: str) -> bytes:
    """UTF-8; half of a surrogate pair, which Python's strings can hold and UTF-8 cannot, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
