"""Encoder-only Transformers."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.core.shapes.base import NetworkShape, refuse, sizes_below_one


@dataclass(frozen=True, kw_only=True)
class BertShape(NetworkShape):
    """An encoder of ModernBERT's class (arXiv:2412.13663): pre-norm, rotary positions, gated MLP, local attention."""

    family: ClassVar[str] = "bert"
    vocabulary: int  # rows of the table: the tokenizer's, then those of special tokens, padded
    layers: int
    width: int
    heads: int  # each width / heads wide
    mlp_width: int
    context_length: int
    tied: bool = True
    window: int = 128  # positions that a local layer attends to, half of them to each side
    global_every: int = 3  # layers; this one attends to all positions, as the first one does
    rope_base: float = 160000.0  # of the layers that attend to all positions
    local_rope_base: float = 10000.0

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    def check(self) -> None:
        """Raises UsageError: sizes that do not go together."""
        wrong = sizes_below_one(self)
        if not wrong and (self.width % self.heads or self.head_dim % 2):
            wrong.append(f"heads={self.heads}: width={self.width} must divide into an even number for each head")
        if not wrong and self.window % 2:
            wrong.append(f"window={self.window}, which is odd")
        refuse(wrong)

    def scores(self) -> int:
        return self.layers * self.heads * self.context_length

    def is_global(self, layer: int) -> bool:
        return layer % self.global_every == 0

    def head_parameters(self) -> int:
        """Of the one dense layer before the table of tokens."""
        return self.width**2

    def matmul_parameters(self) -> int:
        """Weights that a token is multiplied with where it is predicted; the table once."""
        layer = 4 * self.width**2 + 3 * self.width * self.mlp_width
        return self.layers * layer + self.head_parameters() + self.vocabulary * self.width

    def parameters(self) -> int:
        norms = 2 * self.layers + 2  # the first layer has one; around the layers and in the head there are three
        gains = norms * self.width + self.vocabulary  # and the head's bias
        return self.matmul_parameters() + gains + (0 if self.tied else self.vocabulary * self.width)

    def flops_per_token(self, predicted: float = 0.3) -> float:
        """Training, of a token of text.

        predicted: share of the tokens that go through the head, and through what makes no keys in the last layer.
        """
        shares = [1.0] * (self.layers - 1) + [predicted]
        keys, rest = 2 * self.width**2, 2 * self.width**2 + 3 * self.width * self.mlp_width
        head = self.head_parameters() + self.vocabulary * self.width
        seen = sum(
            share * (self.context_length if self.is_global(index) else min(self.window + 1, self.context_length))
            for index, share in enumerate(shares)
        )
        return 6 * (self.layers * keys + sum(shares) * rest + predicted * head) + 12 * self.width * seen

    def key(self) -> str:
        rest = f"{self.heads}m{self.mlp_width}w{self.window}g{self.global_every}{'t' if self.tied else 'u'}"
        return f"bert-L{self.layers}-d{self.width}-{rest}-V{self.vocabulary}-T{self.context_length}"
