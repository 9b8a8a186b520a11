"""Shapes: all of a model that changes its parameters, with how many those are and what a token costs."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from daybreak.core.errors import UsageError, nearest
from daybreak.core.values import Tagged, Value, digest, plain

GATE_INPUTS = 12  # first dimensions of a state that decide how much of a value embedding a head takes


class Shape(Tagged):
    """What all shapes share. counted: the model is made by counting, without steps; else it is a network."""

    counted: ClassVar[bool] = False
    vocabulary: int

    def parameters(self) -> int:
        raise NotImplementedError

    def flops_per_token(self) -> float:
        raise NotImplementedError

    def key(self) -> str:
        """A name that differs wherever the shape does."""
        raise NotImplementedError

    def in_words(self) -> str:
        return self.key()


class NetworkShape(Shape):
    """What the shapes of networks share: whether a class that transformers has computes what they do."""

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {}  # the values of fields that are words
    OPTIONS: ClassVar[tuple[str, ...]] = ()  # fields that came after the first plan files: named only where taken
    layers: int
    width: int
    vocabulary: int
    context_length: int
    tied: bool

    def check(self) -> None:
        """Raises UsageError: sizes that do not go together."""
        raise NotImplementedError

    def matmul_parameters(self) -> int:
        """Weights that every token is multiplied with; the head once, the embedding look-ups not."""
        raise NotImplementedError

    def departures(self) -> dict[str, Any]:
        """The options that were taken, by name."""
        defaults = {f.name: f.default for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {name: value for name in self.OPTIONS if (value := getattr(self, name)) != defaults[name]}

    def leaves_class(self) -> dict[str, Any]:
        """What the stock class has no place for, by name."""
        return {}

    def stored_layers(self) -> int:
        """Layers with weights of their own; of two stacks, the longer one."""
        return self.layers

    def layers_in_words(self) -> str:
        return str(self.layers)

    def with_rows(self, rows: int, stored: int) -> Self:
        """The shape with so many rows in its tables. stored: all weights that it then has."""
        return self.replace(vocabulary=rows)

    def depth(self) -> int:
        """Layers that are computed for a window of text."""
        return self.layers

    def scores(self) -> int:
        """Weights of attention that a token of text has, in all layers and heads."""
        return 0

    def native(self) -> bool:
        return not self.leaves_class()


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
        wrong = _below_one(self)
        if self.head_dim % 2:
            wrong.append(f"head_dim={self.head_dim}, which is odd")
        if not wrong and self.heads % self.key_value_heads:
            wrong.append(f"heads={self.heads} is not a multiple of key_value_heads={self.key_value_heads}")
        if not wrong and self.layers % self.layer_repeats:
            wrong.append(f"layers={self.layers} is not a multiple of layer_repeats={self.layer_repeats}")
        if not 0 <= self.logit_cap < 1e6:
            wrong.append(f"logit_cap={self.logit_cap}")
        if self.norm == "batch" and self.layer_repeats > 1:
            wrong.append("norm=batch with layer_repeats: a layer would keep one running mean for several depths")
        _refuse(wrong)
        for name, known in self.CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise UsageError(f"unknown {name}", received=f"{name}={value}", attempt=nearest(value, known))

    def leaves_class(self) -> dict[str, Any]:
        """The options that the stock class has no place for; shared layers it holds, written out one by one."""
        return {name: value for name, value in self.departures().items() if name != "layer_repeats"}

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
        options = "".join(f"+{name}={value}" for name, value in self.departures().items())
        return f"gpt-L{self.layers}-d{self.width}-{rest}-V{self.vocabulary}-T{self.context_length}{options}"


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
        wrong = _below_one(self)
        if not wrong and (self.width % self.heads or self.head_dim % 2):
            wrong.append(f"heads={self.heads}: width={self.width} must be an even number for each")
        if not wrong and self.window % 2:
            wrong.append(f"window={self.window}, which has no half")
        _refuse(wrong)

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


@dataclass(frozen=True, kw_only=True)
class T5Shape(NetworkShape):
    """Encoder and decoder of T5's class: relative positions (arXiv:1910.10683); by default v1.1, whose MLP is a gated
    GELU (arXiv:2002.05202) and whose head is a table of its own.
    """

    family: ClassVar[str] = "t5"
    CHOICES: ClassVar = {"activation": ("gated_gelu", "relu")}
    vocabulary: int  # rows of the table: the tokenizer's, then those of special tokens, padded
    layers: int  # of the encoder
    decoder_layers: int
    width: int
    heads: int
    head_dim: int
    mlp_width: int
    context_length: int  # tokens of a window of text, before spans are taken out of it
    tied: bool = False  # with the head; the class scales the states before a tied one by width^-0.5
    buckets: int = 32  # of distances, for the bias of attention
    longest_distance: int = 128  # from here on all are in the last bucket
    activation: str = "gated_gelu"  # or "relu", of the first T5, whose MLP has two matrices

    def check(self) -> None:
        """Raises UsageError: sizes that do not go together, or an unknown activation."""
        wrong = _below_one(self)
        if not wrong and (self.buckets % 4 or self.longest_distance <= self.buckets // 2):
            wrong.append(f"buckets={self.buckets} with longest_distance={self.longest_distance}")
        _refuse(wrong)
        if self.activation not in (known := self.CHOICES["activation"]):
            attempt = nearest(self.activation, known)
            raise UsageError("unknown activation", received=f"activation={self.activation}", attempt=attempt)

    def depth(self) -> int:
        return self.layers + self.decoder_layers

    def stored_layers(self) -> int:
        return max(self.layers, self.decoder_layers)

    def layers_in_words(self) -> str:
        return f"{self.layers} + {self.decoder_layers}"

    def scores(self) -> int:
        return self.layers * self.heads * self.context_length

    def _layer_weights(self, attentions: int) -> int:
        mlp = (3 if self.activation == "gated_gelu" else 2) * self.width * self.mlp_width
        return attentions * 4 * self.width * self.heads * self.head_dim + mlp

    def matmul_parameters(self) -> int:
        """Weights of encoder, decoder and head; a token goes through one of the two."""
        encoder, decoder = self.layers * self._layer_weights(1), self.decoder_layers * self._layer_weights(2)
        return encoder + decoder + self.vocabulary * self.width

    def parameters(self) -> int:
        gains = (2 * self.layers + 3 * self.decoder_layers + 2) * self.width
        tables = 2 * self.buckets * self.heads + (0 if self.tied else self.vocabulary * self.width)
        return self.matmul_parameters() + gains + tables

    def flops_per_token(self, removed: float = 0.15, mean_span: float = 3.0) -> float:
        """Training, of a token of text: a share goes through the encoder, what was taken out through the decoder.

        removed: share of the text in spans of `mean_span` tokens on average; a sentinel stands for each on both sides.
        """
        read = 1 - removed + removed / mean_span
        written = removed + removed / mean_span
        cross = self.width * self.heads * self.head_dim  # of one matrix
        encoder = 6 * read * self.layers * self._layer_weights(1)
        # The keys and values of cross-attention are made of what was read.
        decoder = 6 * self.decoder_layers * (written * (self._layer_weights(2) - 2 * cross) + read * 2 * cross)
        head = 6 * written * self.vocabulary * self.width
        attended = self.layers * read**2 + self.decoder_layers * (written**2 + written * read)
        return encoder + decoder + head + 12 * self.heads * self.head_dim * self.context_length * attended

    def key(self) -> str:
        rest = f"{self.heads}x{self.head_dim}m{self.mlp_width}b{self.buckets}x{self.longest_distance}"
        rest += ("t" if self.tied else "u") + ("" if self.activation == "gated_gelu" else self.activation)
        layers = f"{self.layers}+{self.decoder_layers}"
        return f"t5-L{layers}-d{self.width}-{rest}-V{self.vocabulary}-T{self.context_length}"


@dataclass(frozen=True, kw_only=True)
class LstmShape(NetworkShape):
    """A recurrent network: the baseline of the time before Transformers (arXiv:1308.0850)."""

    family: ClassVar[str] = "lstm"
    CHOICES: ClassVar = {"cell": ("lstm", "rnn")}
    logit_cap: ClassVar[float] = 0.0
    vocabulary: int
    layers: int
    width: int  # of the embedding and of every state
    context_length: int  # tokens through which gradients flow back
    tied: bool = True
    cell: str = "lstm"  # or "rnn", the plain one with tanh (Elman 1990, doi:10.1207/s15516709cog1402_1)

    def leaves_class(self) -> dict[str, Any]:
        return {"cell": self.cell}

    def check(self) -> None:
        """Raises UsageError: sizes that do not go together, or an unknown cell."""
        _refuse(_below_one(self))
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
    config: dict[str, Any]

    def check(self) -> None:
        """Raises UsageError: sizes that cannot be, or an unknown kind."""
        _refuse(_below_one(self))
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


Network = NetworkShape  # trained by steps


def network_of(shape: Shape) -> NetworkShape | None:
    """The shape, where it is that of a network."""
    return shape if isinstance(shape, NetworkShape) else None


def _below_one(shape: Value) -> list[str]:
    sizes = {name: value for name, value in plain(shape).items() if type(value) is int}
    return [f"{name}={value}" for name, value in sizes.items() if value < 1]


def _refuse(wrong: list[str]) -> None:
    if wrong:
        raise UsageError(
            "this model shape is not possible", received="; ".join(wrong), attempt="`daybreak plan` without them"
        )
