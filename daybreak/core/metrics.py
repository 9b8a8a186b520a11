"""Metrics: what a model of each objective is judged by, computed from named sums and told in words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from daybreak.core.values import Value

Sums = Mapping[str, float]  # over targets: "nats" of loss, "correct" predictions, "tokens" that count, "bytes" of text


@dataclass(frozen=True, kw_only=True)
class Metric(Value):
    """A quotient of two sums. Sums add up over rows, processes and resampled units, so that metrics need no more."""

    name: str  # its key in JSON
    unit: str
    words: str  # behind the number
    numerator: str  # the name of a sum
    denominator: str  # likewise
    per: float = 1.0  # what the denominator is multiplied by: ln 2 turns nats into bits
    higher_is_better: bool = False
    percent: bool = False
    of_text: bool = False  # whether baselines that read bytes are told in the same unit

    def value(self, sums: Sums) -> float:
        """Not a number where nothing was counted."""
        counted = sums[self.denominator]
        return sums[self.numerator] / (counted * self.per) if counted else float("nan")

    def of_ratio(self, ratio: float) -> float:
        """The value of a quotient of the two sums."""
        return ratio / self.per

    @property
    def loss_unit(self) -> str:
        """The unit of what training makes small."""
        return "nats/token" if self.higher_is_better else self.unit

    def loss(self, value: float, nats: float) -> float:
        """What training makes small: the value itself, or the nats of a target where a higher value is better."""
        return nats if self.higher_is_better else value

    def told(self, value: float, digits: int = 3, *, half: float | None = None) -> str:
        """The value in words. half: of its interval, told behind it."""
        number = f"{value:.{max(0, digits - 2)}%}" if self.percent else f"{value:.{digits}f}"
        if half is not None:
            number += f" \u00b1 {half:.1%}" if self.percent else f" \u00b1 {max(half, 0.001):.2g}"
        return f"{number} {self.words}"


BITS_PER_BYTE = Metric(
    name="bits_per_byte",
    unit="bits/byte",
    words="bits per byte",
    numerator="nats",
    denominator="bytes",
    per=math.log(2),
    of_text=True,
)
# Of the tokens that a mask stands for (arXiv:1810.04805).
MASKED_ACCURACY = Metric(
    name="masked_accuracy",
    unit="share",
    words="of masked tokens guessed",
    numerator="correct",
    denominator="tokens",
    higher_is_better=True,
    percent=True,
)
# Of the tokens that are to be written: spans, their sentinels and the end (arXiv:1910.10683).
SPAN_LOSS = Metric(
    name="span_loss", unit="nats/token", words="nats a token of the spans", numerator="nats", denominator="tokens"
)

METRICS = {metric.name: metric for metric in (BITS_PER_BYTE, MASKED_ACCURACY, SPAN_LOSS)}
# A task's record has its metric, and a plan says it. These are of plans from before plans did.
OF_OLD_PLANS = {"next_token": BITS_PER_BYTE, "masked_tokens": MASKED_ACCURACY, "span_corruption": SPAN_LOSS}
