"""Plan: what a run would do, and why, before its time is spent."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from daybreak.commands.options import AsJson, asked_request, asks, declared
from daybreak.core import failures, terminal
from daybreak.core.clock import Stopwatch
from daybreak.core.failures import translate_errors
from daybreak.core.messages import localized
from daybreak.core.request import Request
from daybreak.core.run import Run, write_json
from daybreak.core.types import Plan
from daybreak.core.values import Json
from daybreak.training.in_time import in_time
from daybreak.training.preparation import check_request, prepare_plan, with_checkpoint, with_seconds_left
from daybreak.training.session import Session, folder_of, open_session


def plan_only(request: Request, stopwatch: Stopwatch, *, out: str = "") -> Plan:
    """Scan, probe and plan. out: a run folder to keep, or a .json file for the plan alone. Raises DaybreakError."""
    import tempfile

    from daybreak.views.progress import Silence

    check_request(request)
    request, checkpoint = with_checkpoint(request)
    with contextlib.ExitStack() as stack:
        if out and not out.endswith(".json"):
            folder = folder_of(request, out)
        else:
            folder = Run(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "plan")
        ledger = stack.enter_context(open_session(folder, request, stopwatch))
        request = with_seconds_left(request, ledger)
        session = Session(folder=folder, request=request, display=Silence(), ledger=ledger, checkpoint=checkpoint)
        plan = in_time(session, lambda alarm: prepare_plan(session, alarm), lambda counting: counting).plan
    if out.endswith(".json"):
        try:
            write_json(Path(out), plan.to_json())
        except OSError as error:
            raise failures.of_system(
                error, what="the plan cannot be written", place=out, attempt="name a file that you may write with --out"
            ) from None
    return plan


@declared("daybreak plan novel.txt --for 20m")
@asks()
def command(
    asked: Json,
    out: Annotated[
        str, typer.Option(metavar="FILE", help="Output file (.json), or run folder that gets a plan.json.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show what `run` would do, with a reason for every decision."""
    request = asked_request(asked)
    from daybreak.core.clock import Stopwatch
    from daybreak.views.terminal import plan_lines

    made = translate_errors(lambda: plan_only(request, Stopwatch(), out=out))
    if as_json:
        print(terminal.as_json(made.to_json(), indent=1))
    else:
        print(localized("\n".join(plan_lines(made))))
        if out:
            print(localized(f"\nwritten to {out}; edit it, then: daybreak train {out}"))
