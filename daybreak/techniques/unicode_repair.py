"""Cleaning: repairs characters that were decoded with the wrong encoding, and composes accents."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.data import unicode
from daybreak.data.cleaning import Cleaning
from daybreak.techniques import Context, Technique


@dataclass(frozen=True, kw_only=True)
class UnicodeRepair(Technique):
    """Repair of text that was decoded with the wrong encoding (https://ftfy.readthedocs.io), and normalization form C
    (https://www.unicode.org/reports/tr15/)."""

    claim: ClassVar[str] = "bits_per_byte"
    standing: ClassVar[str] = (
        "all cleaning steps together: 2.7% fewer bits per byte on text that was made dirty (see "
        "[cleaning](cleaning.md))"
    )
    does: ClassVar[str] = "repairs characters that were decoded with the wrong encoding, and composes accents"
    refuses_when: ClassVar[str] = "never"
    composed: bool = True  # normalization form C

    def documents(self, cleaning: Cleaning, run: Context) -> tuple[Cleaning, int]:
        return cleaning.with_step(unicode.UnicodeRepair(composed=self.composed)), 1
