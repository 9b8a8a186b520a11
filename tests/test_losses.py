"""Losses: the fused one is the plain one, in value and in gradients, without all logits at once."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from daybreak.data.batches import Batch
from daybreak.models import fused_loss
from daybreak.models.fused_loss import chunked
from daybreak.models.objectives import full_logits, token_nats
from daybreak.tasks.next_token import NextToken

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH, VOCABULARY = 16, 96


def inputs(rows: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    hidden = torch.randn(rows, WIDTH, generator=generator).to(dtype).requires_grad_()
    head = torch.randn(VOCABULARY, WIDTH, generator=generator).requires_grad_()
    return hidden, head, torch.randint(VOCABULARY, (rows,), generator=generator)


def loss_and_gradients(loss, rows: int, dtype: torch.dtype, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    hidden, head, targets = inputs(rows, dtype)
    total = loss(hidden, head, targets)
    (total * scale).backward()
    assert hidden.grad is not None and head.grad is not None
    assert hidden.grad.dtype == dtype and head.grad.dtype == torch.float32
    return total.detach(), hidden.grad, head.grad


@pytest.mark.parametrize("scale", [1.0, 1 / 300])
@pytest.mark.parametrize("rows", [1, 63, 64, 65, 128, 200])
def test_the_fused_loss_is_the_plain_one_in_value_and_gradients(
    monkeypatch: pytest.MonkeyPatch, rows: int, scale: float
) -> None:
    monkeypatch.setattr(fused_loss, "CHUNK_BYTES", 1)  # chunks of the least number of rows
    fused = loss_and_gradients(chunked, rows, torch.float32, scale)
    plain = loss_and_gradients(full_logits, rows, torch.float32, scale)
    for one, other in zip(fused, plain, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cap", [0.5, 5.0, 50.0])
def test_with_a_cap_the_fused_loss_is_the_plain_one_in_value_and_gradients(
    monkeypatch: pytest.MonkeyPatch, cap: float, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(fused_loss, "CHUNK_BYTES", 1)
    fused = loss_and_gradients(partial(chunked, cap=cap), 200, dtype, 1 / 200)
    plain = loss_and_gradients(partial(full_logits, cap=cap), 200, dtype, 1 / 200)
    uncapped = loss_and_gradients(full_logits, 200, dtype, 1 / 200)
    assert float(plain[0]) < float(uncapped[0]) - 0.1 * (cap < 50)
    assert float(fused[0]) == pytest.approx(float(plain[0]), rel=1e-5 if dtype == torch.float32 else 1e-2)
    for one, other in zip(fused[1:], plain[1:], strict=True):
        one, other = one.float(), other.float()
        assert (one - other).norm() / other.norm() < (1e-5 if dtype == torch.float32 else 2e-2)


def test_the_gradient_of_a_capped_logit_by_hand() -> None:
    hidden, head = torch.tensor([[1.0]], requires_grad=True), torch.tensor([[0.0], [2.0]])
    for loss in (full_logits, chunked):
        hidden.grad = None
        loss(hidden, head, torch.tensor([1]), 2.0).backward()
        bounded = 2 * math.tanh(1.0)
        expected = (1 / (1 + math.exp(-bounded)) - 1) * (1 - math.tanh(1.0) ** 2) * 2.0
        assert hidden.grad is not None and float(hidden.grad) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("chunk_bytes", [1, 4 * VOCABULARY * 64, 4 * VOCABULARY * 100, 8 * 2**20])
def test_the_fused_loss_does_not_depend_on_its_chunks(monkeypatch: pytest.MonkeyPatch, chunk_bytes: int) -> None:
    plain = loss_and_gradients(full_logits, 300, torch.float32)
    monkeypatch.setattr(fused_loss, "CHUNK_BYTES", chunk_bytes)
    for one, other in zip(loss_and_gradients(chunked, 300, torch.float32), plain, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-5)


def test_the_fused_loss_in_bfloat16_is_as_near_to_the_truth_as_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_loss, "CHUNK_BYTES", 1)
    fused = loss_and_gradients(chunked, 200, torch.bfloat16)
    plain = loss_and_gradients(full_logits, 200, torch.bfloat16)
    assert float(fused[0]) == pytest.approx(float(plain[0]), rel=1e-2)
    for one, other in zip(fused[1:], plain[1:], strict=True):
        assert (one.float() - other.float()).norm() / other.float().norm() < 2e-2


def test_the_fused_loss_never_holds_all_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_loss, "CHUNK_BYTES", 1)
    sizes = []

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            sizes.extend(
                t.numel() for t in (result if isinstance(result, tuple | list) else [result]) if hasattr(t, "numel")
            )
            return result

    hidden, head, targets = inputs(640)
    with Watching():
        chunked(hidden, head, targets).backward()
    assert max(sizes) <= max(64 * VOCABULARY, hidden.numel())
    with Watching():
        full_logits(hidden, head, targets)
    assert max(sizes) == 640 * VOCABULARY


def test_without_gradients_none_are_made() -> None:
    hidden, head, targets = inputs(100)
    with torch.no_grad():
        total = chunked(hidden, head, targets)
    assert not total.requires_grad
    assert float(total) == pytest.approx(float(full_logits(hidden, head, targets).detach()), rel=1e-6)


def test_one_token_by_hand() -> None:
    hidden, head = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0], [math.log(3.0), 5.0]])
    # Logits 0 and ln 3: probabilities a quarter and three quarters.
    for loss in (full_logits, chunked):
        assert float(loss(hidden, head, torch.tensor([0]))) == pytest.approx(math.log(4.0))
        assert float(loss(hidden, head, torch.tensor([1]))) == pytest.approx(math.log(4.0 / 3.0))


@pytest.mark.parametrize("cap", [0.0, 1.0])
@pytest.mark.parametrize("head", [full_logits, chunked])
def test_the_nats_of_tokens_add_up_to_the_loss(network, head, cap: float) -> None:
    module = network(logit_cap=cap).eval()
    rows = torch.randint(64, (3, 17), generator=torch.Generator().manual_seed(0))
    nats = token_nats(module, rows[:, :-1], rows[:, 1:])
    assert nats.shape == (3, 16)
    assert float(nats.sum()) == pytest.approx(float(NextToken(head)(module, Batch(rows)).detach()), rel=1e-5)
    by_hand = -F.log_softmax(module(rows[:, :-1]), -1)[1, 4, rows[1, 5]]
    assert float(nats[1, 4]) == pytest.approx(float(by_hand.detach()), rel=1e-5)


def test_every_position_but_the_first_is_a_target() -> None:
    assert NextToken().targets(Batch(torch.zeros(3, 17, dtype=torch.long))) == 48


def test_a_tied_head_gets_the_gradients_of_both_uses(network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_loss, "CHUNK_BYTES", 1)
    gradients = []
    for head in (full_logits, chunked):
        module = network(tied=True).train()
        rows = torch.randint(64, (8, 17), generator=torch.Generator().manual_seed(0))
        (NextToken(head)(module, Batch(rows)) / 128).backward()
        gradients.append([weight.grad for weight in module.parameters()])
    for plain, fused in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, fused, atol=1e-5, rtol=1e-4)
