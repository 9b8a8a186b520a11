"""Kinds of tokenizer: what is lossless is so on anything, files keep their ids, and what is lost is said."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sys
import unicodedata
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import hubs
import numpy as np
import pytest
import tokenizers as library
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.errors import MissingPackage, ResourceError, UsageError
from daybreak.data.tokenizers import KINDS, NOT_LOSSLESS, byte_level, load_tokenizer, measure, train_tokenizer, words
from daybreak.data.tokenizers.base import END_OF_TEXT, StreamDecoder, Tokenizer, utf8
from daybreak.data.tokenizers.byte_level import PRE_TOKENIZER
from daybreak.data.tokenizers.library import LibraryTokenizer

POEM = "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少？"
PROSE = "The quick brown fox doesn't jump over 12 lazy dogs; we'll see, said I'M the fox.\n"
TEXTS = [f"{PROSE * 2}{POEM} 我来到北京清华大学。\n\n{PROSE.upper()}" for _ in range(20)]
LOSSLESS = [kind for kind in KINDS if kind not in NOT_LOSSLESS]


@pytest.fixture(scope="module")
def kinds() -> dict[str, Tokenizer]:
    return {kind: train_tokenizer(TEXTS, 400, kind=kind) for kind in KINDS}


def strange_strings(count: int) -> list[str]:
    """Lone surrogates, NULs, emoji with joiners, combining marks, white space of all kinds, mixed scripts."""
    draw = random.Random(7)
    spans = ((0, 0x7F), (0xA0, 0x24F), (0x300, 0x36F), (0x590, 0x6FF), (0x900, 0x97F), (0x2000, 0x206F))
    spans += ((0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xD800, 0xDFFF), (0xE000, 0xE0FF))
    spans += ((0xFB00, 0xFFFF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF), (0xE0100, 0xE01EF))
    whole = [
        "\0",
        "\r\n",
        "\u200d",
        "👩‍👩‍👧",
        "e\u0301",
        "  ",
        "\n\n",
        "<0xE4>",
        "▁",
        "##ing",
        END_OF_TEXT,
        "处处",
        " the",
    ]
    strings = []
    for _ in range(count):
        parts = []
        for _ in range(draw.randrange(12)):
            parts.append(draw.choice(whole) if draw.random() < 0.25 else chr(draw.randint(*draw.choice(spans))))
        strings.append("".join(parts))
    return strings


@pytest.mark.parametrize("kind", LOSSLESS)
def test_ten_thousand_strange_strings_come_back(kinds: dict[str, Tokenizer], kind: str) -> None:
    tokenizer, texts = kinds[kind], strange_strings(10_000)
    assert tokenizer.lossless and tokenizer.loss == ""
    for text, tokens in zip(texts, tokenizer.encode_documents(texts), strict=True):
        assert b"".join(map(tokenizer.bytes_of, tokens.tolist())) == utf8(text), text
        assert int(tokenizer.token_bytes[tokens].sum()) == len(utf8(text))
        assert tokenizer.end_of_text not in tokens


@pytest.mark.parametrize("kind", KINDS)
def test_a_mark_that_is_spelled_out_is_text(kinds: dict[str, Tokenizer], kind: str) -> None:
    for mark in (END_OF_TEXT, kinds[kind].end_of_text_token):
        assert kinds[kind].end_of_text not in kinds[kind].encode(f"One{mark}two {mark} three {mark}")


@settings(max_examples=40, deadline=None)
@given(text=st.text(st.characters(), max_size=40))
def test_round_trip_of_any_text(kinds: dict[str, Tokenizer], text: str) -> None:
    for kind in LOSSLESS:
        tokenizer = kinds[kind]
        tokens = tokenizer.encode(text)
        assert tokenizer.decode(tokens) == utf8(text).decode()
        assert b"".join(piece for _, piece in tokenizer.pieces(text)) == utf8(text)
        decoder = StreamDecoder(tokenizer)
        assert "".join(map(decoder.push, tokens)) == utf8(text).decode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_the_same_tokenizer(kinds: dict[str, Tokenizer], kind: str, tmp_path: Path) -> None:
    tokenizer, path = kinds[kind], tmp_path / "tokenizer.json"
    tokenizer.save(path)
    again = load_tokenizer(path)
    assert (again.kind, again.vocabulary, again.end_of_text) == (kind, tokenizer.vocabulary, tokenizer.end_of_text)
    assert again.to_json() == json.loads(path.read_text(encoding="utf-8")) or kind == "words"
    assert np.array_equal(again.token_bytes, tokenizer.token_bytes) and again.lossless == tokenizer.lossless
    for text in (*TEXTS[:2], *strange_strings(50)):
        assert again.encode(text) == tokenizer.encode(text)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "words"])
def test_the_library_itself_gives_the_same_tokens(kinds: dict[str, Tokenizer], kind: str, tmp_path: Path) -> None:
    kinds[kind].save(tmp_path / "tokenizer.json")
    theirs = library.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in (TEXTS[0], POEM, "👩‍👩‍👧 doesn't é", "a\0b  \n c"):
        assert theirs.encode(text, add_special_tokens=False).ids == kinds[kind].encode(text)
    assert theirs.id_to_token(kinds[kind].end_of_text) == kinds[kind].end_of_text_token


@pytest.mark.parametrize("kind", ["bytes", "characters", "bpe", "words"])
def test_a_smaller_vocabulary_is_a_beginning(kinds: dict[str, Tokenizer], kind: str) -> None:
    smaller = train_tokenizer(TEXTS, 280, kind=kind)
    assert smaller.to_json() == kinds[kind].truncated(smaller.vocabulary).to_json()


@pytest.mark.parametrize("kind", KINDS)
def test_learnt_twice_it_is_the_same(kinds: dict[str, Tokenizer], kind: str) -> None:
    """Every learner has a hash of its own, and the order of what it counts with it."""
    texts = [POEM, "".join(chr(33 + 7 * index % 200) * 2 for index in range(300)), *TEXTS]
    one, other = (train_tokenizer(texts, 600, kind=kind).to_json() for _ in range(2))
    assert json.dumps(one) == json.dumps(other)


def test_pieces_are_told_apart_by_their_scores_alone(kinds: dict[str, Tokenizer]) -> None:
    scored = kinds["unigram"].to_json()["model"]["vocab"]
    assert scored == sorted(scored, key=lambda piece: (-piece[1], piece[0]))
    assert len({score for _, score in scored}) > 10 and all(round(score, 3) == score for _, score in scored)


@pytest.mark.parametrize("kind", ["unigram", "wordpiece"])
def test_kinds_with_one_vocabulary_say_so(kinds: dict[str, Tokenizer], kind: str) -> None:
    assert kinds[kind].truncated(kinds[kind].vocabulary) is kinds[kind]
    with pytest.raises(UsageError, match="fixed vocabulary"):
        kinds[kind].truncated(300)


def test_wordpiece_counts_the_bytes_of_the_text_and_not_of_its_tokens(kinds: dict[str, Tokenizer]) -> None:
    tokenizer, text = kinds["wordpiece"], "the  quick\t fox 𓀀"
    tokens = tokenizer.encode_documents([text])[0]
    assert not tokenizer.lossless and "lost" in tokenizer.loss
    assert tokenizer.text_bytes([text], tokens) == len(text.encode())
    pieces = [piece for _, piece in tokenizer.pieces(text)]
    assert b"".join(pieces) == text.replace(" ", "").replace("\t", "").encode()
    assert tokenizer.end_of_text_token == "[SEP]" and tokenizer.end_of_text not in tokens


def test_characters_by_hand() -> None:
    tokenizer = train_tokenizer(["山山山水水风"], 1000, kind="characters")
    assert tokenizer.vocabulary == 259  # a character that is seen once stays bytes
    assert tokenizer.encode("a山水风") == [97, 256, 257, *"风".encode()]
    assert tokenizer.decode([257, 258, 256]) == "水山"


def test_words_are_cut_by_jieba_where_the_text_is_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jieba")
    assert list(words.cut("我来到北京清华大学", chinese=True)) == ["我", "来到", "北京", "清华大学"]
    assert list(words.cut("on 12 days, 山水", chinese=False)) == ["on", " 12", " days", ",", " ", "山", "水"]
    monkeypatch.setitem(sys.modules, "jieba", None)
    words._jieba.cache_clear()
    with pytest.raises(MissingPackage, match=r"\.\[zh\]"):
        list(words.cut("北京", chinese=True))
    assert not train_tokenizer(["plain words, plain words"], 300, kind="words").chinese  # type: ignore[attr-defined]
    words._jieba.cache_clear()


def test_learning_what_there_is_not() -> None:
    with pytest.raises(UsageError, match="did you mean 'wordpiece'"):
        train_tokenizer(TEXTS, 400, kind="wordpieces")
    with pytest.raises(UsageError, match="too small"):
        train_tokenizer(TEXTS, 256, kind="unigram")


def test_measure_takes_every_kind(kinds: dict[str, Tokenizer]) -> None:
    for tokenizer in kinds.values():
        figures, rate = measure([PROSE], (tokenizer.vocabulary,), learnt=tokenizer)
        assert figures == {str(tokenizer.vocabulary): len(PROSE) / len(tokenizer.encode(PROSE))} and rate > 0


def encoded_in_a_worker(tokenizer: Tokenizer, count: int) -> list[list[int]]:
    byte_level.use_threads(count)
    return [tokens.tolist() for tokens in tokenizer.encode_documents(TEXTS)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_worker_encodes_with_threads_of_its_own(kinds: dict[str, Tokenizer], threads: int) -> None:
    here = [tokens.tolist() for tokens in kinds["bpe"].encode_documents(TEXTS)]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as worker:
        there = worker.submit(encoded_in_a_worker, kinds["bpe"], threads).result(timeout=60)
    assert here == there and byte_level.cores() >= 1


# Files of other libraries


def foreign(path: Path, *, split: str | None, ends: tuple[str, ...], shuffled: bool = False, **more: object) -> dict:
    """A byte-level BPE as GPT-2's (no split) or Qwen's, its ids in their order: sorted bytes first, specials last."""
    parts = [library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)]
    if split is not None:
        parts.insert(0, library.pre_tokenizers.Split(library.Regex(split), "isolated"))
    learner = library.Tokenizer(library.models.BPE())
    learner.pre_tokenizer = library.pre_tokenizers.Sequence(parts) if split else parts[0]
    learner.decoder = library.decoders.ByteLevel()
    alphabet = library.pre_tokenizers.ByteLevel.alphabet()
    trainer = library.trainers.BpeTrainer(vocab_size=380, initial_alphabet=alphabet, show_progress=False)
    learner.train_from_iterator(TEXTS, trainer)
    learner.add_special_tokens(list(ends))
    learner.add_tokens(["<tool_call>"])
    data = json.loads(learner.to_str())
    data |= more
    if shuffled:  # ids that say nothing of the order of merges
        order = list(data["model"]["vocab"])
        ids = random.Random(3).sample(range(len(order)), len(order))
        data["model"]["vocab"] = dict(zip(order, ids, strict=True))
    path.write_text(json.dumps(data), encoding="utf-8")
    return data


@pytest.mark.parametrize("split", [None, PRE_TOKENIZER], ids=["gpt2", "qwen2"])
@pytest.mark.parametrize("shuffled", [False, True], ids=["ranked", "shuffled"])
def test_a_byte_level_file_keeps_its_ids(tmp_path: Path, split: str | None, shuffled: bool) -> None:
    path = tmp_path / "tokenizer.json"
    foreign(path, split=split, ends=("<|im_start|>", END_OF_TEXT), shuffled=shuffled)
    tokenizer, theirs = load_tokenizer(path), library.Tokenizer.from_file(str(path))
    assert isinstance(tokenizer, LibraryTokenizer) and tokenizer.kind == "bpe" and tokenizer.lossless
    assert tokenizer.end_of_text == theirs.token_to_id(END_OF_TEXT)
    assert tokenizer.vocabulary == theirs.get_vocab_size()
    if not shuffled:
        assert tokenizer._tiktoken is not None
    texts = [*TEXTS[:2], *strange_strings(200), "a <tool_call> b"]
    theirs.encode_special_tokens = True
    for text, tokens in zip(texts, tokenizer.encode_documents(texts), strict=True):
        assert tokens.tolist() == theirs.encode(utf8(text).decode(), add_special_tokens=False).ids
        assert b"".join(map(tokenizer.bytes_of, tokens.tolist())) == utf8(text)


def test_a_unicode_form_is_kept_or_left_out(tmp_path: Path) -> None:
    path, apart = tmp_path / "tokenizer.json", "cafe\u0301"
    foreign(path, split=PRE_TOKENIZER, ends=(END_OF_TEXT,), normalizer={"type": "NFC"})
    as_it_is, exact = load_tokenizer(path), load_tokenizer(path, lossless=True)
    assert "NFC" in as_it_is.loss and as_it_is.decode(as_it_is.encode(apart)) == unicodedata.normalize("NFC", apart)
    assert exact.lossless and exact.decode(exact.encode(apart)) == apart
    assert exact.encode(PROSE) == as_it_is.encode(PROSE)


def test_the_end_of_a_text_is_named_or_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    foreign(path, split=PRE_TOKENIZER, ends=("<|first|>", "<|second|>"))
    with pytest.raises(UsageError, match=r"<\|first\|>, <\|second\|>"):
        load_tokenizer(path)
    assert load_tokenizer(path, end_of_text="<|second|>").end_of_text_token == "<|second|>"
    with pytest.raises(UsageError, match="no end-of-text token"):
        load_tokenizer(path, end_of_text="<|third|>")
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": {"content": "<|first|>"}}')
    named = load_tokenizer(path)
    assert named.end_of_text_token == "<|first|>"
    (tmp_path / "run").mkdir()
    named.save(tmp_path / "run" / "tokenizer.json")
    assert load_tokenizer(tmp_path / "run" / "tokenizer.json").end_of_text == named.end_of_text


def test_llamas_layout_falls_back_to_bytes(tmp_path: Path) -> None:
    spellings = ["<unk>", "<s>", "</s>", *(f"<0x{value:02X}>" for value in range(256)), "▁", "h", "i", "hi", "▁hi"]
    learner = library.Tokenizer(
        library.models.BPE(
            vocab={spelling: index for index, spelling in enumerate(spellings)},
            merges=[("h", "i"), ("▁", "hi")],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    learner.normalizer = library.normalizers.Sequence(
        [library.normalizers.Prepend("▁"), library.normalizers.Replace(" ", "▁")]
    )
    kinds = library.decoders
    learner.decoder = kinds.Sequence(
        [kinds.Replace("▁", " "), kinds.ByteFallback(), kinds.Fuse(), kinds.Strip(" ", 1, 0)]
    )
    learner.add_special_tokens(["<unk>", "<s>", "</s>"])
    learner.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path / "tokenizer.json")
    tokens = tokenizer.encode("hi 山")
    assert tokens == [263, 259, *(3 + value for value in "山".encode())]
    assert tokenizer.bytes_of(263) == b" hi" and tokenizer.bytes_of(tokens[2]) == "山".encode()[:1]
    assert tokenizer.decode(tokens) == "hi 山" and tokenizer.end_of_text == 2
    assert not tokenizer.lossless and "Prepend" in tokenizer.loss


@pytest.mark.parametrize("name", hubs.TOKENIZERS)
def test_a_model_without_a_type_is_of_the_type_that_the_library_finds(tmp_path: Path, name: str) -> None:
    """As in the files of t5-small, xlm-roberta-base and other early ones."""
    path = tmp_path / "tokenizer.json"
    hubs.TOKENIZERS[name]().save(str(path))
    typed = load_tokenizer(path)
    data = json.loads(path.read_text(encoding="utf-8"))
    kind = data["model"].pop("type")
    path.write_text(json.dumps(data), encoding="utf-8")
    untyped, theirs = load_tokenizer(path), library.Tokenizer.from_file(str(path))
    assert isinstance(untyped, LibraryTokenizer) and type(theirs.model).__name__ == kind
    assert (untyped.kind, untyped.loss, untyped.vocabulary) == (typed.kind, typed.loss, typed.vocabulary)
    assert [untyped.bytes_of(i) for i in range(untyped.vocabulary)] == [
        typed.bytes_of(i) for i in range(typed.vocabulary)
    ]
    for text in (hubs.ENGLISH, hubs.CHINESE):
        assert untyped.encode(text) == typed.encode(text) == theirs.encode(text, add_special_tokens=False).ids
    untyped.save(path)
    assert json.loads(path.read_text(encoding="utf-8"))["model"]["type"] == kind


def test_whole_words_without_a_type_are_told_from_wordpiece(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    words = library.Tokenizer(library.models.WordLevel({"a": 0, "[UNK]": 1, "[SEP]": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = library.pre_tokenizers.Whitespace()
    words.add_special_tokens(["[UNK]", "[SEP]"])
    data = json.loads(words.to_str())
    del data["model"]["type"]
    path.write_text(json.dumps(data))
    assert load_tokenizer(path).kind == "words"
    del data["model"]["unk_token"]
    path.write_text(json.dumps(data))
    with pytest.raises(ResourceError, match="cannot be read") as caught:
        load_tokenizer(path)
    assert "names no type" in caught.value.received


@pytest.mark.parametrize("damage", ["{}", "[]", "nonsense", '{"model": {"type": "BPE"}}', '{"daybreak": {}}'])
def test_a_damaged_file_is_told(tmp_path: Path, damage: str) -> None:
    (tmp_path / "tokenizer.json").write_text(damage)
    with pytest.raises(ResourceError, match="cannot be read"):
        load_tokenizer(tmp_path / "tokenizer.json")
    with pytest.raises(ResourceError, match="cannot be read"):
        load_tokenizer(tmp_path / "missing.json")


def test_real_chinese_comes_back(data_folder: Path) -> None:
    from daybreak.data.sources import Reading, find

    texts = []
    for document in Reading(find([str(data_folder / "lm_zh_laws")])):
        texts.append(document.text[:4000])
        if len(texts) == 12:
            break
    for kind in ("characters", "bpe", "words"):
        tokenizer = train_tokenizer(texts[:10], 1024, kind=kind)
        for text in texts[10:]:
            assert tokenizer.decode(tokenizer.encode(text)) == text
