"""World: the processes that train one model together. All of them take the same steps, so what one decides, all do."""

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:  # counting n-grams does without torch
    from torch import Tensor

Sum = TypeVar("Sum", int, float, "Tensor")
Decision = TypeVar("Decision")


class World(Protocol):
    """Processes that each hold the whole model and read a part of every batch.

    Each method is called by all of them, in the same order; a process that is missing keeps the others waiting.
    """

    @property
    def rank(self) -> int:
        """Of this process, from 0; the process of rank 0 decides, writes and shows."""
        ...

    @property
    def size(self) -> int:
        """How many processes there are."""
        ...

    def sum(self, value: Sum) -> Sum:
        """The sum of every process's value, to the last bit the same in all of them; of tensors of one shape."""
        ...

    def agree(self, decision: Decision) -> Decision:
        """The decision of the process of rank 0. Whatever depends on the time or on a signal is agreed on."""
        ...

    def barrier(self) -> None:
        """Returns when all processes have come here."""
        ...


class _Alone:
    rank, size = 0, 1

    def sum(self, value: Sum) -> Sum:
        return value

    def agree(self, decision: Decision) -> Decision:
        return decision

    def barrier(self) -> None:
        pass


_ALONE = _Alone()


def alone() -> World:
    """The world of one process: it gives its arguments back."""
    return _ALONE
