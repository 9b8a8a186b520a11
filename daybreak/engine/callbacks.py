"""Callbacks: what is called after each training step, and what those of them offer that do more than that."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from daybreak.engine.changes import Change


class StepCallback(Protocol):
    """Called with the module and the run's progress when a step has changed the weights."""

    @property
    def name(self) -> str:
        """Under which its state is in a checkpoint."""
        ...

    def __call__(self, module: nn.Module, progress: float) -> None: ...

    def state(self) -> tuple[dict[str, Tensor], object]:
        """Tensors, and facts that JSON can hold: all that a resumed run needs of it."""
        ...

    def load(self, tensors: dict[str, Tensor], facts: Any, /) -> None:
        """Of an earlier one's `state`."""
        ...


@runtime_checkable
class SeesValidation(Protocol):
    """Is given each held-out loss of the current weights, and may exchange the weights for it."""

    def validated(self, module: nn.Module, progress: float, loss: float) -> None: ...


@runtime_checkable
class SeesChange(Protocol):
    """Compares with earlier steps, so it is called when a technique has exchanged the weights or the loss."""

    def changed(self, change: Change) -> None: ...


@runtime_checkable
class StopsEarly(Protocol):
    """May end the training before its clock does."""

    @property
    def enough(self) -> str:
        """The reason in words; empty: training goes on."""
        ...


def stops_early(callbacks: list[StepCallback]) -> bool:
    """Whether one of them may end the training, by held-out losses."""
    return any(isinstance(callback, StopsEarly) for callback in callbacks)
