"""early_stopping: two rises in a row put the best weights back and lower the rate for good."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
import torch
from torch import nn

from daybreak.core.headlines import BITS_PER_BYTE
from daybreak.core.records import Validation
from daybreak.engine.schedules import Schedule
from daybreak.stages.train import _follow_mark
from daybreak.techniques import Context, fold
from daybreak.techniques.early_stopping import EarlyStopping, Marks

pytestmark = pytest.mark.usefixtures("one_thread")


def module_of(value: float) -> nn.Module:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, value)
    return module


def marked(figures: list[float], marks: Marks) -> list[float]:
    """The weight after each mark; before mark i it is i."""
    module, weights = module_of(0.0), []
    for index, figure in enumerate(figures):
        nn.init.constant_(module.weight, float(index))
        marks.validated(module, index / 10, figure)
        weights.append(module.weight.item())
    return weights


@pytest.mark.parametrize(
    ("figures", "stopped"),
    [
        ([5, 4, 3, 2], None),
        ([5, 4, 4.1, 3.9, 4.0, 3.8], None),  # a rise, and then not
        ([5, 4, 4, 4, 4], None),
        ([5, 4, 4.1, 4.2, 4.3, 4.4], 0.3),
        ([5, 4, math.nan, 4.1, 4.2], None),
        ([3, 4, 5], 0.2),
    ],
)
def test_it_stops_at_the_second_rise_in_a_row(figures: list[float], stopped: float | None) -> None:
    marks = Marks(2)
    marked(figures, marks)
    assert marks.stopped == stopped


def test_the_best_weights_come_back_once_and_stay_a_candidate() -> None:
    marks = Marks(2)
    assert marked([5, 4, 4.1, 4.2, 4.3, 4.4, 4.5], marks) == [0, 1, 2, 1, 4, 5, 6]
    assert marks.best["weight"].item() == 1.0
    marked([3.0], marks)
    assert marks.best["weight"].item() == 0.0  # better than before: what is trained afterwards counts, too


def test_the_rate_is_low_from_then_on_and_never_higher_than_planned(plan, machine, schedule_choice) -> None:
    context = Context(plan=plan(), machine=machine())
    on = [("early_stopping", EarlyStopping(rate=0.2))]
    schedule, _ = fold(on, "schedule", Schedule(schedule_choice(), batch_rows=8), context)
    (marks,), _ = fold(on, "step", [], context)
    candidates = {"current": {}}
    assert fold(on, "weights", candidates, context)[0] is candidates
    assert schedule.rates(0.4).learning_rate == 1.0
    marked([5, 4, 4.1, 4.2], marks)
    assert [schedule.rates(p).learning_rate for p in (0.4, 0.6, 0.95)] == pytest.approx([0.2, 0.2, 0.1])
    found, _ = fold(on, "weights", candidates, context)
    assert found["early_stopping"] is marks.best and list(found) == ["current", "early_stopping"]


def test_it_comes_back_from_its_state() -> None:
    for seen in (0, 2, 3, 4):
        one, other = Marks(2), Marks(2)
        figures: list[float] = [5, 4, 4.1, 4.2, 4.3]
        marked(figures[:seen], one)
        best, facts = one.state()
        other.load({name: weight.clone() for name, weight in best.items()}, json.loads(json.dumps(facts)))
        assert marked(figures[seen:], one) == marked(figures[seen:], other)
        assert one.stopped == other.stopped and one.figures == other.figures


def test_a_mark_is_told_to_the_followers_that_want_it() -> None:
    class Silent:
        pass

    marks = Marks(2)
    built: Any = type("Built", (), {"module": module_of(1.0), "followers": [Silent(), marks]})
    scored = {"step": 1, "used_seconds": 1.0, "tokens": 1, "perplexity": 1.0, "bytes": 1}
    _follow_mark(built, Validation(progress=0.5, figure=2.0, **scored), BITS_PER_BYTE)
    _follow_mark(built, Validation(progress=1.0, figure=3.0, **scored), BITS_PER_BYTE)
    assert marks.figures == [2.0]


def test_it_refuses_runs_that_cannot_overfit(plan, machine) -> None:
    assert EarlyStopping().refuses(plan(tokens=2_000_000), machine()) is None
    assert "1.0 times" in (EarlyStopping().refuses(plan(tokens=1_000_000), machine()) or "")


def test_the_weights_kept_are_copies() -> None:
    marks, module = Marks(2), module_of(1.0)
    marks.validated(module, 0.1, 2.0)
    with torch.no_grad():
        module.weight.fill_(9.0)
    assert marks.best["weight"].item() == 1.0


@pytest.mark.long
def test_a_replay_goes_back_where_its_run_went_back(small_text, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replay scores nothing on the way: it takes the run's own figures."""
    import daybreak
    from daybreak.core import records
    from daybreak.stages import train
    from daybreak.stages.progress import Silence
    from daybreak.stages.run import train_only

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
