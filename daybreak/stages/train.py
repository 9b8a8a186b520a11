"""Train: carries out a plan that was made before, or repeats a log step for step."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from daybreak.commands.options import AsJson, Mirror, Out, declared
from daybreak.commands.parser import run_folders
from daybreak.commands.printing import print_finished
from daybreak.core import records
from daybreak.core.clock import Contention, Stopwatch
from daybreak.core.errors import DataError, UsageError
from daybreak.core.failures import translate_errors
from daybreak.core.request import Request
from daybreak.core.run import Run, write_json
from daybreak.core.signals import unbound
from daybreak.core.types import Corpus, Plan
from daybreak.training.alarm import Alarm
from daybreak.training.execution import Finished, checked_mirrors, execute, finished_before
from daybreak.training.in_time import STEP_BY, begun, give_up_at, in_time
from daybreak.training.preparation import adjust_budget
from daybreak.training.session import Display, Session, copied, folder_of, open_session, prepared


def train_only(
    path: str, display: Display, *, out: str = "", replay: bool = False, mirrors: tuple[str, ...] = ()
) -> Finished:
    """Carries out a plan that was made before: of a run folder, or a plan.json. Raises DaybreakError.

    replay: repeats the folder's log in `out` (else beside it), step for step.
    """
    stopwatch = Stopwatch()
    mirrors = checked_mirrors(mirrors)
    if path.endswith(".json"):
        return _from_plan_file(Path(path), display, out, stopwatch, mirrors)
    folder = Run.open(path)
    plan = folder.plan()
    steps, validations = None, {}
    if replay:
        steps = records.standing_steps(folder.log_file)
        # A run may have changed its course by what it scored on the way.
        scored = (r for r in records.read(folder.log_file) if isinstance(r, records.Validation))
        validations = {r.step: r for r in scored if r.weights == "current" and r.progress < 1}
        if not steps:
            raise UsageError(
                "there is nothing to replay", received=f"{folder.log_file}", attempt="use a run that has been trained"
            )
        folder = copied(folder, Run(out or f"{folder}-replay"))
    elif folder.finished():
        return finished_before(folder)
    request = folder.request()
    if request is None or not request.seconds:  # a copied plan, or one beside text that was only prepared
        request = plan.request or Request(sources=(), seconds=plan.budget.seconds)
    with unbound(), contextlib.closing(display), open_session(folder, request, stopwatch) as ledger:
        session = Session(folder=folder, request=request, display=display, ledger=ledger)
        plan = adjust_budget(session, plan)
        if replay:
            ready = prepared(session, plan)
            display.planned(plan, ready.machine)
            return execute(session, ready, replay=steps, validations=validations, mirrors=mirrors)
        return _executed_in_time(session, plan, mirrors)


def _executed_in_time(session: Session, plan: Plan, mirrors: tuple[str, ...], corpus: Corpus | None = None) -> Finished:
    session = replace(session, request=session.request.replace(seconds=plan.budget.seconds))

    def work(alarm: Alarm) -> Finished:
        if not begun(session.folder):
            alarm.set(give_up_at(session, STEP_BY, Contention()))
        ready = prepared(session, plan, corpus)
        session.display.planned(plan, ready.machine)
        return execute(session, ready, mirrors=mirrors, alarm=alarm)

    return in_time(session, work, lambda counting: execute(session, counting, mirrors=mirrors))


def _from_plan_file(path: Path, display: Display, out: str, stopwatch: Stopwatch, mirrors: tuple[str, ...]) -> Finished:
    """A plan that lies alone: its text is scanned again and must be the same."""
    from daybreak.core.run import read_json
    from daybreak.planning import text_facts

    plan = Plan.from_json(read_json(path, "run `daybreak plan --out plan.json`"), str(path))
    if plan.request is None:
        raise UsageError(
            "the plan does not name its text", received=str(path), attempt="run daybreak plan TEXT --out plan.json"
        )
    folder = folder_of(plan.request, out)
    if folder.finished():
        return finished_before(folder)
    with unbound(), contextlib.closing(display), open_session(folder, plan.request, stopwatch) as ledger:
        session = Session(folder=folder, request=plan.request, display=display, ledger=ledger)
        ledger.enter("scan")
        corpus = text_facts.scanned(folder, plan.request)
        if corpus.digest != plan.corpus:
            raise DataError(
                "the text has changed since it was planned",
                received=f"digest {corpus.digest}, planned {plan.corpus}",
                attempt="run `daybreak plan` again",
            )
        write_json(folder.plan_file, plan.to_json())
        return _executed_in_time(session, adjust_budget(session, plan), mirrors, corpus)


@declared("daybreak train runs/novel")
def command(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PLAN", autocompletion=run_folders, help="Run folder, or a plan.json written by `daybreak plan`."
        ),
    ],
    out: Out = "",
    replay: Annotated[bool, typer.Option("--replay", help="Replay the run from its log, bit for bit.")] = False,
    mirrors: Mirror = None,
    as_json: AsJson = False,
) -> None:
    """Train as a saved plan says, or replay a run."""
    from daybreak.views.progress import Progress

    finished = translate_errors(
        lambda: train_only(path, Progress(), out=out, replay=replay, mirrors=tuple(mirrors or ()))
    )
    print_finished(finished, as_json)
