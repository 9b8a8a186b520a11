"""Classes of transformers that no module here computes."""

from dataclasses import dataclass
from typing import ClassVar, Self

from daybreak.core.errors import UsageError, nearest
from daybreak.core.shapes.base import NetworkShape, refuse, sizes_below_one
from daybreak.core.values import Json, digest


@dataclass(frozen=True, kw_only=True)
class ForeignShape(NetworkShape):
    """A class of transformers that no module here computes, as the config.json of a checkpoint describes it.

    Sizes that plans reckon with stand beside the config, which alone says what the class builds.
    """

    family: ClassVar[str] = "foreign"
    CHOICES: ClassVar = {"kind": ("decoder", "encoder")}
    # Classes with a table of positions, and its size in their config; in the others, windows may be longer.
    POSITIONS: ClassVar = {"GPT2LMHeadModel": "n_positions", "BertForMaskedLM": "max_position_embeddings"}
    architecture: str  # of transformers, such as "LlamaForCausalLM"
    kind: str
    vocabulary: int  # rows of the table
    layers: int
    width: int
    heads: int
    head_dim: int
    context_length: int  # of the windows that it is trained on and scored in; at most what the config allows
    matmul_weights: int  # that a token is multiplied with, the head's among them
    stored_weights: int  # all, those that are shared once
    tied: bool
    logit_cap: float = 0.0
    config: Json

    def check(self) -> None:
        """Raises UsageError: sizes that cannot be, or an unknown kind."""
        refuse(sizes_below_one(self))
        if self.kind not in (known := self.CHOICES["kind"]):
            raise UsageError("unknown kind", received=f"kind={self.kind}", attempt=nearest(self.kind, known))
        most = self.config.get(self.POSITIONS.get(self.architecture, ""))
        if isinstance(most, int) and self.context_length > most:
            raise UsageError(
                "the context is longer than the checkpoint's position embeddings",
                received=f"context_length={self.context_length}, and {most} positions",
                attempt=f"context_length={most} or less",
            )

    def with_rows(self, rows: int, stored: int) -> Self:
        more = (rows - self.vocabulary) * self.width
        config = {**self.config, "vocab_size": rows}
        return self.replace(
            vocabulary=rows, matmul_weights=self.matmul_weights + more, stored_weights=stored, config=config
        )

    def matmul_parameters(self) -> int:
        return self.matmul_weights

    def parameters(self) -> int:
        return self.stored_weights

    def flops_per_token(self) -> float:
        """As GptShape's; every token goes through the head."""
        return 6.0 * self.matmul_weights + 12 * self.head_dim * self.scores()

    def scores(self) -> int:
        return self.layers * self.heads * self.context_length

    def key(self) -> str:
        sizes = f"L{self.layers}-d{self.width}-V{self.vocabulary}-T{self.context_length}"
        return f"{self.architecture}-{sizes}-{digest(self.config)}"
