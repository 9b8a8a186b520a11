"""Batches: which tokens a step reads is arithmetic, so that a run resumes at any window without a state."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
import torch

from daybreak.core.errors import DataError
from daybreak.data.shards import TokenArray

_MASK = (1 << 64) - 1
LEAST_DOCUMENTS = 8  # fewer are read as they stand
LONGEST_SHARE = 0.25  # a document with more of the text than this keeps the order, too


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows that are trained on or scored at once, with their labels where the task has some."""

    tokens: torch.Tensor  # int64 [rows, width]
    labels: torch.Tensor | None = None  # [rows, ...]: of each row, or of each token in it

    def __len__(self) -> int:
        return len(self.tokens)

    def to(self, device: torch.device) -> Self:
        """On a device; to a CUDA device from pinned memory, so that nobody waits for the copy."""
        if device.type == "cuda":
            return self._each(lambda values: _pinned(values).to(device, non_blocking=True))
        return self._each(lambda values: values.to(device))

    def pin_memory(self) -> Self:
        return self._each(_pinned)

    def split(self, parts: int) -> list[Self]:
        """In `parts` parts with about as many rows each, in order."""
        labels = [None] * parts if self.labels is None else self.labels.tensor_split(parts)
        tokens = self.tokens.tensor_split(parts)
        return [replace(self, tokens=rows, labels=told) for rows, told in zip(tokens, labels, strict=True)]

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Self:
        labels = None if self.labels is None else change(self.labels)
        return replace(self, tokens=change(self.tokens), labels=labels)


def _pinned(values: torch.Tensor) -> torch.Tensor:
    return values.pin_memory() if values.device.type == "cpu" else values


class Windows(Protocol):
    """Batches as techniques wrap them."""

    @property
    def tokens(self) -> TokenArray: ...

    @property
    def context_length(self) -> int: ...

    def numbers(self, cursor: int, rows: int) -> np.ndarray: ...

    def read(self, numbers: np.ndarray, *, extra: int = 0) -> torch.Tensor: ...

    def take(self, cursor: int, rows: int) -> Batch: ...


@dataclass(frozen=True, slots=True)
class _Order:
    """An epoch: its stream, which is documents in an order of its own, and where the windows start in it."""

    places: np.ndarray  # int64 [windows]: of the stream, in the order in which they are read
    ends: np.ndarray  # int64 [documents]: where each one ends in the stream
    shifts: np.ndarray  # int64 [documents]: from a place in the stream to the place in the text

    def positions(self, starts: np.ndarray, width: int) -> np.ndarray:
        """Places in the text, int64 [rows, width], of windows that start at places of the stream [rows]."""
        over = np.flatnonzero(starts + width > self.ends[-1])
        if len(over):
            return self._round(starts, width, over)
        first = np.searchsorted(self.ends, starts, side="right")
        counts = np.searchsorted(self.ends, starts + width - 1, side="right") - first + 1
        before = np.cumsum(counts) - counts
        # One entry for every document, or part of one, in every row.
        document = np.repeat(first - before, counts) + np.arange(counts.sum())
        stops = np.minimum(self.ends[document], np.repeat(starts + width, counts))
        begins = np.empty_like(stops)
        begins[1:] = stops[:-1]
        begins[before] = starts
        shifts = np.repeat(self.shifts[document], stops - begins).reshape(len(starts), width)
        return shifts + starts[:, None] + np.arange(width)

    def _round(self, starts: np.ndarray, width: int, over: np.ndarray) -> np.ndarray:
        """A window that is wider than what is left of the stream goes on from its beginning."""
        positions = np.empty((len(starts), width), dtype=np.int64)
        fits = np.setdiff1d(np.arange(len(starts)), over)
        positions[fits] = self.positions(starts[fits], width)
        length = int(self.ends[-1])
        for row in over.tolist():
            filled, start = 0, int(starts[row])
            while filled < width:
                part = min(width - filled, length - start)
                positions[row, filled : filled + part] = self.positions(np.array([start]), part)[0]
                filled, start = filled + part, 0
        return positions


class Batches:
    """Windows of context_length + 1 tokens in a random order that seed and epoch determine.

    Every epoch puts the documents in an order of its own, so that other ones meet in a window; its windows cut that
    stream, without overlap in their targets, from an offset of its own; and they are read in random order, so that a
    batch is not consecutive parts of one book. A handful of documents, or one that is a large part of the text, stay
    in the order of the text: there, few neighbours would change, and the offset moves every cut anyway. Window i of
    the run is window i % windows_per_epoch of epoch i // windows_per_epoch.

    With `world` processes, a batch is rows of all of them: the one of `rank` r takes rows r, r + world and so on. So
    cursors mean the same at any number of processes, and a run may go on with another one.
    """

    def __init__(self, tokens: TokenArray, *, context_length: int, seed: int, rank: int = 0, world: int = 1) -> None:
        """Raises DataError where the text does not fill one window."""
        assert 0 <= rank < world, (rank, world)
        if len(tokens) < context_length + 1:
            raise DataError(
                "the text is shorter than the model's context",
                received=f"{len(tokens)} tokens, for a context of {context_length}",
                attempt=f"--set context_length={max(len(tokens) // 2, 1)} or less, or more text",
            )
        self.tokens, self.context_length, self.seed = tokens, context_length, seed
        self.rank, self.world = rank, world
        self.windows_per_epoch = max(1, (len(tokens) - context_length) // context_length)
        self._begins = documents_of(tokens)
        self._orders: dict[int, _Order] = {}

    def epoch_of(self, cursor: int) -> int:
        return cursor // self.windows_per_epoch

    def numbers(self, cursor: int, rows: int) -> np.ndarray:
        """Which windows of the run this process reads of those from `cursor` to `cursor + rows`: int64."""
        return np.arange(cursor + self.rank, cursor + rows, self.world)

    def take(self, cursor: int, rows: int) -> Batch:
        """This process's part of windows `cursor` to `cursor + rows` of the run: tokens [part, context_length + 1]."""
        return Batch(self.read(self.numbers(cursor, rows)))

    def read(self, numbers: np.ndarray, *, extra: int = 0) -> torch.Tensor:
        """Any windows of the run, int64 [len(numbers), context_length + 1 + extra].

        extra: tokens read on beyond the window's end; at the end of an epoch's stream, from its beginning.
        """
        width = self.context_length + 1 + extra
        epochs, windows = np.divmod(numbers, self.windows_per_epoch)
        batch = np.empty((len(numbers), width), dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            chosen, order = epochs == epoch, self._order(epoch)
            batch[chosen] = self.tokens.gather(order.positions(order.places[windows[chosen]], width))
        return torch.from_numpy(batch)

    def _order(self, epoch: int) -> _Order:
        if epoch not in self._orders:
            # Two epochs meet in a batch, and no more are ever needed at once.
            self._orders = {known: order for known, order in self._orders.items() if abs(known - epoch) == 1}
            self._orders[epoch] = self._ordered(epoch)
        return self._orders[epoch]

    def _ordered(self, epoch: int) -> _Order:
        # Raw numbers and a stable sort: numpy promises those streams for good, its permutations it does not.
        philox = np.random.Philox(key=np.array([self.seed & _MASK, epoch], dtype=np.uint64))
        raw = philox.random_raw(self.windows_per_epoch + 1)
        length = self.context_length
        offsets = min(length, len(self.tokens) - self.windows_per_epoch * length)
        places = np.argsort(raw[1:], kind="stable") * length + int(raw[0] % np.uint64(offsets))
        if self._begins is None:
            return _Order(places, np.array([len(self.tokens)]), np.zeros(1, dtype=np.int64))
        permuted = np.argsort(philox.random_raw(len(self._begins)), kind="stable")
        lengths = np.diff(self._begins, append=len(self.tokens))[permuted]
        ends = np.cumsum(lengths)
        return _Order(places, ends, self._begins[permuted] - (ends - lengths))


def documents_of(tokens: TokenArray) -> np.ndarray | None:
    """Where documents begin, int64 [documents], from 0 on; None where their order is not worth changing."""
    begins = np.asarray(tokens.starts)
    if not len(begins) or begins[0]:
        begins = np.concatenate(([0], begins))  # what stands before the first end-of-text token
    if len(begins) < LEAST_DOCUMENTS:
        return None
    longest = int(np.diff(begins, append=len(tokens)).max())
    return None if longest > LONGEST_SHARE * len(tokens) else begins


def windows(
    stream: np.ndarray, context_length: int, *, end_of_text: int, rows: int = 32
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every token of the stream [N] as a target once: (inputs, targets), int64 [rows, context_length] each.

    Windows do not overlap. Target i is token i of the stream and its input is the token before it, for the first one
    the end-of-text token. The last full windows may be fewer rows; what is left over then comes as [1, rest].
    """
    full = len(stream) // context_length * context_length
    step = rows * context_length
    for start in range(0, full, step):
        yield _window(stream, start, min(start + step, full), context_length, end_of_text)
    if full < len(stream):
        yield _window(stream, full, len(stream), len(stream) - full, end_of_text)


def chosen_windows(
    stream: np.ndarray, starts: np.ndarray, context_length: int, *, end_of_text: int, rows: int = 32
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """As `windows`, of those windows of the stream alone that start at these tokens, in their order.

    A window that the stream ends in comes as [1, rest], as there.
    """
    before = np.append(np.int64(end_of_text), stream[:-1])
    for first in range(0, len(starts), rows):
        group = starts[first : first + rows]
        for part in np.split(group, np.flatnonzero(np.diff(group + context_length > len(stream))) + 1):
            width = min(context_length, len(stream) - int(part[0]))
            places = part[:, None] + np.arange(width)
            yield before[places].astype(np.int64), stream[places].astype(np.int64)


def _window(stream: np.ndarray, start: int, stop: int, width: int, end_of_text: int) -> tuple[np.ndarray, np.ndarray]:
    part = np.empty(stop - start + 1, dtype=np.int64)
    part[0] = stream[start - 1] if start else end_of_text
    part[1:] = stream[start:stop]
    return part[:-1].reshape(-1, width), part[1:].reshape(-1, width)
