"""Losses: what the loop asks of a loss and of batches, and a loss that does something around another."""

from collections.abc import Callable
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn


class Movable(Protocol):
    """A batch, of which the loop knows only that it goes to a device."""

    def to(self, device: torch.device) -> Self: ...


BatchT = TypeVar("BatchT", bound=Movable)
ModuleT = TypeVar("ModuleT", bound=nn.Module)
ModuleIn = TypeVar("ModuleIn", bound=nn.Module, contravariant=True)
BatchIn = TypeVar("BatchIn", contravariant=True)
BatchOut = TypeVar("BatchOut", covariant=True)


class Loss(Protocol[ModuleIn, BatchIn]):
    """Summed nats of a batch and the number of its true targets, so that batches can be split at will."""

    def __call__(self, module: ModuleIn, batch: BatchIn) -> Tensor: ...

    def targets(self, batch: BatchIn) -> int: ...


class TokenLoss(Loss[nn.Module, BatchIn], Protocol[BatchIn]):
    """The loss of a model of tokens, whose parts techniques exchange. Rows are [B, T + 1]."""

    head: Callable[..., Tensor]  # of states [N, D], the head's weight [V, D] and targets [N] the summed nats
    labels: Callable[[Tensor], Tensor]  # of rows: the targets [B, T]
    inputs: Callable[[Tensor], Tensor]  # of rows: what the model is given, [B, T]


class Source(Protocol[BatchOut]):
    """Batches by their place in the run."""

    @property
    def context_length(self) -> int:
        """Tokens of text in a row."""
        ...

    def take(self, cursor: int, rows: int) -> BatchOut: ...


class Around(Generic[BatchIn]):
    """A loss that does something around another; what is set on it is set on the one inside."""

    def __init__(self, inside: TokenLoss[BatchIn]) -> None:
        self.inside = inside

    @property
    def head(self) -> Callable[..., Tensor]:
        return self.inside.head

    @head.setter
    def head(self, head: Callable[..., Tensor]) -> None:
        self.inside.head = head

    @property
    def labels(self) -> Callable[[Tensor], Tensor]:
        return self.inside.labels

    @labels.setter
    def labels(self, labels: Callable[[Tensor], Tensor]) -> None:
        self.inside.labels = labels

    @property
    def inputs(self) -> Callable[[Tensor], Tensor]:
        return self.inside.inputs

    @inputs.setter
    def inputs(self, inputs: Callable[[Tensor], Tensor]) -> None:
        self.inside.inputs = inputs

    def targets(self, batch: BatchIn) -> int:
        return self.inside.targets(batch)

    def __call__(self, module: nn.Module, batch: BatchIn) -> Tensor:
        return self.inside(module, batch)
