"""Metrics: values of sums that are named, of any metric and not only of those that come with daybreak."""

from __future__ import annotations

import math

import numpy as np
import pytest

from daybreak.core.metrics import BITS_PER_BYTE, METRICS, Metric
from daybreak.evaluation.confidence import of_hidden
from daybreak.evaluation.score_table import Scores
from daybreak.tasks import task_of
from daybreak.tasks.scoring import TokenScores, figures_of, loss

ERROR_PER_BYTE = Metric(name="hits_per_byte", unit="hits/byte", words="", numerator="correct", denominator="bytes")


def answers(n: int = 400) -> TokenScores:
    drawn = np.random.default_rng(0)
    sizes = drawn.integers(0, 4, n)
    return TokenScores(nats=drawn.random(n, np.float32), sizes=sizes, hits=drawn.random(n) < 0.25, of_a_row=4)


@pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))
def test_sums_of_parts_give_the_value_of_the_whole(metric: Metric) -> None:
    whole = answers()
    parts = [whole.part(slice(0, 150)).total().sums(), whole.part(slice(150, None)).total().sums()]
    added = {name: parts[0][name] + parts[1][name] for name in parts[0]}
    assert metric.value(added) == pytest.approx(metric.value(whole.total().sums()), rel=1e-12)


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
    assert figures_of(ERROR_PER_BYTE, found.total())["hits_per_byte"] == pytest.approx(by_hand)
    low, high = of_hidden(ERROR_PER_BYTE, found, resamples=400)["hits_per_byte"] or (0.0, 0.0)
    assert low < by_hand < high and high - low < by_hand


def test_what_training_makes_small_is_the_nats_where_a_higher_value_is_better() -> None:
    score, better = answers().total(), METRICS["masked_accuracy"]
    assert loss(better, score) == pytest.approx(score.nats / score.tokens)
    assert loss(METRICS["span_loss"], score) == pytest.approx(score.nats / score.tokens)
    assert loss(BITS_PER_BYTE, score) == pytest.approx(score.nats / score.bytes / math.log(2))


def test_a_table_of_scores_counts_what_the_metric_says_against_the_model() -> None:
    stream, found = np.arange(401), answers()
    tables = {name: Scores.of_hidden(stream, found, METRICS[name], 4) for name in ("masked_accuracy", "span_loss")}
    missed, nats = (table.mean_loss(table.losses) for table in tables.values())
    assert missed == pytest.approx(1 - found.hits.mean()) and nats == pytest.approx(found.nats.mean())


def test_the_metrics_of_the_objectives_by_hand() -> None:
    sums = {"nats": 6.0, "bytes": 4, "tokens": 8, "correct": 2}
    bits, accuracy, span = (task_of(name).metric for name in ("next_token", "masked_tokens", "span_corruption"))
    assert [metric.value(sums) for metric in (bits, accuracy, span)] == [1.5 / math.log(2), 0.25, 0.75]
    assert [metric.of_text for metric in (bits, accuracy, span)] == [True, False, False]
    assert [metric.higher_is_better for metric in (bits, accuracy, span)] == [False, True, False]
    assert [metric.loss_unit for metric in (bits, accuracy, span)] == ["bits/byte", "nats/token", "nats/token"]


@pytest.mark.parametrize(
    ("metric", "value", "about", "words"),
    [
        (BITS_PER_BYTE, 2.0456, {}, "2.046 bits per byte"),
        (BITS_PER_BYTE, 2.0456, {"digits": 1}, "2.0 bits per byte"),
        (BITS_PER_BYTE, 2.0456, {"half": 0.01234}, "2.046 \u00b1 0.012 bits per byte"),
        (BITS_PER_BYTE, 2.0456, {"half": 0.0}, "2.046 \u00b1 0.001 bits per byte"),
        (METRICS["masked_accuracy"], 0.25678, {}, "25.7% of masked tokens guessed"),
        (METRICS["masked_accuracy"], 0.25678, {"digits": 4}, "25.68% of masked tokens guessed"),
        (METRICS["masked_accuracy"], 0.25678, {"digits": 1}, "26% of masked tokens guessed"),
        (METRICS["masked_accuracy"], 0.25678, {"half": 0.0123}, "25.7% \u00b1 1.2% of masked tokens guessed"),
        (METRICS["span_loss"], 3.5, {}, "3.500 nats a token of the spans"),
    ],
)
def test_a_value_in_words(metric: Metric, value: float, about: dict[str, float], words: str) -> None:
    assert metric.told(value, **about) == words


def test_a_metric_that_says_no_more_is_told_in_its_own_digits_and_is_better_where_smaller() -> None:
    plain = Metric(name="edits", unit="edits/word", words="edits a word", numerator="edits", denominator="words")
    assert plain.told(0.25) == "0.250 edits a word" and plain.loss_unit == "edits/word" and not plain.of_text
    assert plain.value({"edits": 3, "words": 2}) == plain.of_ratio(1.5) == plain.loss(1.5, 9.0) == 1.5
