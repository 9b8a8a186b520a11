"""Late: a display that has a run's deadline come at one of its steps, so that no test waits for it."""

from daybreak.core.clock import Stopwatch, boot_seconds
from daybreak.core.records import Record, Step
from daybreak.stages.progress import Silence


class Late(Silence):
    """step: after which all the time there is has passed, on `stopwatch`; 0: it goes as the machine's clock does."""

    def __init__(self, step: int) -> None:
        self.step, self._passed = step, 0.0
        self.stopwatch = Stopwatch(start=boot_seconds(), now=self._now)

    def _now(self) -> float:
        return boot_seconds() + self._passed

    def record(self, record: Record) -> None:
        if isinstance(record, Step) and record.step == self.step:
            self._passed = 1e6
