"""Gains: combines step time and learning, measured separately, into a gain at equal time and a share of time saved."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from daybreak.evaluation.t_intervals import Estimate, combined, of_values

_STEEPEST = 50.0  # largest logarithm of a ratio of times: its exponential must stay finite
SMALL = 0.003  # share of the time: a technique that saves less is not worth its complexity
GAIN, LOSS, NO_EVIDENCE, UNKNOWN = "gain", "loss", "no evidence", "not measured"


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The change in loss after equal time, and the change in time to reach equal loss."""

    equal_time: Estimate  # below zero is better
    log_seconds: Estimate | None  # of time with / without, to the same loss; None: more training does not help
    verdict: str
    seeds_help: bool = True  # whether more seeds would narrow the interval; else the step times alone limit it

    def saved(self) -> tuple[float, float, float] | None:
        """The share of the time saved and the ends of its interval, low first; None: more training does not help."""
        if self.log_seconds is None:
            return None
        low, high = self.log_seconds.interval()
        share, least, most = (-math.expm1(min(log, _STEEPEST)) for log in (self.log_seconds.mean, high, low))
        return share, least, most

    def small(self) -> bool:
        """Whether the whole interval of the time saved lies below SMALL."""
        saved = self.saved()
        return saved is not None and saved[2] < SMALL

    def decided(self) -> bool:
        """Whether more seeds cannot change the verdict: a gain, a loss, or certainly too small to matter."""
        if self.verdict != NO_EVIDENCE or not self.seeds_help:
            return True
        saved = self.saved()
        return saved is not None and -SMALL < saved[1] and saved[2] < SMALL


def slope_of(whole: Sequence[float], half: Sequence[float]) -> Estimate | None:
    """How much the loss falls when training time grows e-fold, from paired losses after all and after half the steps.

    Both trainings end with the decay of their learning rate. The loss in the middle of one run would not do: the
    learning rate is still high there, so the second half would seem to gain too much.
    """
    return of_values([(short - long) / math.log(2) for long, short in zip(whole, half, strict=True)])


def log_time(ratio: Estimate, seconds: float, start: float, other_start: float) -> Estimate:
    """The logarithm of (time of a whole run with / without).

    ratio: logarithm of the ratio of step times. seconds: that all steps take without. start, other_start: seconds
    before steps are steady (compiling), with and without.
    """
    steps = math.exp(ratio.mean) * seconds
    mean = math.log((steps + start) / (seconds + other_start))
    return combined(mean, [(steps / (steps + start), ratio)])


def gain(loss: Estimate, slope: Estimate, time: Estimate) -> Gain:
    """Combines the measurements. loss: difference after equal steps, with minus without; time: from `log_time`; slope:
    from `slope_of`.

    The slower side takes fewer steps in the same time; the slope says how much loss those steps are worth.
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
    # Better in loss or in time and not worse in the other is a gain, however uncertain the slope is.
    if high < 0 or (loss_high <= 0 and time_high <= 0 and loss_high + time_high < 0):
        return GAIN
    if low > 0 or (loss_low >= 0 and time_low >= 0 and loss_low + time_low > 0):
        return LOSS
    return NO_EVIDENCE
