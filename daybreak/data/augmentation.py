"""Augmentation: training rows made different each time they are read, by numbers that count and never by a state.

What changes whole rows (inputs and targets alike) is numpy on the way into a batch, and its random numbers follow from
the seed and the number of the window in the run. What changes only inputs is torch where the loss is taken, since a row
holds a token as input and as target at once; its random numbers follow from the seed and the row itself, so that they
do not depend on how a batch is split. Either way a run that resumes, and one on more processes, draws the same.
"""

import functools
import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from daybreak.data.batches import Batch, Windows
from daybreak.data.shards import TokenArray
from daybreak.data.word_hashes import mixed

_STEP = 0x9E3779B97F4A7C15  # splitmix64's (Steele, Lea and Flood 2014, doi:10.1145/2714064.2660195)
_MASK = (1 << 64) - 1

Change = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows [R, W] and their windows' numbers [R] to rows [R, W]


class Augmented:
    """Batches whose rows are changed as they are read."""

    def __init__(self, inside: Windows, change: Change) -> None:
        self.tokens, self.context_length = inside.tokens, inside.context_length
        self._inside, self._change = inside, change

    def numbers(self, cursor: int, rows: int) -> np.ndarray:
        return self._inside.numbers(cursor, rows)

    def take(self, cursor: int, rows: int) -> Batch:
        return Batch(self.read(self.numbers(cursor, rows)))

    def read(self, numbers: np.ndarray, *, extra: int = 0) -> Tensor:
        """As `Batches.read`, changed."""
        return torch.from_numpy(self._change(self._inside.read(numbers, extra=extra).numpy(), numbers))


# Whole rows


def uniform(seed: int, name: str, numbers: np.ndarray, count: int) -> np.ndarray:
    """float64 [len(numbers), count] in [0, 1): for each window's number its own, the same for good."""
    with np.errstate(over="ignore"):
        keys = mixed(numbers.astype(np.uint64) * np.uint64(_STEP) ^ np.uint64(_key(seed, name)))
        raw = mixed(keys[:, None] + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_STEP))
    return (raw >> np.uint64(11)) * 2.0**-53


def infilled(
    rows: np.ndarray,
    drawn: np.ndarray,
    *,
    rate: float,
    suffix_first: float,
    end_of_text: int,
    sentinels: tuple[int, int, int],
) -> np.ndarray:
    """Rows [R, W] in which a share `rate` of documents is split in three and its middle comes last (arXiv:2207.14255).

    With the sentinels P, S and M, what was prefix middle suffix becomes P prefix S suffix M middle, or, in a share
    `suffix_first` of the cases, P S suffix M prefix middle. Then comes an end of text: that of the next document, or
    one put in where the row ends. What no longer fits into the row is left out. drawn: in [0, 1), [R, 4 N] for rows
    with up to N documents each.
    """
    width = rows.shape[1]
    changed = np.empty_like(rows)
    for index, row in enumerate(rows):
        borders = np.flatnonzero(row == end_of_text)
        begins = [0, *borders[borders > 0].tolist(), width]
        parts, room = [], width
        for number, (begin, end) in enumerate(itertools.pairwise(begins)):
            numbers = drawn[index, 4 * number : 4 * number + 4]
            part = row[begin:end]
            if numbers[0] < rate:
                part = _middle_last(part, room, numbers[1:], suffix_first, end_of_text, sentinels)
            parts.append(part[:room])
            room -= len(parts[-1])
            if not room:
                break
        changed[index] = np.concatenate(parts)
    return changed


def _middle_last(
    part: np.ndarray, room: int, numbers: np.ndarray, suffix_first: float, end_of_text: int, sentinels: tuple[int, ...]
) -> np.ndarray:
    """One document, or what a row shows of it, in at most `room` tokens; as it is where that is too little."""
    head, body = (part[:1], part[1:]) if part[0] == end_of_text else (part[:0], part)
    end = part[:0]
    if len(head) + len(body) + 3 > room:
        body, end = body[: max(0, room - len(head) - 4)], np.array([end_of_text], dtype=part.dtype)
    if len(body) < 2:
        return part
    low, high = sorted(int(number * (len(body) + 1)) for number in numbers[:2])
    prefix, middle, suffix = body[:low], body[low:high], body[high:]
    first, second, third = (np.array([token], dtype=part.dtype) for token in sentinels)
    if numbers[2] < suffix_first:
        return np.concatenate([head, first, second, suffix, third, prefix, middle, end])
    return np.concatenate([head, first, prefix, second, suffix, third, middle, end])


# Inputs


def uniform_of(rows: Tensor, seed: int, name: str) -> Tensor:
    """float64 [B, T] in [0, 1) for rows [B, T]: from the seed and the row's own tokens, the same on every device."""
    steps = torch.arange(1, rows.shape[1] + 1, device=rows.device) * _signed(_STEP)
    keys = _mixed(_mixed(rows + steps).sum(1, keepdim=True) ^ _signed(_key(seed, name)))
    return _shifted(_mixed(keys + steps), 11).double() * 2.0**-53


def noised(inputs: Tensor, drawn: Tensor, rate: float, bag: Tensor, *, end_of_text: int) -> Tensor:
    """Inputs [B, T] of which a share `rate` is a token out of the bag; ends of texts stay. drawn: in [0, 1), [B, T]."""
    # Where a number is below the rate, it is as good as new when it is stretched to [0, 1) again.
    chosen = (drawn < rate) & (inputs != end_of_text)
    places = (drawn * (len(bag) / rate)).long().clamp_(max=len(bag) - 1)
    return torch.where(chosen, bag[places], inputs)


def masked(inputs: Tensor, drawn: Tensor, rate: float, longest: int, mask: int, *, end_of_text: int) -> Tensor:
    """Inputs [B, T] of which about a share `rate` is the token `mask`, in spans of 1 to `longest` tokens.

    Every length is as likely; spans may touch, and ends of texts stay. drawn: in [0, 1), [B, T].
    """
    chance = chance_of_a_span(rate, longest)
    lengths = torch.where(drawn < chance, (drawn * (longest / chance)).long() + 1, 0)
    inside = lengths > 0
    for back in range(1, min(longest, inputs.shape[1])):
        inside[:, back:] |= lengths[:, :-back] > back
    return torch.where(inside & (inputs != end_of_text), mask, inputs)


def swapped(rows: Tensor, drawn: Tensor, rate: float, *, end_of_text: int) -> Tensor:
    """Rows [B, W] in which a share `rate` (up to 0.5) of the tokens has changed places with a neighbour.

    No token moves by more than one place, and none over the end of a text. drawn: in [0, 1), [B, W].
    """
    # A pair is swapped where it was chosen and the pair before it was not: chance (1 - chance) is half of the rate.
    chosen = drawn[:, :-1] < (1 - math.sqrt(1 - 2 * rate)) / 2
    begins = chosen & (rows[:, :-1] != end_of_text) & (rows[:, 1:] != end_of_text)
    begins[:, 1:] &= ~chosen[:, :-1]
    changed = rows.clone()
    changed[:, :-1] = torch.where(begins, rows[:, 1:], changed[:, :-1])
    changed[:, 1:] = torch.where(begins, rows[:, :-1], changed[:, 1:])
    return changed


@functools.cache
def chance_of_a_span(rate: float, longest: int) -> float:
    """The chance of a span at each place with which a share `rate` of all places is inside a span."""
    low, high = 0.0, 1.0
    for _ in range(60):
        chance = (low + high) / 2
        # A place is free where no span begins at it, none at the place before that is longer than 1, and so on.
        free = math.prod(1 - chance * (longest - back) / longest for back in range(longest))
        low, high = (chance, high) if free > 1 - rate else (low, chance)
    return chance


def bag_of(tokens: TokenArray, seed: int, size: int) -> np.ndarray:
    """int64 [up to `size`]: tokens from random places of the text, so each as likely as it is frequent in it.

    Ends of texts are left out.
    """
    raw = np.random.Philox(key=np.array([seed & _MASK, len(tokens)], dtype=np.uint64)).random_raw(size)
    found = tokens.gather((raw % np.uint64(len(tokens))).astype(np.int64)).astype(np.int64)
    return found[found != tokens.end_of_text]


def _key(seed: int, name: str) -> int:
    """64 bits for each seed and technique, so that techniques draw apart from each other."""
    value = int.from_bytes(name.encode()[-8:], "little") ^ (seed * _STEP & _MASK)
    return int(mixed(np.array([value & _MASK], dtype=np.uint64))[0])


def _mixed(values: Tensor) -> Tensor:
    """`word_hashes.mixed` in int64, whose products are those of uint64."""
    values = (values ^ _shifted(values, 30)) * _signed(0xBF58476D1CE4E5B9)
    values = (values ^ _shifted(values, 27)) * _signed(0x94D049BB133111EB)
    return values ^ _shifted(values, 31)


def _shifted(values: Tensor, places: int) -> Tensor:
    """To the right, zeros coming in."""
    return (values >> places) & ((1 << (64 - places)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
