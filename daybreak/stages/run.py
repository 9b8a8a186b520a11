"""Run: text and a deadline in, a usable model out. Scan, probe, plan, encode, train, evaluate, in this order."""

import contextlib

from daybreak.commands.options import AsJson, Mirror, Out, asked_request, asks, declared
from daybreak.commands.printing import print_finished
from daybreak.core.clock import Stopwatch
from daybreak.core.failures import translate_errors
from daybreak.core.request import Request
from daybreak.core.signals import unbound
from daybreak.core.values import Json
from daybreak.training.alarm import Alarm
from daybreak.training.execution import Finished, checked_mirrors, execute, finished_before
from daybreak.training.in_time import in_time
from daybreak.training.preparation import check_request, prepare_plan, with_checkpoint, with_seconds_left
from daybreak.training.session import Display, Session, folder_of, open_session


def run(
    request: Request,
    display: Display,
    *,
    out: str = "",
    stopwatch: Stopwatch | None = None,
    mirrors: tuple[str, ...] = (),
) -> Finished:
    """All of it. The same request again continues an interrupted run.

    mirrors: where the run is shown, such as "tensorboard"; not a part of the request.
    Raises DaybreakError. What fails before there is something to keep leaves no folder behind.
    """
    stopwatch = stopwatch or Stopwatch()
    check_request(request)
    request, checkpoint = with_checkpoint(request)
    mirrors = checked_mirrors(mirrors)
    folder = folder_of(request, out)
    if folder.finished():
        return finished_before(folder)
    with unbound(), contextlib.closing(display), open_session(folder, request, stopwatch) as ledger:
        session = Session(
            folder=folder,
            request=with_seconds_left(request, ledger),
            display=display,
            ledger=ledger,
            checkpoint=checkpoint,
        )

        def work(alarm: Alarm) -> Finished:
            return execute(session, prepare_plan(session, alarm), mirrors=mirrors, alarm=alarm)

        return in_time(session, work, lambda counting: execute(session, counting, mirrors=mirrors))


@declared("daybreak run novel.txt --for 20m")
@asks()
def command(asked: Json, out: Out = "", mirrors: Mirror = None, as_json: AsJson = False) -> None:
    """Train the best language model that the time allows."""
    request = asked_request(asked)
    from daybreak.views.progress import Progress

    finished = translate_errors(lambda: run(request, Progress(), out=out, mirrors=tuple(mirrors or ())))
    print_finished(finished, as_json)
