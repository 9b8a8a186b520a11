"""Logits bounded softly, so that no token is ever taken for certain."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.core.shapes import GptShape
from daybreak.core.types import Decisions, Machine, Request
from daybreak.techniques import Technique

CAP = 15.0  # public runs of small models find 13 to 20 alike


@dataclass(frozen=True, kw_only=True)
class LogitCap(Technique):
    """cap * tanh(logits / cap) before the cross-entropy and in decoding (arXiv:2408.00118)."""

    claim: ClassVar[str] = "bits_per_byte"
    does: ClassVar[str] = "bounds logits by 15 · tanh(logits / 15)"
    refuses_when: ClassVar[str] = "unless native export is given up"
    default: ClassVar[bool] = False
    native: ClassVar[bool] = False

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if reason := super().refuses(plan, machine):
            return reason
        if not plan.shape.logit_cap:  # type: ignore[attr-defined]
            return "you set logit_cap=0, which says otherwise"
        return None

    def shape(self, shape: GptShape, run: Request) -> tuple[GptShape, int]:
        if shape.logit_cap or "logit_cap" in run.settings:
            return shape, 1
        return shape.replace(logit_cap=CAP), 1
