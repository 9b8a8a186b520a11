"""Listing: the runs of a folder in a line each: when, what family, how far, and what they reach."""

import contextlib
import datetime
import math
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.core import units
from daybreak.core.errors import UsageError
from daybreak.core.messages import localized
from daybreak.core.run import Run
from daybreak.core.values import Json
from daybreak.views.run_facts import Facts

if TYPE_CHECKING:
    from rich.console import Console


def listed(folder: str) -> list[Json]:
    """The runs in a folder, newest first, as `daybreak list --json` prints them. Raises UsageError: no such folder."""
    above = Path(folder)
    if not above.is_dir():
        raise UsageError(
            "the folder does not exist", received=folder, attempt="name a folder that contains run folders"
        )
    found = [Run(path) for path in above.iterdir() if path.is_dir()]
    rows = [_row(run) for run in found if run.request_file.exists() or run.plan_file.exists()]
    return sorted(rows, key=lambda row: (row["date"], row["name"]), reverse=True)


def _row(run: Run) -> Json:
    """What a glance at a run tells; what cannot be read is None, and the state of such a run is "damaged"."""
    row: Json = {"run": str(run), "name": run.path.name, "date": "", "state": "damaged", "family": None}
    row |= {"figure": None, "figure_name": None, "mixture": None, "used_seconds": 0.0, "budget_seconds": 0.0}
    with contextlib.suppress(OSError):
        newest = max(f.stat().st_mtime for f in (run.request_file, run.plan_file, run.log_file) if f.exists())
        row["date"] = datetime.datetime.fromtimestamp(newest).isoformat(sep=" ", timespec="minutes")
    facts = Facts(run)
    try:
        facts.glance()
        row |= {"used_seconds": facts.used_seconds(), "budget_seconds": facts.budget_seconds()}
        readable = facts.request is not None or facts.plan is not None
        if readable and not facts.unreadable:
            row["state"] = facts.state()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return row
    if facts.plan is not None:
        headline = facts.plan.headline
        row |= {"family": facts.plan.shape.family, "figure_name": headline.name}
        if facts.finished is not None:
            row["figure"] = _number(facts.finished.get(headline.name))
            mixture = facts.finished.get("mixture")
            row["mixture"] = _number(mixture.get(headline.name)) if isinstance(mixture, dict) else None
        elif facts.validations:
            row["figure"] = _number(facts.validations[-1].figure)
    elif facts.request is not None:
        row["family"] = facts.request.family
    return row


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def show(rows: list[Json], console: "Console") -> None:
    """A table on a rich console."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column(localized("run"), overflow="fold", ratio=1)
    for title in ("date", "state", "family"):
        table.add_column(localized(title), no_wrap=True)
    for title in ("figure", "with counts", "time"):
        table.add_column(localized(title), justify="right", no_wrap=True)
    names = {"bits_per_byte": "bits/byte", "masked_accuracy": "accuracy", "span_loss": "nats/token"}
    for row in rows:
        figure = "" if row["figure"] is None else f"{row['figure']:.3f} {names.get(row['figure_name'], '')}"
        mixture = "" if row["mixture"] is None else f"{row['mixture']:.3f}"
        used = localized(units.duration(row["used_seconds"])) if row["used_seconds"] else ""
        cells = (row["run"], row["date"][:10], localized(row["state"]), row["family"] or "", figure, mixture, used)
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
