"""Tokenizers: nothing is lost, and every library gives the same tokens."""

import json
import random

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.errors import ResourceError, UsageError
from daybreak.data.tokenizers import byte_tokenizer, load_tokenizer, measure, train_tokenizer
from daybreak.data.tokenizers.base import END_OF_TEXT, StreamDecoder, Tokenizer
from daybreak.data.tokenizers.byte_level import PRE_TOKENIZER, WORDS_FIRST, ByteLevelBpe

PANGRAM = "the quick brown fox doesn't jump over 12 lazy dogs; we'll see, said I'M the fox."
CHINESE = "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少？"
ODD = [
    "",
    " ",
    "\n\n  \n x",
    "a\r\nb\rc",
    "e\u0301é",
    "👩‍👩‍👧 𓀀 \U0001f1e9",
    "\u2028\u00a0\u3000x",
    END_OF_TEXT,
    "a\0b",
    "ǅ Ⅷ ²½ ٣",
]


@pytest.fixture(scope="module")
def documents() -> list[str]:
    draw = random.Random(0)
    words = PANGRAM.split() + ["".join(draw.choices("abcdefghij", k=6)) for _ in range(40)]
    lines = [" ".join(draw.choices(words, k=9)) + draw.choice(["", "\t", "  "]) for _ in range(300)]
    return ["\n".join(lines[i : i + 10]) + "\n\n" + CHINESE for i in range(0, 300, 10)]


@pytest.fixture(scope="module")
def tokenizer(documents: list[str]) -> Tokenizer:
    return train_tokenizer(documents, 400)


@pytest.fixture(scope="module")
def bytes_only() -> Tokenizer:
    return byte_tokenizer()


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=60))
def test_round_trip_and_equal_tokens(tokenizer: Tokenizer, bytes_only: Tokenizer, text: str) -> None:
    for any_tokenizer in (tokenizer, bytes_only):
        tokens = any_tokenizer.encode(text)
        assert any_tokenizer.decode(tokens) == text
        assert sum(any_tokenizer.token_bytes[tokens].tolist()) == len(text.encode())
    assert tokenizer.encode(text) == tokenizer._tokenizers.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("text", ODD)
def test_odd_text(tokenizer: Tokenizer, text: str) -> None:
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert tokens == tokenizer._tokenizers.encode(text, add_special_tokens=False).ids
    assert tokenizer.end_of_text not in tokens


def test_half_a_surrogate_pair_is_replaced(tokenizer: Tokenizer, bytes_only: Tokenizer) -> None:
    for any_tokenizer in (tokenizer, bytes_only):
        assert any_tokenizer.decode(any_tokenizer.encode("a\ud800b")) == "a\ufffdb"


def test_ids(tokenizer: Tokenizer, bytes_only: Tokenizer) -> None:
    assert tokenizer.vocabulary == len(tokenizer.token_bytes) == 400
    assert tokenizer.end_of_text == 399 and tokenizer.token_bytes[399] == 0 and tokenizer.bytes_of(399) == b""
    assert bytes_only.vocabulary == 257 and bytes_only.end_of_text == 256
    assert bytes_only.encode("é\n") == [*"é\n".encode()]
    assert tokenizer.encode_documents(["fox", ""])[1].dtype == np.uint16
    assert len(train_tokenizer(["ab"], 1000).merges) == 0
    with pytest.raises(UsageError):
        train_tokenizer(["text"], 256)


def test_merges_are_a_prefix(documents: list[str], tokenizer: Tokenizer) -> None:
    smaller = train_tokenizer(documents, 300)
    assert smaller.merges == tokenizer.truncated(300).merges
    assert tokenizer.truncated(300).end_of_text == 299
    assert tokenizer.truncated(5).merges == ()


def test_file_round_trip(tokenizer: Tokenizer, tmp_path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    assert load_tokenizer(path).merges == tokenizer.merges
    data = json.loads(path.read_text())
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    path.write_text(json.dumps(data))
    assert load_tokenizer(path).merges == tokenizer.merges
    for damaged in ("{}", "[]", "not json", json.dumps({**data, "added_tokens": []})):
        path.write_text(damaged)
        with pytest.raises(ResourceError):
            load_tokenizer(path)


def test_without_tiktoken(tokenizer: Tokenizer, documents: list[str]) -> None:
    slow = ByteLevelBpe(tokenizer.merges)
    slow.__dict__["_tiktoken"] = None
    for fast, other in zip(tokenizer.encode_documents(documents), slow.encode_documents(documents), strict=True):
        assert np.array_equal(fast, other) and fast.dtype == other.dtype


@given(st.text(alphabet="aB'sStTrRe l \n\r\t.,;1２é漢ſ\u2028\u00a0“😀\u0301_-", max_size=30) | st.text(max_size=30))
def test_what_tiktoken_is_given_cuts_the_same(text: str) -> None:
    ours, fast = (
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated").pre_tokenize_str(text)
        for pattern in (PRE_TOKENIZER, WORDS_FIRST)
    )
    assert ours == fast


def test_a_megabyte_of_blanks(tokenizer: Tokenizer) -> None:
    blanks = " " * 1_200_000 + "x"
    assert tokenizer.decode(tokenizer.encode(blanks)) == blanks


def test_opens_in_transformers(tokenizer: Tokenizer, documents: list[str], tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path / "tokenizer.json")
    general = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    qwen2 = transformers.Qwen2TokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    assert len(general) == tokenizer.vocabulary
    assert general.convert_tokens_to_ids(END_OF_TEXT) == tokenizer.end_of_text
    for text in (*documents[:5], CHINESE, "👩‍👩‍👧 doesn't"):
        tokens = tokenizer.encode(text)
        assert general(text)["input_ids"] == tokens == qwen2(text)["input_ids"]
        assert general.decode(tokens) == text


@settings(max_examples=30, deadline=None)
@given(text=st.text(max_size=20))
def test_streaming_never_breaks_a_character(bytes_only: Tokenizer, text: str) -> None:
    decoder = StreamDecoder(bytes_only)
    parts = [decoder.push(token) for token in bytes_only.encode(text)]
    assert "".join(parts) == text
    assert all(part in text for part in parts)


def test_streaming_leaves_half_a_character_out(bytes_only: Tokenizer) -> None:
    decoder = StreamDecoder(bytes_only)
    assert [decoder.push(token) for token in (97, 0xE6, 256, 0x98)] == ["a", "", "", ""]
    assert [decoder.push(token) for token in b"\xa5a"] == ["\u6625", "a"]


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"", False),
        (b" \n\t\xc2\xa0\xe3\x80\x80", False),  # white space, that of other scripts, too
        (b"\xe6\x98", False),  # half a character
        (b"\xe2\x80\x8b\x00\x1b", False),  # no width, and controls
        (b"\n a", True),
        (b"\xe6\x98\xa5", True),
    ],
)
def test_whether_there_is_anything_to_see(bytes_only: Tokenizer, data: bytes, seen: bool) -> None:
    assert bytes_only.shows_text([*data, bytes_only.end_of_text]) is seen


def test_measure(documents: list[str]) -> None:
    bytes_per_token, rate = measure(documents, (257, 300, 400, 1 << 15))
    assert list(bytes_per_token) == ["257", "300", "400"]  # the text has no 32,768 tokens
    assert bytes_per_token["257"] == 1.0 < bytes_per_token["300"] < bytes_per_token["400"]
    assert rate > 0
    learnt = train_tokenizer(documents, 300)
    figures, _ = measure(["the fox"], (300,), learnt=learnt)
    assert figures == {"300": 7 / len(learnt.encode("the fox"))}
