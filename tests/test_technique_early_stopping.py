"""early_stopping: two rises in a row put the best weights back, and end the run at a falling rate."""

from __future__ import annotations

import dataclasses
import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from daybreak.core.records import Validation
from daybreak.engine.changes import Change
from daybreak.engine.schedules import Schedule
from daybreak.techniques import Context, fold
from daybreak.techniques.early_stopping import EarlyStopping, Stopping
from daybreak.training.build import Trainable
from daybreak.training.marks import Marks

pytestmark = pytest.mark.usefixtures("one_thread")


def module_of(value: float) -> nn.Module:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, value)
    return module


def stopping_of(plan: Any = None, machine: Any = None, **settings: Any) -> tuple[Stopping, Marks, list[Change]]:
    """With the marks that it looks at, and the changes that it tells."""
    marks, told = Marks(), list[Change]()
    context = Context(plan=plan, machine=machine, marks=marks)
    context.changes.watch("test", told.append)
    return Stopping(EarlyStopping(**settings), context), marks, told


def marked(losses: list[float], stopping: Stopping, marks: Marks, first: int = 0) -> list[float]:
    """The weight after each mark; before mark i it is i."""
    module, weights = module_of(0.0), []
    for index, loss in enumerate(losses, first):
        nn.init.constant_(module.weight, float(index))
        for follower in (marks, stopping):
            follower(module, index / 10)
            follower.validated(module, index / 10, loss)
        weights.append(module.weight.item())
    return weights


@pytest.mark.parametrize(
    ("losses", "stopped"),
    [
        ([5, 4, 3, 2], None),
        ([5, 4, 4.1, 3.9, 4.0, 3.8], None),  # a rise, and then not
        ([5, 4, 4, 4, 4], None),
        ([5, 4, 4.02, 4.04, 4.06], None),  # by less than what noise does
        ([5, 4, 4.01, 4.05, 4.081], 0.4),
        ([5, 4, 4.1, 4.2, 4.3, 4.4], 0.3),
        ([5, 4, math.nan, 4.1, 4.2], None),
        ([3, 4, 5], 0.2),
    ],
)
def test_it_stops_at_the_second_rise_in_a_row(losses: list[float], stopped: float | None) -> None:
    stopping, marks, told = stopping_of()
    marked(losses, stopping, marks)
    assert stopping.stopped == stopped
    assert told == ([] if stopped is None else [Change.WEIGHTS])


def test_the_best_weights_come_back_once_and_those_of_a_better_mark_are_kept_afterwards() -> None:
    stopping, marks, _ = stopping_of()
    assert marked([5, 4, 4.1, 4.2, 4.3, 4.4, 4.5], stopping, marks) == [0, 1, 2, 1, 4, 5, 6]
    assert marks.best["weight"].item() == 1.0 and marks.progress == 0.1 and marks.least == 4
    marked([3.0], stopping, marks, first=7)
    assert marks.best["weight"].item() == 7.0  # what is trained afterwards counts, too


def test_afterwards_the_rate_falls_to_nothing_and_the_run_ends(plan, machine, schedule_choice) -> None:
    marks = Marks()
    context = Context(plan=plan(), machine=machine(), marks=marks)
    on = [("early_stopping", EarlyStopping(rate=0.2, settling=1.0))]
    schedule, _ = fold(on, "schedule", Schedule(schedule_choice(), batch_rows=8), context)
    (stopping,), _ = fold(on, "step", [], context)
    before = [schedule.rates(p).learning_rate for p in (0.1, 0.4, 0.9)]
    assert before == [schedule.planned(p) for p in (0.1, 0.4, 0.9)]
    marked([5, 4.5, 4, 4.1, 4.2], stopping, marks)
    assert stopping.stopped == 0.4 and stopping.end == pytest.approx(0.6)
    rates = [schedule.rates(p).learning_rate for p in (0.4, 0.5, 0.6, 0.9)]
    assert rates == pytest.approx([0.2, 0.1, 0.0, 0.0])
    assert not stopping.enough
    stopping(None, 0.61)
    assert "after 20% of the run" in stopping.enough and "more time would not" in stopping.enough


def test_it_comes_back_from_its_state() -> None:
    losses: list[float] = [5, 4, 4.1, 4.2, 4.3]
    for seen in (0, 2, 3, 4):
        (one, marks, _), (other, others, _) = stopping_of(), stopping_of()
        marked(losses[:seen], one, marks)
        for follower, back in ((marks, others), (one, other)):
            best, facts = follower.state()
            back.load({name: weight.clone() for name, weight in best.items()}, json.loads(json.dumps(facts)))
        assert marked(losses[seen:], one, marks, seen) == marked(losses[seen:], other, others, seen)
        assert one.state() == other.state() and marks.state()[1] == others.state()[1]


def test_a_checkpoint_of_before_marks_were_kept_apart_is_taken_up() -> None:
    stopping, marks, _ = stopping_of()
    stopping.load({"weight": torch.tensor([[7.0]])}, {"figures": [5.0, 4.0, 4.1], "stopped": None})
    assert marks.least == 4.0 and marks.best["weight"].item() == 7.0
    assert marked([4.2], stopping, marks, first=3) == [7.0]


def test_a_held_out_loss_is_given_to_the_callbacks_that_want_it() -> None:
    class Silent:
        pass

    marks = Marks()
    built: Any = SimpleNamespace(module=module_of(1.0), callbacks=[Silent(), marks])
    Trainable.validated(built, 0.5, 2.0)
    Trainable.validated(built, 1.0, 3.0)
    assert marks.losses == [2.0]


def test_it_refuses_runs_that_cannot_overfit(plan, machine) -> None:
    assert EarlyStopping().refuses(plan(tokens=2_000_000), machine()) is None
    assert "1.0 times" in (EarlyStopping().refuses(plan(tokens=1_000_000), machine()) or "")


def test_the_weights_kept_are_copies() -> None:
    marks, module = Marks(), module_of(1.0)
    marks.validated(module, 0.1, 2.0)
    with torch.no_grad():
        module.weight.fill_(9.0)
    assert marks.best["weight"].item() == 1.0


@pytest.mark.long
def test_a_replay_goes_back_where_its_run_went_back(small_text, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replay scores nothing on the way: it takes the run's own figures."""
    import daybreak
    from daybreak.core import records
    from daybreak.stages.train import train_only
    from daybreak.training import train
    from daybreak.views.progress import Silence

    rising, validate = iter([3.0, 3.1, *(3.2 + 0.1 * index for index in range(20))]), train.validate
    monkeypatch.setattr(train, "validate", lambda *about: dataclasses.replace(validate(*about), figure=next(rising)))
    first = daybreak.run(
        str(small_text),
        budget="30s",
        out=str(tmp_path / "first"),
        reproducible=True,
        settings={"layers": 1, "width": 64, "context_length": 32, "tokens": 600000},
        exclude=["compiled", "ngram_mix"],
    )
    assert first.run.plan().technique("early_stopping")
    log = list(records.read(first.run.log_file))
    marks = [r for r in log if isinstance(r, Validation) and r.progress < 1]
    rates = [r.learning_rate_factor for r in log if isinstance(r, records.Step) and r.step > marks[2].step]
    assert len(marks) >= 3 and rates and max(rates) <= EarlyStopping().rate
    monkeypatch.setattr(train, "validate", lambda *about: pytest.fail("a replay scores nothing on the way"))
    again = train_only(str(first.run.path), Silence(), out=str(tmp_path / "again"), replay=True)
    assert again.figures["weights_digest"] == first.figures["weights_digest"]
    told = [r for r in records.read(again.run.log_file) if isinstance(r, Validation) and r.progress < 1]
    assert [(r.step, r.figure) for r in told] == [(r.step, r.figure) for r in marks]
