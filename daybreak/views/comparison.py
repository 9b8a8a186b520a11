"""Comparison: what `daybreak compare` and scores on tasks show, on a terminal and as a page."""

from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.core import failures, units
from daybreak.core.errors import UsageError
from daybreak.core.messages import localized
from daybreak.core.terminal import padded
from daybreak.core.values import Json
from daybreak.views import pages

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Words = dict[str, str]

NONE = "-"
MOST_ROWS = 8  # of decisions that differ between families, on a terminal
_LABEL = 24  # characters of a run's name that stay on one line
_GAP = 3  # characters between columns
STYLES = {"better": "green", "worse": "red", "cannot tell": "yellow"}
SCORE_NAMES = {
    "accuracy": "accuracy",
    "accuracy_by_bytes": "accuracy, by bytes",
    "perplexity": "perplexity",
    "nats": "nats per question",
}
TASK_KINDS = {"pairs": "pairs", "choices": "multiple choice", "schema": "schemas", "last_words": "last words"}


def page_words(language: str) -> Words:
    """Raises UsageError: an unknown language."""
    return pages.words(language, "compare.json")


def sentence(verdict: Json, facts: Json, words: Words) -> str:
    """One verdict with its interval; where it cannot be told and the interval does not show why, the reason."""
    difference, low, high = (verdict[name] for name in ("difference", "low", "high"))
    unit = words.get(
        f"unit.{facts['headline']}", facts["headline"].replace("_", " ")
    )  # a metric from outside has no words
    named = {"run": verdict["run"], "than": verdict["than"], "unit": unit}
    if verdict["verdict"] == "better":
        return words["better"].format(amount=f"{-difference:.4f}", low=f"{-high:.4f}", high=f"{-low:.4f}", **named)
    if verdict["verdict"] == "worse":
        return words["worse"].format(amount=f"{difference:.4f}", low=f"{low:.4f}", high=f"{high:.4f}", **named)
    signed = {"difference": f"{difference:+.4f}", "low": f"{low:+.4f}", "high": f"{high:+.4f}"}
    line = words["cannot tell"].format(**signed, **named)
    reason = ""
    if low == high == 0:
        reason = words["equal"]
    elif facts["text"]["units"] < facts["method"]["least_units"]:
        reason = words["too little"].format(units=facts["text"]["units"], least=facts["method"]["least_units"])
    elif not low <= 0 <= high:
        reason = words["by chance"].format(tests=len(facts["verdicts"]), p=f"{verdict['adjusted_p']:.3f}")
    return f"{line}; {reason}" if reason else line


def remarks(facts: Json, words: Words) -> list[str]:
    """What a reader has to know beside the verdicts: on which text, how many comparisons, what they do not tell."""
    text = facts["text"]
    of = ", ".join(text["on"]) or words["held-out"]
    drawn = words[text["kind"]].format(documents=f"{text['documents']:,}", units=f"{text['units']:,}")
    lines = [words["judged on"].format(bytes=units.size(text["bytes"]), text=of, units=drawn)]
    if not text["whole"]:
        lines.append(words["part"])
    for run, files in facts["seen_in_training"].items():
        lines.append(words["seen"].format(run=run, files=", ".join(files)))
    if len(facts["verdicts"]) > 1:
        lines.append(words["several"].format(tests=len(facts["verdicts"])))
    return [*lines, words["caveat"]]


def groups(facts: Json) -> list[tuple[str, list[Json]]]:
    """The verdicts by the figure that they judge: "alone", and "kept" where a run has a mixture."""
    by_figure: dict[str, list[Json]] = {}
    for verdict in facts["verdicts"]:
        by_figure.setdefault(verdict["figure"], []).append(verdict)
    return list(by_figure.items())


def show(facts: Json, words: Words, console: "Console") -> None:
    """The figures, what differs, and the verdicts, on a terminal of any width; the page and --json have all of it."""
    console.print(_figures(facts, words, console.width))
    if facts["differences"]:
        _show_differences(facts, words, console)
    else:
        console.print(f"\n{words['no differences']}")
    soft = not console.is_terminal  # lines of a file stay whole
    for figure, verdicts in groups(facts):
        console.print(f"\n{words[figure]}", style="bold", markup=False, highlight=False)
        for verdict in verdicts:
            line = sentence(verdict, facts, words)
            console.print(f"  {line}", style=STYLES[verdict["verdict"]], markup=False, highlight=False, soft_wrap=soft)
    console.print()
    for line in remarks(facts, words):
        console.print(line, markup=False, highlight=False, soft_wrap=soft)


def _figures(facts: Json, words: Words, width: int) -> "Table":
    """A row a run, with as many of the figures as the width has room for, the most telling first."""
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    runs = facts["runs"]
    columns = {
        "alone column": [_bits(run["alone"]) for run in runs],
        "mixed column": [_bits(run["mixed"]) for run in runs],
        "seconds": [localized(units.duration(run["seconds"])) for run in runs],
        "tokens": [_count(run["tokens"]) for run in runs],
        "parameters": [words["counts"] if run["parameters"] is None else _count(run["parameters"]) for run in runs],
        "tokens per second": [_count(run["tokens_per_second"]) for run in runs],
        "vocabulary": [_count(run["vocabulary"]) for run in runs],
    }
    columns = {name: cells for name, cells in columns.items() if set(cells) != {NONE}}
    labels = [run["label"] for run in runs]
    room = width - 2 - min(_LABEL, max(map(cell_len, (words["run"], *labels))))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(words["run"], overflow="fold")
    shown = [labels]
    for name, cells in columns.items():
        room -= _GAP + max(map(cell_len, (words[name], *cells)))
        if room < 0:
            break
        table.add_column(words[name], justify="right", no_wrap=True)
        shown.append(cells)
    for row in zip(*shown, strict=True):
        table.add_row(*map(Text, row))
    return table


def _show_differences(facts: Json, words: Words, console: "Console") -> None:
    """The decisions that differ; between families, whose plans have hardly one in common, the first few of all."""
    shared, apart = _by_family(facts)
    shown = shared[:MOST_ROWS] if apart else shared
    if shown:
        console.print(_differences({**facts, "differences": shown}, words))
    techniques = [row for row in apart if row["name"].startswith("techniques.")]
    for run in facts["runs"]:
        only = [row["name"].split(".")[1] for row in techniques if row["values"][run["label"]] is True]
        names = ", ".join(dict.fromkeys(only))
        if names:
            line = words["techniques of"].format(run=run["label"], names=names)
            console.print(line, markup=False, highlight=False)
    left_out = len(shared) + len(apart) - len(shown) - len(techniques)
    if left_out > 0:
        console.print(words["more decisions"].format(n=left_out), markup=False, highlight=False, style="dim")


def _by_family(facts: Json) -> tuple[list[Json], list[Json]]:
    """The decisions that differ and that all runs have made; and, between families, those that not all could make."""
    rows = facts["differences"]
    if len({run["family"] for run in facts["runs"]}) == 1:
        return rows, []
    apart = [row for row in rows if row["name"].startswith("techniques.") or None in row["values"].values()]
    return [row for row in rows if row not in apart], apart


def _differences(facts: Json, words: Words) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(words["differences"], overflow="fold")
    for run in facts["runs"]:
        table.add_column(Text(run["label"]), overflow="fold")
    for row in facts["differences"]:
        values = [_value(row["name"], row["values"][run["label"]], words) for run in facts["runs"]]
        table.add_row(*map(Text, [row["name"], *values]))
    return table


def _value(name: str, value: object, words: Words) -> str:
    if name.startswith("techniques.") and name.count(".") == 1:
        return words["on"] if value else words["off"]
    if value is None:
        return NONE
    if isinstance(value, bool):
        return words["yes"] if value else words["no"]
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _bits(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _count(value: float | None) -> str:
    """Three digits of a large number: 1.01M."""
    if value is None:
        return NONE
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= 9.9995 * unit or (unit > 1e3 and value >= 0.9995 * unit):
            return f"{value / unit:#.3g}".rstrip(".") + name
    return f"{value:,.0f}"


# Scores on tasks


def task_lines(facts: Json) -> list[str]:
    """The lines that `daybreak evaluate --task` and `--lm-eval` print."""
    found: list[str] = []
    for task in facts["tasks"]:
        found += ["" if found else f"{facts['needs']}, {facts['method']['likelihood']}", localized(task_head(task))]
        for name, score in task["scores"].items():
            found.append(f"  {padded(localized(SCORE_NAMES.get(name, name)), 22)} {localized(score_interval(score))}")
        if task.get("parts"):
            found.append(localized("  accuracy by part"))
            found += [
                f"    {name:36} {localized(score_interval(part['accuracy']))}  {part['items']:,}"
                for name, part in task["parts"].items()
            ]
    return found


def task_head(task: Json) -> str:
    """A task's name, the number and kind of its questions, and the accuracy of guessing."""
    items, whole = task["items"], task.get("items_in_file", task["items"])
    of = "" if items == whole else f" of {whole:,}, evenly spread"
    line = f"{task['name']}: {items:,}{of}, {TASK_KINDS.get(task['kind'], task['kind'])}"
    if task.get("chance"):
        line += f"; chance is {task['chance']:.4f}"
    if task.get("cut"):
        line += f"; in {task['cut']:,} the beginning of the context did not fit and was left out"
    return line


def score_interval(score: Json) -> str:
    if score.get("low") is None:
        return _score(score["value"])
    return f"{_score(score['value'])}  (95% interval {_score(score['low'])} to {_score(score['high'])})"


def _score(value: object) -> str:
    """Perplexities go into the millions, and lm-eval has figures that are no numbers."""
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.0f}"


def show_tasks(facts: Json, words: Words, console: "Console") -> None:
    """Prints the scores of every run on every task, and the verdicts. words: see `page_words`."""
    for task in facts["tasks"]:
        console.print(localized(f"\n{task_head(task | {'cut': 0})}"), style="bold", markup=False, highlight=False)
        for label, found in task["runs"].items():
            for name, score in found["scores"].items():
                named = padded(localized(SCORE_NAMES[name]), 22)
                line = f"  {padded(label, 24)} {named} {localized(score_interval(score))}"
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        for verdict in facts["verdicts"]:
            if verdict["task"] == task["name"]:
                line = f"  {task_sentence(verdict, facts, words)}"
                console.print(line, style=STYLES[verdict["verdict"]], markup=False, highlight=False, soft_wrap=True)
    if len(facts["verdicts"]) > 1:
        console.print(f"\n{words['several'].format(tests=len(facts['verdicts']))}", markup=False, highlight=False)
    console.print(words["caveat of tasks"], markup=False, highlight=False, soft_wrap=True)


def task_sentence(verdict: Json, facts: Json, words: Words) -> str:
    """One verdict with its interval; where it cannot be told and the interval does not show why, the reason."""
    signed = {name: f"{verdict[name]:+.4f}" for name in ("difference", "low", "high")}
    named = {"run": verdict["run"], "than": verdict["than"], "score": words[f"score {verdict['score']}"]}
    line = words[f"{verdict['verdict']} at tasks"].format(**named, **signed)
    reason = ""
    if verdict["low"] == verdict["high"] == 0:
        reason = words["equal answers"]
    elif verdict["verdict"] == "cannot tell" and verdict["units"] < facts["method"]["least_units"]:
        reason = words["too few questions"].format(units=verdict["units"], least=facts["method"]["least_units"])
    elif verdict["verdict"] == "cannot tell" and not verdict["low"] <= 0 <= verdict["high"]:
        reason = words["by chance"].format(tests=len(facts["verdicts"]), p=f"{verdict['adjusted_p']:.3f}")
    return f"{line}; {reason}" if reason else line


# The page


def page(facts: Json, *, language: str = "en") -> str:
    """One self-contained HTML page. Raises UsageError: an unknown language."""
    words = page_words(language)
    shared, apart = _by_family(facts)

    def rows(differences: list[Json]) -> list[list[str]]:
        return [
            [row["name"], *(_value(row["name"], row["values"][run["label"]], words) for run in facts["runs"])]
            for row in differences
        ]

    shown = {
        **facts,
        "verdicts": [{**verdict, "sentence": sentence(verdict, facts, words)} for verdict in facts["verdicts"]],
        "remarks": [*facts.get("notes", ()), *remarks(facts, words)],
        "how": words["method"].format(resamples=f"{facts['method']['resamples']:,}", seed=facts["method"]["seed"]),
        "rows": rows(shared),
        "rows_apart": rows(apart),
        "times": [units.duration(run["seconds"]) for run in facts["runs"]],
    }
    whole = pages.filled(
        title=words["title"],
        language=language,
        script="compare.js",
        data={"facts": shown, "words": words},
    )
    return whole.replace("</style>", f"{pages.web('compare.css')}</style>", 1)


def write_page(facts: Json, out: str, *, language: str = "en") -> Path:
    """Raises UsageError: no .html, an unknown language, or a place that may not be written."""
    path = Path(out)
    if path.suffix not in (".html", ".htm"):
        raise UsageError(
            "the comparison page must be an .html file",
            received=f"--out {out}",
            attempt=f"write it like --out {path.with_suffix('.html')}",
        )
    text = page(facts, language=language)
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise failures.of_system(
            error, what="the page cannot be written", place=path, attempt="name a file that you may write with --out"
        ) from None
    return path
