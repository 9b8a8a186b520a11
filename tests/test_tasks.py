"""Tasks: one record says all of an objective, and one from outside is trained and scored as ours are."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from arrays import InMemory
from torch import Tensor, nn

import daybreak
from daybreak import tasks
from daybreak.core import metrics
from daybreak.core.clock import Stopwatch, TokensClock
from daybreak.core.errors import UsageError
from daybreak.core.metrics import Metric
from daybreak.core.types import Plan
from daybreak.data.batches import Batch, Batches
from daybreak.engine import loop
from daybreak.models import ladder
from daybreak.tasks.scoring import Hidden, figures_of
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
    assert task.name == name and task.metric is plan(objective=name).headline
    better, worse = task.expected(1.0, 3.0, 1e7), task.expected(2.0, 3.0, 1e7)
    assert (better > worse) == task.metric.higher_is_better and better != worse
    assert 0 < task.scored_share <= 1


def test_an_objective_that_is_not_there_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError) as refused:
        tasks.task_of("next_tokens")
    assert "next_token" in refused.value.attempt


# One from outside: of which of two kinds is a row?


ACCURACY = Metric(
    name="accuracy", unit="share", words="right", numerator="correct", denominator="tokens", higher_is_better=True
)


class Kinds:
    """Whether the mean hidden state is of a row of small or of large tokens; a loss on labels."""

    def targets(self, batch: Batch) -> int:
        return len(batch)

    def _logits(self, module: Any, batch: Batch) -> Tensor:
        hidden_BTD = module.hidden(batch.tokens[:, :-1])
        return module.kinds(hidden_BTD.mean(1).float())  # type: ignore[no-any-return]

    def __call__(self, module: Any, batch: Batch) -> Tensor:
        assert batch.labels is not None, "rows without labels reached the loss"
        return F.cross_entropy(self._logits(module, batch), batch.labels, reduction="sum")

    @torch.no_grad()
    def scored(self, module: Any, batch: Batch) -> tuple[Tensor, Tensor, None]:
        assert batch.labels is not None
        logits = self._logits(module, batch)
        return F.cross_entropy(logits, batch.labels, reduction="none"), logits.argmax(-1) == batch.labels, None


class KindOfRow:
    name, metric, scored_share = "kind_of_row", ACCURACY, 1.0

    def expected(self, bits_per_byte: float, bytes_per_token: float, tokens: float) -> float:
        return 0.5

    def batch(self, batch: Batch) -> Batch:
        return Batch(batch.tokens, labels=(batch.tokens[:, :-1].float().mean(1) > 128).long())

    def head(self, module: Any, seed: int) -> list[nn.Parameter]:
        module.lm_head.weight.requires_grad_(False)
        module.kinds = nn.Linear(module.shape.width, 2, bias=False)
        nn.init.normal_(module.kinds.weight, std=0.02, generator=torch.Generator().manual_seed(seed))
        return [module.kinds.weight]

    def loss(self, decisions: Any) -> Kinds:
        return Kinds()

    def scorer(self, decisions: Any, tokenizer: Any) -> Hidden:
        return Hidden(Kinds(), tokenizer, every=True, label=self.batch)

    def filler(self, module: Any, tokenizer: Any, plan: Plan) -> None:
        return None

    def sample(self, plan: Plan, module: Any, tokenizer: Any, tokens: Sequence[int]) -> tuple[str, str]:
        return "", ""


@pytest.fixture
def registered() -> Iterator[KindOfRow]:
    task = KindOfRow()
    tasks.register(task)
    yield task
    del tasks._REGISTERED[task.name], metrics.OF_OBJECTIVE[task.name], metrics.METRICS[ACCURACY.name]


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
    registered: KindOfRow, plan: Any, machine: Any, optimizer_choice: Any, byte_rows: Any, name: str
) -> None:
    chosen = plan(
        objective="kind_of_row",
        shape=ladder.gpt(1, 64, vocabulary=320, context_length=T),
        batch_tokens=16 * T,
        micro_batch=4,
        tokens=40 * 16 * T,
        optimizer=optimizer_choice(name=name),
    )
    assert chosen.headline is ACCURACY
    device = torch.device("cpu")
    built = build(chosen, machine(), device)
    first = built.module.kinds.weight.detach().clone()
    scorer = registered.scorer(chosen, byte_rows)
    heldout = two_kinds(200, seed=1).ids

    def accuracy() -> float:
        score = scorer.put(built.module, heldout).score()
        assert score.tokens == 200
        return float(figures_of(ACCURACY, score)["accuracy"])

    before = accuracy()
    clock = TokensClock(Stopwatch(start=0.0, now=lambda: 0.0), tokens=chosen.tokens)
    batches = Batches(two_kinds(400, seed=0), context_length=T, seed=0)
    taken = list(training_steps(chosen, built, batches, clock, loop.Position()))
    assert len(taken) == 40 and taken[0].accumulation == 4 and not any(step.skipped for step in taken)
    assert not torch.equal(built.module.kinds.weight, first), "the optimizer has not found the head's weights"
    assert before < 0.8 < 0.95 < accuracy() and taken[-1].nats < 0.8 * taken[0].nats
    part = scorer.put_spread(built.module, heldout, tokens=100 * T)
    assert len(part.answers) == 100 and not part.whole


@pytest.fixture
def byte_rows() -> Any:
    class Tokenizer:
        token_bytes = np.ones(257, np.int64)
        end_of_text = 256

    return Tokenizer()
