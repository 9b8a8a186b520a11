"""Tests of daybreak/data/workers.py: the same results in the same order, whatever is done to the processes."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import works
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.errors import DataError, ResourceError
from daybreak.data.workers import Failed, alive, ordered

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see the processes")
HERE = Path(__file__).resolve().parent


def children(of: int) -> list[int]:
    """Processes of a process that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == of and state not in "ZX":
                found.append(int(folder.name))
    return found


def running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(processes: list[int], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while any(map(running, processes)):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = children(os.getpid())
    yield
    gc.collect()
    assert sorted(children(os.getpid())) == sorted(before)


# What comes out


@pytest.mark.parametrize("processes", [1, 3])
def test_results_come_in_the_order_of_the_items(processes: int) -> None:
    assert list(ordered(works.doubled, range(50), processes=processes)) == [2 * n for n in range(50)]


@settings(max_examples=3, deadline=None)
@given(st.lists(st.integers(0, 300_000), max_size=12), st.integers(2, 4))
def test_large_and_small_results_arrive_whole(sizes: list[int], processes: int) -> None:
    assert list(ordered(works.repeated, sizes, processes=processes)) == [works.repeated(size) for size in sizes]


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_raised_is_told_in_one_line_and_the_others_go_on(processes: int) -> None:
    results = list(ordered(works.raising, range(4), processes=processes, what="number {}".format))
    assert results[1] == Failed(item=1, name="number 1", reason="ValueError: no such number")
    assert str(results[1]) == "number 1: ValueError: no such number"
    assert results[0] == 0 and results[3] == 6
    if processes > 1:  # in one process nothing is sent
        assert isinstance(results[2], Failed) and results[2].reason.startswith("its result cannot be sent: ")


@pytest.mark.parametrize("processes", [1, 3])
def test_our_errors_are_raised_where_the_result_would_be(processes: int) -> None:
    results = ordered(works.ours, range(9), processes=processes)
    assert [next(results), next(results)] == [0, 2]
    with pytest.raises(DataError) as raised:
        next(results)
    assert (raised.value.what, raised.value.received) == ("the number is too large", "2")
    assert str(raised.value).endswith("try: a smaller one")


def test_one_item_or_one_process_needs_no_worker() -> None:
    for items, processes in (([1], 8), ([1, 2], 1)):
        assert {result[0] for result in ordered(works.process, items, processes=processes)} == {os.getpid()}
    assert list(ordered(works.process, [], processes=4)) == []


def test_workers_start_fast_without_torch_and_with_one_thread() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    results = list(ordered(works.process, range(12), processes=2))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert len({process for process, *_ in results}) == 2 and os.getpid() not in {process for process, *_ in results}
    assert {tuple(rest) for _, *rest in results} == {(False, False, "1")}
    assert seconds < 2  # of two workers; 0.2 on a machine of 2025


def test_what_work_prints_is_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(ordered(works.noisy, range(3), processes=2)) == [0, 2, 4]
    assert capfd.readouterr().out == ""


def test_few_results_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []

    class Items(list[int]):
        def __getitem__(self, index: Any) -> Any:
            given.append(index)
            return super().__getitem__(index)

    for index, _ in enumerate(ordered(works.doubled, Items(range(30)), processes=2)):
        time.sleep(0.02)
        assert max(given) <= index + 2 + 3  # the one at hand, and those that wait or are worked on
    assert sorted(given) == list(range(30))


# What happens to processes


@pytest.mark.long
def test_killed_at_20_random_moments() -> None:
    """Kills lie so far apart that none meets the second attempt at an item."""
    generator = random.Random(0)
    moments = {10 * number + generator.randrange(3) for number in range(1, 21)}
    results = []
    for index, result in enumerate(ordered(works.doubled_slowly, range(220), processes=2)):
        results.append(result)
        if index in moments:
            time.sleep(generator.random() * 0.015)
            os.kill(generator.choice(children(os.getpid())), signal.SIGKILL)
    assert len(moments) == 20
    assert results == [2 * number for number in range(220)]


def test_an_item_that_always_ends_its_worker_is_left_out_and_named() -> None:
    results = list(ordered(works.poisoned, range(8), processes=2, what="part {}".format))
    assert results[3] == Failed(item=3, name="part 3", reason="2 tries; its process ended by SIGKILL")
    assert results[:3] + results[4:] == [0, 2, 4, 8, 10, 12, 14]


def test_an_item_that_lost_its_worker_once_is_done_by_another(tmp_path: Path) -> None:
    items = [(str(tmp_path / "tried"), number) for number in range(8)]
    assert list(ordered(works.killed_once, items, processes=2)) == [2 * number for number in range(8)]
    assert (tmp_path / "tried").exists()


def test_a_stuck_item_is_given_up() -> None:
    start = time.monotonic()
    results = list(ordered(works.stuck, range(6), processes=2, stuck_seconds=1))
    assert results[2] == Failed(item=2, name="2", reason="2 tries; its process gave no sign of life for 1 s")
    assert results[:2] + results[3:] == [0, 2, 6, 8, 10]
    assert 2 <= time.monotonic() - start < 60


@pytest.mark.long
def test_a_stopped_worker_is_stuck_too() -> None:
    results = ordered(works.doubled_slowly, range(40), processes=2, stuck_seconds=1)
    found = [next(results)]
    os.kill(children(os.getpid())[0], signal.SIGSTOP)
    assert found + list(results) == [2 * number for number in range(40)]


def test_work_that_says_it_is_alive_is_not_stuck() -> None:
    alive()  # of no effect here
    assert list(ordered(works.long_but_alive, range(2), processes=2, stuck_seconds=1.5)) == [0, 2]


def test_a_worker_is_not_stuck_while_the_caller_is_busy() -> None:
    results = ordered(works.repeated, [3_000_000] * 8, processes=2, stuck_seconds=1)
    sizes = []
    for result in results:
        sizes.append(len(result) if isinstance(result, bytes) else str(result))
        time.sleep(1.3 if len(sizes) in (1, 4) else 0)
    assert sizes == [3_000_000] * 8


def test_a_leaking_worker_gives_way_to_a_new_one() -> None:
    leaks = list(ordered(works.leaking, range(6), processes=2, most_bytes=40 << 20))
    assert len(set(leaks)) >= 3
    kept = list(ordered(works.leaking, range(6), processes=2, most_bytes=1 << 30))
    assert len(set(kept)) <= 2


def test_work_that_no_worker_can_import_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(works.doubled, "__module__", "gone_with_the_wind", raising=False)
    monkeypatch.setitem(sys.modules, "gone_with_the_wind", works)
    with pytest.raises(ResourceError) as raised:
        list(ordered(works.doubled, range(4), processes=2))
    assert raised.value.received == "ModuleNotFoundError: No module named 'gone_with_the_wind'"


def test_workers_that_never_start_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ResourceError, match="no worker process"):
        list(ordered(works.doubled, range(4), processes=2))


# What is left


def test_an_abandoned_iterator_leaves_nothing() -> None:
    results = ordered(works.doubled_slowly, range(1000), processes=3)
    next(results)
    processes = children(os.getpid())
    assert len(processes) == 3
    del results
    gc.collect()
    assert not any(map(running, processes))


PARENT = """
import sys
sys.path.insert(0, {here!r})
import works
from daybreak.data.workers import ordered
for result in ordered(works.{work}, [2] * 1000, processes=2):
    print(result, flush=True)
"""


def parent_of_workers(work: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A script without a main guard, with its two workers at work."""
    script = PARENT.format(here=str(HERE), work=work)
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 20
    while len(children(parent.pid)) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.5)  # some moment of their start or their work
    return parent, children(parent.pid)


@pytest.mark.parametrize("work", ["doubled_slowly", "stuck"])
def test_workers_end_when_their_parent_is_killed(work: str) -> None:
    parent, processes = parent_of_workers(work)
    with parent:
        assert len(processes) == 2
        if work == "doubled_slowly":
            assert parent.stdout and parent.stdout.readline() == "4\n"
        parent.kill()
    assert gone(processes, 10)


def test_interrupting_the_group_ends_all_in_silence() -> None:
    parent, processes = parent_of_workers("doubled_slowly")
    with parent:
        assert parent.stdout and parent.stdout.readline() == "4\n"
        os.killpg(parent.pid, signal.SIGINT)  # as Ctrl-C does
        _, errors = parent.communicate(timeout=20)
    assert gone(processes, 10)
    assert errors.count("KeyboardInterrupt") <= 1  # the parent's own, if it was not done yet; none of its workers'
