"""Changes: how a technique says that it exchanged the weights, or that the loss is of another scale from now on."""

import enum
from collections.abc import Callable


class Change(enum.Enum):
    WEIGHTS = "the weights were exchanged"  # for ones that the last steps did not lead to
    LOSS = "the loss is of another scale"  # of the same weights, as after a change of the context length


class Changes:
    """Tells each change to all who compare with what was before: the guard, the optimizer, averages of the weights.

    Changes are told between two steps, so that what is told finds weights and optimizer at rest.
    """

    def __init__(self) -> None:
        self._watchers: dict[str, Callable[[Change], None]] = {}

    def watch(self, name: str, watcher: Callable[[Change], None]) -> None:
        """From now on `watcher` is told; it takes the place of an earlier one of this name."""
        self._watchers[name] = watcher

    def tell(self, change: Change) -> None:
        for watcher in self._watchers.values():
            watcher(change)
