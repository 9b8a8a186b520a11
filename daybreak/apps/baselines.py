"""Baselines: what a Transformer buys at equal seconds, against an LSTM, a plain RNN and counting on the same text."""

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from daybreak.commands.options import (
    LANGUAGES,
    AsJson,
    Device,
    Heldout,
    Seed,
    Sources,
    declared,
)
from daybreak.commands.parser import among
from daybreak.commands.printing import tell
from daybreak.core import process, records, terminal, units
from daybreak.core.clock import Stopwatch, boot_seconds
from daybreak.core.errors import (
    BudgetTooShort,
    DataError,
    DaybreakError,
    Interrupted,
    ResourceError,
    UsageError,
    nearest,
)
from daybreak.core.failures import translate_errors
from daybreak.core.messages import VARIABLE, localized
from daybreak.core.records import Validation
from daybreak.core.request import Request
from daybreak.core.run import Run, write_json
from daybreak.core.values import Json
from daybreak.planning import text_facts
from daybreak.stages.compare.text import compare
from daybreak.training.session import begun_with, difference, open_session
from daybreak.views.report_page import phase_seconds

# What is asked for each.
MODELS: dict[str, Json] = {
    "gpt": {"family": "gpt"},
    "lstm": {"family": "lstm"},
    "rnn": {"family": "lstm", "settings": {"cell": "rnn"}},
    "ngram": {"family": "ngram"},
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
    request: Request,
    *,
    out: str,
    models: Sequence[str] = tuple(MODELS),
    told: Callable[[str], None] = lambda line: None,
) -> Json:
    """Trains every model for the same seconds, each as a run of its own in a folder of `out`, and compares them.

    request: sources, seconds of each model, and what else is the same for all. The text is read and cleaned once, and
    the seconds which that took are a part of each model's. A model that cannot be trained is a row that says why. The
    same call goes on where an earlier one was ended. Raises UsageError: an unknown model. DataError: of the text.
    BudgetTooShort, DataError or ResourceError: none could be trained.
    """
    for name in models:
        if name not in MODELS:
            raise UsageError("unknown baseline", received=name, attempt=nearest(name, MODELS))
    told(
        "text: read once for all models; reading it is a part of the "
        f"{units.duration(request.seconds)} that each model has"
    )
    text = _prepared(request, Run(Path(out) / "text"))
    reading, corpus = phase_seconds(text)["scan"], text.corpus()
    rows = []
    for name in models:
        told(f"{name}: {units.duration(request.seconds)}, of which reading the text took {units.duration(reading)}")
        rows.append(_trained(name, request.replace(**MODELS[name]), text, Run(Path(out) / name), reading))
    runs = {row["model"]: Run(row["run"]) for row in rows if row["trained"]}
    if not runs:
        raise _none_trained(rows)
    notes = [
        (
            f"{len(runs)} of {len(rows)} models were trained for "
            f"{units.duration(request.seconds)} each on the same {units.size(corpus.bytes)} "
            "of text, and scored on the same held-out text. The text was read once; the "
            f"{units.duration(reading)} that took are counted in each model's time."
        ),
        *corpus.not_read(),
        *(f"{row['model']} was not trained: {row['why']}" for row in rows if not row["trained"]),
    ]
    compared = None
    if len(runs) > 1:
        compared = {**compare([str(run) for run in runs.values()], told=told), "notes": notes}
    curves = {name: curve_of(run) for name, run in runs.items()}
    best = min(curve.points[-1][1] for curve in curves.values())
    return {
        "schema": 1,
        "budget": units.duration(request.seconds),
        "out": out,
        "text": {"bytes": corpus.bytes, "heldout_bytes": corpus.heldout_bytes, "seconds": reading},
        "notes": notes,
        "rows": [
            {**row, **(_figures(runs[name], curves[name], best) if (name := row["model"]) in runs else {})}
            for row in rows
        ],
        "overtakes": [
            {"run": one, "than": other, "seconds": moment}
            for one, other in itertools.permutations(curves, 2)
            if (moment := overtaken(curves[one], curves[other])) is not None
        ],
        "compared": compared,
    }


def _prepared(request: Request, text: Run) -> Run:
    """The folder in which the text is ready for every model. Raises UsageError: it is that of other options."""
    asked = text.request()
    if asked is not None and not asked.continues(request.shown()):
        raise UsageError(
            "the output folder holds a comparison with other text or options",
            received=f"--out {text.path.parent}: {difference(asked, request.shown())}",
            attempt="repeat the command that made this folder, to continue it, or name another folder with --out",
        )
    with open_session(text, request, Stopwatch(start=boot_seconds())) as ledger:
        ledger.enter("scan" if not text.corpus_file.exists() else "imports")
        text_facts.scanned(text, request)
        ledger.enter("leaving")
    return text


def _trained(name: str, request: Request, text: Run, folder: Run, reading_seconds: float) -> Json:
    """A row: of a run in a process of its own, which goes on from the text that was read. Raises Interrupted."""
    if not folder.path.exists():
        begun_with(text, folder, request, used_seconds=reading_seconds)
    code, said = _carried_out(process.daybreak("run", "--out", str(folder), *request.words()))
    if code in (130, -2):
        raise Interrupted(
            "the comparison was interrupted",
            received=f"Ctrl-C while {folder} was training",
            attempt="the same command again: it goes on from here",
        )
    row = {"model": name, "run": str(folder), "trained": False, "exit_code": code, "bits_per_byte": None}
    if code:
        what = {key: said[key] for key in ("error", "received", "try") if key in said}
        why = [what.get("error", f"exit code {code}"), what.get("received", "")]
        why += [f"try {what['try']}"] if "try" in what else []
        return {**row, "why": "; ".join(filter(None, why))}
    if folder.plan().shape.family != request.family:  # no time was left for it
        return {**row, "why": folder.plan().reasons.get("family", "the folder holds a different model")}
    return {**row, "trained": True, "why": ""}


def _carried_out(words: Sequence[str]) -> tuple[int, dict[str, str]]:
    """The exit code, and the parts of the error that was said; all that is said is shown."""
    # In English, which is taken apart here and kept; what is shown is in the user's language.
    child = process.start(
        words, more={VARIABLE: "en"}, stdout=process.DEVNULL, stderr=process.PIPE, text=True, errors="replace"
    )
    parts: dict[str, str] = {}
    try:
        for line in child.stderr or ():
            print(localized(line), end="", file=sys.stderr, flush=True)
            part, colon, told = line.strip().partition(": ")
            if colon and part in ("error", "received", "try"):
                parts[part] = told
        return child.wait(), parts
    except KeyboardInterrupt:  # the child has it, too, and saves
        child.wait()
        return Interrupted.exit_code, parts


def _none_trained(rows: list[Json]) -> DaybreakError:
    kinds: dict[int, type[DaybreakError]] = {2: BudgetTooShort, 3: DataError}
    return kinds.get(rows[0]["exit_code"] or 2, ResourceError)(
        "none of the models could be trained, so there is nothing to compare",
        received="; ".join(f"{row['model']}: {row['why']}" for row in rows),
        attempt="give a longer --for",
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


def _figures(run: Run, curve: Curve, best: float) -> Json:
    plan, steps = run.plan(), records.standing_steps(run.log_file)
    return {
        "bits_per_byte": curve.points[-1][1],
        "seconds": curve.points[-1][0],
        "shape": plan.shape.key(),
        "parameters": plan.shape.parameters() or None,
        "tokens_per_second": steps[-1].tokens / sum(step.seconds for step in steps) if steps else None,
        "points": [list(point) for point in curve.points],
        "more_than_best": curve.points[-1][1] / best - 1,
    }


@declared("daybreak baselines novel.txt --for 60s")
def command(
    sources: Sources = None,
    duration: Annotated[str, typer.Option("--for", metavar="TIME", help="Time budget of each model: 60s, 5m.")] = "",
    models: Annotated[
        str, typer.Option(metavar="NAMES", help="Models to train, of gpt, lstm, rnn and ngram.")
    ] = "gpt,lstm,rnn,ngram",
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Output folder for the runs and baselines.html.")
    ] = "runs/baselines",
    heldout: Heldout = "",
    seed: Seed = 0,
    device: Device = "",
    language: Annotated[
        str, typer.Option(metavar="LANGUAGE", autocompletion=among(*LANGUAGES), help="Language of the page: en or zh.")
    ] = "en",
    as_json: AsJson = False,
) -> None:
    """Train a GPT, an LSTM, an RNN and n-grams for the same time, and compare them."""
    from daybreak.planning import names
    from daybreak.views import comparison
    from daybreak.views.terminal import baselines_lines

    if not duration:
        raise UsageError(
            "the time budget is missing",
            received="no --for",
            attempt="a time budget, such as --for 5m; each model gets that long",
        )
    asked = tuple(name.strip() for name in models.split(",") if name.strip())
    request = Request(
        sources=tuple(sources or ()),
        seconds=units.seconds_of(duration),
        heldout=heldout,
        seed=seed,
        device=device,
    )
    names.check(request)
    found = translate_errors(lambda: baselines(request, out=out, models=asked, told=tell))
    write_json(Path(out) / "baselines.json", found)
    if found["compared"]:
        comparison.write_page(found["compared"], str(Path(out) / "baselines.html"), language=language)
    if as_json:
        print(terminal.as_json(found))
        return
    print("\n".join(baselines_lines(found)))
    if found["compared"]:
        print(localized(f"\npage  {Path(out) / 'baselines.html'}"))
