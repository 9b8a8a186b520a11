"""A share of the tokens left out of each row, which is filled up by reading on."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from daybreak.core.types import Decisions, Machine
from daybreak.data.augmentation import Augmented, deleted, more_to_delete, uniform
from daybreak.techniques import Context, Technique, passes


@dataclass(frozen=True, kw_only=True)
class TokenDeletion(Technique):
    """Random deletion (arXiv:1901.11196), of tokens: what is predicted is the next token that was kept.

    Inputs and targets are the shortened text. Which tokens go follows from the seed and the window's number in the run.
    """

    claim: ClassVar[str] = "bits_per_byte"
    does: ClassVar[str] = "leaves a twentieth of the tokens out of each row, others every time, and reads on instead"
    refuses_when: ClassVar[str] = "in runs that see the text fewer than two times"
    default: ClassVar[bool] = False
    rate: float = 0.05  # of the tokens that are left out
    least_passes: float = 2.0  # over the text; in fewer there is nothing that could be learnt by heart

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if not 0 < self.rate < 1:
            return f"a rate of {self.rate:g} is no share of the tokens between 0 and 1"
        if passes(plan) < self.least_passes:
            return f"the run sees the text {passes(plan):.1f} times; deletion is against learning it by heart"
        return None

    def batches(self, batches: Any, run: Context) -> tuple[Any, int]:
        end_of_text, seed = batches.tokens.end_of_text, run.plan.seed

        def shortened(rows: np.ndarray, numbers: np.ndarray, width: int) -> np.ndarray:
            drawn = uniform(seed, "token_deletion", numbers, rows.shape[1])
            return deleted(rows, drawn, width, end_of_text=end_of_text)

        return Augmented(batches, shortened, more=partial(more_to_delete, rate=self.rate)), 1
