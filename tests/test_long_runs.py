"""Days of training on a clock that a test turns: late never, the rate never up, and always a model on disk.

What is real here is what decides: the clock, the schedule, and everything that the training does between two steps.
Steps, saves and scores only take time, more of it where the machine becomes slower, and now and then it stands still.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import random
import statistics
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from daybreak.core.clock import SecondsClock, Stopwatch
from daybreak.core.metrics import BITS_PER_BYTE
from daybreak.core.records import Step, Validation
from daybreak.core.types import ScheduleChoice
from daybreak.engine import time_budget
from daybreak.engine.guard import Guard
from daybreak.engine.loop import RECENT, Position
from daybreak.engine.schedules import Schedule
from daybreak.engine.world import alone
from daybreak.training import checkpointing, train
from daybreak.training.state import LEAVING_SECONDS

FLOOR = 0.05


class Day:
    """A training state without a machine. Seconds pass only where something is said to take them."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.chance = chance = random.Random(seed)
        self.budget = budget = chance.choice((60.0, 600.0, 8 * 3600.0, 86_400.0))
        self.now = budget * chance.uniform(0.01, 0.1)  # imports, scan, probe, plan
        self.steps = chance.choice((200, 400, 800))
        # How many times slower the machine is from each moment on; some days nothing happens.
        self.paces = [(0.0, 1.0)]
        for _ in range(chance.randrange(4)):
            self.paces.append((budget * chance.uniform(0.0, 0.9), chance.choice((0.5, 2.0, 3.0))))
        self.paces.sort()
        # It stands still: suspended, stopped, or taken by others. What reaches into the end nobody can make up for.
        self.stalls = sorted(budget * chance.uniform(0.1, 0.75) for _ in range(chance.randrange(3)))
        self.stall_seconds = budget * chance.uniform(0.01, 0.2 / max(1, len(self.stalls)))
        self.sizes = {
            name: budget * chance.uniform(0.0002, 0.006) for name in ("model", "validation", "sample", "save")
        }
        self.written: list[float] = []
        self.plan: Any = SimpleNamespace(
            budget=SimpleNamespace(seconds=budget, clock="seconds"),
            techniques=(),
            shape=SimpleNamespace(parameters=lambda: 1),
            headline=BITS_PER_BYTE,
            evaluation_bytes=600_000,
        )
        self.heldout = SimpleNamespace(bytes=600_000)
        self.slower = 1.0
        self.machine = SimpleNamespace(disk_bytes_per_second=1e9, cores=2)
        self.stopwatch = Stopwatch(start=0.0, now=lambda: self.now)
        self.signals = SimpleNamespace(received="", save=False)
        self.ledger = SimpleNamespace(within=lambda name: contextlib.nullcontext())
        self.run: Any = SimpleNamespace(checkpoints_folder=None)
        self.costs: dict[str, float] = {}
        self.spent: dict[str, float] = {}
        self.taken: dict[str, list[float]] = {}
        self.replayed, self.validations = False, {}
        self.world, self.guard = alone(), Guard()
        self.micro_batch, self.planned_save, self.exchanged = 0, None, False
        self.trainable: Any = None
        self.saver: Any = None
        self.clock: Any = None
        self.position: Any = None
        self.records: list[Any] = []
        self.record = self.records.append
        self.warn = lambda what: None
        self.margin = lambda: min(LEAVING_SECONDS, 0.01 * budget) + time_budget.MARGIN_SHARE * budget

    def take(self, seconds: float) -> float:
        """As long as it takes today at this moment."""
        begun = self.now
        slow = next(factor for moment, factor in reversed(self.paces) if moment <= self.now)
        self.now += seconds * slow * self.chance.uniform(0.9, 1.15)
        while self.stalls and self.stalls[0] <= self.now:
            self.stalls.pop(0)
            self.now += self.stall_seconds
        return self.now - begun

    @contextlib.contextmanager
    def cost(self, name: str) -> Iterator[None]:
        begun = self.now
        yield
        taken = self.taken.setdefault(name, [])
        taken.append(self.now - begun)
        self.costs[name] = statistics.median_low(taken[-3:])
        self.spent[name] = self.spent.get(name, 0.0) + taken[-1]

    def timed(self) -> bool:
        return True

    def affords(self, name: str, seconds: float) -> bool:
        return self.spent.get(name, 0.0) + self.costs.get(name, 0.0) <= seconds

    def write(self) -> None:
        self.take(self.sizes["model"])
        self.written.append(self.now)

    def score(self, progress: float) -> Validation:
        self.take(self.sizes["validation"])
        return Validation(
            step=1, progress=progress, used_seconds=self.now, tokens=1, figure=2.0, perplexity=4.0, bytes=1
        )

    def trained(self, schedule: Schedule, clock: SecondsClock, position: Position) -> Iterator[Step]:
        """As loop.steps, without a model."""
        length = self.budget / self.steps
        recent = deque([length], RECENT)
        while (tick := clock.tick(position.row_seconds, 1)) is not None:
            seconds = self.take(length)
            position.progress, position.step = tick.progress, position.step + 1
            recent.append(seconds)
            position.row_seconds = statistics.median(recent)
            yield Step(
                step=position.step, progress=tick.progress, micro_batch=1, accumulation=1, skipped=False, nats=2.0,
                gradient_norm=1.0, learning_rate_factor=schedule.rates(tick.progress).learning_rate,
                tokens=position.step, seconds=seconds, used_seconds=self.now,
            )  # fmt: skip


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(checkpointing, "write_model", lambda day, weights: day.write())
    monkeypatch.setattr(train, "validate", lambda day, progress: day.score(progress))
    monkeypatch.setattr(train, "sample", lambda day, progress: day.take(day.sizes["sample"]))
    monkeypatch.setattr(train, "save", lambda day, **how: day.take(day.sizes["save"]))
    monkeypatch.setattr(checkpointing, "best_so_far", lambda trainable: {})

    def carried_out(seed: int) -> tuple[Day, list[Step]]:
        day = Day(seed, monkeypatch)
        position = Position(row_seconds=day.budget / day.steps)
        schedule = Schedule(ScheduleChoice(name="linear", warmup=0.0, decay=0.7, floor=FLOOR), batch_rows=1)
        clock = SecondsClock(day.stopwatch, begin=day.now)
        train._set_end(day, clock)  # type: ignore[arg-type]
        day.trainable = SimpleNamespace(
            module=SimpleNamespace(train=lambda: None),
            callbacks=[],
            validated=lambda *about: None,
            stop_reason=lambda: "",
        )
        day.saver = SimpleNamespace(processor_seconds=0.0, busy=lambda: False)
        day.clock, day.position = clock, position
        train._consume(day, day.trained(schedule, clock, position))  # type: ignore[arg-type]
        ended = day.now
        day.write()
        assert day.now + min(LEAVING_SECONDS, 0.01 * day.budget) <= day.budget, "late"
        # A writing in which the machine stood still looks as if writing took so long.
        stood_still = max(day.taken["model"]) > 0.5 * day.stall_seconds
        # What is kept for the last scores is not idle time.
        assert day.budget - ended < (0.1 + time_budget.SCORING_MOST) * day.budget or stood_still, "it has idled"
        return day, [record for record in day.records if isinstance(record, Step)]

    return carried_out


def check(day: Day, steps: list[Step], seed: int) -> None:
    rates = [step.learning_rate_factor for step in steps]
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(rates)), seed
    # The last step is short of the end by half of what it takes, and by what one more would have taken. Where the
    # machine has become slower lately, the end has come nearer, too, by what writing and scoring take longer.
    last = [step.seconds for step in steps[-8:]]
    short = (2.0 + (max(last[-3:]) > 2 * min(last))) * max(last[-3:]) / day.budget
    short += 0.02 * any(moment > 0.8 * day.budget for moment, _ in day.paces)
    assert rates[-1] <= FLOOR + (1 - FLOOR) * (short + 0.01) / 0.7, (seed, rates[-1])
    moments = [0.0, *day.written, day.budget]
    assert moments[1] <= 0.35 * day.budget, (seed, "no model for a third of the day")
    assert all(math.isfinite(moment) for moment in moments)


DAYS = "ends in time, the rate never rises and comes to its floor, there is a model: simulated days with stalls, slow "
DAYS += "hours and dear saves"


@pytest.mark.promise(DAYS, 250)
@pytest.mark.parametrize("first", [0, 250])
def test_five_hundred_days(passed: Any, first: int) -> None:
    for seed in range(first, first + 250):
        try:
            check(*passed(seed), seed)
        except AssertionError as error:
            raise AssertionError(f"day {seed}: {error}") from error


@pytest.mark.promise(DAYS, 10_000)
@pytest.mark.long
def test_ten_thousand_days(passed: Any) -> None:
    for seed in range(10_000, 20_000):
        check(*passed(seed), seed)
