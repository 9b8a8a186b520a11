"""Data augmentation by noise: a share of the input tokens is replaced, anew in each epoch (arXiv:1703.02573)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from daybreak.core.errors import UsageError, nearest
from daybreak.core.types import Decisions, Machine
from daybreak.data.augmentation import bag_of, masked, noised, uniform_of
from daybreak.data.batches import Batch, Windows
from daybreak.engine.losses import TokenLoss
from daybreak.techniques import Context, Slot, Technique, passes

SAMPLE = 1 << 16  # tokens to draw replacements from
MASK = 0  # the token of the byte 0, which text does not hold, so that the vocabulary needs no further one
RATES = {"noise": 0.05, "masking": 0.1}  # the usual share of the inputs, by kind
STREAMS = {"noise": "token_noise", "masking": "span_masking"}  # of random numbers: as older versions drew them
BAG_OF_TOKENS = Slot[Tensor]("augmentation")


@dataclass(frozen=True, kw_only=True)
class Augmentation(Technique):
    """Data noising (arXiv:1703.02573) of the inputs; the targets stay the tokens of the text.

    `noise` replaces single tokens by others, drawn as they are frequent in the training text. `masking` blanks out
    spans (arXiv:1907.10529) of 1 to `longest` tokens, every length as likely. Ends of texts stay. Which inputs are
    replaced, and by what, follows from the seed and the row itself, so it depends neither on how a batch is split nor
    on where a run was resumed. Off unless asked for: whether it helps depends on the text and the number of epochs.
    """

    claim: ClassVar[str] = "bits_per_byte"
    standing: ClassVar[str] = "against overfitting, which `early_stopping` ends by default"
    does: ClassVar[str] = "replaces a share of the input tokens by noise or by a mask; the targets stay"
    refuses_when: ClassVar[str] = (
        "in runs of fewer than two epochs; masking also where the tokenizer has no token for each byte"
    )
    default: ClassVar[bool] = False
    kind: str = "noise"  # or masking
    rate: float = 0.0  # share of the inputs that is replaced; 0: 0.05 for noise, 0.1 for masking
    longest: int = 5  # tokens in a span of masking, at most
    least_passes: float = 2.0  # epochs; in fewer, the model cannot memorize the text

    def __post_init__(self) -> None:
        """Raises UsageError: an unknown kind."""
        if self.kind not in RATES:
            raise UsageError("unknown kind of augmentation", received=self.kind, attempt=nearest(self.kind, RATES))

    @property
    def share(self) -> float:
        return self.rate or RATES[self.kind]

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if not (0 < self.share < 1 and self.longest >= 1):
            return f"a rate of {self.rate:g} in spans of up to {self.longest} tokens is not a share of the inputs"
        if self.kind == "masking" and plan.tokenizer.kind not in ("bpe", "bytes"):
            return (
                f"a tokenizer of the kind {plan.tokenizer.kind} has no token for the byte 0, which is used as the mask"
            )
        if passes(plan) < self.least_passes:
            return f"the run reads the text {passes(plan):.1f} times; augmentation helps only against overfitting"
        return None

    def batches(self, batches: Windows, run: Context) -> tuple[Windows, int]:
        """Samples tokens of the training text to draw from; the batches stay as they are."""
        if self.kind == "noise":
            run.leave(BAG_OF_TOKENS, torch.from_numpy(bag_of(batches.tokens, run.plan.seed, SAMPLE)))
        return batches, 0

    def loss(self, loss: TokenLoss[Batch], run: Context) -> tuple[TokenLoss[Batch], int]:
        before, seed, end_of_text = loss.inputs, run.plan.seed, run.plan.tokenizer.end()

        def inputs(rows: Tensor) -> Tensor:
            tokens, drawn = before(rows), uniform_of(rows, seed, STREAMS[self.kind])[:, :-1]
            if self.kind == "masking":
                return masked(tokens, drawn, self.share, self.longest, MASK, end_of_text=end_of_text)
            sample = run.left(BAG_OF_TOKENS)  # none while a probe times steps
            if sample is None or not len(sample):
                return tokens
            if sample.device != rows.device:
                sample = run.leave(BAG_OF_TOKENS, sample.to(rows.device))
            return noised(tokens, drawn, self.share, sample, end_of_text=end_of_text)

        loss.inputs = inputs
        return loss, 1
