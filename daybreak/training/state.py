"""The workbench: what the parts of training share."""

import logging
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from daybreak.core.clock import Contention, Ledger, Stopwatch
from daybreak.core.records import Event, Log, Record, Validation
from daybreak.core.run import Run
from daybreak.core.signals import Signals
from daybreak.core.types import Corpus, Machine, Plan
from daybreak.data.shards import Tokens
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.engine import time_budget

if TYPE_CHECKING:
    import torch

    from daybreak.models.checkpoints.source import Checkpoint

logger = logging.getLogger(__name__)

LEAVING_SECONDS = 0.25  # writing the report, closing files, ending the interpreter
MOST_SLOWER = 5.0  # times, by others that work on the machine
READING_SECONDS = 1.2e-7  # of a byte of the log, for the report: a run of many short steps has a long one


@dataclass(kw_only=True)
class Bench:
    """What the parts of this stage share while a plan is carried out, of any family."""

    run: Run
    plan: Plan
    corpus: Corpus
    machine: Machine
    stopwatch: Stopwatch
    ledger: Ledger
    log: Log
    tokenizer: Tokenizer
    train: Tokens
    heldout: Tokens
    show: Callable[[Record], None]
    signals: Signals
    checkpoint: "Checkpoint | None" = None  # that training begins with, by its header
    replayed: bool = False
    validations: dict[int, Validation] = field(default_factory=dict)  # of the run that is replayed, by step
    costs: dict[str, float] = field(default_factory=dict)  # seconds that each thing takes
    taken: dict[str, list[float]] = field(default_factory=dict)  # seconds of each time
    spent: dict[str, float] = field(default_factory=dict)  # seconds that it took in all
    cut: bool = False  # the deadline came before what the plan says was done
    deviations: list[str] = field(default_factory=list)  # of this process from the plan, in sentences
    slower: float = 1.0  # times what the machine has shown that it can do: others work on it
    contention: Contention = field(default_factory=Contention)

    def record(self, record: Record) -> None:
        self.log.append(record)
        self.show(record)

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
        """Whether the next turn of `name` still fits in `seconds` for all of its turns."""
        return self.spent.get(name, 0.0) + self.costs.get(name, 0.0) <= seconds

    def warn(self, what: str) -> None:
        logger.warning("%s", what)
        self.record(Event(name="warning", used_seconds=self.stopwatch.used(), detail={"what": what}))

    def deviate(self, what: str) -> None:
        """Warns that a run does something that its plan does not say. A run that must repeat then does not."""
        self.warn(what)
        if not self.timed():
            self.run.amend("deviation", reason=what)

    def cut_short(self, what: str) -> None:
        """Warns that the deadline came before what the plan says was done."""
        self.warn(what)
        self.cut, self.deviations = True, [what]

    def promised(self) -> dict[str, Any]:
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


@dataclass(kw_only=True)
class Workbench(Bench):
    """The same for a network, which lives on a device."""

    device: "torch.device"
