"""Mirror: shows a run in TensorBoard, W&B or trackio, from its records, in a process that the run never waits for."""

import contextlib
import dataclasses
import json
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from daybreak.commands.options import (
    AsJson,
    RunFolder,
    declared,
)
from daybreak.commands.parser import among
from daybreak.commands.printing import print_facts
from daybreak.core.errors import Interrupted, Saved, UsageError
from daybreak.core.process import lower_priority
from daybreak.core.records import CHUNK_BYTES, new_lines
from daybreak.core.run import Run, write_json
from daybreak.core.signals import Signals
from daybreak.core.values import Json
from daybreak.views.destinations import Destination, check, destination, opening, say
from daybreak.views.points import MirrorState, Point, Translation, state_from_json

POLL_SECONDS = 2.0
WATCH_SECONDS = 0.5
LOG_BYTES = 1 << 20  # of a mirror's own log that are kept
FILE_BYTES = 1 << 30  # the most that a mirror may write into one file
GRACE_SECONDS = 120.0  # after the run's end in which a mirror that shows no sign of life is left alone


def mirror(path: str, name: str, *, follow: bool = False) -> Json:
    """Writes what is new in a run's log to a destination; the keys are those of `daybreak mirror --json`.

    follow: goes on until the run has ended. Raises UsageError, and Interrupted or Saved where a signal ended it.
    """
    (name,) = check((name,))
    run = Run.open(path)
    run.mirrors_folder.mkdir(exist_ok=True)
    following = Following(run, name)
    if follow:
        _take_little(run.mirrors_folder / f"{name}.log", following)
    with _alone(run, name, wait=follow) as held:
        if held:
            with Signals() as signals:
                following.deliver_all(signals, follow=follow)
        elif not follow:
            raise UsageError(
                "the run is already being mirrored",
                received=f"{run} --to {name}",
                attempt="wait until the run has ended",
            )
    told = {"run": str(run), "mirror": name, "points": following.points, "folder": str(following.folder)}
    command = opening(name, following.folder)
    return {**told, "open": command} if command else told


class Following:
    """One mirror of one run. Its state lies beside its folder, so that the next process goes on from there."""

    def __init__(self, run: Run, name: str) -> None:
        self.run, self.name = run, name
        self.folder = run.mirrors_folder / name
        self.state_file = run.mirrors_folder / f"{name}.json"
        self.points = 0  # written by this process
        self.sign_of_life = time.monotonic()
        self._translation: Translation | None = None
        self._destination: Destination | None = None

    def _load(self) -> None:
        state: Json = {}
        with contextlib.suppress(OSError, ValueError):
            state = json.loads(self.state_file.read_text(encoding="utf-8"))
        self._offset, self._ended = int(state.get("offset", 0)), int(state.get("ended", 0))
        self._state = state_from_json(state.get("place", {})) if state else MirrorState()
        self._identity = str(state.get("identity") or uuid.uuid4().hex[:12])
        self._written_before = self._state.highest

    def _save(self) -> None:
        if not self.run.path.is_dir():
            return
        place = dataclasses.asdict(self._state)
        state = {"offset": self._offset, "ended": self._ended, "identity": self._identity, "place": place}
        write_json(self.state_file, state)

    def deliver_all(self, signals: Signals, *, follow: bool) -> None:
        """Raises Interrupted or Saved where a signal ended it before the run's end."""
        self._load()
        try:
            while True:
                # Looked at before the log is: what a run wrote before it ended is then read.
                going_on = follow and self.run.worked_on()
                more = self._deliver()
                over = self._finished() or not going_on
                if signals.received or (over and not more) or not self.run.path.is_dir():
                    break
                if not more:
                    time.sleep(POLL_SECONDS)
            if not (follow and self.run.worked_on() and not self._finished()):
                self._deliver_end()
        finally:
            if self._destination is not None:
                self._destination.close(finished=self._finished())
        if signals.received:
            kind = Interrupted if signals.received == "SIGINT" else Saved
            raise kind(
                "the mirror was stopped",
                received=signals.received,
                attempt="repeat the command: it continues from here",
            )

    def _finished(self) -> bool:
        return self._translation is not None and self._translation.finished

    def _deliver(self) -> bool:
        """One chunk of the log; whether there may be more of it."""
        self.sign_of_life = time.monotonic()
        lines, offset = new_lines(self.run.log_file, self._offset)
        if offset == self._offset or not self.run.plan_file.exists():
            return False
        full = offset - self._offset >= CHUNK_BYTES
        if offset < self._offset:  # the log was begun anew: what it repeats was shown
            self._state.repeated_until = self._state.highest
            self._state.phases.clear()
            self._state.finished = False
            full = True
        if self._translation is None:
            self._translation = Translation(self.run.plan(), self._state)
        self._translation.began = self._began()
        self._write([point for line in lines for point in self._translation.take(line)])
        self._offset = offset
        self._save()
        return full

    def _deliver_end(self) -> None:
        if self._ended == self._offset or not self.run.plan_file.exists():
            return
        if self._translation is None:  # an earlier process has read the log to its end, and died before this
            self._translation = Translation(self.run.plan(), self._state, began=self._began())
        self._write(list(self._translation.end()))
        self._ended = self._offset
        self._save()

    def _write(self, points: list[Point]) -> None:
        if not points:
            return
        if self._destination is None:
            self._destination = self._opened()
        self._destination.write(points)
        self.points += len(points)
        self.sign_of_life = time.monotonic()

    def _opened(self) -> Destination:
        """The library is imported here, at the first point: a run that is still being planned is not disturbed."""
        self.folder.mkdir(exist_ok=True)
        self._save()  # the identity, before it is used
        plan = self.run.plan()
        config = {"plan": plan.replace(request=None).to_json()}
        if (request := self.run.request()) is not None:
            config["request"] = request.to_json()
        kind = destination(self.name)
        name = self.run.path.resolve().name
        opened = kind(self.folder, name=name, identity=self._identity, config=config, step=self._written_before)
        say(f"daybreak: {self.name} shows {name} from step {self._written_before + 1}")
        return opened

    def _began(self) -> float:
        """The moment, in seconds since 1970, at which the budget was unused, as the last heartbeat has it."""
        with contextlib.suppress(OSError):
            return self.run.heartbeat_file.stat().st_mtime - self.run.used_seconds()
        return time.time() - self._state.seconds


# What keeps a mirror from costing anything


@contextlib.contextmanager
def _alone(run: Run, name: str, *, wait: bool) -> Iterator[bool]:
    """Whether this is the only mirror of its kind that works on the run; wait: as long as the run goes on."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield True
        return
    with (run.mirrors_folder / f".{name}.lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if not (wait and run.worked_on()):
                    yield False
                    return
                time.sleep(POLL_SECONDS)
            else:
                yield True
                return


def _take_little(log_file: Path, following: Following) -> None:
    """The lowest priority, bounded files, and an end of its own should the library hang."""
    lower_priority()
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, hard))
    threading.Thread(target=_watch, args=(log_file, following), name="watchdog", daemon=True).start()


def _watch(log_file: Path, following: Following) -> None:
    """Ends the process once the run is over and nothing has moved for the grace, and keeps its log short.

    Where a library lets no other thread run, the alarm, which then is not set anew, ends the process instead.
    """
    grace = float(os.environ.get("DAYBREAK_MIRROR_GRACE") or GRACE_SECONDS)
    last = time.monotonic()
    while True:
        if hasattr(signal, "alarm"):
            signal.alarm(int(grace) + 30)
        with contextlib.suppress(OSError):
            own = os.fstat(sys.stdout.fileno())
            if os.path.samestat(own, log_file.stat()) and own.st_size > LOG_BYTES:
                _silence(log_file)
        if following.run.worked_on():
            last = time.monotonic()
        if time.monotonic() - max(last, following.sign_of_life) > grace:
            with contextlib.suppress(OSError):
                say(f"daybreak: nothing has changed for {grace:g} s after the end of the run; the mirror is stopped")
            os._exit(4)
        time.sleep(WATCH_SECONDS)


def _silence(log_file: Path) -> None:
    """What has flooded its log writes nowhere from now on; the beginning is kept, where the reason stands."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    os.truncate(log_file, LOG_BYTES)
    with log_file.open("a", encoding="utf-8") as log:
        log.write("\\ndaybreak: later output is not kept\\n")


@declared("daybreak mirror runs/novel --to tensorboard")
def command(
    path: RunFolder,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="TOOL",
            autocompletion=among("tensorboard", "wandb", "trackio"),
            help="Experiment tracker: tensorboard, wandb or trackio.",
        ),
    ],
    follow: Annotated[bool, typer.Option("--follow", help="Keep following until the run ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a run's metrics to TensorBoard, Weights & Biases or trackio."""

    print_facts(mirror(path, to, follow=follow), as_json)
