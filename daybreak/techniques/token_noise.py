"""A share of the inputs replaced by tokens drawn as they are frequent."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from daybreak.core.types import Decisions, Machine
from daybreak.data.augmentation import bag_of, noised, uniform_of
from daybreak.techniques import Context, Technique, passes

BAG = 1 << 16  # tokens to draw from


@dataclass(frozen=True, kw_only=True)
class TokenNoise(Technique):
    """Unigram noising (arXiv:1703.02573) of inputs: what is predicted stays the token of the text.

    Drawn from a sample of the training tokens. Which inputs are replaced, and by what, follows from the seed and the
    row itself: so it does not depend on how a batch is split, and a resumed run draws the same.
    """

    claim: ClassVar[str] = "bits_per_byte"
    does: ClassVar[str] = "a twentieth of the inputs is another token, drawn by frequency; targets stay"
    refuses_when: ClassVar[str] = "in runs that see the text fewer than two times"
    default: ClassVar[bool] = False
    rate: float = 0.05  # of the inputs that are replaced
    least_passes: float = 2.0  # over the text; in fewer there is nothing that could be learnt by heart

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if not 0 < self.rate < 1:
            return f"a rate of {self.rate:g} is no share of the inputs between 0 and 1"
        if passes(plan) < self.least_passes:
            return f"the run sees the text {passes(plan):.1f} times; noise is against learning it by heart"
        return None

    def batches(self, batches: Any, run: Context) -> tuple[Any, int]:
        """Takes the sample; batches stay as they are."""
        run.kept["token_noise"] = torch.from_numpy(bag_of(batches.tokens, run.plan.seed, BAG))
        return batches, 0

    def loss(self, loss: Any, run: Context) -> tuple[Any, int]:
        before, seed, end_of_text = loss.inputs, run.plan.seed, run.plan.tokenizer.end()

        def inputs(rows: Tensor) -> Tensor:
            tokens = before(rows)
            bag = run.kept.get("token_noise")  # none while a probe times steps
            if bag is None or not len(bag):
                return tokens
            if bag.device != rows.device:
                bag = run.kept["token_noise"] = bag.to(rows.device)
            drawn = uniform_of(rows, seed, "token_noise")[:, :-1]
            return noised(tokens, drawn, self.rate, bag, end_of_text=end_of_text)

        loss.inputs = inputs
        return loss, 1
