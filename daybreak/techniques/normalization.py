"""Cleaning: normalizes line ends and white space; on request, width, punctuation and Chinese characters."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.data import unicode
from daybreak.data.cleaning import Cleaning
from daybreak.techniques import Context, Technique


@dataclass(frozen=True, kw_only=True)
class Normalization(Technique):
    """One spelling of line ends and blanks; on request of width, punctuation and Chinese characters
    (https://www.unicode.org/reports/tr11/, https://github.com/BYVoid/OpenCC)."""

    claim: ClassVar[str] = "bits_per_byte"
    standing: ClassVar[str] = (
        "all cleaning steps together: 2.7% fewer bits per byte on text that was made dirty (see "
        "[cleaning](cleaning.md))"
    )
    does: ClassVar[str] = (
        "writes line ends and blank lines in one way; on request width, punctuation and Chinese characters too"
    )
    refuses_when: ClassVar[str] = "never"
    blank_lines: int = 2  # at most, in a row
    width: bool = False  # full-width letters, digits and ASCII punctuation to half width, half-width kana to full
    simplified: bool = False  # traditional to simplified Chinese characters, by OpenCC
    punctuation: bool = False  # curly quotes, dashes, ellipses and special spaces to those of ASCII

    def documents(self, cleaning: Cleaning, run: Context) -> tuple[Cleaning, int]:
        return cleaning.with_step(
            unicode.Normalization(
                blank_lines=self.blank_lines, width=self.width, simplified=self.simplified, punctuation=self.punctuation
            )
        ), 1
