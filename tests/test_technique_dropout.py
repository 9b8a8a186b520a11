"""dropout: masks from outside the layers, only in training, and the same after a resume."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from daybreak.data.batches import Batch
from daybreak.models.gpt import Gpt
from daybreak.tasks.next_token import NextToken
from daybreak.techniques import Context, fold
from daybreak.techniques.dropout import Dropout, Masks

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS = torch.randint(64, (4, 17), generator=torch.Generator().manual_seed(0))


def with_dropout(network: Any, plan: Any, machine: Any, **settings: Any) -> tuple[Gpt, Masks]:
    context = Context(plan=plan(), machine=machine())
    on = [("dropout", Dropout(**settings))]
    module, touched = fold(on, "module", network(layers=2).train(), context)
    assert touched[0].places == 3
    followers, _ = fold(on, "step", [], context)
    return module, followers[0]


def test_dropout_is_for_runs_that_see_the_text_more_than_once(plan, machine) -> None:
    assert not Dropout.default
    assert Dropout().refuses(plan(tokens=2_000_000), machine()) is None
    assert "1.9 times" in (Dropout().refuses(plan(tokens=1_900_000), machine()) or "")


def test_masks_keep_the_mean_and_are_shared_over_positions() -> None:
    masks = Masks(0.25, 3, 0, torch.device("cpu")).drawn(torch.zeros(64, 7, 512))
    assert masks.shape == (3, 64, 1, 512)
    assert masks.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert float(masks.mean()) == pytest.approx(1.0, abs=0.01)
    assert not torch.equal(masks[0], masks[1]) and not torch.equal(masks[0, 0], masks[0, 1])
    assert (
        Masks(0.25, 3, 0, torch.device("cpu")).drawn(torch.zeros(2, 7, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16
    )


def test_dropout_changes_training_and_not_scoring(network, plan, machine) -> None:
    module, _ = with_dropout(network, plan, machine)
    plain = network(layers=2)
    assert not torch.equal(module.hidden(ROWS), plain.train().hidden(ROWS))
    assert not torch.equal(module.hidden(ROWS), module.hidden(ROWS))
    with torch.no_grad():
        assert torch.equal(module.eval().hidden(ROWS), plain.eval().hidden(ROWS))


def test_a_rate_of_nothing_is_the_plain_model(network, plan, machine) -> None:
    module, _ = with_dropout(network, plan, machine, rate=0.0)
    assert torch.equal(module.hidden(ROWS), network(layers=2).train().hidden(ROWS))


def test_what_is_dropped_of_the_embedding_gets_no_gradient(network, plan, machine) -> None:
    module, masks = with_dropout(network, plan, machine, rate=0.5)
    state = masks.generator.get_state()
    NextToken()(module, Batch(ROWS[:1])).backward()
    masks.generator.set_state(state)
    kept = masks.drawn(torch.zeros(1, 16, 64))[0, 0, 0] > 0
    gradient = module.model.embed_tokens.weight.grad[ROWS[0, :-1]]
    assert float(gradient[:, ~kept].abs().max()) == 0.0 < float(gradient[:, kept].abs().min())


def test_the_masks_go_on_where_they_were_after_a_resume(network, plan, machine) -> None:
    module, masks = with_dropout(network, plan, machine)
    first = module.hidden(ROWS)
    tensors, fact = masks.state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    second = module.hidden(ROWS)
    other, others = with_dropout(network, plan, machine)
    assert torch.equal(other.hidden(ROWS), first)
    for _ in range(3):
        other.hidden(ROWS)
    others.load(tensors, fact)
    assert torch.equal(other.hidden(ROWS), second)
