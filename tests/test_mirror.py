"""Mirrors: what the libraries read back, points that are never doubled, and training that does not notice them."""

import contextlib
import importlib.util
import itertools
import json
import os
import shlex
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import daybreak
from daybreak.core import records
from daybreak.core.errors import UsageError
from daybreak.core.process import NICENESS
from daybreak.core.records import Event, Log, Measurement, Phase, Sample, Step, Validation, new_lines
from daybreak.core.run import Run, write_json
from daybreak.core.types import Request
from daybreak.stages import mirror
from daybreak.views import destinations, mirrors
from daybreak.views.mirrors import started
from daybreak.views.points import STEPS_A_RUN, MirrorState, Translation, state_from_json

TEXT = "<script>alert(1)</script> *not bold* & \u4f60\u597d"
FAKES = """
import os, time

class Crash:
    def __init__(self, folder, **facts):
        raise RuntimeError("this mirror crashes")

class Hang:
    def __init__(self, folder, **facts):
        time.sleep(1e6)

class Flood:
    def __init__(self, folder, **facts):
        while True:
            print("x" * 1000)
"""


def step(number: int, *, of: int = 100, seconds: float = 0.05, **changes) -> Step:
    fields = {
        "step": number,
        "progress": (number - 0.5) / of,
        "micro_batch": 8,
        "accumulation": 2,
        "skipped": False,
        "nats": 4.0 / number**0.1,
        "gradient_norm": 1.0,
        "learning_rate_factor": 0.5,
        "tokens": 256 * number,
        "seconds": seconds,
        "used_seconds": 10 + seconds * number,
    }
    return Step(**{**fields, **changes})


def validation(number: int, weights: str = "current") -> Validation:
    return Validation(
        step=number,
        progress=number / 100,
        used_seconds=10 + 0.05 * number,
        tokens=256 * number,
        figure=2.5,
        perplexity=30.0,
        bytes=1000,
        weights=weights,
    )


def last_lines() -> list:
    return [
        validation(100, "ema"),
        Phase(name="training", seconds=5.0, used_seconds=15.5),
        Measurement(name="bits_per_byte", value=2.25, unit="bits/byte"),
        Measurement(name="bits_per_byte", value=2.0, unit="bits/byte", needs="model/ and mixture/"),
        Event(name="finished", used_seconds=16.0),
    ]


@pytest.fixture
def run(tmp_path, plan) -> Run:
    """A finished run of 100 steps that was never trained."""
    folder = Run(tmp_path / "a run")
    folder.path.mkdir()
    write_json(folder.plan_file, plan().to_json())
    write_json(folder.request_file, Request(sources=("a.txt",), seconds=600.0).to_json())
    append(folder, *(step(i) for i in range(1, 51)), validation(50), _sample(), *(step(i) for i in range(51, 101)))
    append(folder, *last_lines())
    return folder


def _sample() -> Sample:
    return Sample(progress=0.5, used_seconds=12.5, prompt="", text=TEXT)


def append(run: Run, *lines) -> None:
    log = Log(run.log_file)
    for line in lines:
        log.append(line)
    log.close()


def mirrored(run: Run, name: str, home: Path, **variables: str) -> dict:
    """What `daybreak mirror --json` prints, from a process of its own with an empty home."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "TRACKIO_", "HF_"))}
    done = subprocess.run(
        [sys.executable, "-m", "daybreak", "mirror", str(run.path), "--to", name, "--json"],
        env={**kept, "HOME": str(home), **variables},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {**json.loads(done.stdout.splitlines()[-1]), "said": done.stdout + done.stderr}


def lines_of(*of) -> list[dict]:
    return [{"record": type(record).__name__.lower(), **vars(record)} for record in of]


# Points


def points_of(translation: Translation, lines: list[dict]) -> list:
    return [point for line in lines for point in translation.take(line)]


def train_steps(points: list) -> list[int]:
    return [point.step for point in points if "train/tokens" in point.scalars]


def test_a_step_has_all_its_scalars(plan):
    translation = Translation(plan(), MirrorState(), began=1000.0)
    (point,) = points_of(translation, lines_of(step(1, nats=2.0)))
    assert point.step == 1
    assert point.time == pytest.approx(1010.05)
    assert point.scalars["train/loss_nats"] == 2.0
    assert point.scalars["train/bits_per_byte"] == pytest.approx(2.0 / 0.6931472)  # one byte a token
    assert point.scalars["train/batch_rows"] == 16
    assert point.scalars["train/tokens_per_second"] == pytest.approx(16 * 16 / 0.05)
    assert {"train/gradient_norm", "train/learning_rate_factor", "train/tokens"} <= point.scalars.keys()


def test_a_skipped_step_has_no_loss_and_is_counted(plan):
    translation = Translation(plan(), MirrorState())
    (point,) = points_of(translation, lines_of(step(1, skipped=True, nats=float("nan"), gradient_norm=float("inf"))))
    assert point.scalars["train/skipped_steps"] == 1
    assert "train/loss_nats" not in point.scalars


@pytest.mark.parametrize(
    ("steps", "seconds", "least", "most"),
    [
        (1500, 0.001, 1500, 1500),  # fewer than the least: all of them
        (20_000, 0.001, STEPS_A_RUN, STEPS_A_RUN + 41),  # 20 seconds: spread over the progress
        (20_000, 0.1, STEPS_A_RUN, 4001),  # 2000 seconds: two a second
    ],
)
def test_steps_are_thinned_and_the_last_one_is_kept(plan, steps, seconds, least, most):
    translation = Translation(plan(), MirrorState())
    given = points_of(translation, lines_of(*(step(i, of=steps, seconds=seconds) for i in range(1, steps + 1))))
    given += translation.end()
    assert least <= len(given) <= most
    assert given[-1].step == steps
    assert max(b.step - a.step for a, b in itertools.pairwise(given)) <= max(2, 2 * steps // least)


def test_a_mirror_started_again_gives_the_points_that_one_would_have_given(plan):
    lines = lines_of(*(step(i, of=9000, seconds=0.01) for i in range(1, 9001)), *last_lines())
    whole = Translation(plan(), MirrorState())
    expected = points_of(whole, lines) + list(whole.end())
    state, parts = MirrorState(), []
    for begin in range(0, len(lines), 777):
        again = Translation(plan(), state)
        parts += points_of(again, lines[begin : begin + 777])
        state = state_from_json(json.loads(json.dumps(vars(again.state))))
    assert parts + list(Translation(plan(), state).end()) == expected


def test_what_a_resumed_run_repeats_is_not_given_again(plan):
    translation = Translation(plan(), MirrorState())
    lines = lines_of(
        *(step(i) for i in range(1, 41)),
        validation(40),
        Event(name="resumed", used_seconds=12.0, detail={"step": 30}),
        *(step(i, nats=9.0) for i in range(31, 61)),
        *last_lines(),
    )
    points = points_of(translation, lines) + list(translation.end())
    assert train_steps(points) == list(range(1, 61))
    losses = {point.step: point.scalars["train/loss_nats"] for point in points if "train/loss_nats" in point.scalars}
    assert losses[40] < 9
    assert losses[41] == 9
    assert all(b.step >= a.step for a, b in itertools.pairwise(points))


def test_a_line_of_another_shape_gives_nothing(plan):
    translation = Translation(plan(), MirrorState())
    odd = [{}, {"record": "step"}, {"record": "sample", "text": 3}, {"record": "new"}, {"record": "phase", "name": []}]
    assert points_of(translation, odd) == []


def test_only_whole_lines_are_read_and_a_log_begun_anew_from_its_beginning(tmp_path):
    path = tmp_path / "log"
    assert new_lines(path, 0) == ([], 0)
    path.write_bytes(b'{"a": 1}\nnot json\n[1]\n{"a": 2}\n{"a"')
    lines, offset = new_lines(path, 0)
    assert lines == [{"a": 1}, {"a": 2}]
    assert new_lines(path, offset) == ([], offset)
    with path.open("ab") as file:
        file.write(b": 3}\n")
    assert new_lines(path, offset)[0] == [{"a": 3}]
    path.write_bytes(b'{"b": 1}\n')
    assert new_lines(path, offset) == ([{"b": 1}], 9)


# Names and libraries


def test_an_unknown_mirror_is_answered_with_the_nearest():
    with pytest.raises(UsageError) as caught:
        destinations.check(("tensorbord",))
    assert "tensorboard" in caught.value.attempt


def test_a_missing_library_is_told_with_the_command_before_anything_is_run(tmp_path, monkeypatch):
    from daybreak import cli

    monkeypatch.chdir(tmp_path)
    (tmp_path / "novel.txt").write_text("text")
    (tmp_path / "wandb").mkdir()  # a folder that W&B leaves where it was run is not the library
    spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in destinations.BUILT_IN else spec(name))
    for verb in (["run", "novel.txt", "--for", "60s", "--mirror"], ["mirror", "none", "--to"]):
        with pytest.raises(UsageError) as caught:
            cli.app([*verb, "wandb"], standalone_mode=False)
        assert "pip install '.[wandb]'" in caught.value.attempt
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_the_librarys_name_is_not_the_library(tmp_path, monkeypatch):
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(UsageError):
        destinations.check(("wandb",))


def test_what_a_mirror_has_written_comes_with_the_command_that_opens_it(monkeypatch, tmp_path):
    folder = tmp_path / "a run" / "mirrors"
    assert shlex.split(destinations.opening("tensorboard", folder)) == ["tensorboard", "--logdir", str(folder)]
    monkeypatch.delenv("TRACKIO_SPACE_ID", raising=False)
    assert destinations.opening("trackio", folder).endswith(" trackio show --project daybreak")
    monkeypatch.setenv("TRACKIO_SPACE_ID", "me/space")
    assert destinations.opening("trackio", folder) == destinations.opening("wandb", folder) == ""


def test_names_are_taken_once(monkeypatch):
    monkeypatch.setattr(destinations, "_installed", lambda name: True)
    assert destinations.check(("wandb", "trackio", "wandb")) == ("wandb", "trackio")


# What the libraries read back


def accumulated(folder: Path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    everything = {"scalars": 0, "tensors": 0}
    return event_accumulator.EventAccumulator(str(folder), size_guidance=everything).Reload()


def test_tensorboard_reads_every_point_once(run, tmp_path):
    pytest.importorskip("tensorboard")
    home = tmp_path / "home"
    home.mkdir()
    for heavy in ("torch", "tensorflow"):
        (home / f"{heavy}.py").write_text(f"open({str(home / 'imported')!r}, 'w').close()\nraise ImportError")
    whole = run.log_file.read_bytes()
    half = whole[: len(whole) // 3]
    run.log_file.write_bytes(half)
    mirrored(run, "tensorboard", home, PYTHONPATH=str(home))
    state = run.mirrors_folder / "tensorboard.json"
    early = state.read_bytes()
    run.log_file.write_bytes(whole)
    mirrored(run, "tensorboard", home)
    told = mirrored(run, "tensorboard", home)
    assert told["points"] == 0, "nothing was new"
    assert told["open"] == shlex.join(["tensorboard", "--logdir", told["folder"]])
    # As if a mirror had been killed when it had read to the end, and before it wrote what a run's end shows.
    late = json.loads(state.read_text())
    state.write_text(json.dumps({**late, "ended": 0}))
    assert mirrored(run, "tensorboard", home)["points"] == 1
    # As if one had been killed after it wrote and before it wrote down where it was.
    state.write_bytes(early)
    mirrored(run, "tensorboard", home)
    assert not (home / "imported").exists(), "torch or tensorflow was imported"
    read = accumulated(run.mirrors_folder / "tensorboard")
    assert [event.step for event in read.Scalars("train/loss_nats")] == list(range(1, 101))
    assert read.Scalars("train/loss_nats")[-1].value == pytest.approx(step(100).nats)
    assert [(e.step, e.value) for e in read.Scalars("validation/bits_per_byte")] == [(50, 2.5)]
    assert read.Scalars("validation/bits_per_byte of ema")[0].step == 100
    assert read.Scalars("phases/training seconds")[-1].value == 5.0
    assert read.Scalars("final/bits_per_byte with model/ and mixture/")[-1].value == 2.0
    text = read.Tensors("samples/text")[-1]
    assert text.step == 50
    assert text.tensor_proto.string_val[0].decode() == f"    {TEXT}"
    (config,) = read.Tensors("config/plan")
    assert json.loads(config.tensor_proto.string_val[0])["request"]["sources"] == ["a.txt"]
    assert "_hparams_/session_start_info" in read.summary_metadata


def offline_records(path: Path) -> list:
    """The records of a W&B run file: blocks of 32 KiB, pieces with a header of 7 bytes (checksum, length, kind)."""
    internal = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    data, at, pieces, found = path.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        pieces += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record = internal.Record()
            record.ParseFromString(pieces)
            found.append(record)
            pieces = b""
    return found


def test_wandb_writes_offline_without_a_key_and_asks_nobody(run, tmp_path):
    pytest.importorskip("wandb")
    whole = run.log_file.read_bytes()
    run.log_file.write_bytes(whole[: len(whole) // 2])
    home = tmp_path / "home"
    home.mkdir()
    first = mirrored(run, "wandb", home, NETRC=str(home / "netrc"))
    assert "no API key" in first["said"]
    assert "wandb sync " in first["said"]
    run.log_file.write_bytes(whole)
    mirrored(run, "wandb", home, WANDB_MODE="offline", WANDB_NAME="mine")
    files = sorted((run.mirrors_folder / "wandb").rglob("*.wandb"), key=lambda path: path.stat().st_mtime)
    assert len(files) == 2
    assert len({path.name for path in files}) == 1, "one run of W&B, in two parts"
    history, names, config = [], [], {}
    for record in itertools.chain.from_iterable(offline_records(path) for path in files):
        if record.WhichOneof("record_type") == "history":
            items = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
            history.append(items)
        elif record.WhichOneof("record_type") == "run":
            names.append(record.run.display_name)
            config |= {u.key: json.loads(u.value_json) for u in record.run.config.update}
    steps = [row["_step"] for row in history if "train/loss_nats" in row]
    assert steps == list(range(1, 101))
    assert [row["_step"] for row in history if "validation/bits_per_byte" in row] == [50]
    assert history[-1]["final/bits_per_byte"] == 2.25
    assert set(names) == {"a run", "mine"}, "the user's variables hold"
    assert config["plan"]["batch_tokens"] == 1024
    (page,) = (run.mirrors_folder / "wandb").rglob("*.html")
    assert "&lt;script&gt;" in page.read_text()
    assert "<script>alert" not in page.read_text()


def test_trackio_keeps_every_point_once(run, tmp_path):
    pytest.importorskip("trackio")
    home = tmp_path / "home"
    home.mkdir()
    whole = run.log_file.read_bytes()
    run.log_file.write_bytes(whole[: len(whole) // 2])
    mirrored(run, "trackio", home)
    run.log_file.write_bytes(whole)
    mirrored(run, "trackio", home)
    (file,) = (run.mirrors_folder / "trackio").glob("*.db")
    with sqlite3.connect(file) as base:
        found = list(base.execute("SELECT run_name, run_id, step, metrics FROM metrics ORDER BY id"))
        (config,) = base.execute("SELECT config FROM configs").fetchone()
    rows = [(number, json.loads(metrics)) for _, _, number, metrics in found]
    assert {name for name, *_ in found} == {"a run"}
    assert len({identity for _, identity, *_ in found}) == 1
    assert [number for number, row in rows if "train/loss_nats" in row] == list(range(1, 101))
    assert [number for number, row in rows if "validation/bits_per_byte" in row] == [50]
    assert next(row["samples/text"]["_value"] for _, row in rows if "samples/text" in row) == f"    {TEXT}"
    assert rows[-1][1]["final/bits_per_byte"] == 2.25
    assert json.loads(config)["request"]["sources"] == ["a.txt"]


# Runs that end in every way


HOLDER = """
import sys, time
from daybreak.core.run import Run
with Run(sys.argv[1]).alive(lambda: 12.0):
    print("held", flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def held(run: Run) -> Iterator[subprocess.Popen]:
    """A process that works on the run, as its heartbeat says, and is killed at the end."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_killed_run_is_shown_to_its_last_line_and_a_continued_one_goes_on(run, tmp_path):
    pytest.importorskip("tensorboard")
    run.log_file.unlink()
    with held(run):
        (event,) = started(run, ("tensorboard",), 3.0)
        append(run, *(step(i) for i in range(1, 41)))
        time.sleep(1.0)
        append(run, step(41))
    assert mirrors._children[-1].pid == event.detail["pid"]
    assert mirrors._children[-1].wait(timeout=90) == 0, Path(event.detail["log"]).read_text()
    with held(run) as holder:
        started(run, ("tensorboard",), 3.0)
        append(run, Event(name="resumed", used_seconds=12.0, detail={"step": 30}))
        append(run, *(step(i) for i in range(31, 101)), *last_lines())
        assert mirrors._children[-1].wait(timeout=90) == 0, Path(event.detail["log"]).read_text()
        assert holder.poll() is None, "it leaves when the run has said that it is finished"
    read = accumulated(run.mirrors_folder / "tensorboard")
    assert [e.step for e in read.Scalars("train/loss_nats")] == list(range(1, 101))
    assert os.getpriority(os.PRIO_PROCESS, 0) < NICENESS, "the priority of the run itself is as it was"


def test_two_mirrors_of_a_kind_do_not_work_at_once(run, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(destinations, "_installed", lambda name: True)
    run.mirrors_folder.mkdir()
    with (run.mirrors_folder / ".wandb.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="already"):
            mirror.mirror(str(run.path), "wandb")


def test_a_mirror_that_cannot_be_started_is_a_warning(run, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(run.path / "no such python"))
    (event,) = started(run, ("wandb",), 3.0)
    assert event.name == "warning"
    assert "wandb" in event.detail["what"]


# Mirrors that die, hang and flood


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def fakes(tmp_path) -> Path:
    """A folder of installed packages with three mirrors of a third party."""
    folder = tmp_path / "site"
    (folder / "fakes-1.dist-info").mkdir(parents=True)
    (folder / "fakes.py").write_text(FAKES)
    (folder / "fakes-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: fakes\nVersion: 1\n")
    points = "\n".join(f"{name.lower()} = fakes:{name}" for name in ("Crash", "Hang", "Flood"))
    (folder / "fakes-1.dist-info" / "entry_points.txt").write_text(f"[daybreak.mirrors]\n{points}\n")
    return folder


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see whether a process lives")
@pytest.mark.long
def test_mirrors_that_crash_hang_and_flood_cost_the_run_nothing(small_text, tmp_path, fakes, waited):
    tensorboard = ["--mirror", "tensorboard"] if importlib.util.find_spec("tensorboard") else []
    settings = {"layers": 1, "width": 64, "context_length": 32, "tokens": 30000}
    plain = daybreak.run(
        str(small_text),
        budget="30s",
        out=str(tmp_path / "plain"),
        reproducible=True,
        settings=settings,
        exclude=["compiled", "ngram_mix"],
    )
    words = [sys.executable, "-m", "daybreak", "run", str(small_text), "--out", str(tmp_path / "mirrored"), "--json"]
    words += ["--for", "30s", "--reproducible", "--without", "compiled", "--without", "ngram_mix"]
    for name, value in settings.items():
        words += ["--set", f"{name}={value}"]
    begun, before = time.monotonic(), waited()
    done = subprocess.run(
        [*words, "--mirror", "crash", "--mirror", "hang", "--mirror", "flood", *tensorboard],
        env={**os.environ, "PYTHONPATH": str(fakes), "DAYBREAK_MIRROR_GRACE": "4"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert time.monotonic() - begun < 31 + 0.2 * (waited() - before)
    assert done.returncode == 0, done.stderr
    run = Run(tmp_path / "mirrored")
    events = [r.detail for r in records.read(run.log_file) if isinstance(r, Event) and r.name == "mirror"]
    pids = {detail["name"]: detail["pid"] for detail in events}
    assert pids.keys() >= {"crash", "hang", "flood"}
    assert not gone(pids["hang"]), "the run has waited for it, or the watchdog has not"
    assert json.loads(done.stdout)["weights_digest"] == plain.figures["weights_digest"]
    assert run.request() == plain.run.request(), "a mirror is not a part of the request"
    # The one that crashes is at the lowest priority too: on a loaded machine it may still be importing.
    limit = time.monotonic() + 20
    while not all(gone(pid) for pid in pids.values()):
        assert time.monotonic() < limit, f"still there: {[name for name, pid in pids.items() if not gone(pid)]}"
        time.sleep(0.1)
    assert "this mirror crashes" in (run.mirrors_folder / "crash.log").read_text()
    assert "nothing has changed" in (run.mirrors_folder / "hang.log").read_text()
    assert (run.mirrors_folder / "flood.log").stat().st_size < 2_000_000
    if tensorboard:
        mirror.mirror(str(run.path), "tensorboard")  # on a starved machine it had no turn before its grace ended
        last = records.standing_steps(run.log_file)[-1]
        read = accumulated(run.mirrors_folder / "tensorboard")
        assert read.Scalars("train/loss_nats")[-1].step == last.step
        assert "final/bits_per_byte" in read.Tags()["scalars"]
