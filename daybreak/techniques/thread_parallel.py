"""Data parallelism among the threads of one process, on a CPU (arXiv:1404.5997)."""

import copy
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from daybreak.core.types import Decisions, Machine
from daybreak.data.batches import Batch
from daybreak.engine.losses import Around, TokenLoss
from daybreak.engine.optimizers import Muon, Optimizers, Rates
from daybreak.models.gpt import Gpt
from daybreak.techniques import Context, Slot, Technique

Part = TypeVar("Part")
Made = TypeVar("Made")
THREADS = Slot["Threads"]("thread_parallel")


@dataclass(frozen=True, kw_only=True)
class ThreadParallel(Technique):
    """Data parallelism (arXiv:1404.5997) among the threads of one process.

    A small model's step is hundreds of products of a fraction of a millisecond. Shared by all threads, each of them
    waits for the slowest and is woken anew; with rows of its own a thread meets the others once a step. The gradients
    are added in the order of the rows, so a run is the same each time with the same number of threads.
    """

    claim: ClassVar[str] = "tokens_per_second"
    does: ClassVar[str] = "on a CPU, each thread trains rows and steps matrices of its own, beside the kernels"
    refuses_when: ClassVar[str] = (
        "without the kernels, with one thread, where a micro-batch is one row, and where further gradients would take "
        "a tenth of the memory"
    )
    most: int = 4  # threads with rows of their own; what is more is shared among these, for Python calls one at a time
    least_share: float = 0.75  # of the threads that must have work
    memory_share: float = 0.1  # that gradients of further threads may take

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if plan.predicted.mode != "kernels":
            return "the layers are not trained by the kernels, and torch's own threads are efficient without them"
        if machine.cores < 2:
            return "there is only one thread"
        if plan.micro_batch < 2:
            return "a micro-batch is only one row"
        count = self.count(machine.cores, plan.micro_batch)
        if count * (machine.cores // count) < self.least_share * machine.cores:
            return f"{machine.cores} threads cannot be shared out evenly"
        gradients = 4 * plan.shape.parameters() * count
        if gradients > self.memory_share * machine.memory_bytes:
            return f"the gradients of all threads would take {gradients / 2**30:.1f} GiB"
        return None

    def count(self, threads: int, rows: int) -> int:
        """Threads with rows of their own: as many as leave the fewest without work."""
        most = max(2, min(threads, rows, self.most))
        return max(range(2, most + 1), key=lambda count: (count * (threads // count), count))

    def module(self, module: Gpt, run: Context) -> tuple[Gpt, int]:
        module.make_tables(run.plan.network.context_length)  # once, before there are threads: all read the same ones
        return module, 1

    def loss(self, loss: TokenLoss[Batch], run: Context) -> tuple[TokenLoss[Batch], int]:
        count = self.count(torch.get_num_threads(), run.plan.micro_batch)
        threads = run.leave(THREADS, Threads(count))
        return Parts(loss, threads), threads.count

    def optimizer(self, optimizer: Optimizers, run: Context) -> tuple[Optimizers, int]:
        threads = run.take(THREADS)
        for index, part in enumerate(optimizer.parts):
            if isinstance(part, Muon):
                optimizer.parts[index] = MuonInParts(part, threads)
        return optimizer, threads.count


class Threads:
    """Threads of Python's, each with its part of the processor: what one calls is split among that part alone."""

    def __init__(self, count: int) -> None:
        before = torch.get_num_threads()
        own = max(1, before // count)
        self.count = count
        ready = threading.Barrier(count + 1)

        def begin() -> None:
            torch.get_num_threads()  # or torch would take the whole's number the first time that this thread computes
            torch.set_num_threads(own)
            ready.wait()

        self._pool = ThreadPoolExecutor(count, "rows", initializer=begin)
        for _ in range(count):
            self._pool.submit(int)
        ready.wait()
        # A thread's own number is also what threads that start later begin with.
        torch.set_num_threads(before)

    def map(self, work: Callable[[Part], Made], parts: Iterable[Part]) -> list[Made]:
        return list(self._pool.map(work, parts))


class Parts(Around[Batch]):
    """The loss of rows whose parts are computed at once, with their gradients."""

    def __init__(self, inside: TokenLoss[Batch], threads: Threads) -> None:
        super().__init__(inside)
        self.threads = threads

    def __call__(self, module: nn.Module, batch: Batch) -> Tensor:
        weights = [weight for weight in module.parameters() if weight.requires_grad]

        def taken(part: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
            loss = self.inside(module, part)
            return loss.detach(), torch.autograd.grad(loss, weights)

        (total, gradients), *others = self.threads.map(taken, batch.split(min(self.threads.count, len(batch))))
        for loss, further in others:
            total = total + loss
            torch._foreach_add_(gradients, further)
        return _Known.apply(total, gradients, *weights)  # type: ignore[no-any-return]


class _Known(torch.autograd.Function):
    """A loss whose gradients are at hand; backward only scales them."""

    @staticmethod
    def forward(ctx, total: Tensor, gradients: tuple[Tensor, ...], *weights: Tensor) -> Tensor:  # type: ignore[override]
        ctx.gradients = gradients
        return total.clone()

    @staticmethod
    def backward(ctx, scale: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        gradients, ctx.gradients = ctx.gradients, None  # held nowhere else, they become the weights' own uncopied
        torch._foreach_mul_(gradients, scale)
        return None, None, *gradients


class MuonInParts(Muon):
    """Each thread steps weights of its own; the state is that of the whole."""

    def __init__(self, whole: Muon, threads: Threads) -> None:
        self.__dict__.update(whole.__dict__)
        self.threads = threads
        self.shares = [_share(whole, index, threads.count) for index in range(threads.count)]

    def step(self, rates: Rates) -> None:
        self.threads.map(lambda share: share.step(rates), self.shares)


def _share(whole: Muon, index: int, count: int) -> Muon:
    """Every count-th weight of each shape."""
    share = copy.copy(whole)
    share.groups = {shape: own for shape, weights in whole.groups.items() if (own := weights[index::count])}
    share.momenta = {shape: whole.momenta[shape][index::count] for shape in share.groups}
    return share
