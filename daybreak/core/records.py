"""Records: append-only JSON lines that stages write and that reports, mirrors and replays read."""

import contextlib
import dataclasses
import itertools
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

from daybreak.core.metrics import Metric
from daybreak.core.values import Json


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One optimizer step; it is repeated exactly from its cursor, micro-batch, accumulation, rate and `skipped`."""

    step: int
    progress: float
    micro_batch: int  # rows of one forward pass
    accumulation: int  # forward passes in the step
    skipped: bool  # a broken loss or gradient: nothing was changed
    nats: float  # mean over the step's targets
    gradient_norm: float
    learning_rate_factor: float
    tokens: int  # training tokens so far, this step included
    seconds: float  # this step took
    used_seconds: float  # used of the budget at its end
    cursor: int = -1  # rows drawn before it; not told by older logs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checksum:
    """The weights after a step of a run that must repeat: where two runs differ, the log tells since when."""

    step: int
    weights: str  # hexadecimal; equal for weights that are equal to the last bit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Validation:
    step: int
    progress: float
    used_seconds: float
    tokens: int
    figure: float  # the headline of the plan's objective
    perplexity: float  # per target token
    bytes: int
    weights: str = "current"  # or the technique whose weights were scored

    def loss(self, headline: Metric) -> float:
        return headline.loss(self.figure, math.log(max(1.0, self.perplexity)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the run's time; the phases add up to the time that the run used."""

    name: str
    seconds: float
    used_seconds: float  # used of the budget at its end


@dataclasses.dataclass(frozen=True, kw_only=True)
class Touched:
    """How many places a technique changed on a seam."""

    technique: str
    seam: str
    places: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    progress: float
    used_seconds: float
    prompt: str
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """A figure with its unit, such as the bits per byte of `model/` alone."""

    name: str
    value: float
    unit: str
    needs: str = "model/"  # what must be kept to reach the value
    bytes: int = 0  # bytes of the text that it was measured on
    note: str = ""
    interval: list[float] | None = None  # low and high, 95%; None where there is none
    share: float = 1.0  # part of the held-out text that it was measured on


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """Something a reader should know: a warning, a resume, an amendment, the end."""

    name: str
    used_seconds: float
    detail: Json = dataclasses.field(default_factory=dict)


CHUNK_BYTES = 1 << 20  # read at once from a growing log

Record = Step | Checksum | Validation | Phase | Touched | Sample | Measurement | Event
_KINDS: dict[str, type] = {
    kind.__name__.lower(): kind for kind in (Step, Checksum, Validation, Phase, Touched, Sample, Measurement, Event)
}


class Log:
    """An open record file. A line is written whole, so a kill loses at most the last one."""

    def __init__(self, path: Path) -> None:
        torn = path.exists() and path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"
        self._file = path.open("a", encoding="utf-8")
        if torn:
            self._file.write("\n")

    def append(self, record: Record) -> None:
        line = {"record": type(record).__name__.lower(), **dataclasses.asdict(record)}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> Iterator[Record]:
    """The records of a file in order; a torn line (a kill while writing) and unknown kinds are passed over."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                fields = json.loads(line)
                kind = _KINDS[fields.pop("record")]
                yield kind(**fields)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue


def new_lines(path: Path, offset: int) -> tuple[list[Json], int]:
    """Whole lines of a growing file from `offset` on, as JSON objects, some at a time, and the offset after them.

    A file that has become shorter is read from its beginning. A line that is not a JSON object is passed over.
    """
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < offset:
                offset = 0
            file.seek(offset)
            found = file.readlines(CHUNK_BYTES)
    except OSError:
        return [], offset
    lines = []
    for line in found:
        if not line.endswith(b"\n"):
            break
        offset += len(line)
        with contextlib.suppress(ValueError, RecursionError):
            fields = json.loads(line.decode("utf-8", "replace"))
            if isinstance(fields, dict):
                lines.append(fields)
    return lines, offset


def standing_steps(path: Path) -> list[Step]:
    """The steps that led to the final weights: a step repeated after a resume replaces what it repeats."""
    standing: list[Step] = []
    for record in read(path):
        if isinstance(record, Step):
            while standing and standing[-1].step >= record.step:
                standing.pop()
            standing.append(record)
        elif isinstance(record, Event) and record.name == "resumed":
            while standing and standing[-1].step > record.detail.get("step", standing[-1].step):
                standing.pop()
    return standing


def standing_checksums(path: Path) -> dict[int, str]:
    """Checksums of the weights by step, of the steps that led to the final weights."""
    standing: dict[int, str] = {}
    for record in read(path):
        if isinstance(record, Checksum):
            standing[record.step] = record.weights
        elif isinstance(record, Event) and record.name == "resumed" and "step" in record.detail:
            standing = {step: weights for step, weights in standing.items() if step <= record.detail["step"]}
    return standing


# Of a step, what is the same each time that it is repeated.
_REPEATED = ("progress", "micro_batch", "accumulation", "skipped", "nats", "gradient_norm", "cursor")


def first_difference(one: Path, other: Path) -> str:
    """Since when two runs of one plan differ, by their logs, in a sentence; empty where the logs show no difference."""
    logs = [standing_steps(path) for path in (one, other)]
    found = []
    for first, second in itertools.zip_longest(*logs):
        if first is None or second is None:
            found.append((min(map(len, logs)) + 1, f"one took {len(logs[0])} steps and the other {len(logs[1])}"))
            break
        pairs = {name: (getattr(first, name), getattr(second, name)) for name in _REPEATED}
        differing = [f"{name} {a} and {b}" for name, (a, b) in pairs.items() if a != b]
        if differing:
            found.append((first.step, ", ".join(differing)))
            break
    sums, others = standing_checksums(one), standing_checksums(other)
    common = sorted(sums.keys() & others.keys())
    parted = next((step for step in common if sums[step] != others[step]), None)
    if parted is not None:
        equal = max((step for step in common if step < parted), default=None)
        since = (
            f"they were last equal after step {equal}" if equal is not None else "no earlier step is known to be equal"
        )
        found.append((parted, f"the weights differ after that step; {since}"))
    if not found:
        return ""
    step, what = min(found, key=lambda one: one[0])
    return f"step {step}: {what}"
