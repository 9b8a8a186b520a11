"""Tests of daybreak/core/outputs.py and of who asks it: what daybreak has written is never text, wherever it lies."""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from daybreak.core import cache, outputs
from daybreak.core.errors import DataError
from daybreak.core.run import Run, write_json
from daybreak.core.types import Request
from daybreak.data.formats.findings import HIDDEN
from daybreak.data.sources import Reading, find, search
from daybreak.stages.prepare import prepare_only
from daybreak.views import pages

PROSE = "It is a truth universally acknowledged, that a single man must be in want of a wife.\n"
REQUEST = Request(sources=(".",), seconds=30.0)


def run_folder(path: Path, only: str = "") -> Run:
    """A run's folder as it may be found; `only`: with no mark but this one."""
    run = Run(path)
    marks = {
        "request.json": REQUEST.to_json(),
        "heartbeat.json": {"used_seconds": 1.0, "pid": 1, "start": 1, "host": "x"},
        "corpus/corpus.json": {"schema": 2, "heldout_documents": 1, "threshold": 0.1},
        "corpus/documents/parts.json": {"made_of": [], "keys": []},
    }
    for name in (*marks, "log.jsonl", "run.log", "corpus/shard-0.bin", "model/config.json", "exports/hf/README.md"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        if not only or name not in marks or name == only:
            (path / name).write_text(json.dumps(marks.get(name, {"text": "of the run"})))
    (path / "corpus" / "shard-0.bin").write_bytes("shards look like UTF-16 ".encode("utf-16-le") * 99)
    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text(PROSE)
    return tmp_path


def names(*sources: str, **more) -> list[str]:
    return sorted(map(str, search(sources, **more).files))


# Folders and patterns


@pytest.mark.parametrize("only", ["", *outputs.RUN_MARKS])
@pytest.mark.parametrize("place", ["runs/a", "out", "deep/er/b"])
def test_a_run_folder_is_no_text_whatever_it_holds(here: Path, only: str, place: str) -> None:
    run_folder(here / place, only)
    found = search(["."])
    assert list(map(str, found.files)) == ["mine.txt"]
    assert found.left_out[outputs.RUN_FOLDER] == (place,)
    assert found.notes() == (f"1 left out: {outputs.RUN_FOLDER} ({place})",)
    for pattern in ("**/*", "*", f"{place}/*", "**/corpus/**"):
        try:
            assert names(pattern, "mine.txt") == ["mine.txt"]
        except DataError as error:
            assert outputs.RUN_FOLDER in error.received


@pytest.mark.parametrize("part", [".", "corpus", "corpus/documents", "model"])
def test_a_run_folder_that_is_named_is_an_error_in_words(here: Path, part: str) -> None:
    run_folder(here / "runs" / "a")
    with pytest.raises(DataError) as caught:
        find([str(here / "runs" / "a" / part)])
    assert "run folder" in caught.value.what and "text" in caught.value.attempt
    if part == ".":
        assert caught.value.received == str(here / "runs" / "a")


def test_a_folder_of_the_users_beside_those_of_a_run_is_text(here: Path) -> None:
    run_folder(here)
    (here / "texts").mkdir()
    (here / "texts" / "a.txt").write_text(PROSE)
    assert names("texts") == ["texts/a.txt"]


def test_a_file_that_is_called_like_one_of_a_run_is_text(here: Path) -> None:
    (here / "request.json").write_text('[{"text": "a request"}]')
    (here / "heartbeat.json").write_text('{"text": "of a poem"}')
    (here / "plan.json").write_text('{"text": "a plan"}')
    (here / "page.html").write_text("<!doctype html><html><title>Break of day</title><p>about daybreak</p></html>")
    (here / "model").mkdir()
    (here / "model" / "config.json").write_text('{"model_type": "T"}')  # no weights are there
    assert names(".") == ["heartbeat.json", "mine.txt", "model/config.json", "page.html", "plan.json", "request.json"]


def test_where_results_go_is_no_text_even_before_they_are_there(here: Path) -> None:
    (here / "out").mkdir()
    (here / "out" / "half.txt").write_text(PROSE)
    assert names(".", own=(Path("out"), Path("not-there"))) == ["mine.txt"]
    assert names("*", "**/*.txt", own=(Path("out"),)) == ["mine.txt"]


def test_the_cache_is_no_text(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYBREAK_CACHE", str(here / "kept"))
    (cache.folder() / "facts.json").write_text("{}")
    assert names(".") == ["mine.txt"]
    monkeypatch.setenv("DAYBREAK_CACHE", str(here / "another"))
    assert names(".") == ["mine.txt"], "that of another command is told by the tag in it"


def test_pages_plans_and_models_are_no_text(here: Path, plan, machine) -> None:
    page = pages.filled(title="a run", language="en", script="report.js", data={})
    (here / "compared.html").write_text(page)
    write_json(here / "planned.json", plan().to_json())
    (here / "figures.json").write_text(
        json.dumps({"schema": 1, "name": "a", "path": "b", "state": "finished", "written_at": 1.0, "request": {}})
    )
    sizes = {"bytes": 1, "heldout_bytes": 1, "seconds": 1.0}
    beside = {"schema": 1, "budget": "60 s", "out": "b", "text": sizes, "notes": ["so " * 9000], "rows": []}
    (here / "baselines.json").write_text(json.dumps(beside))
    (here / "copied").mkdir()
    (here / "copied" / "config.json").write_text('{"model_type": "qwen3"}')
    (here / "copied" / "model.safetensors").write_bytes(bytes(9))
    (here / "gguf").mkdir()
    (here / "gguf" / "README.md").write_text("---\nlicense: unknown\nlibrary_name: x\ntags:\n- daybreak\n- gpt\n---\n")
    for folder in ("venv", "node_modules/x", "tags"):
        (here / folder).mkdir(parents=True)
        (here / folder / "a.txt").write_text(PROSE)
    (here / "venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (here / "tags" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    found = search(["."])
    assert list(map(str, found.files)) == ["mine.txt"]
    left_out = {what: sorted(names) for what, names in found.left_out.items()}
    assert left_out == {
        outputs.PAGE: ["baselines.json", "compared.html", "figures.json", "planned.json"],
        outputs.MODEL: ["copied", "gguf"],
        outputs.ENVIRONMENT: ["node_modules", "venv"],
        outputs.CACHE: ["tags"],
    }


def test_what_is_hidden_special_or_closed_is_said(here: Path) -> None:
    (here / ".git").mkdir()
    os.mkfifo(here / "pipe")
    (here / "nowhere").symlink_to("gone")
    found = search(["."])
    assert found.left_out[HIDDEN] == (".git",)
    assert sorted(found.left_out["not a regular file, or a broken link"]) == ["nowhere", "pipe"]


# Archives


def zipped(folder: Path, *, backwards: bool) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*"), reverse=backwards):
            archive.write(path, path.relative_to(folder.parent))
    return file.getvalue()


def tarred(mode: str) -> Callable[..., bytes]:
    def pack(folder: Path, *, backwards: bool) -> bytes:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode=f"w:{mode}") as archive:
            for path in sorted(folder.rglob("*"), reverse=backwards):
                archive.add(path, f"./{path.relative_to(folder.parent)}", recursive=False)
        return file.getvalue()

    return pack


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("pack", [zipped, tarred(""), tarred("gz"), tarred("xz")], ids=["zip", "tar", "tgz", "txz"])
def test_a_run_folder_in_an_archive_is_no_text(tmp_path: Path, pack, backwards: bool) -> None:
    project = tmp_path / "project"
    run_folder(project / "runs" / "a")
    (project / "z.txt").write_text(PROSE)
    (project / "a.txt").write_text(PROSE)
    page = pages.filled(title="a run", language="en", script="report.js", data={})
    (project / "page.html").write_text(page[:9000])
    packed = tmp_path / "packed"
    packed.write_bytes(pack(project, backwards=backwards))
    reading = Reading([packed])
    assert [document.text for document in reading] == [PROSE, PROSE]
    assert dict(reading.findings.left_out) == {outputs.RUN_FOLDER: 1, outputs.PAGE: 1}
    assert any("project/runs/a/" in note for note in reading.notes)


def test_an_archive_of_a_run_alone_is_an_error_that_says_so(tmp_path: Path) -> None:
    run_folder(tmp_path / "a")
    packed = tmp_path / "a.zip"
    packed.write_bytes(zipped(tmp_path / "a", backwards=False))
    with pytest.raises(DataError) as caught:
        find([str(packed)])
    assert outputs.RUN_FOLDER in caught.value.received


# The command


def test_the_held_out_file_alone_is_an_error_in_words(here: Path) -> None:
    settings = {"vocabulary": "257"}
    for sources in (("mine.txt",), (".",), ("*.txt",)):
        with pytest.raises(DataError) as caught:
            prepare_only(
                Request(sources=sources, seconds=0.0, heldout="mine.txt", settings=settings), out=str(here / "out")
            )
        assert "held-out" in caught.value.what and "--heldout" in caught.value.attempt


@pytest.fixture
def project(tmp_path: Path, small_text: Path) -> Path:
    return project_of(tmp_path / "project", small_text)


def project_of(folder: Path, small_text: Path) -> Path:
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.txt").write_text(small_text.read_text()[number * 10_000 :][:10_000])
    return folder


def run_words(family: str) -> list[str]:
    options = ["--for", "90s", "--family", family, *(["--set", "layers=1"] if family == "gpt" else [])]
    return [sys.executable, "-P", "-m", "daybreak", "run", ".", *options, "--json"]


@pytest.fixture(scope="module")
def seconds_of(tmp_path_factory: pytest.TempPathFactory, small_text: Path) -> Callable[[str], float]:
    """What a run of a family takes when nobody kills it."""

    @functools.cache
    def taken(family: str) -> float:
        folder = project_of(tmp_path_factory.mktemp(family) / "project", small_text)
        begun = time.monotonic()
        subprocess.run(run_words(family), cwd=folder, capture_output=True, check=True)
        return time.monotonic() - begun

    return taken


def killed_and_continued(project: Path, words: list[str], after: float | Callable[[], bool]) -> Path | None:
    """The run that a command goes on with after it was killed; None where it had ended before so many seconds."""
    process = subprocess.Popen(words, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until = time.monotonic() + (after if isinstance(after, float) else 60)
    while process.poll() is None and time.monotonic() < until and not (callable(after) and after()):
        time.sleep(0.005)
    if process.poll() is not None and isinstance(after, float):
        process.communicate()
        return None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = subprocess.run(words, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    return project / told["run"]


def check_text(run: Path) -> None:
    corpus = json.loads((run / "corpus" / "corpus.json").read_text())
    assert corpus["sources"] == [f"{number}.txt" for number in range(8)]


@pytest.mark.parametrize("moment", ["heartbeat.json", "request.json", "corpus/documents/*.text*"])
def test_preparing_the_folder_that_it_works_in_goes_on_after_a_kill(project: Path, moment: str) -> None:
    words = [sys.executable, "-P", "-m", "daybreak", "prepare", ".", "--out", "out", "--vocabulary", "257", "--json"]
    run = killed_and_continued(project, words, lambda: any((project / "out").glob(moment)))
    assert run is not None
    check_text(run)


@pytest.mark.long
@pytest.mark.parametrize(
    ("family", "share"),
    [
        *(("ngram", (moment + 0.5) / 17) for moment in range(16)),
        *(("gpt", (moment + 0.5) / 4.5) for moment in range(4)),
    ],
)
def test_a_run_of_the_folder_that_it_works_in_goes_on_after_a_kill(
    project: Path, seconds_of: Callable[[str], float], family: str, share: float
) -> None:
    seconds = share * seconds_of(family)
    while (run := killed_and_continued(project, run_words(family), seconds)) is None:  # the machine is faster now
        shutil.rmtree(project / "runs")
        seconds *= 0.8
    begun = [path.parent.name for path in (project / "runs").glob("*/request.json")]
    assert begun == [run.name], "the same folder goes on, where the first command came to make one"
    check_text(run)
    shutil.rmtree(project / "runs")


@pytest.mark.long
def test_nothing_that_a_command_leaves_in_the_folder_is_text(project: Path) -> None:
    def daybreak(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "daybreak", *words], cwd=project, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    small = ("--set", "layers=1", "--set", "width=64")
    daybreak("run", ".", "--for", "90s", "--out", "network", *small, "--mirror", "tensorboard")
    daybreak("run", ".", "--for", "60s", "--family", "ngram")
    daybreak("plan", ".", "--for", "90s", "--out", "planned.json", *small)
    daybreak("report", "network", "--out", "page.html", "--language", "zh")
    daybreak("export", "network", "--to", "hf", "--out", "for-others/hf")
    daybreak("export", "network", "--to", "gguf", "--out", "for-others/gguf")
    daybreak("measure", "network", "--for", "90s")
    (counts,) = (project / "runs").iterdir()
    daybreak("compare", "network", str(counts))
    daybreak("baselines", ".", "--for", "60s", "--models", "ngram,gpt", "--out", "beside")
    daybreak("train", "planned.json", "--out", "carried-out")  # its text is scanned again and has to be the same
    told = json.loads(daybreak("prepare", ".", "--out", "prepared", "--vocabulary", "512", "--json"))
    check_text(project / "prepared")
    assert len(told["skipped"]) == 3, told["skipped"]
    for what in (outputs.RUN_FOLDER, outputs.MODEL, outputs.PAGE):
        assert any(what in sentence for sentence in told["skipped"]), told["skipped"]
