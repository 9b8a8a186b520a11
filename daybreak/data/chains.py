"""Chains: texts that are stored in pieces, signed as wholes too, so that one is seen to be a copy of an uncut text.

A long text file is cut, a row or a page of the same length is not: of the two no piece resembles the other text.
"""

from collections.abc import Sequence

import numpy as np

from daybreak.data.cleaning import Across, CopyFinder

MOST_BYTES = 1 << 18  # of a text that is signed as a whole; longer rows are cut like text files
LEAST_BYTES = 1 << 12  # of a document that may be a copy of a chain: half of the shortest one


class Chains:
    """The chains among documents that come one after the other."""

    def __init__(self, across: Sequence[Across]) -> None:
        self._steps = [step for step in across if isinstance(step, CopyFinder)]
        self._signatures: list[list[np.ndarray]] = [[] for _ in self._steps]
        self._first: list[int] = []
        self._pieces: list[int] = []
        self._texts: list[str] = []  # of the chain that is not at its end; none where it is too long
        self._begun, self._size, self._count = 0, 0, 0

    def add(self, text: str, size: int, *, starts: bool) -> None:
        """The next document and its size in bytes."""
        if not self._steps:
            return
        if starts or not self._count:
            self._end()
            self._begun += self._count
            self._texts, self._size, self._count = [], 0, 0
        self._count += 1
        self._size += size
        if self._size > MOST_BYTES:
            self._texts = []
        else:
            self._texts.append(text)

    def _end(self) -> None:
        if self._count > 1 and self._size <= MOST_BYTES:
            self._first.append(self._begun)
            self._pieces.append(self._count)
            for step, found in zip(self._steps, self._signatures, strict=True):
                found.append(step.signatures(["".join(self._texts)]))

    def arrays(self) -> dict[str, np.ndarray]:
        """After the last document: int64 [chains] first documents and pieces; uint64 [chains, width] of each step."""
        self._end()
        self._count = 0
        arrays = {"chains": np.array(self._first, np.int64), "chain_pieces": np.array(self._pieces, np.int64)}
        for step, found in zip(self._steps, self._signatures, strict=True):
            arrays[name_of(step.name)] = np.concatenate(found) if found else np.empty((0, step.width), np.uint64)
        return arrays


def name_of(step: str) -> str:
    """Of the array with a step's signatures of chains."""
    return f"{step}_of_chains"
