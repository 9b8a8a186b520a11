"""Shards: the array that is read is the stream that was written."""

import numpy as np
import pytest

from daybreak.core.errors import DataError, ResourceError, UsageError
from daybreak.data import cleaning, shards
from daybreak.data.shards import Tokens
from daybreak.data.sources import Document
from daybreak.data.tokenizers import byte_tokenizer, train_tokenizer
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.data.tokenizers.byte_level import ByteLevelBpe

TEXTS = [("one", True), (" and", False), ("", True), ("two é", True), ("x" * 50, True), (" more", False)]
DOCUMENTS = [Document(text, starts) for text, starts in TEXTS]


def expected(tokenizer: Tokenizer) -> list[int]:
    stream: list[int] = []
    for text, starts in TEXTS:
        stream += [tokenizer.end_of_text] * starts + tokenizer.encode(text)
    return stream


@pytest.fixture(params=["bytes", "bpe"])
def tokenizer(request) -> Tokenizer:
    return byte_tokenizer() if request.param == "bytes" else train_tokenizer(["one two one two x" * 9], 270)


@pytest.mark.parametrize("shard_tokens", [7, 1000])
@pytest.mark.parametrize("batch", [10, 1 << 20])
def test_round_trip(tmp_path, tokenizer: Tokenizer, shard_tokens: int, batch: int, monkeypatch) -> None:
    monkeypatch.setattr(cleaning, "BATCH_CHARACTERS", batch)
    index = shards.write(tmp_path, "train", iter(DOCUMENTS), tokenizer, shard_tokens=shard_tokens)
    tokens = Tokens(tmp_path, "train")
    stream = expected(tokenizer)
    assert len(tokens) == index.tokens == len(stream)
    assert tokens.bytes == sum(len(text.encode()) for text, _ in TEXTS)
    assert tokens.documents == 4
    assert tokens.starts.tolist() == [i for i, token in enumerate(stream) if token == tokenizer.end_of_text]
    for start in range(0, len(stream) + 1, 3):
        for stop in range(start, len(stream) + 1):
            assert tokens.slice(start, stop).tolist() == stream[start:stop]
    tokens.verify()
    assert not list(tmp_path.glob("*.part"))
    if shard_tokens == 7:
        assert len(index.files) == -(-len(stream) // 7)


def test_rewriting_leaves_nothing_old(tmp_path) -> None:
    tokenizer = byte_tokenizer()
    first = shards.write(tmp_path, "train", DOCUMENTS, tokenizer, shard_tokens=5)
    second = shards.write(tmp_path, "train", DOCUMENTS, tokenizer, shard_tokens=40)
    assert len(first.files) > len(second.files) == len(list(tmp_path.glob("train-*.bin")))
    assert Tokens(tmp_path, "train").slice(0, second.tokens).tolist() == expected(tokenizer)
    assert second.digest() == shards.write(tmp_path, "again", DOCUMENTS, tokenizer, shard_tokens=40).digest()


def test_a_write_that_breaks_off_leaves_no_index(tmp_path) -> None:
    tokenizer = byte_tokenizer()
    shards.write(tmp_path, "train", DOCUMENTS, tokenizer)

    def broken():
        yield DOCUMENTS[0]
        raise DataError("gone", received="a file", attempt="again")

    with pytest.raises(DataError):
        shards.write(tmp_path, "train", broken(), tokenizer)
    with pytest.raises(UsageError):
        Tokens(tmp_path, "train")


def test_no_documents(tmp_path) -> None:
    shards.write(tmp_path, "none", [], byte_tokenizer())
    tokens = Tokens(tmp_path, "none")
    assert len(tokens) == 0 == len(tokens.starts) and tokens.slice(0, 0).tolist() == []


def test_damage_is_found(tmp_path) -> None:
    index = shards.write(tmp_path, "train", DOCUMENTS, byte_tokenizer(), shard_tokens=20)
    file = tmp_path / index.files[0]
    whole = file.read_bytes()
    file.write_bytes(b"\1" + whole[1:])
    with pytest.raises(ResourceError, match="damaged"):
        Tokens(tmp_path, "train").verify()
    file.write_bytes(whole[:-1])
    with pytest.raises(ResourceError, match="damaged"):
        Tokens(tmp_path, "train")
    file.unlink()
    with pytest.raises(ResourceError, match="damaged"):
        Tokens(tmp_path, "train")


def test_a_folder_that_cannot_be_written(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError):
        shards.write(tmp_path / "file", "train", DOCUMENTS, byte_tokenizer())


def test_large_vocabularies_take_four_bytes(tmp_path) -> None:
    tokenizer = ByteLevelBpe([(i % 256, i // 256) for i in range(65536)])
    shards.write(tmp_path, "train", [Document("abc", True)], tokenizer)
    tokens = Tokens(tmp_path, "train")
    assert tokens.dtype == np.uint32 and int(tokens.slice(0, 1)[0]) == tokenizer.end_of_text > 65535
