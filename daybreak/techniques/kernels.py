"""On a CPU, the layers and the head trained by fused kernels of our own between the matrix products."""

from dataclasses import dataclass
from typing import Any, ClassVar

from daybreak.core.errors import UsageError
from daybreak.core.types import GptShape, Machine, Plan
from daybreak.engine.machine import cache_folder
from daybreak.models.fused.layer import fuse, head
from daybreak.models.fused.library import LARGEST_HEAD, LONGEST, fits, library
from daybreak.techniques import Context, Technique


@dataclass(frozen=True, kw_only=True)
class Kernels(Technique):
    """Gradients written by hand, each pass over memory made once, and the logits never kept (arXiv:2410.10989 does the
    same on GPUs). Compiled by the C compiler in about a second, where torch.compile takes half a minute.
    """

    claim: ClassVar[str] = "tokens_per_second"
    does: ClassVar[str] = "on a CPU, the layers and the head trained by fused kernels, compiled in a second"
    refuses_when: ClassVar[str] = (
        "on other devices, without a C++ compiler, where the shape leaves the stock class, and beside packing or "
        "dropout"
    )

    def unusable(self, machine: Machine) -> str | None:
        if machine.kind != "cpu":
            return f"they are written for CPUs, and this run is on {machine.kind}"
        if not machine.compiler:
            return "there is no C++ compiler on this machine (g++ or clang++)"
        return None

    def refuses(self, plan: Plan, machine: Machine) -> str | None:
        if reason := self.unusable(machine):
            return reason
        assert isinstance(plan.shape, GptShape)
        if not fits(plan.shape):
            return f"they are made for the stock class, heads up to {LARGEST_HEAD} and contexts up to {LONGEST}"
        if plan.predicted.mode != "kernels":
            return "the plan was made without them"
        return None

    def module(self, module: Any, run: Context) -> tuple[Any, int]:
        if module.seen or module.kept:
            raise UsageError(
                "the kernels have no place for what another technique changes inside the layers",
                received="kernels beside packing or dropout",
                attempt="take one of them out of plan.json",
            )
        run.kept["kernels"] = library(cache_folder() / "kernels", module.compute_dtype, run.machine.compiler)
        return module, fuse(module, run.kept["kernels"])

    def loss(self, loss: Any, run: Context) -> tuple[Any, int]:
        loss.head = head(run.kept["kernels"])
        return loss, 1
