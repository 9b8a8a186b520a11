"""Session: the folder of a request, who holds it, what is looked up once for it, and what is left when it fails."""

import contextlib
import dataclasses
import importlib.metadata
import itertools
import logging
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from daybreak.core import failures, records
from daybreak.core.clock import Ledger, Stopwatch
from daybreak.core.errors import (
    BudgetTooShort,
    DataError,
    DaybreakError,
    Interrupted,
    ResourceError,
    Saved,
    UsageError,
)
from daybreak.core.records import Event, Log, Phase, Record
from daybreak.core.request import OPTIONS, Request, usual_of
from daybreak.core.run import Run, name_for, runs_in, write_json
from daybreak.core.signals import Terminated, terminable
from daybreak.core.types import Corpus, Machine, Plan
from daybreak.engine import hardware

if TYPE_CHECKING:  # which needs torch
    import torch

    from daybreak.models.checkpoints.source import Checkpoint


class Display(Protocol):
    """Who looks on while a run goes; see views/progress.py."""

    def phase(self, name: str) -> None: ...

    def planned(self, plan: Plan, machine: Machine) -> None: ...

    def record(self, record: Record) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Session:
    """A run's folder, what was asked of it, and who writes down and shows what becomes of it."""

    folder: Run
    request: Request
    display: Display
    ledger: Ledger
    checkpoint: "Checkpoint | None" = None  # that training begins with, by its header

    def warn(self, what: str) -> None:
        warning = Event(name="warning", used_seconds=self.ledger.stopwatch.used(), detail={"what": what})
        self.ledger.log.append(warning)
        self.display.record(warning)

    def left(self) -> float:
        """Seconds of the budget."""
        return self.request.seconds - self.ledger.stopwatch.used()


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A plan with what it is carried out on. Each is looked up once for a session, also where a run is resumed."""

    plan: Plan
    corpus: Corpus
    machine: Machine
    device: "torch.device | None"  # None: the plan counts n-grams, on the processor


def prepared(session: Session, plan: Plan, corpus: Corpus | None = None) -> Prepared:
    """A plan of before, with this machine and its corpus. Raises UsageError: a device that cannot be used."""
    corpus = corpus or session.folder.corpus()
    if plan.shape.counted:
        return Prepared(plan=plan, corpus=corpus, machine=hardware.processor(), device=None)
    from daybreak.engine import machine as machines

    device = machines.pick_device(plan.device)
    return Prepared(plan=plan, corpus=corpus, machine=machines.measured(device), device=device)


def folder_of(request: Request, out: str) -> Run:
    """The folder that --out names, an interrupted run of the same request, or a new one. Raises UsageError."""
    if not out:
        for old in runs_in(Path("runs")):
            asked = old.request()
            if asked is not None and asked.continues(request.shown()) and not old.finished():
                return old
        return Run(Path("runs") / name_for(request.sources, time.localtime()))
    folder = Run(out)
    if not folder.path.exists():
        return folder
    asked = folder.request()
    if asked is None and (not folder.path.is_dir() or any(map(_of_somebody, folder.path.rglob("*")))):
        raise UsageError(
            "the output folder holds other files", received=f"--out {out}", attempt="a folder that does not exist yet"
        )
    goes_on = asked is None or asked.continues(request.shown())
    if asked is not None and not goes_on and not (request.shown().prolongs(asked) and not folder.finished()):
        differs = f"--out {out}: {difference(asked, request.shown())}"
        if folder.finished() and asked.replace(seconds=request.seconds).continues(request.shown()):
            raise UsageError("the run is finished", received=differs, attempt=_further(folder, request.shown()))
        raise UsageError(
            "the output folder holds a run with other text or options",
            received=differs,
            attempt="repeat the command that made this folder, to continue it, or name another folder with --out",
        )
    return folder


def _further(folder: Run, request: Request) -> str:
    """What to type for more of a finished run: a network goes on from its weights; counts are made anew."""
    place = next(path for number in itertools.count(2) if not (path := Path(f"{folder.path}-{number}")).exists())
    try:
        counts = folder.plan().shape.counted
    except DaybreakError:
        counts = True
    if not counts:  # the checkpoint says family and shape
        request = request.replace(parent=str(folder), family=usual_of("family"), settings={})
    words = request.words()
    out = shlex.join(["daybreak", "run", "--out", str(place), *words])
    return f"to {'make it anew' if counts else 'train it further'}: {out}"


def _of_somebody(path: Path) -> bool:
    """Whether a file is not one of those that a process writes before it writes down what was asked."""
    ours = path.name in (".lock", "heartbeat.json") or path.name.startswith((".heartbeat.json.", ".request.json."))
    return path.is_file() and not ours


def difference(asked: Request, request: Request) -> str:
    """The options that differ, as they were and as they are."""
    one, other = asked.to_json(), request.to_json()
    if not asked.seconds:  # it was only prepared
        one = {name: one[name] for name in ("sources", "heldout", "tokenizer")}
    found = []
    for name in one:
        if name == "schema" or one[name] == other[name]:
            continue
        option, was, now = _option(name), one[name], other[name]
        if name == "seconds":
            was, now = (f"{was:g} s", f"{now:g} s") if not (asked.until or request.until) else ("", "")
        pairs = {option: (was, now)}
        if isinstance(was, dict):
            pairs = {f"{option} {key}": (was.get(key, ""), now.get(key, "")) for key in {**was, **now}}
        found += [f"{what} was {_said(old)}, is {_said(new)}" for what, (old, new) in pairs.items() if old != new]
    return "; ".join(found)


def _option(name: str) -> str:
    """What a field of a request is called on the command line."""
    return OPTIONS["include" if name == "technique_settings" else name].flag or "the text"


def _said(value: object) -> str:
    return (", ".join(value) if isinstance(value, list) else str(value)) or "not given"


@contextlib.contextmanager
def open_session(folder: Run, request: Request, stopwatch: Stopwatch) -> Iterator[Ledger]:
    """Holds the folder, counts the time used before, and takes away a folder in which nothing came to be.

    Raises ResourceError for a disk that is full, UsageError for one that may not be written, Interrupted for a Ctrl-C
    before training, and Saved for a SIGTERM; what was prepared stays.
    """
    with terminable():
        yield from _opened(folder, request, stopwatch)


def _opened(folder: Run, request: Request, stopwatch: Stopwatch) -> Iterator[Ledger]:
    existed, before = folder.path.exists(), folder.request()
    folder.make()
    log, claimed = None, False
    try:
        prepared_only = before is not None and before.seconds == 0
        stopwatch.continue_from(0.0 if prepared_only else folder.used_seconds())
        with folder.alive(stopwatch.used):
            claimed = True
            write_json(folder.request_file, request.shown().to_json())
            _log_to(folder)
            if request.sources == ("-",) and not folder.standard_input_file.exists():
                _spool(folder)
            log = Log(folder.log_file)
            log.append(Event(name="versions", used_seconds=stopwatch.used(), detail=_versions()))
            recorded = sum(r.seconds for r in records.read(folder.log_file) if isinstance(r, Phase))
            yield Ledger(log, stopwatch, name="interrupted" if recorded else "imports", since=recorded)
    except BaseException as error:
        started = folder.checkpoints_folder.exists() or (folder.model_folder / "config.json").exists()
        if not started and before is not None and before.seconds == 0:  # what was prepared stays prepared
            write_json(folder.request_file, before.to_json())
        # What was killed before it trained and has no time left would stand in the way of every later command.
        elif (
            claimed and not started and (isinstance(error, BudgetTooShort) or not (existed or _kept_by(error, folder)))
        ):
            folder.remove()
        if isinstance(error, Terminated):
            raise Saved(
                "the run was terminated",
                received=f"SIGTERM after {stopwatch.used():.0f} s",
                attempt="the same command again: it goes on from here",
            ) from None
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(
                "the run was interrupted before training",
                received=f"Ctrl-C after {stopwatch.used():.0f} s",
                attempt="the same command again",
            ) from None
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise failures.of_system(
                error,
                what="the run could not continue",
                attempt="name a folder that you may write with --out; repeating the command continues",
            ) from None
        raise
    finally:
        if log is not None:
            with contextlib.suppress(OSError):  # a full disk has been told already
                log.close()


def _kept_by(error: BaseException, folder: Run) -> bool:
    """Whether a new folder stays: there is work in it that the same command goes on from."""
    begun = folder.standard_input_file.exists() or any(folder.documents_folder.glob("*.json"))
    return begun and isinstance(error, KeyboardInterrupt | OSError | ResourceError)


def _spool(folder: Run) -> None:
    """Standard input can be read once, and the text is needed twice."""
    if sys.stdin is None or sys.stdin.isatty():
        raise DataError(
            "there is no text on standard input",
            received="a terminal",
            attempt="for example: cat my_text | daybreak run - --for 1h",
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


def copied(old: Run, new: Run) -> Run:
    """What training reads, in another folder; the rest it makes anew."""
    if new.path.exists():
        raise UsageError(
            "the folder exists", received=str(new), attempt="name a folder that does not exist yet with --out"
        )
    try:
        new.path.mkdir(parents=True)
        shutil.copytree(old.corpus_folder, new.corpus_folder)
        for name in ("plan_file", "tokenizer_file", "request_file"):
            if getattr(old, name).exists():
                shutil.copyfile(getattr(old, name), getattr(new, name))
        chosen = [r for r in records.read(old.log_file) if isinstance(r, Event) and r.name == "weights chosen"]
        log = Log(new.log_file)
        for event in chosen[-1:]:
            log.append(dataclasses.replace(event, used_seconds=0.0))  # the replay has not used them
        log.close()
    except BaseException as error:
        new.remove()
        if isinstance(error, OSError):
            raise failures.of_system(
                error,
                what="the folder of the replay cannot be created",
                place=new,
                attempt="name a folder that you may write with --out",
            ) from None
        raise
    return new


def begun_with(text: Run, run: Run, request: Request, *, used_seconds: float) -> None:
    """A folder as if the run had been ended after it had read its text, with so many seconds used.

    Texts, which are never written again, are shared with the folder that they come from. Raises ResourceError.
    """
    try:
        for path in text.corpus_folder.rglob("*"):
            place = run.corpus_folder / path.relative_to(text.corpus_folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                _shared(path, place)
        run.continued_at(used_seconds)
        log = Log(run.log_file)
        log.append(Phase(name="scan", seconds=used_seconds, used_seconds=used_seconds))
        log.close()
        write_json(run.request_file, request.shown().to_json())  # last: before it, the folder is nobody's
    except OSError as error:
        run.remove()
        raise failures.of_system(
            error,
            what="the run folder cannot be created",
            place=run,
            attempt="name a folder that you may write with --out",
        ) from None


def _shared(path: Path, place: Path) -> None:
    if path.suffix in (".text", ".npz"):
        with contextlib.suppress(OSError):  # a disk without links
            place.hardlink_to(path)
            return
    shutil.copy2(path, place)


def _versions() -> dict[str, str]:
    """What the figures of a run may depend on beside its plan."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in ("daybreak", "torch", "numpy", "tokenizers", "safetensors"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
