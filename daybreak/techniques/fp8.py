"""Float8 matrix multiplications in wide layers: e4m3 forward, e5m2 for gradients (arXiv:2209.05433)."""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from daybreak.core.shapes import GptShape
from daybreak.core.types import Decisions, Machine
from daybreak.models.module import LanguageModel
from daybreak.techniques import Context, Technique

MULTIPLE = 16  # of every side of a product, which the hardware asks for


@dataclass(frozen=True, kw_only=True)
class Fp8(Technique):
    """Float8 with one scale a tensor, taken anew for every product (arXiv:2209.05433); weights stay in float32.

    Not by torchao: it replaces nn.Linear modules, and here several weights are joined into one product, which it would
    not see. Off unless asked for: at equal quality the gain is small, and only wide models have any.
    """

    claim: ClassVar[str] = "tokens_per_second"
    standing: ClassVar[str] = "only for wide models on devices with float8"
    does: ClassVar[str] = "the layers' products in float8"
    refuses_when: ClassVar[str] = (
        "without float8 hardware, in models narrower than 1,024, and where a side is not a multiple of 16"
    )
    default: ClassVar[bool] = False
    least_width: int = 1024  # below it, finding the scales takes what the products save

    def unusable(self, machine: Machine) -> str | None:
        if "float8_e4m3fn" not in machine.fast_dtypes:
            return "this machine has no float8 matrix multiplication (compute capability 8.9 or newer)"
        return None

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if reason := self.unusable(machine):
            return reason
        shape = cast(GptShape, plan.shape)
        if shape.width < self.least_width:
            return f"the model has width {shape.width}; float8 is faster from {self.least_width} on"
        inner = (shape.heads * shape.head_dim, shape.key_value_heads * shape.head_dim, shape.mlp_width)
        sides = (shape.width, *inner, plan.micro_batch * shape.context_length)
        if uneven := [side for side in sides if side % MULTIPLE]:
            return f"float8 matrix multiplication needs sides that are multiples of {MULTIPLE}, not {uneven[0]}"
        return None

    def module(self, module: LanguageModel, run: Context) -> tuple[LanguageModel, int]:
        parts = [part for block in module.blocks() for part in block.modules() if hasattr(part, "product")]
        for part in parts:
            part.product = product  # type: ignore[assignment]  # a plain attribute of these modules
        return module, len(parts)


def product(x: Tensor, weight_MK: Tensor) -> Tensor:
    """x [..., K] times the transposed weight, in x's dtype; in float8 while training, and as it is while scoring."""
    rows = x.numel() // x.shape[-1]
    # A gate of few heads is too narrow for it.
    if not torch.is_grad_enabled() or any(side % MULTIPLE for side in (rows, *weight_MK.shape)):
        return F.linear(x, weight_MK)
    return _Float8Product.apply(x.reshape(rows, -1), weight_MK).view(*x.shape[:-1], -1)


def quantized(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """x in float8, with its largest value at the end of the range, and the factor [] that takes it back."""
    most = torch.finfo(dtype).max
    scale = x.abs().amax().float().clamp(min=1e-12) / most
    # Float8 has no room for what rounding pushes over its end. What is not finite stays so, and the step is skipped.
    return (x.float() / scale).clamp(-most, most).to(dtype), scale


class _Float8Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x_NK: Tensor, weight_MK: Tensor) -> Tensor:  # type: ignore[override]
        x, x_scale = quantized(x_NK, torch.float8_e4m3fn)
        weight, weight_scale = quantized(weight_MK, torch.float8_e4m3fn)
        ctx.save_for_backward(x, x_scale, weight, weight_scale)
        # Adding up faster and less exactly is good enough for activations, not for gradients.
        return _scaled(x, weight.t(), x_scale, weight_scale, x_NK.dtype, fast=True)

    @staticmethod
    def backward(ctx, gradient_NM: Tensor):  # type: ignore[override]
        x, x_scale, weight, weight_scale = ctx.saved_tensors
        gradient, scale = quantized(gradient_NM, torch.float8_e5m2)
        dtype = gradient_NM.dtype
        to_x = _scaled(gradient, _by_columns(weight), scale, weight_scale, dtype, fast=False)
        to_weight = _scaled(gradient.t().contiguous(), _by_columns(x), scale, x_scale, dtype, fast=False)
        return to_x, to_weight


def _by_columns(x: Tensor) -> Tensor:
    """The same matrix with its columns one after the other in memory, as the second factor has to be."""
    return x.t().contiguous().t()


def _scaled(a: Tensor, b: Tensor, a_scale: Tensor, b_scale: Tensor, dtype: torch.dtype, *, fast: bool) -> Tensor:
    return torch._scaled_mm(a, b, scale_a=a_scale, scale_b=b_scale, out_dtype=dtype, use_fast_accum=fast)
