"""Counts of n-grams in sorted arrays, and the discounts of modified Kneser-Ney."""

# Array comments: N tokens of a text, D documents, W grams with repeats, G distinct grams.

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from daybreak.core.errors import DataError, UsageError

NO_GRAM = np.uint64(2**64 - 1)  # larger than any key: ids stay far below 2**40
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)  # KenLM's choice too (its --discount_fallback)


def count_grams(
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
        codes_G, counts_G, ids = distinct_codes(codes_W, with_ids=not last)
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
                keys_G = keys_of(np.searchsorted(parents, codes_G >> bits), codes_G & mask(bits), bits)
            yield np.append(keys_G, NO_GRAM), counts_G
            parents = codes_G
        done += span
        if done < order:
            codes_N[whole_N] = ids
            id_bits = len(parents).bit_length()


def distinct_codes(codes: np.ndarray, *, with_ids: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def interpolation(keys: np.ndarray, counts: np.ndarray, contexts: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
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


def keys_of(context_ids: np.ndarray, tokens: np.ndarray, bits: int) -> np.ndarray:
    return (context_ids.astype(np.uint64) << bits) | tokens.astype(np.uint64)


def token_bits(vocabulary: int) -> int:
    if not 1 <= vocabulary <= 2**24:  # a token and an id below 2**40 share 64 bits
        raise UsageError("a vocabulary has 1 to 2**24 ids", received=f"{vocabulary}", attempt="the highest id plus 1")
    return max(1, (vocabulary - 1).bit_length())


def mask(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)


def checked(tokens: np.ndarray, vocabulary: int) -> np.ndarray:
    """`tokens` as a flat array of unsigned integers, all inside the vocabulary."""
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or (tokens.size and tokens.dtype.kind not in "ui"):
        raise DataError(
            "an n-gram model reads one row of integers",
            received=f"{tokens.dtype} {list(tokens.shape)}",
            attempt="use a flat array of uint8, uint16 or uint32",
        )
    if tokens.size and not (tokens.min() >= 0 and tokens.max() < vocabulary):
        raise DataError(
            "a token id is outside the vocabulary",
            received=f"ids from {tokens.min()} to {tokens.max()} for a vocabulary of {vocabulary}",
            attempt="the tokenizer and the vocabulary that belong to these tokens",
        )
    return tokens if tokens.dtype.kind == "u" else tokens.astype(np.uint32)


def document_bounds(length: int, starts: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """First position and end [D] of every document that is not empty; position 0 always begins one."""
    starts_D = np.union1d(np.asarray([] if starts is None else starts, np.int64), np.zeros(1, np.int64))
    if starts_D[0] < 0 or starts_D[-1] > length:
        raise DataError(
            "a document begins outside the text",
            received=f"starts from {starts_D[0]} to {starts_D[-1]} for {length} tokens",
            attempt="use offsets into the same array",
        )
    starts_D = starts_D[starts_D < length]
    return starts_D, np.append(starts_D[1:], length)[: len(starts_D)]
