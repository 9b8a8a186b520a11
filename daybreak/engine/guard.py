"""Guard: finds bad steps, which are skipped, and says when skipping them is not enough."""

import math
from collections import deque

from daybreak.core.errors import ResourceError
from daybreak.engine.changes import Change
from daybreak.engine.world import World, alone

WINDOW = 128  # losses of the steps that count as usual
LEAST = 64  # of them, before anything is unusual
SIGMAS = 6.0  # above the mean of the window; OLMo's rule (arXiv:2501.00656) at its usual setting
MOST_SKIPPED, AMONG = 3, 20  # steps: more of them skipped is no accident


class TrainingDiverged(ResourceError):
    """Skipping steps does not help: the run rolls back to a checkpoint, or ends where it cannot."""

    def __init__(self, seen: str) -> None:
        super().__init__("training diverges", received=seen, attempt="lower the learning rate: --set learning_rate=...")


class Guard:
    """Looks at the loss and the gradient's norm of every step; all processes of the world skip the same steps."""

    def __init__(self, world: World | None = None) -> None:
        self._world = world or alone()
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._skipped: deque[bool] = deque(maxlen=AMONG)
        self.reason = ""  # why the last step was skipped

    def is_bad_step(self, nats: float, norm: float, *, overflowed: bool = False) -> bool:
        """Whether the step must not change the weights. overflowed: a loss scale was too large, and falls now."""
        scale = overflowed and math.isfinite(nats) and not math.isfinite(norm)
        scale, self.reason = self._world.agree((scale, "" if scale else self._reason(nats, norm)))
        if scale:
            return True
        self._skipped.append(bool(self.reason))
        if not self.reason:
            self._losses.append(nats)
        return bool(self.reason)

    def check(self) -> None:
        """Raises TrainingDiverged: as many steps were skipped lately as can be an accident."""
        if sum(self._skipped) >= MOST_SKIPPED:
            raise TrainingDiverged(
                f"{sum(self._skipped)} of {len(self._skipped)} steps were skipped, the last one because {self.reason}"
            )

    def _reason(self, nats: float, norm: float) -> str:
        if not math.isfinite(nats):
            return f"the loss is {nats}"
        if not math.isfinite(norm):
            return f"the gradient norm is {norm}"
        if len(self._losses) < LEAST:
            return ""
        mean = sum(self._losses) / len(self._losses)
        deviation = math.sqrt(sum((usual - mean) ** 2 for usual in self._losses) / len(self._losses))
        if nats > mean + SIGMAS * deviation:
            return f"the loss is {nats:.3g} nats, where {mean:.3g} is usual"
        return ""

    def reset(self) -> None:
        """After a roll-back, which answers the steps skipped before it: they count no more."""
        self._skipped.clear()

    def changed(self, change: Change) -> None:
        """Losses before a change of weights or loss say nothing of the next ones: the window begins anew."""
        self._losses.clear()
        self._skipped.clear()

    def state(self) -> dict[str, list[float] | list[bool]]:
        return {"losses": list(self._losses), "skipped": list(self._skipped)}

    def load(self, state: dict[str, list[float] | list[bool]]) -> None:
        self._losses = deque(state["losses"], WINDOW)
        self._skipped = deque(map(bool, state["skipped"]), AMONG)
