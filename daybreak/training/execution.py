"""Execution: carries out a plan: encode, train, evaluate, report."""

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daybreak import techniques
from daybreak.core import records, units
from daybreak.core.clock import Ledger
from daybreak.core.errors import DataError
from daybreak.core.records import Event, Measurement
from daybreak.core.run import Run
from daybreak.core.types import Corpus
from daybreak.core.values import Json, plain
from daybreak.engine import faults, hardware
from daybreak.training.alarm import Alarm, OutOfTime, lifting
from daybreak.training.session import Display, Prepared, Session

if TYPE_CHECKING:
    import torch

    from daybreak.training.state import TrainingState

REPORT_SECONDS = 0.5  # for the report, where the budget is used up already
LEAVING_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Where the model is and what it reaches; the keys of `figures` are those of --json, which adds `skipped` and
    `passed_over`.
    """

    run: Run
    figures: Json

    @property
    def skipped(self) -> list[str]:
        """Sentences on what of the sources was not read."""
        return list(self.run.corpus().not_read())

    @property
    def passed_over(self) -> Json:
        """The sum of it."""
        return plain(self.run.corpus().passed_over)


def execute(
    session: Session,
    ready: Prepared,
    *,
    replay: list[records.Step] | None = None,
    validations: dict[int, records.Validation] | None = None,
    mirrors: tuple[str, ...] = (),
    alarm: Alarm | None = None,
) -> Finished:
    """Encode, train, evaluate and report, from plan.json alone; mirrors look on from processes of their own.

    alarm: lifted when the training has begun.
    """
    plan, corpus, machine = ready.plan, ready.corpus, ready.machine
    from daybreak.core.signals import Signals
    from daybreak.data import encode
    from daybreak.data.tokenizers import load_tokenizer
    from daybreak.evaluation.conclusion import verdict
    from daybreak.training.state import TrainingState

    folder, display, ledger = session.folder, session.display, session.ledger
    ledger.enter("encode")
    display.phase("encode")
    faults.at("phase.encode")
    train_tokens, heldout_tokens = encode.encode(folder, corpus, plan.tokenizer)
    log = ledger.log
    _show(folder, mirrors, display, ledger)
    claims = {choice.name: techniques.class_of(choice.name).claim for choice in plan.techniques}
    for name, detail in (("machine", machine.to_json()), ("claims", claims)):
        log.append(Event(name=name, used_seconds=ledger.stopwatch.used(), detail=detail))
    try:
        with Signals() as signals:
            state = TrainingState(
                run=folder,
                plan=plan,
                corpus=corpus,
                machine=machine,
                device=ready.device,
                stopwatch=ledger.stopwatch,
                ledger=ledger,
                log=log,
                tokenizer=load_tokenizer(folder.tokenizer_file),
                train=train_tokens,
                heldout=heldout_tokens,
                show=lifting(display.record, records.Step, alarm) if alarm else display.record,
                signals=signals,
                checkpoint=session.checkpoint,
                replayed=replay is not None,
                validations=validations or {},
            )
            figures = {"family": plan.shape.family, **_trained(state, display, replay, alarm)}
    finally:
        display.close()
    if plan.request is not None and plan.shape.counted and plan.shape.family != plan.request.family:
        figures["reason"] = plan.reasons["family"]
    figures["verdict"] = verdict(plan, corpus, figures)
    _log_the_rest(session, corpus, _peak_memory_of(ready.device))
    log.append(Event(name="finished", used_seconds=ledger.stopwatch.used(), detail=figures))
    _report(session, replayed=replay is not None)
    return Finished(run=folder, figures=figures)


def _trained(state: "TrainingState", display: Display, replay: list[records.Step] | None, alarm: Alarm | None) -> Json:
    display.phase("train")
    if state.plan.shape.counted:
        from daybreak.training.ngram import train_ngram

        if alarm:
            alarm.lift()
        return {**train_ngram(state), **state.promised()}
    from daybreak.training.train import train

    return {**train(state, replay=replay), **state.promised()}


def _log_the_rest(session: Session, corpus: Corpus, peak_bytes: int) -> None:
    """The figures that the model is compared with, and the memory that it took."""
    log = session.ledger.log
    note = f"counted on {units.size(corpus.ngram_bytes)}, scored on the beginning of the held-out text"
    if corpus.ngram_bytes < corpus.bytes:
        note += "; how much is counted depends on the time, so this value differs between runs"
    for name, value, said in (
        ("xz", corpus.xz_bits_per_byte, "of a sample"),
        ("kneser_ney", corpus.ngram_bits_per_byte, note),
    ):
        log.append(Measurement(name=name, value=value, unit="bits/byte", needs="", note=said))
    if peak_bytes:
        log.append(
            Measurement(name="peak_memory_bytes", value=peak_bytes, unit="bytes", needs="", note="of the process")
        )


def _peak_memory_of(device: "torch.device | None") -> int:
    if device is None:
        return hardware.peak_memory_bytes()
    from daybreak.engine.probe import memory_bytes

    return memory_bytes(device)


def _report(session: Session, *, replayed: bool = False) -> None:
    from daybreak.core.signals import Signals
    from daybreak.views import report_page

    log = session.ledger.log
    with Signals(), Alarm(session.ledger.stopwatch) as alarm:  # a Ctrl-C now is too late to save anything
        try:
            if not replayed:
                alarm.set(
                    max(session.request.seconds, session.ledger.stopwatch.used() + REPORT_SECONDS) - LEAVING_SECONDS
                )
            faults.at("phase.report")
            failed = report_page.at_the_end(session.folder)
        except OutOfTime:
            failed = f"no time was left for the report; make it with: daybreak report {session.folder}"
    if failed:
        with contextlib.suppress(OSError):  # a full disk
            log.append(Event(name="warning", used_seconds=session.ledger.stopwatch.used(), detail={"what": failed}))


def _show(folder: Run, mirrors: tuple[str, ...], display: Display, ledger: Ledger) -> None:
    """Starts the mirrors; what they do from then on is no concern of the run."""
    if not mirrors:
        return
    from daybreak.views.mirrors import started

    for event in started(folder, mirrors, ledger.stopwatch.used()):
        ledger.log.append(event)
        display.record(event)


def checked_mirrors(mirrors: tuple[str, ...]) -> tuple[str, ...]:
    """Before any time is spent. Raises UsageError: an unknown mirror, or one whose library is not installed."""
    if not mirrors:
        return ()
    from daybreak.views.destinations import check

    return check(mirrors)


def finished_before(folder: Run) -> Finished:
    """What a finished run said at its end."""
    ends = [r for r in records.read(folder.log_file) if isinstance(r, Event) and r.name == "finished"]
    figures = ends[-1].detail
    if folder.plan().headline.name not in figures:
        raise DataError(
            "the run's log has no final score",
            received=str(folder.log_file),
            attempt=f"run daybreak evaluate {folder}, which scores its model again",
        )
    return Finished(run=folder, figures=figures)
