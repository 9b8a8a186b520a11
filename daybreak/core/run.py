"""Run: the folder of a run. Every file name in it is spelled here, once."""

import contextlib
import json
import os
import platform
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from daybreak.core import failures, records
from daybreak.core.errors import DataError, DaybreakError, UsageError
from daybreak.core.types import Corpus, Plan, Request
from daybreak.core.values import Json

HEARTBEAT_SECONDS = 0.5
ELSEWHERE_SECONDS = 30.0  # after its last heartbeat, a process on another machine is held for gone
STARTING_SECONDS = 10.0  # how long a start waits for another process that is just taking the folder
MOST_JSON_BYTES = 1 << 28


class Run:
    """Paths and small files of one run; big files belong to the stages that write them."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.plan_file = self.path / "plan.json"
        self.request_file = self.path / "request.json"
        self.amendments_file = self.path / "amendments.jsonl"
        self.log_file = self.path / "log.jsonl"
        self.python_log_file = self.path / "run.log"
        self.heartbeat_file = self.path / "heartbeat.json"
        self.tokenizer_file = self.path / "tokenizer.json"
        self.corpus_folder = self.path / "corpus"
        self.corpus_file = self.corpus_folder / "corpus.json"
        self.parent_folder = self.path / "parent"
        self.merges_file = self.corpus_folder / "merges.json"
        self.documents_folder = self.corpus_folder / "documents"
        self.standard_input_file = self.corpus_folder / "standard-input.txt"
        self.checkpoints_folder = self.path / "checkpoints"
        self.model_folder = self.path / "model"
        self.mixture_folder = self.path / "mixture"
        self.exports_folder = self.path / "exports"
        self.scores_file = self.path / "heldout.npz"
        self.task_scores_file = self.path / "scores.json"
        self.report_file = self.path / "report.html"
        self.report_data_file = self.path / "report.json"
        self.mirrors_folder = self.path / "mirrors"
        self.measure_file = self.path / "measure.json"
        self.measure_trials_folder = self.path / "measure" / "cells"

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """A run that exists. Raises UsageError."""
        run = cls(path)
        if not run.path.is_dir():
            raise UsageError(
                "the run does not exist",
                received=str(path),
                attempt="a folder written by `daybreak run`, such as runs/NAME",
            )
        if not (run.plan_file.exists() or run.request_file.exists()):
            raise UsageError(
                "the folder is not a run folder",
                received=f"{path} (it has neither plan.json nor request.json)",
                attempt="use the folder that `daybreak run` printed when it ended",
            )
        return run

    @classmethod
    def with_model(cls, path: str | Path) -> "Run":
        """A run that has a model by now. Raises UsageError."""
        run = cls.open(path)
        if not (run.model_folder / "config.json").exists():
            raise UsageError(
                "the run has no model yet",
                received=f"{run} (it has no model/config.json)",
                attempt="repeat the `daybreak run` command: it continues",
            )
        return run

    def make(self) -> None:
        try:
            self.corpus_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise failures.of_system(
                error,
                what="the run folder cannot be created",
                place=self.path,
                attempt="name a folder that you may write with --out",
            ) from None

    def measure_trial_file(self, name: str) -> Path:
        """One thing that `daybreak measure` has measured."""
        return self.measure_trials_folder / f"{name}.json"

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def forget_training(self) -> None:
        """Removes checkpoints and model; the prepared text and the plan stay."""
        for folder in (self.checkpoints_folder, self.model_folder):
            shutil.rmtree(folder, ignore_errors=True)

    # Values

    def plan(self) -> Plan:
        """Raises UsageError: no plan, or one that does not hold together."""
        return Plan.from_json(read_json(self.plan_file, "run `daybreak plan --out`, or start a new run"), "plan.json")

    def corpus(self) -> Corpus:
        return Corpus.from_json(read_json(self.corpus_file, "run `daybreak prepare` first"), "corpus/corpus.json")

    def request(self) -> Request | None:
        """The request of the run; None where there is none, or another version wrote it."""
        try:
            return Request.from_json(read_json(self.request_file, ""))
        except DaybreakError:
            return None

    def amend(self, what: str, **detail: object) -> None:
        """Records a change made while running; plan and amendments together say what holds."""
        with self.amendments_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"amendment": what, **detail}) + "\n")

    def amendments(self) -> list[Json]:
        if not self.amendments_file.exists():
            return []
        found = []
        for line in self.amendments_file.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):  # a kill while it was written
                found.append(json.loads(line))
        return found

    def finished(self) -> bool:
        return any(isinstance(r, records.Event) and r.name == "finished" for r in records.read(self.log_file))

    # Time used, and who uses the folder

    def used_seconds(self) -> float:
        """Seconds of the budget used up to the last heartbeat of the last process that worked here."""
        try:
            return float(json.loads(self.heartbeat_file.read_text())["used_seconds"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return 0.0

    def continued_at(self, used_seconds: float) -> None:
        """Notes the time that is used when nobody works in the folder. Raises OSError."""
        self._beat(0, used_seconds)

    def worked_on(self) -> bool:
        """Whether the process of the last heartbeat lives; on another machine, whether the heartbeat is fresh."""
        return bool(self._holder(time.time()))

    def _beat(self, pid: int, used_seconds: float) -> None:
        """Raises OSError."""
        beat = {"used_seconds": used_seconds, "pid": pid, "start": _start_of(pid) if pid else 0}
        write_json(self.heartbeat_file, beat | {"host": platform.node()})

    def _holder(self, now: float) -> str:
        """The process that works in the folder, in words; empty where none does. now: on the clock of its disk."""
        try:
            beat = json.loads(self.heartbeat_file.read_text())
            pid, host = int(beat["pid"]), beat.get("host", platform.node())
            if host == platform.node():
                return f"process {pid}" if pid and _start_of(pid) == beat.get("start") is not None else ""
            age = now - self.heartbeat_file.stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return ""  # a torn heartbeat tells nothing
        return f"process {pid} on {host}, {age:.0f} s ago" if pid and age < ELSEWHERE_SECONDS else ""

    @contextlib.contextmanager
    def alive(self, used: Callable[[], float]) -> Iterator[None]:
        """Holds the folder for this process and writes the time used twice a second, so that a kill loses little."""
        self._claim()
        over = threading.Event()

        def beat() -> None:
            while True:
                # A full disk must not end the run here; the next beat tries again.
                with contextlib.suppress(OSError):
                    self._beat(os.getpid(), used())
                if over.wait(HEARTBEAT_SECONDS):
                    return

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with contextlib.suppress(OSError):
                self._beat(0, used())

    def _claim(self) -> None:
        """Raises UsageError where another living process works in the folder. Of many at once, one gets it."""
        with self._starting() as now:
            holder = self._holder(now)
            if holder and holder != f"process {os.getpid()}":
                raise self._busy(holder)
            self._beat(os.getpid(), self.used_seconds())

    @contextlib.contextmanager
    def _starting(self) -> Iterator[float]:
        """Alone among those that take the folder at this moment; yields the present on the clock of its disk.

        The system takes the lock away from a process that is killed. Raises UsageError and ResourceError.
        """
        try:
            lock = (self.path / ".lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise failures.of_system(
                error,
                what="the run folder cannot be written",
                place=self.path,
                attempt="name a folder that you may write with --out",
            ) from None
        limit = time.monotonic() + STARTING_SECONDS
        with lock:
            while not _locked(lock.fileno()):
                if time.monotonic() > limit:
                    lock.seek(0)
                    raise self._busy(f"process {lock.read()}, which is just starting")
                time.sleep(0.01)
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            os.utime(lock.name)
            yield os.fstat(lock.fileno()).st_mtime

    def _busy(self, who: str) -> UsageError:
        return UsageError(
            "another process is working on the run",
            received=f"{self.path}, held by {who}",
            attempt="wait until it ends, stop it, or name another folder with --out",
        )


def _locked(descriptor: int) -> bool:
    """Whether the open file is locked for this process now, until it is closed or the process ends."""
    try:
        import fcntl
    except ImportError:  # Windows: the heartbeat alone decides
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk that knows no locks: the heartbeat alone decides
        return True
    return True


def runs_in(folder: Path) -> list[Run]:
    """Run folders in `folder`, newest first."""
    if not folder.is_dir():
        return []
    found = [Run(path) for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    return sorted((r for r in found if r.request_file.exists()), key=lambda r: r.path.stat().st_mtime, reverse=True)


def name_for(sources: tuple[str, ...], when: time.struct_time) -> str:
    """A folder name made from the text and the time."""
    stem = Path(sources[0]).name.split(".")[0] if sources else "builtin"
    stem = re.sub(r"[^\w-]+", "-", stem).strip("-").lower()[:40] or "text"
    return f"{stem}-{time.strftime('%Y%m%d-%H%M%S', when)}"


def write_json(path: Path, data: object) -> None:
    """Raises OSError."""
    write_text(path, json.dumps(data, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Written beside and renamed: a reader sees the old file or the new one. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8", errors="replace")
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def usual_mode(path: Path) -> None:
    """Gives a file the mode that new files have here: safetensors lets nobody but the owner read what it writes.

    Raises OSError.
    """
    beside = path.with_name(f".{path.name}.mode")
    beside.touch()
    shutil.copymode(beside, path)
    beside.unlink()


def inside(folder: Path, name: str) -> Path:
    """A file of the folder, by a name that stands in another file. Raises DataError: it leads out of the folder."""
    if name in ("", ".", "..") or any(sign in name for sign in "/\\\0"):
        raise DataError(
            "a file name leads out of the run's folder",
            received=f"{name!r} in {folder}",
            attempt="use the run folder unchanged, as daybreak wrote it",
        )
    return folder / name


def read_json(path: Path, attempt: str) -> Json:
    """Raises UsageError where the file is missing and DataError where it is not JSON, or too large or deep for ours."""
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            raise ValueError(f"over {MOST_JSON_BYTES >> 20} MB")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError("a file of the run is missing", received=str(path), attempt=attempt) from None
    except (ValueError, OSError, RecursionError) as error:
        raise DataError("a file cannot be read", received=f"{path}: {error}", attempt=attempt) from None


def _start_of(pid: int) -> int | None:
    """A number that tells a process from a later one with the same id; None where it is gone or unknowable."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        # A process that was killed and that nobody has waited for is still listed.
        return None if fields[0] in ("Z", "X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        pass
    try:
        os.kill(pid, 0)
        return 0
    except OSError:
        return None
