"""Mixed precision in float16, with loss scaling so that small gradients do not vanish (arXiv:1710.03740)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from daybreak.core.types import Machine
from daybreak.data.batches import Batch
from daybreak.engine.losses import Around, TokenLoss
from daybreak.engine.optimizers import Optimizers
from daybreak.models.module import LanguageModel
from daybreak.techniques import Context, Slot, Technique

SCALE = Slot["Scale"]("fp16")


@dataclass(frozen=True, kw_only=True)
class Fp16(Technique):
    """Mixed precision with loss scaling (arXiv:1710.03740), for machines where bfloat16 is not fast."""

    claim: ClassVar[str] = "tokens_per_second"
    standing: ClassVar[str] = "for CUDA devices without fast bfloat16; tests compare gradients with float32"
    does: ClassVar[str] = "matrix products in float16, with a scaled loss"
    refuses_when: ClassVar[str] = (
        "on processors, where bfloat16 is fast, and where float16 is less than 1.2 times as fast as float32"
    )
    least_gain: float = 1.2  # of the matmul rate, as for bfloat16
    first_scale: float = 65536.0  # of the loss, until the first step that is not finite
    double_after: int = 2000  # good steps

    def unusable(self, machine: Machine) -> str | None:
        if machine.kind == "cpu":
            return "float16 is no faster on CPUs; where a CPU has a fast short float, it is bfloat16"
        rates = machine.matmul_flops
        plain = max(rates.get("float32", 0.0), 1.0)
        if rates.get("bfloat16", 0.0) / plain >= self.least_gain:
            return "bfloat16 is fast on this machine and needs no loss scaling"
        gain = rates.get("float16", 0.0) / plain
        if gain < self.least_gain:
            return f"float16 matrix multiplication is only {gain:.1f} times as fast as float32 on this machine"
        return None

    def module(self, module: LanguageModel, run: Context) -> tuple[LanguageModel, int]:
        module.compute_dtype = torch.float16
        return module, sum(weight.ndim == 2 for weight in module.parameters())

    def loss(self, loss: TokenLoss[Batch], run: Context) -> tuple[TokenLoss[Batch], int]:
        scale = run.leave(SCALE, Scale(self.first_scale, self.double_after))
        return ScaledLoss(loss, scale), 1

    def optimizer(self, optimizer: Optimizers, run: Context) -> tuple[Optimizers, int]:
        return Unscaling(optimizer, run.take(SCALE)), 1


class Scale:
    """The rule of torch.amp.GradScaler: half after a step that is not finite, twice after enough good ones."""

    def __init__(self, value: float, double_after: int) -> None:
        self.value, self.double_after, self.good = value, double_after, 0

    def observe(self, finite: bool) -> None:
        self.good = self.good + 1 if finite else 0
        if not finite:
            self.value *= 0.5
        elif self.good == self.double_after:
            self.value, self.good = 2 * self.value, 0


class ScaledLoss(Around[Batch]):
    """The loss as it is, with gradients that are `scale` times as large."""

    def __init__(self, inside: TokenLoss[Batch], scale: Scale) -> None:
        super().__init__(inside)
        self.scale = scale

    def __call__(self, module: nn.Module, batch: Batch) -> Tensor:
        return _ScaledGradient.apply(self.inside(module, batch), self.scale.value)


class _ScaledGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, total: Tensor, scale: float) -> Tensor:  # type: ignore[override]
        ctx.scale = scale
        return total.view_as(total)

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        return gradient * ctx.scale, None


class Unscaling(Optimizers):
    """Takes the scale out of the gradients before their norm, which decides whether the step is skipped."""

    def __init__(self, inside: Optimizers, scale: Scale) -> None:
        super().__init__(inside.parts, inside.weights)
        self.scale, self._finite = scale, True

    @property
    def overflowed(self) -> bool:
        return not self._finite and self.scale.value >= 1

    def gradient_norm(self) -> float:
        gradients = [weight.grad for weight in self.weights if weight.grad is not None]
        torch._foreach_mul_(gradients, 1 / self.scale.value)
        norm = super().gradient_norm()
        self._finite = math.isfinite(norm)
        self.scale.observe(self._finite)
        return norm

    def state(self) -> dict[str, Tensor]:
        scale = torch.tensor([self.scale.value, self.scale.good], dtype=torch.float64)
        return {**super().state(), "loss_scale": scale}

    def load(self, state: dict[str, Tensor]) -> None:
        super().load(state)
        if "loss_scale" in state:  # absent where the run began on a machine that needs none
            value, good = state["loss_scale"].tolist()
            self.scale.value, self.scale.good = value, int(good)
