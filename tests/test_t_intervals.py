"""Intervals and gains: known values of Student's t, the combination by hand, and every verdict."""

from __future__ import annotations

import math
import random

import pytest

from daybreak.evaluation import t_intervals
from daybreak.evaluation.t_intervals import Estimate, combined, log_ratio, of_values, student_t
from daybreak.stages.measure import gains
from daybreak.stages.measure.gains import gain, log_time, slope_of

# Two-sided quantiles, as every statistics table has them.
TABLE = [
    (0.95, 1, 12.706),
    (0.95, 2, 4.303),
    (0.95, 3, 3.182),
    (0.95, 4, 2.776),
    (0.95, 7, 2.365),
    (0.95, 10, 2.228),
    (0.95, 29, 2.045),
    (0.95, 120, 1.980),
    (0.99, 5, 4.032),
    (0.99, 8, 3.355),
    (0.95, 10**6, 1.960),
]


@pytest.mark.parametrize(("confidence", "freedom", "expected"), TABLE)
def test_t_is_that_of_the_tables(confidence: float, freedom: float, expected: float) -> None:
    assert student_t(confidence, freedom) == pytest.approx(expected, abs=6e-4)


def test_t_takes_the_wider_of_two_degrees() -> None:
    assert student_t(0.95, 3.99) == student_t(0.95, 3)
    assert student_t(0.95, 0.5) == student_t(0.95, 1)


def test_the_mean_of_four_values_by_hand() -> None:
    found = of_values([1.0, 2.0, 3.0, 4.0])
    assert found is not None
    assert (found.mean, found.freedom) == (2.5, 3)
    assert found.interval() == pytest.approx((2.5 - 3.182 * 0.645497, 2.5 + 3.182 * 0.645497), abs=1e-3)
    assert of_values([1.0]) is None
    assert of_values([0.25, 0.25]).interval() == (0.25, 0.25)


def test_an_interval_of_95_percent_holds_the_mean_95_times_in_100() -> None:
    draws = random.Random(1)
    held = 0
    for _ in range(2000):
        found = of_values([draws.gauss(3.0, 2.0) for _ in range(3)])
        assert found is not None
        low, high = found.interval()
        held += low <= 3.0 <= high
    assert 1870 <= held <= 1930  # 1900, give or take three standard deviations


def test_errors_add_up_by_their_slopes_and_degrees_by_welch_and_satterthwaite() -> None:
    one = Estimate(mean=1.0, error=0.3, freedom=3)
    found = combined(5.0, [(1.0, one), (-1.0, one)])
    assert found.mean == 5.0
    assert found.error == pytest.approx(0.3 * math.sqrt(2))
    assert found.freedom == pytest.approx(6.0)
    assert combined(5.0, [(2.0, one), (0.0, one)]) == Estimate(mean=5.0, error=0.6, freedom=3.0)
    assert combined(5.0, []).interval() == (5.0, 5.0)


def test_a_ratio_of_times_stands_a_disturbance_and_counts_a_place_with_its_share() -> None:
    other = [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 9.0]]
    one = [[1.0, 4.0], [1.0, 4.0], [7.0, 4.0], [1.0, 36.0]]
    found = log_ratio(one, other)
    assert found is not None
    assert found.mean == pytest.approx(math.log(4) / 2)  # nothing at one place, four times at the other
    assert found.freedom == 6
    assert log_ratio(one[:1], other[:1]) is None
    assert log_ratio(one, one).interval() == (0.0, 0.0)


def test_the_error_of_a_ratio_is_about_that_of_its_scatter() -> None:
    draws = random.Random(0)
    means, errors = [], []
    for index in range(200):
        logs = [[math.exp(draws.gauss(0, 0.05)) for _ in range(5)] for _ in range(4)]
        found = log_ratio(logs, [[1.0] * 5] * 4, seed=index)
        assert found is not None
        means.append(found.mean)
        errors.append(found.error)
    real = math.sqrt(sum(mean**2 for mean in means) / len(means))
    assert 0.75 * real < sum(errors) / len(errors) < 1.4 * real


def sure(mean: float, error: float = 1e-4) -> Estimate:
    return Estimate(mean=mean, error=error, freedom=20)


def test_the_slope_is_what_an_e_fold_of_time_is_worth() -> None:
    found = slope_of([2.0, 2.1], [2.2, 2.3])
    assert found is not None and found.mean == pytest.approx(0.2 / math.log(2))


def test_starting_counts_as_seconds_of_the_run() -> None:
    ratio = sure(math.log(0.5), 0.01)
    assert log_time(ratio, 100.0, 0.0, 0.0).mean == pytest.approx(math.log(0.5))
    found = log_time(ratio, 100.0, 30.0, 10.0)
    assert found.mean == pytest.approx(math.log(80 / 110))
    assert found.error == pytest.approx(0.01 * 50 / 80)


def test_loss_at_equal_time_and_time_at_equal_loss_by_hand() -> None:
    # 0.02 better in loss, ten percent slower, 0.3 bits for an e-fold of time.
    found = gain(sure(-0.02), sure(0.3), sure(math.log(1.1)))
    assert found.equal_time.mean == pytest.approx(-0.02 + 0.3 * math.log(1.1))
    saved = found.saved()
    assert saved is not None
    assert saved[0] == pytest.approx(1 - 1.1 * math.exp(-0.02 / 0.3))
    assert saved[1] < saved[0] < saved[2]
    # At the loss where both are worth the same, nothing is gained.
    assert gain(sure(-0.3 * math.log(1.1)), sure(0.3), sure(math.log(1.1))).equal_time.mean == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("loss", "slope", "time", "verdict", "decided"),
    [
        (sure(-0.05), sure(0.3), sure(0.0), gains.GAIN, True),
        (sure(0.05), sure(0.3), sure(0.0), gains.LOSS, True),
        (sure(0.0), sure(0.3), sure(-0.3), gains.GAIN, True),
        (sure(0.0), sure(0.3), sure(0.3), gains.LOSS, True),
        (sure(0.0), sure(0.3), sure(0.0), gains.NO_EVIDENCE, True),  # sure to matter little
        (sure(-0.01, 0.02), sure(0.3), sure(0.0), gains.NO_EVIDENCE, False),
        (sure(0.0, 0.0), sure(0.3, 0.0), sure(0.0, 0.0), gains.NO_EVIDENCE, True),
        (sure(0.0, 0.0), sure(0.3), sure(0.0, 0.01), gains.NO_EVIDENCE, True),  # no seed makes step times surer
        (sure(0.0, 0.01), sure(1e-6), sure(0.0), gains.NO_EVIDENCE, False),  # beyond all numbers in time
        # Faster and not worse: a gain, though the slope is not known.
        (sure(0.0, 0.0), sure(0.1, 0.2), sure(-0.3), gains.GAIN, True),
        (sure(0.0, 0.0), sure(0.1, 0.2), sure(0.3), gains.LOSS, True),
        (sure(-0.01), sure(-0.1), sure(0.0), gains.GAIN, True),  # no time can be told where more does not help
    ],
)
def test_verdicts(loss: Estimate, slope: Estimate, time: Estimate, verdict: str, decided: bool) -> None:
    found = gain(loss, slope, time)
    assert (found.verdict, found.decided()) == (verdict, decided)
    if slope.mean < 0:
        assert found.saved() is None and not found.small()


def test_a_small_gain_is_small_and_an_unsure_one_is_not() -> None:
    assert gain(sure(0.0), sure(0.3), sure(-0.001)).small()
    assert not gain(sure(0.0, 0.01), sure(0.3), sure(0.0)).small()
    assert t_intervals.CONFIDENCE == 0.95
