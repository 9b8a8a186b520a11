"""Gains: what was measured of a run's techniques, as a table for a terminal; see stages/measure.py."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from daybreak.core import units
from daybreak.core.messages import localized
from daybreak.core.terminal import padded
from daybreak.core.values import Json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

HOW = {"eager": "eager", "compiled": "compiled", "kernels": "by the kernels"}
UNITS = {"bits/byte": "bits per byte", "nats/token": "nats per target"}
STEPS = {"faster": "faster steps", "slower": "slower steps", "as fast": "no faster steps seen"}
STYLES = {"gain": "green", "loss": "red", "no evidence": "yellow", "not measured": "dim"}


def show(found: Json, console: "Console") -> None:
    """The table, and what a reader has to know beside it. found: as in `measure.json`.

    Where the table does not fit the terminal, each of its rows is a paragraph.
    """
    table = _table(found)
    if console.measure(table, options=console.options.update(width=1000)).maximum <= console.width:
        console.print(table)
    else:
        for line in (line for row in found["rows"] for line in _paragraph(row)):
            console.print(line, markup=False, highlight=False)
    for line in map(localized, (*remarks(found), "", method(found))):
        console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)


def _table(found: Json) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(localized("with it"), overflow="fold")
    for name in (*_figures(found["rows"][0]), "seeds") if found["rows"] else ():
        table.add_column(localized(name), justify="right")
    table.add_column(localized("verdict"))
    for row in found["rows"]:
        cells = [localized(row["name"]), *map(localized, _figures(row).values()), str(row["seeds"])]
        table.add_row(*map(Text, cells), Text(localized(verdict_of(row)), style=STYLES.get(row["verdict"], "")))
    return table


def _figures(row: Json) -> dict[str, str]:
    return {
        "step time": interval(row["step_time"], "ratio", lambda ratio: f"{ratio - 1:+.1%}"),
        "loss at equal steps": interval(row["equal_steps"], "difference", lambda bits: f"{bits:+.4f}"),
        "loss at equal time": interval(row["equal_time"], "difference", lambda bits: f"{bits:+.4f}"),
        "time saved": interval(row["time_saved"], "share", lambda share: f"{share:+.1%}"),
    }


def _paragraph(row: Json) -> list[str]:
    """A row as lines of at most 60 characters; what was not measured is left out."""
    figures = {name: localized(told).replace("\n", " ") for name, told in _figures(row).items() if told != "-"}
    lines = [f"  {padded(localized(name), 20)}{told}" for name, told in {**figures, "seeds": row["seeds"]}.items()]
    return ["", f"{localized(row['name'])}: {localized(verdict_of(row))}", *lines]


def interval(figure: Json | None, name: str, shown: Callable[[float], str]) -> str:
    """'-0.0120 (-0.0150 to -0.0090)', or without the interval where one seed has no scatter."""
    if figure is None:
        return "-"
    if figure["low"] is None:
        return shown(figure[name])
    return f"{shown(figure[name])}\n({shown(figure['low'])} to {shown(figure['high'])})"


def verdict_of(row: Json) -> str:
    """The verdict, and where it stands for little, why."""
    if row["note"] == "the plan itself":
        return row["note"]
    if row["diverged"]:
        return f"{row['verdict']} ({row['diverged']} it, training diverged)"
    if row["negligible"]:
        return f"{row['verdict']}, at most {row['time_saved']['high']:.2%} of the time"
    if row["verdict"] == "no evidence" and not row["decided"]:
        return "no evidence yet"
    if row["verdict"] == "not measured" and (step_time := row["step_time"]):
        return f"{STEPS[step_time_of(step_time)]}; effect on learning not measured"
    return row["verdict"]


def step_time_of(figure: Json) -> str:
    """What the interval of a step time says: "faster", "slower", or "as fast" where it holds both."""
    low, high = (figure["ratio"] if figure[end] is None else figure[end] for end in ("low", "high"))
    return "faster" if high < 1 else "slower" if low > 1 else "as fast"


def remarks(found: Json) -> list[str]:
    """Starts, memory, rates, and what there was no time for."""
    lines = []
    for row in found["rows"]:
        name = row["name"]
        if row.get("rate_factor"):
            lines.append(
                f"{name}: learning rate {row['learning_rate']:.3g}, {row['rate_factor']:.3g} "
                "times its usual one, the best of those tried"
            )
        if modes := row.get("modes"):  # absent in what older versions wrote
            lines.append(f"{name}: layers run {HOW[modes['with']]} with it, {HOW[modes['without']]} without it")
        if start := row["start"]:
            told = (f"{kind} {start[kind]['with']:.1f} s, without {start[kind]['without']:.1f} s" for kind in start)
            lines.append(f"{name}: seconds until steps are steady: {'; '.join(told)}")
        if cold := row["cold_start"]:
            saved = interval(cold["time_saved"], "share", lambda share: f"{share:+.1%}").replace("\n", " ")
            lines.append(f"{name}: time saved with a cold start: {saved} ({cold['verdict']})")
        if memory := row["memory"]:
            one, other = units.size(memory["with"]), units.size(memory["without"])
            share = f", {memory['ratio']:.2f} times" if memory["ratio"] else ""
            lines.append(f"{name}: memory {one}, without {other}{share}")
        if row["note"] and not row["in_plan"]:
            lines.append(f"{name}: left out of the plan because {row['note']}")
    if missing := found["missing"]:
        shown = "; ".join(missing[:4]) + (f"; and {len(missing) - 4} more" if len(missing) > 4 else "")
        lines.append(f"no time was left for: {shown}. Repeating the command continues from here")
    return lines


def method(found: Json) -> str:
    how, slope = found["method"], found["slope"]
    text = (
        f"Each training trial: {how['steps']:,} steps, {how['share']:.0%} of the run's. "
        "Paired seeds, 95% t-intervals. Negative is better for loss and step time, "
        "positive for time saved."
    )
    if slope:
        text += f" Here twice the time gains {slope['loss'] * 0.6931:.4f} {UNITS[how['unit']]}."
    return text
