"""State: all of a run under way, in one place, and who may write what of it."""

import logging
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daybreak.core.clock import Clock, Contention, Ledger, Stopwatch
from daybreak.core.records import Event, Log, Record, Validation
from daybreak.core.run import Run
from daybreak.core.signals import Signals
from daybreak.core.types import Corpus, Machine, Plan
from daybreak.core.values import Json
from daybreak.data.shards import Tokens
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.engine import time_budget
from daybreak.engine.changes import Change
from daybreak.engine.world import World, alone

if TYPE_CHECKING:  # which need torch, and an n-gram model is counted without it
    import torch

    from daybreak.engine.checkpoints import Writer
    from daybreak.engine.guard import Guard
    from daybreak.engine.loop import Position
    from daybreak.models.checkpoints.source import Checkpoint
    from daybreak.training.build import Trainable

logger = logging.getLogger(__name__)

LEAVING_SECONDS = 0.25  # writing the report, closing files, ending the interpreter
MOST_SLOWER = 5.0  # times, by others that work on the machine
READING_SECONDS = 1.2e-7  # of a byte of the log, for the report: a run of many short steps has a long one


@dataclass(kw_only=True)
class TrainingState:
    """A plan that is carried out: what it is carried out on, what is trained, and where that stands.

    Every part of training is given the whole and reads what it needs. What it may write stands above each group. In a
    world of several processes each has a state of its own; they differ in `device` and in the rank of `world`.
    """

    # Looked up once by training/session.py and execute. Nobody writes them, but for train, which replaces the plan by
    # one without kernels where these cannot be compiled.
    run: Run
    plan: Plan
    corpus: Corpus
    machine: Machine
    device: "torch.device | None"  # None: an n-gram model, which is counted on the processor
    tokenizer: Tokenizer
    train: Tokens
    heldout: Tokens
    world: World = field(default_factory=alone)
    checkpoint: "Checkpoint | None" = None  # the header of the one that training begins with
    replayed: bool = False
    validations: dict[int, Validation] = field(default_factory=dict)  # of the run that is replayed, by step

    # Where time and records go: written through their own methods, by any part.
    stopwatch: Stopwatch
    ledger: Ledger
    log: Log
    show: Callable[[Record], None]
    signals: Signals

    # Written by `cost` and `cut_short` alone; `slower` by train.
    costs: dict[str, float] = field(default_factory=dict)  # seconds that each thing takes
    taken: dict[str, list[float]] = field(default_factory=dict)  # seconds of each time
    spent: dict[str, float] = field(default_factory=dict)  # seconds that it took in all
    cut: bool = False  # the deadline came before what the plan says was done
    deviations: list[str] = field(default_factory=list)  # of this process from the plan, in sentences
    slower: float = 1.0  # times what the machine has shown that it can do: others work on it
    contention: Contention = field(default_factory=Contention)

    # Of a network. Set by train before the first step, and never replaced; an n-gram model has none of them. The loop
    # moves clock, position and guard along; checkpointing puts them back where a run resumes or rolls back.
    trainable: "Trainable" = field(init=False)
    clock: Clock = field(init=False)
    position: "Position" = field(init=False)
    guard: "Guard" = field(init=False)
    saver: "Writer" = field(init=False)

    # Written by checkpointing; `exchanged` by techniques, through `changed`; `micro_batch` by train.
    unsaved: bool = False  # the disk did not take the last checkpoint
    planned_save: int | None = None  # the step of the last planned save; None where the clock alone says when to save
    exchanged: bool = False  # whether a technique has exchanged the weights since the last checkpoint
    micro_batch: int = 0  # rows of one forward pass where the memory was too small for the plan's, as last recorded

    def changed(self, change: Change) -> None:
        """Is called when a technique exchanges the weights."""
        self.exchanged |= change is Change.WEIGHTS

    def record(self, record: Record) -> None:
        """Into the log and to who looks on, by the process of rank 0."""
        if self.world.rank == 0:
            self.log.append(record)
            self.show(record)

    def amend(self, what: str, **detail: object) -> None:
        """Into the run's amendments, by the process of rank 0."""
        if self.world.rank == 0:
            self.run.amend(what, **detail)

    def remaining(self) -> float:
        return self.plan.budget.seconds - self.stopwatch.used()

    def timed(self) -> bool:
        """Whether the deadline decides; where it does not, nothing may depend on how fast the machine is."""
        return self.plan.budget.clock == "seconds" and not (self.plan.reproducible or self.replayed)

    @contextmanager
    def cost(self, name: str) -> Iterator[None]:
        """Measures what something takes, for the reserve at the end: the middle one of the last three times."""
        begun = time.perf_counter()
        yield
        taken = self.taken.setdefault(name, [])
        taken.append(time.perf_counter() - begun)
        self.costs[name] = statistics.median_low(taken[-3:])
        self.spent[name] = self.spent.get(name, 0.0) + taken[-1]

    def affords(self, name: str, seconds: float) -> bool:
        """Whether the next turn of `name` still fits in `seconds` for all of its turns; of all processes one answer."""
        return self.world.agree(self.spent.get(name, 0.0) + self.costs.get(name, 0.0) <= seconds)

    def warn(self, what: str) -> None:
        logger.warning("%s", what)
        self.record(Event(name="warning", used_seconds=self.stopwatch.used(), detail={"what": what}))

    def deviate(self, what: str) -> None:
        """Warns that a run does something that its plan does not say. A run that must repeat then does not."""
        self.warn(what)
        if not self.timed():
            self.amend("deviation", reason=what)

    def cut_short(self, what: str) -> None:
        """Warns that the deadline came before what the plan says was done."""
        self.warn(what)
        self.cut, self.deviations = True, [what]

    def promised(self) -> Json:
        """Of a run that must repeat: whether the deadline cut it, and all that keeps it from repeating."""
        if not (self.plan.reproducible or self.replayed):
            return {}
        before = [str(a["reason"]) for a in self.run.amendments() if a["amendment"] == "deviation"]
        return {"cut": self.cut, "deviations": list(dict.fromkeys((*before, *self.deviations)))}

    def margin(self) -> float:
        """Seconds at the end that nothing may be planned into."""
        log_bytes = self.run.log_file.stat().st_size
        slower = max(self.slower, min(MOST_SLOWER, self.contention.factor()))
        leaving = slower * (LEAVING_SECONDS + READING_SECONDS * log_bytes)
        return leaving + time_budget.MARGIN_SHARE * self.plan.budget.seconds
