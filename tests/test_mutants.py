"""benchmarks/mutants.py: which changes of a module it makes, which it leaves alone, and what its tests say of each."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = '''"""A module 1 + 1."""

LEAST = 3  # of 3


def larger(one: int, other: int = 0) -> int:
    """The larger, 2 < 1."""
    if one < LEAST:
        raise ValueError(f"{one + 1} is not {LEAST}", 7)
    assert other < 1000
    return one if one > other else other


def emptied(items: str) -> str:
    while items:
        items = items[1:]
    return items
'''
TESTS = """from tiny import module


def test_larger():
    assert module.larger(5) == 5 and module.larger(3, 4) == 4 and module.larger(4, 4) == 4


def test_emptied():
    assert module.emptied("some") == ""
"""
RUN = """import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import mutants
tiny = mutants.Noun(module="tiny/module.py", tests=("tests/test_tiny.py",))
mutants.EQUIVALENT["tiny", "return one if one > other else other", "return one if one >= other else other"] = "the same"
words = ["--count", "0", "--patience", "0.5", "--heavy", "--out", "found.json", "--resume", "found.json"]
sys.exit(mutants.main(words, root=Path(sys.argv[2]), nouns={"tiny": tiny}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_every_mutant_of_a_tiny_module_is_judged(root: Path, tmp_path: Path) -> None:
    for name, text in (("tiny/module.py", MODULE), ("tests/test_tiny.py", TESTS), ("pyproject.toml", "")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    def run() -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-P", "-c", RUN, str(root / "benchmarks"), str(tmp_path)]
        return subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)

    done = run()
    assert done.returncode == 1, done.stderr
    rows = json.loads((tmp_path / "found.json").read_text())["mutants"]
    found = {(row["before"].strip(), row["after"].strip()): row for row in rows}
    outcomes = {after: row["outcome"] for (_, after), row in found.items()}
    assert outcomes == {
        "LEAST = 4  # of 3": "killed",
        "def larger(one: int, other: int = 1) -> int:": "survived",
        "if one <= LEAST:": "killed",
        "if one >= LEAST:": "killed",
        "if True:": "killed",
        "if False:": "survived",
        "return None": "killed",
        "return one if one <= other else other": "killed",
        "return one if one >= other else other": "survived",
        "return one if True else other": "killed",
        "return one if False else other": "killed",
        "while True:": "killed by time",
        "while False:": "killed",
        "items = items[2:]": "survived",
    }
    assert found["if one < LEAST:", "if True:"]["test"] == "tests/test_tiny.py::test_larger"
    assert done.stdout.count("--- tiny/module.py") == 3 and "-    if one < LEAST:\n+    if False:\n" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["all", "15", "11", "1", "1", "3", "73.3%"]
    assert {path.name for path in tmp_path.iterdir()} == {"tiny", "tests", "pyproject.toml", "found.json"}
    assert (tmp_path / "tiny" / "module.py").read_text() == MODULE
    # What is known is not tried again while module and tests stay as they are.
    again = run()
    assert again.returncode == 1 and "its tests take" not in again.stdout
    assert again.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]


def test_every_mutant_that_is_named_as_equivalent_is_one_of_todays_modules(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    mutants = importlib.import_module("mutants")
    texts = {name: (root / noun.module).read_text(encoding="utf-8") for name, noun in mutants.NOUNS.items()}
    found = [mutant for name, text in texts.items() for mutant in mutants.mutants_of(name, text)]
    assert len({mutant.key for mutant in found}) == len(found)
    named = {(mutant.noun, mutant.before.strip(), mutant.after.strip()) for mutant in found}
    assert mutants.EQUIVALENT.keys() <= named, sorted(mutants.EQUIVALENT.keys() - named)
    assert all((root / file).exists() for noun in mutants.NOUNS.values() for file in noun.tests)
