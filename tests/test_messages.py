"""Messages: the terminal in Chinese, from one table that has a line for every sentence that is shown."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

import daybreak
from daybreak import cli
from daybreak.core import errors, messages
from daybreak.core.messages import error_text, language, localized
from daybreak.core.records import Event, Sample, Validation
from daybreak.views.progress import Progress
from daybreak.views.terminal import plan_lines

PACKAGE = Path(daybreak.__file__).parent
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
GROUP = typer.main.get_command(cli.app)
# Made of what other functions say; each of those has its own line, or is about a file of ours that somebody changed.
COMPOSED = {"{} in {}", "{}: {}"}
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(messages.VARIABLE, "zh")


def template(node: ast.expr) -> str | None:
    """A sentence of the source with {} for each field; None where it is not written out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def sentences_of_errors() -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in KINDS and (told := template(node.args[0])):
                    yield told


def test_every_error_has_its_line() -> None:
    found = set(sentences_of_errors()) - COMPOSED
    assert len(found) > 200
    assert [told for told in sorted(found) if not CHINESE.search(localized(told.replace("{}", "X1"), "zh"))] == []


def test_every_word_of_the_help_has_its_line() -> None:
    told = [listed.told for listed in cli.COMMANDS.values()] + [listed.heading for listed in cli.COMMANDS.values()]
    told += ["Arguments", "Example", "Options", "Other options"]
    for command in (GROUP, *GROUP.commands.values()):
        told.append(" ".join(command.help.split()))
        for parameter in command.params:
            told += [getattr(parameter, "help", None) or "", getattr(parameter, "rich_help_panel", None) or ""]
    told = [text for text in told if text]
    assert len(told) > 150
    assert [text for text in told if not CHINESE.search(localized(text, "zh"))] == []


def test_help_is_printed_in_chinese(chinese, capsys) -> None:
    assert cli.answered(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "时间预算" in shown and "Time budget" not in shown
    assert cli.answered(["--help"]) == 0
    assert "写出运行的 HTML 报告" in capsys.readouterr().out


def test_an_error_is_told_in_chinese_in_three_parts(chinese, capsys) -> None:
    assert cli.answered(["run", "novel.txt", "--for", "soon"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "错误：时间预算不是一段时长"
    assert told[1] == "  收到：--for soon"
    assert told[2].startswith("  建议：带单位的数，如 --for 90s")


def test_a_part_of_an_error_that_looks_like_another_stays_where_it_is() -> None:
    odd = errors.UsageError("unknown device", received="a\n  try: b\n  received: c", attempt="cpu")
    assert error_text(odd, "zh") == "错误：未知的设备\n  收到：a\n  try: b\n  received: c\n  建议：cpu"


def test_the_progress_of_a_run_is_told_in_chinese(plan, machine, chinese) -> None:
    lines: list[str] = []
    shown = Progress(write=lines.append, live=False)
    for phase in ("scan", "probe", "encode", "train"):
        shown.phase(phase)
    shown.planned(plan(), machine())
    shown.record(Validation(step=5, progress=0.5, used_seconds=3.0, figure=1.5, perplexity=9.0, bytes=30_000, tokens=9))
    shown.record(Sample(progress=0.5, used_seconds=3.0, prompt="a", text="b"))
    shown.record(Event(name="resumed", used_seconds=61.0, detail={"step": 7}))
    assert len(lines) >= 9
    assert [line for line in lines if not CHINESE.search(line)] == []
    assert "从第 7 步继续，已用 1 分 01 秒" in lines
    english = re.compile(r"\b(held out|plan|expected|tokens at|layers of|sample|used)\b")
    assert [line for line in lines if english.search(line)] == []


def test_the_reasons_of_a_plan_are_told_in_chinese(plan, chinese) -> None:
    reasons = (
        "2 layers of 128: predicted 1.633 bits per byte; next best size (2 layers of 192): 1.702",
        "predicted 1.24 bits per byte; n-gram counts reached 1.52 on 6 MB; --family ngram may be the better model in "
        "this time",
        "9.63 million tokens at 8,359 per second: 3.47 epochs, 2.8 tokens per parameter",
        "BPE with 4,096 tokens, 3.81 bytes each; the output layer has 30% of the matrix parameters",
        "256 tokens; 512 pay off in runs of about 10 million tokens or more",
        "8 sequences at a time: 2,048 tokens keep the machine busy and still fit its caches",
        "4,096 tokens per step: the smallest batch that keeps the machine busy",
        "linear: the learning rate falls linearly over the last 70% of the run to 5% of its peak",
        "1.5 s for the final score, 0.75 s for scores during training",
    )
    for reason in reasons:
        assert CHINESE.search(localized(reason)), reason
        assert sorted(re.findall(r"\d+(?:\.\d+)?", reason)) == sorted(re.findall(r"\d+(?:\.\d+)?", localized(reason)))
    lines = localized("\n".join(plan_lines(plan())))
    assert "理由" in lines and "训练技术" in lines


def test_the_conclusion_is_told_in_chinese(chinese) -> None:
    told = localized(
        "Best result: the network with its n-gram counts, 1.19 bits per byte; n-gram model alone 1.30, network alone "
        "1.87. `generate` uses both by default. More time or text would help the network, which is still behind the "
        "n-gram model; --family ngram alone takes a fraction of the time."
    )
    assert told.startswith("最好的结果：网络叠加 n-gram 统计，1.19 bits per byte；仅 n-gram 模型 1.30，仅网络 1.87。")
    assert not re.search(r"[a-z]{4,} [a-z]{2,} [a-z]{3,}", told.replace("bits per byte", ""))


def test_what_has_no_line_stays_in_english(chinese) -> None:
    for told in ("", "  ", "no line for this", "a, b; c. d.", "1.5", "/a/b; c"):
        assert localized(told) == told


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "DAYBREAK_LANGUAGE": "en"}, "en"),
        ({"DAYBREAK_LANGUAGE": "zh"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
    ids=str,
)
def test_the_language_is_that_of_the_locale(monkeypatch, environment, wanted) -> None:
    for name in (messages.VARIABLE, *messages.LOCALE):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert language() == wanted


def test_the_table_fills_every_field_that_it_takes() -> None:
    table = json.loads(messages.TABLE.read_text(encoding="utf-8"))
    for english, line in table.items():
        assert set(re.findall(r"\{(\w+)", line)) <= set(re.findall(r"\{(\w+)", english)), english
        held = set(re.findall(r"\{(\w+)", english)) - set(re.findall(r"\{(\w+)", line))
        assert not held, f"{english!r} loses {held}"
