"""Preparation: from a request to a plan: scan, probe, plan, in the time that there is for it."""

import contextlib
import datetime
import importlib
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from daybreak.core import units
from daybreak.core.clock import Contention, Ledger
from daybreak.core.errors import BudgetTooShort
from daybreak.core.run import write_json
from daybreak.core.types import Corpus, Plan, Request
from daybreak.engine import faults, hardware
from daybreak.models import families
from daybreak.planning import names
from daybreak.training.alarm import Alarm
from daybreak.training.in_time import PLAN_BY, STEP_BY, begun, check_hope, give_up_at
from daybreak.training.session import Prepared, Session, prepared

if TYPE_CHECKING:  # which needs torch
    from daybreak.models.checkpoints.source import Checkpoint

LEAST_SECONDS = 8.0  # imports, a scan and a few seconds of anything; the plan knows better once it has measured


def prepare_plan(session: Session, alarm: Alarm) -> Prepared:
    """Scan, probe and plan; what a folder has already is taken from it. Raises OutOfTime and BudgetTooShort."""
    from daybreak.planning import text_facts

    folder, request, display, ledger = session.folder, session.request, session.display, session.ledger
    contention = Contention()
    if folder.plan_file.exists():
        if not begun(folder):
            alarm.set(give_up_at(session, STEP_BY, contention))
        text_facts.check_unchanged(folder, request)
        plan = adjust_budget(session, folder.plan(), seconds=request.seconds)
        ready = prepared(session, plan)
        display.planned(plan, ready.machine)
        return ready
    counting = families.named(request.family).counted
    alarm.set(give_up_at(session, PLAN_BY, contention))
    if not counting:
        check_hope(session, contention)
        # torch takes over a second to import. That goes by beside the scan, which is not Python's for the most part.
        threading.Thread(target=_import_the_rest, daemon=True).start()
    ledger.enter("scan")
    display.phase("scan")
    faults.at("phase.scan")
    corpus = text_facts.scanned(folder, request, checkpoint=session.checkpoint)
    for what in corpus.not_read():
        session.warn(what)
    alarm.check()
    ready = _counting(corpus, request) if counting else _of_a_network(corpus, session)
    plan = ready.plan.replace(skipped=corpus.not_read(), passed_over=corpus.passed_over)
    alarm.check()
    alarm.set(give_up_at(session, STEP_BY, contention))
    write_json(folder.plan_file, plan.to_json())
    display.planned(plan, ready.machine)
    return replace(ready, plan=plan)


def _counting(corpus: Corpus, request: Request) -> Prepared:
    from daybreak.planning.counting import counting_plan

    held = 0 if request.reproducible else hardware.held_memory_bytes()
    plan = counting_plan(corpus, request, held_bytes=held)
    return Prepared(plan=plan, corpus=corpus, machine=hardware.processor(), device=None)


def _of_a_network(corpus: Corpus, session: Session) -> Prepared:
    request, display, ledger = session.request, session.display, session.ledger
    ledger.enter("imports")
    faults.at("phase.imports")
    from daybreak.engine import machine as machines
    from daybreak.planning.planner import choose, write_plan
    from daybreak.training.probe import probe

    ledger.enter("probe")
    display.phase("probe")
    faults.at("phase.probe")
    device = machines.pick_device(request.device)
    machine = measured = machines.measured(device)
    probed = probe(corpus, machine, request, device, ledger.stopwatch)
    for what in probed.warnings:
        session.warn(what)
    if probed.warnings:  # what could not be compiled now is not planned with
        machine = machine.replace(compiler="")
    ledger.enter("plan")
    faults.at("phase.plan")
    plan = write_plan(choose(corpus, machine, probed, request, timed_only=True))
    # The machine has its compiler still: a plan without kernels does not ask for it.
    return Prepared(plan=plan, corpus=corpus, machine=measured, device=device)


def with_seconds_left(request: Request, ledger: Ledger) -> Request:
    """With the seconds to a moment of the day counted from now on, whatever an earlier process has used."""
    if not request.until:
        return request
    return request.replace(seconds=ledger.stopwatch.used() + _seconds_to(request.until))


def _import_the_rest() -> None:
    with contextlib.suppress(Exception):  # raised again where it is imported by who needs it
        importlib.import_module("daybreak.training.train")


def check_request(request: Request) -> None:
    from daybreak.planning.tokenizer_choice import check as check_tokenizer

    names.check(request)
    check_tokenizer(request)
    if request.seconds < LEAST_SECONDS:
        raise BudgetTooShort(
            "the time budget is too short for any machine",
            received=f"--for {request.seconds:g}s",
            attempt=f"--for {LEAST_SECONDS:.0f}s --family ngram, or --for 20s and more for a network",
        )


def with_checkpoint(request: Request) -> "tuple[Request, Checkpoint | None]":
    """The request with the family of the checkpoint that it names, and the header of that, where it names one."""
    if not (request.parent or request.grow):
        return request, None
    from daybreak.planning import starting_checkpoint

    return starting_checkpoint.adopted(request)


def adjust_budget(session: Session, plan: Plan, *, seconds: float = 0.0) -> Plan:
    """The plan that a run continues with: a moment of the day is counted to anew, and more `seconds` may be asked."""
    folder, used = session.folder, session.ledger.stopwatch.used()
    held = next((a["seconds"] for a in reversed(folder.amendments()) if a["amendment"] == "budget"), 0.0)
    held = held or plan.budget.seconds
    if plan.budget.until:
        held = used + _seconds_to(plan.budget.until)
        folder.amend("budget", seconds=held, reason=f"recalculated up to {plan.budget.until}")
    elif seconds > held:
        what = (
            f"the budget was raised from {units.duration(held)} to "
            f"{units.duration(seconds)}: the plan made for {units.duration(held)} is kept, "
            "and its remaining steps are spread over the new time; with another --out a "
            "new plan would use all of it"
        )
        folder.amend("budget", seconds=seconds, reason=what)
        session.warn(what)
        held = seconds
    return plan.replace(budget=plan.budget.replace(seconds=held))


def _seconds_to(moment: str) -> float:
    return datetime.datetime.fromisoformat(moment).timestamp() - time.time()
