"""Terminal: Chinese characters take two columns in help, in wrapped text and in tables."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from daybreak import cli
from daybreak.core.terminal import columns, wrapped

CHINESE = "在给定时间内训练尽可能好的语言模型，例如 daybreak run novel.txt --for 20m。默认：Python 自带的库。"


@pytest.mark.parametrize("text", ["plain", "训练", "mixed 训练，and", "（全角）", "e\u0301", ""])
def test_columns_are_those_of_a_terminal(text: str) -> None:
    assert columns(text) == cell_len(text)


@pytest.mark.parametrize("width", [12, 20, 33, 60])
def test_wrapped_lines_fit_and_nothing_is_lost(width: int) -> None:
    lines = wrapped(CHINESE, width)
    assert max(map(cell_len, lines)) <= width + 2, "only a sign that may begin no line hangs over"
    assert all(line[0] not in "，。：" for line in lines)
    assert "".join("".join(lines).split()) == "".join(CHINESE.split())
    assert len(lines) <= 1.4 * cell_len(CHINESE) / width + 1, "lines are filled"


def test_words_and_paths_are_not_broken() -> None:
    path = "/a/very/long/path/without/any/blank"
    assert wrapped(f"see {path} there", 12) == ["see", path, "there"]
    assert wrapped("", 12) == [""]


@pytest.mark.parametrize("command", [[], ["run"], ["generate"]])
@pytest.mark.parametrize("width", [64, 100])
def test_help_in_chinese_fits_the_terminal(
    command: list[str], width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAYBREAK_LANGUAGE", "zh")
    monkeypatch.setenv("COLUMNS", str(width))
    cli.app([*command, "--help"], standalone_mode=False)
    told = capsys.readouterr().out
    assert told.startswith("用法: ") and "Usage" not in told
    shown = [line for line in told.splitlines() if "novel" not in line]
    assert max(map(cell_len, shown)) <= width
    continued = [line for line in shown if re.match(r"\s{8,}\S", line)]
    assert continued or width == 100, "some help takes more than a line"
