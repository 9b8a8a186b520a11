"""Early stopping: when held-out loss rises, back to the best weights and a short end at a falling rate."""

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from daybreak.core.types import Decisions, Machine
from daybreak.core.values import Json
from daybreak.engine.callbacks import StepCallback
from daybreak.engine.changes import Change
from daybreak.engine.schedules import Schedule
from daybreak.techniques import NETWORKS, Context, Slot, Technique, passes

STOPPING = Slot["Stopping"]("early_stopping")


@dataclass(frozen=True, kw_only=True)
class EarlyStopping(Technique):
    """Early stopping (https://doi.org/10.1007/3-540-49430-8_3) that lets the best weights settle before it ends.

    The weights of the best mark are put back, and the rate falls in a line to nothing over as much of the run as
    `settling` says: weights that were trained at a high rate gain by its decay. Then the run ends, though time may be
    left: where the text is learnt by heart, more of it makes the model worse.
    """

    claim: ClassVar[str] = "bits_per_byte"
    families: ClassVar[tuple[str, ...]] = NETWORKS
    standing: ClassVar[str] = "it acts only in runs that overfit, and gives back the best weights there"
    does: ClassVar[str] = (
        "when held-out text got worse twice in a row, back to the best weights, and to an end at a falling rate"
    )
    refuses_when: ClassVar[str] = "in runs that see the text fewer than two times"
    rises: int = 2  # marks in a row
    least_rise: float = 0.02  # above the best mark, as a share of it; at a high rate 1% is noise (own runs)
    rate: float = 0.3  # of what it was at the best mark, afterwards
    settling: float = 0.3  # of what was trained until the best mark, afterwards
    least_passes: float = 2.0  # over the text; in fewer, a run does not overfit

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if passes(plan) < self.least_passes:
            return f"the run reads the text {passes(plan):.1f} times, too few for overfitting"
        return None

    def schedule(self, schedule: Schedule, run: Context) -> tuple[Schedule, int]:
        stopping = run.leave(STOPPING, Stopping(self, run))

        def ceiling(progress: float) -> float:
            if stopping.stopped is None:
                return math.inf
            return self.rate * schedule.planned(stopping.best) * stopping.left(progress)

        schedule.ceiling = ceiling
        return schedule, 1

    def step(self, callbacks: list[StepCallback], run: Context) -> tuple[list[StepCallback], int]:
        return [*callbacks, run.take(STOPPING)], 1


class Stopping:
    """Whether the run has stopped, and until when its best weights settle; all times are progress."""

    name = "early_stopping"

    def __init__(self, settings: EarlyStopping, run: Context) -> None:
        self.settings, self.marks, self.changes = settings, run.marks, run.changes
        self.losses: list[float] = []
        self.stopped: float | None = None
        self.best, self.end, self.progress = 0.0, 1.0, 0.0

    def __call__(self, module: nn.Module, progress: float) -> None:
        self.progress = progress

    def left(self, progress: float) -> float:
        """Of the settling, from 1 to 0."""
        assert self.stopped is not None
        return min(1.0, max(0.0, (self.end - progress) / max(self.end - self.stopped, 1e-9)))

    @property
    def enough(self) -> str:
        """Why the run ends now, in words; empty: it does not."""
        if self.stopped is None or self.progress < self.end:
            return ""
        return (
            f"the model stopped improving after {self.best:.0%} of the run and then "
            "overfitted the text. More text would help, more time would not"
        )

    def validated(self, module: nn.Module, progress: float, loss: float) -> None:
        """The marks have been told before."""
        if self.stopped is not None or self.marks is None:
            return
        self.losses.append(loss)
        latest = self.losses[-self.settings.rises - 1 :]
        rising = len(latest) > self.settings.rises and all(a < b for a, b in itertools.pairwise(latest))
        if rising and loss > self.marks.least + self.settings.least_rise * abs(self.marks.least):
            self.stopped, self.best = progress, self.marks.progress
            self.end = min(1.0, progress + self.settings.settling * self.best)
            self.marks.put_back(module)
            self.changes.tell(Change.WEIGHTS)

    def state(self) -> tuple[dict[str, Tensor], Json]:
        return {}, {"losses": self.losses, "stopped": self.stopped, "best": self.best, "end": self.end}

    def load(self, best: dict[str, Tensor], facts: Json) -> None:
        self.losses, self.stopped = list(facts.get("losses") or facts.get("figures") or []), facts["stopped"]
        begun: float = self.stopped or 0.0
        self.best, self.end = facts.get("best", begun), facts.get("end", 1.0)
        if best and self.marks is not None:  # as checkpoints were before every run kept its best mark
            facts = {"losses": self.losses, "least": min(self.losses), "progress": self.best}
            self.marks.load(best, facts)
