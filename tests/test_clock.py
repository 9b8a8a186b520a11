"""The clock: never late, never backwards, and a whole day of it in milliseconds."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core import records
from daybreak.core.clock import (
    Ledger,
    ReplayClock,
    SecondsClock,
    Stopwatch,
    Tick,
    TokensClock,
    boot_seconds,
    process_start,
)
from daybreak.core.records import Log, Phase, Step

DAY = 86400.0


def stopped() -> tuple[SimpleNamespace, Stopwatch]:
    """A present that the test sets, and a stopwatch on it."""
    present = SimpleNamespace(now=1000.0)
    return present, Stopwatch(start=1000.0, now=lambda: present.now)


@settings(max_examples=40, deadline=None)
@given(
    step_seconds=st.floats(20.0, 300.0),
    begin=st.floats(0.0, 600.0),
    stalls=st.dictionaries(st.integers(0, 4000), st.floats(1.0, 4 * 3600.0), max_size=12),
    scatter=st.lists(st.floats(0.5, 1.5), min_size=1, max_size=7),
)
def test_a_day_with_stalls_begins_no_step_that_is_expected_to_end_late(
    step_seconds: float, begin: float, stalls: dict[int, float], scatter: list[float]
) -> None:
    present, stopwatch = stopped()
    end = DAY - 300.0
    present.now += begin
    clock = SecondsClock(stopwatch, begin=begin, end=end)
    expected, last, taken, index = step_seconds, 0.0, 0.0, 0
    while True:
        begun = clock.used()
        tick = clock.tick(expected, 4096)
        if tick is None:
            break
        assert begun + expected <= end
        assert last <= tick.progress <= 1.0
        last = tick.progress
        taken = step_seconds * scatter[index % len(scatter)] + stalls.get(index, 0.0)
        present.now += taken
        expected += 0.2 * (taken - expected)
        index += 1
    # What is left of the progress is less than what the last step took and the one that did not fit.
    assert (1 - last) * (end - begin) <= taken + expected + 1e-6
    assert clock.used() + expected > end


def test_a_day_of_short_steps_ends_at_its_end() -> None:
    present, stopwatch = stopped()
    clock = SecondsClock(stopwatch, begin=60.0, end=DAY - 60.0)
    present.now += 60.0
    progress, steps = [], 0
    while (tick := clock.tick(30.0, 4096)) is not None:
        progress.append(tick.progress)
        # A slow hour, in which the machine does a tenth of the work.
        present.now += 300.0 if DAY / 2 < clock.used() < DAY / 2 + 3600 else 30.0
        steps += 1
    assert progress[0] < 0.001 and progress[-1] > 0.999 and progress == sorted(progress)
    assert clock.used() <= DAY - 60.0
    assert 2700 < steps < (DAY - 120) / 30


def test_progress_is_that_of_the_middle_of_the_step() -> None:
    present, stopwatch = stopped()
    clock = SecondsClock(stopwatch, begin=100.0, end=300.0)
    present.now += 100.0
    assert clock.tick(20.0, 1) == Tick(progress=0.05)
    present.now += 100.0
    assert clock.tick(20.0, 1) == Tick(progress=0.55)
    present.now += 80.0
    assert clock.tick(20.0, 1) == Tick(progress=0.95)
    present.now += 0.001
    assert clock.tick(20.0, 1) is None


def test_progress_does_not_fall_when_a_step_was_expected_too_long() -> None:
    _, stopwatch = stopped()
    clock = SecondsClock(stopwatch, begin=0.0, end=100.0)
    assert clock.tick(90.0, 1) == Tick(progress=0.45)
    assert clock.tick(10.0, 1) == Tick(progress=0.45)


def test_progress_does_not_fall_when_the_end_is_put_off() -> None:
    present, stopwatch = stopped()
    clock = SecondsClock(stopwatch, begin=0.0, end=100.0)
    present.now += 50.0
    assert clock.tick(0.0, 1) == Tick(progress=0.5)
    clock.end = 200.0
    assert clock.tick(0.0, 1) == Tick(progress=0.5)
    present.now += 75.0
    assert clock.tick(0.0, 1) == Tick(progress=0.625)


def test_a_run_resumes_at_the_progress_that_it_had() -> None:
    present, stopwatch = stopped()
    clock = SecondsClock(stopwatch, begin=0.0, end=100.0)
    clock.resume(0.4)
    present.now += 10.0
    assert clock.tick(0.0, 1) == Tick(progress=0.4)
    present.now += 50.0
    assert clock.tick(0.0, 1) == Tick(progress=0.6)


def test_a_clock_that_ends_before_it_begins_gives_no_leave() -> None:
    present, stopwatch = stopped()
    present.now += 50.0
    assert SecondsClock(stopwatch, begin=50.0, end=50.0).tick(0.1, 1) is None
    assert SecondsClock(stopwatch, begin=50.0, end=20.0).tick(0.0, 1) is None


@given(batch=st.integers(1, 5000), steps=st.integers(1, 50))
def test_a_tokens_clock_gives_leave_for_exactly_its_tokens(batch: int, steps: int) -> None:
    clock = TokensClock(stopped()[1], tokens=batch * steps)
    progress = []
    while (tick := clock.tick(1.0, batch)) is not None:
        progress.append(tick.progress)
    assert len(progress) == steps
    assert progress == [(index * batch + 0.5 * batch) / (batch * steps) for index in range(steps)]


def test_a_tokens_clock_whose_last_batch_is_not_full_ends_with_it() -> None:
    clock = TokensClock(stopped()[1], tokens=100)
    ticks = [clock.tick(1.0, 40) for _ in range(4)]
    assert [tick.progress for tick in ticks if tick] == [0.2, 0.6, 1.0] and ticks[3] is None


def test_a_tokens_clock_resumes_at_its_tokens() -> None:
    clock = TokensClock(stopped()[1], tokens=100)
    clock.resume(80)
    assert clock.tick(1.0, 20) == Tick(progress=0.9) and clock.tick(1.0, 20) is None


def test_a_replay_repeats_progress_batches_and_skipped_steps() -> None:
    logged = [
        Step(
            step=number,
            progress=0.1 * number,
            micro_batch=micro,
            accumulation=parts,
            skipped=skipped,
            nats=1.0,
            gradient_norm=1.0,
            learning_rate_factor=1.0,
            tokens=number,
            seconds=1.0,
            used_seconds=1.0,
            cursor=64 * number,
        )
        for number, (micro, parts, skipped) in enumerate([(8, 1, False), (4, 2, True), (4, 4, False)])
    ]
    clock = ReplayClock(stopped()[1], logged)
    for step in logged:
        assert clock.tick(123.0, 7) == Tick(
            progress=step.progress,
            micro_batch=step.micro_batch,
            accumulation=step.accumulation,
            skip=step.skipped,
            learning_rate=step.learning_rate_factor,
            cursor=step.cursor,
        )
    assert clock.tick(0.0, 7) is None and clock.used() == 0.0


def test_a_stopwatch_adds_what_earlier_processes_used() -> None:
    present, stopwatch = stopped()
    present.now += 5.0
    assert stopwatch.used() == 5.0
    stopwatch.continue_from(100.0)
    assert stopwatch.used() == 105.0
    present.now += 1.0
    assert stopwatch.used() == 106.0
    assert Stopwatch(start=1000.0, used_before=7.0, now=lambda: 1002.0).used() == 9.0


def test_the_process_was_started_before_now_and_after_the_machine() -> None:
    assert 0.0 < process_start() <= boot_seconds()
    assert process_start() == pytest.approx(process_start(), abs=0.5)


def test_a_stopwatch_counts_from_the_start_of_the_process() -> None:
    # The interpreter and the imports took time before this line.
    assert Stopwatch().used() >= time.process_time() * 0.5


def test_without_proc_the_processor_time_is_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", missing)
    assert process_start() <= boot_seconds() - 0.01


def test_a_ledger_says_where_every_second_went(tmp_path: Path) -> None:
    present, stopwatch = stopped()
    log = Log(tmp_path / "log.jsonl")
    present.now += 2.0
    ledger = Ledger(log, stopwatch, name="start", since=0.5)
    present.now += 1.0
    ledger.enter("training")
    present.now += 10.0
    with pytest.raises(RuntimeError), ledger.within("validation"):
        present.now += 3.0
        raise RuntimeError
    present.now += 20.0
    ledger.enter("the end")
    log.close()
    phases = [record for record in records.read(tmp_path / "log.jsonl") if isinstance(record, Phase)]
    assert [(phase.name, phase.seconds) for phase in phases] == [
        ("start", 2.5),
        ("training", 10.0),
        ("validation", 3.0),
        ("training", 20.0),
    ]
    assert 0.5 + sum(phase.seconds for phase in phases) == phases[-1].used_seconds == stopwatch.used()
