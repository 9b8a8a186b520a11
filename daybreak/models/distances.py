"""Distances: relative positions as T5 has them, a bias that is learnt for each bucket of distances.

Axes in tensor names: T positions, S positions attended to, H heads, N buckets, P distances.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def buckets_of(distance: Tensor, count: int, longest: int, *, both_ways: bool) -> Tensor:
    """The bucket, int64 like `distance`, of how far a position attended to is ahead of the one that attends.

    One bucket for each short distance, then buckets of equal width in its logarithm up to `longest`; those ahead have
    buckets of their own, or where not both ways are seen, that of distance 0 (arXiv:1910.10683, section 2.1).
    """
    if both_ways:
        count //= 2
        first, distance = (distance > 0).long() * count, distance.abs()
    else:
        first, distance = torch.zeros_like(distance), (-distance).clamp(min=0)
    exact = count // 2
    # In float32 and in this order, as others round at the borders of buckets.
    share = torch.log(distance.clamp(min=1).float() / exact) / math.log(longest / exact)
    far = (exact + (share * (count - exact)).long()).clamp(max=count - 1)
    return first + torch.where(distance < exact, distance, far)


def chosen_buckets(start: int, stop: int, count: int, longest: int, device: torch.device, *, both_ways: bool) -> Tensor:
    """One-hot buckets, float32 [P, N], of all distances from positions start to stop to positions 0 to stop.

    P is 2 stop - start: distances 0 - start to stop - 1 - start, a place that is not used, and, counted from the end,
    those before 0 - start.
    """
    period = 2 * stop - start
    steps = torch.arange(period, device=device)
    distance = torch.where(steps < stop, steps, steps - period) - start
    return F.one_hot(buckets_of(distance, count, longest, both_ways=both_ways), count).float()


def spread(bias_PH: Tensor, start: int, stop: int) -> Tensor:
    """[1, H, T, S] for positions start to stop, attending to those from 0 to stop, of what `chosen_buckets` leads to.

    Each row is the one before it, moved by one place: the same numbers again and again, read in rows that are one
    shorter. So its gradient is a sum along an axis and never a scatter, which would add up in random order.
    """
    period, rows = bias_PH.shape[0], stop - start
    repeated_HX = bias_PH.t().repeat(1, rows)
    return repeated_HX[:, : rows * (period - 1)].view(-1, rows, period - 1)[None, :, :, :stop]
