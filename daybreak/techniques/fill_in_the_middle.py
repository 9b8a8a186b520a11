"""Fill in the middle: the middle of some documents is put last (arXiv:2207.14255)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from daybreak.core.types import Decisions, Machine
from daybreak.data.augmentation import Augmented, infilled, uniform
from daybreak.data.batches import Windows
from daybreak.techniques import Context, Technique

# The tokens of three control bytes, which no editor writes, in the place of tokens of their own: the vocabulary and
# every file of the tokenizer stay as they are, and a prompt can be spelled as plain text.
PREFIX, SUFFIX, MIDDLE = 0x1C, 0x1D, 0x1E


@dataclass(frozen=True, kw_only=True)
class FillInTheMiddle(Technique):
    """Fill in the middle (arXiv:2207.14255), on what a row shows of a document; what is predicted is all of it.

    The byte 0x1C stands before the prefix, 0x1D before the suffix and 0x1E before the middle, which an end of text
    ends. To fill a gap, generate from 0x1C prefix 0x1D suffix 0x1E. Half of the documents that are split have prefix
    and middle last (the paper's SPM). Splits are between tokens. A row stays as long as it was: what the further
    tokens push out of it is left out in this epoch. What is split follows from the seed and the window's number.
    """

    claim: ClassVar[str] = "bits_per_byte"
    standing: ClassVar[str] = "a skill for filling gaps, not a gain in bits per byte"
    does: ClassVar[str] = "puts the middle of half of the documents last: a skill for code, not a gain in bits"
    refuses_when: ClassVar[str] = "where the tokenizer has no token for each byte"
    default: ClassVar[bool] = False
    rate: float = 0.5  # of the documents, or parts of them in a row, that are split
    suffix_first: float = 0.5  # of those, with the prefix beside the middle

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if plan.tokenizer.kind not in ("bpe", "bytes"):
            return (
                f"a tokenizer of the kind {plan.tokenizer.kind} does not have a token for each "
                "byte, which marks the parts of a document"
            )
        if not (0 < self.rate <= 1 and 0 <= self.suffix_first <= 1):
            return f"rates of {self.rate:g} and {self.suffix_first:g} are not shares of the documents"
        return None

    def batches(self, batches: Windows, run: Context) -> tuple[Windows, int]:
        end_of_text, seed = batches.tokens.end_of_text, run.plan.seed

        def split(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
            documents = 1 + int((rows == end_of_text).sum(1).max(initial=0))  # in a row, at most
            return infilled(
                rows,
                uniform(seed, "fill_in_the_middle", numbers, 4 * documents),
                rate=self.rate,
                suffix_first=self.suffix_first,
                end_of_text=end_of_text,
                sentinels=(PREFIX, SUFFIX, MIDDLE),
            )

        return Augmented(batches, split), 1
