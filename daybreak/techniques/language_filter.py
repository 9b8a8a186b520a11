"""Cleaning: keeps documents in the languages that were named, by language identification."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.data import language
from daybreak.data.cleaning import Cleaning
from daybreak.techniques import Context, Technique


@dataclass(frozen=True, kw_only=True)
class LanguageFilter(Technique):
    """Documents in some languages only, as py3langid tells them (https://aclanthology.org/P12-3005)."""

    claim: ClassVar[str] = "bits_per_byte"
    standing: ClassVar[str] = "which languages to keep is a choice, not a gain"
    does: ClassVar[str] = "keeps documents in the languages that were named"
    refuses_when: ClassVar[str] = "never"
    default: ClassVar[bool] = False
    languages: str = "en,zh"  # ISO 639-1 codes, with commas between
    least_confidence: float = 0.5  # below it a document's language is not known, and it stays

    def documents(self, cleaning: Cleaning, run: Context) -> tuple[Cleaning, int]:
        return cleaning.with_step(
            language.LanguageFilter(languages=self.languages, least_confidence=self.least_confidence)
        ), 1
