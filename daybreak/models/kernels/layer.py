"""A GPT's layer and its head with handwritten gradients: products by torch, everything between them by the kernels.

Axes: N rows (batch times positions), D width, B batch, T positions, H heads, G groups of heads that share keys and
values, K head size, M MLP width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from daybreak.models.gpt import Gpt
from daybreak.models.kernels.library import Library
from daybreak.models.norms import NORM_EPSILON
from daybreak.models.objectives import Head

CHUNK_BYTES = 32 * 2**20  # of logits at a time


class _Kernels:
    """The kernels with their results allocated."""

    def __init__(self, library: Library) -> None:
        self.library, self.dtype = library, library.dtype

    def norm(self, x_ND: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        y, scale = torch.empty_like(x_ND), torch.empty(x_ND.shape[0])
        self.library.call("rms_forward", x_ND, gain, y, scale, *x_ND.shape, NORM_EPSILON)
        return y, scale

    def norm_backward(self, dy: Tensor, x: Tensor, gain: Tensor, scale: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the norm's input, with that of the path past it added, and of its gain."""
        dx, dgain = torch.empty_like(x), _by_thread(x.shape[1])
        self.library.call("rms_backward", dy, x, gain, scale, past, dx, dgain, *x.shape)
        return dx, dgain.sum(0)

    def transposed(self, x: Tensor) -> Tensor:
        y = x.new_empty(x.shape[1], x.shape[0])
        self.library.call("transposed", x, y, *x.shape)
        return y

    def outer(self, dy_NA: Tensor, x_NC: Tensor) -> Tensor:
        """Gradient [A, C] of the weight of a product, float32.

        A product whose first factor is stored transposed runs at half the speed: the narrower one is turned first.
        """
        if dy_NA.shape[1] <= x_NC.shape[1]:
            return torch.mm(self.transposed(dy_NA), x_NC).float()
        return self.transposed(torch.mm(self.transposed(x_NC), dy_NA)).float()

    def joined(self, *weights: Tensor) -> Tensor:
        return torch.cat([weight.to(self.dtype) for weight in weights])

    def exchanged(self, x: Tensor, B: int, H: int, T: int, K: int) -> Tensor:
        y = torch.empty_like(x)
        self.library.call("exchanged", x, y, B, H, T, K)
        return y


def _by_thread(*sizes: int) -> Tensor:
    """[threads, *sizes] of zeros: a thread adds up what is its own, and there may be fewer threads than were asked."""
    return torch.zeros(torch.get_num_threads(), *sizes)


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        kernels: _Kernels,
        heads: tuple[int, int, int],
        x_BTD: Tensor,
        cos: Tensor,
        sin: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        gain1, wq, wk, wv, q_gain, k_gain, wo, gain2, w_gate, w_up, w_down = weights
        call = kernels.library.call
        (B, T, D), (H, G, K) = x_BTD.shape, heads
        x = x_BTD.reshape(B * T, D)
        h1, scale1 = kernels.norm(x, gain1)
        w_qkv, w_o = kernels.joined(wq, wk, wv), wo.to(x.dtype)
        joint = h1 @ w_qkv.t()
        q, k, v = x.new_empty(B * G, H // G * T, K), x.new_empty(B * G, T, K), x.new_empty(B * G, T, K)
        head_scale = torch.empty(B * T, H + G)
        call(
            "heads_forward", joint, q_gain, k_gain, cos, sin, q, k, v, head_scale, B, T, H, G, K, NORM_EPSILON, K**-0.5
        )
        attended = torch.bmm(q, k.mT)
        call("softmax_forward", attended, B * H * T, T)
        y = kernels.exchanged(torch.bmm(attended, v), B, H, T, K).view(B * T, H * K)
        x2 = torch.addmm(x, y, w_o.t())
        h2, scale2 = kernels.norm(x2, gain2)
        w_in, w_out = kernels.joined(w_gate, w_up), w_down.to(x.dtype)
        gated = h2 @ w_in.t()
        a = x.new_empty(B * T, w_out.shape[1])
        call("swiglu_forward", gated, a, *a.shape)
        x3 = torch.addmm(x2, a, w_out.t())
        ctx.kernels, ctx.sizes = kernels, (B, T, D, H, G, K)
        ctx.save_for_backward(
            *(x, h1, scale1, joint, q, k, v, head_scale, attended, y, x2, h2, scale2, gated, a),
            *(w_qkv, w_o, w_in, w_out, gain1, q_gain, k_gain, gain2, cos, sin),
        )
        return x3.view(B, T, D)

    @staticmethod
    def backward(ctx: Any, dx3: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        kernels, (B, T, D, H, G, K) = ctx.kernels, ctx.sizes
        x, h1, scale1, joint, q, k, v, head_scale, attended, y, x2, h2, scale2, gated, a, *rest = ctx.saved_tensors
        w_qkv, w_o, w_in, w_out, gain1, q_gain, k_gain, gain2, cos, sin = rest
        call = kernels.library.call
        dx3 = dx3.reshape(B * T, D).contiguous()
        da, dw_out = dx3 @ w_out, kernels.outer(dx3, a)
        dgated = torch.empty_like(gated)
        call("swiglu_backward", da, gated, dgated, *a.shape)
        dh2, dw_in = dgated @ w_in, kernels.outer(dgated, h2)
        dx2, dgain2 = kernels.norm_backward(dh2, x2, gain2, scale2, dx3)
        dy, dw_o = dx2 @ w_o, kernels.outer(dx2, y)
        dy = kernels.exchanged(dy, B, T, H, K).view(B * G, H // G * T, K)
        dattended, dv = torch.bmm(dy, v.mT), torch.bmm(attended.mT, dy)
        call("softmax_backward", attended, dattended, B * H * T, T)
        dq, dk = torch.bmm(dattended, k), torch.bmm(dattended.mT, q)
        djoint, dgains = torch.empty_like(joint), _by_thread(2, K)
        call(
            "heads_backward",
            *(dq, dk, dv, joint, q_gain, k_gain, cos, sin, head_scale, djoint, dgains, B, T, H, G, K, K**-0.5),
        )
        dq_gain, dk_gain = dgains.sum(0)
        dh1, dw_qkv = djoint @ w_qkv, kernels.outer(djoint, h1)
        dx, dgain1 = kernels.norm_backward(dh1, x, gain1, scale1, dx2)
        dwq, dwk, dwv = dw_qkv.split((H * K, G * K, G * K))
        dw_gate, dw_up = dw_in.chunk(2)
        return (
            *(None, None, dx.view(B, T, D), None, None),
            *(dgain1, dwq, dwk, dwv, dq_gain, dk_gain, dw_o, dgain2, dw_gate, dw_up, dw_out),
        )


class _Head(torch.autograd.Function):
    """Summed cross-entropy in nats. The gradient is taken while the logits are at hand; backward only scales it."""

    @staticmethod
    def forward(ctx: Any, kernels: _Kernels, hidden_ND: Tensor, head_VD: Tensor, targets_N: Tensor) -> Tensor:  # type: ignore[override]
        weight = head_VD.to(hidden_ND.dtype)
        nats = torch.empty(hidden_ND.shape[0])
        dhidden, dhead = torch.empty_like(hidden_ND), torch.zeros_like(head_VD)
        rows = max(64, CHUNK_BYTES // (hidden_ND.element_size() * head_VD.shape[0]))
        for start in range(0, len(nats), rows):
            chunk, targets = hidden_ND[start : start + rows], targets_N[start : start + rows]
            gradient = chunk @ weight.t()
            kernels.library.call("cross_entropy", gradient, targets, nats[start : start + rows], *gradient.shape)
            torch.mm(gradient, weight, out=dhidden[start : start + rows])
            dhead += kernels.outer(gradient, chunk)
        ctx.save_for_backward(dhidden, dhead)
        return nats.sum()

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        dhidden, dhead = ctx.saved_tensors
        return None, dhidden * scale.to(dhidden.dtype), dhead * scale, None


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: _Kernels, x_BTD: Tensor, gain: Tensor) -> Tensor:  # type: ignore[override]
        x = x_BTD.reshape(-1, x_BTD.shape[-1])
        y, scale = kernels.norm(x, gain)
        ctx.kernels = kernels
        ctx.save_for_backward(x, gain, scale)
        return y.view(x_BTD.shape)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, gain, scale = ctx.saved_tensors
        flat = dy.reshape(x.shape).contiguous()
        dx, dgain = ctx.kernels.norm_backward(flat, x, gain, scale, torch.zeros_like(x))
        return None, dx.view(dy.shape), dgain


def fuse(module: Gpt, library: Library) -> int:
    """Has layers and the last norm trained by the kernels, and returns how many; outside training nothing changes."""
    kernels = _Kernels(library)
    for layer in module.model.layers:
        _fuse_layer(layer, kernels)
    norm: Any = module.model.norm
    plain = norm.forward

    def normed(x_BTD: Tensor) -> Tensor:
        return _Norm.apply(kernels, x_BTD, norm.weight) if module.training else plain(x_BTD)

    norm.forward = normed
    return len(module.model.layers) + 1


def _fuse_layer(layer: Any, kernels: _Kernels) -> None:
    attention, mlp, plain = layer.self_attn, layer.mlp, layer.forward
    heads = attention.heads, attention.key_value_heads, attention.head_dim
    weights = (
        layer.input_layernorm.weight,
        *(attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight),
        *(attention.q_norm.weight, attention.k_norm.weight, attention.o_proj.weight),
        layer.post_attention_layernorm.weight,
        *(mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight),
    )

    def forward(x_BTD: Tensor, cos: Tensor, sin: Tensor, cache: Any = None, *options: None) -> Tensor:
        if not layer.training:
            return plain(x_BTD, cos, sin, cache, *options)
        half = cos.shape[-1] // 2  # the second half repeats the first
        wide = (table[:, 0, :half].float().contiguous() for table in (cos, sin))
        return _Layer.apply(kernels, heads, x_BTD, *wide, *weights)

    layer.forward = forward


def head(library: Library) -> Head:
    """A head for the objective: hidden [N, D], head [V, D] and targets [N] to summed nats."""
    kernels = _Kernels(library)

    def summed(hidden_ND: Tensor, head_VD: Tensor, targets_N: Tensor, cap: float = 0.0) -> Tensor:
        assert not cap, "the kernels are made for the standard layer"
        return _Head.apply(kernels, hidden_ND, head_VD, targets_N.contiguous())

    return summed
