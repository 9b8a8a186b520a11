"""Recurrent networks."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.core.errors import UsageError, nearest
from daybreak.core.shapes.base import NetworkShape, refuse, sizes_below_one


@dataclass(frozen=True, kw_only=True)
class LstmShape(NetworkShape):
    """A recurrent network: the baseline of the time before Transformers (arXiv:1308.0850)."""

    family: ClassVar[str] = "lstm"
    CHOICES: ClassVar = {"cell": ("lstm", "rnn")}
    vocabulary: int
    layers: int
    width: int  # of the embedding and of every state
    context_length: int  # tokens through which gradients flow back
    tied: bool = True
    cell: str = "lstm"  # or "rnn", the plain one with tanh (Elman 1990, doi:10.1207/s15516709cog1402_1)

    def not_in_transformers(self) -> dict[str, object]:
        return {"cell": self.cell}

    def check(self) -> None:
        """Raises UsageError: sizes that do not go together, or an unknown cell."""
        refuse(sizes_below_one(self))
        if self.cell not in self.CHOICES["cell"]:
            known = self.CHOICES["cell"]
            raise UsageError("unknown cell", received=f"cell={self.cell}", attempt=nearest(self.cell, known))

    def _stored_weights(self) -> int:
        gates = 4 if self.cell == "lstm" else 1
        return self.layers * gates * 2 * self.width**2

    def matmul_parameters(self) -> int:
        return self._stored_weights() + self.vocabulary * self.width

    def parameters(self) -> int:
        gates = 4 if self.cell == "lstm" else 1
        biases = self.layers * gates * 2 * self.width
        return self.matmul_parameters() + biases + (0 if self.tied else self.vocabulary * self.width)

    def flops_per_token(self) -> float:
        return 6.0 * self.matmul_parameters()

    def key(self) -> str:
        tied = "t" if self.tied else "u"
        return f"{self.cell}-L{self.layers}-d{self.width}-{tied}-V{self.vocabulary}-T{self.context_length}"
