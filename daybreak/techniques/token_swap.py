"""A share of the tokens changed places with a neighbour."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from daybreak.core.types import Decisions, Machine
from daybreak.data.augmentation import Augmented, swapped, uniform
from daybreak.techniques import Context, Technique, passes


@dataclass(frozen=True, kw_only=True)
class TokenSwap(Technique):
    """Local shuffling (arXiv:1711.00043), of two neighbours: what is predicted is the text as it was swapped.

    Inputs and targets change together: with the inputs alone changed, a position would hold the token that it is to
    predict. Which tokens move follows from the seed and the window's number in the run.
    """

    claim: ClassVar[str] = "bits_per_byte"
    does: ClassVar[str] = "one token in fifty changes places with a neighbour, others every time"
    refuses_when: ClassVar[str] = "in runs that see the text fewer than two times"
    default: ClassVar[bool] = False
    rate: float = 0.02  # of the tokens that move
    least_passes: float = 2.0  # over the text; in fewer there is nothing that could be learnt by heart

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if not 0 < self.rate <= 0.5:
            return f"a rate of {self.rate:g} is no share of the tokens up to 0.5"
        if passes(plan) < self.least_passes:
            return f"the run sees the text {passes(plan):.1f} times; swapping is against learning it by heart"
        return None

    def batches(self, batches: Any, run: Context) -> tuple[Any, int]:
        end_of_text, seed = batches.tokens.end_of_text, run.plan.seed

        def moved(rows: np.ndarray, numbers: np.ndarray, width: int) -> np.ndarray:
            drawn = uniform(seed, "token_swap", numbers, width)
            return swapped(rows, drawn, self.rate, end_of_text=end_of_text)

        return Augmented(batches, moved), 1
