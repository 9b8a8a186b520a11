"""Metrics: values of sums that are named, of any metric and not only of those that come with daybreak."""

from __future__ import annotations

import math

import numpy as np
import pytest

from daybreak.core.metrics import BITS_PER_BYTE, METRICS, Metric
from daybreak.evaluation.confidence import of_hidden
from daybreak.evaluation.score_table import Scores
from daybreak.tasks.scoring import Answers, figures_of, loss

ERROR_PER_BYTE = Metric(name="hits_per_byte", unit="hits/byte", words="", numerator="correct", denominator="bytes")


def answers(n: int = 400) -> Answers:
    drawn = np.random.default_rng(0)
    sizes = drawn.integers(0, 4, n)
    return Answers(nats=drawn.random(n, np.float32), sizes=sizes, hits=drawn.random(n) < 0.25, of_a_row=4)


@pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))
def test_sums_of_parts_give_the_value_of_the_whole(metric: Metric) -> None:
    whole = answers()
    parts = [whole.part(slice(0, 150)).score().sums(), whole.part(slice(150, None)).score().sums()]
    added = {name: parts[0][name] + parts[1][name] for name in parts[0]}
    assert metric.value(added) == pytest.approx(metric.value(whole.score().sums()), rel=1e-12)


@pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))
def test_nothing_counted_is_no_number(metric: Metric) -> None:
    assert math.isnan(metric.value({"nats": 0.0, "bytes": 0, "tokens": 0, "correct": 0}))


def test_bits_are_nats_over_the_logarithm_of_two() -> None:
    assert BITS_PER_BYTE.value({"nats": 3 * math.log(2), "bytes": 2}) == pytest.approx(1.5)
    assert BITS_PER_BYTE.of_ratio(math.log(2)) == pytest.approx(1.0)


def test_a_metric_from_outside_is_scored_told_and_has_an_interval() -> None:
    found = answers()
    counted = found.sizes > 0
    by_hand = found.hits[counted].sum() / found.sizes.sum()
    assert figures_of(ERROR_PER_BYTE, found.score())["hits_per_byte"] == pytest.approx(by_hand)
    low, high = of_hidden(ERROR_PER_BYTE, found, resamples=400)["hits_per_byte"] or (0.0, 0.0)
    assert low < by_hand < high and high - low < by_hand


def test_what_training_makes_small_is_the_nats_where_a_higher_value_is_better() -> None:
    score, better = answers().score(), METRICS["masked_accuracy"]
    assert loss(better, score) == pytest.approx(score.nats / score.tokens)
    assert loss(METRICS["span_loss"], score) == pytest.approx(score.nats / score.tokens)
    assert loss(BITS_PER_BYTE, score) == pytest.approx(score.nats / score.bytes / math.log(2))


def test_a_table_of_scores_counts_what_the_metric_says_against_the_model() -> None:
    stream, found = np.arange(401), answers()
    tables = {name: Scores.of_hidden(stream, found, METRICS[name], 4) for name in ("masked_accuracy", "span_loss")}
    missed, nats = (table.bits_per_byte(table.nats) for table in tables.values())
    assert missed == pytest.approx(1 - found.hits.mean()) and nats == pytest.approx(found.nats.mean())
