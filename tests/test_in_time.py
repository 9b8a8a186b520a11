"""In time: whatever takes too long before the first step, there is a model by the deadline, or an error before it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import daybreak
from daybreak.core import records
from daybreak.core.clock import Contention, Ledger, Stopwatch, boot_seconds
from daybreak.core.errors import BudgetTooShort, DataError
from daybreak.core.records import Event, Log
from daybreak.core.run import Run
from daybreak.core.types import Request
from daybreak.data import store
from daybreak.data.sources import parts
from daybreak.planning import corpus_to_count, reading
from daybreak.training import execution, in_time
from daybreak.training.alarm import Alarm, OutOfTime
from daybreak.training.session import Session
from daybreak.views.progress import Silence

ASKED_BY_NAME = (
    {"family": "bert"},
    {"family": "lstm"},
    {"settings": {"layers": "2"}},
    {"reproducible": True},
    {"parent": "runs/x"},
)
BEFORE_THE_PLAN = ("phase.scan", "prepare.tokenizer", "prepare.facts", "phase.imports", "phase.probe", "phase.plan")
BEFORE_THE_FIRST_STEP = ("phase.encode", "phase.build", "phase.counting", "step.forward")


def at(used: float, request: Request) -> Session:
    """A session whose process has used so many seconds."""
    ledger: Any = SimpleNamespace(stopwatch=Stopwatch(start=0, now=lambda: used))
    return Session(folder=Run("nowhere"), request=request, display=Silence(), ledger=ledger)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network is given up early, so that a test need not wait for it."""
    monkeypatch.setattr(in_time, "PLAN_BY", 0.1)
    monkeypatch.setattr(in_time, "EARLIEST", 0.1)


def test_a_phase_that_takes_too_long_ends_in_a_counted_model(small_text, tmp_path, asked, soon, waited) -> None:
    asked("prepare.tokenizer:slow=60")
    before, begun = waited(), time.monotonic()
    done = daybreak.run(str(small_text), for_="12s", out=str(tmp_path / "run"))
    took = time.monotonic() - begun
    assert took < 12 + (waited() - before)
    assert done.figures["family"] == "ngram"
    assert "no time was left for a network" in done.figures["reason"] and "--for 24s" in done.figures["reason"]
    assert 0 < done.figures["bits_per_byte"] < 4
    warned = [r.detail["what"] for r in records.read(done.run.log_file) if isinstance(r, Event) and r.name == "warning"]
    assert done.figures["reason"] in warned
    plan = done.run.plan()
    assert plan.shape.family == "ngram" and plan.reasons["family"] == done.figures["reason"]
    assert plan.request is not None and plan.request.family == "gpt", "what was asked stays what was asked"
    assert done.run.report_file.exists() and done.run.finished()
    assert daybreak.run(str(small_text), for_="12s", out=str(done.run.path)).figures == json.loads(
        json.dumps(done.figures)
    )
    model = daybreak.load(str(done.run.path))
    assert model.generate("The ", max_tokens=20, seed=1)
    assert model.evaluate()["bits_per_byte"] == pytest.approx(done.figures["bits_per_byte"], rel=0.1)


@pytest.mark.parametrize("asked_for", ASKED_BY_NAME)
def test_what_was_asked_for_by_name_is_refused_in_time_and_not_replaced(asked_for) -> None:
    request = Request(sources=(), seconds=20.0, **asked_for)
    assert not in_time.counts_stand_in(request)
    session = at(19.2, request)
    assert 15 < in_time.give_up_at(session, 0.55, Contention(lambda: (1.0, 0.0))) < 20

    def work(alarm: Alarm) -> None:
        raise OutOfTime

    with pytest.raises(BudgetTooShort) as caught:
        in_time.in_time(session, work, lambda plan: None)
    assert "--for 40s" in caught.value.attempt and caught.value.seconds == 40


def test_the_busier_the_machine_the_earlier_a_network_is_given_up() -> None:
    request = Request(sources=(), seconds=20.0)
    session = at(1.0, request)
    moments = [
        in_time.give_up_at(session, 0.55, Contention(lambda times=times: (1.0, times - 1.0)))
        for times in (1.0, 5.0, 8.0, 12.0, 50.0)
    ]
    assert moments == pytest.approx([11.0, 11.0, 8.0, 6.0, 6.0])
    in_time.check_hope(session, Contention(lambda: (1.0, 1.0)))
    with pytest.raises(BudgetTooShort):
        in_time.check_hope(session, Contention(lambda: (1.0, 5.0)))


def test_contention_is_what_the_scheduler_counts_since_it_was_asked_last() -> None:
    read = iter([(0.2, 0.0), (0.4, 0.6), (0.41, 9.0), (1.4, 0.6)])
    contention = Contention(lambda: next(read))
    assert [contention.factor() for _ in range(4)] == pytest.approx([1.0, 4.0, 4.0, 1.0])


def test_the_alarm_comes_again_where_something_has_swallowed_it() -> None:
    stopwatch = Stopwatch(used_before=0.0, start=time.monotonic(), now=time.monotonic)
    rang = 0
    with Alarm(stopwatch) as alarm:
        alarm.set(0.05)
        for _ in range(2):
            try:
                time.sleep(5)
            except OutOfTime:
                rang += 1
    assert rang == 2 and stopwatch.used() < 4
    time.sleep(0.01)  # and after its end no more


def test_in_another_thread_the_alarm_is_asked_between_two_things() -> None:
    found: list[str] = []

    def look() -> None:
        with Alarm(Stopwatch(start=0.0, now=lambda: 7.0)) as alarm:
            alarm.check()
            alarm.set(6.0)
            try:
                alarm.check()
            except OutOfTime:
                found.append("over")

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == ["over"]


def test_of_a_part_that_takes_too_long_the_beginning_is_kept_with_a_name_of_its_own(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"Line {line} of this text says {line * 7} and little else.\n\n" for line in range(20_000)))
    cleaning, _ = reading.cleaning_of(Request(sources=(str(text),), seconds=20.0))
    [part] = parts([text], part_bytes=1 << 22)
    work = store.Work(folder=tmp_path / "documents", part=part, cleaning=cleaning)
    facts = store.make(work, until=0.0)
    assert facts.key == work.cut_key and not store.readable(work) and store.whole(work.folder, work.cut_key)
    assert store.LEAST_CHARACTERS <= facts.bytes < text.stat().st_size / 2
    assert store.make_until(work, until=0.0) is None
    assert store.make(work).bytes > 2 * facts.bytes and store.readable(work)


def test_a_text_of_which_only_beginnings_were_read_is_counted(small_text, tmp_path) -> None:
    run, request = Run(tmp_path / "run"), Request(sources=(str(small_text),), seconds=20.0)
    run.make()
    corpus = corpus_to_count.corpus_to_count(run, request, seconds=0.2)
    assert corpus.tokenizer == "bytes" and corpus.bytes_per_token == {"257": 1.0}
    assert 0 < corpus.ngram_bits_per_byte < 6 and corpus.heldout_bytes > 0
    assert run.corpus() == corpus
    again = corpus_to_count.corpus_to_count(run, request, seconds=0.2)
    assert again.sources == corpus.sources


@pytest.mark.parametrize("written", ["", " \n\n\t " * 20_000, "a few words\n" * 20], ids=["empty", "blank", "small"])
def test_a_text_of_which_nothing_can_be_counted_is_an_error_of_the_text(tmp_path, written) -> None:
    (tmp_path / "text.txt").write_text(written)
    run, request = Run(tmp_path / "run"), Request(sources=(str(tmp_path / "text.txt"),), seconds=20.0)
    run.make()
    with pytest.raises(DataError):
        corpus_to_count.corpus_to_count(run, request, seconds=0.2)


def test_a_report_that_takes_too_long_does_not_make_a_run_late(tmp_path, asked) -> None:
    asked("phase.report:slow=60")
    run = Run(tmp_path / "run")
    run.make()
    log = Log(run.log_file)
    stopwatch = Stopwatch(start=boot_seconds(), used_before=19.5)
    ledger = Ledger(log, stopwatch, name="leaving", since=19.5)
    request = Request(sources=(), seconds=20.0)
    execution._report(Session(folder=run, request=request, display=Silence(), ledger=ledger))
    assert 19.8 < stopwatch.used() < 20.5
    log.close()
    [warning] = [r for r in records.read(run.log_file) if isinstance(r, Event)]
    assert f"daybreak report {run}" in warning.detail["what"]


def command(text: Path, out: Path, fault: str, *more: str) -> tuple[subprocess.CompletedProcess[str], float]:
    words = [sys.executable, "-P", "-m", "daybreak", "run", str(text), "--for", "20s", "--out", str(out), "--json"]
    begun = time.monotonic()
    done = subprocess.run([*words, *more], capture_output=True, text=True, env={**os.environ, "DAYBREAK_FAULT": fault})
    return done, time.monotonic() - begun


@pytest.mark.long
@pytest.mark.parametrize("point", [*BEFORE_THE_PLAN, *BEFORE_THE_FIRST_STEP])
def test_each_phase_before_the_first_step_may_hang_and_there_is_a_model(small_text, tmp_path, point, waited) -> None:
    before = waited()
    done, took = command(small_text, tmp_path / "run", f"{point}:slow=60")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["family"] == "ngram" and figures["reason"] in done.stderr
    assert took < 20 + (waited() - before)
    assert Run(tmp_path / "run").report_file.exists()


@pytest.mark.long
def test_what_cannot_be_counted_instead_is_refused_before_the_deadline(small_text, tmp_path, waited) -> None:
    before = waited()
    done, took = command(small_text, tmp_path / "run", "phase.probe:slow=60", "--family", "bert")
    assert done.returncode == 2 and "no time was left for a training step" in done.stderr and "--for 40s" in done.stderr
    assert took < 20 + (waited() - before)
    assert not (tmp_path / "run").exists()
