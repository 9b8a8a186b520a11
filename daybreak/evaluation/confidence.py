"""Sureness: the intervals beside the figures of a text, by the bootstrap over what in it is alike."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from daybreak.core.metrics import Metric
from daybreak.core.values import Json
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.evaluation import bootstrap
from daybreak.evaluation.score_table import Scores

if TYPE_CHECKING:  # it needs torch, and counting does without
    from daybreak.tasks.scoring import TokenScores

RESAMPLES_AT_THE_END = 500  # of a run: its time is short, and to two digits the interval is the same
STRETCHES = 100  # of consecutive targets, which are drawn; neighbours in a text are alike

Ends = list[float] | None  # low and high; None: too little text for an interval


def ends_of(
    tops: np.ndarray,
    bottoms: np.ndarray,
    figure: Callable[[float], float] = float,
    *,
    resamples: int = bootstrap.RESAMPLES,
) -> Ends:
    """Of a rising function of sum(tops) / sum(bottoms), both [U] of what is drawn together."""
    if len(tops) < bootstrap.LEAST_UNITS:
        return None
    found = bootstrap.ratio(tops, bottoms, resamples=resamples)
    return [float(figure(found.low)), float(figure(found.high))]


def bits(nats: float) -> float:
    return nats / float(np.log(2))


def of_text(stream: np.ndarray, tokenizer: Tokenizer, nats: np.ndarray) -> dict[str, Ends]:
    """Of bits per byte and perplexity, over the documents or blocks of a text.

    stream: tokens [n], as in Scores.of; nats: [n].
    """
    cells = Scores.of(stream, tokenizer, nats, None, whole=True)
    units = bootstrap.units(cells.documents, cells.sizes)
    nats_U, sizes_U, tokens_U = (
        np.bincount(units.of_cell, weights=values, minlength=units.count)
        for values in (cells.sums[name] for name in ("nats", "bytes", "tokens"))
    )
    return {"bits_per_byte": ends_of(nats_U, sizes_U, bits), "perplexity": ends_of(nats_U, tokens_U, np.exp)}


def of_cells(cells: Scores, *, resamples: int = bootstrap.RESAMPLES) -> Json:
    """Of the bits per byte of cells, and under "mixture" of those with what is mixed in, where there is that."""
    units = bootstrap.units(cells.documents, cells.sizes)
    sizes_U = np.bincount(units.of_cell, weights=cells.sizes, minlength=units.count)

    def interval(nats: np.ndarray) -> Json:
        nats_U = np.bincount(units.of_cell, weights=nats, minlength=units.count)
        return {"bits_per_byte": ends_of(nats_U, sizes_U, bits, resamples=resamples)}

    return interval(cells.sums["nats"]) | ({} if cells.mixed is None else {"mixture": interval(cells.mixed)})


def of_hidden(metric: Metric, answers: "TokenScores", *, resamples: int = bootstrap.RESAMPLES) -> dict[str, Ends]:
    """Intervals of the metric and of the perplexity of what was hidden in a text, over stretches of it."""
    columns = answers.columns()
    stretches = [part for part in np.array_split(np.flatnonzero(answers.counted()), STRETCHES) if len(part)]

    def sums(name: str) -> np.ndarray:
        return np.array([columns[name][part].sum(dtype=np.float64) for part in stretches])

    first = ends_of(sums(metric.numerator), sums(metric.denominator), metric.of_ratio, resamples=resamples)
    return {metric.name: first, "perplexity": ends_of(sums("nats"), sums("tokens"), np.exp, resamples=resamples)}


def beside(figures: Json, ends: Json) -> Json:
    """The figures, each followed by its interval where it has one; figures within figures likewise."""
    placed: Json = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            placed[name] = beside(value, ends.get(name, {}))
            continue
        placed[name] = value
        if name in ends:
            placed[f"{name}_interval"] = ends[name]
    return placed
