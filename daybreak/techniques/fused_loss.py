"""Fused linear cross-entropy: the logits are never all in memory (arXiv:2411.09009)."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from daybreak.core.types import Decisions, Machine
from daybreak.data.batches import Batch
from daybreak.engine.losses import TokenLoss
from daybreak.models.fused_loss import chunked
from daybreak.techniques import Context, Technique


@dataclass(frozen=True, kw_only=True)
class FusedLoss(Technique):
    """Gradients of the logits taken chunk by chunk while they are at hand (arXiv:2411.09009 is the same idea)."""

    claim: ClassVar[str] = "memory_bytes"
    standing: ClassVar[str] = (
        "on only where the logits are large; tests compare loss and gradients with those of the full logits"
    )
    does: ClassVar[str] = "the head and the loss chunk by chunk, no full logits in memory"
    refuses_when: ClassVar[str] = "where the logits of a micro-batch take less than 256 MiB"
    least_bytes: int = 256 * 2**20  # of float32 logits; less is not worth leaving the compiled head for

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if plan.predicted.mode == "kernels":
            return "the kernels do not keep the logits either"
        logits = 4 * plan.micro_batch * plan.network.context_length * plan.shape.vocabulary
        if logits < self.least_bytes:
            return f"the logits of a micro-batch take {logits / 2**20:.0f} MiB, which fits into memory"
        return None

    def loss(self, loss: TokenLoss[Batch], run: Context) -> tuple[TokenLoss[Batch], int]:
        # A graph would unroll the chunks. Saying so imports the compiler, a second that only its users wait for.
        compiled = run.plan.predicted.mode == "compiled"
        loss.head = torch.compiler.disable(chunked) if compiled else chunked
        return loss, 1
