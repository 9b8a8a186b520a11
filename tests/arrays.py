"""Tokens in memory, as batches read them."""

from collections.abc import Sequence

import numpy as np


class InMemory:
    """Documents of so many tokens, each with the end-of-text token before it; the other tokens are all different."""

    def __init__(self, lengths: Sequence[int], *, first: int = 0, vocabulary: int = 60_000) -> None:
        self.vocabulary, self.end_of_text, self.documents = vocabulary, vocabulary - 1, len(lengths)
        self.starts = np.cumsum([0, *lengths[:-1]]).astype(np.int64)
        self.ids = np.arange(first, first + sum(lengths)).astype(np.uint16)
        self.ids[self.starts] = self.end_of_text

    def __len__(self) -> int:
        return len(self.ids)

    def slice(self, start: int, stop: int) -> np.ndarray:
        return self.ids[start:stop]

    def gather(self, positions: np.ndarray) -> np.ndarray:
        return self.ids[positions]
