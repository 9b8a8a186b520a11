"""Tasks: one record says all of an objective, and one from outside is trained and scored as ours are."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import toy_task
from arrays import InMemory
from toy_task import ACCURACY

import daybreak
from daybreak import tasks
from daybreak.core.clock import Stopwatch, TokensClock
from daybreak.core.errors import UsageError
from daybreak.core.types import Plan
from daybreak.data.batches import Batches
from daybreak.engine import loop
from daybreak.models import ladder
from daybreak.tasks.scoring import figures_of
from daybreak.training.build import build
from daybreak.training.train import training_steps

PACKAGE = Path(daybreak.__file__).parent
OWN = {f"tasks/{name}.py" for name in tasks.NAMES}
T = 16


# The rule


def compared(source: str, names: Sequence[str]) -> Iterator[int]:
    """Lines on which one of the names is compared with, matched or looked up by."""
    for node in ast.walk(ast.parse(source)):
        parts: list[Any] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.Subscript):
            parts = [node.slice]
        found = [inner for part in parts for inner in ast.walk(part) if isinstance(inner, ast.Constant)]
        if any(constant.value in names for constant in found):
            yield node.lineno


def test_nobody_compares_the_name_of_an_objective_outside_its_record() -> None:
    broken = [
        f"daybreak/{name}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if (name := path.relative_to(PACKAGE).as_posix()) not in {*OWN, "core/metrics.py"}
        if any(objective in (source := path.read_text(encoding="utf-8")) for objective in tasks.NAMES)
        for line in compared(source, tasks.NAMES)
    ]
    assert not broken, f"ask the task (tasks.task_of) in the place of its name: {', '.join(broken)}"


@pytest.mark.parametrize(
    "source",
    [
        'plan.objective == "next_token"',
        '"masked_tokens" != name',
        'name in ("next_token", "span_corruption")',
        'SHARES = {"masked_tokens": 0.15}',
        'SHARES["masked_tokens"]',
        'match name:\n    case "next_token":\n        pass',
    ],
)
def test_the_rule_itself_finds_each_way_to_compare(source: str) -> None:
    assert list(compared(source, tasks.NAMES)) and not list(
        compared('f("next_token", objective="next_token")', tasks.NAMES)
    )


@pytest.mark.parametrize("name", tasks.NAMES)
def test_a_record_is_told_by_its_name_and_judged_by_the_metric_of_its_plans(name: str, plan: Any) -> None:
    task = tasks.task_of(name)
    assert task.name == name and task.metric == plan(objective=name).headline
    better, worse = task.expected(1.0, 3.0, 1e7), task.expected(2.0, 3.0, 1e7)
    assert (better > worse) == task.metric.higher_is_better and better != worse
    assert 0 < task.scored_share <= 1


def test_an_objective_that_is_not_there_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError) as refused:
        tasks.task_of("next_tokens")
    assert "next_token" in refused.value.attempt


# Ours would be a file and a line in NAMES; one from outside is registered


@pytest.fixture(params=[toy_task.KindOfRow, toy_task.KindOfToken], ids=["a class a row", "a class a token"])
def toy(request: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(tasks, "_REGISTERED", {})
    tasks.register(request.param())
    return request.param()


def test_a_task_of_ours_is_one_file_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: Any) -> None:
    """The file as it is, laid beside the others, and its name in the tuple: nothing else says that it is there."""
    own = tmp_path / "kind_of_row.py"
    own.write_text(Path(toy_task.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    with pytest.raises(UsageError):
        tasks.task_of("kind_of_row")
    monkeypatch.setattr(tasks, "NAMES", (*tasks.NAMES, "kind_of_row"))
    monkeypatch.delitem(sys.modules, "daybreak.tasks.kind_of_row", raising=False)
    task = tasks.task_of("kind_of_row")
    assert task.name == "kind_of_row" and task.metric == ACCURACY
    chosen = Plan.from_json(json.loads(json.dumps(plan(objective=task.name, metric=task.metric).to_json())))
    assert chosen.headline == ACCURACY, "a plan says by itself what its model is judged by"
    monkeypatch.delitem(sys.modules, "daybreak.tasks.kind_of_row")


def two_kinds(rows: int, seed: int) -> InMemory:
    """Rows of tokens below 128, and from there on, in turns by chance."""
    drawn = np.random.default_rng(seed)
    kinds = np.repeat(drawn.integers(0, 2, rows), T)
    held = InMemory([rows * T + 1], vocabulary=257)
    held.ids = np.append(drawn.integers(0, 127, rows * T) + 128 * kinds, 256).astype(np.uint16)
    return held


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_a_task_from_outside_with_labels_is_trained_and_scored(
    toy: Any, plan: Any, machine: Any, optimizer_choice: Any, byte_rows: Any, name: str
) -> None:
    chosen = plan(
        objective=toy.name,
        metric=toy.metric,
        shape=ladder.gpt(1, 64, vocabulary=320, context_length=T),
        batch_tokens=16 * T,
        micro_batch=4,
        tokens=40 * 16 * T,
        optimizer=optimizer_choice(name=name),
    )
    assert chosen.headline == ACCURACY
    built = build(chosen, machine(), torch.device("cpu"))
    first = built.module.classifier.weight.detach().clone()
    scorer = toy.scorer(chosen, byte_rows)
    heldout, of_a_row = two_kinds(200, seed=1).ids, T if toy.of_tokens else 1

    def accuracy() -> float:
        score = scorer.score(built.module, heldout).total()
        assert score.tokens == 200 * of_a_row
        return float(figures_of(ACCURACY, score)["accuracy"])

    before = accuracy()
    clock = TokensClock(Stopwatch(start=0.0, now=lambda: 0.0), tokens=chosen.tokens)
    batches = Batches(two_kinds(400, seed=0), context_length=T, seed=0)
    taken = list(training_steps(chosen, built, batches, clock, loop.Position()))
    assert len(taken) == 40 and taken[0].accumulation == 4 and not any(step.skipped for step in taken)
    assert not torch.equal(built.module.classifier.weight, first), "the optimizer has not found the head's weights"
    assert before < 0.8 < 0.95 < accuracy() and taken[-1].nats < 0.8 * taken[0].nats
    assert accuracy() > toy.floor(None)
    part = scorer.score_spread(built.module, heldout, tokens=100 * T)
    assert len(part.answers) == 100 * of_a_row and not part.whole
    decoded = [toy.sample(chosen, built.module, byte_rows, range(begin, begin + 5 * T, 5))[1] for begin in (5, 140)]
    assert decoded == [str([[kind] * T] if toy.of_tokens else [kind]) for kind in (0, 1)]


@pytest.fixture
def byte_rows() -> Any:
    class Tokenizer:
        token_bytes = np.ones(257, np.int64)
        end_of_text = 256

    return Tokenizer()


@pytest.mark.parametrize("counted", [1.9, 0.0])
def test_the_floor_of_continued_text_is_what_n_grams_reach(counted: float) -> None:
    corpus: Any = SimpleNamespace(ngram_bits_per_byte=counted)
    floors = [tasks.task_of(name).floor(corpus) for name in tasks.NAMES]
    assert floors == [counted or None, None, None]
