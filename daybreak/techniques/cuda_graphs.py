"""CUDA graphs of the compiled layers, for models so small that launching kernels takes the time."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from daybreak.core.types import Decisions, Machine
from daybreak.data.batches import Batch
from daybreak.engine.losses import Around, TokenLoss
from daybreak.models.module import LanguageModel
from daybreak.techniques import Context, Technique


@dataclass(frozen=True, kw_only=True)
class CudaGraphs(Technique):
    """CUDA graphs (https://docs.pytorch.org/docs/stable/torch.compiler_cudagraph_trees.html) of the compiled layers.

    A graph gives its results in memory that its next turn writes over, gradients included, so a step has to be one
    micro-batch. Off unless asked for: the gain was not measured.
    """

    claim: ClassVar[str] = "tokens_per_second"
    standing: ClassVar[str] = "only for small compiled models on CUDA devices"
    does: ClassVar[str] = "the compiled layers launched as graphs"
    refuses_when: ClassVar[str] = (
        "without CUDA, in models wider than 768, uncompiled ones, and where a step is more than one micro-batch"
    )
    default: ClassVar[bool] = False
    most_width: int = 768  # wider layers keep the device busy by themselves

    def unusable(self, machine: Machine) -> str | None:
        return None if machine.kind == "cuda" else "CUDA graphs need a CUDA device"

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if reason := self.unusable(machine):
            return reason
        shape = plan.network
        if shape.width > self.most_width:
            return f"the model has width {shape.width}; CUDA graphs help up to {self.most_width}"
        if not plan.predicted.phase_seconds.get("compile"):
            return "the layers are not compiled in this plan"
        micro_batches = plan.batch_tokens // (plan.micro_batch * shape.context_length)
        if micro_batches > 1:
            return f"a step takes {micro_batches} micro-batches, and a graph may hold the gradients of one"
        return None

    def module(self, module: LanguageModel, run: Context) -> tuple[LanguageModel, int]:
        """Comes after `compiled`, and compiles in its place."""
        blocks = module.blocks()
        for block in blocks:
            block.compile(dynamic=False, mode="reduce-overhead")
        return module, len(blocks)

    def loss(self, loss: TokenLoss[Batch], run: Context) -> tuple[TokenLoss[Batch], int]:
        return _Marked(loss), 1


class _Marked(Around[Batch]):
    """Says where a step begins, so that the memory of the one before may be written over."""

    def __call__(self, module: nn.Module, batch: Batch) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        return self.inside(module, batch)
