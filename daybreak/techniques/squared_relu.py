"""An MLP of two matrices with relu(x)^2 between them, in the place of the gated one of three."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.core.shapes import GptShape
from daybreak.core.types import Decisions, Machine, Request
from daybreak.models.ladder import mlp_width
from daybreak.techniques import Technique


@dataclass(frozen=True, kw_only=True)
class SquaredRelu(Technique):
    """Primer's activation (arXiv:2109.08668), as many weights as before: less is read and written for each token.

    Public runs find it better where compute is what is short, and the gated one where text is.
    """

    claim: ClassVar[str] = "bits_per_byte"
    does: ClassVar[str] = "two matrices with relu(x)² in the place of the gated MLP"
    refuses_when: ClassVar[str] = "unless native export is given up"
    default: ClassVar[bool] = False
    native: ClassVar[bool] = False

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if reason := super().refuses(plan, machine):
            return reason
        if plan.shape.activation != "squared_relu":  # type: ignore[attr-defined]
            return f"you set activation={plan.shape.activation}, which says otherwise"  # type: ignore[attr-defined]
        return None

    def shape(self, shape: GptShape, run: Request) -> tuple[GptShape, int]:
        if shape.activation != "squared_relu" and "activation" not in run.settings:
            shape = shape.replace(activation="squared_relu")
            if "mlp_width" not in run.settings:
                shape = shape.replace(mlp_width=mlp_width(shape.width, shape.activation))
        return shape, shape.stored_layers()
