"""Memory: which errors say that it has ended, in one process or in another of the world, and freeing what can be."""

import gc
from types import TracebackType

import torch

from daybreak.engine.world import World

_SAID = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad allocation")


def ended(error: BaseException) -> bool:
    """Whether the memory, of the machine or of its accelerator, was too small for what was asked."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in _SAID)


class Ended:
    """Holds back errors that say that the memory has ended, so that all processes can meet before one of them acts.

    with ended: ... runs what may take too much; `anywhere` then says whether it did in a process.
    """

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None or not ended(error):
            return False
        self._error = error.with_traceback(None)  # which would keep what did not fit
        return True

    @property
    def here(self) -> bool:
        return self._error is not None

    def anywhere(self, world: World) -> bool:
        """Whether the memory of a process of the world has ended; every process asks."""
        return world.sum(int(self.here)) > 0

    def error(self) -> BaseException:
        """What is raised where nothing smaller can be tried."""
        return self._error or MemoryError("another process of this training has too little memory")


def let_go() -> None:
    """Frees what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
