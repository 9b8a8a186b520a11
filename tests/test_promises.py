"""Promises of docs/deadlines.md: one process a folder, what may change on a resume, budgets, clocks, signals, kills."""

from __future__ import annotations

import datetime
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zoneinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import daybreak
from daybreak import cli
from daybreak.core import clock, records, units
from daybreak.core import run as runs
from daybreak.core.clock import Ledger, SecondsClock, Stopwatch
from daybreak.core.errors import Interrupted, Saved, UsageError
from daybreak.core.records import Event, Log, Phase
from daybreak.core.run import Run, write_json
from daybreak.core.types import Budget, Request
from daybreak.engine import faults
from daybreak.planning import text_facts
from daybreak.stages import train
from daybreak.training import preparation
from daybreak.training import session as folders
from daybreak.training.session import Session
from daybreak.views.progress import Silence

TINY = ["--set", "layers=1", "--set", "width=64", "--set", "context_length=32", "--without", "compiled"]
QUICK = [*TINY, "--without", "ngram_mix"]
ASKED = ["--for", "60s", "--reproducible", *QUICK]  # which measures nothing


def command(*words: object, fault: str = "") -> subprocess.CompletedProcess:
    words = (sys.executable, "-m", "daybreak", *map(str, words))
    return subprocess.run(words, capture_output=True, text=True, env={**os.environ, "DAYBREAK_FAULT": fault})


def failure(*words: object) -> UsageError:
    with pytest.raises(UsageError) as caught:
        cli.app([str(word) for word in words], standalone_mode=False)
    assert caught.value.exit_code == 2 and caught.value.received and caught.value.attempt
    return caught.value


@pytest.fixture(autouse=True)
def _started_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget counts from the start of the process, and the tests before these are no part of it."""
    monkeypatch.setattr(clock, "process_start", clock.boot_seconds)


@pytest.fixture
def folder(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    run.make()
    return run


# One process a folder

FIFTY = """
import os, sys
from daybreak.core.errors import Interrupted, Saved, UsageError
from daybreak.core.run import Run

gate, begin = os.pipe()
told, tell = os.pipe()
end, ended = os.pipe()
for _ in range(50):
    if os.fork():
        continue
    os.close(begin), os.close(ended)
    os.read(gate, 1)  # until all are there
    try:
        with Run(sys.argv[1]).alive(lambda: 1.0):
            os.write(tell, f"held {os.getpid()}\\n".encode())
            os.read(end, 1)
    except UsageError as error:
        os.write(tell, f"refused {error.exit_code} {error.what}: {error.received}\\n".encode())
    except BaseException as error:
        os.write(tell, f"failed {error!r}\\n".encode())
    os._exit(0)
os.close(begin)
with open(told) as answers:
    for _ in range(50):
        print(answers.readline(), end="", flush=True)
os.close(ended)
for _ in range(50):
    os.wait()
"""


@pytest.mark.promise("of fifty processes that start in one folder at once, one gets it", 50)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("before", ["nothing", "a killed one", "a torn file"])
def test_of_fifty_that_start_at_once_one_gets_the_folder_and_the_others_are_told_which(folder: Run, before) -> None:
    if before == "a killed one":
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        write_json(folder.heartbeat_file, {"used_seconds": 5.0, "pid": gone.pid, "start": 12345})
        (folder.path / ".lock").write_text(str(gone.pid))
    elif before == "a torn file":
        folder.heartbeat_file.write_text('{"used_sec')
    done = subprocess.run([sys.executable, "-c", FIFTY, str(folder.path)], capture_output=True, text=True, timeout=60)
    answers = done.stdout.splitlines()
    held = [answer.split()[1] for answer in answers if answer.startswith("held")]
    assert len(answers) == 50 and len(held) == 1, done.stdout + done.stderr
    refused = f"refused 2 another process is working on the run: {folder.path}, held by process {held[0]}"
    assert [answer for answer in answers if not answer.startswith("held")] == [refused] * 49


def test_a_folder_held_on_another_machine_is_taken_when_its_heartbeat_is_old(folder: Run) -> None:
    beat = {"used_seconds": 5.0, "pid": os.getpid(), "start": runs._start_of(os.getpid()), "host": "elsewhere"}
    write_json(folder.heartbeat_file, beat)
    assert folder.worked_on()
    with pytest.raises(UsageError, match="working on the run") as error, folder.alive(lambda: 0.0):
        pass
    assert f"process {os.getpid()} on elsewhere" in error.value.received
    old = time.time() - runs.ELSEWHERE_SECONDS - 1
    os.utime(folder.heartbeat_file, (old, old))
    assert not folder.worked_on()
    with folder.alive(lambda: 6.0):
        assert json.loads(folder.heartbeat_file.read_text())["host"] != "elsewhere"


def test_how_old_a_heartbeat_of_another_machine_is_does_not_depend_on_this_clock(folder: Run, monkeypatch) -> None:
    write_json(folder.heartbeat_file, {"used_seconds": 5.0, "pid": 1, "start": 1, "host": "elsewhere"})
    monkeypatch.setattr(time, "time", lambda: 1e10)
    with pytest.raises(UsageError, match="working on the run"), folder.alive(lambda: 0.0):
        pass


def test_a_folder_left_in_order_on_another_machine_is_free_at_once(folder: Run) -> None:
    write_json(folder.heartbeat_file, {"used_seconds": 5.0, "pid": 0, "start": 0, "host": "elsewhere"})
    with folder.alive(lambda: 6.0):
        pass


def test_a_process_killed_before_it_wrote_what_was_asked_leaves_a_folder_for_the_next(small_text, tmp_path) -> None:
    folder = Run(tmp_path / "run")
    folder.make()
    write_json(folder.heartbeat_file, {"used_seconds": 0.0, "pid": 0, "start": 0})
    for name in (".lock", ".request.json.123"):
        (folder.path / name).write_text("")
    asked = Request(sources=(str(small_text),), seconds=20.0)
    assert folders.folder_of(asked, str(folder.path)).path == folder.path
    (folder.corpus_folder / "mine.txt").write_text("a text of somebody")
    with pytest.raises(UsageError, match="holds other files"):
        folders.folder_of(asked, str(folder.path))


# The same folder, and something else is asked


@pytest.fixture(scope="module")
def planned(small_text, tmp_path_factory) -> tuple[Path, Path]:
    """A text, and a folder with an unfinished run on it: planned, and not trained yet."""
    place = tmp_path_factory.mktemp("planned")
    text = place / "text.txt"
    shutil.copyfile(small_text, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "process_start", clock.boot_seconds)
        cli.app(["plan", str(text), *ASKED, "--out", str(place / "run")], standalone_mode=False)
    return text, place / "run"


@pytest.fixture
def unfinished(planned, tmp_path: Path) -> tuple[Path, Path]:
    text, run = planned
    shutil.copytree(run, tmp_path / "run")
    return text, tmp_path / "run"


@pytest.mark.promise("another request in an unfinished folder is refused by the name of what differs", 1)
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (["--tokenizer", "bytes"], "--tokenizer was auto, is bytes"),
        (["--set", "vocabulary=512"], "--set vocabulary was not given, is 512"),
        (["--set", "layers=2"], "--set layers was 1, is 2"),
        (["--seed", "1"], "--seed was 0, is 1"),
        (["--with", "dropout"], "--with was not given, is dropout"),
        (["--family", "lstm"], "--family was gpt, is lstm"),
        (["--for", "59s"], "--for was 60 s, is 59 s"),
        (["--for", "61s"], "--for was 60 s, is 61 s"),  # the tokens of a reproducible run follow from its time
    ],
    ids=str,
)
def test_an_unfinished_run_refuses_another_request_and_names_what_differs(unfinished, changed, told) -> None:
    text, run = unfinished
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    error = failure("run", text, *ASKED, "--out", run, *changed)
    assert told in error.received and "name another folder with --out" in error.attempt
    assert {path: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_another_text_is_refused_by_name(unfinished, tmp_path) -> None:
    text, run = unfinished
    other = tmp_path / "other.txt"
    shutil.copyfile(text, other)
    error = failure("run", other, *ASKED, "--out", run)
    assert "the text was" in error.received and "other.txt" in error.received


def test_a_text_that_has_changed_by_a_byte_is_refused_and_a_copy_of_the_same_is_not(unfinished, small_text) -> None:
    text, path = unfinished
    run, asked = Run(path), Request(sources=(str(text),), seconds=60.0)
    text_facts.check_unchanged(run, asked)
    parts = sorted(file.name for file in run.documents_folder.iterdir())
    shutil.copyfile(small_text, text)  # the same bytes, at another time
    text_facts.check_unchanged(run, asked)
    data = bytearray(small_text.read_bytes())
    data[1000] = ord("x") if data[1000] != ord("x") else ord("y")
    text.write_bytes(data)
    error = failure("run", text, *ASKED, "--out", path)
    assert "text.txt" in error.received
    assert "--out" in error.attempt and f"daybreak train {path}" in error.attempt
    assert sorted(file.name for file in run.documents_folder.iterdir()) == parts
    text.unlink()
    text_facts.check_unchanged(run, asked)  # the folder has what it needs
    shutil.copyfile(small_text, text)


def test_more_time_for_the_same_is_no_other_request() -> None:
    asked = Request(sources=("a.txt",), seconds=60.0)
    assert asked.replace(seconds=61.0).prolongs(asked)
    assert not asked.prolongs(asked) and not asked.replace(seconds=59.0).prolongs(asked)
    assert not asked.replace(seconds=61.0, seed=1).prolongs(asked)
    exact = asked.replace(reproducible=True)
    assert not exact.replace(seconds=61.0).prolongs(exact)  # its tokens follow from its time
    assert not asked.replace(seconds=61.0).prolongs(asked.replace(seconds=0.0))


def test_a_budget_is_raised_in_an_unfinished_run_only_and_where_it_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run, asked = Run("runs/one"), Request(sources=("a.txt",), seconds=60.0)
    run.make()
    write_json(run.request_file, asked.to_json())
    longer = asked.replace(seconds=120.0)
    assert folders.folder_of(longer, "runs/one").path == run.path
    assert folders.folder_of(longer, "").path != run.path
    log = Log(run.log_file)
    log.append(Event(name="finished", used_seconds=60.0))
    log.close()
    with pytest.raises(UsageError, match="the run is finished") as error:
        folders.folder_of(longer, "runs/one")
    assert "--for was 60 s, is 120 s" in error.value.received


def test_a_raised_budget_holds_from_then_on_and_is_said_once(folder: Run, plan) -> None:
    said: list[records.Record] = []
    display: Any = SimpleNamespace(record=said.append)
    log = Log(folder.log_file)
    session = Session(
        folder=folder,
        request=Request(sources=("a.txt",), seconds=60.0),
        display=display,
        ledger=Ledger(log, Stopwatch(), name="start"),
    )
    made = plan(budget=Budget(clock="seconds", seconds=60.0))
    assert preparation.adjust_budget(session, made, seconds=60.0) == made and not folder.amendments()
    for seconds in (120.0, 120.0, 0.0):  # the command that raised it, the same again, and `daybreak train`
        assert preparation.adjust_budget(session, made, seconds=seconds).budget.seconds == 120.0
    log.close()
    assert [(a["amendment"], a["seconds"]) for a in folder.amendments()] == [("budget", 120.0)]
    warnings = [r for r in records.read(folder.log_file) if isinstance(r, Event) and r.name == "warning"]
    assert said == warnings and len(said) == 1
    assert "from 1 min 00 s to 2 min 00 s" in warnings[0].detail["what"]


def test_what_is_left_of_the_progress_is_spread_over_what_is_left_of_a_longer_time() -> None:
    present = SimpleNamespace(now=1000.0)
    clock = SecondsClock(Stopwatch(start=1000.0, now=lambda: present.now), begin=0.0, end=100.0)
    present.now += 60.0
    assert clock.tick(0.0, 1).progress == pytest.approx(0.6)
    clock.end = 260.0
    clock.stretch()
    assert clock.tick(0.0, 1).progress == pytest.approx(0.6)
    present.now += 100.0
    assert clock.tick(0.0, 1).progress == pytest.approx(0.8)
    present.now += 100.0
    assert clock.tick(0.0, 1).progress == pytest.approx(1.0)
    clock.stretch()
    clock.end = 200.0  # an earlier end is only nearer
    begin = clock.begin
    clock.stretch()
    assert clock.begin == begin


def test_a_torn_line_of_the_amendments_stands_in_nobody_s_way(folder: Run) -> None:
    folder.amend("budget", seconds=120.0)
    with folder.amendments_file.open("a") as file:
        file.write('{"amendment": "bud')
    assert folder.amendments() == [{"amendment": "budget", "seconds": 120.0}]


@pytest.fixture
def tiny_run(small_text, tmp_path):
    """A timed run and the words that start it."""
    run = Run(tmp_path / "run")

    def words(seconds: int) -> list[str]:
        asked = ["run", str(small_text), "--for", f"{seconds}s", "--out", str(run), *QUICK, "--json"]
        # It goes on to the deadline, however often the text has been read by then.
        asked += ["--set", "epochs=100000", "--without", "early_stopping"]
        return [sys.executable, "-m", "daybreak", *asked]

    return run, words


def signalled(words: list[str], run: Run, number: int, after: float) -> subprocess.Popen:
    """A run that is sent a signal `after` seconds after its next checkpoint."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    limit, known = time.monotonic() + 60, set(run.checkpoints_folder.glob("step-*"))
    while not set(run.checkpoints_folder.glob("step-*")) - known:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit, "no checkpoint was written"
        time.sleep(0.02)
    time.sleep(after)
    process.send_signal(number)
    return process


@pytest.mark.long
def test_a_run_whose_budget_is_raised_goes_on_to_the_later_end_and_its_rate_does_not_jump(tiny_run) -> None:
    run, words = tiny_run
    process = signalled(words(30), run, signal.SIGTERM, 6.0)
    process.communicate(timeout=30)
    assert process.returncode == 75
    stopped, used = records.standing_steps(run.log_file)[-1], run.used_seconds()
    assert stopped.progress > 0.2
    done = subprocess.run(words(60), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "the budget was raised from 30 s to 1 min 00 s" in done.stderr
    steps = records.standing_steps(run.log_file)
    later = [step for step in steps if step.step > stopped.step]
    assert all(a.progress <= b.progress for a, b in itertools.pairwise(steps))
    assert later[0].learning_rate_factor <= stopped.learning_rate_factor + 0.02
    half = next(step for step in later if step.used_seconds > (used + 60) / 2)
    assert half.progress == pytest.approx((1 + stopped.progress) / 2, abs=0.1)  # no plateau, and no haste
    assert steps[-1].progress > 0.9 and 50 < run.used_seconds() < 61.5
    assert [a["seconds"] for a in run.amendments() if a["amendment"] == "budget"] == [60.0]


# A copied plan


@pytest.fixture(scope="module")
def exact(small_text, tmp_path_factory) -> tuple[Path, str]:
    """A finished reproducible run, and the digest of its weights."""
    out = tmp_path_factory.mktemp("exact") / "run"
    settings = {"layers": 1, "width": 64, "context_length": 32, "tokens": 30000}
    off = ["compiled", "ngram_mix"]
    done = daybreak.run(str(small_text), budget="60s", out=str(out), reproducible=True, settings=settings, exclude=off)
    return out, done.figures["weights_digest"]


@pytest.mark.promise("a copy of plan, corpus and tokenizer trains to the same weights to the last bit", 1)
def test_a_copy_of_plan_corpus_and_tokenizer_trains_to_the_same_weights(exact, tmp_path) -> None:
    run, digest = exact
    copied = tmp_path / "copied"
    copied.mkdir()
    for name in ("plan.json", "tokenizer.json"):
        shutil.copyfile(run / name, copied / name)
    shutil.copytree(run / "corpus", copied / "corpus")
    assert train.train_only(str(copied), Silence()).figures["weights_digest"] == digest


def test_a_run_planned_first_and_trained_then_ends_with_the_weights_of_one_command(exact, small_text, tmp_path) -> None:
    planned = tmp_path / "planned"
    words = ["plan", str(small_text), *ASKED, "--set", "tokens=30000", "--out", str(planned)]
    cli.app(words, standalone_mode=False)
    assert train.train_only(str(planned), Silence()).figures["weights_digest"] == exact[1]


# Budgets that cannot be

IMPOSSIBLE = [
    *(["--for", budget] for budget in ("0s", "1s", "0.0001s", "10y", "3650d", "soon", "-5s", "", "nan", "9" * 400)),
    *(["--until", moment] for moment in ("25:00", "", "soon", "2020-01-01", "0001-01-01", "9999-12-31T23:59:59")),
    ["--for", "1h", "--until", "07:00"],
]


@pytest.mark.promise("an impossible budget is told in words and leaves nothing behind", 1)
@pytest.mark.parametrize("verb", ["run", "plan"])
@pytest.mark.parametrize("budget", IMPOSSIBLE, ids=lambda budget: " ".join(budget)[:20])
def test_an_impossible_budget_is_told_in_words_and_leaves_nothing(
    budget, verb, small_text, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = failure(verb, small_text, *budget, "--out", "run")
    assert "budget" in error.what or "deadline" in error.what or "--for and --until" in error.what
    assert "--for" in error.attempt or "--until" in error.attempt
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("budget", [["--for", "-5s"], ["--for", "3650d"], ["--until", "25:00"]], ids=str)
def test_the_command_itself_says_so_too(budget, small_text, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    code = cli.answered(["run", str(small_text), *budget])
    said = capsys.readouterr().err
    assert code == 2 and said.startswith("error: ") and "received: " in said and "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_the_longest_budget_is_planned(small_text, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    cli.app(["plan", str(small_text), "--for", "366d", "--reproducible", *QUICK, "--json"], standalone_mode=False)
    made = json.loads(capsys.readouterr().out)
    assert made["budget"]["seconds"] == units.LONGEST_SECONDS and made["tokens"] > 0


# A clock that is set

HOUR, DAY = 3600.0, 86400.0


@pytest.mark.promise("a wall clock that is set on or back changes nothing of a run", 1)
@pytest.mark.parametrize("jump", [HOUR, -HOUR, DAY, -DAY])
def test_a_wall_clock_that_is_set_changes_nothing_of_a_run_with_for(jump, small_text, tmp_path, monkeypatch) -> None:
    """It is set at the first, the second, ... time that it is asked: before, in and after each part of the run."""
    present, real = SimpleNamespace(asked=0), time.time

    def set_wall() -> float:
        present.asked += 1
        return real() + jump * (present.asked % 2)

    monkeypatch.setattr(time, "time", set_wall)
    begun = time.monotonic()
    finished = daybreak.run(str(small_text), budget="2m", out=str(tmp_path / "run"), family="ngram")
    passed = time.monotonic() - begun
    assert present.asked
    log = list(records.read(finished.run.log_file))
    used = [record.used_seconds for record in log if hasattr(record, "used_seconds")]
    assert all(a <= b for a, b in itertools.pairwise(used)) and passed - 1.0 < used[-1] <= passed
    assert all(record.seconds >= 0 for record in log if isinstance(record, Phase))
    assert finished.run.used_seconds() == pytest.approx(passed, abs=1.0)
    assert not finished.run.worked_on()


def test_until_is_counted_once_and_a_wall_clock_that_is_set_later_changes_nothing(
    folder: Run, plan, monkeypatch
) -> None:
    """The same command again counts anew, to the same moment, by the clock as it is then."""
    moment = (datetime.datetime.now() + datetime.timedelta(hours=2)).astimezone().isoformat()
    log = Log(folder.log_file)
    ledger = Ledger(log, Stopwatch(start=clock.boot_seconds()), name="start")
    made = plan(budget=Budget(clock="seconds", seconds=50.0, until=moment))
    session = Session(folder=folder, request=Request(sources=(), seconds=50.0), display=Silence(), ledger=ledger)
    held = preparation.adjust_budget(session, made).budget.seconds
    assert held == pytest.approx(2 * HOUR, abs=2)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + HOUR)
    assert preparation.adjust_budget(session, made).budget.seconds == pytest.approx(HOUR, abs=2)
    log.close()


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


@pytest.fixture(params=["a zone", "this machine's"])
def in_berlin(request, monkeypatch):
    """Makes a moment there, with its zone, or without one on a machine that stands there."""
    if request.param == "a zone":
        yield lambda text, fold=0: datetime.datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)
        return
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield lambda text, fold=0: datetime.datetime.fromisoformat(text).replace(fold=fold)
    monkeypatch.undo()
    time.tzset()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system does not change its zone")
@pytest.mark.parametrize(
    ("now", "fold", "until", "hours"),
    [
        ("2030-03-30T22:00", 0, "07:00", 8),  # the night that is an hour short
        ("2030-10-26T22:00", 0, "07:00", 10),  # the one that is an hour long
        ("2030-10-26T22:00", 0, "02:30", 4.5),  # shown twice: the first time
        ("2030-10-27T02:15", 0, "02:30", 0.25),
        ("2030-10-27T02:45", 0, "02:30", 0.75),  # the second time
        ("2030-10-27T02:15", 1, "02:30", 0.25),
        ("2030-10-27T02:45", 1, "02:30", 23.75),
        ("2030-03-30T22:00", 0, "2030-03-31T07:00", 8),
        ("2030-03-30T22:00", 0, "2030-03-31T07:00+00:00", 10),
    ],
)
def test_until_is_what_the_clock_on_the_wall_shows_when_it_is_set_on_or_back(
    in_berlin, now, fold, until, hours
) -> None:
    begun = in_berlin(now, fold)
    moment = units.moment_of(until, begun)
    assert moment.tzinfo is not None
    assert moment.timestamp() - begun.timestamp() == hours * HOUR


# Signals before training


PREPARE = ["--vocabulary", "512", "--json"]


def facts_of(folder: Path) -> dict:
    """Of the text; not what was timed."""
    facts = json.loads((folder / "corpus" / "corpus.json").read_text())
    return {name: value for name, value in facts.items() if not name.endswith("_per_second")}


@pytest.fixture(scope="module")
def whole(small_text, tmp_path_factory) -> dict:
    """The facts of a text whose preparing nothing has broken off."""
    out = tmp_path_factory.mktemp("whole") / "ready"
    cli.app(["prepare", str(small_text), *PREPARE, "--out", str(out)], standalone_mode=False)
    return facts_of(out)


def prepared_again(text: Path, out: Path) -> dict:
    """The same command after one that was broken off, which left nothing that looks whole or is of no use."""
    assert not (out / "corpus" / "corpus.json").exists()
    assert not [path for path in out.rglob("*") if ".text." in path.name or path.suffix == ".part"]
    faults.forget()
    cli.app(["prepare", str(text), *PREPARE, "--out", str(out)], standalone_mode=False)
    return facts_of(out)


@pytest.mark.promise("a signal or a kill while text is prepared leaves nothing half written", 1)
@pytest.mark.parametrize("point", ["prepare.part", "prepare.facts"])
@pytest.mark.parametrize(("kind", "error"), [("term", Saved), ("int", Interrupted)])
def test_a_signal_while_text_is_prepared_leaves_nothing_half_written_and_the_same_command_goes_on(
    kind, error, point, whole, asked, small_text, tmp_path, monkeypatch
) -> None:
    out = tmp_path / "ready"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without it
    asked(f"{point}:{kind}")
    with pytest.raises(error) as ended:
        cli.app(["prepare", str(small_text), *PREPARE, "--out", str(out)], standalone_mode=False)
    assert "the same command again" in ended.value.attempt
    assert out.exists(), "the same command goes on from what is cleaned already"
    monkeypatch.delenv("DAYBREAK_FAULT")
    assert prepared_again(small_text, out) == whole


@pytest.mark.promise("a signal or a kill while text is prepared leaves nothing half written", 1)
@pytest.mark.parametrize("point", ["prepare.part", "prepare.facts"])
def test_a_kill_while_text_is_prepared_leaves_nothing_half_written_either(point, whole, small_text, tmp_path) -> None:
    out = tmp_path / "ready"
    ended = command("prepare", small_text, *PREPARE, "--out", out, fault=f"{point}:kill")
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert prepared_again(small_text, out) == whole


def test_a_command_that_is_terminated_while_it_scans_leaves_with_its_code(small_text, tmp_path) -> None:
    out = tmp_path / "run"
    ended = command("run", small_text, "--for", "40s", "--out", out, fault="prepare.part:term")
    assert ended.returncode == 75 and "SIGTERM after" in ended.stderr and "Traceback" not in ended.stderr
    assert Run(out).request() and not Run(out).worked_on()


def test_a_run_that_is_terminated_while_it_scans_counts_its_time_and_goes_on(
    asked, small_text, tmp_path, monkeypatch
) -> None:
    run = Run(tmp_path / "run")
    asked("prepare.part:slow=1,prepare.part:term")
    with pytest.raises(Saved):
        daybreak.run(str(small_text), budget="40s", family="ngram", out=str(run))
    used = run.used_seconds()
    assert used > 1.0
    monkeypatch.delenv("DAYBREAK_FAULT")
    faults.forget()
    daybreak.run(str(small_text), budget="40s", family="ngram", out=str(run))
    assert run.finished() and run.used_seconds() > used


def test_a_file_whose_writing_is_broken_off_is_not_left_beside(tmp_path, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    runs.write_text(tmp_path / "report.html", "whole")
    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(KeyboardInterrupt):
        runs.write_text(tmp_path / "report.html", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "whole"


# Kills


@pytest.mark.promise("a SIGTERM and a kill after a grace of 0.5 s or 2 s leave a run that goes on", 1)
@pytest.mark.long
@pytest.mark.parametrize("grace", [0.5, 2.0])
def test_a_sigterm_and_after_its_grace_a_kill_leave_a_run_that_goes_on(tiny_run, grace) -> None:
    run, words = tiny_run
    process = signalled(words(40), run, signal.SIGTERM, 1.0)
    try:
        process.wait(timeout=grace)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
    assert process.returncode in (75, -signal.SIGKILL)
    done = subprocess.run(words(40), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert any(isinstance(r, Event) and r.name == "resumed" for r in records.read(run.log_file))
    steps = records.standing_steps(run.log_file)
    assert [step.step for step in steps] == list(range(1, len(steps) + 1))
    assert run.used_seconds() < 42


@pytest.mark.promise("ten kills of one run cost no more than their starts, and no row is taken twice", 10)
@pytest.mark.long
def test_ten_kills_cost_half_a_second_each_at_most_and_no_row_is_taken_twice(tiny_run, waited) -> None:
    run, words = tiny_run
    for kill in range(10):
        used, begun, before = run.used_seconds(), time.monotonic(), waited()
        process = signalled(words(200), run, signal.SIGKILL, 0.2 * kill)
        process.communicate()
        passed = time.monotonic() - begun
        counted = run.used_seconds() - used
        assert passed - 0.5 - 0.1 - 0.2 * (waited() - before) <= counted <= passed + 0.05, f"kill {kill}"
    done = subprocess.run(words(200), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    steps = records.standing_steps(run.log_file)
    assert [step.step for step in steps] == list(range(1, len(steps) + 1))
    assert all(b.cursor == a.cursor + a.micro_batch * a.accumulation for a, b in itertools.pairwise(steps))
    assert all(a.progress <= b.progress for a, b in itertools.pairwise(steps))
    assert run.used_seconds() < 202
