"""Cleaning: removes stop words."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.data import stop_words
from daybreak.data.cleaning import Cleaning
from daybreak.techniques import Context, Technique


@dataclass(frozen=True, kw_only=True)
class StopWords(Technique):
    """Text without English and Chinese stop words (https://doi.org/10.1002/asi.5090110403), for baselines that count
    words."""

    claim: ClassVar[str] = "bits_per_byte"
    standing: ClassVar[str] = "a text without stop words is another text, so the losses cannot be compared"
    does: ClassVar[str] = "takes out stop words, for baselines that count words"
    refuses_when: ClassVar[str] = "never"
    default: ClassVar[bool] = False

    def documents(self, cleaning: Cleaning, run: Context) -> tuple[Cleaning, int]:
        return cleaning.with_step(stop_words.StopWords()), 1
