"""Interpolated modified Kneser-Ney language model over integer tokens; numpy only."""

# Legend of the array comments: N tokens of a text, D documents, V vocabulary, G_k distinct k-grams seen in training.
#
# A k-gram's id is its rank among the k-grams seen in training; the empty gram has id 0. Level k keeps the sorted keys
# (id of the first k-1 tokens << bits) | last token, so that the position of a key is the k-gram's id, and the grams
# that continue one context lie side by side. The entry behind the last gram stands for "never seen": it holds no
# probability and, as a context, passes the lower order through unchanged.

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np

from daybreak.core.errors import DataError, UsageError
from daybreak.models.ngram.counting import (
    checked,
    count_grams,
    distinct_codes,
    document_bounds,
    interpolation,
    keys_of,
    mask,
    token_bits,
)


class TokenFile(Protocol):
    """A text's tokens and where its documents start, as a run keeps them on disk."""

    @property
    def starts(self) -> np.ndarray: ...  # integers [D]

    def __len__(self) -> int: ...

    def slice(self, start: int, stop: int) -> np.ndarray: ...


@dataclass(frozen=True)
class _Level:
    """What order k adds: once for a model that ends at order k, once for order k below a longer one."""

    keys: np.ndarray  # uint64 [G_k + 1]
    part: np.ndarray  # float32 [G_k + 1]: discounted probability, from raw counts
    weight: np.ndarray  # float32 [G_(k-1) + 1]: what each context leaves to order k - 1
    lower_part: np.ndarray  # the same two from continuation counts; empty at the highest order
    lower_weight: np.ndarray


class KneserNey:
    """Interpolated modified Kneser-Ney down to the uniform distribution (Chen and Goodman 1998, "An empirical study
    of smoothing techniques for language modeling", Harvard TR-10-98):

        p_k(w | h) = max(c(hw) - D(c(hw)), 0) / c(h.) + weight(h) p_(k-1)(w | h without its first token)

    c is the raw count at the highest order and below it the number of distinct tokens seen to the left, where the
    beginning of a document counts as one more such token. A context cut short by the start of its document is
    met with the raw counts of the highest order that it fills, since nothing was backed off from.
    """

    order: int
    vocabulary: int

    def __init__(self, levels: Sequence[_Level], vocabulary: int) -> None:
        self._levels = tuple(levels)
        self.order = len(self._levels)
        self.vocabulary = vocabulary
        self._bits = token_bits(vocabulary)

    @classmethod
    def fit(cls, tokens: np.ndarray, *, order: int, vocabulary: int, starts: np.ndarray | None = None) -> KneserNey:
        """Count `tokens` (integers [N], a memmap is fine) into a model of `order`.

        `starts` are the positions at which a new document begins; no gram crosses one. Raises UsageError for an order
        or a vocabulary that cannot be, DataError for a token outside the vocabulary or a start outside the text.
        """
        if order < 1:
            raise UsageError("an n-gram holds at least one token", received=f"order={order}", attempt="such as order=5")
        tokens_N = checked(tokens, vocabulary)
        starts_D, ends_D = document_bounds(len(tokens_N), starts)
        bits = token_bits(vocabulary)
        grams = list(count_grams(tokens_N, order, bits, starts_D, ends_D))
        levels: list[_Level] = []
        contexts = 1
        suffix_G = np.zeros(len(grams[0][1]), np.int64)  # ids of the grams without their first token
        opening_D = np.zeros(len(starts_D), np.int64)  # ids of the grams that open a document
        for k in range(1, order + 1):  # counts are let go of as soon as they are used: they are half of the memory
            keys_G, counts_G = grams[k - 1]
            grams[k - 1] = (keys_G, counts_G[:0])
            part, weight = interpolation(keys_G, counts_G, contexts, bits)
            lower_part = lower_weight = np.zeros(0, np.float32)
            contexts = len(counts_G)
            del counts_G
            if k < order:
                next_keys = grams[k][0][:-1]
                queries = suffix_G[(next_keys >> bits).view(np.int64)].view(np.uint64)
                queries <<= bits
                queries |= next_keys & mask(bits)
                distinct, times, ranks = distinct_codes(queries, with_ids=k + 1 < order)
                del queries
                ids = np.searchsorted(keys_G, distinct)
                suffix_G = ids[ranks]
                left_tokens_G = np.zeros(contexts, np.uint32)
                left_tokens_G[ids] = times
                del distinct, times, ranks, ids
                long_enough_D = ends_D - starts_D >= k
                starts_D, ends_D, opening_D = starts_D[long_enough_D], ends_D[long_enough_D], opening_D[long_enough_D]
                opening_D = np.searchsorted(keys_G, keys_of(opening_D, tokens_N[starts_D + k - 1], bits))
                left_tokens_G[opening_D] += 1  # once, however many documents open with the gram
                lower_part, lower_weight = interpolation(keys_G, left_tokens_G, len(weight) - 1, bits)
            levels.append(_Level(keys_G, part, weight, lower_part, lower_weight))
        return cls(levels, vocabulary)

    def probabilities(self, tokens: np.ndarray, *, starts: np.ndarray | None = None) -> np.ndarray:
        """float64 [order, N], all above 0: row k-1 holds p(token | the k-1 tokens before it) by the model of order k.

        Row k-1 is what `at_order(k)` says, so that one pass tells the best order. Raises DataError as `fit` does.
        """
        tokens_N = checked(tokens, self.vocabulary)
        starts_D, ends_D = document_bounds(len(tokens_N), starts)
        before_N = np.arange(len(tokens_N)) - np.repeat(starts_D, ends_D - starts_D)
        rows = np.empty((self.order, len(tokens_N)))
        lower_N = np.full(len(tokens_N), 1.0 / self.vocabulary)
        for k, (level, context_N, ids_N) in enumerate(self._walk(tokens_N, before_N), 1):
            rows[k - 1] = level.part[ids_N] + level.weight[context_N] * lower_N
            np.copyto(rows[k - 1], rows[k - 2], where=before_N < k - 1)
            if k < self.order:
                lower_N = level.lower_part[ids_N] + level.lower_weight[context_N] * lower_N
        return rows

    def backoff_mass(self, tokens: np.ndarray, *, starts: np.ndarray | None = None) -> np.ndarray:
        """float64 [N]: the mass that the counts behind each token's context hand down to single tokens, 0 to 1.

        It depends on the context alone, never on the token itself: 1 where no context of two tokens was ever seen.
        """
        tokens_N = checked(tokens, self.vocabulary)
        starts_D, ends_D = document_bounds(len(tokens_N), starts)
        before_N = np.arange(len(tokens_N)) - np.repeat(starts_D, ends_D - starts_D)
        handed_N = np.ones(len(tokens_N))
        for k, (level, context_N, _) in enumerate(self._walk(tokens_N, before_N), 1):
            if k > 1:
                weight = level.weight if k == self.order else level.lower_weight
                handed_N *= np.where(before_N >= k - 1, weight[context_N], 1.0)
        return handed_N

    def sample(self, rows_BT: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64 [B, T]: for every position a token drawn from p(. | its row up to and with it), at `self.order`.

        From the highest order down: by the weight that a context leaves to the next order that one draws, else one of
        the context's own grams is drawn by its part. Raises DataError for a token outside the vocabulary.
        """
        tokens_N = checked(rows_BT.reshape(-1), self.vocabulary)
        before_N = np.tile(np.arange(rows_BT.shape[1]), len(rows_BT))
        contexts = [np.zeros(len(tokens_N), np.int64)]  # for each order: the gram that ends here, if the row has it
        for k, (level, _, ids_N) in enumerate(self._walk(tokens_N, before_N, self.order - 1), 1):
            contexts.append(np.where(before_N >= k - 1, ids_N, len(level.keys) - 1))
        drawn_N = rng.integers(self.vocabulary, size=len(tokens_N))  # for where no order draws
        open_P = np.arange(len(tokens_N))
        for level, sums, context_N in zip(self._levels[::-1], self._sums[::-1], contexts[::-1], strict=True):
            weight = level.weight if level is self._levels[-1] else level.lower_weight
            handed = rng.random(len(open_P)) < weight[context_N[open_P]]
            places, open_P = open_P[~handed], open_P[handed]
            context = context_N[places].astype(np.uint64)
            first, behind = (np.searchsorted(level.keys, (context + np.uint64(i)) << self._bits) for i in (0, 1))
            mass = sums[first] + rng.random(len(places)) * (sums[behind] - sums[first])
            picked = np.clip(np.searchsorted(sums, mass, side="right") - 1, first, behind - 1)
            drawn_N[places] = level.keys[picked] & mask(self._bits)
        return drawn_N.reshape(rows_BT.shape)

    @functools.cached_property
    def _sums(self) -> list[np.ndarray]:
        """Of each level: what the parts before each gram add up to, float64 [G_k + 1]."""
        parts = [level.part if level is self._levels[-1] else level.lower_part for level in self._levels]
        return [np.concatenate(([0.0], np.cumsum(part[:-1], dtype=np.float64))) for part in parts]

    def distribution(self, context: Sequence[int]) -> np.ndarray:
        """float64 [V]: p(. | context) at `self.order`; only the last order - 1 tokens of `context` are looked at.

        Sums to 1 within the rounding of float32. Raises DataError for a token outside the vocabulary.
        """
        found: np.ndarray = self.distributions([context])[0]
        return found

    def distributions(self, contexts: Sequence[Sequence[int]]) -> np.ndarray:
        """float64 [B, V]: as `distribution`, for each of the contexts."""
        used = [context[max(0, len(context) - self.order + 1) :] for context in contexts]
        length_B = np.array([len(tokens) for tokens in used], np.int64)
        tokens_N = checked(np.array([token for tokens in used for token in tokens], np.int64), self.vocabulary)
        ends_B = np.cumsum(length_B)
        before_N = np.arange(len(tokens_N)) - np.repeat(ends_B - length_B, length_B)
        context_B = np.zeros(len(used), np.int64)  # the empty gram
        longest = int(length_B.max(initial=0))
        walk = self._walk(tokens_N, before_N, longest)
        p_BV = np.full((len(used), self.vocabulary), 1.0 / self.vocabulary)
        for k, level in enumerate(self._levels[: longest + 1]):  # k tokens of context
            rows_R = np.flatnonzero(length_B >= k)
            if k:
                _, _, ids_N = next(walk)
                context_B[rows_R] = ids_N[ends_B[rows_R] - 1]
            for last in (False, True):
                rows = rows_R[(length_B[rows_R] == k) == last]
                if not len(rows):
                    continue
                part, weight = (level.part, level.weight) if last else (level.lower_part, level.lower_weight)
                context = context_B[rows].astype(np.uint64)
                first, behind = (np.searchsorted(level.keys, (context + np.uint64(i)) << self._bits) for i in (0, 1))
                p_BV[rows] *= weight[context_B[rows]][:, None]
                counts = behind - first
                grams = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
                p_BV[np.repeat(rows, counts), (level.keys[grams] & mask(self._bits)).astype(np.int64)] += part[grams]
        return p_BV

    def backoff_mass_after(self, contexts: Sequence[Sequence[int]]) -> np.ndarray:
        """float64 [B]: `backoff_mass` of whatever comes after each context, of which the last `order` tokens count."""
        # It is the same whatever token comes next, so any will do in its place.
        used = [[*context[-self.order :], 0] for context in contexts]
        ends = np.cumsum([len(tokens) for tokens in used])
        tokens_N = np.array([token for tokens in used for token in tokens], np.int64)
        found: np.ndarray = self.backoff_mass(tokens_N, starts=ends[:-1])[ends - 1]
        return found

    def at_order(self, order: int) -> KneserNey:
        """The model of a lower order, exactly as `fit` would have built it; shares this one's arrays."""
        if not 1 <= order <= self.order:
            raise UsageError(
                "the order is out of range", received=f"order={order}", attempt=f"an order from 1 to {self.order}"
            )
        nothing = np.zeros(0, np.float32)
        top = replace(self._levels[order - 1], lower_part=nothing, lower_weight=nothing)
        return KneserNey((*self._levels[: order - 1], top), self.vocabulary)

    def bytes_in_memory(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.tensors().values())

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything, for safetensors.numpy.save_file; `from_tensors` reads it back."""
        arrays = {
            f"level_{k}.{field.name}": getattr(level, field.name)
            for k, level in enumerate(self._levels, 1)
            for field in fields(_Level)
        }
        return {"vocabulary": np.array([self.vocabulary], np.int64), **arrays}

    @classmethod
    def from_tensors(cls, tensors: dict[str, np.ndarray]) -> KneserNey:
        """The model that `tensors` described. Raises DataError when arrays are missing."""
        order = sum(name.endswith(".keys") for name in tensors)
        try:
            vocabulary = int(tensors["vocabulary"][0])
            levels = [
                _Level(**{field.name: tensors[f"level_{k}.{field.name}"] for field in fields(_Level)})
                for k in range(1, order + 1)
            ]
        except KeyError as missing:
            raise DataError(
                "the n-gram model is incomplete",
                received=str(missing),
                attempt="fit the model and write it again",
            ) from None
        return cls(levels, vocabulary)

    def _walk(
        self, tokens_N: np.ndarray, before_N: np.ndarray, order: int | None = None
    ) -> Iterator[tuple[_Level, np.ndarray, np.ndarray]]:
        """Per order the level, the ids of the contexts, and the ids of the grams that end at each token [N]."""
        context_N = np.zeros(len(tokens_N), np.int64)  # the empty gram
        for k, level in enumerate(self._levels[:order], 1):
            queries_N = keys_of(context_N, tokens_N, self._bits)
            never_seen = len(level.keys) - 1
            by_size = np.argsort(queries_N)  # sorted queries find their keys still in the cache
            ids_N = np.empty(len(tokens_N), np.int64)
            ids_N[by_size] = np.searchsorted(level.keys, queries_N[by_size])
            ids_N[level.keys[ids_N] != queries_N] = never_seen
            yield level, context_N, ids_N
            context_N = np.where(before_N >= k, np.roll(ids_N, 1), never_seen)


def count_beginning(tokens: TokenFile, most: int, *, order: int, vocabulary: int) -> KneserNey:
    """The counts of at most the first `most` tokens."""
    most = min(len(tokens), most)
    starts = tokens.starts[tokens.starts < most]
    return KneserNey.fit(tokens.slice(0, most), order=order, vocabulary=vocabulary, starts=starts)


def best_order(
    model: KneserNey, heldout_tokens: np.ndarray, *, bytes_count: int, starts: np.ndarray | None = None
) -> tuple[int, float]:
    """The order with the fewest bits per byte on held-out tokens that spell `bytes_count` bytes, and those bits."""
    if bytes_count < 1:
        raise DataError("no text to score", received=f"{bytes_count} bytes", attempt="use a larger held-out part")
    bits_per_byte = -np.log2(model.probabilities(heldout_tokens, starts=starts)).sum(axis=1) / bytes_count
    best = int(bits_per_byte.argmin())
    return best + 1, float(bits_per_byte[best])
