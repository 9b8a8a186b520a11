"""GPT: a decoder with the parameter names of transformers' Qwen3, trained and decoded by the same module.

Axes in tensor names: B rows, T positions, S positions attended to, H heads, K head size, D width, M MLP width,
V vocabulary.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from daybreak.core.types import GptShape

NORM_EPSILON = 1e-6
LONGEST_EXPLICIT = 256  # positions up to which scores fit the processor's cache; see Attention.forward


class Linear(nn.Linear):
    """Weights are kept in float32 and multiplied in the precision of what comes in."""

    product = staticmethod(F.linear)  # techniques replace it, here and below

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x, self.weight.to(x.dtype))


class RmsNorm(nn.Module):
    """Root-mean-square norm (arXiv:1910.07467), computed in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + NORM_EPSILON)
        return (self.weight * wide).to(x.dtype)


@dataclass(slots=True)
class LayerCache:
    """Keys and values of one layer for decoding, [B, H, S, K]; `length` positions of them are filled."""

    k_BHSK: Tensor
    v_BHSK: Tensor
    length: int = 0

    def extend(self, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        stop = self.length + k_BHTK.shape[2]
        self.k_BHSK[:, :, self.length : stop] = k_BHTK
        self.v_BHSK[:, :, self.length : stop] = v_BHTK
        self.length = stop
        return self.k_BHSK[:, :, :stop], self.v_BHSK[:, :, :stop]


def rotated(x_BTHK: Tensor, cos_T1K: Tensor, sin_T1K: Tensor) -> Tensor:
    """Rotary positions (arXiv:2104.09864), the first half of a head paired with the second."""
    first, second = x_BTHK.chunk(2, -1)
    return x_BTHK * cos_T1K + torch.cat((-second, first), -1) * sin_T1K


class Attention(nn.Module):
    product = staticmethod(F.linear)

    def __init__(self, shape: GptShape) -> None:
        super().__init__()
        self.heads, self.key_value_heads, self.head_dim = shape.heads, shape.key_value_heads, shape.head_dim
        self.q_proj = Linear(shape.width, shape.heads * shape.head_dim)
        self.k_proj = Linear(shape.width, shape.key_value_heads * shape.head_dim)
        self.v_proj = Linear(shape.width, shape.key_value_heads * shape.head_dim)
        self.o_proj = Linear(shape.heads * shape.head_dim, shape.width)
        self.q_norm = RmsNorm(shape.head_dim)
        self.k_norm = RmsNorm(shape.head_dim)

    def forward(
        self, x_BTD: Tensor, cos_T1K: Tensor, sin_T1K: Tensor, cache: LayerCache | None, seen_B1TT: Tensor | None = None
    ) -> Tensor:
        """seen: which positions each one attends to, where that is not simply all that came before."""
        B, T, _ = x_BTD.shape
        # One wide product is faster than three narrow ones; joining the weights costs little beside it.
        weight = torch.cat((self.q_proj.weight, self.k_proj.weight, self.v_proj.weight)).to(x_BTD.dtype)
        q, k, v = self.product(x_BTD, weight).split(
            (self.heads * self.head_dim, *(2 * (self.key_value_heads * self.head_dim,))), -1
        )
        q = rotated(self.q_norm(q.reshape(B, T, -1, self.head_dim)), cos_T1K, sin_T1K).transpose(1, 2)
        k = rotated(self.k_norm(k.reshape(B, T, -1, self.head_dim)), cos_T1K, sin_T1K).transpose(1, 2)
        v = v.reshape(B, T, -1, self.head_dim).transpose(1, 2)
        if cache is not None:
            k, v = cache.extend(k, v)
        if self.key_value_heads != self.heads:
            k, v = (x.repeat_interleave(self.heads // self.key_value_heads, 1) for x in (k, v))
        # On a CPU the backward pass of the fused kernel takes longer than that of plain products for short rows.
        if self.training and q.device.type == "cpu" and T <= LONGEST_EXPLICIT:
            y = self._explicit(q, k, v, seen_B1TT)
        elif seen_B1TT is not None:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen_B1TT)
        elif T == 1:
            y = F.scaled_dot_product_attention(q, k, v)
        elif k.shape[2] == T:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            seen = torch.ones(T, k.shape[2], dtype=torch.bool, device=q.device).tril(k.shape[2] - T)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, -1))

    def _explicit(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        T = q.shape[2]
        hidden = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(1) if seen is None else ~seen
        scores_BHTS = (q @ k.transpose(-1, -2)) * self.head_dim**-0.5
        weights_BHTS = torch.softmax(scores_BHTS.masked_fill(hidden, -torch.inf), -1, dtype=torch.float32)
        return weights_BHTS.to(v.dtype) @ v


class Mlp(nn.Module):
    """SwiGLU (arXiv:2002.05202)."""

    product = staticmethod(F.linear)

    def __init__(self, shape: GptShape) -> None:
        super().__init__()
        self.gate_proj = Linear(shape.width, shape.mlp_width)
        self.up_proj = Linear(shape.width, shape.mlp_width)
        self.down_proj = Linear(shape.mlp_width, shape.width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        weight = torch.cat((self.gate_proj.weight, self.up_proj.weight)).to(x_BTD.dtype)
        gate_BTM, up_BTM = self.product(x_BTD, weight).chunk(2, -1)
        return self.down_proj(F.silu(gate_BTM) * up_BTM)


class Layer(nn.Module):
    def __init__(self, shape: GptShape) -> None:
        super().__init__()
        self.input_layernorm = RmsNorm(shape.width)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RmsNorm(shape.width)
        self.mlp = Mlp(shape)

    def forward(
        self,
        x_BTD: Tensor,
        cos_T1K: Tensor,
        sin_T1K: Tensor,
        cache: LayerCache | None = None,
        seen_B1TT: Tensor | None = None,
        kept_B1D: Tensor | None = None,
    ) -> Tensor:
        """kept: what dropout leaves of each residual, as factors."""
        residual = self.self_attn(self.input_layernorm(x_BTD), cos_T1K, sin_T1K, cache, seen_B1TT)
        x_BTD = x_BTD + (residual if kept_B1D is None else residual * kept_B1D)
        residual = self.mlp(self.post_attention_layernorm(x_BTD))
        return x_BTD + (residual if kept_B1D is None else residual * kept_B1D)


class Trunk(nn.Module):
    def __init__(self, shape: GptShape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RmsNorm(shape.width)


class Gpt(nn.Module):
    """A family's module: what the engine, the techniques and decoding know of it is this class' public part."""

    def __init__(self, shape: GptShape) -> None:
        super().__init__()
        self.shape = shape
        self.compute_dtype = torch.float32
        self.model = Trunk(shape)
        self.lm_head = Linear(shape.width, shape.vocabulary)
        if shape.tied:
            self.lm_head.weight = self.model.embed_tokens.weight
        self._angles: dict[tuple[int, int, torch.device], tuple[Tensor, Tensor]] = {}
        # For techniques, and in training alone. From tokens [B, T], which positions each one attends to [B, 1, T, T].
        self.seen: Callable[[Tensor], Tensor] | None = None
        # From the embedding [B, T, D], what dropout leaves [B, 1, D] of it, and of each layer's residuals.
        self.kept: Callable[[Tensor], Sequence[Tensor]] | None = None
        # Calls a layer with its arguments.
        self.around: Callable[..., Tensor] | None = None

    def initialize(self, seed: int) -> None:
        """Zero output projections, so that every layer starts as the identity; see recipes for Muon's rates."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.ndim == 1:
                    weight.fill_(1.0)
                elif name.endswith(("o_proj.weight", "down_proj.weight")):
                    weight.zero_()
                elif "layers" in name:
                    weight.normal_(0.0, 0.5 / math.sqrt(weight.shape[1]), generator=generator)
                elif "embed_tokens" in name:
                    weight.normal_(0.0, 0.02 if self.shape.tied else 1.0, generator=generator)
                else:
                    weight.normal_(0.0, 0.002, generator=generator)

    def blocks(self) -> list[nn.Module]:
        """The repeated parts, alike in shape: what one compiled graph serves."""
        return list(self.model.layers)

    def matrices(self) -> list[nn.Parameter]:
        """Hidden matrices, which Muon orthogonalizes."""
        return [weight for weight in self.model.layers.parameters() if weight.ndim == 2]

    def tables_and_gains(self) -> list[nn.Parameter]:
        hidden = {id(weight) for weight in self.matrices()}
        return [weight for weight in self.parameters() if id(weight) not in hidden]

    def hidden(self, tokens_BT: Tensor, caches: list[LayerCache] | None = None) -> Tensor:
        """Final hidden states [B, T, D] in `compute_dtype`.

        The look-up stays outside every compiled graph: inside, the gradient of its table adds up in random order on
        more than one thread. Compiled layers serve training only; other shapes run as they are.
        """
        x_BTD = self.model.embed_tokens(tokens_BT).to(self.compute_dtype)
        start = caches[0].length if caches else 0
        cos, sin = self._rotation(start, start + tokens_BT.shape[1], tokens_BT.device)
        if self.training and caches is None:
            return self.model.norm(self._trained(tokens_BT, x_BTD, cos, sin))
        for index, layer in enumerate(self.model.layers):
            x_BTD = layer.forward(x_BTD, cos, sin, caches[index] if caches else None)
        return self.model.norm(x_BTD)

    def _trained(self, tokens_BT: Tensor, x_BTD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Through the layers in training; masks are made out here, since random numbers ruin a compiled layer."""
        seen = self.seen(tokens_BT) if self.seen else None
        kept = self.kept(x_BTD) if self.kept else None
        x_BTD = x_BTD if kept is None else x_BTD * kept[0]
        for index, layer in enumerate(self.model.layers):
            inputs = (x_BTD, cos, sin, None, seen, None if kept is None else kept[index + 1])
            x_BTD = layer(*inputs) if self.around is None else self.around(layer, *inputs)
        return x_BTD

    def forward(self, tokens_BT: Tensor, caches: list[LayerCache] | None = None) -> Tensor:
        """Logits [B, T, V] in float32."""
        return self.lm_head(self.hidden(tokens_BT, caches)).float()

    def new_caches(self, rows: int, length: int) -> list[LayerCache]:
        size = (rows, self.shape.key_value_heads, length, self.shape.head_dim)
        device = self.lm_head.weight.device

        def empty() -> Tensor:
            return torch.empty(size, dtype=self.compute_dtype, device=device)

        return [LayerCache(empty(), empty()) for _ in range(self.shape.layers)]

    def _rotation(self, start: int, stop: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosines and sines [T, 1, K] of the positions from start to stop."""
        key = (start, stop, device) if start == 0 else (0, 0, device)
        if start or key not in self._angles:
            size = self.shape.head_dim
            frequencies = self.shape.rope_base ** (-torch.arange(0, size, 2, device=device).float() / size)
            angles = torch.arange(start, stop, device=device).float()[:, None] * frequencies
            angles_T1K = torch.cat((angles, angles), -1)[:, None]
            made = angles_T1K.cos().to(self.compute_dtype), angles_T1K.sin().to(self.compute_dtype)
            if start:
                return made
            self._angles[key] = made
        cos, sin = self._angles[key]
        return (
            (cos, sin) if cos.dtype == self.compute_dtype else (cos.to(self.compute_dtype), sin.to(self.compute_dtype))
        )
