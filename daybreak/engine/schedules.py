"""Schedules: rates and batch size as functions of progress, so that a slow hour never leaves a run half annealed."""

import math
from collections.abc import Callable

from daybreak.core.errors import UsageError, nearest
from daybreak.core.types import SCHEDULES, ScheduleChoice
from daybreak.engine.optimizers import Rates

MOMENTUM_WARMUP = 0.1  # of the progress: early gradients change direction quickly, so the first memory is short
MOMENTUM_START = 0.9  # of the momentum itself


def linear(choice: ScheduleChoice, progress: float) -> float:
    """Constant, then a straight line to the floor over the last `decay` of the run (arXiv:2502.15938)."""
    if progress <= 1 - choice.decay:
        return 1.0
    return choice.floor + (1 - choice.floor) * (1 - progress) / choice.decay


def cosine(choice: ScheduleChoice, progress: float) -> float:
    """Half a cosine from the end of the warm-up to the floor (arXiv:1608.03983)."""
    share = min(1.0, max(0.0, progress - choice.warmup) / max(1e-9, 1 - choice.warmup))
    return choice.floor + (1 - choice.floor) * 0.5 * (1 + math.cos(math.pi * share))


def constant(choice: ScheduleChoice, progress: float) -> float:
    return 1.0


def inverse_sqrt(choice: ScheduleChoice, progress: float) -> float:
    """Falls with the root of progress after the warm-up (arXiv:1706.03762)."""
    knee = max(choice.warmup, 0.01)
    return 1.0 if progress <= knee else max(choice.floor, math.sqrt(knee / progress))


class Plateau:
    """Halves the rate whenever a twentieth of the run has not lowered the mean loss by half a percent."""

    WINDOW, LEAST_GAIN = 0.05, 0.005

    def __init__(self) -> None:
        self.factor, self.best = 1.0, math.inf
        self._sum, self._count, self._until = 0.0, 0, self.WINDOW

    def __call__(self, choice: ScheduleChoice, progress: float) -> float:
        return max(choice.floor, self.factor)

    def observe(self, progress: float, nats: float) -> None:
        self._sum, self._count = self._sum + nats, self._count + 1
        if progress < self._until:
            return
        mean = self._sum / self._count
        if mean > self.best * (1 - self.LEAST_GAIN):
            self.factor *= 0.5
        self.best = min(self.best, mean)
        self._sum, self._count, self._until = 0.0, 0, progress + self.WINDOW

    def state(self) -> list[float]:
        return [self.factor, self.best if math.isfinite(self.best) else -1.0, self._sum, self._count, self._until]

    def load(self, state: list[float]) -> None:
        self.factor, best, self._sum, count, self._until = state
        self.best, self._count = (math.inf if best < 0 else best), int(count)


CURVES: dict[str, Callable[[ScheduleChoice, float], float]] = {
    "linear": linear,
    "cosine": cosine,
    "constant": constant,
    "inverse_sqrt": inverse_sqrt,
}


def check(choice: ScheduleChoice) -> None:
    """Raises UsageError."""
    if choice.name not in SCHEDULES:
        raise UsageError(
            "unknown schedule", received=f"schedule={choice.name}", attempt=nearest(choice.name, SCHEDULES)
        )


class Schedule:
    """What the loop asks at every step. Techniques on the schedule seam replace `batch_share` and `ceiling`."""

    def __init__(self, choice: ScheduleChoice, *, batch_rows: int) -> None:
        check(choice)
        self.choice, self.full_rows = choice, batch_rows
        self.plateau = Plateau() if choice.name == "plateau" else None
        self.batch_share: Callable[[float], float] = lambda progress: 1.0
        self.ceiling: Callable[[float], float] = lambda progress: math.inf  # of the rate's factor

    def planned(self, progress: float) -> float:
        """The rate's factor where nothing holds it down."""
        curve = self.plateau or CURVES[self.choice.name]
        factor = curve(self.choice, progress)
        if self.choice.warmup and progress < self.choice.warmup:
            factor *= progress / self.choice.warmup
        # A smaller batch is noisier: its rate falls with the root of its share.
        return factor * math.sqrt(self.batch_share(progress))

    def rates(self, progress: float) -> Rates:
        factor = min(self.planned(progress), self.ceiling(progress))
        warm = min(1.0, progress / MOMENTUM_WARMUP)
        return Rates(learning_rate=factor, momentum=MOMENTUM_START + (1 - MOMENTUM_START) * warm, weight_decay=1.0)

    def rows(self, progress: float) -> int:
        """Rows of the step's batch."""
        return max(1, round(self.full_rows * self.batch_share(progress)))

    def observe(self, progress: float, nats: float) -> None:
        if self.plateau:
            self.plateau.observe(progress, nats)

    def state(self) -> list[float]:
        return self.plateau.state() if self.plateau else []

    def load(self, state: list[float]) -> None:
        if self.plateau and state:
            self.plateau.load(state)
