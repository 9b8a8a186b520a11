"""torch.compile of the repeated layer and of the output layer with its loss."""

import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from daybreak.core.types import Decisions, Machine
from daybreak.data.batches import Batch
from daybreak.engine.losses import TokenLoss
from daybreak.engine.probe import compile_cache
from daybreak.models.module import LanguageModel
from daybreak.techniques import Context, Technique


@dataclass(frozen=True, kw_only=True)
class Compiled(Technique):
    """One graph for all layers (https://docs.pytorch.org/tutorials/recipes/regional_compilation.html).

    Compiling the layer instead of the model makes the price independent of the depth, at the same speed, and keeps
    the embedding's gather out of the graph, where its gradient would add up in random order.
    """

    claim: ClassVar[str] = "tokens_per_second"
    families: ClassVar[tuple[str, ...]] = ("gpt", "bert", "t5")
    standing: ClassVar[str] = (
        "each run measures it: it is on where the probe's step times say that it pays back its compile time"
    )
    does: ClassVar[str] = "the repeated layer and the head compiled by torch.compile"
    refuses_when: ClassVar[str] = (
        "without a C++ compiler or Python's headers, where compiling would not pay its own time back, or "
        "where the kernels do without it"
    )

    def unusable(self, machine: Machine) -> str | None:
        if not machine.compiler:
            return "there is no C++ compiler on this machine (g++ or clang++)"
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            return "the compiler needs Python.h (the package python3-dev)"
        return None

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if reason := self.unusable(machine):
            return reason
        predicted = plan.predicted
        if predicted.mode == "kernels":
            return (
                f"the kernels are used instead, which saves the {predicted.compile_seconds:.0f} "
                "s that compiling would take"
            )
        if predicted.mode != "compiled":
            available = predicted.phase_seconds["training"]
            return (
                f"compiling would take {predicted.compile_seconds:.0f} s of {available:.0f} s "
                f"and make steps {predicted.compiled_speedup:.2f} times as fast, which does not "
                "win that time back"
            )
        return None

    def module(self, module: LanguageModel, run: Context) -> tuple[LanguageModel, int]:
        _prepare(narrow=module.compute_dtype == torch.bfloat16)
        blocks = module.blocks()
        for block in blocks:
            block.compile(dynamic=False)
        return module, len(blocks)

    def loss(self, loss: TokenLoss[Batch], run: Context) -> tuple[TokenLoss[Batch], int]:
        loss.head = torch.compile(loss.head, dynamic=False)
        return loss, 1


def _prepare(*, narrow: bool) -> None:
    """narrow: vectors of 256 bits at most on a CPU, also where it has longer ones."""
    compile_cache()
    import torch._inductor.config as inductor

    # With 512 bits torch 2.13 compiles a backward pass of attention in bfloat16 whose gradients are other ones, or no
    # numbers; with 256 they are those of the plain module (own runs, which a test repeats).
    inductor.cpp.simdlen = 256 if narrow else None

    # Inductor builds a test program for every vector extension that the processor reports, 16 s on two cores with an
    # empty cache; the report of the processor itself is enough.
    if inductor.cpp.vec_isa_ok is None:
        inductor.cpp.vec_isa_ok = True
