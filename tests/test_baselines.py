"""Baselines: when one curve is ahead of another, and the command itself, for real."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import daybreak
from daybreak.apps import baselines as comparing
from daybreak.apps.baselines import Curve, baselines, overtaken
from daybreak.core.errors import BudgetTooShort, UsageError
from daybreak.core.request import Request
from daybreak.core.run import Run
from daybreak.planning import text_facts
from daybreak.training import in_time
from daybreak.views.report_page import phase_seconds
from daybreak.views.terminal import baselines_lines

INFINITE = float("inf")


def curve(*points: tuple[float, float]) -> Curve:
    return Curve(points=points)


def test_there_is_no_figure_before_there_is_a_model() -> None:
    slow = curve((10.0, 4.0), (20.0, 2.0))
    assert slow.at(9.9) == INFINITE
    assert slow.at(15.0) == pytest.approx(3.0)
    assert slow.at(60.0) == 2.0


@pytest.mark.parametrize(
    ("one", "other", "moment"),
    [
        (curve((10.0, 4.0), (20.0, 2.0)), curve((5.0, 3.0)), 15.0),  # the lines cross
        (curve((5.0, 3.0)), curve((10.0, 4.0), (20.0, 2.0)), None),  # behind at the end
        (curve((2.0, 2.5)), curve((10.0, 4.0), (20.0, 3.0)), 2.0),  # ahead from the first on
        (curve((10.0, 2.0)), curve((5.0, 3.0)), 10.0),  # from when there is a model
        (curve((1.0, 2.0)), curve((1.0, 2.0)), None),  # never
        (curve(), curve((1.0, 2.0)), None),
    ],
)
def test_who_is_ahead_from_when_on(one: Curve, other: Curve, moment: float | None) -> None:
    assert overtaken(one, other) == (None if moment is None else pytest.approx(moment))


def test_the_last_time_counts() -> None:
    back_and_forth = curve((1.0, 1.0), (2.0, 3.0), (3.0, 1.0))
    assert overtaken(back_and_forth, curve((0.0, 2.0), (4.0, 2.0))) == pytest.approx(2.5)


def test_an_unknown_model_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'lstm'"):
        baselines(Request(sources=("text.txt",), seconds=20.0), out=str(tmp_path), models=("lstn",))
    assert not any(tmp_path.iterdir())


def test_the_table_has_a_bar_for_each(tmp_path: Path) -> None:
    rows = [
        {"model": "rnn", "trained": False, "bits_per_byte": None},
        {
            "model": "gpt",
            "trained": True,
            "bits_per_byte": 2.0,
            "more_than_best": 0.0,
            "parameters": 1000,
            "tokens_per_second": 5.0,
        },
        {
            "model": "ngram",
            "trained": True,
            "bits_per_byte": 3.0,
            "more_than_best": 0.5,
            "parameters": None,
            "tokens_per_second": None,
        },
    ]
    moments = [{"run": "gpt", "than": "ngram", "seconds": 61.0}]
    lines = baselines_lines({"rows": rows, "notes": ["rnn was not trained: why"], "overtakes": moments})
    assert "rnn was not trained: why" in lines and not any(line.startswith("rnn  ") for line in lines)
    assert lines[1].startswith("gpt") and lines[1].count("\u2588") == 20
    assert "+50.0%" in lines[2] and "counts" in lines[2]
    assert lines[-1] == "gpt is better than ngram after 1 min 01 s"


@pytest.fixture
def children(small_text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """n-grams are counted in this process; every network is refused."""

    def carried_out(words: Sequence[str]) -> tuple[int, dict[str, str]]:
        if "lstm" in words:
            return 2, {"error": "the budget is too short", "received": "--for 12 s", "try": "--for 71s"}
        out = words[words.index("--out") + 1]
        daybreak.run(str(small_text), for_="12s", family="ngram" if "ngram" in words else "gpt", out=out)
        return 0, {}

    monkeypatch.setattr(comparing, "_carried_out", carried_out)


def test_the_text_is_read_once_and_what_cannot_be_trained_is_a_row(small_text, tmp_path, children, monkeypatch) -> None:
    scans = []
    scan = text_facts.scan
    monkeypatch.setattr(text_facts, "scan", lambda run, request, **how: scans.append(run) or scan(run, request, **how))
    monkeypatch.setattr(in_time, "NETWORK_SECONDS", 1e3)  # no network has a hope
    request = Request(sources=(str(small_text),), seconds=12.0)
    found = baselines(request, out=str(tmp_path / "all"), models=("lstm", "ngram", "gpt"))
    assert [str(run) for run in scans] == [str(tmp_path / "all" / "text")]
    lstm, ngram, gpt = found["rows"]
    assert ngram["trained"] and 0 < ngram["bits_per_byte"] < 4 and ngram["more_than_best"] == 0
    assert not lstm["trained"] and "the budget is too short" in lstm["why"] and "--for 71s" in lstm["why"]
    assert not gpt["trained"] and "n-grams are counted instead" in gpt["why"], "counts are no GPT"
    assert any(note.startswith("lstm was not trained") for note in found["notes"]) and found["compared"] is None
    text, run = Run(tmp_path / "all" / "text"), Run(tmp_path / "all" / "ngram")
    assert run.corpus() == text.corpus()
    spent = phase_seconds(run)["scan"]
    assert spent == pytest.approx(found["text"]["seconds"], abs=1.0), "what reading took is a part of its time"
    assert run.used_seconds() > found["text"]["seconds"]
    other = request.replace(seed=1)
    with pytest.raises(UsageError, match="comparison with other text"):
        baselines(other, out=str(tmp_path / "all"), models=("ngram",))


def test_where_no_model_can_be_trained_the_first_reason_decides_the_exit_code(small_text, tmp_path, children) -> None:
    request = Request(sources=(str(small_text),), seconds=12.0)
    with pytest.raises(BudgetTooShort) as caught:
        baselines(request, out=str(tmp_path / "all"), models=("lstm", "rnn"))
    assert caught.value.exit_code == 2 and "--for 71s" in caught.value.received


@pytest.mark.long
def test_the_command_trains_all_and_says_who_is_ahead(small_text: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "daybreak", "baselines", str(small_text), "--for", "30s", "--json"]
    done = subprocess.run([*command, "--out", str(tmp_path / "all")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["model"] for row in found["rows"]] == ["gpt", "lstm", "rnn", "ngram"]
    assert all(0.5 < row["bits_per_byte"] < 8 and row["seconds"] <= 30 for row in found["rows"] if row["trained"])
    assert sum(row["trained"] for row in found["rows"]) >= 2
    digests = {Run(row["run"]).corpus().digest for row in found["rows"] if row["trained"]}
    assert len(digests) == 1, "the same text for all"
    assert (tmp_path / "all" / "baselines.html").exists()
    assert {verdict["figure"] for verdict in found["compared"]["verdicts"]} >= {"alone"}
