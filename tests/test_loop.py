"""The loop: every number that a step tells, asks for and moves, by hand, with a model of one weight."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from daybreak.core.clock import Tick
from daybreak.core.records import Step
from daybreak.data.batches import Batch
from daybreak.engine.guard import Guard, TrainingDiverged
from daybreak.engine.loop import Position, _smaller, steps
from daybreak.engine.optimizers import Rates

pytestmark = pytest.mark.usefixtures("one_thread")

CONTEXT = 3


class Weight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(2.0))


class Loss:
    """The weight times the sum of a batch's numbers, all of which are targets. Some calls fail."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures, self.devices, self.calls = list(failures), set[str](), 0

    def __call__(self, module: Weight, batch: Batch) -> Tensor:
        self.calls += 1
        self.devices.add(batch.tokens.device.type)
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure
        return module.w * batch.tokens.sum()

    def targets(self, batch: Batch) -> int:
        return batch.tokens.numel()


class Source:
    """Row i holds i and i + 1."""

    context_length = CONTEXT

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []

    def take(self, cursor: int, rows: int) -> Batch:
        self.taken.append((cursor, rows))
        return Batch(torch.arange(cursor, cursor + rows)[:, None] + torch.arange(2))


class Clock:
    """Gives the ticks of a list; each step takes as long as a list says."""

    def __init__(self, ticks: list[Tick], seconds: list[float]) -> None:
        self.ticks, self.seconds, self.now, self.asked = list(ticks), list(seconds), 100.0, list[tuple[float, int]]()

    def used(self) -> float:
        return self.now

    def tick(self, expected_seconds: float, batch_tokens: int) -> Tick | None:
        self.asked.append((expected_seconds, batch_tokens))
        if not self.ticks:
            return None
        self.now += self.seconds.pop(0) if self.seconds else 1.0
        return self.ticks.pop(0)


class Optimizer:
    """Keeps the rates and gradients of its steps. Some steps fail."""

    def __init__(self, module: Weight, *failures: Exception | None) -> None:
        self.module, self.failures, self.overflowed = module, list(failures), False
        self.rates: list[Rates] = []
        self.gradients: list[float] = []

    def gradient_norm(self) -> float:
        assert self.module.w.grad is not None
        return abs(float(self.module.w.grad))

    def step(self, rates: Rates) -> None:
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure
        self.rates.append(rates)
        self.gradients.append(float(self.module.w.grad))  # type: ignore[arg-type]

    def clear(self) -> None:
        self.module.w.grad = None


class Schedule:
    """So many rows from each progress on; the rate falls with the progress."""

    def __init__(self, rows: dict[float, int]) -> None:
        self._rows = rows
        self.observed: list[tuple[float, float]] = []

    def rows(self, progress: float) -> int:
        return self._rows[max(begin for begin in self._rows if begin <= progress)]

    def rates(self, progress: float) -> Rates:
        return Rates(learning_rate=1 - progress, momentum=0.5 + progress / 2)

    def observe(self, progress: float, nats: float) -> None:
        self.observed.append((progress, nats))


def made(
    *ticks: Tick,
    rows: int | dict[float, int] = 4,
    seconds: tuple[float, ...] = (),
    loss: tuple[Exception | None, ...] = (),
    stepping: tuple[Exception | None, ...] = (),
    **position: Any,
) -> SimpleNamespace:
    module = Weight()
    return SimpleNamespace(
        module=module,
        loss=Loss(*loss),
        optimizer=Optimizer(module, *stepping),
        schedule=Schedule(rows if isinstance(rows, dict) else {0.0: rows}),
        source=Source(),
        clock=Clock(list(ticks), list(seconds)),
        position=Position(**position),
    )


def taken(run: SimpleNamespace, micro_batch: int = 2, **about: Any) -> Iterator[Step]:
    parts = (run.module, run.loss, run.optimizer, run.schedule, run.source, run.clock)
    return steps(*parts, position=run.position, micro_batch=micro_batch, **about)


def at(*progress: float, **about: Any) -> list[Tick]:
    return [Tick(progress=one, **about) for one in progress]


def memory() -> RuntimeError:
    return RuntimeError("CUDA out of memory")


def test_a_run_begins_at_nothing() -> None:
    assert vars(Position()) == {
        "step": 0,
        "cursor": 0,
        "tokens": 0,
        "row_seconds": 0.0,
        "progress": 0.0,
        "micro_batch": 0,
        "rate": 1.0,
        "went_back": 0,
    }


def test_two_steps_by_hand() -> None:
    run = made(*at(0.25, 0.75), seconds=(2.0, 6.0))
    followed: list[tuple[nn.Module, float]] = []
    found = list(taken(run, after=lambda module, progress: followed.append((module, progress))))
    # Rows 0 to 3 hold 0 + 1, 1 + 2, 2 + 3 and 3 + 4: their mean is 16 / 8, the weight is 2; the next mean is 48 / 8.
    about = {"micro_batch": 2, "accumulation": 2, "skipped": False}
    first = Step(
        step=1,
        progress=0.25,
        nats=4.0,
        gradient_norm=2.0,
        learning_rate_factor=0.75,
        tokens=12,
        seconds=2.0,
        used_seconds=102.0,
        cursor=0,
        **about,
    )
    second = Step(
        step=2,
        progress=0.75,
        nats=12.0,
        gradient_norm=6.0,
        learning_rate_factor=0.25,
        tokens=24,
        seconds=6.0,
        used_seconds=108.0,
        cursor=4,
        **about,
    )
    assert found == [first, second]
    assert run.source.taken == [(0, 2), (2, 2), (4, 2), (6, 2)]
    assert run.optimizer.rates == [
        Rates(learning_rate=0.75, momentum=0.625),
        Rates(learning_rate=0.25, momentum=0.875),
    ]
    assert run.optimizer.gradients == [2.0, 6.0] and run.module.w.grad is None
    assert run.schedule.observed == [(0.25, 4.0), (0.75, 12.0)]
    assert followed == [(run.module, 0.25), (run.module, 0.75)]
    # Of the first step it is not known what it takes; a row of it took 0.5 s, one of the second 1.5.
    assert run.clock.asked == [(0.0, 12), (2.0, 12), (4.0, 12)]
    assert run.position == Position(step=2, cursor=8, tokens=24, row_seconds=1.0, progress=0.75)


def test_what_a_step_is_expected_to_take_is_the_median_of_the_last_five() -> None:
    run = made(*at(*[0.5] * 8), seconds=(8.0, 400.0, 12.0, 16.0, 20.0, 24.0, 28.0, 0.0), row_seconds=1.0)
    list(taken(run))
    assert [seconds for seconds, _ in run.clock.asked] == [4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 20.0, 20.0]


@pytest.mark.parametrize(
    ("rows", "micro_batch", "kept", "taken_as"),
    [
        (4, 8, 0, (4, 1)),
        (8, 8, 0, (8, 1)),
        (8, 3, 0, (3, 3)),
        (10, 4, 0, (4, 2)),
        (1, 4, 0, (1, 1)),
        (8, 8, 2, (2, 4)),
        (4, 8, 16, (4, 1)),
    ],
)
def test_a_batch_of_about_its_rows_is_cut_into_equal_parts(
    rows: int, micro_batch: int, kept: int, taken_as: tuple[int, int]
) -> None:
    run = made(*at(0.5), rows=rows, micro_batch=kept)
    (step,) = taken(run, micro_batch)
    assert (step.micro_batch, step.accumulation) == taken_as
    assert run.position.cursor == len(run.source.taken) * taken_as[0] == taken_as[0] * taken_as[1]
    assert run.clock.asked[0][1] == run.position.tokens == taken_as[0] * taken_as[1] * CONTEXT
    assert run.position.micro_batch == kept


def test_the_batch_is_that_of_the_progress_before_the_step() -> None:
    run = made(*at(0.6, 0.7), rows={0.0: 2, 0.5: 4})
    assert [step.micro_batch * step.accumulation for step in taken(run)] == [2, 4]
    assert [step.accumulation for step in taken(made(*at(0.9), rows={0.0: 2, 0.5: 4}, progress=0.5))] == [2]


def test_a_run_that_goes_on_counts_from_where_it_stands() -> None:
    run = made(*at(0.5), step=7, cursor=28, tokens=84, rate=0.5)
    (step,) = taken(run)
    assert (step.step, step.cursor, step.tokens, step.learning_rate_factor) == (8, 28, 96, 0.25)
    assert (run.position.step, run.position.cursor, run.position.tokens) == (8, 32, 96)


def test_a_tick_of_a_log_says_the_batch_the_rate_and_what_is_skipped() -> None:
    told = {"micro_batch": 3, "accumulation": 2}
    ticks = [
        Tick(progress=0.5, cursor=10, learning_rate=0.125, **told),
        Tick(progress=0.5, skip=True, **told),
        Tick(progress=0.5, cursor=0, **told),
    ]
    run = made(*ticks, rate=0.5)
    found = list(taken(run))
    assert [(step.micro_batch, step.accumulation, step.cursor) for step in found] == [(3, 2, 10), (3, 2, 16), (3, 2, 0)]
    assert [step.learning_rate_factor for step in found] == [0.125, 0.25, 0.25]
    assert [step.skipped for step in found] == [False, True, False]
    assert [rates.learning_rate for rates in run.optimizer.rates] == [0.125, 0.25]
    assert run.source.taken == [(10, 3), (13, 3), (16, 3), (19, 3), (0, 3), (3, 3)]


def test_what_a_log_does_not_skip_is_not_skipped_and_what_it_skips_is_no_accident_of_this_run() -> None:
    run = made(*at(*[0.5] * 2, micro_batch=2), *at(*[0.5] * 4, micro_batch=2, skip=True))
    run.module.w.data.fill_(math.nan)
    assert [step.skipped for step in taken(run)] == [False] * 2 + [True] * 4


def test_a_step_that_is_skipped_changes_nothing_is_counted_and_three_of_them_are_no_accident() -> None:
    run = made(*at(0.1, 0.2, 0.3, 0.4))
    run.module.w.data.fill_(math.inf)
    followed: list[float] = []
    found: list[Step] = []
    with pytest.raises(TrainingDiverged, match="training diverges") as caught:
        for step in taken(run, after=lambda module, progress: followed.append(progress)):
            found.append(step)
    assert "3 of 3 steps" in caught.value.received and [step.skipped for step in found] == [True] * 3
    assert run.optimizer.rates == [] and run.schedule.observed == [] and followed == []
    assert run.position == Position(step=3, cursor=12, tokens=36, progress=0.3, row_seconds=0.25)
    assert run.module.w.grad is None and math.isinf(found[0].nats)


def test_a_guard_that_is_given_judges_the_steps_and_hears_of_an_overflow() -> None:
    guard = Guard()
    for _ in range(2):
        guard.is_bad_step(math.nan, 1.0)
    run = made(*at(0.5, 0.6))
    run.module.w.data.fill_(math.nan)
    with pytest.raises(TrainingDiverged):
        list(taken(run, guard=guard))
    assert run.position.step == 1
    # A scale that was too large: gradients are not finite, losses are, and nothing is wrong with the run.
    run = made(*at(*[0.5] * 5))
    run.optimizer.overflowed, run.optimizer.gradient_norm = True, lambda: math.inf
    assert [step.skipped for step in taken(run)] == [True] * 5


def test_a_batch_that_does_not_fit_is_taken_in_smaller_parts_for_good() -> None:
    # In the second part of the first step, then in the first part of the next try: 4, 2, 1 rows at once.
    run = made(*at(0.5, 0.6), rows=8, loss=(None, memory(), memory()))
    first, second = taken(run, 4)
    assert (first.micro_batch, first.accumulation, first.nats, first.gradient_norm) == (1, 8, 8.0, 4.0)
    assert (second.micro_batch, second.accumulation, run.position.micro_batch) == (1, 8, 1)
    assert (first.cursor, second.cursor, run.position.cursor) == (0, 8, 16)


def test_what_does_not_fit_in_any_part_and_what_is_no_matter_of_memory_is_raised() -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        list(taken(made(*at(0.5), rows=1, loss=(memory(),))))
    run = made(*at(0.5), loss=(RuntimeError("shapes do not match"),))
    with pytest.raises(RuntimeError, match="shapes"):
        list(taken(run))
    assert run.position.micro_batch == 0


def test_where_a_batch_cannot_even_be_drawn_nothing_is_computed_of_it() -> None:
    run = made(*at(0.5))
    take, failures = run.source.take, [None, memory()]

    def failing(cursor: int, rows: int) -> Batch:
        if failures and (failure := failures.pop(0)) is not None:
            assert not run.loss.devices
            raise failure
        return take(cursor, rows)

    run.source.take = failing
    (step,) = taken(run)
    assert (step.micro_batch, step.accumulation, step.nats) == (1, 4, 4.0)
    assert run.loss.calls == 4


def test_a_good_step_or_a_step_of_a_log_ends_no_run() -> None:
    for ticks in (at(0.5), at(0.5, micro_batch=2, skip=True)):
        guard = Guard()
        for _ in range(3):
            guard.is_bad_step(math.nan, 1.0)
        assert len(list(taken(made(*ticks), guard=guard))) == 1


@pytest.mark.parametrize(("rows", "micro_batch", "left"), [(8, 4, 2), (12, 4, 2), (8, 1, 1)])
def test_memory_that_ends_within_the_optimizer_is_unsound_and_parts_are_smaller_afterwards(
    rows: int, micro_batch: int, left: int
) -> None:
    run = made(*at(0.5), rows=rows, stepping=(memory(),))
    with pytest.raises(TrainingDiverged) as caught:
        list(taken(run, micro_batch))
    assert "optimizer" in caught.value.received and run.position.micro_batch == left
    run = made(*at(0.5), rows=8, stepping=(RuntimeError("shapes do not match"),))
    with pytest.raises(RuntimeError, match="shapes"):
        list(taken(run, micro_batch))


class Pair:
    """A world of two processes, of which the other one has the same as this one."""

    rank, size = 0, 2

    def __init__(self, decide: Callable[[Any], Any] = lambda decision: decision) -> None:
        self.agree = decide

    def sum(self, value: Any) -> Any:
        return 2 * value

    def barrier(self) -> None: ...


def test_two_processes_take_the_rows_of_one_batch_and_add_up_what_they_found() -> None:
    # Both are given all rows here, so that targets, nats and gradients are those of one process with twice the rows.
    run = made(*at(0.25), rows=8, seconds=(4.0,), row_seconds=0.25)
    (step,) = taken(run, world=Pair())
    assert run.source.taken == [(0, 4), (4, 4)] and (step.micro_batch, step.accumulation) == (2, 2)
    assert (step.nats, step.gradient_norm, run.optimizer.gradients) == (8.0, 4.0, [4.0])
    assert run.clock.asked == [(2.0, 24), (3.0, 24)]
    assert (run.position.cursor, run.position.tokens, run.position.row_seconds) == (8, 24, 0.375)
    run = made(*at(0.25), rows=1)
    (step,) = taken(run, world=Pair())
    assert (step.micro_batch, step.accumulation, run.position.cursor) == (1, 1, 2)


def test_weights_without_a_gradient_have_none_to_add_up() -> None:
    run = made(*at(0.25))
    run.module.unused = nn.Parameter(torch.zeros(1))
    (step,) = taken(run, world=Pair())
    assert step.gradient_norm == 2.0 and run.module.unused.grad is None


def test_the_first_process_decides_when_the_steps_end_and_what_is_skipped() -> None:
    assert list(taken(made(*at(0.25)), world=Pair(lambda decision: None))) == []
    told = Pair(lambda decision: (False, "the other's loss") if isinstance(decision, tuple) else decision)
    assert [step.skipped for step in taken(made(*at(0.25)), world=told)] == [True]


def test_a_batch_without_targets_has_no_loss() -> None:
    run = made(*at(0.25))
    run.loss.targets = lambda batch: 0
    run.module.w.data.zero_()
    (step,) = taken(run)
    assert step.nats == 0.0 and not step.skipped


def test_batches_are_moved_to_the_device_of_the_module() -> None:
    run = made(*at(0.5))
    list(taken(run))
    assert run.loss.devices == {"cpu"}
    run = made(*at(0.5), rows=2, loss=(RuntimeError("seen"),))
    with pytest.raises(RuntimeError, match="seen"):
        list(taken(run, device=torch.device("meta")))
    assert run.loss.devices == {"meta"}


@pytest.mark.parametrize(
    ("micro", "rows", "smaller"), [(8, 8, 4), (6, 12, 3), (5, 10, 2), (7, 7, 1), (10, 12, 4), (2, 2, 1), (1, 4, 0)]
)
def test_a_smaller_part_is_at_most_half_and_divides_the_batch(micro: int, rows: int, smaller: int) -> None:
    assert _smaller(micro, rows) == smaller
