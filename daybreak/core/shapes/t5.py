"""Encoder-decoder Transformers."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.core.errors import UsageError, nearest
from daybreak.core.shapes.base import NetworkShape, refuse, sizes_below_one


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
        wrong = sizes_below_one(self)
        if not wrong and (self.buckets % 4 or self.longest_distance <= self.buckets // 2):
            wrong.append(f"buckets={self.buckets} with longest_distance={self.longest_distance}")
        refuse(wrong)
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
