"""Run facts: all that a run's records say about it, at any moment and after a crash."""

import contextlib
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from daybreak.core.errors import DaybreakError
from daybreak.core.records import Event, Measurement, Phase, Record, Sample, Touched, Validation, new_lines
from daybreak.core.run import Run
from daybreak.core.types import Corpus, Plan, Request
from daybreak.core.values import Json
from daybreak.views.curves import Curves

T = TypeVar("T")
GLANCE_BYTES = 1 << 18  # of the end of a log, for a line in a list of runs
FRESH_SECONDS = 5.0  # age of a live run's heartbeat, written twice a second; for runs on another machine
MOST_EVENTS = 200
MOST_SOURCES = 12
QUIET_EVENTS = ("machine", "versions", "claims", "finished")  # shown elsewhere on the page
_KINDS: dict[str, type] = {
    kind.__name__.lower(): kind for kind in (Validation, Phase, Touched, Sample, Measurement, Event)
}
# The phase after each phase. A phase is in the log only when it has ended; this tells which one is going on.
_NEXT = {
    "imports": "scan",
    "scan": "probe",
    "probe": "plan",
    "plan": "encode",
    "encode": "build",
    "counting": "build",
    "the end": "saving",
}


class Facts:
    """The facts of one run; each reading goes on from where the last one ended.

    points: about how many each curve has. A missing or damaged file, or one of another version, never raises.
    """

    def __init__(self, run: Run, *, points: int = 1500) -> None:
        self.run, self.points = run, points
        self._stamps: dict[Path, tuple[int, int, int]] = {}
        self._state = ""
        self.request: Request | None = None
        self.plan: Plan | None = None
        self.corpus: Corpus | None = None
        self.amendments: list[Json] = []
        self.measured: Json = {}
        self.answered: Json = {}
        self.unreadable: dict[str, str] = {}
        self._beat: Json = {}
        self._forget()

    def _forget(self) -> None:
        """Starts the log anew: nothing is known from it."""
        self._offset, self._log_id = 0, 0
        self.curves = Curves(self.points)
        self.validations: list[Validation] = []
        self.samples: list[Sample] = []
        self.phases: dict[str, float] = {}
        self.last_phase = ""
        self.touched: dict[tuple[str, str], int] = {}
        self.measurements: dict[tuple[str, str], Measurement] = {}
        self.events: list[Event] = []
        self.told: dict[str, Json] = {}  # details of QUIET_EVENTS, by name
        self.finished: Json | None = None
        self.used = 0.0  # seconds of the budget at the last record

    # Reading

    def read(self) -> bool:
        """Reads what is new; whether anything has changed. Takes a few system calls if nothing has."""
        changed = self._read_small_files()
        changed = self._read_log() or changed
        state = self.state()
        changed, self._state = changed or state != self._state, state
        return changed

    def glance(self) -> None:
        """Reads the small files and only the end of the log: enough for the state and the last scores."""
        self._read_small_files()
        with contextlib.suppress(OSError), self.run.log_file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - GLANCE_BYTES))
            for line in file.read().splitlines():
                with contextlib.suppress(ValueError, RecursionError):
                    fields = json.loads(line.decode("utf-8", "replace"))
                    if isinstance(fields, dict):
                        self._take(fields)

    def _read_small_files(self) -> bool:
        run = self.run
        changed = False
        if self._newer(run.request_file):
            self.request, changed = run.request(), True
        if self._newer(run.plan_file):
            self.plan, changed = self._value("plan.json", run.plan), True
        if self._newer(run.corpus_file):
            self.corpus, changed = self._value("corpus.json", run.corpus), True
        if self._newer(run.amendments_file):
            self.amendments, changed = _lines(run.amendments_file), True
        if self._newer(run.measure_file):
            self.measured, changed = _object(run.measure_file), True
        if self._newer(run.task_scores_file):
            self.answered, changed = _object(run.task_scores_file), True
        if self._newer(run.heartbeat_file):
            self._beat, changed = _object(run.heartbeat_file), True
        return changed

    def _newer(self, path: Path) -> bool:
        try:
            status = path.stat()
        except OSError:
            return self._stamps.pop(path, None) is not None
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if self._stamps.get(path) == stamp:
            return False
        self._stamps[path] = stamp
        return True

    def _value(self, name: str, read: Callable[[], T]) -> T | None:
        self.unreadable.pop(name, None)
        try:
            return read()
        except DaybreakError as error:
            if (self.run.plan_file if name == "plan.json" else self.run.corpus_file).exists():
                self.unreadable[name] = f"{error.what}: {error.received}"
            return None

    def _read_log(self) -> bool:
        """Reads whole lines; an unfinished last line is read the next time."""
        try:
            status = self.run.log_file.stat()
        except OSError:
            return False
        if status.st_size < self._offset or (self._log_id and status.st_ino != self._log_id):
            self._forget()
        self._log_id = status.st_ino
        began = self._offset
        while self._offset < status.st_size:
            lines, offset = new_lines(self.run.log_file, self._offset)
            if offset <= self._offset:  # the last line is unfinished
                break
            self._offset = offset
            for fields in lines:
                self._take(fields)
        return self._offset > began

    def _take(self, fields: Json) -> None:
        """Adds a line of the log; unknown and damaged ones are ignored, as in records.read."""
        try:
            kind = fields.pop("record")
            if kind == "step":
                self.curves.append(fields)
                self.used = max(self.used, fields["used_seconds"])
            else:
                self._take_record(_KINDS[kind](**fields))
        except (ValueError, KeyError, TypeError, AttributeError):
            return

    def _take_record(self, record: Record) -> None:
        self.used = max(self.used, getattr(record, "used_seconds", 0.0))
        if isinstance(record, Phase):
            self.phases[record.name] = self.phases.get(record.name, 0.0) + record.seconds
            self.last_phase = record.name
        elif isinstance(record, Validation):
            self.validations.append(record)
        elif isinstance(record, Sample):
            self.samples.append(record)
        elif isinstance(record, Touched):
            self.touched[record.technique, record.seam] = record.places
        elif isinstance(record, Measurement):
            self.measurements[record.name, record.needs] = record
        elif isinstance(record, Event):
            self._take_event(record)

    def _take_event(self, event: Event) -> None:
        if event.name == "finished":
            self.finished = event.detail
        if event.name in QUIET_EVENTS:
            self.told[event.name] = event.detail
        else:
            self.events.append(event)
        if event.name == "resumed" and "step" in event.detail:
            self.curves.rewind(event.detail["step"])
            progress = self.curves.totals().get("progress", 0.0)
            self.validations = [v for v in self.validations if v.step <= event.detail["step"]]
            self.samples = [s for s in self.samples if s.progress <= progress]

    # Conclusions

    def state(self) -> str:
        """One of: finished, running, interrupted (stopped in order), crashed, planned, prepared, empty."""
        if self.finished is not None:
            return "finished"
        if self._beat.get("pid"):
            return "running" if self.run.worked_on() or self._fresh() else "crashed"
        if self.request is not None and self.request.seconds == 0:
            return "prepared"
        if not self._beat and not self.phases:
            return "planned" if self.plan else "empty"
        if self.plan and "encode" not in self.phases and not self.curves:
            return "planned"
        return "interrupted"

    def _fresh(self) -> bool:
        stamp = self._stamps.get(self.run.heartbeat_file)
        return stamp is not None and abs(time.time() - stamp[0] / 1e9) < FRESH_SECONDS

    def used_seconds(self) -> float:
        """Seconds of the budget used so far."""
        beat = self._beat.get("used_seconds", 0.0)
        return max(self.used, beat if isinstance(beat, int | float) and math.isfinite(beat) else 0.0)

    def budget_seconds(self) -> float:
        """The budget: as requested, or with --until the seconds as last counted; 0: there is none."""
        counted = [a["seconds"] for a in self.amendments if a.get("amendment") == "budget" and "seconds" in a]
        if counted:
            return float(counted[-1])
        if self.plan is not None:
            return self.plan.budget.seconds
        return self.request.seconds if self.request is not None else 0.0

    def going_on(self) -> str:
        """The current phase, which is not in the log yet."""
        state = self.state()
        if state == "finished":
            return "leaving"
        if state in ("crashed", "interrupted"):
            return "interrupted"
        if self.last_phase == "build" and self._planned_seconds("counting") and "counting" not in self.phases:
            return "counting"
        if self.last_phase == "counting" and "build" in self.phases:
            return "training"
        return _NEXT.get(self.last_phase, "training" if self.last_phase else "imports")

    def _planned_seconds(self, phase: str) -> float:
        """Planned seconds of a phase; 0: not planned."""
        return float(self.plan.predicted.phase_seconds.get(phase, 0.0)) if self.plan is not None else 0.0

    def now(self) -> Json | None:
        """The phase of a run before its first step, the seconds it has taken and those left; None in any other state.

        `left` is None if the phase is not planned.
        """
        if self.state() != "running" or self.curves:
            return None
        phase = self.going_on()
        spent = max(0.0, self.used_seconds() - self.used)
        planned = self._planned_seconds("compile" if phase == "training" else phase)
        return {"phase": phase, "seconds": spent, "left": max(0.0, planned - spent) if planned else None}


def _lines(path: Path) -> list[Json]:
    found = []
    try:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                found.append(value)
    except OSError:
        pass
    return found


def _object(path: Path) -> Json:
    try:
        value = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
