"""Decoder-only Transformers."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.core.errors import UsageError, nearest
from daybreak.core.shapes.base import NetworkShape, refuse, sizes_below_one

GATE_INPUTS = 12  # first dimensions of a state that decide how much of a value embedding a head takes


@dataclass(frozen=True, kw_only=True)
class GptShape(NetworkShape):
    """A decoder. As it stands it is of Qwen3's class: RMSNorm, rotary positions, normed queries and keys, gated MLP.

    The fields of OPTIONS depart from that class. They came later than the first plan files, so a key and an identity
    name them only where they are taken.
    """

    family: ClassVar[str] = "gpt"
    OPTIONS: ClassVar = (
        "norm",
        "positions",
        "layer_repeats",
        "activation",
        "logit_cap",
        "value_embeddings",
        "skips",
    )
    CHOICES: ClassVar = {
        "norm": ("rms", "layer", "batch"),
        "positions": ("rotary", "learned", "sinusoidal", "alibi", "none"),
        "activation": ("swiglu", "squared_relu"),
    }
    vocabulary: int
    layers: int  # that a token goes through
    width: int
    heads: int
    key_value_heads: int
    head_dim: int
    mlp_width: int
    context_length: int
    tied: bool
    rope_base: float = 10000.0
    norm: str = "rms"
    positions: str = "rotary"
    layer_repeats: int = 1  # times that each stored layer is applied, one after the other (arXiv:1909.11942)
    activation: str = "swiglu"
    logit_cap: float = 0.0  # cap * tanh(logit / cap); 0: none
    value_embeddings: bool = False  # a table for every second stored layer, added to the values
    skips: bool = False  # from the embedding into every layer, and from the first half of the layers to the second

    def check(self) -> None:
        """Raises UsageError: sizes that do not go together, or a kind of part that there is not."""
        wrong = sizes_below_one(self)
        if self.head_dim % 2:
            wrong.append(f"head_dim={self.head_dim}, which is odd")
        if not wrong and self.heads % self.key_value_heads:
            wrong.append(f"heads={self.heads} is not a multiple of key_value_heads={self.key_value_heads}")
        if not wrong and self.layers % self.layer_repeats:
            wrong.append(f"layers={self.layers} is not a multiple of layer_repeats={self.layer_repeats}")
        if not 0 <= self.logit_cap < 1e6:
            wrong.append(f"logit_cap={self.logit_cap}")
        if self.norm == "batch" and self.layer_repeats > 1:
            wrong.append("norm=batch with layer_repeats: one layer cannot keep one running mean for several depths")
        refuse(wrong)
        for name, known in self.CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise UsageError(f"unknown {name}", received=f"{name}={value}", attempt=nearest(value, known))

    def not_in_transformers(self) -> dict[str, object]:
        """The options that the stock class has no place for; shared layers it holds, written out one by one."""
        return {name: value for name, value in self.non_default().items() if name != "layer_repeats"}

    def scores(self) -> int:
        return self.layers * self.heads * self.context_length

    def stored_layers(self) -> int:
        return self.layers // self.layer_repeats

    def value_layers(self) -> tuple[int, ...]:
        """Stored layers that have a value embedding: the last, and every second before it."""
        stored = self.stored_layers() if self.value_embeddings else 0
        return tuple(range((stored + 1) % 2, stored, 2))

    def _stored_weights(self) -> int:
        """Of the matrices in the stored layers."""
        attention = self.width * self.head_dim * (2 * self.heads + 2 * self.key_value_heads)
        mlp = (3 if self.activation == "swiglu" else 2) * self.width * self.mlp_width
        gates = len(self.value_layers()) * self.key_value_heads * min(GATE_INPUTS, self.width)
        return self.stored_layers() * (attention + mlp) + gates

    def matmul_parameters(self) -> int:
        """Weights that every token is multiplied with; the head once, the embedding look-ups not."""
        return self._stored_weights() + self.vocabulary * self.width

    def parameters(self) -> int:
        norm = self.width if self.norm == "rms" else 2 * self.width  # a gain, and a bias where the mean is taken off
        gains = self.stored_layers() * (2 * norm + 2 * self.head_dim) + norm
        tables = 0 if self.tied else self.vocabulary * self.width
        tables += len(self.value_layers()) * self.vocabulary * self.key_value_heads * self.head_dim
        if self.positions == "learned":
            tables += self.context_length * self.width
        scalars = 2 * self.stored_layers() + self.layers // 2 if self.skips else 0
        return self.matmul_parameters() + tables + gains + scalars

    def flops_per_token(self) -> float:
        """Training: 6 a matmul weight and time it is applied, and attention's 12 L d T (arXiv:2204.02311, app. B)."""
        attention = 12 * self.layers * self.heads * self.head_dim * self.context_length
        applied = self.layer_repeats * self._stored_weights() + self.vocabulary * self.width
        return 6 * applied + attention

    def key(self) -> str:
        rest = f"{self.heads}x{self.head_dim}k{self.key_value_heads}m{self.mlp_width}{'t' if self.tied else 'u'}"
        options = "".join(f"+{name}={value}" for name, value in self.non_default().items())
        return f"gpt-L{self.layers}-d{self.width}-{rest}-V{self.vocabulary}-T{self.context_length}{options}"
