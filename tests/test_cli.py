"""The command line: bad input in three parts, exit codes, and no half-made folder."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak import cli
from daybreak.core import clock
from daybreak.core.errors import DaybreakError


def failure(*words: str) -> DaybreakError:
    with pytest.raises(DaybreakError) as caught:
        cli.app(list(words), standalone_mode=False)
    assert caught.value.what
    assert caught.value.received
    assert caught.value.attempt
    return caught.value


@pytest.fixture(autouse=True)
def _started_now(monkeypatch):
    """The budget counts from the start of the process, and the tests before these are no part of it."""
    monkeypatch.setattr(clock, "process_start", clock.boot_seconds)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


BAD_BUDGETS = [
    ["--for", "0"],
    ["--for", "tomorrow"],
    ["--for", "2s"],
    ["--until", "25:99"],
    ["--for", "20s", "--until", "07:00"],
]


@pytest.mark.parametrize("budget", BAD_BUDGETS, ids=str)
def test_a_budget_that_cannot_be_is_usage(budget, small_text, here):
    assert failure("run", str(small_text), *budget).exit_code == 2
    assert not (here / "runs").exists()


def _nothing(here: Path) -> Path:
    return here / "nothing.txt"


def _empty_folder(here: Path) -> Path:
    (here / "empty").mkdir()
    return here / "empty"


def _blanks(here: Path) -> Path:
    path = here / "blank.txt"
    path.write_text(" \n\n\t " * 20000)
    return path


def _binary(here: Path) -> Path:
    path = here / "picture.bin"
    path.write_bytes(bytes(range(256)) * 400)
    return path


def _small(here: Path) -> Path:
    path = here / "small.txt"
    path.write_text("a few words\n" * 20)
    return path


@pytest.mark.parametrize("make", [_nothing, _empty_folder, _blanks, _binary, _small])
def test_text_that_cannot_be_trained_on_is_data(make, here):
    assert failure("run", str(make(here)), "--for", "20s").exit_code == 3
    assert not list((here / "runs").glob("*")) if (here / "runs").exists() else True


def test_too_short_a_budget_names_the_shortest_that_works(small_text, here):
    error = failure("run", str(small_text), "--for", "9s", "--set", "layers=16", "--set", "width=1024")
    assert error.exit_code == 2
    assert "--for" in error.attempt
    assert not list((here / "runs").glob("*"))


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["--set", "layrs=8"], "layers"),
        (["--set", "optimizer=mion"], "muon"),
        (["--set", "schedule=cosin"], "cosine"),
        (["--with", "compild"], "compiled"),
        (["--family", "gtp"], "gpt"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(words, nearest, small_text, here):
    error = failure("plan", str(small_text), "--for", "60s", "--reproducible", *words)  # which measures nothing
    assert error.exit_code == 2
    assert nearest in error.attempt


@pytest.mark.parametrize("words", [["--set", "norm=layer"], ["--with", "x0_skips"]], ids=str)
def test_what_transformers_could_not_open_is_usage_until_native_export_is_given_up(words, small_text, here, capsys):
    words = ["plan", str(small_text), "--for", "60s", "--reproducible", *words]
    error = failure(*words)
    assert error.exit_code == 2 and "--no-native" in error.attempt
    cli.app([*words, "--no-native"], standalone_mode=False)
    assert "native: no" in capsys.readouterr().out


def test_a_model_that_does_not_fit_the_memory_is_out_of_resources(small_text, here):
    assert failure("plan", str(small_text), "--for", "60s", "--set", "layers=900", "--set", "width=8192").exit_code == 4


def test_a_setting_of_another_type_is_usage(small_text, here):
    assert failure("plan", str(small_text), "--for", "60s", "--set", "layers=many").exit_code == 2


def test_a_folder_of_another_run_is_refused_and_kept(small_text, here):
    (here / "other").mkdir()
    (here / "other" / "diary.txt").write_text("mine")
    assert failure("run", str(small_text), "--for", "20s", "--out", "other").exit_code == 2
    assert (here / "other" / "diary.txt").read_text() == "mine"


def test_a_missing_run_is_usage(here):
    for verb in ("generate", "evaluate", "train"):
        assert failure(verb, "runs/none").exit_code == 2


def test_plan_writes_a_file_that_train_reads(small_text, here, capsys):
    words = ["--for", "60s", "--without", "compiled", "--set", "layers=1", "--set", "width=64"]
    cli.app(["plan", str(small_text), *words, "--out", "plan.json"], standalone_mode=False)
    assert "why" in capsys.readouterr().out
    plan = json.loads((here / "plan.json").read_text())
    assert plan["shape"]["layers"] == 1
    plan["shape"]["leyers"] = plan["shape"].pop("layers")
    (here / "plan.json").write_text(json.dumps(plan))
    assert "layers" in failure("train", "plan.json").attempt


def test_prepare_prints_what_it_made(small_text, here, capsys):
    cli.app(["prepare", str(small_text), "--out", "ready", "--vocabulary", "512", "--json"], standalone_mode=False)
    facts = json.loads(capsys.readouterr().out)
    assert facts["vocab"] == 512
    assert facts["bytes"] > facts["tokens"] > 0
    assert facts["documents"] > 0


def test_the_command_prints_an_error_without_a_traceback(here):
    done = subprocess.run(
        [sys.executable, "-m", "daybreak", "run", "nothing.txt", "--for", "20s"],
        capture_output=True,
        text=True,
        cwd=here,
    )
    assert done.returncode == 3
    assert "received:" in done.stderr
    assert "try:" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_option_is_usage(here):
    done = subprocess.run([sys.executable, "-m", "daybreak", "run", "--fast"], capture_output=True, text=True, cwd=here)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_standard_input_is_text(small_text, here):
    with small_text.open("rb") as text:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "daybreak",
                "run",
                "-",
                "--for",
                "20s",
                "--family",
                "ngram",
                "--out",
                "piped",
                "--json",
            ],
            stdin=text,
            capture_output=True,
            text=True,
            cwd=here,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bits_per_byte"] > 0


def test_every_verb_has_help(capsys):
    for verb in ("run", "plan", "prepare", "train", "evaluate", "generate", "doctor"):
        cli.app([verb, "--help"], standalone_mode=False)
        assert "--" in capsys.readouterr().out


def test_a_prepared_folder_is_what_a_run_goes_on_with(small_text, here, capsys):
    cli.app(["prepare", str(small_text), "--out", "ready", "--vocabulary", "512"], standalone_mode=False)
    assert (
        failure(
            "run", str(small_text), "--for", "9s", "--out", "ready", "--set", "layers=16", "--set", "width=1024"
        ).exit_code
        == 2
    )
    cli.app(["run", str(small_text), "--for", "20s", "--family", "ngram", "--out", "ready"], standalone_mode=False)
    assert (here / "ready" / "model" / "config.json").exists()
