"""Late: a display that has time pass at a moment of a run, so that no test waits for it."""

from daybreak.core.clock import Stopwatch, boot_seconds
from daybreak.core.records import Record, Step
from daybreak.views.progress import Silence


class Late(Silence):
    """seconds: that pass on `stopwatch` after a step of training, or as a phase begins; by default all there are."""

    def __init__(self, step: int = 0, *, phase: str = "", seconds: float = 1e6) -> None:
        self._step, self._phase, self._seconds, self._passed = step, phase, seconds, 0.0
        self.stopwatch = Stopwatch(start=boot_seconds(), now=self._now)

    def _now(self) -> float:
        return boot_seconds() + self._passed

    def phase(self, name: str) -> None:
        if name == self._phase:
            self._passed = self._seconds

    def record(self, record: Record) -> None:
        if isinstance(record, Step) and record.step == self._step:
            self._passed = self._seconds
