"""Mixtures: a network's predictions with those of counts, by weights that the context decides."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from daybreak.core.values import Json
from daybreak.models.inference.predictors import Network
from daybreak.models.inference.sampling import Mixing, Sampling, Texts, one_text

BUCKETS = 12
LEAST_IN_A_BUCKET = 500  # tokens that a weight is fitted on


class Counted(Protocol):
    """What can be mixed into a network's predictions: it depends on tokens alone."""

    def stream(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Nats [n] of a stream's tokens, and how unsure the counts are of their contexts [n]."""
        ...

    def reading(self) -> "Reading":
        """For texts that are continued."""
        ...


class Reading(Protocol):
    """Several texts that are continued together, as counts see them."""

    def join(self, row: int, text: Sequence[int]) -> None:
        """A new text, as it is given."""
        ...

    def leave(self, row: int) -> None: ...

    def distributions(self, texts: Mapping[int, Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        """From the tokens of each row so far to distributions [B, V] and backoff masses [B]."""
        ...


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The counts' weight by how unsure the counts are of a context: sure counts deserve more of the mixture."""

    edges: tuple[float, ...]  # of backoff_mass, rising; one fewer than values
    values: tuple[float, ...]

    @classmethod
    def from_json(cls, kept: Json) -> "Weights":
        return cls(edges=tuple(kept["edges"]), values=tuple(kept["values"]))

    def to_json(self) -> Json:
        return {"edges": self.edges, "values": self.values}

    def of(self, backoff_mass: np.ndarray) -> np.ndarray:
        return np.asarray(self.values)[np.searchsorted(self.edges, backoff_mass)]


class Mixture:
    """(1 - weight) p + weight p_counts, token by token: a distribution like its parts. p may be a mixture already.

    The weight depends on the context alone (Jelinek and Mercer 1980 tie weights by how often a context was seen).
    """

    needs = "model/ and mixture/"

    def __init__(self, inner: "Network | Mixture", counts: Counted, weights: Weights) -> None:
        self.inner, self.counts, self.weights = inner, counts, weights
        self.network: Network = inner.network if isinstance(inner, Mixture) else inner
        self.end_of_text = self.network.end_of_text

    @property
    def innermost(self) -> "Mixture":
        """The mixture whose part is the network itself."""
        return self.inner.innermost if isinstance(self.inner, Mixture) else self

    def mixed(self, network_nats: np.ndarray, stream: np.ndarray) -> np.ndarray:
        """Nats [n] of the first n tokens of the stream, from the network's."""
        counted, unsure = self.counts.stream(stream[: len(network_nats)])
        return mixed_nats(self._within(network_nats, stream), counted, self.weights.of(unsure))

    def cross_fitted(self, network_nats: np.ndarray, stream: np.ndarray) -> np.ndarray:
        """As `mixed`, each half scored with weights that were fitted on the other: no token chooses its own."""
        middle = len(network_nats) // 2
        halves = slice(0, middle), slice(middle, None)
        scored = [self._fitted(network_nats, stream, other)[1][one] for one, other in (halves, halves[::-1])]
        return np.concatenate(scored)

    def _within(self, network_nats: np.ndarray, stream: np.ndarray) -> np.ndarray:
        return self.inner.mixed(network_nats, stream) if isinstance(self.inner, Mixture) else network_nats

    def _fitted(self, network_nats: np.ndarray, stream: np.ndarray, on: slice) -> tuple["Mixture", np.ndarray]:
        """The mixture with all weights fitted on a part of the stream, and its nats of the whole."""
        inner, within = self.inner, network_nats
        if isinstance(inner, Mixture):
            inner, within = inner._fitted(network_nats, stream, on)
        counted, unsure = self.counts.stream(stream[: len(network_nats)])
        weights = fitted_weights(within[on], counted[on], unsure[on])
        return Mixture(inner, self.counts, weights), mixed_nats(within, counted, weights.of(unsure))

    def mean_weight(self, stream: np.ndarray) -> float:
        """Of all that is not the network, over the tokens of the stream."""
        return float(1 - self._left(stream).mean()) if len(stream) else 0.0

    def _left(self, stream: np.ndarray) -> np.ndarray:
        left = 1 - self.weights.of(self.counts.stream(stream)[1])
        return left * self.inner._left(stream) if isinstance(self.inner, Mixture) else left

    def texts(self) -> AbstractContextManager[Texts]:
        return self.network.texts(self.mixing())

    def continuation(self, prompt: Sequence[int], sampling: Sampling) -> Iterator[int]:
        return one_text(self.texts(), prompt, sampling)

    def mixing(self) -> Mixing:
        """For texts that are continued together."""
        within = self.inner.mixing() if isinstance(self.inner, Mixture) else None
        return _Mixing(self.counts.reading(), self.weights, within)


class _Mixing:
    """within: the mixture that this one is made with, where it is not the network itself."""

    def __init__(self, reading: Reading, weights: Weights, within: Mixing | None) -> None:
        self.reading, self.weights, self.within = reading, weights, within

    def join(self, row: int, text: Sequence[int]) -> None:
        self.reading.join(row, text)
        if self.within is not None:
            self.within.join(row, text)

    def leave(self, row: int) -> None:
        self.reading.leave(row)
        if self.within is not None:
            self.within.leave(row)

    def __call__(self, probabilities_BV: torch.Tensor, texts: Mapping[int, Sequence[int]]) -> torch.Tensor:
        if self.within is not None:
            probabilities_BV = self.within(probabilities_BV, texts)
        counted_BV, mass_B = self.reading.distributions(texts)
        weight_B = self.weights.of(mass_B)
        left_B1, taken_B1 = (torch.from_numpy(part).to(probabilities_BV)[:, None] for part in (1 - weight_B, weight_B))
        mixed_BV = probabilities_BV * left_B1
        mixed_BV[:, : counted_BV.shape[1]] += torch.from_numpy(counted_BV).to(mixed_BV) * taken_B1
        return mixed_BV


def mixed_nats(network: np.ndarray, counted: np.ndarray, weight: float | np.ndarray) -> np.ndarray:
    return -np.log((1 - weight) * np.exp(-network.astype(np.float64)) + weight * np.exp(-counted))


def fitted_weight(network: np.ndarray, counted: np.ndarray) -> float:
    """The counts' weight of highest likelihood: where its slope, which only falls, is zero."""
    if not len(network):
        return 0.5
    p, q = np.exp(-network.astype(np.float64)), np.exp(-counted.astype(np.float64))
    low, high = 0.0, 1.0
    for _ in range(24):
        weight = (low + high) / 2
        if np.mean((q - p) / ((1 - weight) * p + weight * q)) > 0:
            low = weight
        else:
            high = weight
    return (low + high) / 2


def fitted_weights(network: np.ndarray, counted: np.ndarray, backoff_mass: np.ndarray) -> Weights:
    """A weight for each of at most BUCKETS ranges of backoff_mass, with equally many of the tokens [n] in each."""
    buckets = max(1, min(BUCKETS, len(network) // LEAST_IN_A_BUCKET))
    edges = np.unique(np.quantile(backoff_mass, np.arange(1, buckets) / buckets)) if len(network) else np.zeros(0)
    bucket = np.searchsorted(edges, backoff_mass)
    values = [fitted_weight(network[bucket == i], counted[bucket == i]) for i in range(len(edges) + 1)]
    return Weights(edges=tuple(edges.tolist()), values=tuple(values))
