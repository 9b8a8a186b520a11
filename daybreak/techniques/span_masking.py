"""Short spans of the inputs blanked out, while their tokens are still predicted."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from daybreak.core.types import Decisions, Machine
from daybreak.data.augmentation import masked, uniform_of
from daybreak.techniques import Context, Technique, passes

MASK = 0  # the token of the byte 0, which text does not hold


@dataclass(frozen=True, kw_only=True)
class SpanMasking(Technique):
    """Blank noising (arXiv:1703.02573), in spans (arXiv:1907.10529): what is predicted stays the text.

    Every token is a target, those under blanks and the one behind them, too: they have to be told from farther back.
    A blank is the token of the byte 0, so the vocabulary needs no further one. Which inputs are blanked follows from
    the seed and the row itself: so it does not depend on how a batch is split, and a resumed run draws the same.
    """

    claim: ClassVar[str] = "bits_per_byte"
    does: ClassVar[str] = "a tenth of the inputs is blank, in spans of up to five tokens; targets stay"
    refuses_when: ClassVar[str] = (
        "in runs that see the text fewer than two times, and where the tokenizer has no token for each byte"
    )
    default: ClassVar[bool] = False
    rate: float = 0.1  # of the inputs that are blank
    longest: int = 5  # tokens in a span, at most; every length is as likely
    least_passes: float = 2.0  # over the text; in fewer there is nothing that could be learnt by heart

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if not (0 < self.rate < 1 and self.longest >= 1):
            return f"a rate of {self.rate:g} in spans of up to {self.longest} tokens is no share of the inputs"
        if plan.tokenizer.kind not in ("bpe", "bytes"):
            return f"a tokenizer of the kind {plan.tokenizer.kind} has no token for the byte 0, which a blank is"
        if passes(plan) < self.least_passes:
            return f"the run sees the text {passes(plan):.1f} times; blanks are against learning it by heart"
        return None

    def loss(self, loss: Any, run: Context) -> tuple[Any, int]:
        before, seed, end_of_text = loss.inputs, run.plan.seed, run.plan.tokenizer.end()

        def inputs(rows: Tensor) -> Tensor:
            drawn = uniform_of(rows, seed, "span_masking")[:, :-1]
            return masked(before(rows), drawn, self.rate, self.longest, MASK, end_of_text=end_of_text)

        loss.inputs = inputs
        return loss, 1
