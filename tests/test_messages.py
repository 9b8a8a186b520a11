"""Messages: the terminal in Chinese, from one table that has a line for every sentence that is shown."""

from __future__ import annotations

import ast
import functools
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.main
from rich.console import Console

import daybreak
from daybreak import cli
from daybreak.core import errors, messages
from daybreak.core.messages import error_text, language, localized
from daybreak.core.records import Event, Sample, Validation
from daybreak.views import comparison, listing
from daybreak.views.progress import Progress
from daybreak.views.terminal import fact_lines, plan_lines

PACKAGE = Path(daybreak.__file__).parent
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
GROUP = typer.main.get_command(cli.app)
# Made of what other functions say; each of those has its own line, or is about a file of ours that somebody changed.
COMPOSED = {"{} in {}", "{}: {}", "{}"}
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(messages.VARIABLE, "zh")


# Files whose sentences are no messages: what is written into files of its own language, and what nobody is shown.
OTHER_TEXT = {
    "core/request.py": "help, which has a test of its own",
    "data/language.py": "common words of languages",
    "data/formats/documents/wiki_names.py": "names in wikitext",
    "data/formats/code.py": "words of programming languages",
    "data/formats/detection.py": "names of languages and of encodings",
    "data/formats/rows/dialect.py": "names of columns",
    "data/formats/documents/docx.py": "elements of XML",
    "data/formats/documents/general.py": "elements of XML",
    "data/formats/documents/hypertext.py": "elements of HTML",
    "data/formats/documents/opendocument.py": "elements of XML",
    "data/formats/documents/publishing.py": "elements of XML",
    "data/formats/documents/roff.py": "macros of roff",
    "data/formats/documents/rtf.py": "words of RTF",
    "data/formats/latex/commands.py": "commands of LaTeX",
    "data/page_body.py": "elements of HTML",
    "data/page_text.py": "elements of HTML",
    "data/pages.py": "elements of HTML",
    "data/personal.py": "patterns of secrets",
    "data/tokenizers/layout.py": "patterns of tokenizers",
    "data/tokenizers/words.py": "patterns of tokenizers",
    "engine/faults.py": "faults that tests inject",
    "evaluation/conclusion.py": "put together there; every conclusion has a test below",
    "evaluation/parity.py": "prompts",
    "models/families/": "model cards, in English",
    "planning/reasons.py": "put together there; every reason has a test below",
    "views/cards.py": "model cards, in English",
    "views/progress.py": "put together there; every line has a test below",
    "views/snippets.py": "model cards, in English",
}
# Parts of sentences that are made where they stand, and words that are compared and not shown.
PARTS = {
    "<daybreak.Model of {}: {}, {}{} tokens>",
    "Input should be",
    "it should be",
    "input should be",
    "{} of order {} over {}s",
    "{}{}, {} of the bytes",
    "{}{}: {}",
    "{} read in part: {} ({}{})",
    "{} in a doubtful encoding: {} ({})",
    "{}{} {} skipped: {}{}",
    "held-out text of ",
    "no space left",
    "write one JSON object on each line, with the fields ",
    "{}{} with the special tokens {}",
    "{}{}{}",
    "as little as there is",
    "the weights were exchanged",
    "of a sample",
    "[ Removed by Reddit ]",
    "of the process",
    "{} of the counts on average; each half of the text with the weights of the other",
    "log-likelihood of what fills a gap",
    "only {} is answered\n",
    "a plan to count n-grams",  # of an assertion
    "requests of other sites are refused\n",
    " of {}, evenly spread",
    "; in {} the beginning of the context did not fit and was left out",
    "caveat of tasks",
    "too few questions",
    "tokens per second",
    "{} of {} of held-out text ({})",
    "{}; `daybreak evaluate {}` scores all of it",
    "a sample of {}",
    "{} of held-out text",
    "all {} of held-out text",
    "{} of the held-out text",
    " (native: no; only daybreak can open it)",
    "{} or more runs of an evaluation",  # these two are kinds of counts that the page has words for
    "kept with fewer than {} runs of an evaluation",
    "bits per byte",
    "of masked tokens guessed",
    "nats a token of the spans",
    ", whose card names the licence {}",
    ", whose card names no licence",
}
SYSTEM = re.compile(
    r"memory|failed to map segment|start new thread|temporarily unavailable|compiler error|due to signal"
)
CODE = re.compile(r"\\|^\w+\[|^daybreak |\bimport |%s|%\(|\||\(\?|^[\w,]+$")
WORD = re.compile(r"(?<![\w.\-_/])[A-Za-z]?[a-z]+(?![\w_=/(\[])")


def template(node: ast.AST) -> str | None:
    """A sentence of the source with {} for each field; None where it is not written out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def untold(found: set[str]) -> list[str]:
    """Those without a line, whether their fields hold words or numbers."""
    filled = ((told, told.replace("{}", "X1"), told.replace("{}", "7")) for told in sorted(found))
    return [told for told, *forms in filled if not any(CHINESE.search(localized(form, "zh")) for form in forms)]


def sentences_of_errors(tree: ast.AST) -> Iterator[str]:
    """What is wrong and what to try, of each error that is made in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in KINDS:
            parts = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "attempt")]
            yield from filter(None, map(template, parts))


def sentences_of(tree: ast.AST, *, of_techniques: bool) -> Iterator[str]:
    """Every string of three words or more but docstrings; of a technique also without what its page says of it."""
    passed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) or (of_techniques and isinstance(node, ast.ClassDef)):
            of = [node.value] if isinstance(node, ast.Expr) else [one for one in node.body if hasattr(one, "value")]
            passed |= {id(inner) for one in of if not isinstance(one, ast.Call) for inner in ast.walk(one)}
        elif isinstance(node, ast.JoinedStr):
            passed |= {id(inner) for inner in ast.walk(node)} - {id(node)}
    for node in ast.walk(tree):
        told = template(node)
        if told and id(node) not in passed and len(WORD.findall(told.replace("{}", "X"))) >= 3:
            yield told


@functools.cache
def trees() -> tuple[tuple[str, ast.AST], ...]:
    """Every file of the package, by its path in it."""
    files = sorted(PACKAGE.rglob("*.py"))
    return tuple((one.relative_to(PACKAGE).as_posix(), ast.parse(one.read_text(encoding="utf-8"))) for one in files)


def test_every_error_has_its_lines() -> None:
    found = {told for _, tree in trees() for told in sentences_of_errors(tree)} - COMPOSED
    assert len(found) > 400
    commands = re.compile(r"`.*?`|--[a-z-]+|[a-z_]+=\S*")
    assert [told for told in untold(found) if re.search("[a-z]{3}", commands.sub("", told))] == []


def test_every_sentence_of_the_program_has_its_line_whichever_way_it_is_shown() -> None:
    """Warnings, reasons, refusals, findings, prompts, rows of tables: all that is no docstring, code or card."""
    found = {
        told
        for name, tree in trees()
        if not name.startswith(tuple(OTHER_TEXT))
        for told in sentences_of(tree, of_techniques=name.startswith("techniques/"))
        if not (CODE.search(told) or SYSTEM.search(told) or told in PARTS)
    }
    assert len(found) > 500
    assert untold(found) == []


@pytest.mark.parametrize(
    "code",
    [
        'bench.warn(f"the moon is {phase} tonight")',
        'def refuses(self):\n    return "the moon is not full"',
        'reasons["moon"] = f"{phase}: the moon is what counts"',
        'raise DataError("too little text", received="", attempt="wait for the moon")',
        'print("the moon is up")',
    ],
)
def test_a_sentence_without_a_line_is_found(code: str) -> None:
    tree = ast.parse(code)
    assert [told for told in untold(set(sentences_of(tree, of_techniques=True))) if "moon" in told]


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


ENGLISH = re.compile(r"(?<![\w./-])[a-z]{3,}(?![\w./-])")  # words that no name of a file or an option is a part of
KNOWN = {"bits", "per", "byte", "token", "gpt", "ngram", "bpe", "bf16", "model", "and", "net"}  # terms and names


def shown_of(print_to: Callable[[Console], object], width: int = 200) -> str:
    into = io.StringIO()
    print_to(Console(file=into, width=width, color_system=None))
    return into.getvalue()


def english_in(text: str) -> set[str]:
    return set(ENGLISH.findall(text)) - KNOWN


def test_facts_of_a_score_are_told_in_chinese(chinese) -> None:
    figures = {"bits_per_byte": 2.2, "bits_per_byte_interval": [2.1, 2.3], "perplexity": 64.7, "bytes": 9, "tokens": 3}
    mixed = {"needs": "model/ and mixture/", "weight_of_counts": 0.8, **figures, "bits_per_byte_interval": None}
    told = "\n".join(fact_lines({"run": "net", "needs": "model/", **figures, "mixture": mixed}))
    assert english_in(told) == set() and "95% 区间" in told and "2.1000 至 2.3000" in told
    columns = {len(line.encode("gb18030")) for line in fact_lines({"perplexity": 1.0, "bits_per_byte": 1.0})}
    assert len(columns) == 1, "a Chinese character takes two columns"


def test_the_table_of_runs_is_told_in_chinese(chinese) -> None:
    row = {"run": "net", "date": "2030-01-31 07:00", "state": "finished", "family": "gpt", "figure": 2.2}
    row |= {"figure_name": "masked_accuracy", "mixture": 1.5, "used_seconds": 89.0}
    told = shown_of(lambda console: listing.show([row, {**row, "state": "damaged"}], console))
    assert english_in(told.replace("accuracy", "")) == set() and "已完成" in told and "1 分 29 秒" in told


def test_answers_are_told_in_chinese(chinese) -> None:
    score = {"value": 0.5, "low": 0.4, "high": 0.6}
    task = {"name": "net", "items": 10, "items_in_file": 20, "kind": "choices", "chance": 0.25, "cut": 2}
    facts = {"needs": "model/", "method": {"likelihood": ""}, "tasks": [{**task, "scores": {"accuracy": score}}]}
    told = localized("\n".join(comparison.task_lines(facts)[1:]))
    assert english_in(told) == set() and "95% 区间 0.4000 至 0.6000" in told


def test_the_findings_of_a_text_are_told_in_chinese() -> None:
    for told in (
        "3 files skipped: binary, not text (a.bin, b.bin, c d.bin; 1.2 MB, 3.1% of the bytes)",
        "1 file read in part: the end is missing (a.gz)",
        "2 of 9 rows skipped: the column 'text' is empty",
        "12 left out: hidden (.a, .b)",
        "novel.csv: rows are exchanges, in the columns a and b",
    ):
        assert english_in(localized(told, "zh").replace("'text'", "").replace("c d.bin", "")) <= {"novel", "and"}, told


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
