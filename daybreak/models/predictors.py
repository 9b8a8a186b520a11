"""Predictors: what a finished run gives back, behind one face: a network, an n-gram model, or a mixture of both."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from daybreak.core.errors import UsageError
from daybreak.core.metrics import BITS_PER_BYTE
from daybreak.core.request import LARGEST_SEED
from daybreak.models import decoding
from daybreak.models.decoder import Decoder
from daybreak.models.families import decoder_of
from daybreak.models.gpt import Gpt
from daybreak.models.ngram.kneser_ney import KneserNey
from daybreak.models.objectives import token_nats

BUCKETS = 12
LEAST_IN_A_BUCKET = 500  # tokens that a weight is fitted on


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are drawn; temperature 0 takes the likeliest.

    min_tokens: how many tokens are written before the text may end. None: at temperatures above 0, as many as it takes
    until there is something to see; at temperature 0 none, so that the text is exactly the likeliest one. Raises
    UsageError: a value that makes no sense.
    """

    max_tokens: int = 200
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 0
    seed: int = 0
    min_tokens: int | None = None

    def __post_init__(self) -> None:
        asked, least = "", self.min_tokens or 0
        if not 0 <= self.temperature < float("inf"):
            asked, attempt = f"temperature {self.temperature:g}", "0 for the most likely text, or a number such as 0.8"
        elif not 0 <= self.top_p <= 1:
            asked, attempt = f"top_p {self.top_p:g}", "a share from 0 to 1, such as 0.95"
        elif not 0 <= self.seed <= LARGEST_SEED:
            asked, attempt = f"seed {self.seed}", f"a number from 0 to {LARGEST_SEED}"
        elif min(self.max_tokens, self.top_k, least) < 0:
            asked = f"max_tokens {self.max_tokens}, top_k {self.top_k}, min_tokens {least}"
            attempt = "numbers from 0 upwards"
        elif least > self.max_tokens:
            asked, attempt = (
                f"min_tokens {least}, max_tokens {self.max_tokens}",
                "max_tokens at least as large as min_tokens",
            )
        if asked:
            raise UsageError("the sampling settings are out of range", received=asked, attempt=attempt)


def may_end(sampling: Sampling, shows_text: Callable[[Sequence[int]], bool]) -> Callable[[Sequence[int]], bool]:
    """Whether the text may end behind the tokens that were written so far; see Sampling.min_tokens."""
    if sampling.min_tokens is None and sampling.temperature > 0:
        return shows_text
    return lambda written: len(written) >= (sampling.min_tokens or 0)


class Predictor(Protocol):
    needs: str  # what has to be kept to reach its figures

    def continuation(self, prompt: Sequence[int], sampling: Sampling) -> Iterator[int]: ...


class Network:
    """A decoder on its device.

    known_tokens: ids from here on belong to no token (the table is padded) and are never chosen.
    shows_text: whether there is anything to see in some tokens (Tokenizer.shows_text); by default in any.
    prepare: makes the decoder when the first text is asked for, of weights that change no more; without it, the module
    itself decodes.
    """

    needs = "model/"

    def __init__(
        self,
        module: Gpt,
        *,
        end_of_text: int,
        known_tokens: int,
        shows_text: Callable[[Sequence[int]], bool] = bool,
        prepare: Callable[[Gpt], Decoder] = decoder_of,
    ) -> None:
        self.module, self.end_of_text, self.known_tokens = module, end_of_text, known_tokens
        self.device = module.lm_head.weight.device
        self._shows_text, self._prepare = shows_text, prepare
        self._decoder: Decoder | None = None

    @property
    def decoder(self) -> Decoder:
        if self._decoder is None:
            self.module.eval()
            self._decoder = self._prepare(self.module)
        return self._decoder

    def nats(self, windows: Iterable[tuple[np.ndarray, np.ndarray]], stream: np.ndarray) -> Iterator[np.ndarray]:
        """Nats of every target, window batch by window batch. stream: all targets, in order."""
        self.module.eval()
        for inputs, targets in windows:
            pair = (torch.from_numpy(np.ascontiguousarray(part)).to(self.device) for part in (inputs, targets))
            yield token_nats(self.module, *pair).cpu().numpy()

    def continuation(
        self, prompt: Sequence[int], sampling: Sampling, mixing: decoding.Mixing | None = None
    ) -> Iterator[int]:
        self.module.eval()
        return decoding.generate(
            self.decoder,
            prompt,
            max_tokens=sampling.max_tokens,
            end_of_text=self.end_of_text,
            seed=sampling.seed,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            known_tokens=self.known_tokens,
            may_end=may_end(sampling, self._shows_text),
            mixing=mixing,
        )


class Counts:
    """Interpolated Kneser-Ney over the run's own tokens."""

    needs = "model/"

    def __init__(
        self, ngram: KneserNey, *, end_of_text: int, shows_text: Callable[[Sequence[int]], bool] = bool
    ) -> None:
        """shows_text: as for Network."""
        self.ngram, self.end_of_text, self._shows_text = ngram, end_of_text, shows_text

    def nats(self, windows: Iterable[tuple[np.ndarray, np.ndarray]], stream: np.ndarray) -> Iterator[np.ndarray]:
        done = 0
        nats, _ = self.stream(stream)
        for _, targets in windows:
            yield nats[done : done + targets.size].reshape(targets.shape)
            done += targets.size

    def stream(self, tokens: np.ndarray, *, opened: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Nats [n] of a stream's tokens, and how unsure the counts are of their contexts [n].

        opened: end-of-text tokens open documents, and nothing before them is looked at.
        """
        starts = np.flatnonzero(tokens == self.end_of_text) if opened else None
        nats = -np.log(self.ngram.probabilities(tokens, starts=starts)[self.ngram.order - 1])
        return nats, self.ngram.backoff_mass(tokens, starts=starts)

    def reader(self, text: Sequence[int]) -> Callable[[Sequence[int]], tuple[np.ndarray, float]]:
        """From the tokens so far to a distribution [V] and how unsure it is."""

        def read(tokens: Sequence[int]) -> tuple[np.ndarray, float]:
            context = tokens[-self.ngram.order :]
            # How unsure counts are of a context is the same whatever token comes next, so any will do in its place.
            _, unsure = self.stream(np.array([*context, self.end_of_text]), opened=False)
            return self.ngram.distribution(context), float(unsure[-1])

        return read

    def continuation(self, prompt: Sequence[int], sampling: Sampling) -> Iterator[int]:
        generator = torch.Generator().manual_seed(sampling.seed)
        tokens = [self.end_of_text, *prompt]
        may_end_now, ending = may_end(sampling, self._shows_text), False
        for _ in range(sampling.max_tokens):
            logits = torch.from_numpy(np.log(self.ngram.distribution(tokens[-self.ngram.order :])))
            ending = ending or may_end_now(tokens[1 + len(prompt) :])
            if not ending:
                logits[self.end_of_text] = -torch.inf
            token = decoding.chosen(
                logits, generator, temperature=sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k
            )
            if token == self.end_of_text:
                return
            tokens.append(token)
            yield token


class Counted(Protocol):
    """What can be mixed into a network's predictions: it depends on tokens alone."""

    def stream(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Nats [n] of a stream's tokens, and how unsure the counts are of their contexts [n]."""
        ...

    def reader(self, text: Sequence[int]) -> Callable[[Sequence[int]], tuple[np.ndarray, float]]:
        """For a text that is to be continued: from its tokens so far to a distribution [V] and its backoff_mass."""
        ...


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The counts' weight by how unsure the counts are of a context: sure counts deserve more of the mixture."""

    edges: tuple[float, ...]  # of backoff_mass, rising; one fewer than values
    values: tuple[float, ...]

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Weights":
        return cls(edges=tuple(kept["edges"]), values=tuple(kept["values"]))

    def to_json(self) -> dict[str, Any]:
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

    def continuation(self, prompt: Sequence[int], sampling: Sampling) -> Iterator[int]:
        return self.network.continuation(prompt, sampling, self._mixing([self.end_of_text, *prompt]))

    def _mixing(self, text: Sequence[int]) -> decoding.Mixing:
        within = self.inner._mixing(text) if isinstance(self.inner, Mixture) else None
        read = self.counts.reader(text)

        def mixing(probabilities_V: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
            if within is not None:
                probabilities_V = within(probabilities_V, tokens)
            counted, unsure = read(tokens)
            weight = float(self.weights.of(np.array([unsure]))[0])
            mixed = probabilities_V * (1 - weight)
            mixed[: len(counted)] += torch.from_numpy(counted).to(mixed) * weight
            return mixed

        return mixing


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
