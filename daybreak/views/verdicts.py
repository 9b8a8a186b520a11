"""Verdicts: a comparison in words, for a terminal and as a page; see stages/compare.py."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak.core import failures, units
from daybreak.core.errors import UsageError
from daybreak.views import pages

if TYPE_CHECKING:
    from rich.console import Console

Words = dict[str, str]

NONE = "-"
MOST_ROWS = 8  # of decisions that differ between families, on a terminal
_LABEL = 24  # characters of a run's name that stay on one line
_GAP = 3  # characters between columns


def words(language: str) -> Words:
    """Raises UsageError: an unknown language."""
    return pages.words(language, "compare.json")


def sentence(verdict: dict[str, Any], facts: dict[str, Any], said: Words) -> str:
    """One verdict with its interval; where it cannot be told and the interval does not show why, the reason."""
    difference, low, high = (verdict[name] for name in ("difference", "low", "high"))
    named = {"run": verdict["run"], "than": verdict["than"], "unit": said[f"unit {facts['headline']}"]}
    if verdict["verdict"] == "better":
        return said["better"].format(amount=f"{-difference:.4f}", low=f"{-high:.4f}", high=f"{-low:.4f}", **named)
    if verdict["verdict"] == "worse":
        return said["worse"].format(amount=f"{difference:.4f}", low=f"{low:.4f}", high=f"{high:.4f}", **named)
    signed = {"difference": f"{difference:+.4f}", "low": f"{low:+.4f}", "high": f"{high:+.4f}"}
    line = said["cannot tell"].format(**signed, **named)
    reason = ""
    if low == high == 0:
        reason = said["equal"]
    elif facts["text"]["units"] < facts["method"]["least_units"]:
        reason = said["too little"].format(units=facts["text"]["units"], least=facts["method"]["least_units"])
    elif not low <= 0 <= high:
        reason = said["by chance"].format(tests=len(facts["verdicts"]), p=f"{verdict['adjusted_p']:.3f}")
    return f"{line}; {reason}" if reason else line


def remarks(facts: dict[str, Any], said: Words) -> list[str]:
    """What a reader has to know beside the verdicts: on which text, how many comparisons, what they do not tell."""
    text = facts["text"]
    of = ", ".join(text["on"]) or said["held-out"]
    drawn = said[text["kind"]].format(documents=f"{text['documents']:,}", units=f"{text['units']:,}")
    lines = [said["judged on"].format(bytes=units.size(text["bytes"]), text=of, units=drawn)]
    if not text["whole"]:
        lines.append(said["part"])
    for run, files in facts["seen_in_training"].items():
        lines.append(said["seen"].format(run=run, files=", ".join(files)))
    if len(facts["verdicts"]) > 1:
        lines.append(said["several"].format(tests=len(facts["verdicts"])))
    return [*lines, said["caveat"]]


def groups(facts: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The verdicts by the figure that they judge: "alone", and "kept" where a run has a mixture."""
    by_figure: dict[str, list[dict[str, Any]]] = {}
    for verdict in facts["verdicts"]:
        by_figure.setdefault(verdict["figure"], []).append(verdict)
    return list(by_figure.items())


def show(facts: dict[str, Any], said: Words, console: "Console") -> None:
    """The figures, what differs, and the verdicts, on a terminal of any width; the page and --json have all of it."""
    console.print(_figures(facts, said, console.width))
    if facts["differences"]:
        _show_differences(facts, said, console)
    else:
        console.print(f"\n{said['no differences']}")
    styles = {"better": "green", "worse": "red", "cannot tell": "yellow"}
    soft = not console.is_terminal  # lines of a file stay whole
    for figure, verdicts in groups(facts):
        console.print(f"\n{said[figure]}", style="bold", markup=False, highlight=False)
        for verdict in verdicts:
            line = sentence(verdict, facts, said)
            console.print(f"  {line}", style=styles[verdict["verdict"]], markup=False, highlight=False, soft_wrap=soft)
    console.print()
    for line in remarks(facts, said):
        console.print(line, markup=False, highlight=False, soft_wrap=soft)


def _figures(facts: dict[str, Any], said: Words, width: int) -> Any:
    """A row a run, with as many of the figures as the width has room for, the most telling first."""
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    runs = facts["runs"]
    columns = {
        "alone column": [_bits(run["alone"]) for run in runs],
        "mixed column": [_bits(run["mixed"]) for run in runs],
        "seconds": [units.duration(run["seconds"]) for run in runs],
        "tokens": [_count(run["tokens"]) for run in runs],
        "parameters": [said["counts"] if run["parameters"] is None else _count(run["parameters"]) for run in runs],
        "tokens per second": [_count(run["tokens_per_second"]) for run in runs],
        "vocabulary": [_count(run["vocabulary"]) for run in runs],
    }
    columns = {name: cells for name, cells in columns.items() if set(cells) != {NONE}}
    labels = [run["label"] for run in runs]
    room = width - 2 - min(_LABEL, max(map(cell_len, (said["run"], *labels))))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(said["run"], overflow="fold")
    shown = [labels]
    for name, cells in columns.items():
        room -= _GAP + max(map(cell_len, (said[name], *cells)))
        if room < 0:
            break
        table.add_column(said[name], justify="right", no_wrap=True)
        shown.append(cells)
    for row in zip(*shown, strict=True):
        table.add_row(*map(Text, row))
    return table


def _show_differences(facts: dict[str, Any], said: Words, console: "Console") -> None:
    """The decisions that differ; between families, whose plans have hardly one in common, the first few of all."""
    shared, apart = _by_family(facts)
    shown = shared[:MOST_ROWS] if apart else shared
    if shown:
        console.print(_differences({**facts, "differences": shown}, said))
    techniques = [row for row in apart if row["name"].startswith("techniques.")]
    for run in facts["runs"]:
        only = [row["name"].split(".")[1] for row in techniques if row["values"][run["label"]] is True]
        names = ", ".join(dict.fromkeys(only))
        if names:
            line = said["techniques of"].format(run=run["label"], names=names)
            console.print(line, markup=False, highlight=False)
    left_out = len(shared) + len(apart) - len(shown) - len(techniques)
    if left_out > 0:
        console.print(said["more decisions"].format(n=left_out), markup=False, highlight=False, style="dim")


def _by_family(facts: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The decisions that differ and that all runs have made; and, between families, those that not all could make."""
    rows = facts["differences"]
    if len({run["family"] for run in facts["runs"]}) == 1:
        return rows, []
    apart = [row for row in rows if row["name"].startswith("techniques.") or None in row["values"].values()]
    return [row for row in rows if row not in apart], apart


def _differences(facts: dict[str, Any], said: Words) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(said["differences"], overflow="fold")
    for run in facts["runs"]:
        table.add_column(Text(run["label"]), overflow="fold")
    for row in facts["differences"]:
        values = [_value(row["name"], row["values"][run["label"]], said) for run in facts["runs"]]
        table.add_row(*map(Text, [row["name"], *values]))
    return table


def _value(name: str, value: Any, said: Words) -> str:
    if name.startswith("techniques.") and name.count(".") == 1:
        return said["on"] if value else said["off"]
    if value is None:
        return NONE
    if isinstance(value, bool):
        return said["yes"] if value else said["no"]
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


# The page


def page(facts: dict[str, Any], *, language: str = "en") -> str:
    """One self-contained HTML page. Raises UsageError: an unknown language."""
    said = words(language)
    shared, apart = _by_family(facts)

    def rows(differences: list[dict[str, Any]]) -> list[list[str]]:
        return [
            [row["name"], *(_value(row["name"], row["values"][run["label"]], said) for run in facts["runs"])]
            for row in differences
        ]

    shown = {
        **facts,
        "verdicts": [{**verdict, "sentence": sentence(verdict, facts, said)} for verdict in facts["verdicts"]],
        "remarks": [*facts.get("notes", ()), *remarks(facts, said)],
        "how": said["method"].format(resamples=f"{facts['method']['resamples']:,}", seed=facts["method"]["seed"]),
        "rows": rows(shared),
        "rows_apart": rows(apart),
        "times": [units.duration(run["seconds"]) for run in facts["runs"]],
    }
    whole = pages.filled(
        title=said["title"],
        language=language,
        script="compare.js",
        data={"facts": shown, "words": said},
    )
    return whole.replace("</style>", f"{pages.web('compare.css')}</style>", 1)


def write_page(facts: dict[str, Any], out: str, *, language: str = "en") -> Path:
    """Raises UsageError: no .html, an unknown language, or a place that may not be written."""
    path = Path(out)
    if path.suffix not in (".html", ".htm"):
        raise UsageError(
            "the comparison page must be an .html file",
            received=f"--out {out}",
            attempt=f"--out {path.with_suffix('.html')}",
        )
    text = page(facts, language=language)
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise failures.of_system(
            error, what="the page cannot be written", place=path, attempt="--out with a file that you may write"
        ) from None
    return path
