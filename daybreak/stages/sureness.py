"""Sureness: the intervals beside the figures of a text, by the bootstrap over what in it is alike."""

from collections.abc import Callable
from typing import Any

import numpy as np

from daybreak.core.headlines import MASKED_ACCURACY, Headline
from daybreak.data.tokenizers import Tokenizer
from daybreak.engine import bootstrap
from daybreak.stages.exams import Answers
from daybreak.stages.scores import Scores

STRETCHES = 100  # of consecutive targets, which are drawn; neighbours in a text are alike

Ends = list[float] | None  # low and high; None: too little text for an interval


def ends_of(tops: np.ndarray, bottoms: np.ndarray, figure: Callable[[float], float] = float) -> Ends:
    """Of a rising function of sum(tops) / sum(bottoms), both [U] of what is drawn together."""
    if len(tops) < bootstrap.LEAST_UNITS:
        return None
    found = bootstrap.ratio(tops, bottoms)
    return [float(figure(found.low)), float(figure(found.high))]


def bits(nats: float) -> float:
    return nats / float(np.log(2))


def of_text(stream: np.ndarray, tokenizer: Tokenizer, nats: np.ndarray) -> dict[str, Ends]:
    """Of bits per byte and perplexity, over the documents or blocks of a text.

    stream: tokens [n], as in Scores.of; nats: [n].
    """
    # A token is one in the cell that it is in, and has its share of each of two: as its nats do.
    cells = Scores.of(stream, tokenizer, nats, np.ones(len(nats)), whole=True)
    assert cells.mixed is not None
    units = bootstrap.units(cells.documents, cells.sizes)
    nats_U, sizes_U, tokens_U = (
        np.bincount(units.of_cell, weights=values, minlength=units.count)
        for values in (cells.nats, cells.sizes, cells.mixed)
    )
    return {"bits_per_byte": ends_of(nats_U, sizes_U, bits), "perplexity": ends_of(nats_U, tokens_U, np.exp)}


def of_hidden(headline: Headline, answers: Answers) -> dict[str, Ends]:
    """Of the headline and perplexity of what was hidden in a text, over stretches of it."""
    counted = np.flatnonzero(np.ones(len(answers), bool) if answers.every else answers.sizes > 0)
    stretches = [part for part in np.array_split(counted, STRETCHES) if len(part)]
    nats_U = np.array([answers.nats[part].sum(dtype=np.float64) for part in stretches])
    counts_U = np.array([float(len(part)) for part in stretches])
    first = ends_of(nats_U, counts_U)
    if headline is MASKED_ACCURACY and answers.hits is not None:
        first = ends_of(np.array([float(answers.hits[part].sum()) for part in stretches]), counts_U)
    return {headline.name: first, "perplexity": ends_of(nats_U, counts_U, np.exp)}


def beside(figures: dict[str, Any], ends: dict[str, Ends]) -> dict[str, Any]:
    """The figures, each followed by its interval where it has one."""
    placed: dict[str, Any] = {}
    for name, value in figures.items():
        placed[name] = value
        if name in ends:
            placed[f"{name}_interval"] = ends[name]
    return placed
