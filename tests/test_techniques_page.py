"""The page of techniques: every technique and setting is told, and what is kept of a measurement is shown and clean."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest

from daybreak import techniques
from daybreak.core.run import Run, write_json
from daybreak.core.types import Corpus, TechniqueChoice
from daybreak.evaluation import t_intervals
from daybreak.stages.measure.ablations import only_decodes
from daybreak.stages.measure.analysis import analyze

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks")]

import techniques as page  # noqa: E402

NAMES = list(techniques.ORDER)
TRAINED = [name for name in NAMES if not only_decodes(name)]
UNTOLD = [name for name in TRAINED if not techniques.class_of(name).standing]


@pytest.mark.parametrize("name", NAMES)
def test_a_technique_says_what_it_does_and_what_its_settings_mean(name):
    kind = techniques.class_of(name)
    assert kind.claim in page.CLAIMS
    assert kind.does and kind.refuses_when and "|" not in kind.does + kind.refuses_when
    assert {field.name for field in dataclasses.fields(kind)} == page.meanings_of(kind).keys()
    assert all(page.meanings_of(kind).values()), "a comment beside each field says what it means"


def test_all_techniques_and_settings_are_told_with_their_defaults():
    told = re.findall(r"^\| `(\w+)`( \(off\))? \|", page.overview(), re.MULTILINE)
    assert sorted(name for name, _ in told) == sorted(NAMES)
    off = {name for name, is_off in told if is_off}
    assert "early_stopping" not in off and {"averaging", "dropout", "packing", "ema"} <= off
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\S+) \|", page.settings(), re.MULTILINE)
    assert ("ema", "memory", "0.03") in rows and ("fused_loss", "least_bytes", "268435456") in rows
    assert len(rows) == sum(len(dataclasses.fields(techniques.class_of(name))) for name in NAMES)


def test_sources_are_those_of_the_docstring():
    assert page.sources_of(techniques.class_of("averaging")) == [
        "[arXiv:1803.05407](https://arxiv.org/abs/1803.05407)",
        "[arXiv:2209.14981](https://arxiv.org/abs/2209.14981)",
    ]
    (link,) = page.sources_of(techniques.class_of("early_stopping"))
    assert link == "[doi.org](https://doi.org/10.1007/3-540-49430-8_3)"


@pytest.mark.parametrize("name", TRAINED)
def test_a_technique_has_a_kept_verdict_or_says_why_it_stands_without_one(name):
    rows = [row for result in page.known_results() for row in result["measured"]["rows"] if row["name"] == name]
    verdicts, kind = {row["verdict"] for row in rows} - {"not measured"}, techniques.class_of(name)
    assert verdicts or kind.standing
    if kind.default and verdicts:
        assert "gain" in verdicts, "what showed no gain is off"
    assert not any(char in kind.standing for char in "|\n")


def test_without_results_nothing_was_measured():
    before = page.PAGE.read_text(encoding="utf-8")
    written = page.written(before, [])
    assert page.written(written, []) == written
    assert written.count("| no verdict") == len(TRAINED)  # what only decodes stands in every report
    with pytest.raises(ValueError, match="no place for sources"):
        page.written(before.replace("<!-- end of sources -->", ""), [])


@pytest.fixture
def measured_run(tmp_path: Path, plan) -> Run:
    """A run whose measure.json tells of a gain, of a technique that there was no time for, and of nothing private."""
    run = Run(tmp_path / "a private place" / "run")
    run.make()
    corpus = Corpus(
        sources=("/home/somebody/novel.txt",),
        heldout="",
        threshold=0.1,
        digest="0123456789abcdef",
        files=1,
        documents=20,
        bytes=900_000,
        heldout_documents=2,
        heldout_bytes=50_000,
        replaced_bytes=0,
        languages={"latin": 1.0},
        bytes_per_token={"257": 1.0},
        tokens_per_second=1e6,
        bytes_per_second=1e7,
        xz_bits_per_byte=2.8,
        ngram_bits_per_byte=2.0,
        ngram_unit="byte",
        ngram_order=6,
        ngram_bytes=500_000,
        ngram_fall=0.2,
    )
    write_json(run.corpus_file, corpus.to_json())
    write_json(run.plan_file, plan(techniques=(TechniqueChoice(name="ema"),)).to_json())
    cell = {"one": [[1.01e-4] * 2] * 4, "other": [[1e-4] * 2] * 4}
    losses = {0: 2.0, 1: 2.01, 2: 1.99}, {0: 2.1, 1: 2.111, 2: 2.088}
    slope = t_intervals.of_values([0.1, 0.101, 0.099])
    gain = analyze(timing=cell, with_=losses[0], without=losses[1], slope=slope, starts=None, run_tokens=10**6)
    nothing = analyze(timing={}, with_={}, without={}, slope=None, starts=None, run_tokens=0)
    same = {"kind": "technique", "claim": "bits_per_byte", "in_plan": True, "note": "", "modes": None}
    found = {
        "schema": 2,
        "run": "run",
        "measured_at": 1.7e9,
        "machine": {"kind": "cpu", "name": "a processor", "cores": 2, "versions": {"torch": "2.9"}},
        "plan": {"shape": "gpt-L1", "optimizer": "muon", "techniques": ["ema"], "run_tokens": 10**6, "batch_tokens": 1},
        "method": {"share": 0.25, "steps": 100, "unit": "bits/byte"},
        "slope": {"loss": 0.1, "low": 0.09, "high": 0.11},
        "rows": [{**same, "name": "ema", **gain}, {**same, "name": "bf16", **nothing}],
        "missing": ["learning, without bf16, seed 0"],
        "complete": False,
    }
    write_json(run.measure_file, found)
    return run


def test_what_is_kept_is_shown_and_names_no_place_of_the_machine(measured_run: Run, tmp_path: Path):
    file = page.kept(str(measured_run), "novel-10m", tmp_path / "results")
    text = file.read_text(encoding="utf-8")
    assert "somebody" not in text and str(tmp_path) not in text and "private" not in text
    assert json.loads(text)["text"]["name"] == "novel.txt"
    results = page.known_results(tmp_path / "results")
    told = page.sources(results)
    assert f"| gain ([novel-10m](#novel-10m)): {techniques.class_of('ema').standing} |" in told
    assert told.count("| no verdict |") == len(UNTOLD) and told.count("| no verdict") == len(TRAINED) - 1
    section = page.measured(results)
    (row,) = (line for line in section.splitlines() if line.startswith("| `ema` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1].startswith("+1.0% (") and cells[2].startswith("-0.0997 (") and cells[5:] == ["3", "gain"]
    assert "### novel-10m" in section and "novel.txt, 900 KB" in section and "no time for 1 of" in section


def test_a_run_that_was_not_measured_is_refused(measured_run: Run, tmp_path: Path):
    measured_run.measure_file.unlink()
    with pytest.raises(SystemExit, match="daybreak measure"):
        page.kept(str(measured_run), "novel-10m", tmp_path)
    assert not list(tmp_path.glob("*.json"))
