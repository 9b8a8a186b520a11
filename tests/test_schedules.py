"""Schedules: each curve by hand, rates that never rise, and a plateau that goes on from its state."""

from __future__ import annotations

import itertools
import json

import pytest

from daybreak.core.errors import UsageError
from daybreak.engine.optimizers import Rates
from daybreak.engine.schedules import MOMENTUM_START, Schedule


def ramp(progress: float) -> float:
    return 0.25 if progress < 0.2 else 0.5 if progress < 0.5 else 1.0


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("linear", {0.05: 0.5, 0.1: 1.0, 0.6: 1.0, 0.8: 0.55, 1.0: 0.1}),
        ("cosine", {0.05: 0.5, 0.1: 1.0, 0.55: 0.55, 1.0: 0.1}),
        ("constant", {0.05: 0.5, 0.1: 1.0, 1.0: 1.0}),
        ("inverse_sqrt", {0.05: 0.5, 0.1: 1.0, 0.4: 0.5, 1.0: 0.1**0.5}),
    ],
)
def test_a_curve_by_hand(schedule_choice, name: str, points: dict[float, float]) -> None:
    schedule = Schedule(schedule_choice(name=name, warmup=0.1, decay=0.4, floor=0.1), batch_rows=1)
    for progress, factor in points.items():
        assert schedule.rates(progress).learning_rate == pytest.approx(factor), progress


@pytest.mark.parametrize("name", ["linear", "cosine", "constant", "inverse_sqrt"])
@pytest.mark.parametrize("warmup", [0.0, 0.05])
def test_the_rate_never_rises_after_the_warm_up(schedule_choice, name: str, warmup: float) -> None:
    schedule = Schedule(schedule_choice(name=name, warmup=warmup, decay=0.7), batch_rows=1)
    rates = [schedule.rates(step / 1000).learning_rate for step in range(1001) if step / 1000 >= warmup]
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(rates))
    assert min(rates) >= 0.0 and rates[0] == pytest.approx(1.0)


def test_a_decay_over_the_whole_run_or_none_of_it(schedule_choice) -> None:
    whole = Schedule(schedule_choice(decay=1.0), batch_rows=1)
    assert [whole.rates(progress).learning_rate for progress in (0.0, 0.25, 1.0)] == [1.0, 0.75, 0.0]
    none = Schedule(schedule_choice(decay=0.0), batch_rows=1)
    assert [none.rates(progress).learning_rate for progress in (0.0, 1.0)] == [1.0, 1.0]


def test_the_momentum_warms_up(schedule_choice) -> None:
    schedule = Schedule(schedule_choice(), batch_rows=1)
    assert schedule.rates(0.0) == Rates(learning_rate=1.0, momentum=MOMENTUM_START)
    assert schedule.rates(0.05).momentum == pytest.approx((1 + MOMENTUM_START) / 2)
    assert schedule.rates(0.1).momentum == schedule.rates(1.0).momentum == 1.0


def test_a_smaller_batch_has_the_rate_of_its_root(schedule_choice) -> None:
    schedule = Schedule(schedule_choice(decay=0.1), batch_rows=8)
    schedule.batch_share = ramp
    assert [schedule.rates(progress).learning_rate for progress in (0.1, 0.3, 0.6)] == [0.5, 0.5**0.5, 1.0]


def test_a_plateau_halves_the_rate_only_when_the_loss_stands_still(schedule_choice) -> None:
    schedule = Schedule(schedule_choice(name="plateau", floor=0.2), batch_rows=1)
    rates = []
    for step in range(1, 101):
        progress = step / 100
        schedule.observe(progress, 5.0 - 4.0 * min(progress, 0.5))
        rates.append(schedule.rates(progress).learning_rate)
    assert rates[48] == 1.0 and rates[-1] == 0.2
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates))
    assert set(rates) == {1.0, 0.5, 0.25, 0.2}


def test_a_plateau_comes_back_from_json_before_and_after_its_first_window(schedule_choice) -> None:
    for seen in (0, 3, 40):
        schedule = Schedule(schedule_choice(name="plateau"), batch_rows=1)
        for step in range(seen):
            schedule.observe(step / 100, 3.0)
        other = Schedule(schedule_choice(name="plateau"), batch_rows=1)
        other.load(json.loads(json.dumps(schedule.state())))
        for step in range(seen, 100):
            for one in (schedule, other):
                one.observe(step / 100, 3.0)
            assert schedule.rates(step / 100) == other.rates(step / 100)


def test_an_unknown_schedule_names_the_nearest(schedule_choice) -> None:
    with pytest.raises(UsageError, match="did you mean 'cosine'"):
        Schedule(schedule_choice(name="cosin"), batch_rows=1)
