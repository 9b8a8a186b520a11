"""First calls of MKL's vector functions: each alone, on the main thread, on every way to a model."""

from __future__ import annotations

import json
import mmap
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from daybreak.engine.machine import VECTOR_FUNCTIONS

# Run in a process of its own. Every way to a model is a fork after the imports, in which nothing was called yet. The
# functions are replaced in torch's dispatcher, where calls from every thread and from within torch pass by.
NOTING = """
import json, os, sys, threading
import torch
from daybreak import cli
from daybreak.engine import machine, probe
from daybreak.evaluation import generation, questions
from daybreak.planning import starting_checkpoint
from daybreak.stages.compare import text as compared
from daybreak.stages.evaluate import text as evaluated
from daybreak.stages.export import exporting
from daybreak.stages.measure import measurement
from daybreak.training import execution, finalize, train
from daybreak.techniques import kernels, thread_parallel

first = {}

def note(name, x):
    main = threading.current_thread() is threading.main_thread()
    first.setdefault(f"{name} {x.dtype}", (main, x.numel(), threading.active_count()))

def replaced(name, out):
    def call(x):
        note(name, x)
        return out(x, out=torch.empty_like(x))
    return call

def replaced_in_place(name, out):
    def call(x):
        note(name, x)
        return out(x, out=x)
    return call

library = torch.library.Library("aten", "IMPL")
for name in machine.VECTOR_FUNCTIONS:
    library.impl(name, replaced(name, getattr(torch.ops.aten, name).out), "CPU")
    library.impl(f"{name}_", replaced_in_place(name, getattr(torch.ops.aten, name).out), "CPU")

for words in json.loads(sys.argv[1]):
    pid = os.fork()
    if pid == 0:
        sys.stdout = open(os.devnull, "w")
        code = 9
        try:
            code = cli.app(words, standalone_mode=False) or 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            sys.__stdout__.write(json.dumps([words[0], code, first]) + "\\n")
            sys.__stdout__.flush()
            os._exit(0)
    os.waitpid(pid, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.skipif(torch.get_num_threads() < 2, reason="thread_parallel needs two threads")
def test_the_first_call_of_each_is_alone_on_the_main_thread_whatever_the_command(small_text: Path, tmp_path: Path):
    run = str(tmp_path / "run")
    sizes = ["layers=1", "width=64", "context_length=32", "tokens=6000"]
    asked = [word for size in sizes for word in ("--set", size)]
    asked += ["--without", "compiled", "--with", "thread_parallel", "--reproducible"]
    ways = [
        ["run", str(small_text), "--for", "2m", "--out", run, *asked, "--json"],
        ["evaluate", run, "--json"],
        ["generate", run, "The", "--max-tokens", "3", "--json"],
    ]
    check(ways)
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert "thread_parallel" in [technique["name"] for technique in plan["techniques"]]


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_and_on_the_rarer_ways(small_text: Path, tmp_path: Path):
    """The probe of a timed plan, a run that goes on from another, scores of a run's pieces, and exports."""
    run, again = str(tmp_path / "run"), str(tmp_path / "again")
    sizes = ["--set", "layers=1", "--set", "width=64", "--set", "context_length=32"]
    few = ["--set", "tokens=6000", "--reproducible"]
    check(
        [
            ["plan", str(small_text), "--for", "60s", *sizes, "--json"],
            ["run", str(small_text), "--for", "2m", "--out", run, *sizes, *few, "--without", "compiled", "--json"],
            [
                "run",
                str(small_text),
                "--for",
                "2m",
                "--out",
                again,
                "--from",
                run,
                *few,
                "--without",
                "compiled",
                "--json",
            ],
            ["train", run, "--replay", "--out", str(tmp_path / "replayed"), "--json"],
            ["compare", run, again, "--on", str(small_text), "--json"],
            ["export", run, "--to", "gguf", "--json"],
            ["doctor", "--json"],
        ]
    )


def check(ways: list[list[str]]) -> None:
    """Every way in a process of its own; of each function, where and how it was called first."""
    words = [sys.executable, "-c", NOTING, json.dumps(ways)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [way[:2] for way in told] == [[way[0], 0] for way in ways], done.stderr
    for way, _, first in told:
        assert {name: call for name, call in first.items() if call[:2] != [True, 1]} == {}, way
        assert {f"{name} torch.float32" for name in VECTOR_FUNCTIONS} <= first.keys(), way


def test_the_list_of_vector_functions_is_what_torch_has_from_mkl():
    file = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    if not torch.backends.mkl.is_available() or not file.exists():
        pytest.skip("this torch has no MKL, or not as a library of its own")
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        found = {name.decode().lower() for name in re.findall(rb"\0vms([A-Z][A-Za-z0-9]+)\0", whole)}
    assert {"cos", "sqrt"} <= found
    assert {{"ln": "log"}.get(name, name) for name in found} == set(VECTOR_FUNCTIONS)
