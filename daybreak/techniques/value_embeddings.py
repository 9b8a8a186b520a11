"""Values that know their token without the layers below having to carry it up."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.core.shapes import GptShape
from daybreak.core.types import Decisions, Machine, Request
from daybreak.techniques import Technique


@dataclass(frozen=True, kw_only=True)
class ValueEmbeddings(Technique):
    """A table for every second layer, its rows added to the values through a gate for each head (arXiv:2410.17897).

    The source mixes the first layer's values into later ones; a table with gates, as in
    https://github.com/karpathy/nanochat, buys more for memory and hardly any arithmetic. A table is as large as the
    embedding, so a run of few tokens for its vocabulary may lose by it.
    """

    claim: ClassVar[str] = "bits_per_byte"
    does: ClassVar[str] = "adds a table's rows to the values of every second layer, gated by head"
    refuses_when: ClassVar[str] = "unless native export is given up"
    default: ClassVar[bool] = False
    native: ClassVar[bool] = False

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if reason := super().refuses(plan, machine):
            return reason
        if not plan.shape.value_embeddings:  # type: ignore[attr-defined]
            return "you set value_embeddings=false, which says otherwise"
        return None

    def shape(self, shape: GptShape, run: Request) -> tuple[GptShape, int]:
        if "value_embeddings" not in run.settings:
            shape = shape.replace(value_embeddings=True)
        return shape, max(1, len(shape.value_layers()))
