"""Optimizers: Muon's update against a plain reference, and torch's behind the same face."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from daybreak.core.errors import UsageError
from daybreak.engine import optimizers
from daybreak.engine.changes import Change
from daybreak.engine.optimizers import POLAR_EXPRESS, AdamW, AdamWRms, Muon, Rates, make, orthogonalized, overhead

pytestmark = pytest.mark.usefixtures("one_thread")


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(64, 64), (64, 192), (192, 64), (16, 128)])
def test_singular_values_end_near_one(size: tuple[int, int], dtype: torch.dtype) -> None:
    updates = torch.stack([random(*size, seed=seed) * 10.0 ** (seed - 2) for seed in range(5)])
    result = orthogonalized(updates, 5, dtype).float()
    values = torch.linalg.svdvals(result)
    if size[0] != size[1]:  # the smallest singular value of a square random matrix can be as small as one likes
        assert values.min() > 0.6
    assert values.max() < 1.3 and values.median() > 0.8


@pytest.mark.parametrize("size", [(8, 64), (64, 8), (32, 32)])
def test_singular_vectors_stay(size: tuple[int, int]) -> None:
    updates = random(2, *size, seed=3)
    result = orthogonalized(updates, 5, torch.float32)
    for before, after in zip(updates, result, strict=True):
        u, _, vh = torch.linalg.svd(before, full_matrices=False)
        between = u.T @ after @ vh.T
        # Diagonal between the old singular vectors, and nothing outside of the space that they span.
        torch.testing.assert_close(between, torch.diag(torch.diagonal(between)), atol=1e-4, rtol=0)
        torch.testing.assert_close(u @ between @ vh, after, atol=1e-4, rtol=0)
        assert torch.diagonal(between).min() > 0


def test_small_singular_values_are_lifted() -> None:
    u, _ = torch.linalg.qr(random(64, 64))
    v, _ = torch.linalg.qr(random(64, 64, seed=1))
    spread = torch.logspace(0, -2.5, 64)
    values = torch.linalg.svdvals(orthogonalized((u * spread @ v.T)[None], 5, torch.float32))
    assert 0.6 < values.min() and values.max() < 1.3


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_every_number_of_steps_keeps_the_values_bounded(steps: int) -> None:
    values = torch.linalg.svdvals(orthogonalized(random(3, 64, 128), steps, torch.float32))
    assert values.max() < 1.6 and values.min() > 0


def test_a_gradient_of_zeros_stays_finite() -> None:
    assert torch.equal(orthogonalized(torch.zeros(1, 8, 16), 5, torch.bfloat16), torch.zeros(1, 8, 16).bfloat16())


def plain_orthogonalized(matrix: Tensor) -> Tensor:
    """The iteration for one matrix [M, N], as it is written down."""
    x = matrix.bfloat16()
    if matrix.shape[0] > matrix.shape[1]:
        x = x.T
    x = x / (x.float().norm() * 1.02 + 1e-7).bfloat16()
    for a, b, c in POLAR_EXPRESS:
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return (x.T if matrix.shape[0] > matrix.shape[1] else x).float()


def weights_with_gradients(*sizes: tuple[int, int], seed: int = 0) -> list[nn.Parameter]:
    weights = []
    for index, size in enumerate(sizes):
        weight = nn.Parameter(random(*size, seed=seed + 2 * index))
        weight.grad = random(*size, seed=seed + 2 * index + 1) * 0.01
        weights.append(weight)
    return weights


@pytest.mark.parametrize("size", [(32, 64), (64, 32), (64, 64)])
def test_muon_steps_as_the_plain_reference_does(optimizer_choice, size: tuple[int, int]) -> None:
    choice = optimizer_choice(learning_rate=0.05, weight_decay=0.2, momentum=0.9)
    (weight,) = weights_with_gradients(size)
    muon = Muon([weight], choice)
    expected, velocity = weight.detach().clone(), torch.zeros(size)
    for step in range(3):
        rates = Rates(learning_rate=1.0 - 0.3 * step, momentum=0.95, weight_decay=0.5)
        gradient = random(*size, seed=10 + step)
        weight.grad = gradient.clone()
        muon.step(rates)
        momentum, rate = 0.9 * 0.95, 0.05 * (1.0 - 0.3 * step)
        velocity = momentum * velocity + (1 - momentum) * gradient
        nesterov = momentum * velocity + (1 - momentum) * gradient
        expected = expected * (1 - rate * 0.2 * 0.5)
        expected = expected - rate * math.sqrt(max(1.0, size[0] / size[1])) * plain_orthogonalized(nesterov)
        # Rounding in bfloat16 differs by the order of products; an update's elements are about rate / 6.
        torch.testing.assert_close(weight.detach(), expected, atol=2e-3 * (step + 1), rtol=0)
        assert (weight.detach() - expected).norm() / expected.norm() < 1e-3


def test_equal_shapes_stacked_step_as_they_do_one_by_one(optimizer_choice) -> None:
    sizes = ((32, 64), (64, 32), (32, 64), (32, 64))
    together, alone = weights_with_gradients(*sizes), weights_with_gradients(*sizes)
    Muon(together, optimizer_choice()).step(Rates(learning_rate=1.0))
    for weight in alone:
        Muon([weight], optimizer_choice()).step(Rates(learning_rate=1.0))
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=5e-4, rtol=0)


def test_a_factor_is_of_the_rate_of_its_weight_alone(optimizer_choice) -> None:
    sizes = ((32, 64), (32, 64), (64, 32))
    plain, scaled = weights_with_gradients(*sizes), weights_with_gradients(*sizes)
    before = [weight.detach().clone() for weight in plain]
    choice = optimizer_choice(weight_decay=0.0)
    Muon(plain, choice).step(Rates(learning_rate=1.0))
    Muon(scaled, choice, factors={scaled[1]: 0.25}).step(Rates(learning_rate=1.0))
    for old, whole, part, factor in zip(before, plain, scaled, (1.0, 0.25, 1.0), strict=True):
        torch.testing.assert_close(part - old, factor * (whole - old), atol=1e-6, rtol=1e-5)


def test_without_weight_decay_a_gradient_of_zeros_changes_nothing(optimizer_choice) -> None:
    (weight,) = weights_with_gradients((32, 64))
    before = weight.detach().clone()
    weight.grad = torch.zeros(32, 64)
    Muon([weight], optimizer_choice(weight_decay=0.0)).step(Rates(learning_rate=1.0))
    assert torch.equal(weight, before)


def test_a_step_scaled_by_the_size_of_the_weight_by_hand() -> None:
    weight, small = nn.Parameter(torch.tensor([[3.0, -4.0], [0.0, 0.0]])), nn.Parameter(torch.zeros(2))
    part = AdamWRms([weight, small], 0.1, betas=(0.9, 0.99), epsilon=0.0, weight_decay=0.5)
    weight.grad, small.grad = torch.tensor([[1.0, -2.0], [4.0, -0.5]]), torch.tensor([8.0, -8.0])
    part.step(Rates(learning_rate=0.5))
    # The first corrected m / sqrt(v) is the gradient's sign. RMS = 5 / 2, and of zeros the least, 1e-3; the decay keeps
    # 1 - 0.1 * 0.5 * 0.5 of the weight.
    by_hand = torch.tensor([[3.0, -4.0], [0.0, 0.0]]) * 0.975 - 0.05 * 2.5 * weight.grad.sign()
    torch.testing.assert_close(weight.detach(), by_hand)
    torch.testing.assert_close(small.detach(), torch.tensor([-5e-5, 5e-5]))
    # The second: m = .9 * .1 * g + .1 * h over 1 - .9^2, v = .99 * .01 g^2 + .01 h^2 over 1 - .99^2.
    before, g, h = weight.detach().clone(), weight.grad.clone(), torch.tensor([[2.0, 1.0], [-1.0, 3.0]])
    weight.grad = h.clone()
    part.step(Rates(learning_rate=1.0, weight_decay=0.0))
    update = ((0.09 * g + 0.1 * h) / 0.19) / ((0.0099 * g**2 + 0.01 * h**2) / 0.0199).sqrt()
    torch.testing.assert_close(weight.detach(), before - 0.1 * before.square().mean().sqrt() * update)


def test_adamw_by_hand_and_without_decay_unless_told() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    part = AdamW([weight], 0.1, betas=(0.9, 0.99), epsilon=0.5)
    g, h = torch.tensor([1.0, -3.0]), torch.tensor([-2.0, 0.5])
    weight.grad = g.clone()
    part.step(Rates(learning_rate=0.5))
    # The first corrected m / (sqrt(v) + eps) is g / (|g| + eps).
    first = torch.tensor([1.0, -2.0]) - 0.05 * g / (g.abs() + 0.5)
    torch.testing.assert_close(weight.detach(), first)
    weight.grad = h.clone()
    part.step(Rates(learning_rate=1.0))
    update = ((0.09 * g + 0.1 * h) / 0.19) / (((0.0099 * g**2 + 0.01 * h**2) / 0.0199).sqrt() + 0.5)
    torch.testing.assert_close(weight.detach(), first - 0.1 * update)
    # Root mean square of a weight of 8 times 2 is 2.
    large = nn.Parameter(torch.full((2, 4), 2.0))
    large.grad = torch.full((2, 4), -3.0)
    AdamWRms([large], 0.1, betas=(0.9, 0.99), epsilon=0.0).step(Rates(learning_rate=1.0))
    torch.testing.assert_close(large.detach(), torch.full((2, 4), 2.2))


def test_the_iteration_works_on_the_smaller_side_and_leaves_what_is_almost_nothing_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shapes = []

    def iterated(x: Tensor, norms: Tensor, steps: int) -> Tensor:
        shapes.append(tuple(x.shape))
        return x

    # 1e-7 over 1.02e-7 + 1e-7, then one step of the polynomial.
    x = 1 / 2.02
    found = optimizers.iterated(torch.full((1, 1, 1), 1e-7), torch.full((1,), 1e-7), 1)
    assert float(found) == pytest.approx(2.347 * x - 1.710 * x**3 + 0.423 * x**5, rel=1e-5)
    monkeypatch.setattr(optimizers, "iterated", iterated)
    for size in ((8, 64), (64, 8)):
        assert orthogonalized(torch.zeros(2, *size), 5, torch.float32).shape == (2, *size)
    assert shapes == [(2, 8, 64), (2, 8, 64)]


def stepped(optimizer: optimizers.Optimizers, seed: int) -> None:
    for index, weight in enumerate(optimizer.weights):
        weight.grad = random(*weight.shape, seed=seed + index)
    optimizer.step(Rates(learning_rate=1.0))


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_after_a_change_of_the_weights_the_steps_are_those_of_a_beginning(optimizer_choice, name: str) -> None:
    def made() -> optimizers.Optimizers:
        matrices, gain = weights_with_gradients((4, 8), (8, 4)), nn.Parameter(torch.ones(8))
        return make(optimizer_choice(name=name), matrices, [gain], dtype=torch.float32)

    fresh = made()
    stepped(fresh, 50)
    for change, equal in ((Change.WEIGHTS, True), (Change.LOSS, False)):
        changed = made()
        stepped(changed, 10)
        changed.changed(change)
        with torch.no_grad():
            for weight, first in zip(changed.weights, made().weights, strict=True):
                weight.copy_(first)
        stepped(changed, 50)
        pairs = zip(changed.weights, fresh.weights, strict=True)
        assert all(torch.equal(one, other) for one, other in pairs) == equal, change


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_an_optimizer_goes_on_from_its_state(network, optimizer_choice, name: str) -> None:
    modules = [network(vocabulary=64), network(vocabulary=64)]
    whole, halved = (make(optimizer_choice(name=name), m.matrices(), m.embeddings_and_norms()) for m in modules)
    for optimizer in (whole, halved):
        stepped(optimizer, 0)
    state = {key: tensor.clone() for key, tensor in halved.state().items()}
    assert len(state) == sum(len(part.state()) for part in halved.parts)  # no name twice
    resumed = make(optimizer_choice(name=name), modules[1].matrices(), modules[1].embeddings_and_norms())
    resumed.load(state)
    for optimizer in (whole, resumed):
        stepped(optimizer, 100)
    for one, other in zip(modules[0].parameters(), modules[1].parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_every_weight_moves_and_a_factor_of_zero_stops_all(network, optimizer_choice, name: str) -> None:
    module = network(vocabulary=64)
    optimizer = make(optimizer_choice(name=name), module.matrices(), module.embeddings_and_norms())
    before = [weight.detach().clone() for weight in optimizer.weights]
    assert len(before) == len(list(module.parameters()))
    for factor in (0.0, 1.0):
        for index, weight in enumerate(optimizer.weights):
            weight.grad = random(*weight.shape, seed=index)
        optimizer.step(Rates(learning_rate=factor))
        moved = [not torch.equal(weight, old) for weight, old in zip(optimizer.weights, before, strict=True)]
        assert all(moved) if factor else not any(moved)
    optimizer.clear()
    assert all(weight.grad is None for weight in optimizer.weights)


def test_the_gradient_norm_is_over_all_weights(network, optimizer_choice) -> None:
    module = network()
    optimizer = make(optimizer_choice(), module.matrices(), module.embeddings_and_norms())
    for weight in optimizer.weights:
        weight.grad = torch.full_like(weight, 2.0)
    count = sum(weight.numel() for weight in module.parameters())
    assert optimizer.gradient_norm() == pytest.approx(2.0 * math.sqrt(count), rel=1e-5)
    optimizer.weights[3].grad[0, 0] = math.nan  # type: ignore[index]
    assert math.isnan(optimizer.gradient_norm()) and optimizer.overflowed is False


def test_weights_without_a_gradient_are_no_part_of_its_norm(optimizer_choice) -> None:
    (weight,) = weights_with_gradients((1, 2))
    weight.grad = torch.tensor([[3.0, 4.0]])
    assert make(optimizer_choice(), [weight], [nn.Parameter(torch.ones(2))]).gradient_norm() == 5.0


def test_rates_are_those_of_the_plan_unless_told() -> None:
    assert Rates(learning_rate=0.5) == Rates(learning_rate=0.5, momentum=1.0, weight_decay=1.0)


def parameters(device: str = "cpu") -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices, and a table and a gain."""
    sizes = ((4, 8), (8, 4), (6,))
    one, table, gain = (nn.Parameter(torch.ones(size, device=device)) for size in sizes)
    return [one], [gain, table]


@pytest.mark.parametrize(("name", "beside"), [("muon", AdamW), ("muon_rms", AdamWRms)])
def test_beside_muon_tables_and_gains_have_a_short_and_a_long_memory(optimizer_choice, name, beside) -> None:
    matrices, others = parameters()
    muon, side = make(optimizer_choice(name=name), matrices, others).parts
    assert type(muon) is Muon and type(side) is beside
    assert [tuple(weight.shape) for weight in side.weights] == [(8, 4), (6,)]
    assert (side.rate, side.betas, side.epsilon) == (0.01, (0.8, 0.95), 1e-10)
    assert getattr(side, "weight_decay", 0.0) == 0.0


def test_adamw_scaled_by_the_weights_decays_matrices_alone(optimizer_choice) -> None:
    first, second = make(optimizer_choice(name="adamw_rms"), *parameters()).parts
    assert type(first) is type(second) is AdamWRms
    assert (first.rate, first.weight_decay, first.betas, first.epsilon) == (0.02, 0.1, (0.9, 0.999), 1e-6)
    assert (second.rate, second.weight_decay, second.betas, second.epsilon) == (0.01, 0.0, (0.9, 0.999), 1e-6)


@pytest.mark.parametrize(
    ("name", "kind", "decay", "about"),
    [
        ("adamw", torch.optim.AdamW, 0.1, {"betas": (0.9, 0.95), "eps": 1e-8, "fused": True}),
        ("adam", torch.optim.Adam, 0.0, {"betas": (0.9, 0.95), "eps": 1e-8, "fused": True}),
        ("sgd", torch.optim.SGD, 0.0, {"momentum": 0.95, "nesterov": True, "fused": True}),
        ("adagrad", torch.optim.Adagrad, 0.0, {}),
    ],
)
def test_torchs_optimizers_have_the_rates_of_the_plan_and_adamw_alone_decays(
    optimizer_choice, name, kind, decay, about
) -> None:
    (part,) = make(optimizer_choice(name=name), *parameters()).parts
    groups = part.optimizer.param_groups
    assert type(part.optimizer) is kind and [group["lr"] for group in groups] == [0.02, 0.01, 0.01]
    assert [group["weight_decay"] for group in groups] == [decay, 0.0, 0.0]
    assert [[tuple(weight.shape) for weight in group["params"]] for group in groups] == [[(4, 8)], [(8, 4)], [(6,)]]
    assert {key: groups[0][key] for key in about} == about


def test_a_device_without_a_step_for_all_weights_at_once_takes_them_one_by_one(optimizer_choice) -> None:
    for device, fused in (("cpu", True), ("meta", None)):
        (part,) = make(optimizer_choice(name="adamw"), *parameters(device)).parts
        assert part.optimizer.param_groups[0]["fused"] is fused


def test_without_momentum_sgd_is_plain_and_has_no_state(optimizer_choice) -> None:
    optimizer = make(optimizer_choice(name="sgd", momentum=0.0), *parameters())
    stepped(optimizer, 0)
    assert optimizer.parts[0].optimizer.param_groups[0]["nesterov"] is False and optimizer.state() == {}
    torch.testing.assert_close(optimizer.weights[0].detach(), 1 - 0.02 * random(4, 8))


def test_of_a_state_an_optimizer_takes_what_is_its_own(optimizer_choice) -> None:
    one, other = (make(optimizer_choice(name="sgd"), *parameters()) for _ in range(2))
    stepped(one, 0)
    other.load({**one.state(), "muon.4x8": torch.zeros(1, 4, 8)})
    assert other.state().keys() == one.state().keys() == {f"sgd.{index}.momentum_buffer" for index in range(3)}


def test_a_rate_goes_back_to_its_peak_after_any_factor(optimizer_choice) -> None:
    (weight,) = weights_with_gradients((4, 8))
    gain = nn.Parameter(torch.ones(8))
    gain.grad = torch.ones(8)
    optimizer = make(optimizer_choice(name="sgd", momentum=0.5), [weight], [gain])
    optimizer.step(Rates(learning_rate=0.1))
    groups = optimizer.parts[0].optimizer.param_groups  # type: ignore[union-attr]
    assert [group["lr"] for group in groups] == pytest.approx([0.002, 0.001, 0.001])
    optimizer.step(Rates(learning_rate=1.0))
    assert [group["lr"] for group in groups] == pytest.approx([0.02, 0.01, 0.01])


def test_an_unknown_optimizer_names_the_nearest(network, optimizer_choice) -> None:
    module = network()
    with pytest.raises(UsageError, match="unknown optimizer") as error:
        make(optimizer_choice(name="moun"), module.matrices(), module.embeddings_and_norms())
    assert error.value.attempt == "did you mean 'muon'?"


def test_the_overhead_by_hand() -> None:
    # A step of 5 iterations on matrices of 768 against batches of 8 Ki tokens.
    assert overhead(768, 8192, 5) == pytest.approx(5 * 768 / 8192)
    assert overhead(768, 0, 5) == math.inf
