"""Who exchanges the weights, or changes the loss's scale, tells it to all who compare with what was before."""

from __future__ import annotations

import itertools
import json
import math
import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from daybreak.core.types import OptimizerChoice
from daybreak.engine import checkpoints, loop, optimizers
from daybreak.engine.changes import Change, Changes
from daybreak.engine.guard import LEAST, Guard
from daybreak.engine.world import alone
from daybreak.models.gpt import tensors_of
from daybreak.techniques import Context
from daybreak.techniques.averaging import Mean
from daybreak.techniques.batch_ramp import BatchRamp
from daybreak.techniques.ema import Average, Ema, Following
from daybreak.techniques.short_first import Lengthening
from daybreak.training import checkpointing, finalize
from daybreak.training.build import Trainable
from daybreak.training.finalize import BEST_MARK, best_so_far, candidates_of
from daybreak.training.marks import Marks
from daybreak.training.state import TrainingState

pytestmark = pytest.mark.usefixtures("one_thread")


def learnt_by_heart(guard: Guard) -> None:
    generator = random.Random(0)
    assert not any(guard.is_bad_step(0.2 + generator.gauss(0, 0.01), 1.0) for _ in range(2 * LEAST))


@pytest.mark.parametrize("change", list(Change))
def test_after_a_change_the_losses_before_are_no_measure(change: Change) -> None:
    """Weights of before the text was learnt by heart have ten times the loss, and nothing is wrong with that."""
    untold, told = Guard(), Guard()
    changes = Changes()
    changes.watch("guard", told.changed)
    learnt_by_heart(untold)
    learnt_by_heart(told)
    changes.tell(change)
    generator = random.Random(1)
    losses = [2.0 + generator.gauss(0, 0.05) for _ in range(2 * LEAST)]
    assert untold.is_bad_step(losses[0], 1.0)
    assert not any(told.is_bad_step(loss, 1.0) for loss in losses)
    told.check()
    assert told.is_bad_step(3.0, 1.0) and told.is_bad_step(math.nan, 1.0)  # it looks as closely as before


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_after_an_exchange_an_optimizer_steps_as_one_that_begins(name: str, optimizer_choice: Any) -> None:
    def made() -> tuple[nn.Module, optimizers.Optimizers]:
        torch.manual_seed(0)
        module = nn.ParameterDict({"matrix": torch.randn(4, 4), "table": torch.randn(6, 4), "gain": torch.ones(4)})
        choice: OptimizerChoice = optimizer_choice(name=name)
        return module, optimizers.make(choice, [module["matrix"]], [module["table"], module["gain"]])

    def step(module: nn.Module, optimizer: optimizers.Optimizers, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for weight in module.parameters():
            weight.grad = torch.randn(weight.shape, generator=generator)
        optimizer.step(optimizers.Rates(learning_rate=1.0))

    (used, one), (fresh, other) = made(), made()
    begin = {key: weight.detach().clone() for key, weight in used.items()}
    for seed in range(5):
        step(used, one, seed)
    with torch.no_grad():
        for key, weight in used.items():
            weight.copy_(begin[key])
    one.changed(Change.LOSS)
    assert any(bool(tensor.any()) for tensor in one.state().values()) or not one.state()
    one.changed(Change.WEIGHTS)
    for seed in (7, 8):
        step(used, one, seed)
        step(fresh, other, seed)
    assert all(torch.equal(weight, fresh[key]) for key, weight in used.items())


def test_after_an_exchange_averages_are_of_the_new_weights_alone() -> None:
    module = nn.Linear(1, 1, bias=False)
    mean, following = Mean(0.0, 10), Following(Average(0.5), Ema(start=0.0, every=0.0))
    for value, progress in ((1.0, 0.1), (2.0, 0.3)):
        nn.init.constant_(module.weight, value)
        for follower in (mean, following):
            follower(module, progress)
    for follower in (mean, following):
        follower.changed(Change.LOSS)
        assert follower.state()[0]["weight"].item() != 2.0
        follower.changed(Change.WEIGHTS)
    for value, progress in ((8.0, 0.5), (8.0, 0.7)):
        nn.init.constant_(module.weight, value)
        for follower in (mean, following):
            follower(module, progress)
            assert follower.state()[0]["weight"].item() == 8.0


def test_longer_rows_are_told_once_also_by_a_run_that_was_taken_up() -> None:
    changes, told = Changes(), list[Change]()
    changes.watch("test", told.append)
    lengthening = Lengthening(0.33, changes)
    for progress in (0.1, 0.2, 0.3):
        lengthening(None, progress)
    other = Lengthening(0.33, changes)
    other.load(*json.loads(json.dumps(lengthening.state())))
    for progress in (0.34, 0.4, 0.9):
        other(None, progress)
    assert told == [Change.LOSS]


def test_larger_batches_are_no_alarm(plan: Any, machine: Any, schedule_choice: Any) -> None:
    """Their loss is less noisy, so the window of smaller ones is wider than theirs and needs not begin anew."""
    from daybreak.engine.schedules import Schedule

    schedule, _ = BatchRamp().schedule(
        Schedule(schedule_choice(), batch_rows=16), Context(plan=plan(), machine=machine())
    )
    for seed in range(20):
        guard, generator = Guard(), random.Random(seed)
        for step in range(1000):
            noise = 0.2 / math.sqrt(schedule.rows(step / 1000))
            assert not guard.is_bad_step(2.0 + 3.0 / (1 + 0.05 * step) + generator.gauss(0, noise), 1.0)


def of_marks(losses: list[float]) -> tuple[nn.Module, Marks]:
    module, marks = nn.Linear(1, 1, bias=False), Marks()
    for index, loss in enumerate(losses):
        nn.init.constant_(module.weight, float(index))
        marks.validated(module, index / 10, loss)
    return module, marks


def test_going_back_keeps_the_best_mark_and_the_rest_is_as_it_was(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint is from before the best mark; what was scored, was reached."""
    module, marks = of_marks([5.0])
    optimizer = optimizers.Optimizers([], list(module.parameters()))
    mean, guard, schedule = Mean(0.0, 10), Guard(), SimpleNamespace(state=list, load=lambda state: None)
    trainable: Any = SimpleNamespace(
        module=module,
        optimizer=optimizer,
        callbacks=[marks, mean],
        marks=marks,
        schedule=schedule,
        device=torch.device("cpu"),
    )
    state: Any = SimpleNamespace(
        run=SimpleNamespace(checkpoints_folder=tmp_path),
        amend=lambda *what, **detail: None,
        plan=SimpleNamespace(identity=lambda: ""),
        world=alone(),
        trainable=trainable,
        clock=SimpleNamespace(),
        position=loop.Position(step=3),
        guard=guard,
        saver=checkpoints.Writer(tmp_path, now=lambda: 1.0),
        planned_save=None,
        unsaved=False,
        log=SimpleNamespace(sync=lambda: None),
        record=lambda record: None,
        warn=lambda what: None,
        stopwatch=SimpleNamespace(used=lambda: 1.0),
    )
    mean(module, 0.1)
    checkpointing.save(state, wait=True)
    nn.init.constant_(module.weight, 7.0)
    mean(module, 0.3)
    marks.validated(module, 0.3, 4.0)
    nn.init.constant_(module.weight, math.nan)
    checkpointing.roll_back(state, "a test")
    assert module.weight.item() == 0.0 and mean.taken == 1 and mean.weights["weight"].item() == 0.0
    assert marks.best["weight"].item() == 7.0 and marks.least == 4.0 and marks.losses == [5.0, 4.0]


def test_a_checkpoint_is_due_after_an_exchange_and_not_after_a_change_of_scale() -> None:
    state: Any = SimpleNamespace(exchanged=False)
    TrainingState.changed(state, Change.LOSS)
    assert not state.exchanged
    TrainingState.changed(state, Change.WEIGHTS)
    assert state.exchanged


# The best mark


def built_of(module: nn.Module, marks: Marks) -> Trainable:
    made: Any = SimpleNamespace(module=module, marks=marks, techniques=[], context=None)
    return made


def test_the_best_mark_is_a_candidate_whatever_is_on() -> None:
    module, marks = of_marks([3.0, 2.0, 4.0])
    candidates, touched = candidates_of(built_of(module, marks))
    assert list(candidates) == ["current", BEST_MARK] and not touched
    assert candidates["current"]["weight"].item() == 2.0 and candidates[BEST_MARK]["weight"].item() == 1.0
    assert list(candidates_of(built_of(*of_marks([])))[0]) == ["current"]


def test_what_is_written_on_the_way_is_the_best_so_far() -> None:
    for losses, expected in (
        ([3.0, 2.0], 1.0),
        ([3.0, 2.0, 2.5], 1.0),
        ([3.0, 2.0, 2.5, 1.0], 3.0),
        ([2.0, math.nan], 0.0),
    ):
        module, marks = of_marks(losses)
        assert best_so_far(built_of(module, marks))["weight"].item() == expected


@pytest.mark.parametrize("time_is_left", [True, False])
@pytest.mark.parametrize(("reached", "expected"), [(2.5, 1.0), (1.5, 2.0), (math.nan, 1.0)])
def test_the_weights_of_the_best_mark_are_taken_where_they_are_better(
    monkeypatch: pytest.MonkeyPatch, time_is_left: bool, reached: float, expected: float
) -> None:
    """Weight 1 had a loss of 2; the last one has another. No technique is on."""
    module, marks = of_marks([3.0, 2.0, reached])
    losses = {1.0: 2.0, 2.0: reached}

    class TokenScores:
        def __init__(self, weight: float) -> None:
            self.weight = weight

        def __len__(self) -> int:
            return 1

        def first(self, count: int) -> TokenScores:
            return self

        def total(self) -> float:
            return losses[self.weight]

    monkeypatch.setattr(finalize, "_asked", lambda state, module, **about: TokenScores(module.weight.item()))
    monkeypatch.setattr(
        finalize, "_validation", lambda state, score, *about: SimpleNamespace(loss=lambda headline: score)
    )
    state: Any = SimpleNamespace(
        trainable=built_of(module, marks),
        ledger=SimpleNamespace(enter=lambda name: None),
        record=lambda record: None,
        costs={},
        margin=lambda: 1.0,
        timed=lambda: True,
        remaining=lambda: 10.0 if time_is_left else 0.5,
        plan=SimpleNamespace(headline=None, evaluation_bytes=0),
        stopwatch=SimpleNamespace(used=lambda: 1.0),
        run=SimpleNamespace(log_file="/nowhere"),
        replayed=False,
    )
    monkeypatch.setattr(finalize.records, "read", lambda path: [])
    weights = finalize.choose_weights(state)
    assert weights["weight"].item() == module.weight.item() == expected
    assert {name: weight.item() for name, weight in tensors_of(module).items()} == {"weight": expected}


def test_the_marks_of_a_run_come_back_from_its_checkpoint() -> None:
    for seen in range(4):
        losses = [3.0, 2.0, 2.5, 1.0]
        _, one = of_marks(losses[:seen])
        other = Marks()
        best, facts = one.state()
        other.load({name: weight.clone() for name, weight in best.items()}, json.loads(json.dumps(facts)))
        module = nn.Linear(1, 1, bias=False)
        for (index, loss), marks in itertools.product(enumerate(losses[seen:], seen), (one, other)):
            nn.init.constant_(module.weight, float(index))
            marks.validated(module, index / 10, loss)
        assert one.losses == other.losses == losses and one.least == other.least
        assert one.best["weight"].item() == other.best["weight"].item() == 3.0
