"""packing: what stands before a document's border changes nothing after it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from daybreak.data.batches import Batch
from daybreak.tasks.next_token import NextToken
from daybreak.techniques import Context, fold
from daybreak.techniques.packing import Packing, within_documents

pytestmark = pytest.mark.usefixtures("one_thread")

END = 256
T = 24


def row(seed: int, *borders: int) -> torch.Tensor:
    tokens = torch.randint(END, (1, T + 1), generator=torch.Generator().manual_seed(seed))
    for border in borders:
        tokens[0, border] = END
    return tokens


@pytest.fixture(params=[T, 512], ids=["explicit", "fused"])
def packed(request: pytest.FixtureRequest, network, plan, machine, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param != T:  # the kernel that long rows and other devices have
        monkeypatch.setattr("daybreak.models.gpt.LONGEST_EXPLICIT", 0)
    module = network(vocabulary=320, context_length=T, layers=2, heads=2, key_value_heads=1).train()
    module, touched = fold([("packing", Packing())], "module", module, Context(plan=plan(), machine=machine()))
    assert touched[0].places == 2
    return module


def test_the_mask_by_hand() -> None:
    seen = within_documents(torch.tensor([[1, END, 2, 3, END]]), END)
    assert seen.shape == (1, 1, 5, 5)
    assert seen[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 0, 0, 1],
    ]


def test_tokens_of_an_earlier_document_change_nothing_in_a_later_one(packed) -> None:
    one, other = row(0, 9, 17), row(0, 9, 17)
    other[0, :9] = row(1)[0, :9]
    before, after = packed.hidden(one), packed.hidden(other)
    assert torch.equal(before[:, 9:], after[:, 9:])
    assert not torch.isclose(before[:, :9], after[:, :9]).all(-1).any()
    other = row(0, 9, 17)
    other[0, 10] = (other[0, 10] + 1) % END
    after = packed.hidden(other)
    assert torch.equal(before[:, :10], after[:, :10]) and torch.equal(before[:, 17:], after[:, 17:])
    assert not torch.isclose(before[:, 10:17], after[:, 10:17]).all(-1).any()


def test_no_gradient_crosses_a_border(packed) -> None:
    tokens = row(0, 9)
    tokens[0, :9] = torch.arange(9)  # tokens that the second document does not have
    tokens[0, 10:] = tokens[0, 10:] % 100 + 100
    packed.hidden(tokens)[0, 9:].square().sum().backward()
    gradient = packed.model.embed_tokens.weight.grad
    assert float(gradient[:9].abs().max()) == 0.0 < float(gradient[100:].abs().max())


def test_a_row_of_one_document_is_as_without(packed, network) -> None:
    plain = network(vocabulary=320, context_length=T, layers=2, heads=2, key_value_heads=1).train()
    for tokens in (row(3), row(3, 0)):
        torch.testing.assert_close(packed.hidden(tokens), plain.hidden(tokens))
    crossing = row(3, 9)
    assert not torch.allclose(NextToken()(packed, Batch(crossing)), NextToken()(plain, Batch(crossing)))
    with torch.no_grad():  # figures are those of model/, which knows no borders
        assert torch.equal(packed.eval().hidden(crossing), plain.eval().hidden(crossing))


def test_packing_refuses_long_documents(plan, machine) -> None:
    assert not Packing.default
    predicted = plan().predicted  # a million tokens in rows of 16
    assert "0.00 document borders" in (Packing().refuses(plan(), machine()) or "")
    assert Packing().refuses(plan(predicted=predicted.replace(corpus_documents=62_500)), machine()) is None
    assert "0.99" in (Packing().refuses(plan(predicted=predicted.replace(corpus_documents=62_000)), machine()) or "")
