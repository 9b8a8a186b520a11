"""Objectives: summed nats of a batch and the number of true targets, so that batches can be split at will."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Head = Callable[..., Tensor]  # as full_logits


class Objective(Protocol):
    def __call__(self, module: nn.Module, rows: Tensor) -> Tensor: ...

    def targets(self, rows: Tensor) -> int: ...


def capped(logits: Tensor, cap: float) -> Tensor:
    """Logits kept within (-cap, cap) by cap * tanh(logits / cap) (arXiv:2408.00118); as they are where cap is 0."""
    return cap * torch.tanh(logits / cap) if cap else logits


def full_logits(
    hidden_ND: Tensor, head_VD: Tensor, targets_N: Tensor, cap: float = 0.0, bias_V: Tensor | None = None
) -> Tensor:
    """Summed cross-entropy in nats, with all logits [N, V] in memory at once.

    cap: see `capped`. bias: added to every row of the logits, where a family has one.
    """
    dtype = hidden_ND.dtype
    logits_NV = F.linear(hidden_ND, head_VD.to(dtype), None if bias_V is None else bias_V.to(dtype)).float()
    return F.cross_entropy(capped(logits_NV, cap), targets_N, reduction="sum")


def following(rows: Tensor) -> Tensor:
    """The targets [B, T] in rows [B, T + 1]: what follows each token."""
    return rows[:, 1:]


def preceding(rows: Tensor) -> Tensor:
    """The inputs [B, T] in rows [B, T + 1]: all but the last."""
    return rows[:, :-1]


class NextToken:
    """Each token from those before it; rows [B, T+1] are inputs and targets at once."""

    def __init__(
        self,
        head: Head = full_logits,
        labels: Callable[[Tensor], Tensor] = following,
        inputs: Callable[[Tensor], Tensor] = preceding,
    ) -> None:
        self.head, self.labels, self.inputs = head, labels, inputs

    def targets(self, rows: Tensor) -> int:
        return rows.shape[0] * (rows.shape[1] - 1)

    def __call__(self, module: Any, rows: Tensor) -> Tensor:
        hidden_ND, targets_N = module.hidden(self.inputs(rows)).flatten(0, 1), self.labels(rows).flatten()
        return self.head(hidden_ND, module.lm_head.weight, targets_N, module.shape.logit_cap)


class Around:
    """An objective that does something around another; what is set on it is set on the one inside."""

    def __init__(self, inside: Any) -> None:
        self.inside = inside

    @property
    def head(self) -> Head:
        return self.inside.head

    @head.setter
    def head(self, head: Head) -> None:
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

    def targets(self, rows: Tensor) -> int:
        return self.inside.targets(rows)

    def __call__(self, module: nn.Module, rows: Tensor) -> Tensor:
        return self.inside(module, rows)


@torch.no_grad()
def token_nats(module: nn.Module, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """Nats [B, T] of every target, in float32."""
    logits_BTV = module(inputs_BT)
    return F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none").view_as(targets_BT)
