"""Mixing: batches from several texts by weight, with each text's share right at every window of the run."""

import functools
import heapq
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch

from daybreak.core.errors import DataError, UsageError
from daybreak.data.batches import Batch, Batches
from daybreak.data.shards import TokenArray, gathered

LONGEST_PERIOD = 1 << 16  # windows after which the order of texts repeats
# Repeated text is worth almost as much as new text up to here, and less and less beyond (arXiv:2305.16264).
MANY_EPOCHS = 4.0
_APART = 0x9E3779B97F4A7C15  # odd: the seeds of the parts differ


class Mixture:
    """Windows of several texts as `Batches` gives those of one; each text has epochs of its own.

    After any number of windows, every text has had its share of them, rounded up or down. Which text a window comes
    from is looked up in one period, so that a run resumes anywhere: exact integers, no state. Weights whose shares
    have no common denominator up to LONGEST_PERIOD are rounded to whole parts of that.
    """

    def __init__(
        self,
        parts: Sequence[tuple[TokenArray, float]],
        *,
        context_length: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Raises UsageError for weights that are not positive, and DataError for texts that do not go together."""
        assert 0 <= rank < world, (rank, world)
        self.shares = whole_shares([weight for _, weight in parts])
        self.tokens = Joined([tokens for tokens, _ in parts])
        self.context_length, self.rank, self.world = context_length, rank, world
        self.parts = tuple(
            Batches(tokens, context_length=context_length, seed=seed + index * _APART)
            for index, (tokens, _) in enumerate(parts)
        )
        self._period = sum(self.shares)
        self._sources = spread(self.shares)
        self._before = np.empty(self._period, dtype=np.int64)  # windows of the same text before, in the period
        for index, share in enumerate(self.shares):
            self._before[self._sources == index] = np.arange(share)

    def numbers(self, cursor: int, rows: int) -> np.ndarray:
        """Which windows of the run this process reads of those from `cursor` to `cursor + rows`: int64."""
        return np.arange(cursor + self.rank, cursor + rows, self.world)

    def take(self, cursor: int, rows: int) -> Batch:
        """This process's part of windows `cursor` to `cursor + rows` of the run: tokens [part, context_length + 1]."""
        return Batch(self.read(self.numbers(cursor, rows)))

    def read(self, numbers: np.ndarray, *, extra: int = 0) -> torch.Tensor:
        """Any windows of the run, int64 [len(numbers), context_length + 1 + extra]; see `Batches.read`."""
        batch = torch.empty((len(numbers), self.context_length + 1 + extra), dtype=torch.int64)
        sources, own = self.sources(numbers)
        for source in np.unique(sources).tolist():
            rows = np.flatnonzero(sources == source)
            batch[torch.from_numpy(rows)] = self.parts[source].read(own[rows], extra=extra)
        return batch

    def sources(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The text that each window of the run comes from, and which window of that text it is: int64 each."""
        periods, places = np.divmod(numbers, self._period)
        sources = self._sources[places]
        return sources, periods * np.array(self.shares)[sources] + self._before[places]

    def epochs(self, cursor: int) -> tuple[float, ...]:
        """How often each text has been read by the window `cursor` of the run."""
        periods, place = divmod(cursor, self._period)
        inside = np.bincount(self._sources[:place], minlength=len(self.shares)).tolist()
        return tuple(
            (periods * share + more) / part.windows_per_epoch
            for share, more, part in zip(self.shares, inside, self.parts, strict=True)
        )


def whole_shares(weights: Sequence[float]) -> tuple[int, ...]:
    """Weights as whole parts of a period, in lowest terms; exact up to LONGEST_PERIOD parts, rounded beyond.

    A weight is meant as it is written: 0.1 is a tenth. Raises UsageError: there is none, or one is not positive.
    """
    if not weights or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise UsageError(
            "--weight must be a positive number",
            received=", ".join(map(str, weights)) or "none",
            attempt="a weight above 0 for each text; to give a text no weight, leave it out",
        )
    written = [Fraction(repr(float(weight))) for weight in weights]
    fractions = [weight / sum(written) for weight in written]
    period = math.lcm(*(fraction.denominator for fraction in fractions))
    if period <= LONGEST_PERIOD:
        return tuple(int(fraction * period) for fraction in fractions)
    ideal = [fraction * LONGEST_PERIOD for fraction in fractions]
    shares = [max(1, math.floor(part)) for part in ideal]
    # What is left goes to those whose part was cut off most; where small ones were raised to 1, the largest give.
    by_rest = sorted(range(len(shares)), key=lambda index: shares[index] - ideal[index])
    for index in by_rest[: max(0, LONGEST_PERIOD - sum(shares))]:
        shares[index] += 1
    shares[shares.index(max(shares))] -= max(0, sum(shares) - LONGEST_PERIOD)
    divisor = math.gcd(*shares)
    return tuple(share // divisor for share in shares)


def spread(shares: Sequence[int]) -> np.ndarray:
    """int64 [sum(shares)]: indexes of shares, each as often as it says and spread evenly.

    In the first k, index i is there k * shares[i] / sum(shares) times, rounded up or down. For that, its j-th place
    has to come no earlier than j would not be too many, and no later than j - 1 would not be too few. Such an order
    exists (Baruah et al. 1996, "Proportionate progress", doi:10.1007/BF01940883), and serving the earliest deadline
    first finds it, as every piece of work is one slot long.
    """
    period = sum(shares)
    waiting = [(0, index, 0) for index in range(len(shares))]  # since when, index, how many came before
    ready: list[tuple[int, int, int]] = []  # until when, index, how many came before
    order = np.empty(period, dtype=np.int64)
    for slot in range(period):
        while waiting and waiting[0][0] <= slot:
            _, index, count = heapq.heappop(waiting)
            heapq.heappush(ready, (-(-(count + 1) * period // shares[index]), index, count))
        _, index, count = heapq.heappop(ready)
        order[slot] = index
        heapq.heappush(waiting, ((count + 1) * period // shares[index], index, count + 1))
    return order


class Joined:
    """Several texts' tokens as one array, in order. Raises DataError: they are not of one tokenizer."""

    def __init__(self, parts: Sequence[TokenArray]) -> None:
        kinds = sorted({(part.vocabulary, part.end_of_text) for part in parts})
        if len(kinds) > 1:
            raise DataError(
                "the sources were tokenized with different tokenizers",
                received=", ".join(f"a vocabulary of {size} (end of text {end})" for size, end in kinds),
                attempt="run `daybreak prepare` for all of them with the same tokenizer",
            )
        ((self.vocabulary, self.end_of_text),) = kinds
        self.parts = tuple(parts)
        self._offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)

    def __len__(self) -> int:
        return int(self._offsets[-1])

    @property
    def documents(self) -> int:
        return sum(part.documents for part in self.parts)

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """Positions of the end-of-text tokens that documents start with, int64 [documents]."""
        return np.concatenate([part.starts + offset for part, offset in zip(self.parts, self._offsets, strict=False)])

    def slice(self, start: int, stop: int) -> np.ndarray:
        """Tokens from `start` up to `stop`, both within the length."""
        assert 0 <= start <= stop <= len(self), (start, stop, len(self))
        pieces = [
            part.slice(max(start - offset, 0), min(stop - offset, len(part)))
            for part, offset in zip(self.parts, self._offsets.tolist(), strict=False)
            if start < offset + len(part) and stop > offset
        ]
        return np.concatenate(pieces) if pieces else self.parts[0].slice(0, 0)

    def gather(self, positions: np.ndarray) -> np.ndarray:
        """The tokens at any positions [...] within the length, in that shape."""
        dtype = np.uint16 if self.vocabulary <= 1 << 16 else np.uint32
        return gathered(self._offsets, lambda part, inside: self.parts[part].gather(inside), positions, dtype)


def effective_epochs(tokens: Sequence[int], weights: Sequence[float], planned_tokens: int) -> tuple[float, ...]:
    """How often a run of `planned_tokens` reads each text of a mixture, from the texts' tokens and weights.

    Raises UsageError: a weight is not positive.
    """
    shares = whole_shares(weights)
    period = sum(shares)
    return tuple(planned_tokens * share / (period * max(1, size)) for size, share in zip(tokens, shares, strict=True))


def repetition_warnings(names: Sequence[str], epochs: Sequence[float]) -> tuple[str, ...]:
    """A sentence for every text that is read so often that reading it again teaches little (arXiv:2305.16264)."""
    return tuple(
        (
            f"{name} is read {count:.1f} times: beyond {MANY_EPOCHS:g} epochs, repeated "
            f"text teaches less and less; a weight {MANY_EPOCHS / count:.2g} times as "
            "large, or more of that text, would stay within that"
        )
        for name, count in zip(names, epochs, strict=True)
        if count > MANY_EPOCHS
    )
