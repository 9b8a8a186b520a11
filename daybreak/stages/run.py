"""Run: text and a deadline in, a usable model out. Scan, probe, plan, encode, train, evaluate, in this order."""

import contextlib
import datetime
import importlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak import techniques
from daybreak.core import failures, records, units
from daybreak.core.clock import Contention, Ledger, Stopwatch
from daybreak.core.errors import BudgetTooShort, DataError, UsageError
from daybreak.core.records import Event, Measurement
from daybreak.core.run import Run, write_json
from daybreak.core.shapes import NgramShape
from daybreak.core.signals import unbound
from daybreak.core.types import Corpus, Machine, Plan, Request
from daybreak.engine import faults, hardware
from daybreak.planning import names
from daybreak.training.alarm import Alarm, OutOfTime, lifting
from daybreak.training.in_time import PLAN_BY, STEP_BY, Display, Session, begun, check_hope, give_up_at, in_time
from daybreak.training.session import copied, folder_of, kept

if TYPE_CHECKING:
    from daybreak.training.state import Bench

LEAST_SECONDS = 8.0  # imports, a scan and a few seconds of anything; the plan knows better once it has measured
REPORT_SECONDS = 0.5  # for the report, where the budget is used up already
LEAVING_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Where the model is and what it reaches; the keys of `figures` are those of --json, which adds `skipped`."""

    run: Run
    figures: dict[str, Any]

    @property
    def skipped(self) -> list[str]:
        """Sentences on what of the sources was not read."""
        from daybreak.planning import text_facts

        return list(text_facts.unread(self.run.corpus()))


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
    _check(request)
    request = _adopted(request)
    mirrors = _checked(mirrors)
    folder = folder_of(request, out)
    if folder.finished():
        return _again(folder)
    with unbound(), contextlib.closing(display), kept(folder, request, stopwatch) as ledger:
        session = Session(folder=folder, request=_counted_anew(request, ledger), display=display, ledger=ledger)

        def work(alarm: Alarm) -> Finished:
            return carried_out(session, prepared(session, alarm), mirrors=mirrors, alarm=alarm)

        return in_time(session, work, lambda plan: carried_out(session, plan, mirrors=mirrors))


def prepared(session: Session, alarm: Alarm) -> Plan:
    """Scan, probe and plan; what a folder has already is taken from it. Raises OutOfTime and BudgetTooShort."""
    from daybreak.planning import text_facts

    folder, request, display, ledger = session.folder, session.request, session.display, session.ledger
    contention = Contention()
    if folder.plan_file.exists():
        if not begun(folder):
            alarm.set(give_up_at(session, STEP_BY, contention))
        text_facts.check_unchanged(folder, request)
        plan = _recounted(session, folder.plan(), seconds=request.seconds)
        display.planned(plan, _machine_of(plan))
        return plan
    counting = request.family == "ngram"
    alarm.set(give_up_at(session, PLAN_BY, contention))
    if not counting:
        check_hope(session, contention)
        # torch takes over a second to import. That goes by beside the scan, which is not Python's for the most part.
        threading.Thread(target=_import_the_rest, daemon=True).start()
    ledger.enter("scan")
    display.phase("scan")
    faults.at("phase.scan")
    corpus = text_facts.scanned(folder, request)
    for what in text_facts.unread(corpus):
        session.warn(what)
    alarm.check()
    plan, machine = _counting(corpus, request) if counting else _of_a_network(corpus, session)
    plan = plan.replace(skipped=text_facts.unread(corpus))
    alarm.check()
    alarm.set(give_up_at(session, STEP_BY, contention))
    write_json(folder.plan_file, plan.to_json())
    display.planned(plan, machine)
    return plan


def _counting(corpus: Corpus, request: Request) -> tuple[Plan, Machine]:
    from daybreak.planning.counting import counting_plan

    held = 0 if request.reproducible else hardware.held_memory_bytes()
    return counting_plan(corpus, request, held_bytes=held), hardware.processor()


def _of_a_network(corpus: Corpus, session: Session) -> tuple[Plan, Machine]:
    request, display, ledger = session.request, session.display, session.ledger
    ledger.enter("imports")
    faults.at("phase.imports")
    from daybreak.engine import machine as machines
    from daybreak.planning.planner import planned
    from daybreak.training.probe import probe

    ledger.enter("probe")
    display.phase("probe")
    faults.at("phase.probe")
    device = machines.pick_device(request.device)
    machine = machines.measured(device)
    probed = probe(corpus, machine, request, device, ledger.stopwatch)
    for what in probed.warnings:
        session.warn(what)
    if probed.warnings:  # what could not be compiled now is not planned with
        machine = machine.replace(compiler="")
    ledger.enter("plan")
    faults.at("phase.plan")
    return planned(corpus, machine, probed, request, only_measured=True), machine


def _counted_anew(request: Request, ledger: Ledger) -> Request:
    """With the seconds to a moment of the day counted from now on, whatever an earlier process has used."""
    if not request.until:
        return request
    return request.replace(seconds=ledger.stopwatch.used() + _seconds_to(request.until))


def _import_the_rest() -> None:
    with contextlib.suppress(Exception):  # raised again where it is imported by who needs it
        importlib.import_module("daybreak.training.train")


def carried_out(
    session: Session,
    plan: Plan,
    *,
    replay: list[records.Step] | None = None,
    validations: dict[int, records.Validation] | None = None,
    mirrors: tuple[str, ...] = (),
    alarm: Alarm | None = None,
) -> Finished:
    """Encode, train, evaluate and report, from plan.json alone; mirrors look on from processes of their own.

    alarm: lifted when the training has begun.
    """
    from daybreak.core.signals import Signals
    from daybreak.data import encode
    from daybreak.data.tokenizers import load_tokenizer
    from daybreak.evaluation.conclusion import verdict
    from daybreak.training.state import Bench

    folder, display, ledger = session.folder, session.display, session.ledger
    ledger.enter("encode")
    display.phase("encode")
    faults.at("phase.encode")
    machine, corpus = _machine_of(plan), folder.corpus()
    train_tokens, heldout_tokens = encode.encode(folder, corpus, plan.tokenizer)
    log = ledger.log
    _show(folder, mirrors, display, ledger)
    claims = {choice.name: techniques.class_of(choice.name).claim for choice in plan.techniques}
    for name, detail in (("machine", machine.to_json()), ("claims", claims)):
        log.append(Event(name=name, used_seconds=ledger.stopwatch.used(), detail=detail))
    try:
        with Signals() as signals:
            bench = Bench(
                run=folder,
                plan=plan,
                corpus=corpus,
                machine=machine,
                stopwatch=ledger.stopwatch,
                ledger=ledger,
                log=log,
                tokenizer=load_tokenizer(folder.tokenizer_file),
                train=train_tokens,
                heldout=heldout_tokens,
                show=lifting(display.record, records.Step, alarm) if alarm else display.record,
                signals=signals,
                replayed=replay is not None,
                validations=validations or {},
            )
            figures = {"family": plan.shape.family, **_trained(bench, display, replay, alarm)}
    finally:
        display.close()
    if plan.request is not None and figures["family"] == "ngram" != plan.request.family:
        figures["reason"] = plan.reasons["family"]
    figures["verdict"] = verdict(plan, corpus, figures)
    _log_the_rest(session, corpus, _peak_memory_of(plan))
    log.append(Event(name="finished", used_seconds=ledger.stopwatch.used(), detail=figures))
    _report(session, replayed=replay is not None)
    return Finished(run=folder, figures=figures)


def _trained(
    bench: "Bench", display: Display, replay: list[records.Step] | None, alarm: Alarm | None
) -> dict[str, Any]:
    display.phase("train")
    if isinstance(bench.plan.shape, NgramShape):
        from daybreak.training.ngram import count

        if alarm:
            alarm.lift()
        return {**count(bench), **bench.promised()}
    from daybreak.engine import machine as machines
    from daybreak.training.state import Workbench
    from daybreak.training.train import train

    device = machines.pick_device(bench.plan.request.device if bench.plan.request else "")
    network = Workbench(**vars(bench), device=device)
    return {**train(network, replay=replay), **network.promised()}


def _log_the_rest(session: Session, corpus: Corpus, peak_bytes: int) -> None:
    """The figures that the model is compared with, and the memory that it took."""
    log = session.ledger.log
    note = f"counted on {units.size(corpus.ngram_bytes)}, scored on a beginning of the held-out text"
    if corpus.ngram_bytes < corpus.bytes:
        note += "; how much was counted depends on the time, so the figure does not compare between runs"
    for name, value, said in (
        ("xz", corpus.xz_bits_per_byte, "of a sample"),
        ("kneser_ney", corpus.ngram_bits_per_byte, note),
    ):
        log.append(Measurement(name=name, value=value, unit="bits/byte", needs="", note=said))
    if peak_bytes:
        log.append(
            Measurement(name="peak_memory_bytes", value=peak_bytes, unit="bytes", needs="", note="of the process")
        )


def _peak_memory_of(plan: Plan) -> int:
    if isinstance(plan.shape, NgramShape):
        return hardware.peak_memory_bytes()
    from daybreak.engine import machine as machines
    from daybreak.engine.probe import memory_bytes

    return memory_bytes(machines.pick_device(plan.request.device if plan.request else ""))


def _report(session: Session, *, replayed: bool = False) -> None:
    from daybreak.core.signals import Signals
    from daybreak.stages import report

    log = session.ledger.log
    with Signals(), Alarm(session.ledger.stopwatch) as alarm:  # a Ctrl-C now is too late to save anything
        try:
            if not replayed:
                alarm.set(
                    max(session.request.seconds, session.ledger.stopwatch.used() + REPORT_SECONDS) - LEAVING_SECONDS
                )
            faults.at("phase.report")
            failed = report.at_the_end(session.folder)
        except OutOfTime:
            failed = f"no time was left for the report: daybreak report {session.folder}"
    if failed:
        with contextlib.suppress(OSError):  # a full disk
            log.append(Event(name="warning", used_seconds=session.ledger.stopwatch.used(), detail={"what": failed}))


# Parts of it


def train_only(
    path: str, display: Display, *, out: str = "", replay: bool = False, mirrors: tuple[str, ...] = ()
) -> Finished:
    """Carries out a plan that was made before: of a run folder, or a plan.json. Raises DaybreakError.

    replay: repeats the folder's log in `out` (else beside it), step for step.
    """
    stopwatch = Stopwatch()
    mirrors = _checked(mirrors)
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
                "there is nothing to replay", received=f"{folder.log_file}", attempt="a run that has trained"
            )
        folder = copied(folder, Run(out or f"{folder}-replay"))
    elif folder.finished():
        return _again(folder)
    request = folder.request()
    if request is None or not request.seconds:  # a copied plan, or one beside text that was only prepared
        request = plan.request or Request(sources=(), seconds=plan.budget.seconds)
    with unbound(), contextlib.closing(display), kept(folder, request, stopwatch) as ledger:
        session = Session(folder=folder, request=request, display=display, ledger=ledger)
        plan = _recounted(session, plan)
        if replay:
            display.planned(plan, _machine_of(plan))
            return carried_out(session, plan, replay=steps, validations=validations, mirrors=mirrors)
        return _carried_out_in_time(session, plan, mirrors)


def _carried_out_in_time(session: Session, plan: Plan, mirrors: tuple[str, ...]) -> Finished:
    session = replace(session, request=session.request.replace(seconds=plan.budget.seconds))

    def work(alarm: Alarm) -> Finished:
        if not begun(session.folder):
            alarm.set(give_up_at(session, STEP_BY, Contention()))
        session.display.planned(plan, _machine_of(plan))
        return carried_out(session, plan, mirrors=mirrors, alarm=alarm)

    return in_time(session, work, lambda plan: carried_out(session, plan, mirrors=mirrors))


def _machine_of(plan: Plan) -> Machine:
    if isinstance(plan.shape, NgramShape):
        return hardware.processor()
    from daybreak.engine import machine as machines

    return machines.measured(machines.pick_device(plan.request.device if plan.request else ""))


def _from_plan_file(path: Path, display: Display, out: str, stopwatch: Stopwatch, mirrors: tuple[str, ...]) -> Finished:
    """A plan that lies alone: its text is scanned again and must be the same."""
    from daybreak.core.run import read_json
    from daybreak.planning import text_facts

    plan = Plan.from_json(read_json(path, "`daybreak plan --out plan.json`"), str(path))
    if plan.request is None:
        raise UsageError(
            "the plan does not say which text", received=str(path), attempt="daybreak plan TEXT --out plan.json"
        )
    folder = folder_of(plan.request, out)
    if folder.finished():
        return _again(folder)
    with unbound(), contextlib.closing(display), kept(folder, plan.request, stopwatch) as ledger:
        session = Session(folder=folder, request=plan.request, display=display, ledger=ledger)
        ledger.enter("scan")
        corpus = text_facts.scanned(folder, plan.request)
        if corpus.digest != plan.corpus:
            raise DataError(
                "the text is not the one that was planned for",
                received=f"digest {corpus.digest}, planned {plan.corpus}",
                attempt="`daybreak plan` again",
            )
        write_json(folder.plan_file, plan.to_json())
        return _carried_out_in_time(session, _recounted(session, plan), mirrors)


def _checked(mirrors: tuple[str, ...]) -> tuple[str, ...]:
    """Before any time is spent. Raises UsageError: an unknown mirror, or one whose library is not installed."""
    if not mirrors:
        return ()
    from daybreak.views.destinations import check

    return check(mirrors)


def _show(folder: Run, mirrors: tuple[str, ...], display: Display, ledger: Ledger) -> None:
    """Starts the mirrors; what they do from then on is no concern of the run."""
    if not mirrors:
        return
    from daybreak.stages.mirror import started

    for event in started(folder, mirrors, ledger.stopwatch.used()):
        ledger.log.append(event)
        display.record(event)


# What is asked, and what was done before


def _check(request: Request) -> None:
    from daybreak.planning.tokenizer_choice import check as check_tokenizer

    names.check(request)
    check_tokenizer(request)
    if request.seconds < LEAST_SECONDS:
        raise BudgetTooShort(
            "the budget is too short for any machine",
            received=f"--for {request.seconds:g}s",
            attempt=f"--for {LEAST_SECONDS:.0f}s --family ngram, or --for 20s and more for a network",
        )


def _adopted(request: Request) -> Request:
    if not (request.parent or request.grow):
        return request
    from daybreak.planning import starting_checkpoint

    return starting_checkpoint.adopted(request)


def _again(folder: Run) -> Finished:
    """What a finished run said at its end."""
    ends = [r for r in records.read(folder.log_file) if isinstance(r, Event) and r.name == "finished"]
    figures = ends[-1].detail
    if folder.plan().headline.name not in figures:
        raise DataError(
            "the log of the run does not say what it has reached",
            received=str(folder.log_file),
            attempt=f"daybreak evaluate {folder}, which scores its model anew",
        )
    return Finished(run=folder, figures=figures)


def _recounted(session: Session, plan: Plan, *, seconds: float = 0.0) -> Plan:
    """The plan that a run continues with: a moment of the day is counted to anew, and more `seconds` may be asked."""
    folder, used = session.folder, session.ledger.stopwatch.used()
    held = next((a["seconds"] for a in reversed(folder.amendments()) if a["amendment"] == "budget"), 0.0)
    held = held or plan.budget.seconds
    if plan.budget.until:
        held = used + _seconds_to(plan.budget.until)
        folder.amend("budget", seconds=held, reason=f"counted anew to {plan.budget.until}")
    elif seconds > held:
        what = (
            f"the budget was raised from {units.duration(held)} to {units.duration(seconds)}: the plan stays as it was "
            "made for less, and its rest is spread over that time; another --out would be planned for all of it"
        )
        folder.amend("budget", seconds=seconds, reason=what)
        session.warn(what)
        held = seconds
    return plan.replace(budget=plan.budget.replace(seconds=held))


def _seconds_to(moment: str) -> float:
    return datetime.datetime.fromisoformat(moment).timestamp() - time.time()


def guarded(work: Callable[[], Any]) -> Any:
    """`work`, with running out of memory told in the three parts of an error."""
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        named = failures.named(error)
        if named is None:
            raise
        raise named from None
