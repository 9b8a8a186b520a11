"""Run: text and a deadline in, a usable model out. Scan, probe, plan, encode, train, evaluate, in this order."""

import contextlib
import datetime
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from daybreak.core import records, units
from daybreak.core.clock import Ledger, Stopwatch
from daybreak.core.errors import BudgetTooShort, DataError, Interrupted, ResourceError, UsageError
from daybreak.core.records import Event, Log, Measurement, Phase, Record
from daybreak.core.run import Run, name_for, runs_in, write_json
from daybreak.core.types import Machine, Plan, Request

LEAST_SECONDS = 8.0  # imports, a scan and a few seconds of anything; the plan knows better once it has measured


class Display(Protocol):
    """Who looks on while a run goes; see stages/progress.py."""

    def phase(self, name: str) -> None: ...

    def planned(self, plan: Plan, machine: Machine) -> None: ...

    def record(self, record: Record) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Where the model is and what it reaches; the keys of `figures` are those of --json."""

    run: Run
    figures: dict[str, Any]


def run(request: Request, display: Display, *, out: str = "", stopwatch: Stopwatch | None = None) -> Finished:
    """All of it. The same request again continues an interrupted run.

    Raises DaybreakError. What fails before there is something to keep leaves no folder behind.
    """
    stopwatch = stopwatch or Stopwatch()
    _check(request)
    folder = _folder(request, out)
    if folder.finished():
        return _again(folder)
    with contextlib.closing(display), _kept(folder, request, stopwatch) as ledger:
        plan = prepared(folder, request, display, ledger)
        return carried_out(folder, plan, display, ledger)


def prepared(folder: Run, request: Request, display: Display, ledger: Ledger) -> Plan:
    """Scan, probe and plan; what a folder has already is taken from it."""
    from daybreak.engine import machine as machines
    from daybreak.stages import prepare
    from daybreak.stages.plan import planned
    from daybreak.stages.probe import probe

    if folder.plan_file.exists():
        plan = _recounted(folder, folder.plan(), ledger.stopwatch)
        display.planned(plan, machines.measured(machines.pick_device(request.device)))
        return plan
    if request.until:  # counted from now on, whatever an earlier process has used
        request = request.replace(seconds=ledger.stopwatch.used() + _seconds_to(request.until))
    ledger.enter("scan")
    display.phase("scan")
    corpus = folder.corpus() if folder.corpus_file.exists() else prepare.scan(folder, request)
    ledger.enter("probe")
    display.phase("probe")
    device = machines.pick_device(request.device)
    machine = machines.measured(device)
    probed = probe(corpus, machine, request, device, ledger.stopwatch)
    ledger.enter("plan")
    plan = planned(corpus, machine, probed, request, only_measured=True)
    write_json(folder.plan_file, plan.to_json())
    display.planned(plan, machine)
    return plan


def carried_out(
    folder: Run, plan: Plan, display: Display, ledger: Ledger, *, replay: list[records.Step] | None = None
) -> Finished:
    """Encode, train, evaluate and report, from plan.json alone."""
    from daybreak.data.tokenizers import Tokenizer
    from daybreak.engine import machine as machines
    from daybreak.stages import prepare, report
    from daybreak.stages.bench import Workbench
    from daybreak.stages.signals import Signals
    from daybreak.stages.train import train

    ledger.enter("encode")
    display.phase("encode")
    device = machines.pick_device(plan.request.device if plan.request else "")
    machine = machines.measured(device)
    corpus = folder.corpus()
    train_tokens, heldout_tokens = prepare.encode(folder, corpus, plan.tokenizer)
    log = ledger.log
    try:
        with Signals() as signals:
            bench = Workbench(
                run=folder,
                plan=plan,
                corpus=corpus,
                machine=machine,
                device=device,
                stopwatch=ledger.stopwatch,
                ledger=ledger,
                log=log,
                tokenizer=Tokenizer.load(folder.tokenizer_file),
                train=train_tokens,
                heldout=heldout_tokens,
                show=display.record,
                signals=signals,
                replayed=replay is not None,
            )
            display.phase("train")
            figures = train(bench, replay=replay)
    finally:
        display.close()
    xz = Measurement(name="xz", value=corpus.xz_bits_per_byte, unit="bits/byte", needs="", note="of a sample")
    note = f"counted on {units.size(corpus.ngram_bytes)}, scored on a beginning of the held-out text"
    counts = Measurement(name="kneser_ney", value=corpus.ngram_bits_per_byte, unit="bits/byte", needs="", note=note)
    log.append(xz)
    log.append(counts)
    log.append(Event(name="finished", used_seconds=ledger.stopwatch.used(), detail=figures))
    folder.report_file.write_text(report.markdown(folder), encoding="utf-8", errors="replace")
    return Finished(run=folder, figures=figures)


# Parts of it


def plan_only(request: Request, stopwatch: Stopwatch, *, out: str = "") -> Plan:
    """Scan, probe and plan. out: a run folder to keep, or a .json file for the plan alone. Raises DaybreakError."""
    import tempfile

    from daybreak.stages.progress import Silence

    _check(request)
    with contextlib.ExitStack() as stack:
        if out and not out.endswith(".json"):
            folder = _folder(request, out)
        else:
            folder = Run(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "plan")
        ledger = stack.enter_context(_kept(folder, request, stopwatch))
        plan = prepared(folder, request, Silence(), ledger)
    if out.endswith(".json"):
        try:
            write_json(Path(out), plan.to_json())
        except OSError as error:
            raise ResourceError(
                "the plan cannot be written",
                received=f"{out}: {error.strerror}",
                attempt="--out with a file you may write",
            ) from None
    return plan


def prepare_only(sources: tuple[str, ...], *, out: str, heldout: str, vocabulary: int) -> dict[str, Any]:
    """Scan and encode into a folder; the keys are those of `daybreak prepare --json`. Raises DaybreakError."""
    from daybreak.core.types import TokenizerChoice
    from daybreak.stages import prepare
    from daybreak.stages.candidates import known_vocabulary

    request = Request(sources=sources, heldout=heldout, seconds=0.0)
    stopwatch = Stopwatch()
    folder = _folder(request, out)
    with _kept(folder, request, stopwatch):
        corpus = folder.corpus() if folder.corpus_file.exists() else prepare.scan(folder, request)
        known_vocabulary(vocabulary, corpus)
        choice = TokenizerChoice(kind="bytes" if vocabulary == 257 else "bpe", vocabulary=vocabulary)
        train, held = prepare.encode(folder, corpus, choice)
    return {
        "run": str(folder),
        "documents": corpus.documents,
        "bytes": corpus.bytes,
        "tokens": len(train),
        "vocab": vocabulary,
        "heldout": {"documents": corpus.heldout_documents, "bytes": corpus.heldout_bytes, "tokens": len(held)},
    }


def train_only(path: str, display: Display, *, out: str = "", replay: bool = False) -> Finished:
    """Carries out a plan that was made before: of a run folder, or a plan.json. Raises DaybreakError.

    replay: repeats the folder's log in `out` (else beside it), step for step.
    """
    stopwatch = Stopwatch()
    if path.endswith(".json"):
        return _from_plan_file(Path(path), display, out, stopwatch)
    folder = Run.open(path)
    plan = folder.plan()
    steps = None
    if replay:
        steps = records.standing_steps(folder.log_file)
        if not steps:
            raise UsageError(
                "there is nothing to replay", received=f"{folder.log_file}", attempt="a run that has trained"
            )
        folder = _copied(folder, Run(out or f"{folder}-replay"))
    elif folder.finished():
        return _again(folder)
    request = plan.request or Request(sources=(), seconds=plan.budget.seconds)
    with contextlib.closing(display), _kept(folder, request, stopwatch) as ledger:
        plan = _recounted(folder, plan, stopwatch)
        display.planned(plan, _machine_of(plan))
        return carried_out(folder, plan, display, ledger, replay=steps)


def _machine_of(plan: Plan) -> Machine:
    from daybreak.engine import machine as machines

    return machines.measured(machines.pick_device(plan.request.device if plan.request else ""))


def _from_plan_file(path: Path, display: Display, out: str, stopwatch: Stopwatch) -> Finished:
    """A plan that lies alone: its text is scanned again and must be the same."""
    from daybreak.core.run import read_json
    from daybreak.stages import prepare

    plan = Plan.from_json(read_json(path, "`daybreak plan --out plan.json`"), str(path))
    if plan.request is None:
        raise UsageError(
            "the plan does not say which text", received=str(path), attempt="daybreak plan TEXT --out plan.json"
        )
    folder = _folder(plan.request, out)
    if folder.finished():
        return _again(folder)
    with contextlib.closing(display), _kept(folder, plan.request, stopwatch) as ledger:
        ledger.enter("scan")
        corpus = folder.corpus() if folder.corpus_file.exists() else prepare.scan(folder, plan.request)
        if corpus.digest != plan.corpus:
            raise DataError(
                "the text is not the one that was planned for",
                received=f"digest {corpus.digest}, planned {plan.corpus}",
                attempt="`daybreak plan` again",
            )
        write_json(folder.plan_file, plan.to_json())
        plan = _recounted(folder, plan, stopwatch)
        display.planned(plan, _machine_of(plan))
        return carried_out(folder, plan, display, ledger)


def _copied(old: Run, new: Run) -> Run:
    """What training reads, in another folder; the rest it makes anew."""
    if new.path.exists():
        raise UsageError("the folder exists", received=str(new), attempt="--out with a folder that does not exist yet")
    try:
        new.path.mkdir(parents=True)
        shutil.copytree(old.corpus_folder, new.corpus_folder)
        for name in ("plan_file", "tokenizer_file", "request_file"):
            if getattr(old, name).exists():
                shutil.copyfile(getattr(old, name), getattr(new, name))
        chosen = [r for r in records.read(old.log_file) if isinstance(r, Event) and r.name == "weights chosen"]
        log = Log(new.log_file)
        for event in chosen[-1:]:
            log.append(event)
        log.close()
    except BaseException as error:
        new.remove()
        if isinstance(error, OSError):
            raise ResourceError(
                "the folder of the replay cannot be made",
                received=f"{new}: {error.strerror or error}",
                attempt="--out with a folder you may write",
            ) from None
        raise
    return new


# Folders


def _check(request: Request) -> None:
    if request.heldout and not Path(request.heldout).is_file():
        raise DataError(
            "the held-out file is not there",
            received=f"--heldout {request.heldout}",
            attempt="a file of text to score on",
        )
    if request.seconds < LEAST_SECONDS:
        raise BudgetTooShort(
            "the budget is too short for any machine",
            received=f"--for {request.seconds:g}s",
            attempt=f"--for {LEAST_SECONDS:.0f}s --family ngram, or --for 20s and more for a network",
        )


def _folder(request: Request, out: str) -> Run:
    """The folder that --out names, an interrupted run of the same request, or a new one. Raises UsageError."""
    if not out:
        for old in runs_in(Path("runs")):
            asked = old.request()
            if asked is not None and asked.continues(request) and not old.finished():
                return old
        return Run(Path("runs") / name_for(request.sources, time.localtime()))
    folder = Run(out)
    if not folder.path.exists():
        return folder
    asked = folder.request()
    if asked is None and (not folder.path.is_dir() or any(folder.path.iterdir())):
        raise UsageError(
            "the folder holds something else", received=f"--out {out}", attempt="a folder that does not exist yet"
        )
    if asked is not None and not asked.continues(request):
        raise UsageError(
            "the folder holds a run of another text or another request",
            received=f"--out {out}: {_difference(asked, request)}",
            attempt="the command that made it, to continue it, or another --out",
        )
    return folder


def _difference(asked: Request, request: Request) -> str:
    one, other = asked.to_json(), request.to_json()
    return "; ".join(f"{name} was {one[name]!r}, is {other[name]!r}" for name in one if one[name] != other[name])


@contextlib.contextmanager
def _kept(folder: Run, request: Request, stopwatch: Stopwatch) -> Iterator[Ledger]:
    """Holds the folder, counts the time used before, and takes away a folder in which nothing came to be.

    Raises ResourceError for a disk that is full or may not be written, Interrupted for a Ctrl-C before training.
    """
    existed, before = folder.path.exists(), folder.request()
    folder.make()
    log, claimed = None, False
    try:
        prepared_only = before is not None and before.seconds == 0
        stopwatch.continue_from(0.0 if prepared_only else folder.used_seconds())
        with folder.alive(stopwatch.used):
            claimed = True
            write_json(folder.request_file, request.to_json())
            _log_to(folder)
            if request.sources == ("-",) and not folder.standard_input_file.exists():
                _spool(folder)
            log = Log(folder.log_file)
            recorded = sum(r.seconds for r in records.read(folder.log_file) if isinstance(r, Phase))
            yield Ledger(log, stopwatch, name="interrupted" if recorded else "imports", since=recorded)
    except BaseException as error:
        started = folder.checkpoints_folder.exists() or (folder.model_folder / "config.json").exists()
        if not started and before is not None and before.seconds == 0:  # what was prepared stays prepared
            write_json(folder.request_file, before.to_json())
        # What was killed before it trained and has no time left would stand in the way of every later command.
        elif claimed and not started and (not existed or isinstance(error, BudgetTooShort)):
            folder.remove()
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(
                "the run was interrupted before training",
                received=f"Ctrl-C after {stopwatch.used():.0f} s",
                attempt="the same command again",
            ) from None
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise ResourceError(
                "the run could not go on",
                received=f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}",
                attempt="free some disk space, or name a folder you may write with --out; the same command continues",
            ) from None
        raise
    finally:
        if log is not None:
            with contextlib.suppress(OSError):  # a full disk has been told already
                log.close()


def _spool(folder: Run) -> None:
    """Standard input can be read once, and the text is needed twice."""
    if sys.stdin is None or sys.stdin.isatty():
        raise DataError(
            "there is no text on standard input", received="a terminal", attempt="cat my_text | daybreak run - --for 1h"
        )
    beside = folder.standard_input_file.with_suffix(".part")
    with beside.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    beside.rename(folder.standard_input_file)


def _log_to(folder: Run) -> None:
    logging.raiseExceptions = False  # a full disk is told by the run itself
    handler = logging.FileHandler(folder.python_log_file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("daybreak")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(logging.INFO)


def _again(folder: Run) -> Finished:
    """What a finished run said at its end."""
    ends = [r for r in records.read(folder.log_file) if isinstance(r, Event) and r.name == "finished"]
    return Finished(run=folder, figures=ends[-1].detail)


def _recounted(folder: Run, plan: Plan, stopwatch: Stopwatch) -> Plan:
    """The plan that a run continues with: a moment of the day is counted to anew."""
    if not plan.budget.until:
        return plan
    seconds = stopwatch.used() + _seconds_to(plan.budget.until)
    folder.amend("budget", seconds=seconds, reason=f"counted anew to {plan.budget.until}")
    return plan.replace(budget=plan.budget.replace(seconds=seconds))


def _seconds_to(moment: str) -> float:
    return datetime.datetime.fromisoformat(moment).timestamp() - time.time()


def guarded(work: Callable[[], Any]) -> Any:
    """`work`, with running out of memory told in the three parts of an error."""
    try:
        return work()
    except MemoryError:
        raise ResourceError(
            "the memory is used up", received="MemoryError", attempt="--set micro_batch=8, or a smaller shape"
        ) from None
    except RuntimeError as error:
        if "out of memory" not in str(error) and "not enough memory" not in str(error):
            raise
        raise ResourceError(
            "the memory is used up",
            received=str(error).splitlines()[0],
            attempt="--set micro_batch=8, or a smaller shape",
        ) from None
