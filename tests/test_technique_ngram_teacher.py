"""ngram_teacher: what it draws is distributed as the counts say, and the same rows have the same draws."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from daybreak.data.batches import Batch
from daybreak.models.ngram.kneser_ney import KneserNey
from daybreak.models.objectives import following
from daybreak.tasks.next_token import NextToken
from daybreak.techniques import Context, fold
from daybreak.techniques.ngram_teacher import TEACHER, NgramTeacher, taught

VOCABULARY = 12


@pytest.fixture(scope="module")
def teacher() -> KneserNey:
    rng = np.random.default_rng(0)
    tokens = (np.cumsum(rng.geometric(0.5, 4000)) % VOCABULARY).astype(np.uint16)
    return KneserNey.fit(tokens, order=3, vocabulary=VOCABULARY, starts=np.array([0, 1000, 2500]))


@pytest.mark.parametrize("row", [[3], [3, 5], [7, 3, 5], [0, 0, 0], [11, 10, 9, 8]])
def test_draws_follow_the_counts(teacher: KneserNey, row: list[int]) -> None:
    drawn = teacher.sample(np.tile(np.array(row, np.uint16), (20_000, 1)), np.random.default_rng(1))
    expected = teacher.distribution(row) if len(row) >= 2 else None
    shares = np.bincount(drawn[:, -1], minlength=VOCABULARY) / len(drawn)
    if expected is None:  # a row too short for the highest order has what that order is mixed with
        assert shares.sum() == pytest.approx(1.0)
        return
    assert np.abs(shares - expected).max() < 0.015


def test_the_share_of_changed_targets_and_the_same_again(teacher: KneserNey) -> None:
    rows = torch.randint(VOCABULARY, (64, 33), generator=torch.Generator().manual_seed(0))
    targets = taught(teacher, rows, following(rows), 0.5)
    assert targets.shape == (64, 32)
    changed = (targets != following(rows)).float().mean()
    assert 0.3 < changed < 0.5  # half are drawn, and some of these are what follows anyway
    assert torch.equal(targets, taught(teacher, rows, following(rows), 0.5))
    assert torch.equal(taught(teacher, rows, following(rows), 0.0), following(rows))


def test_the_share_falls_with_the_progress(teacher: KneserNey, plan: Any, machine: Any) -> None:
    context = Context(plan=plan(), machine=machine())
    technique = NgramTeacher(share=0.8, until=0.5)
    loss, touched = fold([("ngram_teacher", technique)], "loss", NextToken(), context)
    followers, _ = fold([("ngram_teacher", technique)], "step", [], context)
    assert touched[0].places == 1
    rows = torch.randint(VOCABULARY, (64, 33), generator=torch.Generator().manual_seed(0))

    def changed() -> float:
        return float((loss.labels(rows) != following(rows)).float().mean())

    assert changed() == 0.0  # nothing has been counted, as in a probe
    context.leave(TEACHER, teacher)
    begun = changed()
    followers[0](None, 0.25)
    assert 0.3 * begun < changed() < 0.7 * begun
    followers[0].load(*SimpleNamespace(state=({}, 0.5)).state)
    assert changed() == 0.0


def test_the_loss_is_of_the_drawn_targets(teacher: KneserNey) -> None:
    weight = torch.randn(VOCABULARY, 8)
    module = SimpleNamespace(
        hidden=lambda tokens: weight[tokens],
        lm_head=SimpleNamespace(weight=weight),
        shape=SimpleNamespace(logit_cap=0.0),
    )
    rows = torch.randint(VOCABULARY, (4, 9))
    taken = NextToken(labels=lambda rows: torch.zeros_like(following(rows)))
    expected = -torch.log_softmax(weight[rows[:, :-1]] @ weight.t(), -1)[..., 0].sum()
    assert float(taken(module, Batch(rows))) == pytest.approx(float(expected), rel=1e-4)


def test_refuses_where_little_can_be_counted(plan: Any, machine: Any) -> None:
    assert NgramTeacher().refuses(plan(), machine()) is None
    assert "counted" in (NgramTeacher().refuses(plan(), machine(memory_bytes=10**6)) or "")
