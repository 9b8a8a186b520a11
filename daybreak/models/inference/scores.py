"""Scores: nats of a stream's tokens, and their sums over what has bytes."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from daybreak.core.metrics import BITS_PER_BYTE
from daybreak.models.inference.predictors import Counts, Network


@dataclass(frozen=True, kw_only=True)
class Score:
    """Summed over the targets that have bytes; special tokens count neither."""

    nats: float
    bytes: int
    tokens: int
    hits: int | None = None  # targets whose likeliest token was the right one, where that was looked at

    def sums(self) -> dict[str, float]:
        """By the names that metrics have for them."""
        return {"nats": self.nats, "bytes": self.bytes, "tokens": self.tokens, "correct": self.hits or 0}

    @property
    def bits_per_byte(self) -> float:
        return BITS_PER_BYTE.value(self.sums())

    @property
    def perplexity(self) -> float:
        """Of a token."""
        return float(np.exp(self.nats / self.tokens)) if self.tokens else float("nan")


def nats_of(
    predictor: Network | Counts,
    windows: Iterable[tuple[np.ndarray, np.ndarray]],
    stream: np.ndarray,
    *,
    seconds: float = float("inf"),
) -> np.ndarray:
    """Nats of the stream's targets in order, float32, until it ends or the seconds are over."""
    begun = time.perf_counter()
    parts, done = [], 0
    for batch in predictor.nats(windows, stream):
        parts.append(batch.reshape(-1).astype(np.float32))
        done += batch.size
        # The next batch is expected to cost what the mean one did.
        passed = time.perf_counter() - begun
        if passed + passed * batch.size / done > seconds:
            break
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def summed(nats: np.ndarray, stream: np.ndarray, token_bytes: np.ndarray) -> Score:
    """The score of the first len(nats) tokens of the stream. token_bytes: [V]."""
    sizes = token_bytes[stream[: len(nats)]].astype(np.int64)
    return Score(
        nats=float(nats[sizes > 0].sum(dtype=np.float64)), bytes=int(sizes.sum()), tokens=int((sizes > 0).sum())
    )
