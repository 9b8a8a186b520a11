"""The world: two processes, here threads, that train one model decide and roll back together."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from arrays import InMemory
from torch import Tensor

from daybreak.core.clock import Stopwatch, TokensClock
from daybreak.data.batches import Batch, Batches
from daybreak.engine import checkpoints, optimizers
from daybreak.engine.guard import Guard, TrainingDiverged
from daybreak.engine.loop import Position, steps
from daybreak.engine.schedules import Schedule
from daybreak.engine.world import alone
from daybreak.models.gpt import Gpt
from daybreak.tasks.next_token import NextToken
from daybreak.training import checkpointing

pytestmark = pytest.mark.usefixtures("one_thread")

T = 16
ROWS = 8
WAITING_SECONDS = 60.0


class Meeting:
    """Where the two exchange what they have; each call waits for the other's of the same kind."""

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2, timeout=WAITING_SECONDS)
        self.brought: list[Any] = [None, None]
        self.calls = [list[str](), list[str]()]

    def exchange(self, rank: int, kind: str, value: Any) -> list[Any]:
        self.calls[rank].append(kind)
        self.brought[rank] = (kind, value)
        self.barrier.wait()
        kinds, values = zip(*self.brought, strict=True)
        self.barrier.wait()
        assert kinds[0] == kinds[1], f"one process calls {kinds[0]} while the other calls {kinds[1]}"
        return list(values)


class Process:
    size = 2

    def __init__(self, meeting: Meeting, rank: int) -> None:
        self.meeting, self.rank = meeting, rank

    def sum(self, value: Any) -> Any:
        one, other = self.meeting.exchange(self.rank, "sum", value.clone() if isinstance(value, Tensor) else value)
        return one + other

    def agree(self, decision: Any) -> Any:
        return self.meeting.exchange(self.rank, "agree", decision)[0]

    def barrier(self) -> None:
        self.meeting.exchange(self.rank, "barrier", None)


def both(work: Callable[[Any], Any]) -> tuple[list[Any], Meeting]:
    """What `work` gives back in each process of two. Raises what it raises in one of them."""
    meeting, results, errors = Meeting(), [None, None], list[BaseException]()

    def run(rank: int) -> None:
        try:
            results[rank] = work(Process(meeting, rank))
        except BaseException as error:
            errors.append(error)
            meeting.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error
    return results, meeting


class Sabotaged(NextToken):
    """A loss that is not a number, or does not fit into the memory, in some of its calls."""

    def __init__(self, broken: Callable[[int, Batch], str]) -> None:
        super().__init__()
        self.broken, self.calls = broken, 0

    def __call__(self, module: Any, batch: Batch) -> Tensor:
        self.calls += 1
        what = self.broken(self.calls, batch)
        if what == "memory":
            raise MemoryError("not for so many rows")
        return super().__call__(module, batch) * (math.nan if what == "nan" else 1.0)


@pytest.fixture
def made(plan: Any, optimizer_choice: Any, schedule_choice: Any) -> Callable[..., Any]:
    """A tiny run as one process has it; the weights are the same in all of them."""
    first = Gpt(plan().shape.replace(vocabulary=256, context_length=T))
    first.initialize(0)

    def parts(world: Any, *, count: int = 6, broken: Callable[[int, Batch], str] = lambda *about: "") -> Any:
        module = copy.deepcopy(first).train()
        tokens = InMemory([4000], vocabulary=256)
        tokens.ids = (tokens.ids % 256).astype("uint16")
        return SimpleNamespace(
            module=module,
            loss=Sabotaged(broken),
            optimizer=optimizers.make(
                optimizer_choice(name="adamw"), module.matrices(), module.embeddings_and_norms(), dtype=torch.float32
            ),
            schedule=Schedule(schedule_choice(), batch_rows=ROWS),
            batches=Batches(tokens, context_length=T, seed=0, rank=world.rank, world=world.size),
            clock=TokensClock(Stopwatch(start=0.0, now=lambda: 0.0), tokens=count * ROWS * T),
            position=Position(),
            guard=Guard(world),
            world=world,
        )

    return parts


def taken(run: Any, micro_batch: int = 4) -> list[Any]:
    parts = (run.module, run.loss, run.optimizer, run.schedule, run.batches, run.clock)
    return list(steps(*parts, position=run.position, micro_batch=micro_batch, guard=run.guard, world=run.world))


def weights(run: Any) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in run.module.parameters()])


def test_alone_gives_its_arguments_back() -> None:
    world, tensor, decision = alone(), torch.ones(2), object()
    assert (world.rank, world.size, world.sum(3)) == (0, 1, 3)
    assert world.sum(tensor) is tensor and world.agree(decision) is decision


def test_two_processes_learn_what_one_learns_of_the_same_rows(made: Callable[..., Any]) -> None:
    def work(world: Any) -> Any:
        run = made(world)
        return taken(run), weights(run), run.position

    single, single_weights, _ = work(alone())
    (one, other), meeting = both(work)
    assert torch.equal(one[1], other[1]) and len(one[0]) == len(single) == 6
    # AdamW makes of a rounding error in a tiny gradient a larger one: compared with how far the weights have moved.
    moved = single_weights - weights(made(alone()))
    assert (one[1] - single_weights).norm() < 0.01 * moved.norm()
    assert [step.nats for step in one[0]] == [step.nats for step in other[0]]
    assert [step.nats for step in one[0]] == pytest.approx([step.nats for step in single])
    assert vars(one[2])["cursor"] == vars(other[2])["cursor"] == 6 * ROWS
    assert meeting.calls[0] == meeting.calls[1]


def test_processes_meet_as_often_however_many_micro_batches_a_step_has(made: Callable[..., Any]) -> None:
    meetings = [len(both(lambda world, micro=micro: taken(made(world), micro))[1].calls[0]) for micro in (4, 1)]  # type: ignore[misc]
    assert meetings[0] == meetings[1] > 0


def test_the_clock_of_rank_0_says_stop(made: Callable[..., Any]) -> None:
    def work(world: Any) -> int:
        return len(taken(made(world, count=3 if world.rank == 0 else 30)))

    assert both(work)[0] == [3, 3]


def test_where_one_process_has_too_little_memory_all_halve_their_micro_batches(made: Callable[..., Any]) -> None:
    def work(world: Any) -> Any:
        run = made(world, broken=lambda call, batch: "memory" if world.rank == 1 and len(batch) > 2 else "")
        return [(s.micro_batch, s.accumulation) for s in taken(run)], run.position.micro_batch, weights(run)

    (one, other), _ = both(work)
    assert one[:2] == other[:2] == ([(2, 2)] * 6, 2) and torch.equal(one[2], other[2])


def test_where_even_one_row_is_too_much_both_processes_end(made: Callable[..., Any]) -> None:
    def work(world: Any) -> str:
        run = made(world, broken=lambda call, batch: "memory" if world.rank == 1 else "")
        with pytest.raises(MemoryError) as caught:
            taken(run)
        return str(caught.value)

    (one, other), _ = both(work)
    assert "another process" in one and other == "not for so many rows"


def test_a_bad_loss_of_one_process_is_skipped_by_all_and_they_roll_back_together(
    made: Callable[..., Any], tmp_path: Path
) -> None:
    """Three bad steps in a row; then the checkpoint that rank 0 has written, by both."""

    def work(world: Any) -> Any:
        run = made(world, broken=lambda call, batch: "nan" if world.rank == 1 and call in (3, 4, 5) else "")
        records = list[Any]()
        state: Any = SimpleNamespace(
            world=world,
            run=SimpleNamespace(checkpoints_folder=tmp_path),
            plan=SimpleNamespace(identity=lambda: ""),
            trainable=SimpleNamespace(
                module=run.module,
                optimizer=run.optimizer,
                schedule=run.schedule,
                callbacks=[],
                device=torch.device("cpu"),
            ),
            clock=run.clock,
            position=run.position,
            guard=run.guard,
            saver=checkpoints.Writer(tmp_path, now=lambda: 0.0),
            planned_save=None,
            unsaved=False,
            amend=lambda *what, **detail: None,
            record=records.append,
            warn=lambda what: None,
            log=SimpleNamespace(sync=lambda: None),
            stopwatch=SimpleNamespace(used=lambda: 0.0),
        )
        checkpointing.save(state, wait=True)
        before = weights(run)
        seen = list[bool]()
        parts = (run.module, run.loss, run.optimizer, run.schedule, run.batches, run.clock)
        with pytest.raises(TrainingDiverged):
            for step in steps(*parts, position=run.position, micro_batch=4, guard=run.guard, world=world):
                seen.append(step.skipped)
        moved = not torch.equal(before, weights(run))
        checkpointing.roll_back(state, "three bad steps")
        back = torch.equal(before, weights(run))
        rest = taken(run)
        assert rest and not any(step.skipped for step in rest)
        return seen, moved, back, run.position.rate, run.position.cursor, weights(run)

    (one, other), _ = both(work)
    assert one[:5] == other[:5] and torch.equal(one[5], other[5])
    assert one[:4] == ([False, False, True, True, True], True, True, 0.5)
    assert one[4] == 6 * ROWS
    assert len(checkpoints.checkpoints(tmp_path)) == 1
