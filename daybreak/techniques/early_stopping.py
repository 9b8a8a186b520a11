"""When held-out text gets worse for two marks in a row, back to the best mark, and on at a low rate."""

import itertools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from daybreak.core.types import Machine, Plan
from daybreak.models.gpt import tensors_of
from daybreak.techniques import NETWORKS, Context, Technique, passes


@dataclass(frozen=True, kw_only=True)
class EarlyStopping(Technique):
    """Early stopping (https://doi.org/10.1007/3-540-49430-8_3) that does not end the run.

    The weights of the best mark are put back and kept as a candidate. The time that is left is trained at a low
    constant rate, which settles them and gives what averages them something to average.
    """

    claim: ClassVar[str] = "bits_per_byte"
    families: ClassVar[tuple[str, ...]] = NETWORKS
    does: ClassVar[str] = "when held-out text got worse twice in a row, back to the best weights, and on at a low rate"
    refuses_when: ClassVar[str] = "in runs that see the text fewer than two times"
    rises: int = 2  # marks in a row
    rate: float = 0.1  # of the peak, afterwards
    least_passes: float = 2.0  # over the text; in fewer, a run does not overfit

    def refuses(self, plan: Plan, machine: Machine) -> str | None:
        if passes(plan) < self.least_passes:
            return f"the run sees the text {passes(plan):.1f} times; it does not overfit in that"
        return None

    def schedule(self, schedule: Any, run: Context) -> tuple[Any, int]:
        run.kept["early_stopping"] = marks = Marks(self.rises)
        schedule.ceiling = lambda: math.inf if marks.stopped is None else self.rate
        return schedule, 1

    def step(self, followers: list[Any], run: Context) -> tuple[list[Any], int]:
        return [*followers, run.kept["early_stopping"]], 1

    def weights(self, candidates: dict[str, Any], run: Context) -> tuple[dict[str, Any], int]:
        marks = run.kept["early_stopping"]
        return (candidates, 0) if marks.stopped is None else ({**candidates, "early_stopping": marks.best}, 1)


class Marks:
    """Held-out figures on the way, and the weights of the best one."""

    name = "early_stopping"

    def __init__(self, rises: int) -> None:
        self.rises = rises
        self.figures: list[float] = []
        self.best: dict[str, Tensor] = {}
        self.stopped: float | None = None  # the progress then

    def __call__(self, module: Any, progress: float) -> None:
        """After a step there is nothing to do; marks come by `validated`."""

    @torch.no_grad()
    def validated(self, module: Any, progress: float, loss: float) -> None:
        if not self.figures or loss < min(self.figures):
            self.best = {name: weight.detach().clone() for name, weight in tensors_of(module).items()}
        self.figures.append(loss)
        latest = self.figures[-self.rises - 1 :]
        rising = len(latest) > self.rises and all(a < b for a, b in itertools.pairwise(latest))
        if rising and self.stopped is None:
            self.stopped = progress
            for name, weight in tensors_of(module).items():
                weight.copy_(self.best[name])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self.best, {"figures": self.figures, "stopped": self.stopped}

    def load(self, best: dict[str, Tensor], facts: dict[str, Any]) -> None:
        self.best, self.figures, self.stopped = best, list(facts["figures"]), facts["stopped"]
