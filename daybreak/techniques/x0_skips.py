"""Short ways through the depth: from the embedding into every layer, and from the first half to the second."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.core.shapes import GptShape
from daybreak.core.types import Decisions, Machine, Request
from daybreak.techniques import Technique


@dataclass(frozen=True, kw_only=True)
class X0Skips(Technique):
    """x = a x + b x0 before each layer, and layer i's output added to layer L - 1 - i's input, all by learnt scalars.

    Both come from https://github.com/KellerJordan/modded-nanogpt; the second is U-Net's way (arXiv:1505.04597).
    """

    claim: ClassVar[str] = "bits_per_byte"
    does: ClassVar[str] = "learnt ways from the embedding into every layer, and from the first half to the second"
    refuses_when: ClassVar[str] = "unless native export is given up"
    default: ClassVar[bool] = False
    native: ClassVar[bool] = False

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if reason := super().refuses(plan, machine):
            return reason
        if not plan.shape.skips:  # type: ignore[attr-defined]
            return "you set skips=false, which says otherwise"
        return None

    def shape(self, shape: GptShape, run: Request) -> tuple[GptShape, int]:
        if "skips" not in run.settings:
            shape = shape.replace(skips=True)
        return shape, shape.layers
