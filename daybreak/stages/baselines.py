"""Baselines: what a Transformer buys at equal seconds, against an LSTM, a plain RNN and counting on the same text."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak.core import process, records
from daybreak.core.errors import Interrupted, ResourceError, UsageError, nearest
from daybreak.core.records import Validation
from daybreak.core.run import Run
from daybreak.stages.compare import compare

# Options of `daybreak run` for each.
MODELS = {
    "gpt": (),
    "lstm": ("--family", "lstm"),
    "rnn": ("--family", "lstm", "--set", "cell=rnn"),
    "ngram": ("--family", "ngram"),
}
Point = tuple[float, float]  # seconds of the budget, bits per byte


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What a model would have scored, had it been taken at a moment: rising seconds, the last one is the end."""

    points: tuple[Point, ...]

    def at(self, seconds: float) -> float:
        """Bits per byte, between two points on the line through them; infinite before there is a model."""
        if not self.points or seconds < self.points[0][0]:
            return float("inf")
        for (x, y), (next_x, next_y) in itertools.pairwise(self.points):
            if seconds <= next_x:
                return y + (next_y - y) * (seconds - x) / max(1e-9, next_x - x)
        return self.points[-1][1]


def overtaken(one: Curve, other: Curve) -> float | None:
    """Seconds from which on `one` has fewer bits per byte than `other`; None where it has not at the end."""
    moments = sorted({x for x, _ in (*one.points, *other.points)})
    if not moments or one.at(moments[-1]) >= other.at(moments[-1]):
        return None
    behind = [x for x in moments if one.at(x) >= other.at(x)]
    if not behind:
        return moments[0]
    low, high = behind[-1], next(x for x in moments if x > behind[-1])
    if other.at(high) == float("inf") or one.at(low) == float("inf"):
        return high
    for _ in range(40):  # the lines between two points cross once
        middle = (low + high) / 2
        low, high = (middle, high) if one.at(middle) >= other.at(middle) else (low, middle)
    return high


def baselines(
    sources: Sequence[str],
    budget: str,
    *,
    out: str,
    models: Sequence[str] = tuple(MODELS),
    options: Sequence[str] = (),
    told: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Trains every model for the same seconds, each as a run of its own in a folder of `out`, and compares them.

    The same call goes on where an earlier one was ended. options: further ones of `daybreak run`, for all. Raises
    UsageError: an unknown model. Raises ResourceError: a run failed; it has said why.
    """
    for name in models:
        if name not in MODELS:
            raise UsageError("an unknown baseline", received=name, attempt=nearest(name, MODELS))
    folders = {name: Path(out) / name for name in models}
    for name, folder in folders.items():
        told(f"{name}: {budget}")
        _trained(sources, budget, folder, [*MODELS[name], *options])
    compared = compare([str(folder) for folder in folders.values()], told=told) if len(folders) > 1 else None
    curves = {name: curve_of(Run(folder)) for name, folder in folders.items()}
    rows = [_row(name, Run(folder), curves[name]) for name, folder in folders.items()]
    best = min(row["bits_per_byte"] for row in rows)
    return {
        "schema": 1,
        "budget": budget,
        "out": out,
        "rows": [{**row, "more_than_best": row["bits_per_byte"] / best - 1} for row in rows],
        "overtakes": [
            {"run": one, "than": other, "seconds": moment}
            for one, other in itertools.permutations(curves, 2)
            if (moment := overtaken(curves[one], curves[other])) is not None
        ],
        "compared": compared,
    }


def _trained(sources: Sequence[str], budget: str, folder: Path, options: Sequence[str]) -> None:
    """A run in a process of its own: its budget counts from its own start. Raises ResourceError and Interrupted."""
    command = process.daybreak("run", "--for", budget, "--out", str(folder), *options, "--", *sources)
    try:
        code = process.run(command, stdout=process.DEVNULL).returncode
    except KeyboardInterrupt:
        code = 130
    if code in (130, -2):
        raise Interrupted(
            "the comparison was ended before its end",
            received=f"Ctrl-C while {folder} was trained",
            attempt="the same command again: it goes on from here",
        )
    if code:
        raise ResourceError(
            "a model could not be trained, so there is nothing to compare",
            received=f"{folder}: exit code {code}; the lines above say why",
            attempt="a longer --for, or --models without it",
        )


def curve_of(run: Run) -> Curve:
    """What was scored on the way, and the figure at the end, which is of the whole held-out text."""
    return Curve(points=tuple(sorted(_points(run))))


def _points(run: Run) -> Iterator[Point]:
    end, figure = 0.0, None
    for record in records.read(run.log_file):
        match record:
            case Validation(weights="current") if record.progress < 1:
                yield record.used_seconds, record.figure
            case records.Measurement(name="bits_per_byte", needs="model/"):
                figure = record.value
            case records.Event(name="finished"):
                end = record.used_seconds
    if figure is not None:
        yield end, figure


def _row(name: str, run: Run, curve: Curve) -> dict[str, Any]:
    plan, steps = run.plan(), records.standing_steps(run.log_file)
    return {
        "model": name,
        "run": str(run),
        "bits_per_byte": curve.points[-1][1],
        "seconds": curve.points[-1][0],
        "shape": plan.shape.key(),
        "parameters": plan.shape.parameters() or None,
        "tokens_per_second": steps[-1].tokens / sum(step.seconds for step in steps) if steps else None,
        "points": [list(point) for point in curve.points],
    }
