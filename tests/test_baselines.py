"""Baselines: when one curve is ahead of another, and the command itself, for real."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.core.errors import UsageError
from daybreak.stages.baselines import Curve, baselines, overtaken
from daybreak.stages.show import baselines_lines

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
        baselines(["text.txt"], "20s", out=str(tmp_path), models=("lstn",))
    assert not any(tmp_path.iterdir())


def test_the_table_has_a_bar_for_each(tmp_path: Path) -> None:
    rows = [
        {"model": "gpt", "bits_per_byte": 2.0, "more_than_best": 0.0, "parameters": 1000, "tokens_per_second": 5.0},
        {"model": "ngram", "bits_per_byte": 3.0, "more_than_best": 0.5, "parameters": None, "tokens_per_second": None},
    ]
    lines = baselines_lines({"rows": rows, "overtakes": [{"run": "gpt", "than": "ngram", "seconds": 61.0}]})
    assert lines[1].startswith("gpt") and lines[1].count("\u2588") == 20
    assert "+50.0%" in lines[2] and "counts" in lines[2]
    assert lines[-1] == "gpt is ahead of ngram from 1 min 01 s on"


@pytest.mark.long
def test_the_command_trains_all_and_says_who_is_ahead(small_text: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "daybreak", "baselines", str(small_text), "--for", "30s", "--json"]
    done = subprocess.run([*command, "--out", str(tmp_path / "all")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["model"] for row in found["rows"]] == ["gpt", "lstm", "rnn", "ngram"]
    assert all(0.5 < row["bits_per_byte"] < 8 and row["seconds"] <= 30 for row in found["rows"])
    assert (tmp_path / "all" / "baselines.html").exists()
    assert {verdict["figure"] for verdict in found["compared"]["verdicts"]} >= {"alone"}
