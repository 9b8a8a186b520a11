"""The clock: never late, never backwards, and a whole day of it in milliseconds."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core import clock as clock_module
from daybreak.core import records
from daybreak.core.clock import (
    Contention,
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


def test_a_clock_with_a_most_of_tokens_goes_by_the_larger_share() -> None:
    present, stopwatch = stopped()
    clock = SecondsClock(stopwatch, begin=0.0, end=100.0, most_tokens=40)
    assert clock.tick(0.0, 10) == Tick(progress=0.125)
    present.now += 50.0
    assert clock.tick(10.0, 10) == Tick(progress=0.55)
    assert clock.tick(0.0, 10) == Tick(progress=0.625)
    assert clock.tick(0.0, 10) == Tick(progress=0.875) and clock.progress == 0.875
    assert clock.tick(0.0, 10) is None
    clock.resume(0.5, tokens=20)
    assert clock.tick(0.0, 30) == Tick(progress=0.875) and clock.tick(0.0, 1) is None
    clock = SecondsClock(stopwatch, begin=0.0, end=100.0, most_tokens=10)
    assert clock.tick(0.0, 40) == Tick(progress=1.0)


def test_a_clock_resumes_without_tokens_where_none_are_told() -> None:
    clock = SecondsClock(stopped()[1], begin=0.0, end=100.0, most_tokens=40)
    clock.tick(0.0, 10)
    clock.resume(0.0)
    assert clock.tick(0.0, 20) == Tick(progress=0.25)


def test_where_the_end_is_put_off_what_is_left_goes_evenly_with_the_time_that_is_left() -> None:
    present, stopwatch = stopped()
    clock = SecondsClock(stopwatch, begin=0.0, end=100.0)
    present.now += 50.0
    assert clock.tick(0.0, 1) == Tick(progress=0.5)
    present.now += 10.0
    clock.end = 200.0
    clock.stretch()
    assert clock.begin == -80.0 and clock.tick(0.0, 1) == Tick(progress=0.5)
    present.now += 70.0
    assert clock.tick(0.0, 1) == Tick(progress=0.75)
    clock.end = 140.0  # an end that comes earlier moves no beginning
    clock.stretch()
    assert clock.begin == -80.0
    clock.resume(1.0)
    clock.stretch()
    assert clock.begin == -80.0


def test_a_tick_that_says_no_more_leaves_all_to_the_plan() -> None:
    assert vars(Tick(progress=0.5)) == {
        "progress": 0.5,
        "micro_batch": None,
        "accumulation": None,
        "skip": False,
        "learning_rate": None,
        "cursor": None,
    }


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


def test_a_tokens_clock_is_cut_short_where_its_end_comes_first() -> None:
    present, stopwatch = stopped()
    clock = TokensClock(stopwatch, tokens=100, end=10.0)
    present.now += 4.0
    assert clock.tick(6.0, 20) == Tick(progress=0.1) and not clock.cut
    present.now += 0.5
    assert clock.tick(6.0, 20) is None and clock.cut
    done = TokensClock(stopwatch, tokens=100, end=10.0)
    assert done.tick(0.0, 300) == Tick(progress=1.0) and done.tick(0.0, 1) is None and not done.cut


def test_a_log_that_does_not_tell_the_cursor_leaves_it_to_the_run() -> None:
    about = {"step": 1, "progress": 0.5, "micro_batch": 2, "accumulation": 1, "skipped": False, "nats": 1.0}
    about |= {"gradient_norm": 1.0, "learning_rate_factor": 0.5, "tokens": 1, "seconds": 1.0, "used_seconds": 1.0}
    clock = ReplayClock(stopped()[1], [Step(**about), Step(**about, cursor=0)])
    assert [clock.tick(1.0, 1).cursor for _ in range(2)] == [None, 0]


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
    assert stopwatch.used() == 105.0 and stopwatch.used_before == 100.0
    present.now += 1.0
    assert stopwatch.used() == 106.0
    assert Stopwatch(start=1000.0, used_before=7.0, now=lambda: 1002.0).used() == 9.0


def test_the_process_was_started_before_now_and_after_the_machine() -> None:
    assert 0.0 < process_start() <= boot_seconds()
    assert process_start() == pytest.approx(process_start(), abs=0.5)


def reading(monkeypatch: pytest.MonkeyPatch, path: str, content: str | None) -> None:
    """The one file that is opened is this one and has this content; without content there is none."""

    def opened(name: str) -> io.StringIO:
        assert name == path
        if content is None:
            raise FileNotFoundError
        return io.StringIO(content)

    monkeypatch.setattr("builtins.open", opened)


def test_the_seconds_since_the_machine_started_are_those_with_its_suspension_where_they_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    monkeypatch.setattr(time, "clock_gettime", {7: 500.0}.__getitem__, raising=False)
    monkeypatch.setattr(time, "monotonic", lambda: 300.0)
    assert boot_seconds() == 500.0
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert boot_seconds() == 300.0


def test_the_start_of_the_process_is_field_22_of_its_status_in_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_module, "boot_seconds", lambda: 40.0)
    monkeypatch.setattr(os, "sysconf", {"SC_CLK_TCK": 100}.__getitem__)
    fields = [str(field) for field in range(3, 53)]  # the first two are the process and its name
    for ticks, start in (("3050", 30.5), ("4050", 40.0)):
        fields[22 - 3] = ticks
        content = f"{os.getpid()} (a name) 5 6) {' '.join(fields)}\n"
        reading(monkeypatch, f"/proc/{os.getpid()}/stat", content)
        assert process_start() == start  # and never after now


def test_contention_is_the_time_in_a_queue_for_each_second_that_ran() -> None:
    told = iter([(0.04, 9.0), (0.05, 0.1), (1.05, 0.1), (1.09, 0.9), (3.05, 1.1), (4.05, 0.5), (8.05, 2.5)])
    found = Contention(lambda: next(told))
    assert [found.factor() for _ in range(7)] == pytest.approx([1.0, 3.0, 1.0, 1.0, 1.5, 1.0, 1.5])


@pytest.mark.parametrize(
    ("content", "told"),
    [("1500000000 250000000 7\n", (1.5, 0.25)), ("", (0.0, 0.0)), ("1 x\n", (0.0, 0.0)), (None, (0.0, 0.0))],
)
def test_the_scheduler_tells_nanoseconds_that_ran_and_that_waited(
    monkeypatch: pytest.MonkeyPatch, content: str | None, told: tuple[float, float]
) -> None:
    reading(monkeypatch, "/proc/thread-self/schedstat", content)
    assert clock_module._scheduled() == told
    assert Contention().factor() == pytest.approx(1 + 0.25 / 1.5 if told[0] else 1.0)


def test_a_stopwatch_counts_from_the_start_of_the_process() -> None:
    # The interpreter and the imports took time before this line.
    assert Stopwatch().used() >= time.process_time() * 0.5


def test_without_proc_the_processor_time_is_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", missing)
    assert process_start() <= boot_seconds() - 0.01


def test_a_ledger_counts_from_the_beginning_unless_told(tmp_path: Path) -> None:
    present, stopwatch = stopped()
    log = Log(tmp_path / "log.jsonl")
    ledger = Ledger(log, stopwatch, name="start")
    present.now += 3.0
    ledger.enter("training")
    log.close()
    assert list(records.read(tmp_path / "log.jsonl")) == [Phase(name="start", seconds=3.0, used_seconds=3.0)]


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
