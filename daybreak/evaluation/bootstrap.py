"""Bootstrap: how sure a score is, and the difference of two on the same documents or questions.

A document is drawn again and again with all that belongs to it, for every model alike: the paired bootstrap (Efron
1979, "Bootstrap methods: another look at the jackknife"; Koehn 2004, "Statistical significance tests for machine
translation evaluation"). Where there are too few documents, blocks of consecutive text are drawn (Künsch 1989, "The
jackknife and the bootstrap for general stationary observations"; here the blocks do not overlap).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95
ENOUGH_DOCUMENTS = 20
BLOCKS = 100  # about, of a text that is cut; more would be shorter, and neighbours more alike
LEAST_BLOCK_BYTES = 1024
MOST_UNITS = 4000  # more documents than that are drawn in groups of neighbours
LEAST_UNITS = 10  # fewer tell nothing
_DRAWN_AT_ONCE = 1 << 21
_FEW_KINDS = 64  # of values; of more, units are drawn


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """What is drawn: the unit of each cell, counted from 0."""

    of_cell: np.ndarray  # int64 [C]
    count: int
    kind: str  # "documents", "blocks" (of documents that were cut) or "groups" (of same_domain documents)
    documents: int


def units(documents: np.ndarray, sizes: np.ndarray) -> Units:
    """documents: of each cell [C], in order; sizes: bytes [C]."""
    _, document_of = np.unique(documents, return_inverse=True)
    lengths = np.bincount(document_of, weights=sizes)
    total, count = lengths.sum(), len(lengths)
    if not total:
        return Units(of_cell=document_of, count=0, kind="documents", documents=0)
    drawn, kind = (count, "documents") if count <= MOST_UNITS else (MOST_UNITS, "groups")
    unit_of = document_of * drawn // count
    weights = np.bincount(unit_of, weights=sizes)
    if total**2 / (weights**2).sum() >= ENOUGH_DOCUMENTS:  # as many of equal size would be as sure (Kish 1965)
        return Units(of_cell=unit_of, count=drawn, kind=kind, documents=count)
    block = max(LEAST_BLOCK_BYTES, total / BLOCKS)
    parts = np.maximum(1, np.rint(lengths / block)).astype(np.int64)
    before = np.concatenate([[0], np.cumsum(lengths)[:-1]])[document_of]
    within = np.cumsum(sizes) - sizes - before  # where a cell begins in its document
    part = np.minimum(within * parts[document_of] // lengths[document_of], parts[document_of] - 1)
    _, of_cell = np.unique((np.cumsum(parts) - parts)[document_of] + part.astype(np.int64), return_inverse=True)
    return Units(of_cell=of_cell, count=int(of_cell[-1]) + 1, kind="blocks", documents=count)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of the mean losses of two models, such as bits per byte; below zero the first is better."""

    difference: float
    low: float
    high: float
    p: float  # two-sided: how often a resample falls on the other side of zero, twice


def paired(
    losses: np.ndarray,
    sizes: np.ndarray,
    pairs: Sequence[tuple[int, int]],
    *,
    per: float = float(np.log(2)),
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> list[Difference]:
    """Percentile intervals of the differences of two models' losses, summed over units and divided by their sizes.

    losses: [M, U] of M models on U units; sizes: [U], such as bytes; pairs: indices of two models. per: what sizes are
    multiplied by; ln 2 gives bits per byte of nats.
    Every model is scored on the same resamples. The same seed gives the same numbers. Memory is bounded whatever U is.
    """
    # Differences are taken before they are summed, so that equal models differ by exactly nothing.
    table = np.stack([*(losses[one] - losses[other] for one, other in pairs), sizes]).astype(np.float64)
    count = table.shape[1]
    generator = np.random.default_rng(seed)
    drawn = np.empty((len(pairs), resamples))
    step = max(1, _DRAWN_AT_ONCE // count)
    for begin in range(0, resamples, step):
        rows = min(step, resamples - begin)
        sums = _times(generator, rows, count) @ table.T
        drawn[:, begin : begin + rows] = (sums[:, :-1] / sums[:, -1:]).T / per
    observed = table[:-1].sum(1) / table[-1].sum() / per
    tails = 50 * (1 - confidence)
    found = []
    for difference, differences in zip(observed, drawn, strict=True):
        low, high = np.percentile(differences, [tails, 100 - tails])
        beyond = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
        p = min(1.0, 2 * (beyond + 1) / (resamples + 1))
        found.append(Difference(difference=float(difference), low=float(low), high=float(high), p=p))
    return found


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Of a score, or of the difference of two."""

    value: float
    low: float
    high: float
    p: float  # of a difference: how often a resample falls on the other side of zero, twice


def ratio(
    tops: np.ndarray,
    bottoms: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Percentile interval of sum(tops) / sum(bottoms), both [U] of what is drawn together.

    The same seed gives the same numbers. Of values of few kinds, such as right and wrong, how often each kind is drawn
    is drawn at once: it is multinomial.
    """
    table = np.stack([tops, bottoms], 1).astype(np.float64)
    kinds, times = np.unique(table, axis=0, return_counts=True)
    generator = np.random.default_rng(seed)
    if len(kinds) <= _FEW_KINDS:
        sums = generator.multinomial(len(table), times / len(table), resamples) @ kinds
    else:
        step = max(1, _DRAWN_AT_ONCE // len(table))
        rows = (min(step, resamples - begin) for begin in range(0, resamples, step))
        sums = np.concatenate([_times(generator, count, len(table)) @ table for count in rows])
    drawn = sums[:, 0] / sums[:, 1]
    tails = 50 * (1 - confidence)
    low, high = np.percentile(drawn, [tails, 100 - tails])
    beyond = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    p = min(1.0, 2 * (beyond + 1) / (resamples + 1))
    return Interval(value=float(tops.sum() / bottoms.sum()), low=float(low), high=float(high), p=p)


def share(
    tops: np.ndarray,
    bottoms: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """As `ratio`, of right answers [U] among questions [U].

    Where none or all are right, resamples show no scatter at all; the end that they leave is then the exact one for U
    independent questions (Clopper and Pearson 1934, "The use of confidence or fiducial limits").
    """
    found = ratio(tops, bottoms, resamples=resamples, seed=seed, confidence=confidence)
    unseen = 1 - ((1 - confidence) / 2) ** (1 / len(tops))
    if found.value == 0:
        return replace(found, high=unseen)
    return replace(found, low=1 - unseen) if found.value == 1 else found


def _times(generator: np.random.Generator, rows: int, count: int) -> np.ndarray:
    """How often each unit is drawn, float64 [rows, count]: each row is multinomial and sums to `count`."""
    drawn = generator.integers(0, count, (rows, count), dtype=np.int64)
    drawn += (np.arange(rows) * count)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted for the number of comparisons (Holm 1979, "A simple sequentially rejective multiple test procedure")."""
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        largest = max(largest, min(1.0, p[index] * (len(p) - rank)))
        adjusted[index] = largest
    return adjusted
