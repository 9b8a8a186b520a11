"""Intervals: how sure a mean of few values is, by Student's t, and what follows where unsure values are combined."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000
_LARGE = 1000  # degrees of freedom from which t is the normal distribution to three digits


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean with its standard error and the degrees of freedom of that error."""

    mean: float
    error: float
    freedom: float

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        if not self.error:
            return self.mean, self.mean
        half = student_t(confidence, self.freedom) * self.error
        return self.mean - half, self.mean + half


def student_t(confidence: float, freedom: float) -> float:
    """The t that `confidence` of Student's distribution lies within, on both sides together.

    freedom is rounded down, to the wider interval. The share within t is a finite sum for whole degrees (Abramowitz and
    Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4); it only rises, so t is found by halving.
    """
    if freedom >= _LARGE:
        return statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    degrees = max(1, math.floor(freedom + 1e-9))
    low, high = 0.0, 1.0
    while _within(high, degrees) < confidence:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < confidence else (low, middle)
    return high


def _within(t: float, degrees: int) -> float:
    """The share of Student's distribution between -t and t."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine = math.cos(angle)
    odd = degrees % 2
    # The factors of the sum: 2/3, 4/5 ... of cos, cos^3 ... for odd degrees; 1/2, 3/4 ... of 1, cos^2 ... for even.
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for power in range(2 + odd, degrees - 1, 2):
        term *= cosine * cosine * (power - 1) / power
        total += term
    if odd:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total


def of_values(values: Sequence[float]) -> Estimate | None:
    """The mean of independent values; of pairs, give their differences. None with fewer than two."""
    if len(values) < 2:
        return None
    error = statistics.stdev(values) / math.sqrt(len(values))
    return Estimate(mean=statistics.fmean(values), error=error, freedom=len(values) - 1)


def combined(mean: float, parts: Sequence[tuple[float, Estimate]]) -> Estimate:
    """A value that follows from independent estimates. parts: the value's slope in each estimate, and the estimate.

    Errors add up by the first-order rule; their degrees of freedom by Welch and Satterthwaite (Satterthwaite 1946, "An
    approximate distribution of estimates of variance components").
    """
    variances = [(slope * part.error) ** 2 for slope, part in parts]
    total = sum(variances)
    if not total:
        return Estimate(mean=mean, error=0.0, freedom=float(_LARGE))
    shares = [variance / total for variance in variances]
    freedom = 1 / sum(share**2 / part.freedom for share, (_, part) in zip(shares, parts, strict=True))
    return Estimate(mean=mean, error=math.sqrt(total), freedom=freedom)


def log_ratio(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]], *, seed: int = 0) -> Estimate | None:
    """How much longer `one` takes than `other`, as a logarithm: seconds [rounds, places], measured side by side.

    At each place the median over the rounds, which a disturbance of the machine does not move; then the mean over the
    places, because what happens at a few of them only must count with their share. The error is that of a bootstrap
    over the rounds. None with fewer than two rounds.
    """
    logs = np.log(np.asarray(one, np.float64) / np.asarray(other, np.float64))
    if len(logs) < 2:
        return None
    rounds, places = logs.shape
    drawn = np.random.default_rng(seed).integers(0, rounds, (RESAMPLES, rounds, places))
    medians = np.median(np.take_along_axis(logs[None], drawn, axis=1), axis=1)
    # Drawing from so few rounds shows too little of their scatter, by this factor.
    error = float(medians.mean(1).std(ddof=1)) * math.sqrt(rounds / (rounds - 1))
    return Estimate(mean=float(np.median(logs, axis=0).mean()), error=error, freedom=places * (rounds - 1))
