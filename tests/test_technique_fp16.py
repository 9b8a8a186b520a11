"""fp16: the loss is scaled, the gradients are not, and an overflow costs a step and half the scale."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from daybreak.core.clock import Stopwatch, TokensClock
from daybreak.data.batches import Batch
from daybreak.engine import optimizers
from daybreak.engine.loop import Position, steps
from daybreak.engine.schedules import Schedule
from daybreak.models.fused_loss import chunked
from daybreak.tasks.next_token import NextToken
from daybreak.techniques import Context, fold
from daybreak.techniques.fp16 import SCALE, Fp16, Scale

pytestmark = pytest.mark.usefixtures("one_thread")

T = 16
FAST = {"float32": 1e11, "bfloat16": 1e10, "float16": 4e11}


def rows(cursor: int, count: int) -> Batch:
    return Batch(torch.randint(64, (count, T + 1), generator=torch.Generator().manual_seed(cursor)))


@pytest.fixture
def training(network, plan, machine, optimizer_choice, schedule_choice) -> Any:
    def made(technique: Fp16 | None, *, count: int = 12, position: Position | None = None) -> Any:
        context = Context(plan=plan(), machine=machine())
        on = [("fp16", technique)] if technique else []
        module, _ = fold(on, "module", network().train(), context)
        loss, _ = fold(on, "loss", NextToken(), context)
        made = optimizers.make(
            optimizer_choice(), module.matrices(), module.embeddings_and_norms(), dtype=torch.float32
        )
        optimizer, _ = fold(on, "optimizer", made, context)
        clock = TokensClock(Stopwatch(start=0.0, now=lambda: 0.0), tokens=count * 4 * T)
        position = position or Position()
        clock.resume(position.tokens)
        schedule = Schedule(schedule_choice(), batch_rows=4)
        source = SimpleNamespace(take=rows, context_length=T)
        running = steps(module, loss, optimizer, schedule, source, clock, position=position, micro_batch=2)
        parts = {"module": module, "loss": loss, "optimizer": optimizer, "steps": running, "position": position}
        return SimpleNamespace(**parts, scale=context.left(SCALE))

    return made


def test_fp16_is_for_machines_without_fast_bfloat16(plan, machine) -> None:
    assert "no faster on CPUs" in (Fp16().unusable(machine(matmul_flops=FAST)) or "")
    assert Fp16().refuses(plan(), machine(kind="cuda", matmul_flops=FAST)) is None
    assert "bfloat16 is fast" in (Fp16().unusable(machine(kind="cuda", matmul_flops={**FAST, "bfloat16": 4e11})) or "")
    assert "1.0 times" in (Fp16().unusable(machine(kind="cuda", matmul_flops={**FAST, "float16": 1e11})) or "")


def test_the_scale_halves_after_a_bad_step_and_doubles_after_good_ones() -> None:
    scale = Scale(8.0, double_after=2)
    seen = []
    for finite in (True, True, True, False, True, True):
        scale.observe(finite)
        seen.append(scale.value)
    assert seen == [8.0, 16.0, 16.0, 8.0, 8.0, 16.0]


@pytest.mark.parametrize("head", [None, chunked])
def test_the_loss_and_the_unscaled_gradients_are_those_of_float32(training, head: Any) -> None:
    half, plain = training(Fp16()), training(None)
    for run in (half, plain):
        if head:
            run.loss.head = head
        assert run.loss.targets(rows(0, 4)) == 4 * T
        (run.loss(run.module, rows(0, 4)) / (4 * T)).backward()
    table = half.module.model.embed_tokens.weight
    assert float(table.grad.norm()) == pytest.approx(
        65536 * float(plain.module.model.embed_tokens.weight.grad.norm()), rel=0.02
    )
    norms = [run.optimizer.gradient_norm() for run in (half, plain)]
    assert norms[0] == pytest.approx(norms[1], rel=0.01)
    for one, other in zip(half.module.parameters(), plain.module.parameters(), strict=True):
        assert one.dtype == one.grad.dtype == torch.float32
        torch.testing.assert_close(one.grad, other.grad, atol=0.02 * float(other.grad.abs().max()), rtol=0.05)


def test_an_overflow_is_skipped_and_the_scale_falls_until_steps_are_taken(training) -> None:
    run = training(Fp16(first_scale=2.0**30, double_after=5), count=40)
    before = [weight.detach().clone() for weight in run.module.parameters()]
    first = next(run.steps)
    assert first.skipped and not math.isfinite(first.gradient_norm) and math.isfinite(first.nats)
    assert run.scale.value == 2.0**29
    assert all(torch.equal(one, other) for one, other in zip(before, run.module.parameters(), strict=True))
    logged = list(run.steps)
    good = [step for step in logged if not step.skipped]
    assert len(good) > 20 and all(math.isfinite(step.gradient_norm) for step in good)
    assert good[-1].nats < good[0].nats + 0.1
    # After five good steps the scale is tried at twice its size, and where that overflows it falls back.
    assert any(step.skipped for step in logged[logged.index(good[0]) :]) and run.scale.value >= 2.0**8


def test_a_small_gradient_that_float16_would_lose_arrives(training) -> None:
    norms = {}
    for scale in (1.0, 2.0**16):
        run = training(Fp16(first_scale=scale))
        (run.loss(run.module, rows(0, 4)) * 1e-7).backward()
        norms[scale] = run.optimizer.gradient_norm()
    exact = training(None)
    (exact.loss(exact.module, rows(0, 4)) * 1e-7).backward()
    wanted = exact.optimizer.gradient_norm()
    assert norms[2.0**16] == pytest.approx(wanted, rel=0.02)
    assert abs(norms[1.0] - wanted) > 0.02 * wanted


def test_a_resumed_run_goes_on_with_the_scale_that_it_had(training) -> None:
    technique = Fp16(first_scale=2.0**20, double_after=3)
    whole = training(technique)
    wanted = [(step.nats, step.gradient_norm, step.skipped) for step in whole.steps]
    stopped = training(technique)
    first = [(step.nats, step.gradient_norm, step.skipped) for step in itertools.islice(stopped.steps, 5)]
    state = {name: tensor.clone() for name, tensor in stopped.optimizer.state().items()}
    resumed = training(technique, position=Position(**vars(stopped.position)))
    resumed.optimizer.load(state)
    assert (resumed.scale.value, resumed.scale.good) == (stopped.scale.value, stopped.scale.good)
    resumed.module.load_state_dict(stopped.module.state_dict())
    assert str(first + [(s.nats, s.gradient_norm, s.skipped) for s in resumed.steps]) == str(wanted)


def test_a_checkpoint_of_a_run_without_it_can_be_gone_on_with(training) -> None:
    plain, half = training(None), training(Fp16())
    list(plain.steps)
    half.optimizer.load(plain.optimizer.state())
    assert half.scale.value == 65536.0
