"""A vocabulary of characters; numpy only."""

from __future__ import annotations

import math

import numpy as np

UNICODE_SCALAR_VALUES = 0x110000 - 0x800  # all code points but the surrogates


class CharacterVocabulary:
    """Characters (Unicode scalar values) as ids 1, 2, ... by falling frequency; id 0 is any character not learned."""

    size: int  # ids in use, id 0 included

    def __init__(self, characters: np.ndarray) -> None:
        self._characters = np.asarray(characters, np.uint32)  # [size - 1] code points, in order of id
        self.size = len(self._characters) + 1
        self._ids = np.zeros(0x110000, np.uint16 if self.size <= 2**16 else np.uint32)
        self._ids[self._characters] = np.arange(1, self.size)

    @classmethod
    def learn(cls, text: str) -> CharacterVocabulary:
        """Every character of `text`, the most frequent first, equals by code point."""
        counts = np.bincount(_code_points(text))
        by_count = np.argsort(-counts, kind="stable")
        return cls(by_count[: np.count_nonzero(counts)])

    def encode(self, text: str) -> np.ndarray:
        """uint16, or uint32 for more than 65,536 ids: one id a character."""
        ids: np.ndarray = self._ids[_code_points(text)]
        return ids

    def decode(self, ids: np.ndarray) -> str:
        """The text; U+FFFD where the character was not learned."""
        with_unknown = np.concatenate([np.array([0xFFFD], np.uint32), self._characters])
        return with_unknown[np.asarray(ids, np.int64)].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def escape_nats(self, text: str) -> float:
        """Nats to spell what `encode` maps to id 0, uniformly over Unicode: owed on top of the model's own nats."""
        unseen = len(text) - int(np.count_nonzero(self.encode(text)))
        return unseen * math.log(UNICODE_SCALAR_VALUES)

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything, for safetensors.numpy.save_file; `from_tensors` reads it back."""
        return {"characters": self._characters}

    @classmethod
    def from_tensors(cls, tensors: dict[str, np.ndarray]) -> CharacterVocabulary:
        """The vocabulary that `tensors` described."""
        return cls(tensors["characters"])


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
