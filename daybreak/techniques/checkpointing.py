"""Activation checkpointing: activations are computed again in the backward pass (arXiv:1604.06174)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from daybreak.core.types import Decisions, Machine
from daybreak.models.gpt import Gpt
from daybreak.techniques import Context, Technique


@dataclass(frozen=True, kw_only=True)
class Checkpointing(Technique):
    """Of each layer, only what comes in is kept (arXiv:1604.06174); a third more work for the memory of the rest."""

    claim: ClassVar[str] = "memory_bytes"
    standing: ClassVar[str] = (
        "on only where training would not fit otherwise; tests compare gradients and the memory that is saved"
    )
    does: ClassVar[str] = "activations computed again in the backward pass"
    refuses_when: ClassVar[str] = "where training takes less than 70% of the memory"
    most_share: float = 0.7  # of the memory that a plan may take without it

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        share = plan.predicted.memory_bytes / max(1, machine.memory_bytes)
        if share < self.most_share:
            return f"training takes {share:.0%} of the memory, so it fits anyway"
        return None

    def module(self, module: Gpt, run: Context) -> tuple[Gpt, int]:
        module.layer_wrapper = _recomputed
        return module, len(module.blocks())


def _recomputed(layer: nn.Module, *inputs: object) -> Tensor:
    # Nothing random happens inside a layer, so there is no state of random numbers to put back.
    return checkpoint(layer, *inputs, use_reentrant=False, preserve_rng_state=False)
