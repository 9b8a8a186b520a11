"""Batches: which tokens a step reads is a pure function of the cursor, and an epoch reads each token about once."""

from collections import Counter

import numpy as np
import pytest
import torch

from daybreak.core.errors import DataError
from daybreak.data import shards
from daybreak.data.batches import Batches, windows
from daybreak.data.shards import Tokens
from daybreak.data.sources import Document
from daybreak.data.tokenizers import Tokenizer

TEXT = "".join(chr(33 + i % 90) + chr(33 + i // 90) for i in range(499))  # every pair of characters is somewhere else


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> Tokens:
    folder = tmp_path_factory.mktemp("shards")
    shards.write(folder, "train", [Document(TEXT, True)], Tokenizer.bytes_only(), shard_tokens=64)
    return Tokens(folder, "train")


@pytest.mark.parametrize("context_length", [1, 7, 64, 300, 498, 499, 500, 997, 998])
def test_windows_of_an_epoch(tokens: Tokens, context_length: int) -> None:
    batches = Batches(tokens, context_length=context_length, seed=3)
    count = batches.windows_per_epoch
    assert count == max(1, (999 - context_length) // context_length)
    stream = tokens.slice(0, 999)
    for epoch in range(3):
        places = np.sort(batches._places_in(epoch))
        assert places[0] >= 0 and places[-1] + context_length + 1 <= 999
        assert np.all(np.diff(places) == context_length) and places[0] <= context_length
        rows = batches.take(epoch * count, count)
        assert rows.dtype == torch.int64 and rows.shape == (count, context_length + 1)
        for row, place in zip(rows, batches._places_in(epoch), strict=True):
            assert row.tolist() == stream[place : place + context_length + 1].tolist()
        assert batches.epoch_of(epoch * count) == batches.epoch_of((epoch + 1) * count - 1) == epoch


def test_take_is_a_pure_function(tokens: Tokens) -> None:
    batches = Batches(tokens, context_length=16, seed=5)
    whole = batches.take(0, 300)
    for cursor, rows in ((299, 1), (60, 5), (0, 7), (58, 100), (250, 50)):
        fresh = Batches(tokens, context_length=16, seed=5)
        assert torch.equal(fresh.take(cursor, rows), whole[cursor : cursor + rows])
        assert torch.equal(batches.take(cursor, rows), whole[cursor : cursor + rows])
    assert not torch.equal(Batches(tokens, context_length=16, seed=6).take(0, 30), whole[:30])
    assert not torch.equal(whole[:30], whole[batches.windows_per_epoch : batches.windows_per_epoch + 30])


def test_the_order_is_the_same_for_good(tokens: Tokens) -> None:
    assert Batches(tokens, context_length=100, seed=-1)._places_in(2).tolist() == [
        441,
        141,
        241,
        641,
        541,
        741,
        41,
        341,
    ]


def test_a_text_that_is_too_short(tokens: Tokens) -> None:
    with pytest.raises(DataError, match="context"):
        Batches(tokens, context_length=999, seed=0)


@pytest.mark.parametrize(
    ("context_length", "rows", "total"), [(10, 4, 999), (37, 32, 500), (1000, 2, 999), (333, 1, 999)]
)
def test_every_token_is_a_target_once(tokens: Tokens, context_length: int, rows: int, total: int) -> None:
    stream = tokens.slice(0, total)
    seen: list[int] = []
    shapes: Counter[tuple[int, ...]] = Counter()
    before = tokens.end_of_text
    for inputs, targets in windows(stream, context_length, end_of_text=tokens.end_of_text, rows=rows):
        assert inputs.dtype == targets.dtype == np.int64 and inputs.shape == targets.shape
        shapes[inputs.shape] += 1
        flat = targets.reshape(-1).tolist()
        assert inputs.reshape(-1).tolist() == [before, *flat[:-1]]
        before = flat[-1]
        seen += flat
    assert seen == stream.tolist()
    rest = total % context_length
    assert not rest or (1, rest) in shapes
    assert all(shape[0] <= rows and shape[1] in (context_length, rest) for shape in shapes)
