"""Sequence length warm-up: rows of half the length early in the run, and twice as many (arXiv:2108.06084)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from daybreak.core.types import Decisions, Machine
from daybreak.data.batches import Batch
from daybreak.engine.callbacks import StepCallback
from daybreak.engine.changes import Change, Changes
from daybreak.engine.losses import Around, TokenLoss
from daybreak.techniques import Context, Reached, Slot, Technique

HALVES = Slot["Halves"]("short_first")


@dataclass(frozen=True, kw_only=True)
class ShortFirst(Technique):
    """Short context first (arXiv:2108.06084): attention costs half while the model learns what is near.

    Every window is cut into two rows where the loss is taken, so which tokens a step reads, and how many, stays as it
    was. The length follows from the progress of the last step that was taken, which checkpoints and logs have.
    """

    claim: ClassVar[str] = "tokens_per_second"
    families: ClassVar[tuple[str, ...]] = ("gpt", "bert")
    standing: ClassVar[str] = "it saves attention in long contexts, which short runs on a processor do not have"
    does: ClassVar[str] = "half the context in the first third of the run, twice the rows"
    refuses_when: ClassVar[str] = (
        "where attention is so small a part that compiling for a second length takes longer than it saves"
    )
    default: ClassVar[bool] = False
    until: float = 0.33  # of the run

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        shape = plan.network
        if shape.context_length % 2:
            return f"the context of {shape.context_length} tokens cannot be halved"
        predicted = plan.predicted
        half = shape.replace(context_length=shape.context_length // 2)
        share = 1 - half.flops_per_token() / shape.flops_per_token()
        saved = self.until * share * predicted.phase_seconds["training"]
        price = predicted.compile_seconds if predicted.mode == "compiled" else 0.0
        if saved <= price:
            return (
                f"half the context saves {share:.0%} of a step, {saved:.0f} s in all, and compiling for a second "
                f"length takes {price:.0f}"
            )
        return None

    def loss(self, loss: TokenLoss[Batch], run: Context) -> tuple[TokenLoss[Batch], int]:
        halves = run.leave(HALVES, Halves(loss, self.until, run.changes))
        return halves, 1

    def step(self, callbacks: list[StepCallback], run: Context) -> tuple[list[StepCallback], int]:
        return [*callbacks, run.take(HALVES).reached], 1


class Halves(Around[Batch]):
    """The loss of rows that are cut in two until the progress has come far enough."""

    def __init__(self, inside: TokenLoss[Batch], until: float, changes: Changes | None = None) -> None:
        super().__init__(inside)
        self.until, self.reached = until, Lengthening(until, changes or Changes())

    def __call__(self, module: nn.Module, batch: Batch) -> Tensor:
        short = self.reached.progress < self.until and batch.labels is None  # a label is of the whole row
        return self.inside(module, Batch(halved(batch.tokens)) if short else batch)


class Lengthening(Reached):
    """Tells when the rows become longer: places that no row had before are harder than the usual ones."""

    def __init__(self, until: float, changes: Changes) -> None:
        super().__init__("short_first")
        self.until, self.changes = until, changes

    def __call__(self, module: nn.Module, progress: float) -> None:
        before = self.progress
        super().__call__(module, progress)
        if before < self.until <= progress:
            self.changes.tell(Change.LOSS)


def halved(rows: Tensor) -> Tensor:
    """Rows [B, T + 1] as [2 B, T / 2 + 1] with the same targets; the token in the middle is in both halves."""
    half = rows.shape[1] // 2
    return rows.unfold(1, half + 1, half).reshape(-1, half + 1)
