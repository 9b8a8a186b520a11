"""The command line: bad input in three parts, exit codes, and no half-made folder."""

import errno
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import small_runs
import typer.completion
import typer.main

import daybreak
from daybreak import cli
from daybreak.core import clock, failures
from daybreak.core.errors import DaybreakError
from daybreak.core.records import Event, Log
from daybreak.core.run import Run, write_json
from daybreak.data.tokenizers import train_tokenizer


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


@pytest.mark.parametrize("words", [["--set", "norm=layer"], ["--set", "skips=true"]], ids=str)
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


def test_prepare_takes_the_largest_vocabulary_that_a_small_text_has(here, capsys):
    lines = [json.dumps({"text": f"The {n}th text says that {n * n} is the square of {n}."}) for n in range(2000)]
    (here / "small.jsonl").write_text("\n".join(lines))
    cli.app(["prepare", "small.jsonl", "--out", "ready", "--json"], standalone_mode=False)
    corpus = json.loads((here / "ready" / "corpus" / "corpus.json").read_text())
    facts = json.loads(capsys.readouterr().out)
    assert facts["vocab"] == max(map(int, corpus["bytes_per_token"])) < 4096 and facts["tokens"] > 0


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


# Names, before anything heavy

MISNAMED = {
    "run novel.txt --set layer=8": 2,
    "run novel.txt --set norm=rsm": 2,
    "run novel.txt --set optimizer=mion": 2,
    "plan novel.txt --with averagin": 2,
    "plan novel.txt --without averagin": 2,
    "run novel.txt --family gtp": 2,
    "run novel.txt --tokenizer bep": 2,
    "run novel.txt --mirror tensorbord": 2,
    "run novel.txt --device cuba": 2,
    "run novel.txt --from runs/none": 2,
    "run novel.txt --heldout none.txt": 3,
    "run none.txt": 3,
    "run http://[ --family ngram": 3,
    "evaluate runs/model --on http://[": 3,
    "prepare none.txt": 3,
    "prepare novel.txt --with averagin": 2,
    "generate runs/none hello": 2,
    "evaluate runs/none": 2,
    "evaluate runs/model --on none.txt": 3,
    "evaluate runs/model --task none.jsonl": 3,
    "evaluate runs/model --device cuba": 2,
    "compare runs/none runs/model": 2,
    "compare runs/model runs/model --on none.txt": 3,
    "export runs/none --to hf": 2,
    "measure runs/none": 2,
    "mirror runs/none --to tensorboard": 2,
    "report runs/none": 2,
    "watch runs/none": 2,
    "tokenize runs/none hello": 2,
    "train runs/none": 2,
    "doctor --device cuba": 2,
    "list none": 2,
}


def test_what_is_misnamed_is_told_before_torch_is_imported(here, plan):
    """All in one process, in which torch must not be there after any of them."""
    (here / "novel.txt").write_text("some text\n" * 20_000)
    run = Run(here / "runs" / "model")
    run.make()
    run.model_folder.mkdir()
    (run.model_folder / "config.json").write_text("{}")
    write_json(run.plan_file, plan().to_json())
    code = f"""
import shlex, sys
from daybreak import cli
for line, code in {MISNAMED!r}.items():
    found = cli.answered(shlex.split(line))
    assert found == code, (line, found)
    assert "torch" not in sys.modules, line
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=here)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n  received: ") == done.stderr.count("\n  try: ") == len(MISNAMED)
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["model"]


def test_the_names_of_settings_are_those_that_the_engine_knows():
    from daybreak.core.types import OPTIMIZERS, SCHEDULES
    from daybreak.engine import optimizers, schedules

    assert set(SCHEDULES) == {*schedules.CURVES, "plateau"} and OPTIMIZERS == optimizers.NAMES


# Streams and surroundings


def command(*words: str, here: Path, before: str = "", **env: str) -> subprocess.CompletedProcess[bytes]:
    """In a process of its own. before: what the shell does first, such as closing a stream."""
    line = shlex.join([sys.executable, "-P", "-m", "daybreak", *words])
    return subprocess.run(
        ["bash", "-c", f"{before} {line}" if before else f"exec {line}"],
        capture_output=True,
        cwd=here,
        env={**os.environ, **env},
    )


@pytest.mark.parametrize(
    ("before", "code"),
    [("exec >&-;", 0), ("exec 2>&-;", 0), ("exec >&- 2>&- <&-;", 0), ("exec >/dev/full;", 4)],
    ids=str,
)
def test_a_stream_that_is_closed_ends_nothing_and_one_that_is_full_is_told(before, code, here):
    done = command("sample", here=here, before=before)
    assert done.returncode == code
    if code:
        assert b"the disk is full\n  received: " in done.stderr and b"Traceback" not in done.stderr


def test_messages_that_cannot_be_written_end_no_work(here):
    done = command("list", "none", here=here, before="exec 2>/dev/full;")
    assert done.returncode == 2


def test_a_closed_output_is_not_given_to_a_file(here):
    """The next file that is opened would have the number of the stream that was closed."""
    code = "from daybreak.core import terminal; terminal.open_streams(); print(open('f', 'w').fileno() > 2); print('x')"
    line = f"{shlex.join([sys.executable, '-P', '-c', code])} >&-"
    subprocess.run(["bash", "-c", line], cwd=here, check=True)
    assert (here / "f").read_text() == ""


@pytest.mark.parametrize("text", ["é中😀", os.fsdecode(b"a\xffb")], ids=["characters", "bytes"])
def test_text_that_the_output_cannot_show_ends_nothing(text, here):

    train_tokenizer(["a text\n" * 50], 257).save(here / "tokenizer.json")
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    for words in (["tokenizer.json", text, "--json"], ["tokenizer.json", text]):
        done = command("tokenize", *words, here=here, **ascii_only)
        assert done.returncode == 0, done.stderr
        if "--json" in words:
            assert json.loads(done.stdout.decode("ascii"))["ids"]


def test_without_a_home_the_cache_is_among_the_temporary_files(monkeypatch, tmp_path):
    from daybreak.core import cache

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.setenv("DAYBREAK_CACHE", str(tmp_path / "named"))
    assert cache.folder() == tmp_path / "named"
    monkeypatch.delenv("DAYBREAK_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    assert cache.folder().is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (MemoryError(), 4, "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 4, "memory"),
        (RuntimeError("can't start new thread"), 4, "thread"),
        (ImportError("libx.so: failed to map segment from shared object"), 4, "memory"),
        (OSError(errno.ENOSPC, "No space left on device"), 4, "disk is full"),
        (OSError(errno.EMFILE, "Too many open files"), 4, "files are open"),
        (OSError(errno.EFBIG, "File too large"), 4, "larger than"),
        (OSError(errno.EACCES, "Permission denied", "x"), 2, "may not be used"),
        (OSError(errno.EROFS, "Read-only file system", "x"), 2, "may not be used"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x"), 2, "cannot be used"),
    ],
    ids=repr,
)
def test_what_the_system_refuses_has_a_name(error, code, told):
    named = failures.named(error)
    assert named is not None and named.exit_code == code and told in named.what and named.received and named.attempt


def test_what_has_no_name_is_a_defect(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert failures.named(KeyError("x")) is None
    told = failures.unknown(KeyError("x"))
    assert told.exit_code == 4 and "KeyError" in next(tmp_path.iterdir()).read_text() and str(tmp_path) in told.attempt
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert "KeyError" in failures.unknown(KeyError("x")).received  # the file is a help, and no second failure


# Words


def parsed(verb: str, *words: str) -> dict[str, object]:
    return typer.main.get_command(cli.app).commands[verb].make_context(verb, list(words)).params


@pytest.mark.parametrize("text", ["- one", "-lu = 3", "-5", "--x y", "-1.5 and", "—", "- "])
def test_a_prompt_may_begin_with_a_dash(text):
    for words in (
        ["r", text, "--seed", "3"],
        ["--seed", "3", "r", text],
        ["r", "--seed=3", text],
        ["r", "--seed", "3", "--", text],
    ):
        found = parsed("generate", *words)
        assert (found["path"], found["prompt"], found["seed"]) == ("r", text, 3), words
    assert parsed("generate", "r", "--stop", text)["stop"] == [text]
    assert parsed("tokenize", "r", text)["text"] == text


def test_a_text_that_looks_like_an_option_stands_behind_two_dashes(here, capsys):
    assert cli.answered(["generate", "r", "-x"]) == 2
    assert "daybreak generate ... -- -x" in capsys.readouterr().err
    assert parsed("generate", "r", "--prompt", "-x")["given"] == "-x"
    assert parsed("generate", "r", "--", "-x")["prompt"] == "-x"


@pytest.mark.parametrize(
    ("words", "what", "attempt"),
    [
        (["run", "--sed", "3"], "there is no option --sed", "'--seed'"),
        (["run", "--seed", "x"], "whole number", "daybreak run --help"),
        (["run", "--seed", str(1 << 64)], "less than", "daybreak run --help"),
        (["generate", "r", "--seed", "-1"], "greater than", "daybreak generate --help"),
        (["export", "r"], "--to", "daybreak export --help"),
        (["generat"], "'generate'", "daybreak --help"),
        (["run", "--seed"], "argument", "daybreak run --help"),
    ],
    ids=str,
)
def test_the_parsers_errors_have_three_parts(words, what, attempt, capsys):
    assert cli.answered(words) == 2
    told = capsys.readouterr().err
    assert what in told.splitlines()[0]
    assert f"received: daybreak {words[0]}" in told and attempt in told.partition("try: ")[2]


def test_without_a_budget_a_run_says_that_it_is_ten_minutes(here, capsys):
    assert cli.answered(["run", "none.txt"]) == 3
    assert "10m" in capsys.readouterr().err.splitlines()[0]


# Help, version, completion, list


def helped(*words: str, capsys) -> str:
    cli.app([*words, "--help"], standalone_mode=False, prog_name="daybreak")
    return capsys.readouterr().out


def test_the_help_has_groups_whole_summaries_and_no_types(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    commands = typer.main.get_command(cli.app).commands
    whole = helped(capsys=capsys)
    for name, one in commands.items():
        assert "".join((one.help or "").split()) in "".join(whole.split()), name
        told = helped(name, capsys=capsys)
        assert not re.search(r"<(?!mask)\w+|\.\.\.$|\[default", told, re.MULTILINE), name
        assert max(map(len, told.splitlines())) <= 80
        program, verb, *words = shlex.split(one.epilog.partition(" > ")[0])
        assert (program, verb) == ("daybreak", name) and f"Example:\n  {one.epilog}" in told
        parsed(verb, *words)
    assert re.findall(r"^(\w.*):$", whole, re.MULTILINE) == [
        "Train",
        "Use a model",
        "Look at runs",
        "Measure",
        "Options",
    ]
    run = helped("run", capsys=capsys)
    assert re.findall(r"^(\w.*):$", run, re.MULTILINE) == [
        *("Example", "Arguments", "Time", "What is trained", "How it is computed", "Other options")
    ]
    assert "docs/plan.md" in run and "`daybreak plan` lists them" in " ".join(run.split())


def test_the_version(capsys):
    assert cli.answered(["--version"]) == 0
    assert capsys.readouterr().out == f"daybreak {daybreak.__version__}\n"


@pytest.fixture
def runs(here, plan, network) -> Path:

    tokenizer = train_tokenizer(["a text and another\n" * 50], 300)
    small_runs.of_network(here / "runs/good", plan(), network(vocabulary=tokenizer.vocabulary), tokenizer)
    log = Log(here / "runs/good/log.jsonl")
    log.append(
        Event(name="finished", used_seconds=58.0, detail={"bits_per_byte": 1.5, "mixture": {"bits_per_byte": 1.25}})
    )
    log.close()
    for name, text in (("torn", '{"schema": 2, "sour'), ("old", '{"schema": 1}'), ("deep", "[" * 100_000)):
        (here / "runs" / name).mkdir()
        (here / "runs" / name / "request.json").write_text(text)
        (here / "runs" / name / "log.jsonl").write_bytes(b"\xff\n{}\n[1]\nnull\n")
    (here / "runs/prepared").mkdir()
    write_json(here / "runs/prepared/request.json", {"schema": 2, "sources": [], "seconds": 0.0})
    (here / "runs/notes").mkdir()
    return here


def test_the_list_has_every_run_also_damaged_ones(runs, capsys):
    assert cli.answered(["list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == {"good", "torn", "old", "deep", "prepared"}
    good = rows["good"]
    assert (good["state"], good["family"], good["figure"], good["mixture"]) == ("finished", "gpt", 1.5, 1.25)
    assert (good["figure_name"], good["used_seconds"], good["budget_seconds"]) == ("bits_per_byte", 58.0, 600.0)
    assert {name for name, row in rows.items() if row["state"] == "damaged"} == {"torn", "old", "deep"}
    assert rows["prepared"]["state"] == "prepared"
    assert cli.answered(["list"]) == 0
    shown = capsys.readouterr().out
    assert "runs/good" in shown and "1.500 bits/byte" in shown and "damaged" in shown and "58 s" in shown


def test_a_list_of_nothing_is_no_error(here, capsys):
    assert cli.answered(["list"]) == 0
    assert cli.answered(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def completed(shell: str, line: str, here: Path) -> str:
    words = (
        {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))} if shell == "bash" else {"_TYPER_COMPLETE_ARGS": line}
    )
    code = "import sys; sys.argv[0] = 'daybreak'; from daybreak.cli import main; main()"
    env = {**os.environ, "_DAYBREAK_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args", **words}
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=here, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("shell", "line", "expected"),
    [
        ("bash", "daybreak gen", {"generate"}),
        ("bash", "daybreak generate runs/g", {"runs/good"}),
        ("zsh", "daybreak run --with aver", {"averaging"}),
        ("fish", "daybreak run --grow", {"--grow-vocabulary"}),
    ],
    ids=str,
)
def test_a_shell_completes_commands_options_techniques_and_runs(shell, line, expected, runs):
    found = completed(shell, line, runs)
    assert all(word in found for word in expected), found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_lines_for_a_shell(shell):
    script = typer.completion.get_completion_script(
        prog_name="daybreak", complete_var="_DAYBREAK_COMPLETE", shell=shell
    )
    assert "_DAYBREAK_COMPLETE" in script
    options = {flag for p in typer.main.get_command(cli.app).params for flag in p.opts}
    assert {"--install-completion", "--show-completion"} <= options


def test_the_sample_is_text_enough_to_train_on(capsys):
    assert cli.answered(["sample"]) == 0
    assert len(capsys.readouterr().out) > 300_000
