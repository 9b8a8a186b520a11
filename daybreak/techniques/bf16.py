"""Mixed precision in bfloat16: matrix multiplications are narrow, weights stay in float32 (arXiv:1905.12322)."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from daybreak.core.types import Machine
from daybreak.models.module import LanguageModel
from daybreak.techniques import NETWORKS, Context, Technique


@dataclass(frozen=True, kw_only=True)
class Bf16(Technique):
    """Mixed precision (arXiv:1710.03740) with bfloat16 (arXiv:1905.12322): no loss scaling is needed."""

    claim: ClassVar[str] = "tokens_per_second"
    families: ClassVar[tuple[str, ...]] = NETWORKS
    does: ClassVar[str] = "matrix products in bfloat16, weights and updates in float32"
    refuses_when: ClassVar[str] = "where products in bfloat16 are less than 1.2 times as fast as float32"
    least_gain: float = 1.2  # of the matmul rate; below it the conversions cost what the products save

    def unusable(self, machine: Machine) -> str | None:
        rates = machine.matmul_flops
        gain = rates.get("bfloat16", 0.0) / max(rates.get("float32", 0.0), 1.0)
        if "bfloat16" not in rates:
            return "this machine has no bfloat16 matrix multiplication"
        if gain < self.least_gain:
            return f"bfloat16 matrix multiplication is only {gain:.1f} times as fast as float32 on this machine"
        return None

    def module(self, module: LanguageModel, run: Context) -> tuple[LanguageModel, int]:
        module.compute_dtype = torch.bfloat16
        return module, sum(weight.ndim == 2 for weight in module.parameters())
