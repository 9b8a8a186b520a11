"""Verdicts: a comparison in words, for a terminal and as a page; see stages/compare.py."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak.core import failures, units
from daybreak.core.errors import UsageError
from daybreak.views import pages

if TYPE_CHECKING:
    from rich.console import Console

Words = dict[str, str]


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
        lines.append(said["beginning"])
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
    """The figures, what differs, and the verdicts, on a terminal."""
    console.print(_figures(facts, said))
    if facts["differences"]:
        console.print(_differences(facts, said))
    else:
        console.print(f"\n{said['no differences']}")
    styles = {"better": "green", "worse": "red", "cannot tell": "yellow"}
    for figure, verdicts in groups(facts):
        console.print(f"\n{said[figure]}", style="bold", markup=False, highlight=False)
        for verdict in verdicts:
            line = sentence(verdict, facts, said)
            console.print(f"  {line}", style=styles[verdict["verdict"]], markup=False, highlight=False, soft_wrap=True)
    console.print()
    for line in remarks(facts, said):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _figures(facts: dict[str, Any], said: Words) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(said["run"], overflow="fold")
    for name in ("alone column", "mixed column", "seconds", "tokens", "tokens per second", "parameters", "vocabulary"):
        table.add_column(said[name], justify="right")
    table.add_column(said["techniques"], overflow="fold")
    for run in facts["runs"]:
        cells = [
            run["label"],
            _bits(run["alone"]),
            _bits(run["mixed"]),
            units.duration(run["seconds"]),
            _count(run["tokens"]),
            _count(run["tokens_per_second"]),
            said["counts"] if run["parameters"] is None else _count(run["parameters"]),
            f"{run['vocabulary']:,}",
            " ".join(run["techniques"]) or said["none"],
        ]
        table.add_row(*map(Text, cells))
    return table


def _differences(facts: dict[str, Any], said: Words) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(said["differences"])
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
        return "-"
    if isinstance(value, bool):
        return said["yes"] if value else said["no"]
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _bits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


# The page


def page(facts: dict[str, Any], *, language: str = "en") -> str:
    """One self-contained HTML page. Raises UsageError: an unknown language."""
    said = words(language)
    shown = {
        **facts,
        "verdicts": [{**verdict, "sentence": sentence(verdict, facts, said)} for verdict in facts["verdicts"]],
        "remarks": remarks(facts, said),
        "how": said["method"].format(resamples=f"{facts['method']['resamples']:,}", seed=facts["method"]["seed"]),
        "rows": [
            [row["name"], *(_value(row["name"], row["values"][run["label"]], said) for run in facts["runs"])]
            for row in facts["differences"]
        ],
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
    """Raises UsageError: no .html, or an unknown language. ResourceError: nowhere to write."""
    path = Path(out)
    if path.suffix not in (".html", ".htm"):
        raise UsageError(
            "a comparison is an HTML page", received=f"--out {out}", attempt=f"--out {path.with_suffix('.html')}"
        )
    text = page(facts, language=language)
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise failures.of_system(
            error, what="the page cannot be written", place=path, attempt="--out with a file that you may write"
        ) from None
    return path
