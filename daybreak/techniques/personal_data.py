"""Cleaning: finds personal data such as addresses, telephone numbers and keys; counts it, tags it or drops it."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.data.cleaning import Cleaning
from daybreak.techniques import Context, Technique


@dataclass(frozen=True, kw_only=True)
class PersonalData(Technique):
    """What a model has seen it can be made to say (arXiv:2012.07805)."""

    claim: ClassVar[str] = "bits_per_byte"
    standing: ClassVar[str] = "nothing to measure: by default it counts, and changes no text"
    does: ClassVar[str] = "counts personal data by kind; when told to, puts a tag in its place or drops its document"
    refuses_when: ClassVar[str] = "never"
    action: str = "report"  # or tag, which writes <EMAIL> and so on in its place, or drop, which drops the document

    def documents(self, cleaning: Cleaning, run: Context) -> tuple[Cleaning, int]:
        from daybreak.data import personal

        return cleaning.with_step(personal.PersonalData(action=self.action)), 1
