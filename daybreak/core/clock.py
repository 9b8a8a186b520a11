"""The clock: where progress comes from (seconds, tokens, a replayed log); the present is injected."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from daybreak.core.records import Log, Phase, Step

Now = Callable[[], float]


def boot_seconds() -> float:
    """Seconds since the machine started, suspension included where the system tells it; never set back."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) if clock is not None else time.monotonic()


def process_start() -> float:
    """When the operating system started this command, on `boot_seconds`' scale.

    The interpreter and the imports that ran before this line belong to the user's waiting time. Where the system does
    not tell (no /proc), the processor time used so far is the best lower bound of what has passed.
    """
    try:
        with open(f"/proc/{os.getpid()}/stat") as file:
            ticks = float(file.read().rpartition(")")[2].split()[19])
        return min(boot_seconds(), ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return boot_seconds() - time.process_time()


class Contention:
    """How many times longer work takes than on a machine that nobody else uses, as the scheduler counts it."""

    LEAST_SECONDS = 0.05  # processor time; an average over less tells nothing

    def __init__(self, read: Callable[[], tuple[float, float]] | None = None) -> None:
        self._read = read or _scheduled
        self._since = (0.0, 0.0)
        self._factor = 1.0

    def factor(self) -> float:
        """1 on an idle machine, and 1 where the system does not tell. Of this thread since the last time asked."""
        ran, waited = self._read()
        if (spent := ran - self._since[0]) >= self.LEAST_SECONDS:
            self._factor = 1.0 + max(0.0, waited - self._since[1]) / spent
            self._since = ran, waited
        return self._factor


def _scheduled() -> tuple[float, float]:
    """Seconds in which this thread has run, and in which it was ready and waited for a processor (Linux)."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            ran, waited = (int(number) / 1e9 for number in file.read().split()[:2])
        return ran, waited
    except (OSError, ValueError):
        return 0.0, 0.0


@dataclass(frozen=True, kw_only=True)
class Tick:
    """Leave to take one more step, and how."""

    progress: float  # 0 to 1, in the middle of the step
    micro_batch: int | None = None  # set where a log is replayed
    accumulation: int | None = None
    skip: bool = False
    learning_rate: float | None = None  # the factor
    cursor: int | None = None


class Clock(Protocol):
    def tick(self, expected_seconds: float, batch_tokens: int) -> Tick | None: ...

    def used(self) -> float: ...


class Stopwatch:
    """Seconds of the budget that were used: by this process since it was started, and by those before it."""

    def __init__(self, *, start: float | None = None, used_before: float = 0.0, now: Now = boot_seconds) -> None:
        self._now = now
        self._start = process_start() if start is None else start
        self._used_before = used_before

    def used(self) -> float:
        return self._used_before + self._now() - self._start

    @property
    def used_before(self) -> float:
        """By earlier processes."""
        return self._used_before

    def continue_from(self, used_before: float) -> None:
        """Count what earlier processes of the same run used."""
        self._used_before = used_before


class Ledger:
    """Says where every second of the budget went: one phase at a time, and together they are what was used.

    since: seconds that are in the log already; what has passed beyond them belongs to `name`.
    """

    def __init__(self, log: Log, stopwatch: Stopwatch, *, name: str, since: float = 0.0) -> None:
        self.log, self.stopwatch = log, stopwatch
        self._name, self._since = name, since

    def enter(self, name: str) -> None:
        """The phase so far ends and this one begins."""
        now = self.stopwatch.used()
        self.log.append(Phase(name=self._name, seconds=now - self._since, used_seconds=now))
        self._name, self._since = name, now

    @contextlib.contextmanager
    def within(self, name: str) -> Iterator[None]:
        """A phase inside another, which goes on after it."""
        outer = self._name
        self.enter(name)
        try:
            yield
        finally:
            self.enter(outer)


class SecondsClock:
    """Progress is the share of the training time that has passed; a slow hour shortens the run.

    `begin` and `end` are seconds of the budget: training starts at the one and must be over at the other. Where there
    is a most of tokens, it is over after them, too, and progress is the larger of the two shares.
    """

    def __init__(self, stopwatch: Stopwatch, *, begin: float, end: float = math.inf, most_tokens: int = 0) -> None:
        """most_tokens: 0 where the time alone says when training is over."""
        self._stopwatch, self.begin, self.end, self._most = stopwatch, begin, end, most_tokens
        self.progress, self._done = 0.0, 0

    def used(self) -> float:
        return self._stopwatch.used()

    def tick(self, expected_seconds: float, batch_tokens: int) -> Tick | None:
        used = self.used()
        # A step that is expected to end late is not begun, so the margin for its scatter is the reserve's business.
        if used + expected_seconds > self.end or (self._most and self._done >= self._most):
            return None
        share = (used + 0.5 * expected_seconds - self.begin) / max(self.end - self.begin, 1e-9)
        # Never backwards: a step that was expected to be long and was short must not raise the rate again.
        if self._most:
            share = max(share, (self._done + 0.5 * batch_tokens) / self._most)
        self._done += batch_tokens
        self.progress = min(1.0, max(self.progress, share))
        return Tick(progress=self.progress)

    def resume(self, progress: float, tokens: int = 0) -> None:
        self.progress, self._done = max(self.progress, progress), tokens

    def stretch(self) -> None:
        """Where the end was put off: what is left of the progress goes evenly with what is left of the time."""
        if self.progress < 1:
            self.begin = min(self.begin, (self.used() - self.progress * self.end) / (1 - self.progress))


class TokensClock:
    """Progress is the share of a fixed number of targets: the same on every machine and every day.

    A deadline is a promise all the same: where `end` comes first, the run is cut short and `cut` says so.
    """

    def __init__(self, stopwatch: Stopwatch, *, tokens: int, end: float = math.inf) -> None:
        self._stopwatch, self._total, self._done, self.end = stopwatch, tokens, 0, end
        self.cut = False

    def used(self) -> float:
        return self._stopwatch.used()

    def tick(self, expected_seconds: float, batch_tokens: int) -> Tick | None:
        if self._done >= self._total:
            return None
        if self.used() + expected_seconds > self.end:
            self.cut = True
            return None
        progress = min(1.0, (self._done + 0.5 * batch_tokens) / self._total)
        self._done += batch_tokens
        return Tick(progress=progress)

    def resume(self, tokens: int) -> None:
        self._done = tokens


class ReplayClock:
    """Progress, batches and skipped steps as a log has them: repeats any run, a timed one too."""

    def __init__(self, stopwatch: Stopwatch, steps: Iterable[Step]) -> None:
        self._stopwatch, self._steps = stopwatch, iter(steps)

    def used(self) -> float:
        return self._stopwatch.used()

    def tick(self, expected_seconds: float, batch_tokens: int) -> Tick | None:
        step = next(self._steps, None)
        if step is None:
            return None
        return Tick(
            progress=step.progress,
            micro_batch=step.micro_batch,
            accumulation=step.accumulation,
            skip=step.skipped,
            learning_rate=step.learning_rate_factor,
            cursor=step.cursor if step.cursor >= 0 else None,
        )
