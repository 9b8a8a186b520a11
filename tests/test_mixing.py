"""Mixing: every text has its share at every window, and which window comes next is arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from arrays import InMemory
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.errors import DataError, UsageError
from daybreak.data.batches import Batches
from daybreak.data.mixing import (
    LONGEST_PERIOD,
    Joined,
    Mixture,
    effective_epochs,
    repetition_warnings,
    spread,
    whole_shares,
)

PARTS = [(InMemory([20] * 30), 0.7), (InMemory([300], first=10_000), 0.2), (InMemory([9] * 20, first=20_000), 0.1)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=7))
def test_every_text_has_its_share_at_every_window(shares: list[int]) -> None:
    order = spread(shares)
    period = sum(shares)
    taken = np.cumsum(order[:, None] == np.arange(len(shares)), axis=0)
    ideal = np.arange(1, period + 1)[:, None] * np.array(shares)
    assert np.all(taken * period >= ideal // period * period) and np.all(taken <= -(-ideal // period))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-7, 1e7), min_size=1, max_size=6))
def test_shares_are_the_weights_in_whole_parts(weights: list[float]) -> None:
    shares = whole_shares(weights)
    total = sum(Fraction(repr(weight)) for weight in weights)
    assert min(shares) >= 1 and sum(shares) <= LONGEST_PERIOD
    for weight, share in zip(weights, shares, strict=True):
        meant = Fraction(repr(weight)) / total
        assert abs(meant - Fraction(share, sum(shares))) < Fraction(len(weights), LONGEST_PERIOD)


def test_shares_by_hand() -> None:
    assert whole_shares([0.7, 0.2, 0.1]) == (7, 2, 1)
    assert whole_shares([3, 3]) == (1, 1)
    assert whole_shares([1e9]) == (1,)
    assert sum(whole_shares([1 / 3, 0.123456789, 0.54321])) == LONGEST_PERIOD
    assert whole_shares([1.0, 1e-9]) == (LONGEST_PERIOD - 1, 1)


def test_windows_are_those_of_the_texts_in_their_own_order() -> None:
    mixture = Mixture(PARTS, context_length=8, seed=3)
    assert mixture.shares == (7, 2, 1)
    sources, own = mixture.sources(np.arange(500))
    for source, (tokens, _) in enumerate(PARTS):
        assert own[sources == source].tolist() == list(range(np.count_nonzero(sources == source)))
        rows = mixture.read(np.flatnonzero(sources == source))
        expected = mixture.parts[source].read(own[sources == source])
        assert torch.equal(rows, expected)
        assert set(rows.flatten().tolist()) <= set(tokens.ids.tolist())
    (alone,) = Mixture(PARTS[:1], context_length=8, seed=3).parts
    assert torch.equal(alone.take(5, 9).tokens, Batches(PARTS[0][0], context_length=8, seed=3).take(5, 9).tokens)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 40), st.integers(1, 4))
def test_it_resumes_anywhere_on_any_number_of_processes(cursor: int, rows: int, world: int) -> None:
    whole = Mixture(PARTS, context_length=8, seed=3)
    batch = whole.take(cursor, rows).tokens
    assert batch.shape == (rows, 9)
    for row in range(0, rows, 7):
        assert torch.equal(Mixture(PARTS, context_length=8, seed=3).take(cursor + row, 1).tokens[0], batch[row])
    for rank in range(world):
        part = Mixture(PARTS, context_length=8, seed=3, rank=rank, world=world)
        assert torch.equal(part.take(cursor, rows).tokens, batch[rank::world])


def test_epochs_are_counted_for_each_text() -> None:
    mixture = Mixture(PARTS, context_length=8, seed=0)
    for cursor in (0, 7, 10, 1234):
        sources, _ = mixture.sources(np.arange(cursor))
        counted = np.bincount(sources, minlength=3) / [part.windows_per_epoch for part in mixture.parts]
        assert mixture.epochs(cursor) == pytest.approx(counted.tolist())
    planned = effective_epochs([len(tokens) for tokens, _ in PARTS], [0.7, 0.2, 0.1], 8 * 10_000)
    assert planned == pytest.approx([0.7 * 80_000 / 600, 0.2 * 80_000 / 300, 0.1 * 80_000 / 180])
    assert mixture.epochs(10_000) == pytest.approx(planned, rel=0.1)  # what the ends of texts leave over is not read


def test_a_text_read_often_is_told() -> None:
    assert repetition_warnings(["books", "wiki"], effective_epochs([100, 300], [1, 1], 800)) == ()
    (warning,) = repetition_warnings(["books", "wiki"], effective_epochs([100, 300], [1, 1], 1000))
    assert warning.startswith("books is read 5.0 times") and "0.8 times as large" in warning


def test_joined_texts_are_one_array() -> None:
    parts = [tokens for tokens, _ in PARTS]
    joined = Joined(parts)
    whole = np.concatenate([part.ids for part in parts])
    assert len(joined) == len(whole) and joined.documents == 51
    assert joined.starts.tolist() == np.flatnonzero(whole == joined.end_of_text).tolist()
    for start, stop in ((0, 0), (0, len(whole)), (590, 610), (600, 900), (599, 1000), (900, 901)):
        assert joined.slice(start, stop).tolist() == whole[start:stop].tolist()
    positions = np.random.default_rng(0).integers(0, len(whole), (5, 6))
    assert joined.gather(positions).tolist() == whole[positions].tolist()
    assert Mixture(PARTS, context_length=8, seed=0).tokens.slice(0, 5).tolist() == whole[:5].tolist()


@pytest.mark.parametrize("weights", [[], [1.0, 0.0], [1.0, -2.0], [float("nan")], [float("inf"), 1.0]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(UsageError, match="positive"):
        whole_shares(weights)


def test_texts_of_different_tokenizers_are_refused() -> None:
    other = InMemory([100], vocabulary=50_000)
    with pytest.raises(DataError, match="different tokenizers\n  received: a vocabulary of 50000"):
        Mixture([(PARTS[0][0], 1.0), (other, 1.0)], context_length=8, seed=0)
    with pytest.raises(DataError, match="shorter than the model's context"):
        Mixture([(PARTS[0][0], 1.0), (InMemory([5]), 1.0)], context_length=8, seed=0)
