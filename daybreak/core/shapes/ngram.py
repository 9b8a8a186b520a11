"""Counted n-gram models."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.core.shapes.base import Shape


@dataclass(frozen=True, kw_only=True)
class NgramShape(Shape):
    """Interpolated Kneser-Ney over bytes, characters or tokens."""

    counted: ClassVar[bool] = True
    family: ClassVar[str] = "ngram"
    order: int
    unit: str  # "byte", "character" or "token"
    vocabulary: int

    def parameters(self) -> int:
        return 0  # counts, as many as the text has

    def flops_per_token(self) -> float:
        return 0.0

    def in_words(self) -> str:
        return f"{self.family} of order {self.order} over {self.unit}s"

    def key(self) -> str:
        return f"ngram-{self.unit}-{self.order}"
