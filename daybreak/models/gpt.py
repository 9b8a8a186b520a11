"""GPT: a decoder with the parameter names of transformers' Qwen3, trained and decoded by the same module.

What a shape takes beyond that class is passed along beside what all shapes have, and is None in the others, so that
the graph of the stock class holds nothing of it.

Axes in tensor names: B rows, T positions, S positions attended to, H heads, K head size, D width, M MLP width,
V vocabulary, E width of keys and values.
"""

import math
import threading
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from daybreak.core.shapes import GATE_INPUTS, GptShape
from daybreak.models import positions
from daybreak.models.caches import Cache, Caches, LayerCache, RowsCache
from daybreak.models.module import LanguageModel
from daybreak.models.norms import RmsNorm, norm_of
from daybreak.models.objectives import capped
from daybreak.models.positions import rotated

MIXING = (1.0, 0.1)  # what a layer with skips begins with: of the state, and of the embedding
VALUE_SHARE = 3.0  # the most of a value embedding that a head takes; half of it at the beginning
_making_tables = threading.Lock()  # threads that train rows of their own share the tables of positions
LONGEST_EXPLICIT = 256  # positions up to which scores fit the processor's cache; see Attention.forward


class _Filled:
    """Weights without a place, which what is read will fill, need no first values: torch imports its compiler to draw
    them, which takes seconds.
    """

    weight: Tensor

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()  # type: ignore[misc]


class Embedding(_Filled, nn.Embedding):
    pass


class Linear(_Filled, nn.Linear):
    """Weights are kept in float32 and multiplied in the precision of what comes in."""

    product = staticmethod(F.linear)  # techniques replace it, here and below

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x, self.weight.to(x.dtype))


class Attention(nn.Module):
    product = staticmethod(F.linear)

    def __init__(self, shape: GptShape, *, value_embedding: bool = False) -> None:
        super().__init__()
        self.heads, self.key_value_heads, self.head_dim = shape.heads, shape.key_value_heads, shape.head_dim
        self.q_proj = Linear(shape.width, shape.heads * shape.head_dim)
        self.k_proj = Linear(shape.width, shape.key_value_heads * shape.head_dim)
        self.v_proj = Linear(shape.width, shape.key_value_heads * shape.head_dim)
        self.o_proj = Linear(shape.heads * shape.head_dim, shape.width)
        self.q_norm = RmsNorm(shape.head_dim)
        self.k_norm = RmsNorm(shape.head_dim)
        if value_embedding:
            self.value_gate = Linear(min(GATE_INPUTS, shape.width), shape.key_value_heads)

    def forward(
        self,
        x_BTD: Tensor,
        cos_T1K: Tensor | None,
        sin_T1K: Tensor | None,
        cache: Cache | RowsCache | None,
        bias_BHTS: Tensor | None = None,
        values_BTE: Tensor | None = None,
    ) -> Tensor:
        B, T, _ = x_BTD.shape
        # One wide product is faster than three narrow ones; joining the weights costs little beside it.
        weight = torch.cat((self.q_proj.weight, self.k_proj.weight, self.v_proj.weight)).to(x_BTD.dtype)
        q, k, v = self.product(x_BTD, weight).split(
            (self.heads * self.head_dim, *(2 * (self.key_value_heads * self.head_dim,))), -1
        )
        q = rotated(self.q_norm(q.reshape(B, T, -1, self.head_dim)), cos_T1K, sin_T1K).transpose(1, 2)
        k = rotated(self.k_norm(k.reshape(B, T, -1, self.head_dim)), cos_T1K, sin_T1K).transpose(1, 2)
        v = v.reshape(B, T, -1, self.head_dim)
        if values_BTE is not None:
            gate_BTH1 = VALUE_SHARE * torch.sigmoid(self.value_gate(x_BTD[..., :GATE_INPUTS]))[..., None]
            v = v + gate_BTH1 * values_BTE.reshape(v.shape)
        v = v.transpose(1, 2)
        if cache is not None:
            k, v = cache.extend(k, v)
        if self.key_value_heads != self.heads:
            k, v = (x.repeat_interleave(self.heads // self.key_value_heads, 1) for x in (k, v))
        # On a CPU the backward pass of the fused kernel takes longer than that of plain products for short rows.
        if self.training and q.device.type == "cpu" and T <= LONGEST_EXPLICIT:
            y = self._explicit(q, k, v, bias_BHTS)
        elif bias_BHTS is not None:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias_BHTS)
        elif T == 1:
            y = F.scaled_dot_product_attention(q, k, v)
        elif k.shape[2] == T:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            seen = torch.ones(T, k.shape[2], dtype=torch.bool, device=q.device).tril(k.shape[2] - T)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, -1))

    def _explicit(self, q: Tensor, k: Tensor, v: Tensor, bias_BHTS: Tensor | None) -> Tensor:
        T = q.shape[2]
        future = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(1)
        scores_BHTS = (q @ k.transpose(-1, -2)) * self.head_dim**-0.5
        if bias_BHTS is not None:
            scores_BHTS = scores_BHTS + bias_BHTS
        weights_BHTS = torch.softmax(scores_BHTS.masked_fill(future, -torch.inf), -1, dtype=torch.float32)
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


class SquaredReluMlp(nn.Module):
    """Two matrices with relu(x)^2 between them (arXiv:2109.08668)."""

    def __init__(self, shape: GptShape) -> None:
        super().__init__()
        self.up_proj = Linear(shape.width, shape.mlp_width)
        self.down_proj = Linear(shape.mlp_width, shape.width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down_proj(F.relu(self.up_proj(x_BTD)).square())


class Layer(nn.Module):
    def __init__(self, shape: GptShape, *, value_embedding: bool = False) -> None:
        super().__init__()
        self.input_layernorm = norm_of(shape.norm, shape.width)
        self.self_attn = Attention(shape, value_embedding=value_embedding)
        self.post_attention_layernorm = norm_of(shape.norm, shape.width)
        self.mlp = Mlp(shape) if shape.activation == "swiglu" else SquaredReluMlp(shape)
        if shape.skips:
            self.mixing = nn.Parameter(torch.tensor(MIXING))

    def forward(
        self,
        x_BTD: Tensor,
        cos_T1K: Tensor | None,
        sin_T1K: Tensor | None,
        cache: Cache | RowsCache | None = None,
        bias_BHTS: Tensor | None = None,
        values_BTE: Tensor | None = None,
        embedded_BTD: Tensor | None = None,
        kept_B1D: Tensor | None = None,
    ) -> Tensor:
        """bias: added to the scores. values: added to the values. embedded: what x began as. kept: what dropout leaves
        of each residual, as factors."""
        if embedded_BTD is not None:
            x_BTD = self.mixing[0] * x_BTD + self.mixing[1] * embedded_BTD
        residual = self.self_attn(self.input_layernorm(x_BTD), cos_T1K, sin_T1K, cache, bias_BHTS, values_BTE)
        x_BTD = x_BTD + (residual if kept_B1D is None else residual * kept_B1D)
        residual = self.mlp(self.post_attention_layernorm(x_BTD))
        return x_BTD + (residual if kept_B1D is None else residual * kept_B1D)


class Trunk(nn.Module):
    def __init__(self, shape: GptShape) -> None:
        super().__init__()
        valued = shape.value_layers()
        self.embed_tokens = Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(
            Layer(shape, value_embedding=index in valued) for index in range(shape.stored_layers())
        )
        self.norm = norm_of(shape.norm, shape.width)
        if shape.positions == "learned":
            self.embed_positions = Embedding(shape.context_length, shape.width)
        if valued:
            size = shape.key_value_heads * shape.head_dim
            self.embed_values = nn.ModuleDict({str(index): Embedding(shape.vocabulary, size) for index in valued})
        if shape.skips and shape.layers > 1:
            self.skip_weights = nn.Parameter(torch.zeros(shape.layers // 2))


class Gpt(LanguageModel):
    """A decoder. Beside what all families' modules offer, techniques and decoding know this class' public part.

    Raises UsageError: a shape that cannot be.
    """

    shape: GptShape
    lm_head: Linear
    causal = True  # a position does not attend to what comes after it

    def __init__(self, shape: GptShape) -> None:
        super().__init__()
        shape.check()
        self.shape = shape
        self.compute_dtype = torch.float32
        self.model = Trunk(shape)
        self.lm_head = Linear(shape.width, shape.vocabulary)
        if shape.tied:
            self.lm_head.weight = self.model.embed_tokens.weight
        self._told: dict[str, tuple[tuple[object, ...], tuple[Tensor, ...]]] = {}
        # For techniques, and in training alone. From tokens [B, T], which positions each one attends to [B, 1, T, T].
        self.attention_mask_fn: Callable[[Tensor], Tensor] | None = None
        # From the embedding [B, T, D], what dropout leaves [B, 1, D] of it, and of each layer's residuals.
        self.dropout_fn: Callable[[Tensor], Sequence[Tensor]] | None = None
        # Calls a layer with its arguments.
        self.layer_wrapper: Callable[..., Tensor] | None = None

    def initialize(self, seed: int) -> None:
        """Zero output projections, so that every layer starts as the identity."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if name.endswith("mixing"):
                    weight.copy_(torch.tensor(MIXING))
                elif name.endswith(("skip_weights", ".bias")):
                    weight.zero_()
                elif weight.ndim == 1:
                    weight.fill_(1.0)
                elif name.endswith(("o_proj.weight", "down_proj.weight", "value_gate.weight")):
                    weight.zero_()
                elif "layers" in name:
                    weight.normal_(0.0, 0.5 / math.sqrt(weight.shape[1]), generator=generator)
                elif "embed_tokens" in name or "embed_positions" in name:
                    weight.normal_(0.0, positions.embedding_size(self.shape), generator=generator)
                elif "embed_values" in name:
                    weight.normal_(0.0, 1 / math.sqrt(self.shape.width), generator=generator)
                else:
                    weight.normal_(0.0, 0.002, generator=generator)

    def blocks(self) -> list[nn.Module]:
        """The stored layers, alike in shape: what one compiled graph serves, or two where some have value gates."""
        return list(self.model.layers)

    def matrices(self) -> list[nn.Parameter]:
        """Hidden matrices, which Muon orthogonalizes."""
        return [weight for weight in self.model.layers.parameters() if weight.ndim == 2]

    def embeddings_and_norms(self) -> list[nn.Parameter]:
        hidden = {id(weight) for weight in self.matrices()}
        return [weight for weight in self.parameters() if id(weight) not in hidden]

    def hidden(self, tokens_BT: Tensor, caches: Caches | None = None) -> Tensor:
        """Final hidden states [B, T, D] in `compute_dtype`.

        The look-ups stay outside every compiled graph: inside, the gradient of a table adds up in random order on
        more than one thread. Masks, too, are made out here: random numbers ruin a compiled layer. Compiled layers serve
        training only; other shapes run as they are.
        """
        shape, rows = self.shape, caches[0] if caches and isinstance(caches[0], RowsCache) else None
        bias: Tensor | None
        if rows is not None:
            x_BTD, cos, sin, bias = self._placed(tokens_BT, rows)
        else:
            start = caches[0].length if caches and not isinstance(caches[0], RowsCache) else 0
            where = start, start + tokens_BT.shape[1], tokens_BT.device
            x_BTD = self._embedded(tokens_BT, *where)
            cos, sin = self._rotation(*where) if shape.positions == "rotary" else (None, None)
            bias = self._bias(tokens_BT, where)
        kept = self.dropout_fn(x_BTD) if self.dropout_fn and self.training else None
        x_BTD = x_BTD if kept is None else x_BTD * kept[0]
        values = self._values(tokens_BT)
        # A view: were it the first layer's very input, that layer would be a graph of its own.
        embedded_BTD = x_BTD.view_as(x_BTD) if shape.skips else None
        half = shape.layers // 2 if shape.skips else 0
        passed: list[Tensor] = []
        around = self.layer_wrapper if self.training else None
        for index in range(shape.layers):
            stored = index // shape.layer_repeats
            layer = self.model.layers[stored]
            if index >= shape.layers - half:
                x_BTD = x_BTD + self.model.skip_weights[shape.layers - 1 - index] * passed.pop()
            cache = caches[index] if caches else None
            inputs = (
                x_BTD,
                cos,
                sin,
                cache,
                bias,
                values.get(stored),
                embedded_BTD,
                None if kept is None else kept[stored + 1],
            )
            call = layer if self.training else layer.forward
            x_BTD = call(*inputs) if around is None else around(layer, *inputs)
            if index < half:
                passed.append(x_BTD)
        return self.model.norm(x_BTD)

    def forward(self, tokens_BT: Tensor, caches: Caches | None = None) -> Tensor:
        """Logits [B, T, V] in float32."""
        return capped(self.lm_head(self.hidden(tokens_BT, caches)).float(), self.shape.logit_cap)

    def make_tables(self, length: int) -> None:
        """Makes the tables of positions for rows of `length` tokens; `hidden` otherwise does at its first call."""
        if self.shape.positions == "rotary":
            self._rotation(0, length, self.lm_head.weight.device)

    def new_caches(self, rows: int, length: int) -> list[LayerCache]:
        size = (rows, self.shape.key_value_heads, length, self.shape.head_dim)
        device = self.lm_head.weight.device

        def empty() -> Tensor:
            return torch.empty(size, dtype=self.compute_dtype, device=device)

        return [LayerCache(empty(), empty()) for _ in range(self.shape.layers)]

    def _bias(self, tokens_BT: Tensor, where: tuple[int, int, torch.device]) -> Tensor | None:
        """What is added to the scores [., ., T, S]: by distance, and -inf where a technique lets a position not see."""
        bias = self._once(positions.distances, *where)[0] if self.shape.positions == "alibi" else None
        if self.attention_mask_fn is None or not self.training:
            return bias
        hidden = ~self.attention_mask_fn(tokens_BT)
        bias = torch.zeros_like(hidden, dtype=self.compute_dtype) if bias is None else bias
        return bias.masked_fill(hidden, -torch.inf)

    def _placed(self, tokens_B1: Tensor, rows: RowsCache) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor]:
        """For one token of each row, at a place of its own: embeddings [B, 1, D], cosines and sines [B, 1, 1, K], and
        what is added to the scores, or which of them count [B, ., 1, S].
        """
        shape, places_B, device = self.shape, rows.places_B, tokens_B1.device
        everywhere = 0, shape.context_length, device
        x_B1D, cos, sin = self.model.embed_tokens(tokens_B1), None, None
        if shape.positions == "learned":
            x_B1D = x_B1D + self.model.embed_positions.weight[places_B][:, None]
        elif shape.positions == "sinusoidal":
            x_B1D = x_B1D + self._once(positions.sinusoids, *everywhere)[0][places_B][:, None]
        elif shape.positions == "rotary":
            cos, sin = (part[places_B][:, None] for part in self._rotation(*everywhere))
        if shape.positions == "alibi":
            bias = positions.distances_from(shape, places_B, rows.stop).to(self.compute_dtype)
        else:
            bias = (torch.arange(rows.stop, device=device) <= places_B[:, None])[:, None, None]
        return x_B1D.to(self.compute_dtype), cos, sin, bias

    def _embedded(self, tokens_BT: Tensor, start: int, stop: int, device: torch.device) -> Tensor:
        x_BTD = self.model.embed_tokens(tokens_BT)
        if self.shape.positions == "learned":
            x_BTD = x_BTD + self.model.embed_positions.weight[start:stop]
        elif self.shape.positions == "sinusoidal":
            x_BTD = x_BTD + self._once(positions.sinusoids, start, stop, device)[0]
        return x_BTD.to(self.compute_dtype)

    def _values(self, tokens_BT: Tensor) -> dict[int, Tensor]:
        """Value embeddings [B, T, E] of the stored layers that have them."""
        return {
            index: self.model.embed_values[str(index)](tokens_BT).to(self.compute_dtype)
            for index in self.shape.value_layers()
        }

    def _rotation(self, start: int, stop: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosines and sines [T, 1, K] of the positions from start to stop."""
        cos, sin = self._once(positions.rotation, start, stop, device)
        return cos, sin

    def _once(
        self, make: Callable[..., tuple[Tensor, ...]], start: int, stop: int, device: torch.device
    ) -> tuple[Tensor, ...]:
        """What `make` tells of the positions, in the compute dtype; the last that began at 0 is kept."""
        key = (stop, device, self.compute_dtype)
        if start != 0:
            return self._made(make, start, stop, device)
        kept = self._told.get(make.__name__)
        if kept is not None and kept[0] == key:
            return kept[1]
        with _making_tables:
            kept = self._told.get(make.__name__)
            if kept is None or kept[0] != key:  # otherwise another thread has just made them
                kept = self._told[make.__name__] = (key, self._made(make, start, stop, device))
        return kept[1]

    def _made(
        self, make: Callable[..., tuple[Tensor, ...]], start: int, stop: int, device: torch.device
    ) -> tuple[Tensor, ...]:
        with torch.inference_mode(False):  # what a sample was drawn with may be trained with next
            return tuple(tensor.to(self.compute_dtype) for tensor in make(self.shape, start, stop, device))


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """What a model is, by name: its parameters, each once, and the buffers that are not made anew."""
    kept = module.state_dict().keys()
    buffers = {name: buffer for name, buffer in module.named_buffers() if name in kept}
    return {**dict(module.named_parameters()), **buffers}
