"""Batches: which tokens a step reads is arithmetic, so that a run resumes at any window without a state."""

from collections.abc import Iterator

import numpy as np
import torch

from daybreak.core.errors import DataError
from daybreak.data.shards import Tokens

_MASK = (1 << 64) - 1


class Batches:
    """Windows of context_length + 1 tokens in a random order that seed and epoch determine.

    An epoch's windows do not overlap in their targets and begin at an offset of their own, so that every epoch cuts
    the text elsewhere. Window i of the run is window i % windows_per_epoch of epoch i // windows_per_epoch.
    """

    def __init__(self, tokens: Tokens, *, context_length: int, seed: int) -> None:
        """Raises DataError where the text does not fill one window."""
        if len(tokens) < context_length + 1:
            raise DataError(
                "the text is shorter than the context of the model",
                received=f"{len(tokens)} tokens for a context of {context_length}",
                attempt=f"--set context_length={max(len(tokens) // 2, 1)} or less, or more text",
            )
        self.tokens, self.context_length, self.seed = tokens, context_length, seed
        self.windows_per_epoch = max(1, (len(tokens) - context_length) // context_length)
        self._places: dict[int, np.ndarray] = {}

    def epoch_of(self, cursor: int) -> int:
        return cursor // self.windows_per_epoch

    def take(self, cursor: int, rows: int) -> torch.Tensor:
        """Windows `cursor` to `cursor + rows` of the run: int64 [rows, context_length + 1]."""
        width = self.context_length + 1
        batch = np.empty((rows, width), dtype=np.int64)
        for row in range(rows):
            epoch, window = divmod(cursor + row, self.windows_per_epoch)
            start = int(self._places_in(epoch)[window])
            batch[row] = self.tokens.slice(start, start + width)
        return torch.from_numpy(batch)

    def _places_in(self, epoch: int) -> np.ndarray:
        """Where each window of an epoch starts, in the order they are read: int64 [windows_per_epoch]."""
        if epoch not in self._places:
            # Two epochs meet in a batch, and no more are ever needed at once.
            self._places = {known: places for known, places in self._places.items() if abs(known - epoch) == 1}
            # Raw numbers and a stable sort: numpy promises those streams for good, its permutations it does not.
            raw = np.random.Philox(key=np.array([self.seed & _MASK, epoch], dtype=np.uint64)).random_raw(
                self.windows_per_epoch + 1
            )
            length = self.context_length
            offsets = min(length, len(self.tokens) - self.windows_per_epoch * length)
            order = np.argsort(raw[1:], kind="stable")
            self._places[epoch] = order * length + int(raw[0] % np.uint64(offsets))
        return self._places[epoch]


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


def _window(stream: np.ndarray, start: int, stop: int, width: int, end_of_text: int) -> tuple[np.ndarray, np.ndarray]:
    part = np.empty(stop - start + 1, dtype=np.int64)
    part[0] = stream[start - 1] if start else end_of_text
    part[1:] = stream[start:stop]
    return part[:-1].reshape(-1, width), part[1:].reshape(-1, width)
