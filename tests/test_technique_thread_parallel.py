"""thread_parallel: the same loss, gradients and steps as in one piece, and the same to the last bit each time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from daybreak.data.batches import Batch
from daybreak.engine import optimizers
from daybreak.engine.optimizers import Rates
from daybreak.tasks.next_token import NextToken
from daybreak.techniques import Context, fold
from daybreak.techniques.thread_parallel import Parts, ThreadParallel, Threads

pytestmark = pytest.mark.usefixtures("two_threads")


def rows(count: int = 5) -> torch.Tensor:
    return torch.randint(64, (count, 17), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def trained(network, plan, machine, optimizer_choice) -> Any:
    def made(*, apart: bool, count: int = 5) -> Any:
        context = Context(plan=plan(), machine=machine())
        on = [("thread_parallel", ThreadParallel())] if apart else []
        module = network().train()
        loss, _ = fold(on, "loss", NextToken(), context)
        optimizer = optimizers.make(
            optimizer_choice(), module.matrices(), module.embeddings_and_norms(), dtype=torch.float32
        )
        optimizer, _ = fold(on, "optimizer", optimizer, context)
        losses = []
        for _ in range(3):
            for part in rows(count).split(3):
                total = loss(module, Batch(part))
                (total / loss.targets(Batch(rows(count)))).backward()
                losses.append(total.item())
            gradients = [weight.grad.clone() for weight in module.parameters()]
            optimizer.step(Rates(learning_rate=0.1))
            optimizer.clear()
        return losses, gradients, [weight.detach() for weight in module.parameters()], optimizer.state()

    return made


@pytest.mark.parametrize("count", [1, 2, 5])
def test_parts_train_as_the_whole_does(trained, count: int) -> None:
    whole, apart = trained(apart=False, count=count), trained(apart=True, count=count)
    assert apart[0] == pytest.approx(whole[0], rel=1e-5)
    for one, other in zip([*whole[1], *whole[2]], [*apart[1], *apart[2]], strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5)
    assert whole[3].keys() == apart[3].keys()
    for name, tensor in whole[3].items():
        assert torch.allclose(tensor, apart[3][name], rtol=1e-3, atol=1e-5), name


def test_a_run_repeats_to_the_last_bit(trained) -> None:
    one, again = trained(apart=True), trained(apart=True)
    assert one[0] == again[0]
    assert all(torch.equal(a, b) for a, b in zip(one[2], again[2], strict=True))


def test_each_thread_has_its_part_of_the_processor() -> None:
    threads = Threads(2)
    assert set(threads.map(lambda _: torch.get_num_threads(), range(4))) == {1}
    assert torch.get_num_threads() == 2  # of the thread that asks, as before
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 2


@pytest.mark.parametrize(
    ("threads", "rows", "count"),
    [(2, 8, 2), (3, 8, 3), (4, 8, 4), (5, 8, 4), (6, 8, 3), (7, 8, 3), (16, 2, 2), (9, 9, 3)],
)
def test_few_threads_are_left_without_work(threads: int, rows: int, count: int, plan, machine) -> None:
    assert ThreadParallel().count(threads, rows) == count
    by_kernels = plan().predicted.replace(mode="kernels")
    assert ThreadParallel().refuses(plan(predicted=by_kernels, micro_batch=rows), machine(cores=threads)) is None


def test_what_goes_wrong_in_a_thread_is_raised(network) -> None:
    def broken(module: Any, part: torch.Tensor) -> torch.Tensor:
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        Parts(broken, Threads(2))(network(), rows())


def test_it_refuses_where_threads_are_better_shared(plan, machine) -> None:
    by_kernels = plan(predicted=plan().predicted.replace(mode="kernels"))
    assert ThreadParallel().refuses(by_kernels, machine()) is None
    assert "kernels" in (ThreadParallel().refuses(plan(), machine()) or "")
    assert "one thread" in (ThreadParallel().refuses(by_kernels, machine(cores=1)) or "")
    assert "one row" in (ThreadParallel().refuses(by_kernels.replace(micro_batch=1), machine()) or "")
    assert "GiB" in (ThreadParallel().refuses(by_kernels, machine(memory_bytes=10**5)) or "")
