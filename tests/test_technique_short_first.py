"""short_first: the same tokens in shorter rows, until the progress says otherwise, also after a resume."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from daybreak.core.clock import ReplayClock, Stopwatch, TokensClock
from daybreak.core.shapes import BertShape
from daybreak.data.batches import Batch
from daybreak.engine import optimizers
from daybreak.engine.loop import Position, steps
from daybreak.engine.schedules import Schedule
from daybreak.models.fused_loss import chunked
from daybreak.tasks.next_token import NextToken
from daybreak.techniques import Context, fold
from daybreak.techniques.short_first import ShortFirst, halved

pytestmark = pytest.mark.usefixtures("one_thread")

T = 16


def rows(cursor: int, count: int) -> Batch:
    return Batch(torch.randint(64, (count, T + 1), generator=torch.Generator().manual_seed(cursor)))


def test_the_halves_of_rows_have_their_targets() -> None:
    found = halved(torch.arange(10).reshape(2, 5))
    assert found.tolist() == [[0, 1, 2], [2, 3, 4], [5, 6, 7], [7, 8, 9]]


@pytest.fixture
def training(network, plan, machine, optimizer_choice, schedule_choice) -> Any:
    def made(*, logged: list[Any] | None = None, seed: int = 0) -> Any:
        context = Context(plan=plan(), machine=machine())
        on = [("short_first", ShortFirst(until=0.5))]
        module = network(seed=seed).train()
        loss, _ = fold(on, "loss", NextToken(), context)
        followers, _ = fold(on, "step", [], context)
        optimizer = optimizers.make(optimizer_choice(), module.matrices(), module.embeddings_and_norms())
        lengths: list[tuple[int, int]] = []
        hidden = module.hidden
        module.hidden = lambda tokens: (lengths.append(tuple(tokens.shape)), hidden(tokens))[1]
        stopwatch = Stopwatch(start=0.0, now=lambda: 0.0)
        clock: Any = ReplayClock(stopwatch, logged) if logged else TokensClock(stopwatch, tokens=8 * 4 * T)
        source = SimpleNamespace(take=rows, context_length=T)
        parts = (module, loss, optimizer, Schedule(schedule_choice(), batch_rows=4), source, clock)
        run = SimpleNamespace(
            module=module, optimizer=optimizer, clock=clock, follower=followers[0], lengths=lengths, position=Position()
        )
        run.steps = lambda: steps(*parts, position=run.position, micro_batch=2, after=followers[0])
        return run

    return made


def told(step: Any) -> tuple[Any, ...]:
    return step.progress, step.nats, step.gradient_norm, step.tokens


def test_rows_are_halved_until_the_progress_of_the_step_before(training) -> None:
    run = training()
    logged = list(run.steps())
    assert len(logged) == 8 and {step.tokens for step in logged} == {4 * T * number for number in range(1, 9)}
    # Progress is 1/16, 3/16 and so on: the fifth step is the first after one beyond the half.
    assert run.lengths == [(4, T // 2)] * 10 + [(2, T)] * 6


@pytest.mark.parametrize("stop", [2, 4, 5, 6])
def test_a_resumed_run_and_a_replay_are_the_unbroken_run_to_the_last_bit(training, stop: int) -> None:
    unbroken = training()
    whole = list(unbroken.steps())
    stopped = training()
    first = list(itertools.islice(stopped.steps(), stop))
    resumed = training(seed=1)
    resumed.module.load_state_dict(stopped.module.state_dict())
    resumed.optimizer.load({name: tensor.clone() for name, tensor in stopped.optimizer.state().items()})
    resumed.position = Position(**vars(stopped.position))
    resumed.clock.resume(resumed.position.tokens)
    resumed.follower.load(*stopped.follower.state())
    assert [told(step) for step in (*first, *resumed.steps())] == [told(step) for step in whole]
    replayed = training(logged=whole)
    assert [told(step) for step in replayed.steps()] == [told(step) for step in whole]
    assert replayed.lengths == unbroken.lengths


def test_the_loss_is_that_of_the_halves_and_its_head_can_be_replaced(network, plan, machine) -> None:
    loss, _ = ShortFirst().loss(NextToken(), Context(plan=plan(), machine=machine()))
    module = network().train()
    assert torch.equal(loss(module, rows(0, 3)), NextToken()(module, Batch(halved(rows(0, 3).tokens))))
    assert loss.targets(rows(0, 3)) == 3 * T
    loss.head = chunked
    assert loss.inside.head is chunked is loss.head


def test_it_refuses_where_compiling_takes_more_than_attention(plan, machine, shape) -> None:
    assert not ShortFirst.default
    assert "cannot be halved" in (ShortFirst().refuses(plan(shape=shape(context_length=17)), machine()) or "")
    compiled = plan().predicted.replace(mode="compiled")
    assert "compiling" in (ShortFirst().refuses(plan(predicted=compiled), machine()) or "")
    assert ShortFirst().refuses(plan(shape=shape(context_length=2048), predicted=compiled), machine()) is None
    eager = plan().predicted.replace(phase_seconds={"training": 500.0, "compile": 0.0})
    assert ShortFirst().refuses(plan(predicted=eager.replace(mode="eager")), machine()) is None
    first = eager.replace(mode="kernels", compile_seconds=30.0, phase_seconds={"training": 500.0, "compile": 2.0})
    assert ShortFirst().refuses(plan(predicted=first), machine()) is None


def test_what_an_encoder_saves_is_what_its_attention_costs(plan, machine) -> None:
    """Most of its tokens never reach the head, which is no reason to think that attention costs less than nothing."""
    encoder = BertShape(vocabulary=4160, layers=2, width=192, heads=3, mlp_width=512, context_length=256)
    eager = plan().predicted.replace(mode="eager", phase_seconds={"training": 500.0, "compile": 0.0})
    assert ShortFirst().refuses(plan(shape=encoder, objective="masked_tokens", predicted=eager), machine()) is None
    slow = eager.replace(mode="compiled", compile_seconds=400.0)
    told = ShortFirst().refuses(plan(shape=encoder, objective="masked_tokens", predicted=slow), machine())
    assert told is not None and 1 < float(told.split("saves ")[1].split("%")[0]) < 50
