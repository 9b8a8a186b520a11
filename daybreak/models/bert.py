"""BERT: an encoder with the parameter names of transformers' ModernBERT, which predicts tokens that are hidden from it.

Only what is asked for is computed: where a few positions of a row are to be predicted, the last layer has queries and
an MLP for these alone, and so have the head and the table behind it. The results are those of the whole.

Axes in tensor names: B rows, T positions, S positions attended to, P positions asked for in a row, H heads, K head
size, D width, N positions of all rows, V vocabulary; J is either B or 1.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from daybreak.core.shapes import BertShape
from daybreak.models import positions
from daybreak.models.gpt import LONGEST_EXPLICIT, Embedding, Linear
from daybreak.models.module import LanguageModel
from daybreak.models.positions import rotated

COMMON = 0.5  # of the size of an embedding: what all of them begin with
NEIGHBOUR_SCORE = 4.5  # of a head that begins by attending to a neighbour, before the softmax
DISTANCES = (-1, 1, -2, 2, -3, 3, -4, 4, -5, 5, -6, 6, -7, 7, -8, 8, -9, 9, -10, 10, -11, 11, -12, 12)  # of neighbours
NORM_EPSILON = 1e-5


class Norm(nn.Module):
    """Layer normalization (arXiv:1607.06450) with a gain and no bias, computed in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.float(), self.weight.shape, self.weight, None, NORM_EPSILON).to(x.dtype)


class Places(NamedTuple):
    """What a layer is told of where its positions stand."""

    cos_T1K: Tensor
    sin_T1K: Tensor
    bias_J1TS: Tensor | None  # added to the scores: 0, or -inf where a position does not attend to another


class Asked(NamedTuple):
    """The positions that are asked for, as they come into the last layer."""

    x_BPD: Tensor
    cos_BP1K: Tensor
    sin_BP1K: Tensor
    bias_J1PS: Tensor | None


class Attention(nn.Module):
    product = staticmethod(F.linear)  # techniques replace it

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.heads, self.head_dim = shape.heads, shape.head_dim
        self.Wqkv = Linear(shape.width, 3 * shape.width)
        self.Wo = Linear(shape.width, shape.width)

    def forward(self, x_BTD: Tensor, places: Places, asked: Asked | None = None) -> Tensor:
        """[B, T, D], or [B, P, D] for queries that are asked for."""
        if asked is None:
            q, k, v = self._heads(self.Wqkv(x_BTD)).chunk(3, 2)
            q = rotated(q, places.cos_T1K, places.sin_T1K)
            bias = places.bias_J1TS
        else:
            D = x_BTD.shape[2]
            weight = self.Wqkv.weight.to(x_BTD.dtype)
            q = self._heads(self.product(asked.x_BPD, weight[:D]))
            k, v = self._heads(self.product(x_BTD, weight[D:])).chunk(2, 2)
            q = rotated(q, asked.cos_BP1K, asked.sin_BP1K)
            bias = asked.bias_J1PS
        k = rotated(k, places.cos_T1K, places.sin_T1K)
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        # On a CPU the backward pass of the fused kernel takes longer than that of plain products for short rows.
        if self.training and q.device.type == "cpu" and k.shape[2] <= LONGEST_EXPLICIT:
            y_BHTK = self._explicit(q, k, v, bias)
        else:
            y_BHTK = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.Wo(y_BHTK.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (-1, self.head_dim))

    def _explicit(self, q: Tensor, k: Tensor, v: Tensor, bias_J1TS: Tensor | None) -> Tensor:
        scores_BHTS = (q @ k.transpose(-1, -2)) * self.head_dim**-0.5
        if bias_J1TS is not None:
            scores_BHTS = scores_BHTS + bias_J1TS
        return torch.softmax(scores_BHTS, -1, dtype=torch.float32).to(v.dtype) @ v


class Mlp(nn.Module):
    """GeGLU (arXiv:2002.05202), its two inner matrices in one."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.Wi = Linear(shape.width, 2 * shape.mlp_width)
        self.Wo = Linear(shape.mlp_width, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        inner, gate = self.Wi(x).chunk(2, -1)
        return self.Wo(F.gelu(inner) * gate)


class Layer(nn.Module):
    """The first layer's attention has no norm: its input has just been through that of the embedding."""

    def __init__(self, shape: BertShape, *, first: bool) -> None:
        super().__init__()
        self.attn_norm = nn.Identity() if first else Norm(shape.width)
        self.attn = Attention(shape)
        self.mlp_norm = Norm(shape.width)
        self.mlp = Mlp(shape)

    def forward(
        self, x_BTD: Tensor, places: Places, asked: Asked | None = None, kept_B1D: Tensor | None = None
    ) -> Tensor:
        """kept: what dropout leaves of each residual, as factors."""
        if asked is None:
            y, residual = x_BTD, self.attn(self.attn_norm(x_BTD), places)
        else:
            y = asked.x_BPD
            residual = self.attn(self.attn_norm(x_BTD), places, asked._replace(x_BPD=self.attn_norm(y)))
        y = y + (residual if kept_B1D is None else residual * kept_B1D)
        residual = self.mlp(self.mlp_norm(y))
        return y + (residual if kept_B1D is None else residual * kept_B1D)


class Embeddings(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.tok_embeddings = Embedding(shape.vocabulary, shape.width)
        self.norm = Norm(shape.width)


class Trunk(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.embeddings = Embeddings(shape)
        self.layers = nn.ModuleList(Layer(shape, first=index == 0) for index in range(shape.layers))
        self.final_norm = Norm(shape.width)


class PredictionHead(nn.Module):
    """What a state goes through before it is compared with the table of tokens."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.dense = Linear(shape.width, shape.width)
        self.norm = Norm(shape.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(F.gelu(self.dense(x)))


class Decoder(Linear):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


class Bert(LanguageModel):
    """An encoder; see Gpt for what its further attributes mean.

    Raises UsageError: a shape that cannot be.
    """

    shape: BertShape
    causal = False

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        shape.check()
        self.shape = shape
        self.compute_dtype = torch.float32
        self.model = Trunk(shape)
        self.head = PredictionHead(shape)
        self.decoder = Decoder(shape.width, shape.vocabulary)
        self.tie()
        self._told: dict[str, tuple[tuple[object, ...], tuple[Tensor, ...]]] = {}
        # For techniques, and in training alone; see Gpt.
        self.attention_mask_fn: Callable[[Tensor], Tensor] | None = None
        self.dropout_fn: Callable[[Tensor], Sequence[Tensor]] | None = None
        self.layer_wrapper: Callable[..., Tensor] | None = None

    @property
    def lm_head(self) -> Decoder:
        return self.decoder

    def tie(self) -> None:
        """Makes the table serve as the head where the shape says so, as it must be after weights were assigned."""
        if self.shape.tied:
            self.decoder.weight = self.model.embeddings.tok_embeddings.weight

    def initialize(self, seed: int) -> None:
        """Zero output projections, so that every layer starts as the identity; the head's own layer is no residual.

        A table that is also the head begins small. Into the layers it goes through a norm, which undoes that.
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if name.endswith(("Wo.weight", ".bias")):
                    weight.zero_()
                elif weight.ndim == 1:
                    weight.fill_(1.0)
                elif "tok_embeddings" in name:
                    weight.normal_(0.0, 0.02 if self.shape.tied else 1.0, generator=generator)
                elif "decoder" in name:
                    weight.normal_(0.0, 0.002, generator=generator)
                else:
                    weight.normal_(0.0, 0.5 / math.sqrt(weight.shape[1]), generator=generator)
            self._look_around(generator)

    def _look_around(self, generator: torch.Generator) -> None:
        """About two heads in three of each layer begin by attending to a neighbour at a distance of their own.

        Where a token is hidden, its own place tells nothing. An encoder therefore learns no more than how frequent
        tokens are until its heads have found the neighbours, which takes hundreds of steps of a short run. Here all
        embeddings share a direction, which queries and keys turn into the same vector everywhere, so that rotary
        positions alone decide: the score of a pair is largest at one distance. A direction that all rows of a tied
        head share moves all logits alike, and so no probability.
        """
        shape = self.shape
        common_D = torch.ones(shape.width)
        common_D[torch.randperm(shape.width, generator=generator)[: shape.width // 2]] = -1.0
        table = self.model.embeddings.tok_embeddings.weight
        table += COMMON * table.std() * common_D
        # What the norm leaves of the direction, times the direction itself, is one.
        reading_D = common_D / (shape.width * COMMON / math.sqrt(1 + COMMON**2))
        count, pairs = max(1, shape.heads - max(1, shape.heads // 3)), shape.head_dim // 2
        sharp = max(1, 3 * pairs // 8)  # pairs that turn fast enough to tell neighbours apart
        size = math.sqrt(NEIGHBOUR_SCORE * math.sqrt(shape.head_dim) / sharp)
        for index, layer in enumerate(cast(list[Layer], list(self.model.layers))):
            base = shape.rope_base if shape.is_global(index) else shape.local_rope_base
            angles = base ** (-torch.arange(sharp) / pairs)
            parts = layer.attn.Wqkv.weight.view(3, shape.heads, shape.head_dim, shape.width)
            first = min(2, count) * (index % 2)
            for head, distance in enumerate(DISTANCES[first : first + count]):
                query, key = torch.zeros(2, shape.head_dim)
                query[:sharp] = size
                key[:sharp], key[pairs : pairs + sharp] = (
                    size * torch.cos(angles * distance),
                    -size * torch.sin(angles * distance),
                )
                parts[0, head] += query[:, None] * reading_D
                parts[1, head] += key[:, None] * reading_D

    def blocks(self) -> list[nn.Module]:
        return list(self.model.layers)

    def matrices(self) -> list[nn.Parameter]:
        """Hidden matrices, which Muon orthogonalizes."""
        parts = (self.model.layers, self.head.dense)
        return [weight for part in parts for weight in part.parameters() if weight.ndim == 2]

    def embeddings_and_norms(self) -> list[nn.Parameter]:
        hidden = {id(weight) for weight in self.matrices()}
        return [weight for weight in self.parameters() if id(weight) not in hidden]

    def hidden(self, tokens_BT: Tensor, where_BP: Tensor | None = None, attention_mask: Tensor | None = None) -> Tensor:
        """Final hidden states [B, T, D] in `compute_dtype`, or only those of the positions `where`, [B, P, D].

        attention_mask: [B, T], 0 where a row has no token any more; what is given back for these means nothing. Texts
        may stand at either end of their rows. Look-ups stay outside every compiled graph, as in Gpt.
        """
        local, globally = self._places(tokens_BT, attention_mask)
        embeddings = self.model.embeddings
        x_BTD = embeddings.norm(embeddings.tok_embeddings(tokens_BT)).to(self.compute_dtype)
        kept = self.dropout_fn(x_BTD) if self.dropout_fn and self.training else None
        x_BTD = x_BTD if kept is None else x_BTD * kept[0]
        around = self.layer_wrapper if self.training else None
        for index, layer in enumerate(self.model.layers):
            places = globally if self.shape.is_global(index) else local
            asked = None
            if where_BP is not None and index == self.shape.layers - 1:
                asked = self._asked(x_BTD, places, where_BP)
            inputs = (x_BTD, places, asked, None if kept is None else kept[index + 1])
            call = layer if self.training else layer.forward
            x_BTD = call(*inputs) if around is None else around(layer, *inputs)
        return self.model.final_norm(x_BTD)

    def predicting(self, hidden: Tensor) -> Tensor:
        """Final states [..., D] as they are compared with the rows of the table."""
        return self.head(hidden)

    def forward(
        self, tokens_BT: Tensor, attention_mask: Tensor | None = None, where_BP: Tensor | None = None
    ) -> Tensor:
        """Logits [B, T, V] in float32, or [B, P, V]; see `hidden`."""
        return self.decoder(self.predicting(self.hidden(tokens_BT, where_BP, attention_mask))).float()

    def _asked(self, x_BTD: Tensor, places: Places, where_BP: Tensor) -> Asked:
        B, P = where_BP.shape
        bias = places.bias_J1TS
        if bias is not None:
            bias = bias.expand(B, -1, -1, -1).gather(2, where_BP[:, None, :, None].expand(B, 1, P, bias.shape[3]))
        return Asked(gathered(x_BTD, where_BP), places.cos_T1K[where_BP], places.sin_T1K[where_BP], bias)

    def _places(self, tokens_BT: Tensor, attention_mask: Tensor | None) -> tuple[Places, Places]:
        """For layers that attend to what is near, and for those that attend to all."""
        T, device = tokens_BT.shape[1], tokens_BT.device
        near, local_cos, local_sin, cos, sin = self._once(T, device)
        hidden = None if attention_mask is None else (attention_mask == 0)[:, None, None, :]
        if self.attention_mask_fn is not None and self.training:
            unseen = ~self.attention_mask_fn(tokens_BT)
            hidden = unseen if hidden is None else hidden | unseen
        # A recorded graph is for every length, and the bias is right for all of them.
        long = torch.compiler.is_exporting() or T > self.shape.window // 2 + 1
        limited = long and not all(map(self.shape.is_global, range(self.shape.layers)))
        if hidden is None:
            return Places(local_cos, local_sin, near if limited else None), Places(cos, sin, None)
        # A position that nothing is left for attends to itself: no number at all would spoil those of the others.
        bias_JT = torch.zeros(1, dtype=self.compute_dtype, device=device).expand(*hidden.shape[:2], T, T)
        bias = bias_JT.masked_fill(hidden & ~torch.eye(T, dtype=torch.bool, device=device), -torch.inf)
        return Places(local_cos, local_sin, bias + near if limited else bias), Places(cos, sin, bias)

    def _once(self, length: int, device: torch.device) -> tuple[Tensor, ...]:
        """The bias [1, 1, T, T] of local layers, and the rotations of both kinds, kept for the last length."""
        key = (length, device, self.compute_dtype)
        kept = self._told.get("places")
        if kept is not None and kept[0] == key:
            return kept[1]
        shape = self.shape
        with torch.inference_mode(False):  # what was scored may be trained next
            place_T = torch.arange(length, device=device)
            far_TT = (place_T[:, None] - place_T).abs() > shape.window // 2
            near = torch.zeros(1, 1, length, length, device=device).masked_fill(far_TT, -torch.inf)
            local = positions.turns(shape.head_dim, shape.local_rope_base, 0, length, device)
            globally = positions.turns(shape.head_dim, shape.rope_base, 0, length, device)
            made = tuple(x.to(self.compute_dtype) for x in (near, *local, *globally))
        self._told["places"] = (key, made)
        return made


def gathered(x_BTD: Tensor, where_BP: Tensor) -> Tensor:
    """The states [B, P, D] at places of each row. Places of a row differ, so the gradient adds up in no order."""
    B, T, D = x_BTD.shape
    rows_BP = where_BP + T * torch.arange(B, device=where_BP.device)[:, None]
    return x_BTD.reshape(B * T, D).index_select(0, rows_BP.flatten()).view(B, -1, D)
