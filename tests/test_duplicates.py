"""Duplicates: exact ones whatever their white space and case, near ones of every length, and none of what differs."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.errors import UsageError
from daybreak.data import word_hashes
from daybreak.data.duplicates import ExactDuplicates, NearDuplicates

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "benchmarks")]

import planted  # noqa: E402

LENGTHS = {"en": (60, 150, 1500), "zh": (300, 900, 4000)}  # words, of which Chinese characters are some


def kept(texts: list[str], across: ExactDuplicates | NearDuplicates) -> list[int]:
    parts = [across.signatures(texts[start : start + 7]) for start in range(0, len(texts), 7)]
    found = np.concatenate([np.empty((0, across.width), np.uint64), *parts])
    assert found.dtype == np.uint64 and found.shape == (len(texts), across.width)
    return np.flatnonzero(across.kept(found)).tolist()


# Exact


def test_the_first_of_equal_texts_stays_whatever_the_white_space_and_case() -> None:
    texts = [
        "One two",
        "three",
        "one  two",
        " ONE\n\ttwo ",
        "onetwo",
        "Straße 　x",
        "STRASSE x",
        "1 23",
        "12 3",
        "",
        " ",
    ]
    assert kept(texts, ExactDuplicates()) == [0, 1, 5, 7, 9]


@given(st.lists(st.text(alphabet="aB \n　é", max_size=4), max_size=30))
def test_exact_duplicates_are_those_of_a_set(texts: list[str]) -> None:
    seen: dict[str, int] = {}
    for index, text in enumerate(texts):
        seen.setdefault("".join(text.casefold().split()), index)
    assert kept(texts, ExactDuplicates()) == sorted(seen.values())


def test_half_of_a_surrogate_pair_is_a_text_too() -> None:
    text = "a\ud800b " * 30
    assert kept([text, text, "c"], ExactDuplicates()) == [0, 2]
    assert kept([text, text], NearDuplicates()) == [0]


# Near


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("size", [0, 1, 2])
def test_near_copies_go_and_nothing_else_does(language: str, size: int) -> None:
    texts, copies = planted.with_near_copies(
        planted.made_texts(random.Random(size), 300, language, LENGTHS[language][size]), 60, random.Random(7)
    )
    removed = set(range(len(texts))) - set(kept(texts, NearDuplicates()))
    assert len(removed & copies) >= 0.95 * len(copies)
    assert len(removed - copies) <= 0.01 * len(removed)


def test_what_was_kept_is_kept_again() -> None:
    generator = random.Random(3)
    texts = planted.made_texts(generator, 30, "en", 80)
    for _ in range(400):  # copies of copies, ever further away
        texts.append(planted.edited(generator.choice(texts), generator, 0.12))
    generator.shuffle(texts)
    once = kept(texts, NearDuplicates())
    assert len(once) < len(texts) and 0 in once
    assert kept([texts[index] for index in once], NearDuplicates()) == list(range(len(once)))


def test_a_signature_depends_on_its_text_alone() -> None:
    texts = [f"{text} é" if index % 3 else text for index, text in enumerate(planted.made_texts(random.Random(1), 40))]
    near = NearDuplicates()
    alone = np.concatenate([near.signatures([text]) for text in texts])
    assert np.array_equal(near.signatures(texts), alone)
    assert np.array_equal(near.signatures(["short", *texts, ""])[1:-1], alone)
    assert near.signatures([]).shape == (0, near.width)


def test_the_estimate_is_the_overlap_of_the_sets_of_runs() -> None:
    generator = random.Random(11)
    near, off = NearDuplicates(), []
    for length in (40, 100, 400, 1200, 4000):
        for rate in (0.02, 0.05, 0.1):
            text = planted.made_texts(generator, 1, "en", length)[0]
            copy = planted.edited(text, generator, rate)
            one, other = (
                set(word_hashes.runs(word_hashes.hashes(t), near.shingle_words).tolist()) for t in (text, copy)
            )
            values = near.signatures([text, copy]).view(np.uint16)
            off.append(np.mean(values[0] == values[1]) - len(one & other) / len(one | other))
    assert abs(np.mean(off)) < 0.03 and np.max(np.abs(off)) < 4 * 0.5 / near.values**0.5


def test_short_texts_only_count_as_exact() -> None:
    text = "these are not quite twenty words in a row"
    assert kept([text, text, text + " more"], NearDuplicates()) == [0, 1, 2]
    assert kept([text, text, text + " more"], ExactDuplicates()) == [0, 2]
    assert kept([text * 3, text * 3], NearDuplicates(least_words=10)) == [0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=8, max_size=8), max_size=40))
def test_kept_of_any_signatures_is_idempotent_and_keeps_the_first(rows: list[list[int]]) -> None:
    near = NearDuplicates(values=32)
    signatures = np.array(rows, dtype=np.uint64).reshape(-1, 8)
    once = near.kept(signatures)
    assert once.shape == (len(rows),) and (not rows or once[0])
    assert near.kept(signatures[once]).all()
    exact = ExactDuplicates().kept(signatures[:, :2])
    assert exact.sum() == len({tuple(row[:2]) for row in rows})


@pytest.mark.parametrize(
    "settings", [{"values": 100}, {"values": 4}, {"least_similarity": 0.0}, {"shingle_words": 0}, {"shingle_words": 21}]
)
def test_settings_that_make_no_sense_are_an_error(settings: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"received: .*{next(iter(settings))}"):
        NearDuplicates(**settings)  # type: ignore[arg-type]
