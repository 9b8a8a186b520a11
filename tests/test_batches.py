"""Batches: which tokens a step reads is a pure function of the cursor, and an epoch reads each token about once."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from arrays import InMemory
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.errors import DataError, ResourceError, UsageError
from daybreak.data import shards, token_files
from daybreak.data.batches import LEAST_DOCUMENTS, Batch, Batches, chosen_windows, documents_of, windows
from daybreak.data.shards import Tokens
from daybreak.data.sources import Document
from daybreak.data.tokenizers import byte_tokenizer
from daybreak.data.windows import in_document, merged, most_context, overlapping

TEXT = "".join(chr(33 + i % 90) + chr(33 + i // 90) for i in range(499))  # every pair of characters is somewhere else


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> Tokens:
    folder = tmp_path_factory.mktemp("shards")
    shards.write(folder, "train", [Document(TEXT, True)], byte_tokenizer(), shard_tokens=64)
    return Tokens(folder, "train")


@pytest.mark.parametrize("context_length", [1, 7, 64, 300, 498, 499, 500, 997, 998])
def test_windows_of_an_epoch(tokens: Tokens, context_length: int) -> None:
    batches = Batches(tokens, context_length=context_length, seed=3)
    count = batches.windows_per_epoch
    assert count == max(1, (999 - context_length) // context_length)
    stream = tokens.slice(0, 999)
    for epoch in range(3):
        places = np.sort(batches._order(epoch).places)
        assert places[0] >= 0 and places[-1] + context_length + 1 <= 999
        assert np.all(np.diff(places) == context_length) and places[0] <= context_length
        rows = batches.take(epoch * count, count).tokens
        assert rows.dtype == torch.int64 and rows.shape == (count, context_length + 1)
        for row, place in zip(rows, batches._order(epoch).places, strict=True):
            assert row.tolist() == stream[place : place + context_length + 1].tolist()
        assert batches.epoch_of(epoch * count) == batches.epoch_of((epoch + 1) * count - 1) == epoch


def test_take_is_a_pure_function(tokens: Tokens) -> None:
    batches = Batches(tokens, context_length=16, seed=5)
    whole = batches.take(0, 300).tokens
    for cursor, rows in ((299, 1), (60, 5), (0, 7), (58, 100), (250, 50)):
        fresh = Batches(tokens, context_length=16, seed=5)
        assert torch.equal(fresh.take(cursor, rows).tokens, whole[cursor : cursor + rows])
        assert torch.equal(batches.take(cursor, rows).tokens, whole[cursor : cursor + rows])
    assert not torch.equal(Batches(tokens, context_length=16, seed=6).take(0, 30).tokens, whole[:30])
    assert not torch.equal(whole[:30], whole[batches.windows_per_epoch : batches.windows_per_epoch + 30])


def test_the_order_is_the_same_for_good(tokens: Tokens) -> None:
    assert Batches(tokens, context_length=100, seed=-1)._order(2).places.tolist() == [
        441,
        141,
        241,
        641,
        541,
        741,
        41,
        341,
    ]


# Documents in an order of their own

LENGTHS = st.lists(st.integers(1, 30), min_size=LEAST_DOCUMENTS, max_size=40)


def stream_of(batches: Batches, epoch: int) -> np.ndarray:
    """Positions in the text of all of an epoch's stream, put together slowly."""
    order = batches._order(epoch)
    begins = [0, *order.ends[:-1].tolist()]
    return np.concatenate(
        [
            np.arange(begin + shift, end + shift)
            for begin, end, shift in zip(begins, order.ends.tolist(), order.shifts.tolist(), strict=True)
        ]
    )


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 20), st.integers(0, 9), st.integers(0, 3), st.integers(0, 50))
def test_windows_cut_a_stream_of_whole_documents(lengths, context_length, seed, epoch, extra) -> None:
    tokens = InMemory(lengths)
    if len(tokens) <= context_length:
        return
    batches = Batches(tokens, context_length=context_length, seed=seed)
    stream = stream_of(batches, epoch)
    assert sorted(stream.tolist()) == list(range(len(tokens)))
    follows = stream[np.flatnonzero(np.diff(stream) != 1) + 1]
    assert {0, *tokens.starts.tolist()} >= set(follows.tolist()), "only the beginning of a document is moved"
    count = batches.windows_per_epoch
    numbers = np.arange(epoch * count, (epoch + 1) * count)
    rows = batches.read(numbers, extra=extra).numpy()
    round_and_round = np.tile(stream, 2 + (context_length + extra) // len(stream))
    places = batches._order(epoch).places
    assert len(set(places.tolist())) == count and np.all(np.diff(np.sort(places)) == context_length)
    for row, place in zip(rows, places, strict=True):
        assert row.tolist() == tokens.ids[round_and_round[place : place + context_length + 1 + extra]].tolist()
    assert torch.equal(batches.take(epoch * count, count).tokens, torch.from_numpy(rows[:, : context_length + 1]))


def test_every_epoch_has_an_order_of_its_own_and_its_windows_are_shuffled() -> None:
    batches = Batches(InMemory([20] * 50), context_length=8, seed=1)
    streams = [stream_of(batches, epoch).tolist() for epoch in range(5)]
    for one, other in itertools.combinations(streams, 2):
        assert one != other
    assert streams == [stream_of(Batches(batches.tokens, context_length=8, seed=1), e).tolist() for e in range(5)]
    assert streams[0] != stream_of(Batches(batches.tokens, context_length=8, seed=2), 0).tolist()
    neighbours = np.abs(np.diff(batches._order(0).places)) == 8
    assert neighbours.mean() < 0.1


def test_the_order_of_documents_is_the_same_for_good() -> None:
    order = Batches(InMemory([4] * 10), context_length=3, seed=-1)._order(2)
    assert (order.ends + order.shifts).tolist() == [8, 16, 28, 4, 40, 36, 24, 32, 20, 12]


def test_a_handful_of_documents_stay_as_they_stand() -> None:
    assert documents_of(InMemory([10] * 7)) is None
    assert documents_of(InMemory([10] * 8)) is not None
    assert documents_of(InMemory([40, *[10] * 12])) is not None  # exactly a quarter
    assert documents_of(InMemory([41, *[10] * 12])) is None
    novel = Batches(InMemory([500, 10]), context_length=8, seed=1)
    assert stream_of(novel, 3).tolist() == list(range(510))


def test_what_stands_before_the_first_end_of_text_is_a_document() -> None:
    tokens = InMemory([10] * 9)
    tokens.starts = tokens.starts[1:]
    begins = documents_of(tokens)
    assert begins is not None and begins.tolist() == list(range(0, 90, 10))
    tokens.starts = tokens.starts[:0]
    assert documents_of(tokens) is None


def test_shards_give_what_an_array_gives(tmp_path: Path) -> None:
    texts = [f"{number} " * (1 + number % 5) for number in range(100, 160)]
    shards.write(tmp_path, "train", [Document(text, True) for text in texts], byte_tokenizer(), shard_tokens=50)
    tokens = Tokens(tmp_path, "train")
    whole = tokens.slice(0, len(tokens))
    positions = np.random.default_rng(0).integers(0, len(tokens), (7, 9))
    assert tokens.gather(positions).tolist() == whole[positions].tolist()
    batches = Batches(tokens, context_length=11, seed=4)
    order, stream = batches._order(0), stream_of(batches, 0)
    for row, place in zip(batches.take(0, 20).tokens, order.places, strict=False):
        assert row.tolist() == whole[stream[place : place + 12]].tolist()


@settings(max_examples=40, deadline=None)
@given(LENGTHS, st.integers(1, 5), st.integers(0, 200), st.integers(0, 30))
def test_ranks_together_read_the_batch_of_one_process(lengths, world, cursor, rows) -> None:
    tokens = InMemory([*lengths, 9, 9])
    whole = Batches(tokens, context_length=5, seed=7)
    batch = whole.take(cursor, rows).tokens
    for rank in range(world):
        part = Batches(tokens, context_length=5, seed=7, rank=rank, world=world)
        assert torch.equal(part.take(cursor, rows).tokens, batch[rank::world])
        assert part.numbers(cursor, rows).tolist() == list(range(cursor, cursor + rows))[rank::world]


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


def test_chosen_windows_are_those_of_all_in_their_order_and_the_rest_stands_alone() -> None:
    stream = np.arange(10, 20).astype(np.uint16)
    found = list(chosen_windows(stream, np.array([4, 0, 8, 0, 6]), 4, end_of_text=7, rows=3))
    told = [(inputs.tolist(), targets.tolist()) for inputs, targets in found]
    assert told == [
        ([[13, 14, 15, 16], [7, 10, 11, 12]], [[14, 15, 16, 17], [10, 11, 12, 13]]),
        ([[17, 18]], [[18, 19]]),
        ([[7, 10, 11, 12], [15, 16, 17, 18]], [[10, 11, 12, 13], [16, 17, 18, 19]]),
    ]
    assert all(part.dtype == np.int64 for both in found for part in both)
    assert list(chosen_windows(stream[:0], np.array([], np.int64), 4, end_of_text=7)) == []


def test_windows_come_32_at_once_unless_told() -> None:
    stream = np.arange(80)
    every = [inputs.shape for inputs, _ in windows(stream, 2, end_of_text=0)]
    chosen = [inputs.shape for inputs, _ in chosen_windows(stream, np.arange(0, 80, 2), 2, end_of_text=0)]
    assert every == chosen == [(32, 2), (8, 2)]


def test_the_orders_of_two_epochs_that_meet_are_kept_and_no_others() -> None:
    batches = Batches(InMemory([20] * 50), context_length=8, seed=1)
    orders = [batches._order(epoch) for epoch in (0, 1)]
    assert [batches._order(epoch) for epoch in (0, 1, 0)] == [orders[0], orders[1], orders[0]]
    for epoch, kept in ((2, {1, 2}), (5, {5}), (4, {4, 5}), (2, {2})):
        batches._order(epoch)
        assert set(batches._orders) == kept


# Files of other tools


def header(count: int, *, magic: int = 20240520, version: int = 1) -> bytes:
    numbers = np.zeros(256, dtype="<i4")
    numbers[:3] = magic, version, count
    return numbers.tobytes()


IDS = np.array([50256, 5, 6, 50256, 7, 8, 9, 50256, 1], dtype="<u2")


@pytest.mark.parametrize("begins", [b"", header(len(IDS))], ids=["nanoGPT", "llm.c and nanochat"])
def test_tokens_of_other_tools_are_read(tmp_path: Path, begins: bytes) -> None:
    file = tmp_path / "train.bin"
    file.write_bytes(begins + IDS.tobytes())
    tokens = token_files.open_token_file(file)
    assert len(tokens) == len(IDS) and tokens.slice(2, 6).tolist() == IDS[2:6].tolist()
    assert tokens.starts.tolist() == [0, 3, 7] and tokens.documents == 3
    assert tokens.gather(np.array([[8, 0], [4, 4]])).tolist() == [[1, 50256], [7, 7]]
    assert (tokens.vocabulary, tokens.end_of_text) == (50257, 50256)
    row = Batches(tokens, context_length=3, seed=0).take(0, 1).tokens[0].tolist()
    assert ",".join(map(str, row)) in ",".join(map(str, IDS.tolist()))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no tokens"),
        (b"\1\2\3", "3 bytes"),
        (header(len(IDS) + 1) + IDS.tobytes(), "the header tells 10 tokens"),
        (header(len(IDS), version=2) + IDS.tobytes(), "version 2"),
        (header(4, magic=20240801, version=7) + bytes(16), "not that of the GPT-2 tokenizer"),
        (header(0), "no tokens"),
    ],
)
def test_what_is_no_file_of_tokens_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "train.bin"
    file.write_bytes(content)
    with pytest.raises(DataError, match=why):
        token_files.open_token_file(file)


def test_ids_beyond_the_vocabulary_and_missing_files_are_told(tmp_path: Path) -> None:
    file = tmp_path / "train.bin"
    file.write_bytes(np.array([1, 50257, 60000], dtype="<u2").tobytes())
    with pytest.raises(DataError, match="id 60000"):
        _ = token_files.open_token_file(file).starts
    with pytest.raises(ResourceError, match="cannot be read"):
        token_files.open_token_file(tmp_path / "none.bin")


# Long documents in parts


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 200), st.integers(1, 30), st.data())
def test_every_token_is_in_a_part(tokens: int, length: int, data) -> None:
    overlap = data.draw(st.integers(0, length - 1))
    parts = overlapping(tokens, length, overlap)
    document = np.arange(tokens)
    assert sorted({place for part in parts for place in document[part].tolist()}) == document.tolist()
    assert all(part.stop - part.start == min(length, tokens) for part in parts)
    starts = [part.start for part in parts]
    assert starts == sorted(set(starts))
    for before, after in itertools.pairwise(parts):
        shared = before.stop - after.start
        assert shared == overlap or (after is parts[-1] and shared >= overlap)
    window, position = most_context(parts)
    assert in_document(parts, window, position).tolist() == document.tolist()
    assert merged(parts, [document[part] for part in parts]).tolist() == document.tolist()


def test_the_part_with_the_most_context_by_hand() -> None:
    parts = overlapping(10, 6, 3)
    assert parts == [slice(0, 6), slice(3, 9), slice(4, 10)]
    window, position = most_context(parts)
    assert window.tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 2, 2]
    assert position.tolist() == [0, 1, 2, 3, 4, 2, 3, 3, 4, 5]


def test_windows_that_would_not_move_are_refused() -> None:
    for overlap in (-1, 8, 9):
        with pytest.raises(UsageError, match="an overlap from 0 to 7"):
            overlapping(100, 8, overlap)


def test_a_batch_goes_to_a_device_and_into_parts_with_its_labels() -> None:
    batch = Batch(torch.arange(15).reshape(5, 3), labels=torch.arange(5))
    parts = batch.split(2)
    assert [len(part) for part in parts] == [3, 2] == [len(part.labels) for part in parts]
    assert torch.equal(torch.cat([part.tokens for part in parts]), batch.tokens)
    assert torch.equal(torch.cat([part.labels for part in parts]), batch.labels)
    assert all(part.labels is None for part in Batch(batch.tokens).split(2))
    moved = batch.to(torch.device("meta"))
    assert moved.tokens.is_meta and moved.labels.is_meta and Batch(batch.tokens).to(torch.device("meta")).labels is None


class Values:
    """A tensor that says what was done to it."""

    def __init__(self, kind: str, done: str = "") -> None:
        self.device, self.done = torch.device(kind), done

    def pin_memory(self) -> "Values":
        return Values(self.device.type, f"{self.done} pinned")

    def to(self, device: torch.device, non_blocking: bool = False) -> "Values":
        return Values(device.type, f"{self.done} to {device.type}{' at once' if non_blocking else ''}")


@pytest.mark.parametrize(
    ("place", "device", "done"),
    [("cpu", "cuda", " pinned to cuda at once"), ("cuda", "cuda", " to cuda at once"), ("cpu", "cpu", " to cpu")],
)
def test_a_batch_goes_to_a_cuda_device_from_pinned_memory(place: str, device: str, done: str) -> None:
    moved = Batch(Values(place), labels=Values(place)).to(torch.device(device))
    assert moved.tokens.done == moved.labels.done == done


def test_a_batch_is_pinned_where_it_is_not_on_a_device() -> None:
    assert Batch(Values("cpu"), labels=Values("cpu")).pin_memory().labels.done == " pinned"
    assert Batch(Values("cuda")).pin_memory().tokens.done == ""
