"""checkpointing and averaging: the same gradients in less memory, and a mean in the memory of one."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from daybreak.data.batches import Batch
from daybreak.tasks.next_token import NextToken
from daybreak.techniques import Context, fold
from daybreak.techniques.averaging import Averaging, Mean
from daybreak.techniques.checkpointing import Checkpointing
from daybreak.techniques.dropout import Dropout

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS = torch.randint(64, (4, 17), generator=torch.Generator().manual_seed(0))


def trained(on: list[Any], network: Any, plan: Any, machine: Any) -> tuple[torch.Tensor, list[Any], int]:
    """Loss, gradients, and elements that the layers keep for the backward pass."""
    module, _ = fold(on, "module", network(layers=3).train(), Context(plan=plan(), machine=machine()))
    kept: list[int] = []
    weights = {weight.data_ptr() for weight in module.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        total = NextToken()(module, Batch(ROWS))
    before = sum(kept)
    total.backward()
    return total.detach(), [weight.grad for weight in module.parameters()], before


@pytest.mark.parametrize("more", [[], [("dropout", Dropout(rate=0.5))]], ids=["alone", "with dropout"])
def test_recomputing_gives_the_same_gradients_and_keeps_little(network, plan, machine, more: list[Any]) -> None:
    plain, gradients, much = trained(more, network, plan, machine)
    again, recomputed, little = trained([*more, ("checkpointing", Checkpointing())], network, plan, machine)
    assert torch.equal(plain, again)
    for one, other in zip(gradients, recomputed, strict=True):
        assert torch.equal(one, other)
    assert little < 0.3 * much


def test_checkpointing_refuses_what_fits_anyway(plan, machine) -> None:
    assert "fits anyway" in (Checkpointing().refuses(plan(), machine()) or "")
    assert Checkpointing().refuses(plan(), machine(memory_bytes=10**8)) is None


def weighing(value: float) -> nn.Module:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, value)
    return module


def test_the_mean_takes_one_snapshot_for_each_part_of_the_end() -> None:
    mean, module = Mean(0.5, 4), weighing(0.0)
    for progress, value in (
        (0.4, 100.0),
        (0.5, 1.0),
        (0.6, 100.0),
        (0.63, 4.0),
        (0.64, 100.0),
        (0.9, 7.0),
        (0.99, 100.0),
    ):
        nn.init.constant_(module.weight, value)
        mean(module, progress)
    # Due at 0.5, 0.625, 0.75 and 0.875: nothing was there to take for the third.
    assert mean.taken == 3 and mean.weights["weight"].item() == pytest.approx((1 + 4 + 7) / 3)
    assert module.weight.item() == 100.0


def test_the_mean_comes_back_from_its_state() -> None:
    one, other, module = Mean(0.5, 10), Mean(0.5, 10), weighing(0.0)
    for step in range(20):
        nn.init.constant_(module.weight, float(step * step))
        one(module, step / 20)
        if step == 14:
            weights, counts = one.state()
            other.load({name: weight.clone() for name, weight in weights.items()}, json.loads(json.dumps(counts)))
        elif step > 14:
            other(module, step / 20)
    assert one.taken == other.taken >= 8
    assert torch.equal(one.weights["weight"], other.weights["weight"])


def test_averaging_adds_a_candidate_once_there_is_one(plan, machine) -> None:
    context, on = Context(plan=plan(), machine=machine()), [("averaging", Averaging())]
    (mean,), _ = fold(on, "step", [], context)
    candidates = {"current": {"weight": torch.ones(1)}}
    assert fold(on, "weights", candidates, context)[0] == candidates
    mean(weighing(3.0), 0.99)
    found, _ = fold(on, "weights", candidates, context)
    assert list(found) == ["current", "averaging"] and found["averaging"]["weight"].item() == 3.0
    assert Averaging().refuses(plan(), machine()) is None
    predicted = plan().predicted.replace(corpus_tokens=plan().tokens)
    assert "1.0 times" in (Averaging().refuses(plan(predicted=predicted), machine()) or "")
    assert "199 steps" in (Averaging().refuses(plan(tokens=200 * 1024 - 1), machine()) or "")
