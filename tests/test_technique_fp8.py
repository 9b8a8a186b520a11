"""fp8: products whose error is float8's own, forward and backward, and only where the hardware has them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from daybreak.data.batches import Batch
from daybreak.models.objectives import token_nats
from daybreak.tasks.next_token import NextToken
from daybreak.techniques import Context
from daybreak.techniques.fp8 import Fp8, product, quantized

pytestmark = pytest.mark.usefixtures("one_thread")


def works() -> bool:
    try:
        product(torch.randn(16, 16, requires_grad=True), torch.randn(16, 16, requires_grad=True)).sum().backward()
        return True
    except (RuntimeError, AttributeError):
        return False


needs_float8 = pytest.mark.skipif(not works(), reason="this torch has no float8 products for the processor")


def drawn(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.float() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("dtype", "bits"), [(torch.float8_e4m3fn, 3), (torch.float8_e5m2, 2)])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e5])
def test_rounding_is_relative_whatever_the_size(dtype: torch.dtype, bits: int, size: float) -> None:
    x = drawn(64, 64) * size
    short, scale = quantized(x, dtype)
    assert short.dtype == dtype
    assert float(short.float().abs().max()) == torch.finfo(dtype).max
    whole = short.float() * scale
    large = x.abs() > x.abs().max() / 64  # not among the subnormals
    assert float(((whole - x) / x)[large].abs().max()) <= 2.0 ** -(bits + 1) * 1.001


def test_what_is_not_finite_stays_so_and_zeros_stay_zeros() -> None:
    x = drawn(4, 4)
    x[1, 2] = torch.inf
    short, scale = quantized(x, torch.float8_e4m3fn)
    assert not torch.isfinite(short.float() * scale).all()
    short, scale = quantized(torch.zeros(4, 4), torch.float8_e5m2)
    assert torch.equal(short.float() * scale, torch.zeros(4, 4))


@needs_float8
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_and_its_gradients_are_as_near_as_float8_can_be(dtype: torch.dtype) -> None:
    x, weight, above = drawn(2, 32, 64), drawn(48, 64, seed=1), drawn(2, 32, 48, seed=2)
    results = []
    for multiply, kind in ((F.linear, torch.float32), (product, dtype)):
        inputs = [tensor.clone().to(kind).requires_grad_() for tensor in (x, weight)]
        y = multiply(*inputs)
        assert y.dtype == kind
        y.backward(above.to(kind))
        results.append((y.detach(), inputs[0].grad, inputs[1].grad))
    for index, most in ((0, 0.06), (1, 0.10), (2, 0.10)):
        found = error(results[1][index], results[0][index])
        assert 0.005 < found < most, (index, found)  # as coarse as float8, and no coarser


@needs_float8
def test_a_model_learns_the_same_gradients_but_for_rounding(network, plan, machine) -> None:
    rows = torch.randint(64, (4, 17), generator=torch.Generator().manual_seed(0))
    found: list[Any] = []
    for on in (False, True):
        module = network(layers=2).train()
        if on:
            module, places = Fp8().module(module, Context(plan=plan(), machine=machine()))
            assert places == 2 * 9  # attention and MLP, and the seven linear layers in them
        total = NextToken()(module, Batch(rows))
        total.backward()
        found.append((float(total.detach()), {name: w.grad for name, w in module.named_parameters()}, module))
    (plain, gradients, _), (short, short_gradients, module) = found
    assert plain != short == pytest.approx(plain, rel=0.03)
    assert all(weight.dtype == torch.float32 for weight in module.parameters())
    for name, gradient in gradients.items():
        assert error(short_gradients[name], gradient) < 0.5, name
    # Scores are those of model/, which is read without the technique.
    scores = [token_nats(found[i][2].eval(), rows[:, :-1], rows[:, 1:]) for i in (0, 1)]
    assert torch.equal(*scores)


@needs_float8
def test_rows_that_float8_cannot_take_are_multiplied_as_they_are() -> None:
    x, weight = drawn(5, 64), drawn(48, 64, seed=1).requires_grad_()
    assert torch.equal(product(x, weight), F.linear(x, weight))
    gate = drawn(4, 12, seed=1).requires_grad_()
    assert torch.equal(product(drawn(16, 12), gate), F.linear(drawn(16, 12), gate))
    with torch.no_grad():
        assert torch.equal(product(drawn(16, 64), weight), F.linear(drawn(16, 64), weight))


def test_fp8_refuses_without_the_hardware_narrow_models_and_uneven_sides(plan, machine, shape) -> None:
    hopper = machine(kind="cuda", fast_dtypes=("float32", "bfloat16", "float8_e4m3fn"))
    wide = shape(width=1024, heads=16, key_value_heads=16, head_dim=64, mlp_width=2816, context_length=512)
    assert "no float8" in (Fp8().unusable(machine()) or "")
    assert "no float8" in (Fp8().refuses(plan(shape=wide), machine(kind="cuda")) or "")
    assert "width 64" in (Fp8().refuses(plan(), hopper) or "")
    assert Fp8().refuses(plan(shape=wide), hopper) is None
    assert "2730" in (Fp8().refuses(plan(shape=wide.replace(mlp_width=2730)), hopper) or "")
    assert not Fp8.default
