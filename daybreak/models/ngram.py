"""Interpolated modified Kneser-Ney language model over integer tokens, and a vocabulary of characters; numpy only."""

# Legend of the array comments: N tokens of a text, D documents, V vocabulary, G_k distinct k-grams seen in training.
#
# A k-gram's id is its rank among the k-grams seen in training; the empty gram has id 0. Level k keeps the sorted keys
# (id of the first k-1 tokens << bits) | last token, so that the position of a key is the k-gram's id, and the grams
# that continue one context lie side by side. The entry behind the last gram stands for "never seen": it holds no
# probability and, as a context, passes the lower order through unchanged.

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from daybreak.core.errors import DataError, UsageError

NO_GRAM = np.uint64(2**64 - 1)  # larger than any key: ids stay far below 2**40
UNICODE_SCALAR_VALUES = 0x110000 - 0x800  # all code points but the surrogates
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)  # KenLM's choice too (its --discount_fallback)


SECONDS_PER_TOKEN_AND_ORDER = 1.5e-7  # of `fit`, on one core; bytes are faster
LEAST_TOKENS = 50_000  # fewer counts of a training text teach nothing
MOST_BYTES_PER_TOKEN_AND_ORDER = 30  # of memory while it fits, where no gram comes again
BYTES_PER_TOKEN_AND_ORDER = 20  # measured on books
BYTES_PER_BYTE = 50  # of memory while it fits a text of bytes, whose short grams come again
COUNTED_BYTES = 7  # of the model afterwards, for a token and an order


def countable(order: int, *, seconds: float, memory_bytes: float) -> int:
    """How many tokens can be counted in this time and memory."""
    return int(min(seconds / SECONDS_PER_TOKEN_AND_ORDER, memory_bytes / MOST_BYTES_PER_TOKEN_AND_ORDER) / order)


def counting_bytes(tokens: float, *, order: int, vocabulary: int) -> float:
    """Bytes of memory while so many tokens are counted."""
    return tokens * (BYTES_PER_BYTE if vocabulary <= 257 else order * BYTES_PER_TOKEN_AND_ORDER)


def counted_bytes(tokens: float, *, order: int, vocabulary: int) -> float:
    """Bytes of the model that is counted from so many tokens."""
    return tokens * COUNTED_BYTES * (1 if vocabulary <= 257 else order)


def counted(tokens: Any, most: int, *, order: int, vocabulary: int) -> KneserNey:
    """Of a run's tokens (data.shards.Tokens), or of their beginning."""
    most = min(len(tokens), most)
    starts = tokens.starts[tokens.starts < most]
    return KneserNey.fit(tokens.slice(0, most), order=order, vocabulary=vocabulary, starts=starts)


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
        self._bits = _token_bits(vocabulary)

    @classmethod
    def fit(cls, tokens: np.ndarray, *, order: int, vocabulary: int, starts: np.ndarray | None = None) -> KneserNey:
        """Count `tokens` (integers [N], a memmap is fine) into a model of `order`.

        `starts` are the positions at which a new document begins; no gram crosses one. Raises UsageError for an order
        or a vocabulary that cannot be, DataError for a token outside the vocabulary or a start outside the text.
        """
        if order < 1:
            raise UsageError("an n-gram holds at least one token", received=f"order={order}", attempt="order=5")
        tokens_N = _checked(tokens, vocabulary)
        starts_D, ends_D = _documents(len(tokens_N), starts)
        bits = _token_bits(vocabulary)
        grams = list(_grams(tokens_N, order, bits, starts_D, ends_D))
        levels: list[_Level] = []
        contexts = 1
        suffix_G = np.zeros(len(grams[0][1]), np.int64)  # ids of the grams without their first token
        opening_D = np.zeros(len(starts_D), np.int64)  # ids of the grams that open a document
        for k in range(1, order + 1):  # counts are let go of as soon as they are used: they are half of the memory
            keys_G, counts_G = grams[k - 1]
            grams[k - 1] = (keys_G, counts_G[:0])
            part, weight = _interpolation(keys_G, counts_G, contexts, bits)
            lower_part = lower_weight = np.zeros(0, np.float32)
            contexts = len(counts_G)
            del counts_G
            if k < order:
                next_keys = grams[k][0][:-1]
                queries = suffix_G[(next_keys >> bits).view(np.int64)].view(np.uint64)
                queries <<= bits
                queries |= next_keys & _mask(bits)
                distinct, times, ranks = _distinct(queries, with_ids=k + 1 < order)
                del queries
                ids = np.searchsorted(keys_G, distinct)
                suffix_G = ids[ranks]
                left_tokens_G = np.zeros(contexts, np.uint32)
                left_tokens_G[ids] = times
                del distinct, times, ranks, ids
                long_enough_D = ends_D - starts_D >= k
                starts_D, ends_D, opening_D = starts_D[long_enough_D], ends_D[long_enough_D], opening_D[long_enough_D]
                opening_D = np.searchsorted(keys_G, _keys(opening_D, tokens_N[starts_D + k - 1], bits))
                left_tokens_G[opening_D] += 1  # once, however many documents open with the gram
                lower_part, lower_weight = _interpolation(keys_G, left_tokens_G, len(weight) - 1, bits)
            levels.append(_Level(keys_G, part, weight, lower_part, lower_weight))
        return cls(levels, vocabulary)

    def probabilities(self, tokens: np.ndarray, *, starts: np.ndarray | None = None) -> np.ndarray:
        """float64 [order, N], all above 0: row k-1 holds p(token | the k-1 tokens before it) by the model of order k.

        Row k-1 is what `at_order(k)` says, so that one pass tells the best order. Raises DataError as `fit` does.
        """
        tokens_N = _checked(tokens, self.vocabulary)
        starts_D, ends_D = _documents(len(tokens_N), starts)
        before_N = np.arange(len(tokens_N)) - np.repeat(starts_D, ends_D - starts_D)
        rows = np.empty((self.order, len(tokens_N)))
        lower_N = np.full(len(tokens_N), 1.0 / self.vocabulary)
        for k, (level, context_N, ids_N) in enumerate(self._walk(tokens_N, before_N), 1):
            rows[k - 1] = level.part[ids_N] + level.weight[context_N] * lower_N
            np.copyto(rows[k - 1], rows[k - 2], where=before_N < k - 1)
            if k < self.order:
                lower_N = level.lower_part[ids_N] + level.lower_weight[context_N] * lower_N
        return rows

    def unsureness(self, tokens: np.ndarray, *, starts: np.ndarray | None = None) -> np.ndarray:
        """float64 [N]: the mass that the counts behind each token's context hand down to single tokens, 0 to 1.

        It depends on the context alone, never on the token itself: 1 where no context of two tokens was ever seen.
        """
        tokens_N = _checked(tokens, self.vocabulary)
        starts_D, ends_D = _documents(len(tokens_N), starts)
        before_N = np.arange(len(tokens_N)) - np.repeat(starts_D, ends_D - starts_D)
        handed_N = np.ones(len(tokens_N))
        for k, (level, context_N, _) in enumerate(self._walk(tokens_N, before_N), 1):
            if k > 1:
                weight = level.weight if k == self.order else level.lower_weight
                handed_N *= np.where(before_N >= k - 1, weight[context_N], 1.0)
        return handed_N

    def drawn(self, rows_BT: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64 [B, T]: for every position a token drawn from p(. | its row up to and with it), at `self.order`.

        From the highest order down: by the weight that a context leaves to the next order that one draws, else one of
        the context's own grams is drawn by its part. Raises DataError for a token outside the vocabulary.
        """
        tokens_N = _checked(rows_BT.reshape(-1), self.vocabulary)
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
            drawn_N[places] = level.keys[picked] & _mask(self._bits)
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
        used = _checked(np.array(context[max(0, len(context) - self.order + 1) :], np.int64), self.vocabulary)
        last_ids = [0, *(int(ids[-1]) for _, _, ids in self._walk(used, np.arange(len(used)), len(used)))]
        p_V = np.full(self.vocabulary, 1.0 / self.vocabulary)
        for level, context_id in zip(self._levels, last_ids, strict=False):
            last = level is self._levels[len(used)]
            part, weight = (level.part, level.weight) if last else (level.lower_part, level.lower_weight)
            bounds = np.array([context_id, context_id + 1], np.uint64) << self._bits
            first, behind = np.searchsorted(level.keys, bounds)
            p_V *= weight[context_id]
            p_V[(level.keys[first:behind] & _mask(self._bits)).astype(np.int64)] += part[first:behind]
        return p_V

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
                attempt="fit and write the model again",
            ) from None
        return cls(levels, vocabulary)

    def _walk(
        self, tokens_N: np.ndarray, before_N: np.ndarray, order: int | None = None
    ) -> Iterator[tuple[_Level, np.ndarray, np.ndarray]]:
        """Per order the level, the ids of the contexts, and the ids of the grams that end at each token [N]."""
        context_N = np.zeros(len(tokens_N), np.int64)  # the empty gram
        for k, level in enumerate(self._levels[:order], 1):
            queries_N = _keys(context_N, tokens_N, self._bits)
            never_seen = len(level.keys) - 1
            by_size = np.argsort(queries_N)  # sorted queries find their keys still in the cache
            ids_N = np.empty(len(tokens_N), np.int64)
            ids_N[by_size] = np.searchsorted(level.keys, queries_N[by_size])
            ids_N[level.keys[ids_N] != queries_N] = never_seen
            yield level, context_N, ids_N
            context_N = np.where(before_N >= k, np.roll(ids_N, 1), never_seen)


def best_order(
    model: KneserNey, heldout_tokens: np.ndarray, *, bytes_count: int, starts: np.ndarray | None = None
) -> tuple[int, float]:
    """The order with the fewest bits per byte on held-out tokens that spell `bytes_count` bytes, and those bits."""
    if bytes_count < 1:
        raise DataError("no text to score", received=f"{bytes_count} bytes", attempt="a larger held-out part")
    bits_per_byte = -np.log2(model.probabilities(heldout_tokens, starts=starts)).sum(axis=1) / bytes_count
    best = int(bits_per_byte.argmin())
    return best + 1, float(bits_per_byte[best])


class CharacterVocabulary:
    """Characters (Unicode scalar values) as ids 1, 2, ... by falling frequency; id 0 is any character not learned."""

    size: int  # ids in use, id 0 included

    def __init__(self, characters: np.ndarray) -> None:
        self._characters = np.asarray(characters, np.uint32)  # [size - 1] code points, in order of id
        self.size = len(self._characters) + 1
        self._ids = np.zeros(0x110000, np.uint16 if self.size <= 2**16 else np.uint32)
        self._ids[self._characters] = np.arange(1, self.size)

    @classmethod
    def learn(cls, text: str) -> CharacterVocabulary:
        """Every character of `text`, the most frequent first, equals by code point."""
        counts = np.bincount(_code_points(text))
        by_count = np.argsort(-counts, kind="stable")
        return cls(by_count[: np.count_nonzero(counts)])

    def encode(self, text: str) -> np.ndarray:
        """uint16, or uint32 for more than 65,536 ids: one id a character."""
        ids: np.ndarray = self._ids[_code_points(text)]
        return ids

    def decode(self, ids: np.ndarray) -> str:
        """The text; U+FFFD where the character was not learned."""
        with_unknown = np.concatenate([np.array([0xFFFD], np.uint32), self._characters])
        return with_unknown[np.asarray(ids, np.int64)].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def escape_nats(self, text: str) -> float:
        """Nats to spell what `encode` maps to id 0, uniformly over Unicode: owed on top of the model's own nats."""
        unseen = len(text) - int(np.count_nonzero(self.encode(text)))
        return unseen * math.log(UNICODE_SCALAR_VALUES)

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything, for safetensors.numpy.save_file; `from_tensors` reads it back."""
        return {"characters": self._characters}

    @classmethod
    def from_tensors(cls, tensors: dict[str, np.ndarray]) -> CharacterVocabulary:
        """The vocabulary that `tensors` described."""
        return cls(tensors["characters"])


def _grams(
    tokens_N: np.ndarray, order: int, bits: int, starts_D: np.ndarray, ends_D: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For k = 1 .. order: keys [G_k + 1] and raw counts, uint32 [G_k].

    As many tokens as fit are packed into 64 bits, whose sorted order is also that of all prefixes: one sort of the
    text serves all orders that fit (all eight of bytes). Where they do not, ids stand in for the tokens so far.
    """
    codes_N = np.zeros(len(tokens_N), np.uint64)  # of the gram that begins at each position
    done, id_bits = 0, 0
    while done < order:
        span = min(order - done, (64 - id_bits) // bits)
        for ahead in range(done, done + span):
            codes_N <<= bits
            codes_N[: max(0, len(codes_N) - ahead)] |= tokens_N[ahead:]
        whole_N = np.ones(len(codes_N), bool)
        for tail in range(1, done + span):
            whole_N[np.maximum(ends_D - tail, 0)] = False  # here the document ends before the gram does
        # Grams that nothing follows are no prefixes.
        ends = {k: codes_N[(ends_D - k)[ends_D - starts_D >= k]] for k in range(done + 1, done + span)}
        last = done + span >= order
        codes_W = codes_N[whole_N]
        if last:
            codes_N = codes_N[:0]
        codes_G, counts_G, ids = _distinct(codes_W, with_ids=not last)
        del codes_W
        found = [(codes_G, counts_G)]
        for k in range(done + span - 1, done, -1):
            shorter_G = codes_G >> bits
            first = _first_of_runs(shorter_G)
            codes_G, counts_G = _with_more(
                shorter_G[first],
                np.add.reduceat(counts_G, first, dtype=np.uint32) if len(first) else counts_G,
                ends[k] >> bits * (done + span - k),
            )
            found.append((codes_G, counts_G))
            del shorter_G, first
        parents = codes_G[:0]
        while found:
            codes_G, counts_G = found.pop()
            keys_G = codes_G
            if len(parents):
                keys_G = _keys(np.searchsorted(parents, codes_G >> bits), codes_G & _mask(bits), bits)
            yield np.append(keys_G, NO_GRAM), counts_G
            parents = codes_G
        done += span
        if done < order:
            codes_N[whole_N] = ids
            id_bits = len(parents).bit_length()


def _distinct(codes: np.ndarray, *, with_ids: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sorted distinct codes, their counts and, only if asked for, the rank of each code; `codes` is used up."""
    by_code = np.zeros(0, np.int64)
    if with_ids:
        by_code = np.argsort(codes)
        codes = codes[by_code]
    else:
        codes.sort()  # several times faster than argsort
    first = _first_of_runs(codes)
    counts = np.diff(first, append=len(codes)).astype(np.uint32)
    ids = np.empty_like(by_code)
    if with_ids:
        ids[by_code] = np.repeat(np.arange(len(first), dtype=np.uint32), counts)
    return codes[first], counts, ids


def _with_more(codes: np.ndarray, counts: np.ndarray, more: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted distinct `codes` with their `counts`, after counting the few codes in `more` as well."""
    extra, times = np.unique(more, return_counts=True)
    place = np.searchsorted(codes, extra)
    known = np.searchsorted(codes, extra, "right") > place
    counts[place[known]] += times[known].astype(counts.dtype)
    return np.insert(codes, place[~known], extra[~known]), np.insert(
        counts, place[~known], times[~known].astype(counts.dtype)
    )


def _interpolation(keys: np.ndarray, counts: np.ndarray, contexts: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """The discounted part of each gram [G_k + 1] and the weight that each context leaves to lower orders."""
    part, weight = np.zeros(len(keys), np.float32), np.ones(contexts + 1, np.float32)
    if len(counts):
        context = keys[:-1] >> bits
        first = _first_of_runs(context)
        context = context[first].astype(np.int64)
        total = np.add.reduceat(counts, first, dtype=np.int64)
        taken = _discounts(counts)[np.minimum(counts, 3)]
        weight[context] = np.add.reduceat(taken, first) / total
        np.subtract(counts, taken, out=taken)
        taken /= np.repeat(total, np.diff(first, append=len(counts)))
        part[:-1] = taken
    return part, weight


def _discounts(counts: np.ndarray) -> np.ndarray:
    """float64 [4]: what is taken from a gram counted 0, 1, 2, and 3 or more times (Chen and Goodman 1998)."""
    _, n1, n2, n3, n4 = (int(n) for n in np.bincount(np.minimum(counts, 5), minlength=6)[:5])
    taken = FALLBACK_DISCOUNTS
    if min(n1, n2, n3, n4) > 0:
        y = n1 / (n1 + 2 * n2)
        taken = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    # D1 is always in (0, 1); odd counts of counts can push the others below 0, and then lower orders would get nothing.
    return np.maximum.accumulate([0.0, *taken])


def _first_of_runs(sorted_values: np.ndarray) -> np.ndarray:
    """Positions at which a run of equal values begins."""
    changes = np.ones(len(sorted_values), bool)
    np.not_equal(sorted_values[1:], sorted_values[:-1], out=changes[1:])
    return np.flatnonzero(changes)


def _keys(context_ids: np.ndarray, tokens: np.ndarray, bits: int) -> np.ndarray:
    return (context_ids.astype(np.uint64) << bits) | tokens.astype(np.uint64)


def _token_bits(vocabulary: int) -> int:
    if not 1 <= vocabulary <= 2**24:  # a token and an id below 2**40 share 64 bits
        raise UsageError("a vocabulary has 1 to 2**24 ids", received=f"{vocabulary}", attempt="the highest id plus 1")
    return max(1, (vocabulary - 1).bit_length())


def _mask(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _checked(tokens: np.ndarray, vocabulary: int) -> np.ndarray:
    """`tokens` as a flat array of unsigned integers, all inside the vocabulary."""
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or (tokens.size and tokens.dtype.kind not in "ui"):
        raise DataError(
            "an n-gram model reads one row of integers",
            received=f"{tokens.dtype} {list(tokens.shape)}",
            attempt="a flat array of uint8, uint16 or uint32",
        )
    if tokens.size and not (tokens.min() >= 0 and tokens.max() < vocabulary):
        raise DataError(
            "a token id is outside the vocabulary",
            received=f"ids from {tokens.min()} to {tokens.max()} for a vocabulary of {vocabulary}",
            attempt="the tokenizer and the vocabulary that belong to these tokens",
        )
    return tokens if tokens.dtype.kind == "u" else tokens.astype(np.uint32)


def _documents(length: int, starts: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """First position and end [D] of every document that is not empty; position 0 always begins one."""
    starts_D = np.union1d(np.asarray([] if starts is None else starts, np.int64), np.zeros(1, np.int64))
    if starts_D[0] < 0 or starts_D[-1] > length:
        raise DataError(
            "a document begins outside the text",
            received=f"starts from {starts_D[0]} to {starts_D[-1]} for {length} tokens",
            attempt="offsets into this very array",
        )
    starts_D = starts_D[starts_D < length]
    return starts_D, np.append(starts_D[1:], length)[: len(starts_D)]
