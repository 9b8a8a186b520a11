"""Fast decoding of the stock class, Qwen3's.

A prompt is one pass without gradients that gives the last logits only. A further token of one text is one call: of
decode.cpp on a processor with a compiler, of a CUDA graph on a GPU. A token each of many texts is one pass.
"""

import contextlib
import ctypes
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from daybreak.core.shapes import GptShape
from daybreak.models.gpt import Gpt, rotated
from daybreak.models.inference import decode_step
from daybreak.models.inference.decoder import Decoder, State
from daybreak.models.inference.gpt_rows import GptDecoder, side_by_side
from daybreak.models.inference.rows import Rows, Slots
from daybreak.models.norms import NORM_EPSILON

logger = logging.getLogger(__name__)

WEIGHTS_A_THREAD = 500_000  # of a step; fewer are read sooner than a further thread is woken


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """Weights of one layer by their names in decode.cpp: matrices in the decoder's dtype, gains in float32."""

    q: Tensor
    k: Tensor
    v: Tensor
    o: Tensor
    gate: Tensor
    up: Tensor
    down: Tensor
    attention_gain: Tensor
    q_gain: Tensor
    k_gain: Tensor
    mlp_gain: Tensor


LAYER_NAMES = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
    "attention_gain": "input_layernorm",
    "q_gain": "self_attn.q_norm",
    "k_gain": "self_attn.k_norm",
    "mlp_gain": "post_attention_layernorm",
}


class Fast:
    """The stock class in the module's compute dtype. Weights are the module's own where they have that dtype.

    library: of decode_step.py; without one, and without a GPU, a step is a pass like that of the prompt.
    """

    def __init__(self, module: Gpt, library: ctypes.CDLL | None = None) -> None:
        self.shape: GptShape = module.shape
        self.context = self.shape.context_length
        self.dtype, self.device = module.compute_dtype, module.lm_head.weight.device
        supported = self.device.type == "cpu" and self.dtype in (torch.float32, torch.bfloat16)
        self.library = library if supported else None
        with torch.no_grad():
            self._take(module)
        self._idle: list[_FastState] = []
        self._idle_rows: list[_FastRows] = []

    def _take(self, module: Gpt) -> None:
        shape = self.shape
        weights = dict(module.named_parameters())

        def matrix(name: str) -> Tensor:
            return weights[f"{name}.weight"].detach().to(self.dtype).contiguous()

        def gain(name: str) -> Tensor:
            return weights[f"{name}.weight"].detach().float().contiguous()

        self.layers = []
        for index in range(shape.layers):
            taken = {
                field: (gain if field.endswith("gain") else matrix)(f"model.layers.{index}.{name}")
                for field, name in LAYER_NAMES.items()
            }
            self.layers.append(_Layer(**taken))
        self.table = matrix("model.embed_tokens")
        self.head = self.table if shape.tied else matrix("lm_head")
        self.gain = gain("model.norm")
        frequencies = shape.rope_base ** (-torch.arange(0, shape.head_dim, 2).float() / shape.head_dim)
        angles = (torch.arange(self.context).float()[:, None] * frequencies).to(self.device)
        self.cosines, self.sines = angles.cos(), angles.sin()  # [context, K / 2]
        both = torch.cat((angles, angles), -1)[:, None]
        self.cos, self.sin = both.cos().to(self.dtype), both.sin().to(self.dtype)  # [context, 1, K]

    @contextlib.contextmanager
    def state(self) -> Iterator[State]:
        lent = self._idle.pop() if self._idle else self.new_state(self.new_caches(1)[0])
        try:
            yield lent
        finally:
            self._idle.append(lent)

    @contextlib.contextmanager
    def rows(self) -> Iterator[Rows]:
        lent = self._idle_rows.pop() if self._idle_rows else _FastRows(self)
        try:
            yield lent
        finally:
            lent.clear()
            self._idle_rows.append(lent)

    def new_state(self, caches: Tensor) -> "_FastState":
        """One text, with its keys and values in caches [L, 2, H, S, K]."""
        if self.library is not None:
            return _NativeState(self, caches, self.library)
        return _GraphState(self, caches) if self.device.type == "cuda" else _FastState(self, caches)

    def new_caches(self, rows: int) -> Tensor:
        """Keys and values of all layers [B, L, 2, H, S, K]; what is not filled is zero, so that masks can hide it."""
        size = (rows, len(self.layers), 2, self.shape.key_value_heads, self.context, self.shape.head_dim)
        return torch.zeros(size, dtype=self.dtype, device=self.device)

    def logits(self, tokens_T: Tensor, places_T: Tensor, caches: Tensor, stop: int, seen_S: Tensor | None) -> Tensor:
        """Logits [V], float32, after the last of the tokens, whose keys and values go into the caches.

        They are attended to up to `stop`; seen_S: of these, the ones that one token sees, where not all.
        """
        T, K, H, G = len(tokens_T), self.shape.head_dim, self.shape.heads, self.shape.key_value_heads
        x_TD = F.embedding(tokens_T, self.table)
        cos, sin = self.cos[places_T], self.sin[places_T]
        for layer, (keys, values) in zip(self.layers, caches, strict=True):
            h = _normed(x_TD, layer.attention_gain)
            q = rotated(_normed(F.linear(h, layer.q).view(T, H, K), layer.q_gain), cos, sin).transpose(0, 1)
            k = rotated(_normed(F.linear(h, layer.k).view(T, G, K), layer.k_gain), cos, sin).transpose(0, 1)
            keys.index_copy_(1, places_T, k)
            values.index_copy_(1, places_T, F.linear(h, layer.v).view(T, G, K).transpose(0, 1))
            y = self._attended(q, keys[:, :stop], values[:, :stop], seen_S)
            x_TD = x_TD + F.linear(y, layer.o)
            h = _normed(x_TD, layer.mlp_gain)
            x_TD = x_TD + F.linear(F.silu(F.linear(h, layer.gate)) * F.linear(h, layer.up), layer.down)
        return F.linear(_normed(x_TD[-1], self.gain), self.head).float()

    def logits_of_rows(
        self, tokens_B: Tensor, places_B: Tensor, caches: Tensor, stop: int, stepping_N: Tensor
    ) -> Tensor:
        """Logits [N, V], float32, of the rows that step, by one token of each at its place; see side_by_side."""
        B, K, H, G = len(tokens_B), self.shape.head_dim, self.shape.heads, self.shape.key_value_heads
        x_BD = F.embedding(tokens_B, self.table)
        cos, sin = self.cos[places_B], self.sin[places_B]
        seen_BS = torch.arange(stop, device=self.device) <= places_B[:, None]
        mask = seen_BS[:, None, None].expand(B, 1, H // G, stop)
        where_N = places_B[stepping_N]
        for layer, (keys, values) in zip(self.layers, caches.permute(1, 2, 0, 3, 4, 5), strict=True):
            h = _normed(x_BD, layer.attention_gain)
            q = rotated(_normed(F.linear(h, layer.q).view(B, H, K), layer.q_gain), cos, sin)
            k = rotated(_normed(F.linear(h, layer.k).view(B, G, K), layer.k_gain), cos, sin)
            keys[stepping_N, :, where_N] = k[stepping_N]
            values[stepping_N, :, where_N] = F.linear(h, layer.v).view(B, G, K)[stepping_N]
            y = F.scaled_dot_product_attention(q.view(B, G, H // G, K), keys[:, :, :stop], values[:, :, :stop], mask)
            x_BD = x_BD + F.linear(y.reshape(B, H * K), layer.o)
            h = _normed(x_BD, layer.mlp_gain)
            x_BD = x_BD + F.linear(F.silu(F.linear(h, layer.gate)) * F.linear(h, layer.up), layer.down)
        return F.linear(_normed(x_BD[stepping_N], self.gain), self.head).float()

    def _attended(self, q_HTK: Tensor, k_GSK: Tensor, v_GSK: Tensor, seen_S: Tensor | None) -> Tensor:
        """[T, H * K]. Many tokens are a prompt and begin at the first place."""
        (H, T, K), G = q_HTK.shape, k_GSK.shape[0]
        if T == 1:  # the heads of a group take the place of positions: nothing is repeated
            mask = None if seen_S is None else seen_S.expand(1, 1, H // G, -1)
            y = F.scaled_dot_product_attention(q_HTK.reshape(1, G, H // G, K), k_GSK[None], v_GSK[None], mask)
            return y.reshape(1, H * K)
        k, v = (x[None].repeat_interleave(H // G, 1) if G != H else x[None] for x in (k_GSK, v_GSK))
        y = F.scaled_dot_product_attention(q_HTK[None], k, v, is_causal=True)
        return y[0].transpose(0, 1).reshape(T, H * K)


class _FastState:
    """Steps are passes like that of the prompt."""

    def __init__(self, decoder: Fast, caches: Tensor) -> None:
        self.decoder, self.caches, self.length = decoder, caches, 0

    def begin(self, tokens: Sequence[int]) -> Tensor:
        device, self.length = self.decoder.device, len(tokens)
        places_T = torch.arange(self.length, device=device)
        return self.decoder.logits(torch.tensor(list(tokens), device=device), places_T, self.caches, self.length, None)

    def step(self, token: int) -> Tensor:
        device, place = self.decoder.device, self.length
        self.length += 1
        places_T = torch.tensor([place], device=device)
        return self.decoder.logits(torch.tensor([token], device=device), places_T, self.caches, self.length, None)


class _NativeState(_FastState):
    """Steps by decode.cpp, which reads the weights where they are."""

    def __init__(self, decoder: Fast, caches: Tensor, library: ctypes.CDLL) -> None:
        super().__init__(decoder, caches)
        shape = decoder.shape
        threads = max(1, min(torch.get_num_threads(), shape.matmul_parameters() // WEIGHTS_A_THREAD))
        heads = 2 * (shape.heads + shape.key_value_heads) * shape.head_dim
        own = threads * (shape.width + 3 * shape.head_dim + shape.context_length)
        self.scratch = torch.empty(shape.width + 2 * shape.mlp_width + heads + own)
        self.out_V = torch.empty(shape.vocabulary)
        self.layers = (decode_step.Layer * shape.layers)()
        for kept, layer, (keys, values) in zip(self.layers, decoder.layers, self.caches, strict=True):
            for field in dataclasses.fields(layer):
                setattr(kept, field.name, getattr(layer, field.name).data_ptr())
            kept.k_cache, kept.v_cache = keys.data_ptr(), values.data_ptr()
        self.model = decode_step.Model(
            layers=shape.layers,
            width=shape.width,
            heads=shape.heads,
            key_value_heads=shape.key_value_heads,
            head_dim=shape.head_dim,
            mlp_width=shape.mlp_width,
            vocabulary=shape.vocabulary,
            context=shape.context_length,
            threads=threads,
            epsilon=NORM_EPSILON,
            layer=self.layers,
            table=decoder.table.data_ptr(),
            head=decoder.head.data_ptr(),
            gain=decoder.gain.data_ptr(),
            cosines=decoder.cosines.data_ptr(),
            sines=decoder.sines.data_ptr(),
            scratch=self.scratch.data_ptr(),
        )
        self.call = library.step_float32 if decoder.dtype == torch.float32 else library.step_bfloat16

    def step(self, token: int) -> Tensor:
        # A place or a token outside would be read and written outside the memory of the tensors.
        if not (0 <= self.length < self.decoder.context and 0 <= token < self.decoder.shape.vocabulary):
            raise IndexError(f"token {token} at position {self.length}")
        self.call(self.model, token, self.length, self.out_V.data_ptr())
        self.length += 1
        return self.out_V


class _GraphState(_FastState):
    """Steps by one CUDA graph, recorded at the first: it sees the whole context, and what is not filled is masked.

    Where recording fails, steps are passes.
    """

    def __init__(self, decoder: Fast, caches: Tensor) -> None:
        super().__init__(decoder, caches)
        self.token_T = torch.zeros(1, dtype=torch.long, device=decoder.device)
        self.place_T = torch.zeros(1, dtype=torch.long, device=decoder.device)
        self.everywhere_S = torch.arange(decoder.context, device=decoder.device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.failed = False

    def step(self, token: int) -> Tensor:
        if self.failed:
            return super().step(token)
        self.token_T.fill_(token)
        self.place_T.fill_(self.length)
        if self.graph is None:
            try:
                self._record()
            except RuntimeError as error:
                logger.warning("decoding goes on without a CUDA graph: %s", error)
                self.failed = True
                return super().step(token)
        assert self.graph is not None
        self.graph.replay()
        self.length += 1
        return self.out_V

    def _pass(self) -> Tensor:
        seen_S = self.everywhere_S <= self.place_T
        return self.decoder.logits(self.token_T, self.place_T, self.caches, self.decoder.context, seen_S)

    def _record(self) -> None:
        with torch.cuda.device(self.decoder.device):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(2):  # libraries choose their kernels and take their memory before recording
                    self._pass()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.out_V = self._pass()
        self.graph = graph


class _FastRows(Slots):
    """One pass steps many rows; a row by itself steps as a single text does."""

    def __init__(self, decoder: Fast) -> None:
        super().__init__()
        self.decoder = decoder
        self.caches = decoder.new_caches(0)

    def grow(self, capacity: int) -> None:
        caches = self.decoder.new_caches(capacity)
        caches[: len(self.caches)] = self.caches
        self.caches = caches
        self.alone = self.decoder.new_state(caches[0])

    def move(self, source: int, target: int) -> None:
        stop = self.lengths[source]
        self.caches[target, ..., :stop, :] = self.caches[source, ..., :stop, :]

    def first(self, slot: int, tokens: Sequence[int]) -> Tensor:
        device, length = self.decoder.device, len(tokens)
        places_T, tokens_T = torch.arange(length, device=device), torch.tensor(list(tokens), device=device)
        return self.decoder.logits(tokens_T, places_T, self.caches[slot], length, None)

    def next(self, slots: Sequence[int], tokens: Sequence[int]) -> Tensor:
        if list(slots) == [0]:
            self.alone.length = self.lengths[0]
            return self.alone.step(tokens[0])[None]
        count, decoder = len(self.lengths), self.decoder
        stepping_N, tokens_B, places_B, stop = side_by_side(
            self.lengths, slots, tokens, decoder.context, decoder.device
        )
        return decoder.logits_of_rows(tokens_B, places_B, self.caches[:count], stop, stepping_N)


def _normed(x: Tensor, gain: Tensor) -> Tensor:
    """The root-mean-square norm over the last axis, in float32."""
    return F.rms_norm(x.float(), gain.shape, gain, NORM_EPSILON).to(x.dtype)


def is_stock(module: Gpt) -> bool:
    """Whether `Fast` computes what the module does: the stock class with plain weights."""
    plain = all(type(weight) is torch.nn.Parameter for weight in module.parameters())
    return type(module) is Gpt and plain and module.shape.native()


def prepared(module: Gpt, library: ctypes.CDLL | None = None) -> Decoder:
    """The fastest decoder for the module, whose weights must not change any more."""
    return Fast(module, library) if is_stock(module) else GptDecoder(module)
