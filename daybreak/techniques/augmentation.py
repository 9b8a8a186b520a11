"""Data augmentation: some tokens of each row are swapped, replaced or masked, anew in each epoch (arXiv:1703.02573)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from daybreak.core.errors import UsageError, nearest
from daybreak.core.types import Decisions, Machine
from daybreak.data.augmentation import bag_of, masked, noised, swapped, uniform_of
from daybreak.data.batches import Batch, Windows
from daybreak.engine.losses import TokenLoss
from daybreak.techniques import Context, Slot, Technique, passes

SAMPLE = 1 << 16  # tokens to draw replacements from
MASK = 0  # the token of the byte 0, which text does not hold, so that the vocabulary needs no further one
RATES = {"swap": 0.02, "noise": 0.05, "masking": 0.1}  # the usual share of the tokens, by kind
# Names of the streams of random numbers, by which older versions drew them.
STREAMS = {"swap": "token_swap", "noise": "token_noise", "masking": "span_masking"}
BAG_OF_TOKENS = Slot[Tensor]("augmentation")


@dataclass(frozen=True, kw_only=True)
class Augmentation(Technique):
    """Local shuffling (arXiv:1711.00043) or data noising (arXiv:1703.02573) of the rows of a batch.

    `swap` lets tokens change places with a neighbour, in inputs and targets alike. The others change inputs only:
    `noise` replaces single tokens by others, drawn as they are frequent in the training text; `masking` blanks out
    spans (arXiv:1907.10529) of 1 to `longest` tokens, every length as likely. Ends of texts stay. What is changed
    follows from the seed and the row itself, so it depends neither on how a batch is split nor on where a run was
    resumed. Off unless asked for: whether it helps depends on the text and the number of epochs.
    """

    claim: ClassVar[str] = "bits_per_byte"
    standing: ClassVar[str] = (
        "against overfitting; three runs of 1 million tokens on 120 KB of plays gave -0.017 bits per byte (-0.035 to "
        "+0.001) by swap, -0.009 by noise and 0.000 by masking"
    )
    does: ClassVar[str] = "swaps neighbouring tokens, or replaces input tokens by noise or by a mask"
    refuses_when: ClassVar[str] = (
        "in runs of fewer than two epochs; masking also where the tokenizer has no token for each byte"
    )
    default: ClassVar[bool] = False
    kind: str = "swap"  # or noise, or masking
    rate: float = 0.0  # share of the tokens that is changed; 0: 0.02 for swap, 0.05 for noise, 0.1 for masking
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
        if not (0 < self.share <= (0.5 if self.kind == "swap" else 0.99) and self.longest >= 1):
            return f"a rate of {self.rate:g} in spans of up to {self.longest} tokens is not a share of the tokens"
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
        if self.kind == "swap":
            labels = loss.labels

            def moved(rows: Tensor) -> Tensor:
                return swapped(rows, uniform_of(rows, seed, STREAMS["swap"]), self.share, end_of_text=end_of_text)

            # Both, for with the inputs alone swapped a position would hold the token that it is to predict.
            loss.inputs, loss.labels = lambda rows: before(moved(rows)), lambda rows: labels(moved(rows))
            return loss, 1

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
