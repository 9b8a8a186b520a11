"""The folder of a run: who holds it, the time it used, and files that are whole or not there."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daybreak.core import run as runs
from daybreak.core.errors import DataError, UsageError
from daybreak.core.records import Event, Log
from daybreak.core.run import Run, name_for, read_json, runs_in, write_json
from daybreak.core.shapes import NgramShape
from daybreak.core.types import Plan, Request
from daybreak.training.session import folder_of


@pytest.fixture(autouse=True)
def _quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "HEARTBEAT_SECONDS", 0.02)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    run.make()
    return run


def eventually(true: Callable[[], bool]) -> None:
    for _ in range(200):
        if true():
            return
        time.sleep(0.02)
    pytest.fail("it did not happen within four seconds")


def test_opening_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the run does not exist") as error:
        Run.open(tmp_path / "nothing")
    assert error.value.received == str(tmp_path / "nothing")


def test_opening_a_folder_or_a_file_that_is_not_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run"):
        Run.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="the run does not exist"):
        Run.open(tmp_path / "file")


def test_a_folder_with_a_plan_or_a_request_is_a_run(run: Run, plan) -> None:
    write_json(run.plan_file, plan().to_json())
    assert Run.open(run.path).plan() == plan()
    run.plan_file.unlink()
    request = Request(sources=("a.txt",), seconds=60.0)
    write_json(run.request_file, request.to_json())
    assert Run.open(str(run.path)).request() == request


def test_a_plan_that_is_missing_or_damaged_is_an_error(run: Run) -> None:
    with pytest.raises(UsageError, match="missing"):
        run.plan()
    run.plan_file.write_text('{"schema": 1, "obj')
    with pytest.raises(DataError, match="cannot be read"):
        run.plan()
    run.plan_file.write_text("{}")
    with pytest.raises(UsageError, match=r"is missing in plan\.json"):
        run.plan()


def test_a_request_that_cannot_be_read_is_none(run: Run) -> None:
    assert run.request() is None
    run.request_file.write_text('{"schema": 99}')
    assert run.request() is None


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"'])
def test_a_file_that_is_json_but_no_object_is_an_error_of_ours(run: Run, content: str) -> None:
    run.plan_file.write_text(content)
    with pytest.raises((DataError, UsageError)):
        run.plan()


def test_every_path_lies_in_the_folder_and_is_another(run: Run) -> None:
    paths = [value for name, value in vars(run).items() if name != "path"]
    assert all(path.is_relative_to(run.path) for path in paths) and len(set(paths)) == len(paths)


def test_amendments_are_kept_in_order(run: Run) -> None:
    assert run.amendments() == []
    run.amend("micro_batch", value=4)
    run.amend("end", why="a signal")
    assert run.amendments() == [{"amendment": "micro_batch", "value": 4}, {"amendment": "end", "why": "a signal"}]


def test_the_heartbeat_counts_the_time_used(run: Run) -> None:
    assert run.used_seconds() == 0.0
    used = [10.0]
    with run.alive(lambda: used[0]):
        eventually(lambda: run.used_seconds() == 10.0)
        assert json.loads(run.heartbeat_file.read_text())["pid"] == os.getpid()
        used[0] = 12.5
        eventually(lambda: run.used_seconds() == 12.5)
        used[0] = 13.0
    assert run.used_seconds() == 13.0
    assert json.loads(run.heartbeat_file.read_text())["pid"] == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def test_the_heartbeat_ends_with_an_error_inside(run: Run) -> None:
    with pytest.raises(RuntimeError), run.alive(lambda: 4.0):
        raise RuntimeError
    assert run.used_seconds() == 4.0
    with run.alive(lambda: 5.0):
        pass


HOLD = """
import sys
from daybreak.core.run import Run
with Run(sys.argv[1]).alive(lambda: 7.0):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_cannot_take_a_folder_that_is_held_until_the_holder_is_killed(run: Run) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="working on the run") as error, run.alive(lambda: 0.0):
            pass
        assert str(holder.pid) in error.value.received
        eventually(lambda: run.used_seconds() == 7.0)
        holder.kill()
        holder.wait()
        assert json.loads(run.heartbeat_file.read_text())["pid"] == holder.pid
        assert run.used_seconds() == 7.0  # what the killed process used stays used
        with run.alive(lambda: 8.0):
            pass
        assert run.used_seconds() == 8.0
    finally:
        holder.kill()
        holder.communicate()


def test_the_heartbeat_of_a_process_that_is_gone_is_taken_over(run: Run) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_json(run.heartbeat_file, {"used_seconds": 5.0, "pid": gone.pid, "start": 12345})
    with run.alive(lambda: 6.0):
        pass
    assert run.used_seconds() == 6.0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only /proc tells when a process was started")
def test_a_later_process_with_the_same_id_does_not_hold_the_folder(run: Run) -> None:
    write_json(run.heartbeat_file, {"used_seconds": 5.0, "pid": os.getppid(), "start": 1})
    with run.alive(lambda: 6.0):
        pass
    assert run.used_seconds() == 6.0


def test_a_torn_heartbeat_tells_nothing_and_stops_nobody(run: Run) -> None:
    run.heartbeat_file.write_text('{"used_sec')
    assert run.used_seconds() == 0.0
    with run.alive(lambda: 6.0):
        pass
    assert run.used_seconds() == 6.0


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks")
def test_two_that_start_at_once_do_not_both_get_the_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(runs, "STARTING_SECONDS", 0.05)
    with (run.path / ".lock").open("w") as lock:
        lock.write("12345")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="working on the run") as error, run.alive(lambda: 0.0):
            pass
        assert "12345" in error.value.received
    with run.alive(lambda: 0.0):  # what a killed process leaves behind is no lock
        assert run.worked_on()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "facts.json"
    write_json(path, {"text": "春眠"})
    assert read_json(path, "") == {"text": "春眠"}
    write_json(path, {"text": "\udcff"})  # a file name that is not UTF-8
    assert read_json(path, "") == {"text": "\udcff"}
    write_json(path, {"text": "春眠"})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError):
        write_json(path, {"text": "new"})
    monkeypatch.undo()
    with pytest.raises(TypeError):
        write_json(path, {"text": object()})
    assert read_json(path, "") == {"text": "春眠"}
    assert [file.name for file in tmp_path.iterdir()] == ["facts.json"]


@pytest.mark.parametrize(
    ("sources", "stem"),
    [
        ((), "builtin"),
        (("a/b/My File (2).txt",), "my-file-2"),
        (("data/唐诗.txt.gz",), "唐诗"),
        (("...",), "text"),
        (("folder/", "other.txt"), "folder"),
        (("x" * 100 + ".txt",), "x" * 40),
    ],
)
def test_a_run_is_named_after_its_text_and_the_time(sources: tuple[str, ...], stem: str) -> None:
    assert name_for(sources, time.struct_time((2030, 1, 31, 7, 5, 9, 3, 31, 0))) == f"{stem}-20300131-070509"


def test_runs_in_a_folder_newest_first(tmp_path: Path) -> None:
    assert runs_in(tmp_path / "nothing") == []
    for index, name in enumerate(("old", "new", "no-request")):
        Run(tmp_path / name).make()
        if name != "no-request":
            (tmp_path / name / "request.json").write_text("{}")
        os.utime(tmp_path / name, (index, index))
    (tmp_path / "link").symlink_to(tmp_path / "old")
    (tmp_path / "file").write_text("")
    assert [run.path.name for run in runs_in(tmp_path)] == ["new", "old"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only /proc lists what nobody has waited for")
def test_a_killed_process_that_nobody_has_waited_for_is_not_alive(tmp_path):
    run = Run(tmp_path / "run")
    run.make()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_json(run.heartbeat_file, {"used_seconds": 1.0, "pid": process.pid, "start": runs._start_of(process.pid)})
    assert run.worked_on()
    process.kill()
    limit = time.monotonic() + 10
    while run.worked_on() and time.monotonic() < limit:
        time.sleep(0.01)
    alive = run.worked_on()
    process.communicate()
    assert not alive


@pytest.mark.parametrize("counts", [False, True])
def test_more_time_for_a_finished_run_is_answered_with_the_command_that_gives_it(
    run: Run, plan: Callable[..., Plan], counts: bool
) -> None:
    asked = Request(sources=("novel.txt",), seconds=40.0, seed=3, settings={"layers": "2"})
    write_json(run.request_file, asked.to_json())
    shape = NgramShape(order=8, unit="byte", vocabulary=257)
    write_json(run.plan_file, plan(**({"shape": shape} if counts else {})).to_json())
    log = Log(run.log_file)
    log.append(Event(name="finished", used_seconds=40.0, detail={}))
    log.close()
    (run.path.parent / "run-2").mkdir()
    with pytest.raises(UsageError, match="the run is finished") as caught:
        folder_of(asked.replace(seconds=60.0), str(run))
    assert caught.value.received == f"--out {run}: --for was 40 s, is 60 s"
    further = shlex.split(caught.value.attempt.partition(": ")[2])
    given = dict(zip(further[2:-1:2], further[3:-1:2], strict=True))
    assert further[:2] == ["daybreak", "run"] and further[-1] == "novel.txt"
    expected = {"--out": f"{run}-3", "--for": "60s", "--seed": "3"}
    assert given == expected | ({"--set": "layers=2"} if counts else {"--from": str(run)})
    assert caught.value.attempt.startswith("to make it anew" if counts else "to train it further")
    with pytest.raises(UsageError, match="other text or options") as caught:
        folder_of(asked.replace(seconds=60.0, seed=4), str(run))
    assert "--seed was 3, is 4" in caught.value.received
