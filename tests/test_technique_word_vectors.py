"""word_vectors: neighbours counted by hand, files in three formats, and damaged ones as errors in three parts."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daybreak.core.errors import DataError
from daybreak.core.run import Run
from daybreak.core.types import TokenizerChoice
from daybreak.data import shards, vectors
from daybreak.data.sources import Document
from daybreak.data.tokenizers import train_tokenizer
from daybreak.techniques import Context, fold
from daybreak.techniques.word_vectors import WordVectors, neighbours, of_counts, of_file, placed

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = {"the": [1.0, 2.0, -3.0], "fox": [0.5, 0.0, 4.0], "New York": [9.0, 9.0, 9.0]}


def text_file(path: Path, *, header: bool) -> Path:
    lines = [f"{word} {' '.join(map(str, vector))}\n" for word, vector in WORDS.items()]
    path.write_text((f"{len(WORDS)} 3\n" if header else "") + "".join(lines))
    return path


def binary_file(path: Path, *, ends: bytes = b"") -> Path:
    parts = [
        word.replace(" ", "_").encode() + b" " + struct.pack("<3f", *vector) + ends for word, vector in WORDS.items()
    ]
    path.write_bytes(b"3 3\n" + b"".join(parts))
    return path


# Files


@pytest.mark.parametrize("ends", [b"", b"\n"])
def test_three_formats_are_told_apart(tmp_path: Path, ends: bytes) -> None:
    wanted = {"the", "fox", "New York", "nothing"}
    for header in (True, False):
        found = vectors.read(text_file(tmp_path / "text", header=header), wanted)
        assert {word: vector.tolist() for word, vector in found.items()} == WORDS
    found = vectors.read(binary_file(tmp_path / "binary", ends=ends), wanted)
    assert {word: vector.tolist() for word, vector in found.items()} == {w: WORDS[w] for w in ("the", "fox")}
    assert all(vector.dtype == np.float32 for vector in found.values())
    assert list(vectors.read(text_file(tmp_path / "text", header=True), {"fox"})) == ["fox"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "0 numbers|-1 numbers"),
        (b"hello\n", "0 numbers"),
        (b"2 3\nthe 1 2 3\nfox 1 2\n", "line 3 has"),
        (b"the 1 2 3\nfox 1 2\n", "line 2 has"),
        (b"the 1 2 3\nfox 1 two 3\n", "line 2"),
        (b"the 1 2 nan\n", "not finite"),
        (b"2 3\nthe \x00\x00\x80\x3f\x00\x00", "ends in word 1"),
        (b"2 1\nthe \xff\xff\x80\x3f", "word 2 of 2 has no end"),
        (b"2 1\nthe \xff\xff\xff\x7f" + b"fox " + b"\xff" * 4, "not finite"),
        (b"2 99999999999\nthe 1\n", "99999999999 numbers"),
        (b"1 3\n" + b"x" * 5000, "no end"),
        (b"\x80\x04\x95 pickle", "1 numbers|line 1|cannot"),
        (b"a 1\n" + b"b" * 400_000, "does not end"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_three_parts(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(content)

    class All:
        def __contains__(self, word: object) -> bool:
            return True

    with pytest.raises(DataError, match="word vectors cannot be read") as raised:
        vectors.read(path, All())
    assert str(path) in raised.value.received and raised.value.attempt
    assert any(part in raised.value.received for part in why.split("|")), raised.value.received


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        vectors.read(tmp_path / "nothing", set())
    with pytest.raises(DataError, match="directory"):
        vectors.read(tmp_path, set())


# Learnt from the text


def test_neighbours_by_hand() -> None:
    end = 9
    one, other, counts = neighbours(np.array([1, 2, 1, end, 3, 1]), 2, end)
    found = dict(zip(zip(one.tolist(), other.tolist(), strict=True), counts.tolist(), strict=True))
    assert found == {(1, 2): 2, (2, 1): 2, (1, 1): 2, (3, 1): 1, (1, 3): 1}
    assert len(neighbours(np.array([], np.int64), 2, end)[0]) == 0


def test_the_vectors_are_factors_of_the_positive_mutual_information() -> None:
    generator = np.random.default_rng(0)
    counts = generator.integers(0, 20, (6, 6))
    counts = counts + counts.T
    one, other = np.nonzero(counts)
    share = counts / counts.sum()
    wanted = np.log(np.maximum(share, 1e-12) / np.outer(share.sum(1), share.sum(0))).clip(min=0)
    seen, found = of_counts(one + 10, other + 10, counts[one, other], width=6, seed=0)
    assert seen.tolist() == [10, 11, 12, 13, 14, 15]
    left, sizes, _ = np.linalg.svd(wanted)
    np.testing.assert_allclose(found @ found.T, (left * sizes) @ left.T, atol=1e-4)
    again = of_counts(one + 10, other + 10, counts[one, other], width=2, seed=0)[1]
    assert again.shape == (6, 2) and np.array_equal(
        again, of_counts(one, other, counts[one, other], width=2, seed=0)[1]
    )
    with pytest.raises(DataError, match="too short for word vectors"):
        of_counts(one[:0], other[:0], one[:0], width=2, seed=0)


def test_rows_keep_the_deviation_that_they_had() -> None:
    table = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) * 0.02
    before, deviation = table.clone(), float(table[10:40].std())
    found = np.random.default_rng(0).standard_normal((30, 5)).astype(np.float32) * 7 + 3
    assert placed(table, np.arange(10, 40), found) == 30
    assert float(table[10:40, :5].std()) == pytest.approx(deviation, rel=0.01)
    assert torch.equal(table[:10], before[:10]) and torch.equal(table[10:40, 5:], before[10:40, 5:])
    np.testing.assert_allclose(np.corrcoef(table[10:40, 0].numpy(), found[:, 0])[0, 1], 1.0, atol=1e-5)


@pytest.fixture
def context(tmp_path: Path, plan, machine) -> Any:
    run = Run(tmp_path / "run")
    run.make()
    text = "the cat sat on the mat. a dog lay on the rug. the cat lay on the rug. a dog sat on the mat. " * 20
    tokenizer = train_tokenizer([text], 280)
    tokenizer.save(run.tokenizer_file)
    shards.write(run.corpus_folder, f"train-{tokenizer.vocabulary}", [Document(text, True)], tokenizer)
    choice = TokenizerChoice(kind="bpe", vocabulary=tokenizer.vocabulary)
    return Context(plan=plan(tokenizer=choice), machine=machine(), run=run), tokenizer, text


def test_tokens_in_like_places_get_like_vectors(context: Any, network) -> None:
    run, tokenizer, text = context
    fresh, learnt = network(vocabulary=320, width=16, heads=1, key_value_heads=1), None
    before = fresh.model.embed_tokens.weight.detach().clone()
    learnt, touched = fold([("word_vectors", WordVectors())], "module", fresh, run)
    tokens = set(
        tokenizer.encode(text).tolist() if hasattr(tokenizer.encode(text), "tolist") else tokenizer.encode(text)
    )
    assert touched[0].places == len(tokens)
    table = learnt.model.embed_tokens.weight.detach()
    untouched = [token for token in range(320) if token not in tokens]
    assert torch.equal(table[untouched], before[untouched]) and not torch.equal(table, before)
    rows = sorted(tokens)
    assert float(table[rows].std()) == pytest.approx(float(before[rows].std()), rel=0.02)


def test_vectors_of_a_file_go_to_the_tokens_with_that_text(context: Any, network, tmp_path: Path) -> None:
    run, tokenizer, _ = context
    path = text_file(tmp_path / "vectors.txt", header=True)
    rows, found = of_file(path, tokenizer, 16, 0)
    assert {tokenizer.bytes_of(row).decode().strip().lower() for row in rows.tolist()} == {"the"}
    assert found.tolist() == [WORDS["the"]] * len(rows)
    assert of_file(path, tokenizer, 2, 0)[1].shape == (len(rows), 2)
    path.write_text("zebra 1 2 3\n")
    with pytest.raises(DataError, match="no token has a word vector"):
        fold([("word_vectors", WordVectors(path=str(path)))], "module", network(vocabulary=320), run)


def test_it_is_off_unless_asked_for(plan, machine) -> None:
    assert not WordVectors.default and WordVectors().refuses(plan(), machine()) is None
