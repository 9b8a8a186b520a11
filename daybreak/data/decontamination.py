"""Decontamination: documents that share long runs of words with the text of an evaluation are taken away."""

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from daybreak.core.errors import UsageError
from daybreak.data import word_hashes
from daybreak.data.cleaning import Document, Note

RUN_WORDS = 13  # as in Brown et al. 2020, arXiv:2005.14165, appendix C
# A Chinese word is 1.5 to 2 characters, so 13 words are about 26 characters; each counts as a word in words.hashes.
RUN_CHARACTERS = 26


@dataclass(frozen=True, eq=False, kw_only=True)
class Decontamination:
    """Takes away a document that shares at least `least_runs` runs of words with the texts it was made against.

    More than one run is asked for where a short phrase that both have for other reasons, such as a licence's, should
    not cost a document; a text of the evaluation that is shorter than a run is not looked for. Made by `against`.
    """

    word_runs: np.ndarray = dataclasses.field(repr=False)  # uint64, sorted, each once
    character_runs: np.ndarray = dataclasses.field(repr=False)
    least_runs: int = 1
    action: str = "drop"  # or report: counted, and left
    name: str = dataclasses.field(default="decontamination", init=False)

    def __post_init__(self) -> None:
        if self.action not in ("drop", "report"):
            raise UsageError("no such action", received=f"action={self.action}", attempt="action=drop or action=report")
        if self.least_runs < 1:
            raise UsageError(
                "the number of shared passages must be at least 1",
                received=f"least_runs={self.least_runs}",
                attempt="such as least_runs=1",
            )

    @classmethod
    def against(cls, texts: Iterable[str], *, least_runs: int = 1, action: str = "drop") -> Self:
        """Of the texts of an evaluation. Raises UsageError: least_runs is not positive, or no such action."""
        found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for text in texts:
            for kind, runs in zip(found, _runs(text), strict=True):
                kind.append(runs)
        of_words, of_characters = (np.unique(np.concatenate([np.empty(0, np.uint64), *kind])) for kind in found)
        return cls(word_runs=of_words, character_runs=of_characters, least_runs=least_runs, action=action)

    def __len__(self) -> int:
        """Runs that are looked for."""
        return len(self.word_runs) + len(self.character_runs)

    def identity(self) -> str:
        """Equal for equal texts and settings."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.action, self.least_runs, len(self.word_runs)):
            digest.update(f"{part},".encode())
        for runs in (self.word_runs, self.character_runs):
            digest.update(runs.astype("<u8").tobytes())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Decontamination) and self.identity() == other.identity()

    def __hash__(self) -> int:
        return hash(self.identity())

    def __call__(self, document: Document, note: Note) -> Document | None:
        of_words, of_characters = _runs(document.text)
        shared = _shared(of_words, self.word_runs) + _shared(of_characters, self.character_runs)
        if not shared:
            return document
        if shared < self.least_runs:
            note(f"kept with fewer than {self.least_runs} runs of an evaluation")
            return document
        # The number in powers of two: one that copies a whole text of the evaluation, and one that quotes a phrase.
        note(f"{1 << (shared.bit_length() - 1)} or more runs of an evaluation")
        return None if self.action == "drop" else document


def _runs(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of its runs of 13 words, and of its runs of 26 of which most are Chinese characters.

    A run of 13 that is mostly Chinese characters is none: seven words are a phrase that many texts have.
    """
    hashed, alone = word_hashes.hashes_and_alone(text)
    if not alone.any():
        return (word_hashes.runs(hashed, RUN_WORDS) if len(hashed) >= RUN_WORDS else hashed[:0]), hashed[:0]
    before = np.concatenate(([0], np.cumsum(alone)))
    found = []
    for length, mostly_characters in ((RUN_WORDS, False), (RUN_CHARACTERS, True)):
        if len(hashed) < length:
            found.append(hashed[:0])
            continue
        characters = before[length:] - before[:-length]
        found.append(word_hashes.runs(hashed, length)[(characters > length // 2) == mostly_characters])
    return found[0], found[1]


def _shared(runs: np.ndarray, known: np.ndarray) -> int:
    """How many of the runs, each counted once, are known."""
    if not len(runs) or not len(known):
        return 0
    at = np.searchsorted(known, runs)
    same = known[np.minimum(at, len(known) - 1)] == runs
    return len(np.unique(runs[same])) if same.any() else 0
