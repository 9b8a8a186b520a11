"""Alarm: what a run is at ends at a moment of its budget, so that there is still time for something shorter."""

import math
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from daybreak.core.clock import Stopwatch

AGAIN_SECONDS = 1.0  # where something has swallowed it


class OutOfTime(BaseException):
    """The moment has come. Not an Exception, so that nothing on the way takes it for a failure of its own."""


class Alarm:
    """Raises OutOfTime in the main thread at a moment of the budget, in the middle of whatever runs there.

    A library's own code is left first, at its next return to Python. In another thread, where Python allows no
    handlers, `check` does what it can. A context: at its end nothing is raised any more.
    """

    def __init__(self, stopwatch: Stopwatch) -> None:
        self._stopwatch = stopwatch
        self._at = math.inf
        self._before: object = None
        self._main = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")

    def __enter__(self) -> Self:
        if self._main:
            self._before = signal.signal(signal.SIGALRM, self._ring)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.lift()
        if self._main:
            signal.signal(signal.SIGALRM, self._before)  # type: ignore[arg-type]

    def set(self, used_seconds: float) -> None:
        """Rings when so many seconds of the budget are used; an earlier moment is forgotten."""
        self._at = used_seconds
        if self._main:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, used_seconds - self._stopwatch.used()), AGAIN_SECONDS)

    def lift(self) -> None:
        self._at = math.inf
        if self._main:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def check(self) -> None:
        """Between two things. Raises OutOfTime."""
        if self._stopwatch.used() >= self._at:
            raise OutOfTime

    def _ring(self, number: int, frame: FrameType | None) -> None:
        self.check()


def lifting(show: Callable[..., None], kind: type, alarm: Alarm) -> Callable[..., None]:
    """`show`, which lifts the alarm at the first record of a kind."""

    def shown(record: object) -> None:
        if isinstance(record, kind):
            alarm.lift()
        show(record)

    return shown
