"""Headlines: the figure that a family's models are judged by, and how it is told."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Headline:
    name: str  # of the measurement
    unit: str
    words: str  # behind the number
    higher: bool = False  # is better
    percent: bool = False
    of_text: bool = False  # whether baselines that read bytes are told in the same unit

    @property
    def loss_unit(self) -> str:
        """Of what is to become small."""
        return "nats/token" if self.higher else self.unit

    def loss(self, figure: float, nats: float) -> float:
        """What is to become small: the headline itself, or nats of a target where it is no loss."""
        return nats if self.higher else figure

    def told(self, value: float, digits: int = 3, *, half: float | None = None) -> str:
        """The value in words. half: of its interval, told behind it."""
        number = f"{value:.{max(0, digits - 2)}%}" if self.percent else f"{value:.{digits}f}"
        if half is not None:
            number += f" \u00b1 {half:.1%}" if self.percent else f" \u00b1 {max(half, 0.001):.2g}"
        return f"{number} {self.words}"


BITS_PER_BYTE = Headline(name="bits_per_byte", unit="bits/byte", words="bits per byte", of_text=True)
# Of the tokens that a mask stands for (arXiv:1810.04805).
MASKED_ACCURACY = Headline(
    name="masked_accuracy", unit="share", words="of masked tokens guessed", higher=True, percent=True
)
# Of the tokens that are to be written: spans, their sentinels and the end (arXiv:1910.10683).
SPAN_LOSS = Headline(name="span_loss", unit="nats/token", words="nats a token of the spans")

HEADLINES = {headline.name: headline for headline in (BITS_PER_BYTE, MASKED_ACCURACY, SPAN_LOSS)}
OF_OBJECTIVE = {"next_token": BITS_PER_BYTE, "masked_tokens": MASKED_ACCURACY, "span_corruption": SPAN_LOSS}
