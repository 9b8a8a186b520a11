"""cuda_graphs and prefetch: where they apply, and that batches stay what they were."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from daybreak.data.batches import Batch
from daybreak.models.fused_loss import chunked
from daybreak.tasks.next_token import NextToken
from daybreak.techniques import Context, fold
from daybreak.techniques.cuda_graphs import CudaGraphs
from daybreak.techniques.prefetch import Ahead, Prefetch

pytestmark = pytest.mark.usefixtures("one_thread")


def test_graphs_are_for_small_compiled_models_on_cuda(plan, machine, shape) -> None:
    cuda, one = machine(kind="cuda"), {"batch_tokens": 8 * 16}
    assert not CudaGraphs.default
    assert "need a CUDA device" in (CudaGraphs().unusable(machine()) or "")
    assert CudaGraphs().refuses(plan(**one), cuda) is None
    assert "width 1024" in (CudaGraphs().refuses(plan(shape=shape(width=1024), **one), cuda) or "")
    assert "8 micro-batches" in (CudaGraphs().refuses(plan(), cuda) or "")
    eager = plan().predicted.replace(phase_seconds={"training": 500.0, "compile": 0.0})
    assert "not compiled" in (CudaGraphs().refuses(plan(predicted=eager, **one), cuda) or "")


def test_graphs_are_asked_for_layer_by_layer_and_every_step_is_marked(
    network, plan, machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, on = Context(plan=plan(), machine=machine(kind="cuda")), [("cuda_graphs", CudaGraphs())]
    asked: list[Any] = []
    blocks = [SimpleNamespace(compile=lambda **how: asked.append(how)) for _ in range(3)]
    _, touched = fold(on, "module", SimpleNamespace(blocks=lambda: blocks), context)
    assert touched[0].places == 3 and asked == [{"dynamic": False, "mode": "reduce-overhead"}] * 3
    marked: list[int] = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: marked.append(1))
    loss, _ = fold(on, "loss", NextToken(), context)
    loss.head = chunked
    batch = Batch(torch.randint(64, (2, 17), generator=torch.Generator().manual_seed(0)))
    module = network().train()
    assert torch.equal(loss(module, batch), NextToken(chunked)(module, batch)) and len(marked) == 1
    assert loss.targets(batch) == 32 and loss.inside.head is chunked


class Source:
    """Batches that say where and how often they were made."""

    tokens, context_length = "the tokens", 1

    def __init__(self) -> None:
        self.made: list[tuple[int, int]] = []
        self.threads: set[int] = set()

    def take(self, cursor: int, rows: int) -> Batch:
        self.made.append((cursor, rows))
        self.threads.add(threading.get_ident())
        if cursor < 0:
            raise ValueError("there is no such batch")
        return Batch(torch.arange(cursor, cursor + rows)[:, None])


def test_batches_ahead_are_the_same_in_any_order() -> None:
    source = Source()
    ahead = Ahead(source, pinned=False)
    for cursor, rows in ((0, 4), (4, 4), (8, 4), (8, 1), (12, 4), (16, 2), (18, 2), (0, 4), (5, 1), (6, 1), (6, 1)):
        assert ahead.take(cursor, rows).tokens.flatten().tolist() == list(range(cursor, cursor + rows))
    assert threading.get_ident() not in source.threads and len(source.threads) == 1
    assert ahead.tokens == "the tokens"


@pytest.mark.parametrize("rows", [1, 4])
def test_what_comes_next_is_begun_before_it_is_asked_for_and_made_once(rows: int) -> None:
    """As the loop asks: a look at the first row, then the micro-batches of the step."""
    source = Source()
    ahead = Ahead(source, pinned=False)
    for step in range(5):
        cursor = step * 3 * rows
        ahead.take(cursor, 1)
        for micro in range(3):
            ahead.take(cursor + micro * rows, rows)
    ahead.take(5 * 3 * rows, rows)  # waits for all before it
    batches = [place for place in source.made if place[1] == rows]
    assert len(batches) <= 18 + (rows != 1) and len(set(batches)) == len(batches)


def test_an_error_in_the_thread_is_the_callers() -> None:
    with pytest.raises(ValueError, match="no such batch"):
        Ahead(Source(), pinned=False).take(-5, 2)


def test_prefetch_is_for_devices_beside_the_processor(plan, machine) -> None:
    assert "busy" in (Prefetch().refuses(plan(), machine()) or "")
    assert Prefetch().refuses(plan(), machine(kind="cuda")) is None
    batches, touched = fold([("prefetch", Prefetch())], "batches", Source(), Context(plan=plan(), machine=machine()))
    assert isinstance(batches, Ahead) and touched[0].places == 1
    assert batches.take(3, 2).tokens.tolist() == [[3], [4]]
