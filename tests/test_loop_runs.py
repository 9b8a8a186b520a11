"""The loop: the same numbers however a batch is split, and however often a run is stopped."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from daybreak.core.clock import ReplayClock, Stopwatch, TokensClock
from daybreak.core.records import Step
from daybreak.data.batches import Batch
from daybreak.engine import checkpoints, optimizers
from daybreak.engine.guard import TrainingDiverged
from daybreak.engine.loop import Position, steps
from daybreak.engine.optimizers import Optimizers
from daybreak.engine.schedules import Schedule
from daybreak.models.gpt import Gpt
from daybreak.tasks.next_token import NextToken

pytestmark = pytest.mark.usefixtures("one_thread")

CONTEXT = 16
SPLITS = "a batch cut into 1, 2 or 8 parts has the same loss and gradients to 1e-6: even rows, and uneven with masks"


def batches(vocabulary: int = 64) -> Any:
    """Row i of the run is random and the same in every call."""

    def take(cursor: int, rows: int) -> Batch:
        drawn = [
            torch.randint(vocabulary, (CONTEXT + 1,), generator=torch.Generator().manual_seed(cursor + row))
            for row in range(rows)
        ]
        return Batch(torch.stack(drawn))

    return SimpleNamespace(take=take, context_length=CONTEXT)


def tokens_clock(rows: int, count: int) -> TokensClock:
    return TokensClock(Stopwatch(start=0.0, now=lambda: 0.0), tokens=rows * CONTEXT * count)


def training(
    module: Gpt,
    optimizer_choice: Any,
    schedule_choice: Any,
    *,
    rows: int = 8,
    count: int = 8,
    share: Callable[[float], float] | None = None,
) -> Any:
    """The parts of a tiny run."""
    schedule = Schedule(schedule_choice, batch_rows=rows)
    if share:
        schedule.batch_share = share
    return SimpleNamespace(
        module=module.train(),
        loss=NextToken(),
        optimizer=optimizers.make(
            # In bfloat16, products of differently split batches would round to other weights on some processors.
            optimizer_choice,
            module.matrices(),
            module.embeddings_and_norms(),
            dtype=torch.float32,
        ),
        schedule=schedule,
        batches=batches(module.shape.vocabulary),
        clock=tokens_clock(rows, count),
        position=Position(),
    )


def taken(run: Any, micro_batch: int = 4, after: Callable[[Any, float], None] | None = None) -> Iterator[Step]:
    parts = (run.module, run.loss, run.optimizer, run.schedule, run.batches, run.clock)
    return steps(*parts, position=run.position, micro_batch=micro_batch, after=after)


def save(run: Any, folder: Path) -> None:
    tensors = {f"weights.{name}": weight for name, weight in run.module.named_parameters()}
    tensors |= {f"optimizer.{name}": tensor for name, tensor in run.optimizer.state().items()}
    facts = {"position": vars(run.position), "schedule": run.schedule.state()}
    checkpoints.save(folder, run.position.step, tensors, facts)


def resume(run: Any, folder: Path) -> None:
    tensors, facts, warnings = checkpoints.newest(folder)
    assert not warnings
    with torch.no_grad():
        for name, weight in run.module.named_parameters():
            weight.copy_(tensors[f"weights.{name}"])
    prefix = "optimizer."
    run.optimizer.load({name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)})
    run.schedule.load(facts["schedule"])
    run.position = Position(**facts["position"])
    run.clock.resume(run.position.tokens)


def weights_of(module: Gpt) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def reproducible(step: Step) -> tuple[Any, ...]:
    return (step.step, step.progress, step.micro_batch, step.accumulation, step.skipped, step.nats, step.gradient_norm)


# One step


class Uneven(NextToken):
    """Row after row, fewer targets count, and attention stays within documents of as many tokens."""

    def __init__(self) -> None:
        super().__init__(labels=self.counted)

    @staticmethod
    def counted(rows: Tensor) -> Tensor:
        kept = 1 + rows[:, :1] % CONTEXT  # of each row, as its first token says
        return rows[:, 1:].masked_fill(torch.arange(CONTEXT) >= kept, -100)

    def targets(self, batch: Batch) -> int:
        return int((self.counted(batch.tokens) != -100).sum())

    @staticmethod
    def seen(tokens_BT: Tensor) -> Tensor:
        places = torch.arange(CONTEXT)
        document = places // (1 + tokens_BT[:, :1] % CONTEXT)
        return ((document[:, :, None] == document[:, None]) & (places[:, None] >= places)).unsqueeze(1)


@pytest.mark.promise(SPLITS, 3)
def test_rows_of_uneven_lengths_and_masks_give_the_same_however_they_are_split(network, schedule_choice) -> None:
    assert len({Uneven().targets(batches().take(row, 1)) for row in range(8)}) > 3
    module = network().train()
    module.attention_mask_fn = Uneven.seen
    check_splits(lambda: copy.deepcopy(module), Uneven(), schedule_choice)


@pytest.mark.promise(SPLITS, 3)
def test_a_batch_gives_the_same_loss_and_gradient_however_it_is_split(network, schedule_choice) -> None:
    check_splits(lambda: network().train(), NextToken(), schedule_choice)


def check_splits(made: Callable[[], Gpt], loss: NextToken, schedule_choice: Any) -> None:
    whole = batches().take(0, 8)
    count = loss.targets(whole)
    found = {}
    for micro in (8, 4, 1):
        module = made()
        weights = list(module.parameters())
        seen: list[Tensor] = []
        recorder = SimpleNamespace(
            step=lambda rates, weights=weights, seen=seen: seen.extend(weight.grad.clone() for weight in weights)
        )
        running = steps(
            module,
            loss,
            Optimizers([recorder], weights),  # type: ignore[list-item]
            Schedule(schedule_choice(), batch_rows=8),
            batches(),
            tokens_clock(8, 1),
            position=Position(),
            micro_batch=micro,
        )
        step = next(running)
        assert (step.micro_batch, step.accumulation, step.tokens) == (micro, 8 // micro, 8 * CONTEXT)
        found[micro] = (step.nats, step.gradient_norm, seen)
    by_hand = float(loss(made(), whole).detach()) / count
    for nats, norm, gradients in found.values():
        assert nats == pytest.approx(by_hand, abs=1e-6)
        assert norm == pytest.approx(found[8][1], rel=1e-5)
        for one, whole in zip(gradients, found[8][2], strict=True):
            torch.testing.assert_close(one, whole, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_or_gradient_that_is_not_finite_skips_the_step(
    network, optimizer_choice, schedule_choice, broken: float, where: str
) -> None:
    run = training(network(), optimizer_choice(), schedule_choice(), rows=4, count=3)
    calls = []
    plain = NextToken()

    def loss(module: Any, batch: Batch) -> Tensor:
        calls.append(1)
        total = plain(module, batch)
        if len(calls) != 2:
            return total
        if where == "loss":
            return total * broken
        total.register_hook(lambda gradient: gradient * broken)
        return total

    loss.targets = plain.targets  # type: ignore[attr-defined]
    followed: list[float] = []
    run.loss = loss
    running = taken(run, after=lambda module, progress: followed.append(progress))
    assert not next(running).skipped
    before, state = weights_of(run.module), {n: t.clone() for n, t in run.optimizer.state().items()}
    second = next(running)
    assert second.skipped and second.step == 2 and run.position.step == 2
    assert equal(before, weights_of(run.module)) and equal(state, run.optimizer.state())
    third = next(running)
    assert not third.skipped and not equal(before, weights_of(run.module))
    assert run.position.tokens == 3 * 4 * CONTEXT and run.position.cursor == 12 and len(followed) == 2


def test_a_step_reads_the_rows_after_those_of_the_step_before(network, optimizer_choice, schedule_choice) -> None:
    run = training(network(), optimizer_choice(), schedule_choice(), rows=8, count=3)
    read = []
    source = batches()
    taking = lambda cursor, rows: (read.append((cursor, rows)), source.take(cursor, rows))[1]  # noqa: E731
    watched = SimpleNamespace(take=taking, context_length=CONTEXT)
    run.batches = watched
    assert len(list(taken(run))) == 3
    assert [place for place in read if place[1] == 4] == [(cursor, 4) for cursor in range(0, 24, 4)]


# Whole runs


def test_a_run_by_tokens_is_the_same_twice_to_the_last_bit(
    network, optimizer_choice, schedule_choice, two_threads
) -> None:
    results = []
    for _ in range(2):
        run = training(network(), optimizer_choice(), schedule_choice(warmup=0.2))
        logged = [reproducible(step) for step in taken(run)]
        results.append((logged, weights_of(run.module)))
    assert len(results[0][0]) == 8
    assert results[0][0] == results[1][0] and equal(results[0][1], results[1][1])


def test_a_run_gets_better(network, optimizer_choice, schedule_choice) -> None:
    run = training(network(vocabulary=64), optimizer_choice(), schedule_choice(), count=20)
    row = batches().take(0, 8).tokens
    run.batches = SimpleNamespace(take=lambda cursor, rows: Batch(row[:rows]), context_length=CONTEXT)
    logged = list(taken(run, 8))
    assert logged[-1].nats < 0.7 * logged[0].nats


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", optimizers.NAMES)
def test_a_run_that_is_stopped_and_resumed_is_the_unbroken_one_to_the_last_bit(
    network, optimizer_choice, schedule_choice, tmp_path: Path, name: str, tied: bool
) -> None:
    choices = optimizer_choice(name=name), schedule_choice(name="plateau", floor=0.01)
    unbroken = training(network(tied=tied), *choices)
    whole = [reproducible(step) for step in taken(unbroken)]

    stopped = training(network(tied=tied), *choices)
    first = [reproducible(step) for step in itertools.islice(taken(stopped), 4)]
    save(stopped, tmp_path)

    resumed = training(network(tied=tied, seed=1), *choices)
    resume(resumed, tmp_path)
    assert first + [reproducible(step) for step in taken(resumed)] == whole
    assert equal(weights_of(resumed.module), weights_of(unbroken.module))
    assert equal(resumed.optimizer.state(), unbroken.optimizer.state())
    assert resumed.schedule.state() == unbroken.schedule.state()


def ramp(progress: float) -> float:
    return 0.25 if progress < 0.2 else 0.5 if progress < 0.5 else 1.0


def test_a_run_by_tokens_with_a_batch_ramp_takes_exactly_its_tokens(network, optimizer_choice, schedule_choice) -> None:
    run = training(network(), optimizer_choice(), schedule_choice(), rows=8, count=8, share=ramp)
    logged = list(taken(run, 2))
    counted = run.clock._done
    assert run.position.tokens == counted == logged[-1].tokens, "the clock counted other targets than were taken"


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_run_with_a_batch_ramp_resumes_as_the_unbroken_one(
    network, optimizer_choice, schedule_choice, tmp_path: Path, stop: int
) -> None:
    def made() -> Any:
        return training(network(), optimizer_choice(), schedule_choice(), rows=8, count=6, share=ramp)

    whole = [reproducible(step) for step in taken(made(), 2)]
    stopped = made()
    first = [reproducible(step) for step in itertools.islice(taken(stopped, 2), stop)]
    save(stopped, tmp_path)
    resumed = made()
    resume(resumed, tmp_path)
    assert first + [reproducible(step) for step in taken(resumed, 2)] == whole


def test_the_rows_of_a_ramp_go_by_the_progress(network, optimizer_choice, schedule_choice) -> None:
    schedule = Schedule(schedule_choice(), batch_rows=16)
    assert schedule.rows(0.0) == schedule.rows(1.0) == 16
    schedule.batch_share = ramp
    assert [schedule.rows(progress) for progress in (0.0, 0.19, 0.2, 0.49, 0.5, 1.0)] == [4, 4, 8, 8, 16, 16]
    run = training(network(), optimizer_choice(), schedule_choice(), rows=8, count=8, share=ramp)
    before = 0.0
    for step in taken(run, 2):
        assert run.schedule.rows(before) <= step.micro_batch * step.accumulation <= run.schedule.rows(step.progress)
        before = step.progress


def test_a_log_repeats_its_run_to_the_last_bit(network, optimizer_choice, schedule_choice) -> None:
    first = training(network(), optimizer_choice(), schedule_choice(warmup=0.2), share=ramp)
    logged = list(taken(first, 2))
    again = training(network(), optimizer_choice(), schedule_choice(warmup=0.2), share=ramp)
    again.clock = ReplayClock(Stopwatch(start=0.0, now=lambda: 0.0), logged)
    # Another micro-batch is asked for; what the log says counts.
    assert [reproducible(step) for step in taken(again, 8)] == [reproducible(step) for step in logged]
    assert equal(weights_of(again.module), weights_of(first.module))


# What goes wrong


@pytest.mark.promise("where the memory ends in a step, the same batch is taken in smaller parts with the same loss", 1)
@pytest.mark.parametrize("point", ["step.forward", "step.backward"])
@pytest.mark.parametrize("turn", [2, *(pytest.param(turn, marks=pytest.mark.long) for turn in (1, 5))])
def test_a_batch_that_does_not_fit_is_taken_in_smaller_parts_and_the_mathematics_stay(
    network, optimizer_choice, schedule_choice, asked, point: str, turn: int
) -> None:
    plain = training(network(), optimizer_choice(), schedule_choice())
    expected = [(step.nats, step.gradient_norm) for step in taken(plain)]
    asked(f"{point}:memory@{turn},{point}:memory@{turn + 1}")
    run = training(network(), optimizer_choice(), schedule_choice())
    found = list(taken(run))
    assert [(s.nats, s.gradient_norm) for s in found] == [pytest.approx(pair, rel=1e-4) for pair in expected]
    assert found[0].nats == pytest.approx(expected[0][0], rel=1e-6)
    assert all(step.micro_batch * step.accumulation == 8 for step in found)
    assert found[-1].micro_batch == run.position.micro_batch == 1 and not any(step.skipped for step in found)
    again = training(network(), optimizer_choice(), schedule_choice())
    again.clock = ReplayClock(Stopwatch(start=0.0, now=lambda: 0.0), found)
    assert [s.nats for s in taken(again)] == [s.nats for s in found]
    assert equal(weights_of(again.module), weights_of(run.module))


def test_what_does_not_fit_a_row_at_a_time_is_an_error_and_so_is_any_other(
    network, optimizer_choice, schedule_choice, asked
) -> None:
    asked("step.forward:memory@*")
    run = training(network(), optimizer_choice(), schedule_choice())
    with pytest.raises(RuntimeError, match="out of memory"):
        next(taken(run))
    asked("step.forward:EIO")
    with pytest.raises(OSError):
        next(taken(training(network(), optimizer_choice(), schedule_choice())))


@pytest.mark.promise("a loss or gradient that is no number changes no weight", 1)
@pytest.mark.parametrize("fault", ["step.loss:nan", "step.loss:inf", "step.gradient:nan"])
@pytest.mark.parametrize("turn", [1, 2, 6])
def test_a_broken_step_changes_nothing_and_is_told(
    network, optimizer_choice, schedule_choice, asked, fault: str, turn: int
) -> None:
    asked(f"{fault}@{turn}")
    run = training(network(), optimizer_choice(), schedule_choice())
    before = weights_of(run.module)
    for step in taken(run):
        now = weights_of(run.module)
        assert step.skipped == (step.step == turn) == equal(before, now)
        assert all(weight.isfinite().all() for weight in now.values())
        before = now
    assert step.step == 8


def test_a_step_that_the_memory_ends_in_half_is_not_repeated(network, optimizer_choice, schedule_choice, asked) -> None:
    asked("step.optimizer:memory@2")
    run = training(network(), optimizer_choice(), schedule_choice())
    with pytest.raises(TrainingDiverged) as caught:
        list(taken(run))
    assert "optimizer" in caught.value.received
    assert run.position.micro_batch == 2


def test_three_broken_steps_are_no_accident(network, optimizer_choice, schedule_choice, asked) -> None:
    asked("step.loss:nan@2,step.loss:nan@3,step.loss:nan@5")
    found = []
    with pytest.raises(TrainingDiverged) as caught:
        for step in taken(training(network(), optimizer_choice(), schedule_choice())):
            found.append(step.skipped)
    assert "the loss is nan" in caught.value.received
    assert found == [False, True, True, False, True]
