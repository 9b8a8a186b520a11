"""Weight averaging: the mean of the weights at evenly spaced moments near the end (arXiv:1803.05407)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from daybreak.core.types import Decisions, Machine
from daybreak.engine.callbacks import StepCallback
from daybreak.engine.changes import Change
from daybreak.models.gpt import tensors_of
from daybreak.techniques import NETWORKS, Candidates, Context, Slot, Technique, passes

MEAN = Slot["Mean"]("averaging")


@dataclass(frozen=True, kw_only=True)
class Averaging(Technique):
    """Weight averaging (arXiv:1803.05407) over the latest weights (arXiv:2209.14981): one running mean.

    All snapshots of the last eighth of a run count alike; `ema` follows the weights more closely. Off unless asked for:
    three paired seeds of whole runs showed no difference (benchmarks/results/techniques), because the learning rate
    falls to zero anyway. It stays for schedules that do not anneal, and for runs that were planned with it.
    """

    claim: ClassVar[str] = "bits_per_byte"
    families: ClassVar[tuple[str, ...]] = NETWORKS
    standing: ClassVar[str] = "kept for schedules that do not anneal, and for the plans that have it"
    does: ClassVar[str] = "the mean of the weights at 25 moments of the last eighth, if it scores best"
    default: ClassVar[bool] = False
    refuses_when: ClassVar[str] = "in runs of fewer than 200 steps, or that see the text fewer than two times"
    start: float = 0.875  # of the run
    snapshots: int = 25  # that the mean is of
    least_passes: float = 2.0  # over the text; in fewer, the last weights were the best in every run so far

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if plan.tokens < 200 * plan.batch_tokens:
            return f"the run has only {plan.tokens // max(1, plan.batch_tokens)} steps, too few to average"
        if passes(plan) < self.least_passes:
            return f"the run reads the text {passes(plan):.1f} times; with so few epochs the last weights are the best"
        return None

    def step(self, callbacks: list[StepCallback], run: Context) -> tuple[list[StepCallback], int]:
        mean = run.leave(MEAN, Mean(self.start, self.snapshots))
        return [*callbacks, mean], 1

    def weights(self, candidates: Candidates, run: Context) -> tuple[Candidates, int]:
        mean = run.take(MEAN).weights
        return ({**candidates, "averaging": mean}, len(mean)) if mean else (candidates, 0)


class Mean:
    """Called after each step; takes a snapshot of the weights into the mean when the next one is due."""

    name = "averaging"

    def __init__(self, start: float, snapshots: int) -> None:
        self.start, self.snapshots = start, snapshots
        self.weights: dict[str, Tensor] = {}
        self.taken, self.last = 0, -1

    @torch.no_grad()
    def __call__(self, module: nn.Module, progress: float) -> None:
        # By progress, so that neither a slow hour nor a long step counts more.
        due = int((progress - self.start) / (1 - self.start) * self.snapshots) if progress >= self.start else -1
        if due <= self.last:
            return
        current = {name: weight.detach() for name, weight in tensors_of(module).items()}
        self.taken, self.last = self.taken + 1, due
        if not self.weights:
            self.weights = {name: weight.clone() for name, weight in current.items()}
        else:
            # By name: weights that come back from a checkpoint are in another order.
            torch._foreach_lerp_(list(self.weights.values()), [current[n] for n in self.weights], 1 / self.taken)

    def changed(self, change: Change) -> None:
        """A mean of weights from before and after an exchange lies between two models, and is neither."""
        if change is Change.WEIGHTS:
            self.weights, self.taken = {}, 0

    def state(self) -> tuple[dict[str, Tensor], list[int]]:
        return self.weights, [self.taken, self.last]

    def load(self, weights: dict[str, Tensor], counts: list[int]) -> None:
        self.weights, (self.taken, self.last) = weights, counts
