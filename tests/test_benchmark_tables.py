"""Tests of benchmarks/tables.py: its files, its verdicts and its table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import tables

RIGHT = ("one", "two")


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({"texts": ["one", "two"]}, "right"),
        ({"columns": [["1", "2"], ["one", "two"]]}, "right"),
        ({"texts": ["one"], "said": ["1 row skipped"]}, "said"),
        ({"texts": ["one"], "said": []}, "silent"),
        ({"columns": [["one", "two", "three"]]}, "silent"),
        ({"columns": [["two", "one"]]}, "silent"),
        ({"error": "no"}, "error"),
    ],
)
def test_a_reader_is_right_where_the_texts_come_out_whole_and_in_order(found: dict[str, object], verdict: str) -> None:
    assert tables.judged(found, RIGHT, table=True) == verdict


def test_what_is_no_table_has_to_come_out_as_its_text() -> None:
    assert tables.judged({"texts": ["a, ", "b"]}, ("a, b",), table=False) == "right"
    assert tables.judged({"columns": [["a, b"]]}, ("a, b",), table=False) == "silent"


def test_every_file_holds_its_texts_and_no_two_are_the_same() -> None:
    made = tables.cases()
    assert len(made) >= 60 and len({(one.name, one.data) for one in made.values()}) == len(made)
    assert all(one.texts and len(set(one.texts)) == len(one.texts) for one in made.values())


def test_all_files_are_read_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    few = dict(list(tables.cases().items())[:3])
    few["none"] = tables.case("id,text\n1,a text\n", ("another",))
    monkeypatch.setattr(tables, "cases", lambda: few)
    monkeypatch.setattr(tables, "READERS", ("csv",))
    tables.main(["--out", str(tmp_path), "--peers-python", sys.executable])
    facts = json.loads((tmp_path / "tables.json").read_text())
    assert facts["files"] == 4 and facts["results"]["daybreak"]["none"] == "silent"
    assert facts["versions"]["csv"] == sys.version.split()[0]
    shown = capsys.readouterr().out
    assert "none: silent" in shown and "| daybreak | 3 | 0 | 1 |" in shown and "| csv | 2 | 0 | 2 |" in shown
