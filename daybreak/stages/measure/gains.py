"""Gains: step time and learning, measured apart, combined into one gain in loss and one in seconds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from daybreak.evaluation.t_intervals import Estimate, combined, of_values

_STEEPEST = 50.0  # of a logarithm of seconds: beyond it nothing is saved but everything lost
SMALL = 0.003  # of the seconds: a technique that saves less is not worth what it costs to have it
GAIN, LOSS, NO_EVIDENCE, UNKNOWN = "gain", "loss", "no evidence", "not measured"


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What something changes at equal seconds, in loss, and at equal loss, in a share of the seconds."""

    equal_time: Estimate  # below zero is better
    log_seconds: Estimate | None  # for the same loss, with over without; None where more training does not help
    verdict: str
    seeds_help: bool = True  # whether what is unsure is unsure by the seeds, and not by the step times alone

    def saved(self) -> tuple[float, float, float] | None:
        """The share of the seconds that it saves, and its interval, low to high."""
        if self.log_seconds is None:
            return None
        low, high = self.log_seconds.interval()
        share, least, most = (-math.expm1(min(log, _STEEPEST)) for log in (self.log_seconds.mean, high, low))
        return share, least, most

    def small(self) -> bool:
        """Whether it is known to save less than is worth having."""
        saved = self.saved()
        return saved is not None and saved[2] < SMALL

    def decided(self) -> bool:
        """Whether more seeds could not say more: better, worse, or too little to matter in either direction."""
        if self.verdict != NO_EVIDENCE or not self.seeds_help:
            return True
        saved = self.saved()
        return saved is not None and -SMALL < saved[1] and saved[2] < SMALL


def slope_of(whole: Sequence[float], half: Sequence[float]) -> Estimate | None:
    """Loss that is gained when the seconds grow e-fold, from runs of the whole and of half the steps.

    Both are annealed to their end. The curve of one run on the way is no exchange rate: its learning rate is still
    high in the middle, so it would promise too much for the second half.
    """
    return of_values([(short - long) / math.log(2) for long, short in zip(whole, half, strict=True)])


def log_time(ratio: Estimate, seconds: float, start: float, other_start: float) -> Estimate:
    """The logarithm of the seconds of a whole run, with over without.

    ratio: of the step times, as a logarithm; seconds: of the steps without; start, other_start: seconds before the
    first step is like the others (compiling), with and without.
    """
    steps = math.exp(ratio.mean) * seconds
    mean = math.log((steps + start) / (seconds + other_start))
    return combined(mean, [(steps / (steps + start), ratio)])


def gain(loss: Estimate, slope: Estimate, time: Estimate) -> Gain:
    """loss: at equal steps, with minus without; time: as `log_time`; slope: as `slope_of`.

    What takes longer gets fewer steps in the same seconds, and pays for them by the slope.
    """
    equal_time = combined(loss.mean + slope.mean * time.mean, [(1.0, loss), (slope.mean, time), (time.mean, slope)])
    log_seconds = None
    if slope.mean > 0:
        by_slope = loss.mean / slope.mean
        log_seconds = combined(
            by_slope + time.mean, [(1 / slope.mean, loss), (1.0, time), (by_slope / slope.mean, slope)]
        )
    low, high = loss.interval()
    return Gain(
        equal_time=equal_time,
        log_seconds=log_seconds,
        verdict=_verdict(equal_time, loss, time),
        seeds_help=(high - low) / 2 > SMALL * max(0.0, slope.mean),
    )


def _verdict(equal_time: Estimate, loss: Estimate, time: Estimate) -> str:
    low, high = equal_time.interval()
    (loss_low, loss_high), (time_low, time_high) = loss.interval(), time.interval()
    # Better in one and not worse in the other is better, however well the slope is known.
    if high < 0 or (loss_high <= 0 and time_high <= 0 and loss_high + time_high < 0):
        return GAIN
    if low > 0 or (loss_low >= 0 and time_low >= 0 and loss_low + time_low > 0):
        return LOSS
    return NO_EVIDENCE
