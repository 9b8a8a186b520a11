"""The guard and the faults: broken steps are skipped, sound ones never, and a fault does what it says."""

from __future__ import annotations

import errno
import math
import random

import pytest

from daybreak.engine import faults, memory
from daybreak.engine.changes import Change
from daybreak.engine.guard import LEAST, WINDOW, Guard, TrainingDiverged

BROKEN = "a loss or gradient that is no number changes no weight"


def falling(generator: random.Random, steps: int, noise: float = 0.05) -> list[float]:
    """Losses as they are: fast down at first, slowly later, with noise."""
    return [2.0 + 4.0 / (1 + 0.05 * step) + generator.gauss(0, noise) for step in range(steps)]


@pytest.mark.promise(BROKEN, 1)
@pytest.mark.parametrize("broken", [(math.nan, 1.0), (math.inf, 1.0), (2.0, math.nan), (2.0, math.inf)], ids=str)
@pytest.mark.parametrize("before", [0, 1, 50])
def test_what_is_not_finite_is_broken_from_the_first_step_on(broken: tuple[float, float], before: int) -> None:
    guard = Guard()
    assert not any(guard.is_bad_step(2.0, 1.0) for _ in range(before))
    assert guard.is_bad_step(*broken) and str(next(v for v in broken if not math.isfinite(v))) in guard.reason
    assert not guard.is_bad_step(2.0, 1.0) and not guard.reason


@pytest.mark.promise("a sound run of 1,000 steps has no false alarm", 150)
def test_no_sound_run_has_a_false_alarm() -> None:
    for seed in range(50):
        for noise in (0.02, 0.1, 0.3):
            guard = Guard()
            losses = falling(random.Random(seed), 1000, noise)
            assert [step for step, nats in enumerate(losses) if guard.is_bad_step(nats, 1.0)] == []


def test_a_loss_scale_that_is_too_large_is_no_accident_of_the_run() -> None:
    guard = Guard()
    for _ in range(30):
        assert guard.is_bad_step(2.0, math.inf, overflowed=True) and not guard.reason
        guard.check()
    assert guard.is_bad_step(math.nan, math.inf, overflowed=True) and "the loss is nan" in guard.reason


def test_a_spike_is_seen_at_once_and_does_not_become_usual() -> None:
    guard = Guard()
    for nats in falling(random.Random(0), 200):
        guard.is_bad_step(nats, 1.0)
    for _ in range(2 * WINDOW):
        assert guard.is_bad_step(8.0, 1.0) and "8 nats" in guard.reason


def usual(count: int) -> Guard:
    """A guard that has seen so many losses with a mean of 2 and a standard deviation of 1."""
    guard = Guard()
    for step in range(count):
        assert not guard.is_bad_step(1.0 if step % 2 else 3.0, 1.0) and guard.reason == ""
    return guard


def test_a_loss_is_broken_beyond_six_standard_deviations_of_64_losses() -> None:
    good = usual(64)
    assert not good.is_bad_step(8.0, 1.0) and good.reason == ""
    spike = usual(64)
    assert spike.is_bad_step(8.01, 1.0) and spike.reason == "the loss is 8.01 nats, where 2 is usual"
    assert not usual(63).is_bad_step(1000.0, 1.0)
    assert not usual(64).is_bad_step(-1000.0, 1.0)


def test_what_is_usual_is_told_by_the_last_128_losses_and_the_last_20_steps() -> None:
    guard = Guard()
    for step in range(200):
        guard.is_bad_step(float(-step), 1.0)
    assert guard.state() == {"losses": [float(-step) for step in range(72, 200)], "skipped": [False] * 20}
    loaded = Guard()
    loaded.load(guard.state())
    loaded.is_bad_step(-200.0, 1.0)
    assert loaded.state() == {"losses": [float(-step) for step in range(73, 201)], "skipped": [False] * 20}


@pytest.mark.parametrize("change", list(Change))
def test_after_a_change_the_losses_so_far_and_what_was_skipped_count_no_more(change: Change) -> None:
    guard = usual(64)
    for _ in range(3):
        guard.is_bad_step(math.nan, 1.0)
    guard.changed(change)
    guard.check()
    assert guard.state() == {"losses": [], "skipped": []} and not guard.is_bad_step(1000.0, 1.0)


def test_a_guard_that_was_saved_judges_as_the_one_before() -> None:
    one, other = Guard(), Guard()
    losses = falling(random.Random(1), LEAST + 5)
    for nats in losses:
        one.is_bad_step(nats, 1.0)
    other.load(one.state())
    for nats in (*falling(random.Random(2), 50), 9.0, 2.3, math.nan):
        assert one.is_bad_step(nats, 1.0) == other.is_bad_step(nats, 1.0)
    assert one.state() == other.state()


def test_three_skipped_of_twenty_are_no_accident() -> None:
    guard = Guard()
    for step in range(100):  # a skipped step now and then is one
        guard.is_bad_step(math.nan if step % 10 == 0 else 2.0, 1.0)
        guard.check()
    for _ in range(2):
        guard.is_bad_step(math.nan, 1.0)
    with pytest.raises(TrainingDiverged) as caught:
        guard.check()
    assert "3 of 20" in caught.value.received
    guard.reset()
    guard.check()


# Faults


def test_nothing_fails_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAYBREAK_FAULT", raising=False)
    faults.forget()
    for point in faults.POINTS:
        faults.at(point)
        assert faults.of(point, 2.5) == 2.5


def test_a_fault_is_due_at_its_turn_and_says_how_it_is_repeated(asked, capsys) -> None:
    asked("checkpoint.state:EIO@3,step.loss:nan@2")
    faults.at("checkpoint.state")
    faults.at("checkpoint.state")
    with pytest.raises(OSError) as caught:
        faults.at("checkpoint.state")
    assert caught.value.errno == errno.EIO
    faults.at("checkpoint.state")
    assert [math.isnan(faults.of("step.loss", 1.0)) for _ in range(3)] == [False, True, False]
    assert "DAYBREAK_FAULT='checkpoint.state:EIO@3,step.loss:nan@2' DAYBREAK_FAULT_SEED=0" in capsys.readouterr().err


def test_a_drawn_turn_depends_on_the_seed_alone() -> None:
    turns = {faults.read("step.end:kill@?1000", seed)[0].turn for seed in range(20)}
    assert len(turns) > 10 and turns <= set(range(1, 1001))
    assert faults.read("step.end:kill@?1000", 3) == faults.read("step.end:kill@?1000", 3)


@pytest.mark.parametrize(
    "wrong", ["step.and:kill", "step.end:kil", "step.end", "step.end:kill@", "step.end:kill@x", ","]
)
def test_a_misspelt_fault_is_an_error(wrong: str) -> None:
    with pytest.raises(ValueError, match="DAYBREAK_FAULT"):
        faults.read(wrong)


def test_memory_that_has_ended_is_told_from_other_errors(asked) -> None:
    asked("step.forward:memory@*")
    with pytest.raises(RuntimeError) as caught:
        faults.at("step.forward")
    assert memory.ended(caught.value) and memory.ended(MemoryError())
    assert memory.ended(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    assert not memory.ended(RuntimeError("shapes do not match")) and not memory.ended(ValueError("out of memory"))
