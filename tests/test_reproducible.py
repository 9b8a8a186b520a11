"""Exactness and survival: reproducible runs, replays, kills and signals."""

import contextlib
import itertools
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from late import Late

import daybreak
from daybreak import cli
from daybreak.core import clock, records
from daybreak.core.errors import NotRepeatable, ResourceError
from daybreak.core.records import Event, Phase, Step
from daybreak.core.request import Request
from daybreak.core.run import Run
from daybreak.data import workers
from daybreak.data.workers import Failed
from daybreak.engine import faults
from daybreak.planning import reading, text_facts
from daybreak.stages import run as stages_run
from daybreak.training import ngram
from daybreak.views import cards

TINY = ["--set", "layers=1", "--set", "width=64", "--set", "context_length=32", "--without", "compiled"]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "daybreak", *words]


def started(text, out, seconds: int, *more: str) -> subprocess.Popen:
    words = command("run", str(text), "--for", f"{seconds}s", "--out", str(out), *TINY, *more, "--json")
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def answer(asked, capsys, monkeypatch):
    """Carries out a command here, as if this process had begun with it: its exit code, its answer and what it told."""

    def answered(words: list[str], fault: str = "step.end:slow=0"):
        asked(fault)
        capsys.readouterr()
        begun = clock.boot_seconds()
        monkeypatch.setattr(clock, "process_start", lambda: begun)
        code = cli.answered(words)
        said = capsys.readouterr()
        return code, json.loads(said.out) if code == 0 else {}, said.err

    return answered


def wait_for_checkpoint(run: Run, process: subprocess.Popen) -> None:
    limit = time.monotonic() + 30
    while not list(run.checkpoints_folder.glob("step-*")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit, "no checkpoint was written"
        time.sleep(0.05)


def test_reproducible_runs_are_equal_to_the_last_bit(small_text, tmp_path, two_threads):
    asked = {
        "budget": "2m",  # the tokens end it long before, on a busy machine too
        "reproducible": True,
        "settings": {"layers": 1, "width": 64, "context_length": 32, "tokens": 20000},
        "exclude": ["compiled", "ngram_mix"],
    }
    digests = [
        daybreak.run(str(small_text), out=str(tmp_path / name), **asked).figures["weights_digest"] for name in "ab"
    ]
    assert digests[0] == digests[1]


def test_the_number_of_threads_does_not_follow_the_load_of_the_machine():
    words = [sys.executable, "-c", "import os, daybreak; print(os.environ['OMP_DYNAMIC'])"]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "OMP_DYNAMIC": "TRUE"})
    assert done.stdout.split() == ["FALSE"], done.stderr


GROUPED = {"heads": 2, "key_value_heads": 1, "layers": 2, "layer_repeats": 2}
OWN = {"norm": "batch", "positions": "alibi", "skips": True, "value_embeddings": True}
OWN |= {"logit_cap": 15.0, "activation": "squared_relu"}


@pytest.mark.parametrize(
    ("settings", "asked"),
    [(GROUPED, {}), pytest.param(OWN, {"native": False}, marks=pytest.mark.long)],
    ids=["grouped and shared", "a class of our own"],
)
def test_a_run_of_another_shape_ends_with_a_model_that_is_loaded_alone(small_text, tmp_path, settings, asked, capsys):
    finished = daybreak.run(
        str(small_text),
        budget="2m",
        out=str(tmp_path / "run"),
        reproducible=True,
        settings={"layers": 2, "width": 64, "context_length": 32, "tokens": 30000, **settings},
        exclude=["compiled", "ngram_mix"],
        **asked,
    )
    shape = finished.run.plan().shape
    assert shape.native() == (not asked) and all(getattr(shape, name) == value for name, value in settings.items())
    model = daybreak.load(str(finished.run.path))
    assert model.evaluate()["bits_per_byte"] == pytest.approx(finished.figures["bits_per_byte"], rel=0.05)
    assert finished.figures["bits_per_byte"] < 5.0  # bytes at random have 8
    assert isinstance(model.generate("The", max_tokens=5), str)
    config = json.loads((finished.run.model_folder / "config.json").read_text())
    assert config["model_type"] == ("daybreak-gpt" if asked else "qwen3")
    (tmp_path / "run" / "model").rename(tmp_path / "gone")
    capsys.readouterr()
    words = ["train", str(finished.run.path), "--replay", "--out", str(tmp_path / "again"), "--json"]
    cli.app(words, standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["weights_digest"] == finished.figures["weights_digest"]


@pytest.mark.long  # of the same kind, and shorter: the run that breaks, below
def test_a_timed_run_replayed_from_its_log_is_equal_to_the_last_bit(
    small_text, tmp_path, unhurried, two_threads, capsys
):
    first = unhurried(
        str(small_text),
        budget="8s",
        out=str(tmp_path / "first"),
        settings={"layers": 1, "width": 64, "context_length": 32},
        exclude=["compiled", "ngram_mix"],
    )
    capsys.readouterr()
    cli.app(
        ["train", str(first.run.path), "--replay", "--out", str(tmp_path / "again"), "--json"], standalone_mode=False
    )
    assert json.loads(capsys.readouterr().out)["weights_digest"] == first.figures["weights_digest"]


@pytest.mark.long
def test_saved_killed_and_without_a_terminal_the_same_command_ends_in_time(small_text, tmp_path, waited):
    """SIGUSR1 saves and no more; after a kill, the time used counts; a terminal that goes away is not missed."""
    out, budget, noise = tmp_path / "killed", 20, 3.0  # seconds; a loaded machine imports slowly
    run = Run(out)
    process = started(small_text, out, budget)
    wait_for_checkpoint(run, process)
    known = set(run.checkpoints_folder.glob("step-*"))
    process.send_signal(signal.SIGUSR1)
    limit = time.monotonic() + 30
    while not set(run.checkpoints_folder.glob("step-*")) - known:
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.02)
    process.kill()
    process.wait()
    used, taken = run.used_seconds(), len(records.standing_steps(run.log_file))
    begun, before = time.monotonic(), waited()
    leader, follower = os.openpty()
    words = command("run", str(small_text), "--for", f"{budget}s", "--out", str(out), *TINY)
    again = subprocess.Popen(words, stdin=follower, stdout=follower, stderr=follower, start_new_session=True)
    os.close(follower)
    limit = time.monotonic() + 40
    while len(records.standing_steps(run.log_file)) <= taken:
        assert again.poll() is None and time.monotonic() < limit
        with contextlib.suppress(OSError):
            if select.select([leader], [], [], 0.1)[0]:
                os.read(leader, 1 << 16)
    again.send_signal(signal.SIGHUP)
    os.close(leader)
    again.wait(timeout=60)
    assert time.monotonic() - begun <= budget - used + noise + 0.2 * (waited() - before)
    assert run.finished() and (out / "model" / "config.json").exists()
    assert json.loads(run.report_data_file.read_text())["result"]["model"]["value"] > 0
    log = list(records.read(run.log_file))
    assert any(isinstance(r, Event) and r.name == "resumed" for r in log)
    steps = records.standing_steps(run.log_file)
    assert [s.step for s in steps] == list(range(1, len(steps) + 1))
    assert all(b.progress >= a.progress for a, b in itertools.pairwise(steps))


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot stop a process")
@pytest.mark.long
def test_a_stopped_process_is_told_of_its_time_counts_and_it_ends_in_time(small_text, tmp_path, waited):
    out = tmp_path / "stopped"
    begun, before = time.monotonic(), waited()
    process = started(small_text, out, 30)
    wait_for_checkpoint(Run(out), process)
    time.sleep(2)
    process.send_signal(signal.SIGSTOP)
    time.sleep(8)
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert 0.8 * 30 < time.monotonic() - begun <= 30.5 + 0.2 * (waited() - before)
    assert "That time counts" in errors
    rates = [step.learning_rate_factor for step in records.standing_steps(Run(out).log_file)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates)) and rates[-1] < 0.1


@pytest.mark.long
def test_a_terminated_run_saves_and_leaves_with_its_code(small_text, tmp_path):
    out = tmp_path / "terminated"
    process = started(small_text, out, 90)
    wait_for_checkpoint(Run(out), process)
    left_by(process, signal.SIGTERM, 75, out)


def test_two_processes_do_not_work_in_one_folder_and_ctrl_c_ends_the_one_that_does_with_its_code(small_text, tmp_path):
    out = tmp_path / "shared"
    process = started(small_text, out, 90)
    wait_for_checkpoint(Run(out), process)
    second = started(small_text, out, 90)
    _, errors = second.communicate(timeout=30)
    assert second.returncode == 2
    assert str(process.pid) in errors
    left_by(process, signal.SIGINT, 130, out)


def left_by(process: subprocess.Popen, number: int, code: int, out) -> None:
    """A run that is sent a signal saves, says how it goes on, and leaves with this code."""
    assert process.poll() is None, "the run has ended by itself"
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == code, errors
    assert "the same command again" in errors
    assert "Traceback" not in errors
    assert (out / "model" / "config.json").exists()


KILLED = "killed with SIGKILL, within saves and between them: the same command ends equal to the last bit"


def check_equal(one: Run, other: Run) -> None:
    """The same weights to the last bit; where they are not, the error says since when.

    With early stopping, also the same scores on the way.
    """
    digests = [json.loads(run.report_data_file.read_text())["result"]["weights_digest"] for run in (one, other)]
    if digests[0] == digests[1]:
        assert one.plan().technique("early_stopping") is None or scored_at(one) == scored_at(other)
        return
    files = [name for name in ("plan.json", "tokenizer.json") if same_file(one.path / name, other.path / name)]
    where = records.first_difference(one.log_file, other.log_file) or "no difference in the logs"
    raise AssertionError(f"same {files}; {where}; weights {digests}; scores {scored_at(one)}, {scored_at(other)}")


def scored_at(run: Run) -> dict[int, float]:
    """The figures on the way, by step: where something looks at them, none is left out."""
    found = (r for r in records.read(run.log_file) if isinstance(r, records.Validation) and r.progress < 1)
    return {r.step: r.figure for r in found}


def same_file(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def restarts(run: Run) -> list[float]:
    """Seconds from the end of its imports to its first step, of each process that was not the first."""
    found, since = [], None
    for record in records.read(run.log_file):
        if isinstance(record, Phase) and record.name == "interrupted":
            since = record.used_seconds
        elif isinstance(record, Step) and since is not None:
            found.append(record.used_seconds - since)
            since = None
    return found


def killed_until_it_ends(words: list[str], asked: list[str]) -> int:
    """The command again and again, killed as each fault says, and then left alone; how often it was killed."""
    for kills, fault in enumerate((*asked, "")):
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "DAYBREAK_FAULT": fault})
        if done.returncode == 0:
            return kills
        assert done.returncode == -signal.SIGKILL, f"DAYBREAK_FAULT={fault} {' '.join(words)}\n{done.stderr}"
    raise AssertionError(done.stderr)


def steadily(small_text, out, tokens: int = 60000) -> list[str]:
    words = command("run", str(small_text), "--for", "2m", "--reproducible", "--out", str(out), "--json")
    words += [*TINY, "--with", "early_stopping:least_passes=0.1", "--without", "ngram_mix", "--set", f"tokens={tokens}"]
    return words


@pytest.mark.promise(KILLED)
def test_killed_again_and_again_it_ends_equal_to_the_last_bit(
    small_text, tmp_path, record_property, two_threads, answer
):
    """Between two steps, in the copy, and at several points of a save.

    One score on the way takes more than its share of the time: early stopping looks at the others all the same.
    """
    killed, unbroken = Run(tmp_path / "killed"), Run(tmp_path / "unbroken")
    code, _, errors = answer(steadily(small_text, unbroken.path)[3:])
    assert code == 0, errors
    slowly = "step.end:slow=0.1@*"  # so that it saves a few times
    asked = [f"{slowly},checkpoint.rename:kill@2", f"{slowly},validate:slow=2@1,step.backward:kill@12"]
    kills = killed_until_it_ends(steadily(small_text, killed.path), asked)
    assert kills == len(asked)
    record_property("tried", kills)
    check_equal(killed, unbroken)
    assert len(scored_at(killed)) == 9
    steps = records.standing_steps(killed.log_file)
    assert [s.step for s in steps] == list(range(1, len(steps) + 1))


@pytest.mark.promise(KILLED)
@pytest.mark.long
@pytest.mark.parametrize("number", range(50))
def test_killed_at_five_random_points_it_ends_equal_to_the_last_bit(
    small_text, tmp_path, unbroken, number, record_property
):
    """Two hundred kills in all, at least fifty of them within a save."""
    chance, slowly, asked = random.Random(number), "step.end:slow=0.1@*", []
    inside = [name for name in faults.POINTS if name.startswith("checkpoint.")]
    for kill in range(5):
        if kill < 2:  # the first save of a process, at its start, or the next one
            turn = 1 if kill or number % 2 else 2
            asked.append(f"{slowly},{chance.choice(inside)}:kill@{turn}")
        else:
            point = chance.choice(("step.forward", "step.backward", "step.optimizer", "step.end"))
            asked.append(f"{slowly},{point}:kill@{chance.randint(1, 6)}")
    run = Run(tmp_path / "run")
    kills = killed_until_it_ends(steadily(small_text, run.path, 100_000), asked)
    assert kills >= 3, asked  # a save that a resumed run has no time for kills nothing
    record_property("tried", kills)
    record_property("seconds", max(restarts(run)))
    check_equal(run, unbroken)


@pytest.fixture(scope="module")
def unbroken(small_text, tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("unbroken") / "run")
    killed_until_it_ends(steadily(small_text, run.path, 100_000), [])
    return run


def nans_from(*turns: int) -> str:
    return ",".join(f"step.loss:nan@{turn + more}" for turn in turns for more in range(3))


def to_the_last_token(small_text, out) -> list[str]:
    words = ["run", str(small_text), "--for", "2m", "--reproducible", "--out", str(out), "--json", *TINY]
    return [*words, "--without", "ngram_mix", "--set", "tokens=100000"]


def test_a_run_that_breaks_goes_back_and_on_with_other_text_and_repeats_from_its_log(small_text, tmp_path, answer):
    """Three losses in a row are no numbers: back to the last planned checkpoint, past those rows, at half the rate."""
    run, stopped = Run(tmp_path / "run"), Run(tmp_path / "stopped")
    code, told, errors = answer(to_the_last_token(small_text, run.path), nans_from(20, 40))
    assert code == 0, errors
    assert "went back to step" in errors and "was skipped" in errors
    back = [r for r in run.amendments() if r["amendment"] == "went back"]
    assert [r["rate"] for r in back] == [0.5, 0.25] and all("nan" in r["why"] for r in back)
    steps = records.standing_steps(run.log_file)
    assert [s.step for s in steps] == list(range(1, len(steps) + 1))
    assert all(b.cursor > a.cursor for a, b in itertools.pairwise(steps))
    # Saved at a step that the plan does not name, and continued: what it goes back to is the same.
    for fault, expected in (("step.end:term@10", 75), (nans_from(10, 30), 0)):
        code, _, errors = answer(to_the_last_token(small_text, stopped.path), fault)
        assert code == expected, errors
    went = [[r["step"] for r in of.amendments() if r["amendment"] == "went back"] for of in (run, stopped)]
    assert went[0] == went[1] and 10 not in went[0]
    check_equal(stopped, run)
    code, again, errors = answer(["train", str(run.path), "--replay", "--out", str(tmp_path / "again"), "--json"])
    assert code == 0, errors
    assert again["weights_digest"] == told["weights_digest"]


def test_a_run_that_does_not_become_sound_ends_with_a_diagnosis(small_text, tmp_path, answer):
    code, _, errors = answer(to_the_last_token(small_text, tmp_path / "run"), "step.loss:nan@*")
    assert code == 4, errors
    assert "keeps diverging" in errors and "learning_rate" in errors and "Traceback" not in errors


def test_a_reproducible_run_that_leaves_its_plan_says_so_everywhere_and_not_with_code_0(
    small_text, tmp_path, asked, capsys
):
    """Cut by the deadline at step 9, and a batch in smaller parts from step 4 on."""
    run = Run(tmp_path / "run")
    words = steadily(small_text, run.path)[3:]
    asked("step.forward:memory@4")
    late = Late(9)
    request = Request(
        sources=(str(small_text),),
        seconds=120.0,
        reproducible=True,
        settings={"layers": "1", "width": "64", "context_length": "32", "tokens": "60000"},
        include=("early_stopping",),
        technique_settings={"early_stopping": {"least_passes": "0.1"}},
        exclude=("compiled", "ngram_mix"),
    )
    stages_run.run(request, late, out=str(run.path), stopwatch=late.stopwatch)
    asked("step.end:slow=0")
    with pytest.raises(NotRepeatable) as error:  # a finished run tells its end again
        cli.app(words, standalone_mode=False)
    assert error.value.exit_code == 5 and "step 9" in error.value.received and "memory" in error.value.received
    told = json.loads(capsys.readouterr().out)
    assert told["cut"] is True and ["memory" in why for why in told["deviations"]] == [True, False]
    report = json.loads(run.report_data_file.read_text())
    assert report["result"]["cut"] is True and report["result"]["deviations"] == told["deviations"]
    assert "no: out of memory" in cards._plan(report)
    # Its log has all that happened: a replay repeats it, and has nothing to confess.
    cli.app(["train", str(run.path), "--replay", "--out", str(tmp_path / "again"), "--json"], standalone_mode=False)
    again = json.loads(capsys.readouterr().out)
    assert again["weights_digest"] == told["weights_digest"]
    assert (again["cut"], again["deviations"]) == (False, [])
    again_log = tmp_path / "again" / run.log_file.name
    assert records.first_difference(run.log_file, again_log) == ""
    assert len(records.standing_checksums(again_log)) >= 2


def test_counting_takes_what_the_budget_says_and_not_what_is_left_of_it(small_text, tmp_path, monkeypatch):
    """Time that passes before it changes nothing, until there is too little of it: then the deadline cuts the run."""
    monkeypatch.setattr(ngram, "COUNTING_SHARE", 0.004)
    request = Request(sources=(str(small_text),), seconds=20.0, family="ngram", reproducible=True)
    models, told = [], []
    for name, waited in (("at once", 0.0), ("later", 8.0), ("too late", 1e6)):
        late = Late(phase="train", seconds=waited)
        finished = stages_run.run(request, late, out=str(tmp_path / name), stopwatch=late.stopwatch)
        models.append((finished.run.model_folder / "model.safetensors").read_bytes())
        told.append((finished.figures["cut"], len(finished.figures["deviations"])))
    assert models[0] == models[1] != models[2]
    assert told == [(False, 0), (False, 0), (True, 1)]


def test_a_reproducible_run_leaves_out_no_part_of_the_text(tmp_path, monkeypatch):
    """Other runs go on without a part whose process ended twice, and say so."""
    from pydoc_data import topics

    whole = "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    (tmp_path / "text").mkdir()
    for number in range(3):
        (tmp_path / "text" / f"{number}.txt").write_text(whole[number * 90_000 : (number + 1) * 90_000])
    monkeypatch.setattr(reading, "PART_BYTES", 50_000)
    real, reason = workers.each, "2 tries; its process gave no sign of life for 60 s"

    def failing(work, items, *, what, **more):
        for item in items:
            if "1.txt" in what(item):
                yield Failed(item=item, name=what(item), reason=reason)
            else:
                yield from real(work, [item], what=what, **more)

    request, run = Request(sources=(str(tmp_path / "text"),), seconds=60.0), Run(tmp_path / "run")
    exact = request.replace(reproducible=True)
    monkeypatch.setattr(reading, "each", failing)
    part = text_facts.scanned(run, request)
    assert any(reason in what for what in part.skipped)
    with pytest.raises(ResourceError, match="may not skip it"):
        text_facts.scanned(run, exact)
    monkeypatch.setattr(reading, "each", real)
    assert text_facts.scanned(run, exact).read_bytes > part.read_bytes
