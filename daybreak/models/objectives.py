"""Objectives: summed nats of a batch and the number of true targets, so that batches can be split at will."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Head = Callable[..., Tensor]  # as full_logits


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


@torch.no_grad()
def token_nats(module: nn.Module, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """Nats [B, T] of every target, in float32."""
    logits_BTV = module(inputs_BT)
    return F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none").view_as(targets_BT)
