"""Positions: where a token stands, told to a network by turning, by adding, or by distance.

Axes in tensor names: T positions, S positions attended to, H heads, K head size, D width.
"""

import torch
from torch import Tensor

from daybreak.core.shapes import GptShape

SINUSOID_BASE = 10000.0


def rotation(shape: GptShape, start: int, stop: int, device: torch.device) -> tuple[Tensor, ...]:
    """Cosines and sines [T, 1, K] of the positions from start to stop."""
    return turns(shape.head_dim, shape.rope_base, start, stop, device)


def turns(size: int, base: float, start: int, stop: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T, 1, K] for heads of a size K (arXiv:2104.09864)."""
    frequencies = base ** (-torch.arange(0, size, 2, device=device).float() / size)
    angles = torch.arange(start, stop, device=device).float()[:, None] * frequencies
    angles_T1K = torch.cat((angles, angles), -1)[:, None]
    return angles_T1K.cos(), angles_T1K.sin()


def rotated(x_BTHK: Tensor, cos_T1K: Tensor | None, sin_T1K: Tensor | None) -> Tensor:
    """Rotary positions, the first half of a head paired with the second; without angles, as it was."""
    if cos_T1K is None or sin_T1K is None:
        return x_BTHK
    first, second = x_BTHK.chunk(2, -1)
    return x_BTHK * cos_T1K + torch.cat((-second, first), -1) * sin_T1K


def sinusoids(shape: GptShape, start: int, stop: int, device: torch.device) -> tuple[Tensor, ...]:
    """[T, D] to add to the embeddings (arXiv:1706.03762), as large as these begin.

    The paper scales the embeddings up instead, which small tied tables would not survive.
    """
    pairs = torch.arange(0, shape.width, 2, device=device).float() / shape.width
    angles = torch.arange(start, stop, device=device).float()[:, None] * SINUSOID_BASE**-pairs
    waves_TD = torch.cat((angles.sin(), angles.cos()), -1)[:, : shape.width]
    return (embedding_size(shape) * 2**0.5 * waves_TD,)


def distances(shape: GptShape, start: int, stop: int, device: torch.device) -> tuple[Tensor, ...]:
    """[H, T, S] to add to the scores: minus a head's slope times the distance (arXiv:2108.12409), -inf for the future.

    Slopes fall geometrically from head to head, to 2^-8.
    """
    slopes_H = _slopes(shape, device)
    seen_S = torch.arange(stop, device=device)
    distance_TS = torch.arange(start, stop, device=device)[:, None] - seen_S
    bias_HTS = -slopes_H[:, None, None] * distance_TS.float()
    return (bias_HTS.masked_fill(distance_TS < 0, -torch.inf),)


def distances_from(shape: GptShape, places_B: Tensor, stop: int) -> Tensor:
    """[B, H, 1, S]: as `distances`, for one position of each row."""
    distance_BS = places_B[:, None] - torch.arange(stop, device=places_B.device)
    bias_BHS = -_slopes(shape, places_B.device)[:, None] * distance_BS[:, None].float()
    return bias_BHS.masked_fill(distance_BS[:, None] < 0, -torch.inf)[:, :, None]


def _slopes(shape: GptShape, device: torch.device) -> Tensor:
    return 2.0 ** (-8.0 * torch.arange(1, shape.heads + 1, device=device).float() / shape.heads)


def embedding_size(shape: GptShape) -> float:
    """Standard deviation that token embeddings begin with; a table that is also the head begins small."""
    return 0.02 if shape.tied else 1.0
