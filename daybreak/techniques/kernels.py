"""Fused kernels for training on a CPU: the layers, the output layer with its loss, and Muon's steps."""

from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor

from daybreak.core import cache
from daybreak.core.errors import UsageError
from daybreak.core.shapes import GptShape
from daybreak.core.types import Decisions, Machine
from daybreak.data.batches import Batch
from daybreak.engine.losses import TokenLoss
from daybreak.engine.optimizers import Muon, Optimizers, Rates, iterated, size_factor
from daybreak.models.gpt import Gpt
from daybreak.models.kernels.layer import fuse, head
from daybreak.models.kernels.library import LARGEST_HEAD, LONGEST, Library, fits, library
from daybreak.techniques import Context, Slot, Technique

LIBRARY = Slot[Library]("kernels")


@dataclass(frozen=True, kw_only=True)
class Kernels(Technique):
    """Gradients written by hand, each pass over memory made once, and the logits never kept (arXiv:2410.10989 does the
    same on GPUs). Compiled by the C compiler in about two seconds, where torch.compile takes half a minute.
    """

    claim: ClassVar[str] = "tokens_per_second"
    does: ClassVar[str] = "on a CPU, the layers, the head and Muon's steps by fused kernels, compiled in two seconds"
    refuses_when: ClassVar[str] = (
        "on other devices, without a C++ compiler, where the shape leaves the stock class, and beside packing or "
        "dropout"
    )

    def unusable(self, machine: Machine) -> str | None:
        if machine.kind != "cpu":
            return f"they are written for CPUs, and this run uses {machine.kind}"
        if not machine.compiler:
            return "there is no C++ compiler on this machine (g++ or clang++)"
        return None

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if reason := self.unusable(machine):
            return reason
        if not fits(cast(GptShape, plan.shape)):
            return f"they support the standard layer, head sizes up to {LARGEST_HEAD} and contexts up to {LONGEST}"
        if plan.predicted.mode != "kernels":
            return "the plan was made without them"
        return None

    def module(self, module: Gpt, run: Context) -> tuple[Gpt, int]:
        if module.attention_mask_fn or module.dropout_fn:
            raise UsageError(
                "the kernels cannot be combined with a technique that changes the layers",
                received="kernels together with packing or dropout",
                attempt="remove one of them from plan.json",
            )
        run.leave(LIBRARY, library(cache.folder() / "kernels", module.compute_dtype, run.machine.compiler))
        return module, fuse(module, run.take(LIBRARY))

    def optimizer(self, optimizer: Optimizers, run: Context) -> tuple[Optimizers, int]:
        kernels, places = run.take(LIBRARY), 0
        for index, part in enumerate(optimizer.parts):
            if isinstance(part, Muon) and part.dtype == kernels.dtype:
                optimizer.parts[index], places = MuonByKernels(part, kernels), places + 1
        return optimizer, places

    def loss(self, loss: TokenLoss[Batch], run: Context) -> tuple[TokenLoss[Batch], int]:
        loss.head = head(run.take(LIBRARY))
        return loss, 1


class MuonByKernels(Muon):
    """Muon with each half of its arithmetic outside the products in one pass over memory; the same state."""

    def __init__(self, plain: Muon, kernels: Library) -> None:
        self.__dict__.update(plain.__dict__)
        self.kernels = kernels

    @torch.no_grad()
    def step(self, rates: Rates) -> None:
        momentum, rate, keep = self.amounts(rates)
        # Tall weights are turned, and then stand in one stack with wide ones of the same sides.
        stacks: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for (M, N), weights in self.groups.items():
            stacks[min(M, N), max(M, N)] += zip(weights, self.momenta[M, N], strict=True)
        for sides, stack in stacks.items():
            ahead = torch.empty(len(stack), *sides, dtype=self.dtype)
            squares = torch.zeros(len(stack), torch.get_num_threads())
            for (weight, velocity), *places in zip(stack, ahead, squares, strict=True):
                assert weight.grad is not None
                turned = weight.shape != sides
                self.kernels.call("muon_momentum", weight.grad, velocity, *places, *weight.shape, momentum, turned)
            directions = iterated(ahead, squares.sum(1).sqrt(), self.choice.orthogonalize_steps)
            for (weight, _), direction in zip(stack, directions, strict=True):
                M, N = weight.shape
                turned, own_rate = weight.shape != sides, rate * size_factor((M, N))
                self.kernels.call("muon_apply", weight, direction, M, N, keep, own_rate, turned)
