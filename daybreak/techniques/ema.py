"""Exponential moving average of the weights, scored against the last ones at the end (arXiv:1803.05407)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from daybreak.core.types import Decisions, Machine
from daybreak.engine.callbacks import StepCallback
from daybreak.engine.changes import Change
from daybreak.models.gpt import tensors_of
from daybreak.techniques import NETWORKS, Candidates, Context, Slot, Technique


class Average:
    """Follows a module's weights every few steps; `memory` is a share of the run."""

    def __init__(self, memory: float) -> None:
        self.memory = memory
        self.weights: dict[str, Tensor] = {}
        self.progress = 0.0

    @torch.no_grad()
    def follow(self, module: nn.Module, progress: float) -> None:
        current = {name: weight.detach() for name, weight in tensors_of(module).items()}
        if not self.weights:
            self.weights = {name: weight.clone() for name, weight in current.items()}
        else:
            # By progress, not by steps, so that a slow hour does not change what is averaged.
            share = min(1.0, max(0.0, progress - self.progress) / self.memory)
            # By name: weights that come back from a checkpoint are in another order.
            torch._foreach_lerp_(list(self.weights.values()), [current[name] for name in self.weights], share)
        self.progress = progress


FOLLOWING = Slot["Following"]("ema")


@dataclass(frozen=True, kw_only=True)
class Ema(Technique):
    """Averages the end of the run (arXiv:1803.05407 gives the reason that it helps)."""

    claim: ClassVar[str] = "bits_per_byte"
    families: ClassVar[tuple[str, ...]] = NETWORKS
    standing: ClassVar[str] = (
        "the mean of all late weights, `averaging`, showed no gain; for schedules that do not anneal"
    )
    does: ClassVar[str] = "averages the weights of the end, and keeps the better of the two by score"
    refuses_when: ClassVar[str] = "in runs of fewer than 200 steps"
    default: ClassVar[bool] = False
    memory: float = 0.03  # of the run
    start: float = 0.7  # before this the average would only hold what the run has left behind
    every: float = 0.002  # of the run: an update reads and writes all weights

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if plan.tokens < 200 * plan.batch_tokens:
            return f"the run has only {plan.tokens // max(1, plan.batch_tokens)} steps, too few to average"
        return None

    def step(self, callbacks: list[StepCallback], run: Context) -> tuple[list[StepCallback], int]:
        following = run.leave(FOLLOWING, Following(Average(self.memory), self))
        return [*callbacks, following], 1

    def weights(self, candidates: Candidates, run: Context) -> tuple[Candidates, int]:
        average = run.take(FOLLOWING).average.weights or candidates["current"]  # a run cut short has no average yet
        return {**candidates, "ema": average}, len(average)


class Following:
    """Called after each step; its state goes into checkpoints."""

    name = "ema"

    def __init__(self, average: Average, settings: Ema) -> None:
        self.average, self.settings = average, settings

    def __call__(self, module: nn.Module, progress: float) -> None:
        if progress >= self.settings.start and progress - self.average.progress >= self.settings.every:
            self.average.follow(module, progress)

    def changed(self, change: Change) -> None:
        """After an exchange the average begins anew, from the weights that were put in."""
        if change is Change.WEIGHTS:
            self.average.weights = {}

    def state(self) -> tuple[dict[str, Tensor], float]:
        return self.average.weights, self.average.progress

    def load(self, weights: dict[str, Tensor], progress: float) -> None:
        self.average.weights, self.average.progress = weights, progress
