"""Scores of a part of a text: the same tokens' nats as of all of it, spread over it, and comparable between runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daybreak.core.types import Plan
from daybreak.data.batches import chosen_windows, windows
from daybreak.data.blocks import BLOCK_BYTES, block_order
from daybreak.data.tokenizers import byte_tokenizer, train_tokenizer
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.evaluation.score_table import Scores, common
from daybreak.models.gpt import Gpt
from daybreak.tasks import scoring, task_of
from daybreak.tasks.next_token import NextTokens
from daybreak.tasks.scoring import Hidden

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "seven", "wizards", "mix")


@pytest.fixture(scope="module")
def documents() -> list[str]:
    drawn = np.random.default_rng(0)
    return [" ".join(drawn.choice(WORDS, size)) for size in drawn.integers(40, 1000, 30)]


def stream_of(tokenizer: Tokenizer, documents: list[str]) -> np.ndarray:
    parts = [[tokenizer.end_of_text, *tokenizer.encode(text)] for text in documents]
    return np.array([token for part in parts for token in part], np.uint16)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 128, 1000])
def test_the_first_blocks_lie_spread_over_the_text(count: int) -> None:
    order = block_order(np.full(count * 4, BLOCK_BYTES // 4))
    assert sorted(set(order)) == list(range(count))
    for few in range(1, count + 1):
        chosen = np.unique(np.flatnonzero(order < few) // 4)
        assert len(chosen) == few
        widest = np.diff(chosen, prepend=-1, append=count).max()
        assert widest <= 2 * count / few + 2


def test_blocks_are_of_text_wherever_tokens_end(documents: list[str]) -> None:
    words, plain = train_tokenizer(documents, 400), byte_tokenizer()
    starts = []
    for tokenizer in (words, plain):
        sizes = tokenizer.token_bytes[stream_of(tokenizer, documents)].astype(np.int64)
        order, begins = block_order(sizes), np.cumsum(sizes) - sizes
        starts.append({int(rank): int(begins[order == rank].min()) for rank in np.unique(order)})
    assert starts[0].keys() == starts[1].keys()
    assert all(abs(starts[0][rank] - starts[1][rank]) < 20 for rank in starts[0])


@pytest.mark.parametrize("length", [0, 5, 16, 160, 163])
def test_chosen_windows_are_those_of_the_stream(length: int) -> None:
    stream = np.arange(length, dtype=np.uint16)
    every = list(windows(stream, 16, rows=1, end_of_text=999))
    for order in (np.arange(len(every)), np.random.default_rng(0).permutation(len(every))):
        given = list(chosen_windows(stream, order * 16, 16, rows=3, end_of_text=999))
        rows = [pair for inputs, targets in given for pair in zip(inputs, targets, strict=True)]
        assert len(rows) == len(every)
        for number, (inputs, targets) in zip(order, rows, strict=True):
            assert (inputs == every[number][0][0]).all() and (targets == every[number][1][0]).all()


@pytest.fixture(scope="module")
def scored(network: Callable[..., Gpt], documents: list[str]) -> tuple[Gpt, NextTokens, np.ndarray, Any]:
    tokenizer = byte_tokenizer()
    module, stream = network(vocabulary=257, context_length=64).eval(), stream_of(tokenizer, documents)
    exam = NextTokens(tokenizer)
    return module, exam, stream, exam.score(module, stream)


def test_all_of_a_text_is_scored_as_before(scored: tuple[Gpt, NextTokens, np.ndarray, Any]) -> None:
    module, exam, stream, whole = scored
    part = exam.score_spread(module, stream)
    assert part.whole and part.tokens.all()
    np.testing.assert_allclose(part.answers.nats, whole.nats, rtol=1e-4, atol=1e-5)
    assert (part.answers.sizes == whole.sizes).all()


def test_a_part_has_the_nats_of_the_whole_and_is_spread(scored: tuple[Gpt, NextTokens, np.ndarray, Any]) -> None:
    module, exam, stream, whole = scored
    part = exam.score_spread(module, stream, tokens=len(stream) // 3)
    assert not part.whole and abs(part.tokens.mean() - 1 / 3) < 0.02
    np.testing.assert_allclose(part.answers.nats, whole.nats[part.tokens], rtol=1e-4, atol=1e-5)
    quarters = [piece.mean() for piece in np.array_split(part.tokens, 4)]
    assert min(quarters) > 0.1  # a beginning would leave the last ones empty
    # Where there is no time at all, one pass of the model is made, of text from all over, too.
    hurried = exam.score_spread(module, stream, seconds=0.0)
    assert 0 < hurried.tokens.sum() <= scoring.EVALUATION_TOKENS
    assert hurried.tokens[len(stream) // 2 :].any()


class Rows:
    """An objective of hidden tokens: the nats of a target are its token, a hit is an even one."""

    def scored(self, module: Any, batch: Any) -> Any:
        targets = batch.tokens[:, :-1:4].flatten()
        return targets.float(), targets % 2 == 0, targets


def test_hidden_tokens_of_a_part_are_those_of_the_whole(network: Callable[..., Gpt], documents: list[str]) -> None:
    tokenizer = byte_tokenizer()
    module, stream = network(vocabulary=257, context_length=64).eval(), stream_of(tokenizer, documents)
    exam = Hidden(Rows(), tokenizer, every=False)  # type: ignore[arg-type]
    whole, every, part = (
        exam.score(module, stream),
        exam.score_spread(module, stream),
        exam.score_spread(module, stream, tokens=len(stream) // 3),
    )
    assert every.whole and (every.answers.nats == whole.nats).all() and (every.answers.hits == whole.hits).all()
    assert not part.whole and part.windows[-len(part.windows) // 4 :].any()
    rows = whole.nats.reshape(len(part.windows), -1)
    assert (part.answers.nats == rows[part.windows].ravel()).all()
    headline = _headline()
    of_whole = Scores.of_hidden(stream, whole, headline, 64)
    of_part = Scores.of_hidden(stream, part.answers, headline, 64, where=part.windows)
    one, other = common([of_whole, of_part])
    assert of_whole.whole and not of_part.whole and len(one.sizes) == part.windows.sum()
    assert (one.losses == other.losses).all()


def _headline() -> Any:
    from daybreak.core.metrics import MASKED_ACCURACY

    return MASKED_ACCURACY


def test_parts_of_different_tokenizers_are_compared_on_the_text_that_both_have(
    documents: list[str], tmp_path: Path
) -> None:
    found = []
    for tokenizer, share in ((byte_tokenizer(), 0.5), (train_tokenizer(documents, 400), 0.7)):
        stream = stream_of(tokenizer, documents)
        sizes = tokenizer.token_bytes[stream].astype(np.int64)
        order = block_order(sizes)
        where = order < share * (order.max() + 1)
        nats = np.where(sizes > 0, sizes * math.log(2), 9.0) * np.where(np.arange(len(sizes)) % 2, 1.5, 0.5)
        whole = Scores.of(stream, tokenizer, nats, None, whole=True)
        part = Scores.of(stream, tokenizer, nats[where], None, whole=True, where=where)
        assert whole.whole and not part.whole
        assert 0.75 * where[sizes > 0].mean() < part.size / whole.size <= where[sizes > 0].mean() * 1.05
        # Each cell has the nats that it has where all is scored.
        one, other = common([whole, part])
        assert len(other.sizes) == len(part.sizes) and other.losses == pytest.approx(one.losses)
        part.save(tmp_path / "part.npz")
        back = Scores.read(tmp_path / "part.npz")
        assert (back.places == part.places).all() and (back.digests == part.digests).all()
        found.append(back)
    one, other = common(found)
    assert (one.digests == other.digests).all() and one.size > 0.35 * whole.size
    assert one.documents[-1] > len(documents) // 2


def test_scores_of_older_runs_have_their_places(documents: list[str], tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    stream = stream_of(tokenizer, documents)
    scores = Scores.of(stream, tokenizer, np.ones(len(stream)), None, whole=True)
    scores.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as file:
        np.savez(tmp_path / "old.npz", **{name: file[name] for name in file.files if name != "places"})
    assert (Scores.read(tmp_path / "old.npz").places == scores.places).all()


def test_every_kind_of_plan_has_a_scorer_that_spreads(plan: Callable[..., Plan]) -> None:
    assert hasattr(task_of("next_token").scorer(plan(), byte_tokenizer()), "score_spread")
