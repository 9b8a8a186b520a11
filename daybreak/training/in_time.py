"""In time: where no time is left for a network, n-grams are counted instead, so that there is a model by the deadline.

The moment at which a network is given up is an alarm's: it comes in the middle of whatever takes too long. Counting
reads, counts and scores as much as fits, by what a little of it takes at that moment.
"""

import os
from collections.abc import Callable
from typing import TypeVar

from daybreak.core import units
from daybreak.core.clock import Contention
from daybreak.core.errors import BudgetTooShort
from daybreak.core.request import usual_of
from daybreak.core.run import Run, write_json
from daybreak.core.types import Request
from daybreak.engine import hardware
from daybreak.models import families
from daybreak.training.alarm import Alarm, OutOfTime
from daybreak.training.session import Prepared, Session

# What an n-gram model takes from nothing to its report, on a processor of one's own, twice over (own runs).
COUNTING_SECONDS = 1.5
NETWORK_SECONDS = 4.0  # until the first step of a small one, likewise
PLAN_BY, STEP_BY = 0.6, 0.8  # shares of the time by which there must be a plan, and a first step
EARLIEST = 0.3  # share of the time that is always given to them
LEAVING_SHARE = 0.05  # of the time, where nothing can be counted instead and an error must come in time
READING_SHARE, LEAST_READING_SHARE = 0.6, 0.1  # of what that leaves of the time, for reading, encoding and counting

Result = TypeVar("Result")


def in_time(session: Session, work: Callable[[Alarm], Result], instead: Callable[[Prepared], Result]) -> Result:
    """`work`, which sets and lifts the alarm; where it comes to nothing in time, `instead` with a plan to count.

    Raises BudgetTooShort: there is not even the time to count, or an n-gram model cannot stand in for what was asked.
    """
    with Alarm(session.ledger.stopwatch) as alarm:
        try:
            return work(alarm)
        except (OutOfTime, BudgetTooShort) as error:
            alarm.lift()
            refusal = error if isinstance(error, BudgetTooShort) else _too_short(session)
        if not counts_stand_in(session.request) or session.left() < least_seconds():
            raise refusal
    return instead(plan_to_count(session, refusal))


def counts_stand_in(request: Request) -> bool:
    """Only where the model was left to daybreak: who names a family, a shape or a checkpoint wants that or an error.

    What must be the same on every day cannot depend on how busy the machine is, either.
    """
    if request.reproducible or request.parent:
        return False
    return families.named(request.family).counted or (request.family == usual_of("family") and not request.settings)


def least_seconds() -> float:
    """In which nothing can be counted; nobody waits for a model that is late anyway."""
    return 0.2 * COUNTING_SECONDS


def give_up_at(session: Session, share: float, contention: Contention) -> float:
    """Seconds of the budget at which to count instead. share: of this process's time, if the machine is not busy."""
    budget, begun = session.request.seconds, session.ledger.stopwatch.used_before
    if not counts_stand_in(session.request):
        return budget - max(LEAVING_SHARE * (budget - begun), 0.2 * contention.factor())
    latest = min(begun + share * (budget - begun), budget - COUNTING_SECONDS * contention.factor())
    return max(latest, begun + EARLIEST * (budget - begun))


def check_hope(session: Session, contention: Contention) -> None:
    """Raises BudgetTooShort: at the pace of this machine now, a network's first step would come too late."""
    seconds = NETWORK_SECONDS * contention.factor()
    if counts_stand_in(session.request) and seconds > STEP_BY * session.left():
        raise _too_short(session)


def plan_to_count(session: Session, refusal: BudgetTooShort) -> Prepared:
    """Prepares as much as can be counted in the time that is left, and plans that. Raises DataError."""
    from daybreak.planning import corpus_to_count
    from daybreak.planning.counting import counting_plan

    folder, request, ledger = session.folder, session.request, session.ledger
    ledger.enter("scan")
    left = session.left()
    free = READING_SHARE * (left - COUNTING_SECONDS * Contention().factor())
    corpus = corpus_to_count.corpus_to_count(folder, request, seconds=max(LEAST_READING_SHARE * left, free))
    longer = f"{refusal.seconds or 2 * request.seconds:.0f}s"
    what = "no time was left for a network, so n-grams are counted instead"
    if families.named(request.family).counted:
        what = "little time was left, so byte n-grams are counted on a part of the text"
    reason = f"{what} ({units.size(corpus.bytes)}). For a network, try --for {longer}"
    asked = request.replace(family=families.COUNTED, settings={}, include=(), technique_settings={}, weights={})
    plan = counting_plan(corpus, asked, instead=reason, held_bytes=hardware.held_memory_bytes())
    plan = plan.replace(request=request.shown(), skipped=corpus.not_read(), passed_over=corpus.passed_over)
    folder.forget_training()
    write_json(folder.plan_file, plan.to_json())
    folder.amend("family", family=families.COUNTED, reason=reason)
    session.warn(reason)
    counting = Prepared(plan=plan, corpus=corpus, machine=hardware.processor(), device=None)
    session.display.planned(plan, counting.machine)
    return counting


def _too_short(session: Session) -> BudgetTooShort:
    used, budget = session.ledger.stopwatch.used(), session.request.seconds
    return BudgetTooShort(
        "no time was left for a training step",
        received=f"{units.duration(used)} of {units.duration(budget)} had passed before the first step",
        attempt=f"--for {2 * budget:.0f}s, or close other programs on this machine",
        seconds=2 * budget,
    )


def begun(folder: Run) -> bool:
    """Whether an earlier process has trained: then there is a model already."""
    return folder.checkpoints_folder.is_dir() and any(os.scandir(folder.checkpoints_folder))
