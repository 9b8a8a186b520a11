"""T5: an encoder and a decoder with the parameter names of transformers' T5, trained and decoded by the same module.

Axes in tensor names: B rows, S positions read, T positions written, H heads, K head size, D width, M MLP width,
N buckets of distances, V vocabulary.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from daybreak.core.shapes import T5Shape
from daybreak.models import distances
from daybreak.models.caches import LayerCache
from daybreak.models.gpt import LONGEST_EXPLICIT, Embedding, Linear
from daybreak.models.module import LanguageModel
from daybreak.models.norms import RmsNorm

NEIGHBOUR_SCORE = 4.5  # of a head's neighbour at the beginning, before the softmax
SAME_SCORE = 8.0  # of the same token among those that were read


@dataclass(slots=True)
class DecoderCache:
    """Of one decoder layer: keys and values of what was written, and those of what was read, which stay."""

    written: LayerCache
    read: LayerCache


class Attention(nn.Module):
    """Queries times keys as they are: T5 has no factor K^-0.5, which its initial weights hold instead."""

    product = staticmethod(F.linear)

    def __init__(self, shape: T5Shape, *, biased: bool = False) -> None:
        """biased: whether it keeps the bias by distance of its whole stack."""
        super().__init__()
        self.head_dim = shape.head_dim
        inner = shape.heads * shape.head_dim
        self.q = Linear(shape.width, inner)
        self.k = Linear(shape.width, inner)
        self.v = Linear(shape.width, inner)
        self.o = Linear(inner, shape.width)
        if biased:
            self.relative_attention_bias = Embedding(shape.buckets, shape.heads)

    def of_itself(self, x_BTD: Tensor, bias: Tensor, cache: LayerCache | None) -> Tensor:
        q, k, v = self._projected(x_BTD, self.q, self.k, self.v)
        if cache is not None:
            k, v = cache.extend(k, v)
        return self._attended(q, k, v, bias)

    def of_what_was_read(
        self, x_BTD: Tensor, read_BSD: Tensor | None, bias: Tensor | None, cache: LayerCache | None
    ) -> Tensor:
        (q,) = self._projected(x_BTD, self.q)
        if cache is not None:
            k, v = cache.k_BHSK, cache.v_BHSK
        else:
            assert read_BSD is not None
            k, v = self.keys_and_values(read_BSD)
        return self._attended(q, k, v, bias)

    def keys_and_values(self, read_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """[B, H, S, K] each."""
        k, v = self._projected(read_BSD, self.k, self.v)
        return k, v

    def _projected(self, x_BTD: Tensor, *parts: Linear) -> list[Tensor]:
        """[B, H, T, K] each, by one wide product, which is faster than several narrow ones."""
        B, T, _ = x_BTD.shape
        weight = torch.cat([part.weight for part in parts]).to(x_BTD.dtype)
        return [
            each.reshape(B, T, -1, self.head_dim).transpose(1, 2)
            for each in self.product(x_BTD, weight).chunk(len(parts), -1)
        ]

    def _attended(self, q_BHTK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, bias: Tensor | None) -> Tensor:
        longest = max(q_BHTK.shape[2], k_BHSK.shape[2])
        # On a CPU the backward pass of the fused kernel takes longer than that of plain products for short rows.
        if self.training and q_BHTK.device.type == "cpu" and longest <= LONGEST_EXPLICIT:
            scores_BHTS = q_BHTK @ k_BHSK.transpose(-1, -2)
            if bias is not None:
                scores_BHTS = scores_BHTS + bias
            weights_BHTS = torch.softmax(scores_BHTS, -1, dtype=torch.float32)
            y_BHTK = weights_BHTS.to(v_BHSK.dtype) @ v_BHSK
        else:
            mask = None if bias is None else bias.to(q_BHTK.dtype)
            y_BHTK = F.scaled_dot_product_attention(q_BHTK, k_BHSK, v_BHSK, attn_mask=mask, scale=1.0)
        return self.o(y_BHTK.transpose(1, 2).flatten(2))


class GatedMlp(nn.Module):
    """GEGLU (arXiv:2002.05202), by the approximation of GELU with tanh."""

    product = staticmethod(F.linear)

    def __init__(self, shape: T5Shape) -> None:
        super().__init__()
        self.wi_0 = Linear(shape.width, shape.mlp_width)
        self.wi_1 = Linear(shape.width, shape.mlp_width)
        self.wo = Linear(shape.mlp_width, shape.width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        weight = torch.cat((self.wi_0.weight, self.wi_1.weight)).to(x_BTD.dtype)
        gate_BTM, up_BTM = self.product(x_BTD, weight).chunk(2, -1)
        return self.wo(F.gelu(gate_BTM, approximate="tanh") * up_BTM)


class ReluMlp(nn.Module):
    """That of the first T5."""

    def __init__(self, shape: T5Shape) -> None:
        super().__init__()
        self.wi = Linear(shape.width, shape.mlp_width)
        self.wo = Linear(shape.mlp_width, shape.width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.wo(F.relu(self.wi(x_BTD)))


class Part(nn.Module):
    """A norm and what comes behind it, under the name that the class has for this."""

    def __init__(self, name: str, inside: nn.Module, width: int) -> None:
        super().__init__()
        self.layer_norm = RmsNorm(width)
        self.add_module(name, inside)


class EncoderBlock(nn.Module):
    def __init__(self, shape: T5Shape, *, first: bool) -> None:
        super().__init__()
        self.layer: Any = nn.ModuleList(
            [
                Part("SelfAttention", Attention(shape, biased=first), shape.width),
                Part("DenseReluDense", _mlp(shape), shape.width),
            ]
        )

    def forward(self, x_BSD: Tensor, bias: Tensor) -> Tensor:
        """bias: by distance, and what is not attended to as very low, [., H, S, S]."""
        attention, mlp = self.layer
        x_BSD = x_BSD + attention.SelfAttention.of_itself(attention.layer_norm(x_BSD), bias, None)
        return x_BSD + mlp.DenseReluDense(mlp.layer_norm(x_BSD))


class DecoderBlock(nn.Module):
    def __init__(self, shape: T5Shape, *, first: bool) -> None:
        super().__init__()
        self.layer: Any = nn.ModuleList(
            [
                Part("SelfAttention", Attention(shape, biased=first), shape.width),
                Part("EncDecAttention", Attention(shape), shape.width),
                Part("DenseReluDense", _mlp(shape), shape.width),
            ]
        )

    def forward(
        self,
        x_BTD: Tensor,
        bias: Tensor,
        read_BSD: Tensor | None,
        read_bias: Tensor | None = None,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        """read: the encoder's states, which the cache makes needless. The biases are [., H, T, T] and [B, 1, 1, S]."""
        own, other, mlp = self.layer
        written, read = (None, None) if cache is None else (cache.written, cache.read)
        x_BTD = x_BTD + own.SelfAttention.of_itself(own.layer_norm(x_BTD), bias, written)
        x_BTD = x_BTD + other.EncDecAttention.of_what_was_read(other.layer_norm(x_BTD), read_BSD, read_bias, read)
        return x_BTD + mlp.DenseReluDense(mlp.layer_norm(x_BTD))


def _mlp(shape: T5Shape) -> nn.Module:
    return GatedMlp(shape) if shape.activation == "gated_gelu" else ReluMlp(shape)


class Stack(nn.Module):
    def __init__(self, blocks: list[EncoderBlock] | list[DecoderBlock], width: int) -> None:
        super().__init__()
        self.block: Any = nn.ModuleList(blocks)
        self.final_layer_norm = RmsNorm(width)

    def bias(self) -> Tensor:
        """[N, H], for all of its layers."""
        return cast(Tensor, self.block[0].layer[0].SelfAttention.relative_attention_bias.weight)


class T5(LanguageModel):
    """A family's module, as models/gpt.py's Gpt: what is read and what is written are two arguments here.

    The states before a tied head are scaled by D^-0.5, as the class does, and by nothing before a head of its own.
    Raises UsageError: a shape that cannot be.
    """

    shape: T5Shape
    lm_head: Linear

    def __init__(self, shape: T5Shape) -> None:
        super().__init__()
        shape.check()
        self.shape = shape
        self.compute_dtype = torch.float32
        self.shared = Embedding(shape.vocabulary, shape.width)
        self.encoder = Stack([EncoderBlock(shape, first=index == 0) for index in range(shape.layers)], shape.width)
        self.decoder = Stack(
            [DecoderBlock(shape, first=index == 0) for index in range(shape.decoder_layers)], shape.width
        )
        self.lm_head = Linear(shape.width, shape.vocabulary)
        if shape.tied:
            self.lm_head.weight = self.shared.weight
        # For techniques, and in training alone: calls a layer with its arguments.
        self.layer_wrapper: Callable[..., Tensor] | None = None
        self._told: dict[bool, tuple[tuple[object, ...], Tensor]] = {}

    def initialize(self, seed: int) -> None:
        """As Gpt: zero output projections, so that every layer starts as the identity, and a small head.

        Queries begin K^-0.5 times as large, as T5's own do (arXiv:1910.10683): the scores have no such factor. With
        T5's own sizes throughout, or with small output projections, Muon's loss after as many steps is higher (own
        runs). AdamWRms, whose steps are shares of a weight, needs weights that are not zero and is slower from these.
        """
        generator = torch.Generator().manual_seed(seed)
        shape = self.shape
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.ndim == 1:
                    weight.fill_(1.0)
                    continue
                size = 0.5 / math.sqrt(weight.shape[1])
                if name.endswith(".q.weight"):
                    size /= math.sqrt(shape.head_dim)
                elif name.endswith((".o.weight", ".wo.weight", "relative_attention_bias.weight")):
                    size = 0.0
                elif name == "shared.weight":
                    size = 0.02 if shape.tied else 1.0
                elif name == "lm_head.weight":
                    size = 0.002
                elif name.endswith("EncDecAttention.k.weight"):
                    size = math.sqrt(SAME_SCORE / (shape.head_dim * shape.width))
                weight.normal_(0.0, size, generator=generator)
            self._look_around()

    def _look_around(self) -> None:
        """Each head begins by attending to a neighbour, those of the decoder also to the same token among the read.

        A sentinel tells nothing of what it stands for. So a model learns no more than how frequent tokens are until its
        heads have found what is around a gap, which takes hundreds of steps of a short run. Queries that are equal to
        keys have the largest score where tokens are equal, too: for a sentinel, that is the gap itself.
        """
        near = self.shape.buckets // 4  # distances each way that have a bucket of their own
        around = torch.tensor([side * step for step in range(1, near) for side in (-1, 1)])
        before = -torch.arange(1, self.shape.buckets // 2)
        for stack, ahead, both_ways in ((self.encoder, around, True), (self.decoder, before, False)):
            own = distances.buckets_of(ahead, self.shape.buckets, self.shape.longest_distance, both_ways=both_ways)
            for head, bucket in zip(range(self.shape.heads), own.tolist(), strict=False):
                stack.bias()[bucket, head] = NEIGHBOUR_SCORE
        for block in self.decoder.block:
            attention = block.layer[1].EncDecAttention
            attention.q.weight.copy_(attention.k.weight)

    def blocks(self) -> list[nn.Module]:
        """Of the encoder, then of the decoder: what two compiled graphs serve."""
        return [*self.encoder.block, *self.decoder.block]

    def matrices(self) -> list[nn.Parameter]:
        """Hidden matrices, which Muon orthogonalizes."""
        return [
            weight
            for block in self.blocks()
            for name, weight in block.named_parameters()
            if weight.ndim == 2 and "relative_attention_bias" not in name
        ]

    def embeddings_and_norms(self) -> list[nn.Parameter]:
        hidden = {id(weight) for weight in self.matrices()}
        return [weight for weight in self.parameters() if id(weight) not in hidden]

    def rate_factors(self) -> dict[nn.Parameter, float]:
        """Of Muon's rate: its steps have a size of their own, and behind queries follows no factor K^-0.5."""
        queries = [weight for name, weight in self.named_parameters() if name.endswith(".q.weight")]
        return dict.fromkeys(queries, self.shape.head_dim**-0.5)

    def encode(self, inputs_BS: Tensor, attention_mask_BS: Tensor | None = None) -> Tensor:
        """The encoder's states [B, S, D] in `compute_dtype`.

        attention_mask: 0 where a token only fills a row up. The look-ups stay outside every compiled graph, and so does
        the bias, which is the same for all layers: see Gpt.hidden.
        """
        bias = self._bias(self.encoder, 0, inputs_BS.shape[1], both_ways=True)
        if attention_mask_BS is not None:
            bias = bias + _low(attention_mask_BS)
        x_BSD = self.shared(inputs_BS).to(self.compute_dtype)
        for block in self.encoder.block:
            x_BSD = self._called(block, x_BSD, bias)
        return self.encoder.final_layer_norm(x_BSD)

    def decode(
        self,
        decoder_inputs_BT: Tensor,
        encoded_BSD: Tensor | None,
        attention_mask_BS: Tensor | None = None,
        caches: list[DecoderCache] | None = None,
    ) -> Tensor:
        """Final hidden states [B, T, D] in `compute_dtype`. encoded: needed where there are no caches."""
        start = caches[0].written.length if caches else 0
        stop = start + decoder_inputs_BT.shape[1]
        bias = self._bias(self.decoder, start, stop, both_ways=False)
        if stop - start > 1:
            future = torch.ones(stop - start, stop, dtype=torch.bool, device=bias.device).triu(start + 1)
            bias = bias.masked_fill(future, -torch.inf)
        read_bias = None if attention_mask_BS is None else _low(attention_mask_BS)
        x_BTD = self.shared(decoder_inputs_BT).to(self.compute_dtype)
        for index, block in enumerate(self.decoder.block):
            x_BTD = self._called(block, x_BTD, bias, encoded_BSD, read_bias, caches[index] if caches else None)
        x_BTD = self.decoder.final_layer_norm(x_BTD)
        return x_BTD * self.shape.width**-0.5 if self.shape.tied else x_BTD

    def hidden(self, inputs_BS: Tensor, decoder_inputs_BT: Tensor, attention_mask_BS: Tensor | None = None) -> Tensor:
        """Final hidden states [B, T, D] in `compute_dtype`."""
        encoded_BSD = self.encode(inputs_BS, attention_mask_BS)
        return self.decode(decoder_inputs_BT, encoded_BSD, attention_mask_BS)

    def forward(self, inputs_BS: Tensor, decoder_inputs_BT: Tensor, attention_mask_BS: Tensor | None = None) -> Tensor:
        """Logits [B, T, V] in float32."""
        return self.lm_head(self.hidden(inputs_BS, decoder_inputs_BT, attention_mask_BS)).float()

    def new_caches(self, encoded_BSD: Tensor, length: int) -> list[DecoderCache]:
        """For writing up to `length` tokens by `decode` after what was read."""
        size = (encoded_BSD.shape[0], self.shape.heads, length, self.shape.head_dim)

        def empty() -> Tensor:
            return torch.empty(size, dtype=self.compute_dtype, device=encoded_BSD.device)

        caches = []
        for block in self.decoder.block:
            keys, values = block.layer[1].EncDecAttention.keys_and_values(encoded_BSD)
            read = LayerCache(keys, values, encoded_BSD.shape[1])
            caches.append(DecoderCache(LayerCache(empty(), empty()), read))
        return caches

    def _called(self, block: nn.Module, *inputs: object) -> Tensor:
        """Compiled blocks serve training only; other sizes run as they are."""
        if self.training and self.layer_wrapper is not None:
            return self.layer_wrapper(block, *inputs)
        return (block if self.training else block.forward)(*inputs)  # type: ignore[no-any-return]

    def _bias(self, stack: Stack, start: int, stop: int, *, both_ways: bool) -> Tensor:
        """Added to the scores of positions start to stop, float32 [1, H, T, S]."""
        shape, device = self.shape, stack.bias().device
        kept = self._told.get(both_ways)
        if start == 0 and kept is not None and kept[0] == (stop, device):
            chosen_PN = kept[1]
        else:
            with torch.inference_mode(False):  # what a sample was drawn with may be trained with next
                chosen_PN = distances.chosen_buckets(
                    start, stop, shape.buckets, shape.longest_distance, device, both_ways=both_ways
                )
            if start == 0:
                self._told[both_ways] = ((stop, device), chosen_PN)
        # A product, whose gradient adds up in one order; that of a look-up would not.
        return distances.spread(chosen_PN @ stack.bias(), start, stop)


def _low(attention_mask_BS: Tensor) -> Tensor:
    """[B, 1, 1, S], float32: very low where the mask is 0, yet finite, since a row may have nothing to attend to."""
    hidden = attention_mask_BS[:, None, None] == 0
    return torch.zeros(hidden.shape, device=hidden.device).masked_fill(hidden, -1e30)
