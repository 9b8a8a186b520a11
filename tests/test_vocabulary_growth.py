"""Growth: a tokenizer learns further and changes nothing of what it knew, and its model's tables grow with it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import hubs
import pytest
import tokenizers as library
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.errors import UsageError
from daybreak.data.tokenizers import load_tokenizer, train_tokenizer
from daybreak.data.tokenizers.growth import Grown, grown
from daybreak.data.tokenizers.layout import Layout
from daybreak.models.checkpoints import vocabulary_growth
from daybreak.models.gpt import Gpt

pytestmark = pytest.mark.usefixtures("one_thread")

MORE = 150
MIXED = hubs.ENGLISH + hubs.CHINESE


def by_the_library(data: dict[str, Any]) -> library.Tokenizer:
    made = library.Tokenizer.from_str(json.dumps({**data, "post_processor": None}))
    made.encode_special_tokens = True
    return made


def ids(tokenizer: library.Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


@pytest.fixture(scope="module")
def olds() -> dict[str, dict[str, Any]]:
    return {kind: json.loads(make().to_str()) for kind, make in hubs.TOKENIZERS.items()}


@pytest.fixture(scope="module")
def news(olds: dict[str, dict[str, Any]]) -> dict[str, Grown]:
    return {kind: grown(data, [MIXED], MORE) for kind, data in olds.items()}


@pytest.mark.parametrize("kind", hubs.TOKENIZERS)
def test_every_old_token_keeps_its_id_and_new_ones_follow(kind: str, olds: Any, news: Any) -> None:
    before, after, (_, first, pieces) = olds[kind], news[kind].data, news[kind]
    old, new = by_the_library(before), by_the_library(after)
    assert first == Layout(before).vocabulary and 40 < len(pieces) <= MORE
    assert all(new.token_to_id(name) == token for name, token in old.get_vocab().items())
    assert new.get_vocab_size() == first + len(pieces) == Layout(after).vocabulary
    assert [token["id"] for token in after["added_tokens"]] == [token["id"] for token in before["added_tokens"]]
    assert len({new.id_to_token(first + index) for index in range(len(pieces))}) == len(pieces)


@pytest.mark.parametrize("kind", hubs.TOKENIZERS)
def test_a_new_token_was_spelled_by_its_pieces(kind: str, olds: Any, news: Any) -> None:
    """Their bytes are those of the pieces; only what was unknown has none."""
    before, after = Layout(olds[kind]).pieces(), Layout(news[kind].data).pieces()
    spelled = [(after[news[kind].first + i], parts) for i, parts in enumerate(news[kind].pieces) if parts]
    for whole, parts in spelled:
        assert all(part < news[kind].first for part in parts)
        told = b"".join(before[part] for part in parts)
        if kind in ("wordpiece", "unigram"):  # whose pieces know spaces around them, and may lack a character
            assert set(told.replace(b" ", b"")) <= set(whole.replace(b" ", b""))
        else:
            assert told == whole and len(parts) > 1
    assert len(spelled) > 20 or kind == "wordpiece"


@pytest.mark.parametrize("kind", hubs.TOKENIZERS)
def test_text_of_the_new_kind_takes_fewer_tokens_or_fewer_unknown_ones(kind: str, olds: Any, news: Any) -> None:
    old, new = by_the_library(olds[kind]), by_the_library(news[kind].data)
    before, after = ids(old, hubs.CHINESE), ids(new, hubs.CHINESE)
    unknown = next((old.token_to_id(name) for name in ("[UNK]", "<unk>") if old.token_to_id(name) is not None), -1)
    if kind in ("wordpiece", "unigram"):
        assert before.count(unknown) > 0 == after.count(unknown)
    else:
        assert len(after) < 0.5 * len(before)


@pytest.mark.parametrize("kind", hubs.TOKENIZERS)
@settings(max_examples=60, deadline=None)
@given(text=st.lists(st.sampled_from([*MIXED[-260:], *"the quick and read again ", "é", "🦊", "\n", "##", "▁"])))
def test_what_holds_no_new_token_is_cut_as_before(kind: str, text: list[str], olds: Any, news: Any) -> None:
    whole = "".join(text)
    old, new = by_the_library(olds[kind]), by_the_library(news[kind].data)
    after = ids(new, whole)
    if not any(token >= news[kind].first for token in after):
        assert after == ids(old, whole)


@pytest.mark.parametrize("kind", ["byte level", "byte level, by a pattern", "falling back to bytes"])
def test_old_merges_happen_first(kind: str, olds: Any, news: Any) -> None:
    """So what a new token is put together from is exactly what the old tokenizer gave in its place."""
    old, new = by_the_library(olds[kind]), by_the_library(news[kind].data)
    for text in (hubs.ENGLISH, hubs.CHINESE, "read 12 的节点 quick"):
        spelled = [
            part
            for token in ids(new, text)
            for part in ([token] if token < news[kind].first else news[kind].pieces[token - news[kind].first])
        ]
        assert [old.id_to_token(token) for token in spelled] == [old.id_to_token(token) for token in ids(old, text)]


@pytest.mark.parametrize("kind", hubs.TOKENIZERS)
def test_daybreak_reads_it_with_the_same_end_of_text(kind: str, news: Any, olds: Any, tmp_path: Path) -> None:
    for name, data in (("old", olds[kind]), ("new", news[kind].data)):
        (tmp_path / name).write_text(json.dumps(data), encoding="utf-8")
    old, new = load_tokenizer(tmp_path / "old"), load_tokenizer(tmp_path / "new")
    assert (new.end_of_text, new.kind, new.lossless) == (old.end_of_text, old.kind, old.lossless)
    assert new.vocabulary == news[kind].first + len(news[kind].pieces)
    assert new.encode(MIXED) == ids(by_the_library(news[kind].data), MIXED)
    if kind != "wordpiece":
        assert new.decode(new.encode(hubs.CHINESE)) == hubs.CHINESE
        assert old.end_of_text_token not in new.decode(new.encode(hubs.ENGLISH))


@pytest.mark.parametrize("kind", ["bytes", "bpe", "characters", "wordpiece", "unigram"])
def test_our_own_tokenizers_grow_and_leave_room_for_special_tokens(kind: str, tmp_path: Path) -> None:
    ours = train_tokenizer([hubs.ENGLISH], 300, kind=kind)
    new = grown(ours.to_json(), [hubs.CHINESE], 50, first=ours.vocabulary + 2)
    (tmp_path / "tokenizer.json").write_text(json.dumps(new.data), encoding="utf-8")
    read = load_tokenizer(tmp_path / "tokenizer.json")
    assert new.first == ours.vocabulary + 2 and read.end_of_text == ours.end_of_text
    assert read.encode(hubs.ENGLISH) == ours.encode(hubs.ENGLISH)
    after = read.encode(hubs.CHINESE)
    assert not {ours.vocabulary, ours.vocabulary + 1} & set(after) and max(after) >= new.first
    assert kind == "wordpiece" or read.decode(after) == hubs.CHINESE


def test_it_learns_no_token_twice_and_nothing_from_nothing(olds: Any) -> None:
    data = olds["byte level"]
    assert grown(data, [], 10).pieces == [] and grown(data, ["a", "b"], 10).pieces == []
    again = grown(grown(data, [MIXED], 40).data, [MIXED], 40)
    names = [name for name, token in again.data["model"]["vocab"].items() if token >= again.first]
    assert len(again.pieces) == 40 == len(names) and not set(names) & set(data["model"]["vocab"])


def test_merges_keep_the_form_that_the_file_has_them_in(olds: Any) -> None:
    old = copy.deepcopy(olds["byte level"])
    old["model"]["merges"] = [" ".join(pair) for pair in old["model"]["merges"]]
    new = grown(old, [MIXED], 30).data
    assert all(isinstance(pair, str) for pair in new["model"]["merges"])
    assert ids(by_the_library(new), MIXED) == ids(by_the_library(grown(olds["byte level"], [MIXED], 30).data), MIXED)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"end_of_word_suffix": "</w>"}, "end_of_word_suffix"),
        ({"continuing_subword_prefix": "##"}, "continuing_subword_prefix"),
        ({"dropout": 0.1}, "dropout"),
    ],
)
def test_what_cannot_be_continued_is_refused_in_words(changes: dict[str, Any], told: str, olds: Any) -> None:
    data = copy.deepcopy(olds["byte level"])
    data["model"] |= changes
    with pytest.raises(UsageError, match=told):
        grown(data, [MIXED], 10)
    with pytest.raises(UsageError, match="at least 1"):
        grown(olds["byte level"], [MIXED], 0)
    words = {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"}
    with pytest.raises(UsageError, match="whole words"):
        grown({"model": words, "added_tokens": []}, [MIXED], 10)
    with pytest.raises(UsageError, match="whole words"):
        grown(train_tokenizer([hubs.ENGLISH], 300, kind="words").to_json(), [MIXED], 10)


# The tables


def test_a_new_row_is_the_mean_of_the_rows_that_spelled_it(network) -> None:
    weights = {name: tensor.detach() for name, tensor in network(vocabulary=64).named_parameters()}
    before = {name: tensor.clone() for name, tensor in weights.items()}
    new = vocabulary_growth.grow(weights, [(3, 5), (7, 7, 9), ()], first=60)
    assert vocabulary_growth.tables_of(weights) == ["model.embed_tokens.weight", "lm_head.weight"]
    for name in weights:
        assert torch.equal(weights[name], before[name])
        if name not in vocabulary_growth.tables_of(weights):
            assert new[name] is weights[name]
            continue
        old, table = weights[name], new[name]
        assert table.shape == (64, 64) and torch.equal(table[:60], old[:60])
        torch.testing.assert_close(table[60], (old[3] + old[5]) / 2)
        torch.testing.assert_close(table[61], (2 * old[7] + old[9]) / 3)
        torch.testing.assert_close(table[63], old[:60].mean(0))
        assert 0 < (table[62] - old[:60].mean(0)).norm() < 0.5 * old[:60].std(0).norm()


def test_tables_are_padded_to_64_and_the_shape_follows(network) -> None:
    module = network(vocabulary=64, tied=True)
    weights = {name: tensor.detach() for name, tensor in module.named_parameters()}
    new = vocabulary_growth.grow(weights, [(index,) for index in range(30)], first=64)
    sizes = {name: tuple(weight.shape) for name, weight in weights.items()}
    shape = vocabulary_growth.grown_shape(module.shape, sizes, tokens=64 + 30)
    assert shape == module.shape.replace(vocabulary=128) and len(new["model.embed_tokens.weight"]) == 128
    larger = Gpt(shape)
    larger.load_state_dict({**new, "lm_head.weight": new["model.embed_tokens.weight"]})
    rows = torch.randint(64, (1, 10))
    with torch.no_grad():
        torch.testing.assert_close(larger.eval()(rows)[..., :64], module.eval()(rows), atol=1e-5, rtol=1e-5)


def test_a_piece_that_is_no_token_is_refused(network) -> None:
    with pytest.raises(UsageError, match="missing token"):
        vocabulary_growth.grow(dict(network().named_parameters()), [(64,)], first=64)
