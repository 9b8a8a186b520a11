"""Tests of benchmarks/charsets.py: what its cases are, and how they are judged."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import charsets  # noqa: E402

RUSSIAN = ["Съешь же ещё этих мягких французских булок", "да выпей чаю", "Вторая строка этого письма"]


@pytest.fixture
def catalogues(tmp_path: Path) -> Path:
    folder = tmp_path / "app" / "locale" / "ru" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    entries = ['msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n']
    entries += [f'msgid "{n}"\nmsgstr "{text} "\n"{n} <b>x</b>"\n' for n in range(40) for text in RUSSIAN]
    (folder / "app.po").write_text("\n".join(entries), encoding="utf-8")
    return tmp_path


def test_the_messages_are_the_translations(catalogues: Path) -> None:
    found = charsets.messages([catalogues], "ru")
    assert len(found) == 120 and found[0] == f"{RUSSIAN[0]} 0 x" and charsets.messages([catalogues], "el") == []


def test_cases_are_read_and_judged(catalogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charsets, "LANGUAGES", {"koi8_r": "ru el", "cp866": "ru"})
    made = list(charsets.cases([catalogues], sizes=(2_000,)))
    assert [(case.encoding, case.kind) for case in made] == [
        ("koi8_r", "prose"),
        ("koi8_r", "words"),
        ("cp866", "prose"),
        ("cp866", "words"),
    ]
    assert all(len(case.data) == 2_000 == len(case.text) for case in made)
    assert [charsets.outcome(case, tmp_path) for case in made] == ["right"] * 4
    other = charsets.Case("cp1251", "ru", "prose", 2_000, made[2].data, made[2].data.decode("cp1251", "replace"))
    assert charsets.outcome(other, tmp_path) == "wrong"
    noise = charsets.Case("cp866", "ru", "prose", 2_000, bytes(range(128, 256)) * 9, "")
    assert charsets.outcome(noise, tmp_path) == "refused"


def test_the_table_has_a_row_for_each_encoding_and_one_for_all(
    catalogues: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(charsets, "LANGUAGES", {"koi8_r": "ru"})
    charsets.main(["--data", str(catalogues)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| koi8-r | ru | 2 of 2 |") and lines[3].startswith("| **all** | | 100.0% |")
    assert '"cases": 6' in lines[4]


def test_vietnamese_is_written_with_its_tones_behind() -> None:
    assert charsets.encoded("ệ đ~", "cp1258").decode("cp1258") == "ê\u0323 đ~"
