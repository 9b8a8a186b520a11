"""Doctor: a verdict first, then what would make the machine do more, and only those techniques that it cannot use."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from daybreak.core import units
from daybreak.stages.doctor import examination
from daybreak.techniques import class_of, names


@pytest.fixture
def found(machine, monkeypatch: pytest.MonkeyPatch):
    """As `examined` finds it, of a machine that is not measured."""
    timings = SimpleNamespace(entries=[], compile_seconds=lambda cold: 0.0)

    def made(**changes: Any) -> dict[str, Any]:
        here = machine(**changes)
        monkeypatch.setattr(examination.machines, "measured", lambda chosen, anew: here)
        monkeypatch.setattr(examination, "Timings", lambda machine: timings)
        return examination.examined("cpu")

    return made


def test_the_verdict_says_what_a_minute_is_enough_for(found) -> None:
    slow, fast = (found(matmul_flops={"float32": rate}) for rate in (3e10, 3e12))
    told = [
        re.search(r"60 s train about (.+) parameters on about (.+) tokens", each["verdict"]) for each in (slow, fast)
    ]
    assert all(told) and told[0].groups() != told[1].groups()
    assert slow["verdict"].startswith("2 threads") and examination.lines(slow)[0] == f"verdict     {slow['verdict']}"
    scales = {"thousand": 1e3, "million": 1e6}
    seen = [float(one[2].split()[0]) * scales[one[2].split()[1]] for one in told]
    assert seen[1] > 5 * seen[0]
    assert "--family ngram" in found(matmul_flops={"float32": 1e7}, bandwidth_bytes_per_second=1e7)["verdict"]


def test_only_what_cannot_be_used_is_listed(found, machine) -> None:
    facts = found()
    lines = examination.lines(facts)
    unusable = {name: reason for name in names() if (reason := class_of(name)().unusable(machine()))}
    listed = [line.split()[0] for line in lines if " cannot: " in line]
    assert listed == list(unusable) and len(listed) > 2
    assert any(f"{len(names()) - len(unusable)} of {len(names())} can be used" in line for line in lines)
    assert facts["techniques"].keys() == set(names())  # all of them, with --json


def test_what_would_make_it_do_more_is_said(found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "_installed", lambda package: package != "pyarrow")
    lines = examination.lines(found(compiler=""))
    assert any(line.startswith("advice") and "compiler" in line for line in lines[:4])
    extras = next(line for line in lines if line.startswith("extras"))
    assert "parquet (Parquet files)" in extras and "documents" not in extras
    monkeypatch.setattr(examination, "_installed", lambda package: True)
    assert not any(line.startswith(("extras", "advice      install")) for line in examination.lines(found()))


def test_every_extra_that_is_named_is_one_of_the_project(pytestconfig: pytest.Config) -> None:
    import tomllib

    project = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())["project"]
    for package, (extra, _) in examination.EXTRAS.items():
        assert any(package in wanted for wanted in project["optional-dependencies"][extra])


def test_the_typical_text_is_of_a_size_that_it_says() -> None:
    assert units.size(examination.TYPICAL.bytes) == "10 MB"
