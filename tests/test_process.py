"""Tests of daybreak/core/process.py: one place starts processes, and nothing that lies in the working folder is run."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import daybreak
from daybreak.core import process

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(daybreak.__file__).parent
STARTERS = ("subprocess", "multiprocessing", "webbrowser", "pty", "asyncio.subprocess")
MAY = re.compile(r"subprocess|multiprocessing|webbrowser|pty|Process|os\.(?:exec|spawn|posix|fork|sys|popen|start)")
OF_OS = ("exec", "spawn", "posix_spawn", "fork", "system", "popen", "startfile")
LIBRARIES = (
    "daybreak numpy torch tokenizers tiktoken safetensors typer click rich orjson ijson zstandard trafilatura lxml "
    "transformers tensorboard wandb trackio ray lm_eval datasets fastapi uvicorn plotly gguf onnx onnxruntime sympy"
)
NAMES = {*sys.stdlib_module_names, *LIBRARIES.split(), "sitecustomize", "usercustomize", "conftest", "_virtualenv"}


# One place


def started_elsewhere(tree: ast.AST) -> Iterator[int]:
    """Lines on which processes could be started by something else than core/process.py."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            names += ["subprocess" for alias in node.names if alias.name == "ProcessPoolExecutor"]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            names = ["subprocess"] if node.attr.startswith(OF_OS) else []
        elif isinstance(node, ast.Attribute) and node.attr in ("ProcessPoolExecutor", "create_subprocess_exec"):
            names = ["subprocess"]
        if any(name == starter or name.startswith(f"{starter}.") for name in names for starter in STARTERS):
            yield node.lineno


def test_one_place_starts_processes() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "core" / "process.py"
        if MAY.search(text := path.read_text(encoding="utf-8"))
        for line in started_elsewhere(ast.parse(text))
    ]
    assert not found, f"start processes by daybreak.core.process, which keeps the working folder out: {found}"


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess",
        "from concurrent.futures import ProcessPoolExecutor",
        "import concurrent.futures as f; f.ProcessPoolExecutor()",
        "from multiprocessing import spawn",
        "import torch.multiprocessing, os; os.execv('a', [])",
        "import os; os.posix_spawn('a', [], {})",
        "import webbrowser",
    ],
)
def test_other_ways_to_start_a_process_are_seen(code: str) -> None:
    assert MAY.search(code) and list(started_elsewhere(ast.parse(code)))


def test_benchmarks_start_python_without_the_working_folder() -> None:
    """But for other tools, which are started from their own checkouts."""
    found = []
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            words = [ast.unparse(word) for word in node.elts] if isinstance(node, ast.List | ast.Tuple) else []
            if "sys.executable" in words and any(
                word in ("'-m'", "'-c'") and words[place - 1] != "'-P'" for place, word in enumerate(words)
            ):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found, f"put '-P' before '-m' and '-c': {found}"


# The search path


def test_the_working_folder_leaves_the_search_path_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, other, installed = (tmp_path / name for name in ("here", "other", "installed"))
    for folder in (here, other, installed):
        folder.mkdir()
    monkeypatch.chdir(here)
    (tmp_path / "link").symlink_to(here)
    library = next(path for path in sys.path if path.endswith("python" + ".".join(map(str, sys.version_info[:2]))))
    path = ["", str(here), str(tmp_path / "link"), "src", ".", str(other), library, "", str(here), str(installed)]
    monkeypatch.setattr(sys, "path", path)
    root = str(PACKAGE.parent)
    # Behind the standard library the folder was installed from there, and shadows nothing.
    assert process.search_path() == [str(other), library, str(here), str(installed), root]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(here), ".", "src", str(other), ""]))
    found = process.environment(MORE="1")
    assert found["PYTHONPATH"] == str(other) and found["PYTHONSAFEPATH"] == "1" and found["MORE"] == "1"
    assert found["TORCH_CUSTOM_PYTHONPATH"].split(os.pathsep) == process.search_path()
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    assert "PYTHONPATH" not in process.environment()


def test_a_working_folder_that_is_gone_is_no_error(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os; os.rmdir({str(gone)!r}); from daybreak.core import process; print(process.search_path())"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=gone, capture_output=True, text=True, check=True)
    assert str(PACKAGE.parent) in done.stdout


# Traps


@pytest.fixture
def traps(tmp_path: Path) -> tuple[Path, Callable[[], set[str]]]:
    """A folder with a file for every module that may be imported, and which of them have been."""
    folder, canary = tmp_path / "traps", tmp_path / "canary"
    folder.mkdir()
    for name in NAMES:
        trap = f"open({str(canary)!r}, 'a').write({name!r} + '\\n')\n"
        (folder / f"{name}.py").write_text(trap)
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(trap)
    return folder, lambda: set(canary.read_text().split()) if canary.exists() else set()


def environment() -> dict[str, str]:
    """That of a user, who has asked Python for nothing."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONSAFEPATH", "PYTHONPATH")}


def command(*words: object) -> list[str]:
    script = Path(sys.executable).with_name("daybreak")
    assert script.exists(), "the command is not installed beside this Python"
    return [str(script), *map(str, words)]


def carried_out(folder: Path, words: list[str], *, codes: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode in codes, f"{words}: {done.stderr}"
    return done.stdout


def test_a_trap_is_one(traps) -> None:
    folder, sprung = traps
    done = subprocess.run([sys.executable, "-c", "import json"], cwd=folder, env=environment(), check=False)
    assert done.returncode is not None and sprung() >= {"json"}


def test_workers_import_nothing_from_the_working_folder(traps) -> None:
    """Of a program that has it on its own path, as a notebook has."""
    folder, sprung = traps
    code = """
import sys
from daybreak.data import workers
sys.path.insert(0, "")
print(*workers.ordered(len, ["a", "bb", "ccc"], processes=2))
"""
    assert carried_out(folder, [sys.executable, "-P", "-c", code]).split() == ["1", "2", "3"]
    assert not sprung()


def test_commands_import_nothing_from_the_working_folder(traps, small_text: Path) -> None:
    folder, sprung = traps
    (folder / "text.txt").write_bytes(small_text.read_bytes()[:60_000])
    several = "from daybreak.planning import reading; reading.APART_BYTES, reading.PART_BYTES = 0, 20_000; "
    apart = [sys.executable, "-P", "-c", several + "from daybreak.cli import main; main()"]
    carried_out(folder, [*apart, "prepare", "text.txt", "text.txt", "--out", "prepared", "--vocabulary", "257"])
    assert "prepared" in carried_out(folder, command("report", "prepared"))
    assert not sprung()


def test_what_the_browser_and_a_command_are_started_by_imports_nothing_from_the_working_folder(traps) -> None:
    """Mirrors and baselines are commands that a command starts."""
    folder, sprung = traps
    shown = folder.parent / "shown"
    (browser := folder.parent / "browser").write_text(f"#!/bin/sh\necho $1 > {shown}\n")
    browser.chmod(0o755)
    code = f"""
import os, sys, tempfile
from daybreak.core import process
sys.path.insert(0, "")
os.environ["PYTHONPATH"] = ":"
os.environ["BROWSER"] = {str(browser)!r}
process.open_browser("http://127.0.0.1:1/")
print(process.run(process.daybreak("--help"), stdout=process.PIPE, text=True, check=True).stdout)
"""
    assert "daybreak" in carried_out(folder, [sys.executable, "-P", "-c", code])
    until = time.monotonic() + 30
    while not shown.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert shown.read_text() == "http://127.0.0.1:1/\n"
    assert not sprung()


def test_the_compiler_includes_nothing_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty entry in CPATH is the working folder, as in PYTHONPATH."""
    from daybreak.engine.machine import compiler
    from daybreak.models.kernels.compiling import compiled

    if not compiler():
        pytest.skip("no compiler is here")
    (tmp_path / "math.h").write_text("#error a trap\n")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "one.c").write_text("#include <math.h>\nint one(void) { return 1; }\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CPATH", os.pathsep)
    assert compiled(tmp_path / "source" / "one.c", Path("kernels"), compiler(), ()).library.one() == 1


@pytest.mark.long
def test_every_command_imports_nothing_from_the_working_folder(traps, small_text: Path) -> None:
    folder, sprung = traps
    (folder / "text.txt").write_bytes(small_text.read_bytes())
    draw, words = random.Random(0), small_text.read_text().split()
    texts = (" ".join(draw.choices(words, k=100)) for _ in range(12_000))
    # More than one process takes alone.
    (folder / "large.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    carried_out(folder, command("prepare", "large.jsonl", "--out", "prepared"))
    carried_out(folder, command("plan", "large.jsonl", "--for", "60s", "--out", "plan.json"))
    mirrors = ("--mirror", "tensorboard", "--mirror", "wandb", "--mirror", "trackio")
    small = ("--set", "layers=2", "--set", "width=64")
    carried_out(folder, command("run", "text.txt", "--for", "90s", "--out", "run", *small, *mirrors))
    compiled = ("--without", "kernels", "--with", "compiled")  # refused where the machine is too busy for it
    carried_out(folder, command("run", "text.txt", "--for", "120s", "--out", "compiled", *compiled), codes=(0, 2))
    carried_out(folder, command("run", "text.txt", "--for", "60s", "--out", "counts", "--family", "ngram"))
    carried_out(folder, command("train", "run", "--replay", "--out", "again"))
    for words in (
        ("evaluate", "run"),
        ("generate", "run", "The", "--max-tokens", "5"),
        ("tokenize", "run", "text"),
        ("report", "run"),
        ("compare", "run", "counts"),
        ("mirror", "counts", "--to", "tensorboard"),
        ("measure", "run", "--for", "90s"),
        ("export", "run", "--to", "gguf", "--out", "for-llama"),
        ("export", "run", "--to", "hf", "--out", "for-others"),
        ("list", "."),
        ("sample",),
        ("doctor",),
    ):
        carried_out(folder, command(*words))
    carried_out(folder, command("baselines", "text.txt", "--for", "60s", "--models", "ngram,gpt", "--out", "baselines"))
    with contextlib.suppress(ImportError):
        import ray  # noqa: F401

        carried_out(folder, command("prepare", "large.jsonl", "--out", "by-ray", "--cluster", "local"))
    with subprocess.Popen(
        command("watch", "run", "--port", "0", "--open"), cwd=folder, env={**environment(), "BROWSER": "true"},
        stdout=subprocess.PIPE, text=True,
    ) as watching:  # fmt: skip
        assert watching.stdout and "watching" in watching.stdout.readline()
        time.sleep(3)
        watching.send_signal(signal.SIGINT)
    assert not sprung()
