"""Measurement: measures on this machine what each technique of a run's plan gains, and writes `measure.json`."""

import math
import time
from collections.abc import Callable, Sequence

from daybreak.core import records, units
from daybreak.core.clock import Stopwatch
from daybreak.core.errors import BudgetTooShort, ResourceError, UsageError
from daybreak.core.run import Run, write_json
from daybreak.core.signals import Signals
from daybreak.core.types import Plan
from daybreak.core.values import Json
from daybreak.evaluation import t_intervals
from daybreak.stages.measure.ablations import Case, of_optimizers, of_setting, of_shapes, of_techniques, trained_part
from daybreak.stages.measure.analysis import value
from daybreak.stages.measure.runner import MOST_SEEDS, TrialRunner
from daybreak.stages.measure.trials import MeasurementSetup

SCHEMA = 2  # of measure.json
SHARE = 0.25  # of the run's steps, in a training trial
LEAST_SEEDS = 2  # an interval needs at least two pairs
LEAST_SCORED_BYTES = 50_000
LEAVING_SECONDS = 1.0  # for the report and the end of the process


def measure(
    path: str,
    *,
    seconds: float | None = None,
    names: Sequence[str] = (),
    include: Sequence[str] = (),
    share: float = SHARE,
    most_seeds: int = MOST_SEEDS,
    optimizers: bool = False,
    norms: bool = False,
    positions: bool = False,
    tried: Sequence[str] = (),
    device: str = "",
    log: Callable[[str], None] = lambda line: None,
    log_estimate: Callable[[str], None] = lambda line: None,
    stopwatch: Stopwatch | None = None,
) -> Json:
    """Runs the trials that the run's folder does not have yet, and returns the content of `measure.json`.

    seconds: the time of the whole command; None: until every case is decided. names: techniques of the plan to measure
    (none: all that change training); include: others. tried: settings of the shape, such as "layers=4". log: is given a
    line before each trial. log_estimate: is given a line about how long verdicts take, before the first trial. Raises
    UsageError: nothing to measure, or an unknown name; BudgetTooShort: no trial fits; Interrupted or Saved: a signal
    ended it.
    """
    stopwatch = stopwatch or Stopwatch()
    _check(share, most_seeds)
    run = Run.open(path)
    plan, pace = _plan_of(run)
    with Signals() as signals:
        setup = _setup(run, plan, device, stopwatch, seconds, signals, share)
        chosen = _cases(
            setup, plan, names, include, optimizers=optimizers, norms=norms, positions=positions, tried=tried
        )
        runner = TrialRunner(setup, plan, chosen, share=share, most_seeds=most_seeds, pace=pace or _pace(plan), log=log)
        expected = {seeds: runner.expected(seeds) for seeds in (LEAST_SEEDS, most_seeds)}
        if expected[most_seeds]:
            log_estimate(_estimate(sum(case.changed != plan for case in chosen), expected, seconds))
        try:
            runner.carry_out()
        finally:
            if runner.trials:
                found = _found(runner)
                _keep(run, found)
    if not runner.trials:
        raise _too_short(runner, seconds)
    if run.report_file.exists():
        from daybreak.views import report_page

        report_page.at_the_end(run)
    return found


def _estimate(cases: int, expected: dict[int, float], seconds: float | None) -> str:
    """A sentence on how long verdicts take. expected: seconds by number of seeds."""
    least, most = min(expected), max(expected)
    first, last = units.duration(expected[least]), units.duration(expected[most])
    line = (
        f"verdicts on {cases}: the first ones after about {first} ({least} seeds), all "
        f"of them after {last} at most ({most} seeds)"
    )
    if seconds is not None and seconds < expected[least]:
        line += f"; {units.duration(seconds)} is enough for a part of it, and the next command continues"
    return line


def _cases(
    setup: MeasurementSetup,
    plan: Plan,
    names: Sequence[str],
    include: Sequence[str],
    *,
    optimizers: bool,
    norms: bool,
    positions: bool,
    tried: Sequence[str],
) -> list[Case]:
    chosen: list[Case] = []
    if names or include or not (optimizers or norms or positions or tried):
        chosen += of_techniques(plan, setup.machine, names, include)
    if optimizers:
        chosen += of_optimizers(plan)
    for field, asked in (("norm", norms), ("positions", positions)):
        chosen += of_shapes(plan, setup.machine, field) if asked else []
    chosen += [of_setting(plan, setup.machine, setting) for setting in dict.fromkeys(tried)]
    if not chosen:
        raise UsageError(
            "there is nothing to measure",
            received=f"{setup.run}: no technique in its plan changes training",
            attempt="--with NAME, to measure what a technique would gain, or --optimizers",
        )
    return chosen


def _check(share: float, most_seeds: int) -> None:
    if not 0 < share <= 1:
        raise UsageError("--share is out of range", received=f"--share {share:g}", attempt="such as --share 0.25")
    if not 2 <= most_seeds <= 64:
        raise UsageError(
            "the number of seeds must be 2 to 64",
            received=f"--seeds {most_seeds}",
            attempt=f"such as --seeds {MOST_SEEDS}",
        )


def _plan_of(run: Run) -> tuple[Plan, float]:
    """The plan that trials train, with the tokens that the run trained on, and its seconds a token (0: unknown)."""
    plan = run.plan()
    if plan.shape.counted:
        raise UsageError(
            "an n-gram model has no techniques to measure",
            received=f"{run}, of the family {plan.shape.family}",
            attempt="use a run of another family",
        )
    if run.worked_on():
        raise UsageError(
            "another process is working on the run",
            received=f"{run}",
            attempt="wait until it ends: the two would slow each other down",
        )
    steps = records.standing_steps(run.log_file)
    if not (steps and run.finished()):
        return trained_part(plan), 0.0
    pace = sum(step.seconds for step in steps) / steps[-1].tokens
    return trained_part(plan.replace(tokens=max(steps[-1].tokens, plan.batch_tokens))), pace


def _pace(plan: Plan) -> float:
    return 1 / max(1.0, plan.predicted.tokens_per_second)


def _setup(
    run: Run, plan: Plan, device: str, stopwatch: Stopwatch, seconds: float | None, signals: Signals, share: float
) -> MeasurementSetup:
    from daybreak.data import encode
    from daybreak.data.tokenizers import load_tokenizer
    from daybreak.engine import machine as machines

    train, heldout = encode.encode(run, run.corpus(), plan.tokenizer)
    chosen = machines.pick_device(device or plan.device)
    scored = min(heldout.bytes, max(LEAST_SCORED_BYTES, int(2 * share * plan.evaluation_bytes)))
    return MeasurementSetup(
        run=run,
        machine=machines.measured(chosen),
        device=chosen,
        tokenizer=load_tokenizer(run.tokenizer_file),
        train=train,
        heldout=heldout,
        scored_tokens=max(1, round(len(heldout) * scored / max(1, heldout.bytes))),
        stopwatch=stopwatch,
        end=math.inf if seconds is None else seconds - LEAVING_SECONDS,
        signals=signals,
    )


# Results


def _found(runner: TrialRunner) -> Json:
    """The content of `measure.json`; docs/measure.md explains it."""
    setup, plan = runner.setup, runner.plan
    rows = [runner.row(case) for case in runner.cases]
    whole = runner.losses("plan", plan)
    tokens = runner.tokens()
    return {
        "schema": SCHEMA,
        "run": setup.run.path.resolve().name,
        "measured_at": round(time.time(), 1),
        "machine": {name: getattr(setup.machine, name) for name in ("kind", "name", "cores", "versions")},
        "plan": {
            "shape": plan.shape.key(),
            "optimizer": plan.optimizer.name,
            "techniques": [choice.name for choice in plan.techniques],
            "run_tokens": plan.tokens,
            "batch_tokens": plan.batch_tokens,
        },
        "method": {
            "confidence": t_intervals.CONFIDENCE,
            "unit": plan.headline.loss_unit,
            "share": tokens / plan.tokens,  # more than was asked if the run is very short
            "tokens": tokens,
            "steps": tokens // plan.batch_tokens,
            "most_seeds": runner.most_seeds,
            "scored_bytes": next((c["scored_bytes"] for c in runner.trials.values() if "scored_bytes" in c), None),
        },
        "plan_losses": [loss for _, loss in sorted(whole.items())],
        "slope": value(runner.slope(), "loss"),
        "rows": rows,
        "missing": list(dict.fromkeys(runner.missing)),
        "complete": not runner.missing and all(row["decided"] or _spent(row, runner) for row in rows),
    }


def _spent(row: Json, runner: TrialRunner) -> bool:
    """Whether all seeds were used."""
    return row["seeds"] >= runner.most_seeds


def _keep(run: Run, found: Json) -> None:
    try:
        write_json(run.measure_file, found)
    except OSError as error:
        raise ResourceError(
            "the measurements could not be written",
            received=f"{run.measure_file}: {error.strerror}",
            attempt="free some disk space; repeating the command continues",
        ) from None


def _too_short(runner: TrialRunner, seconds: float | None) -> BudgetTooShort:
    needed = runner.least if math.isfinite(runner.least) else 60.0
    shortest = math.ceil(1.3 * (needed + runner.setup.stopwatch.used() + LEAVING_SECONDS))
    return BudgetTooShort(
        "the time budget is too short for one measurement",
        received=f"--for {units.duration(seconds or 0.0)}; the first measurement would take "
        f"about {units.duration(needed)}",
        attempt=f"--for {shortest}s, or more: measurements are kept, and the next command continues",
    )
