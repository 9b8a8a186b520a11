"""Decontamination: documents that hold a run of an evaluation go, whatever their case and marks, and no others."""

from __future__ import annotations

import pickle
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from daybreak.core.errors import UsageError
from daybreak.data.cleaning import Cleaning, Document
from daybreak.data.decontamination import RUN_CHARACTERS, RUN_WORDS, Decontamination
from daybreak.techniques.decontamination import Decontamination as Technique

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "benchmarks")]

import planted  # noqa: E402

ENGLISH = " ".join(f"w{number}" for number in range(20))
CHINESE = "".join(chr(0x4E00 + number) for number in range(40))


def goes(step: Decontamination, text: str) -> bool:
    return step(Document(text), lambda what: None) is None


def words(first: int, last: int) -> str:
    return f"Before, {', '.join(f'W{number}' for number in range(first, last))}! After."


def test_a_run_of_13_words_or_26_chinese_characters_is_needed() -> None:
    step = Decontamination.against([ENGLISH, CHINESE])
    assert (RUN_WORDS, RUN_CHARACTERS) == (13, 26) and len(step) == 20 - 13 + 1 + 40 - 26 + 1
    assert goes(step, words(3, 16)) and not goes(step, words(3, 15))
    assert goes(step, f"前，{CHINESE[5:31]}后") and not goes(step, f"前，{CHINESE[5:30]}后")
    assert goes(step, "，".join(CHINESE[5:31]))
    assert not goes(step, "") and not goes(step, ENGLISH[:20])


def test_more_runs_can_be_asked_for_and_what_was_hit_is_noted() -> None:
    step = Decontamination.against([ENGLISH], least_runs=3)
    notes: list[str] = []
    assert step(Document(words(0, 14)), notes.append) and notes == ["kept with fewer than 3 runs of an evaluation"]
    assert step(Document(f"{words(0, 13)} {words(0, 13)} {words(0, 13)}"), notes.append)  # one run, thrice
    assert step(Document(words(0, 15)), notes.append) is None and notes[-1] == "2 or more runs of an evaluation"
    reporting = Decontamination.against([ENGLISH], action="report")
    counts: list[str] = []
    assert reporting(Document(ENGLISH), counts.append) == Document(ENGLISH) and counts
    assert reporting.identity() != Decontamination.against([ENGLISH]).identity()
    with pytest.raises(UsageError, match="received: least_runs=0"):
        Decontamination.against([ENGLISH], least_runs=0)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_planted_passages_are_found_among_other_text(language: str) -> None:
    generator = random.Random(4)
    evaluation = planted.made_texts(generator, 40, language, 60)
    texts = planted.made_texts(generator, 200, language, 300)
    hit = set(generator.sample(range(200), 30))
    for index in hit:
        texts[index] = f"{texts[index][:200]}\n{generator.choice(evaluation).upper()}\n{texts[index][200:]}"
    step = Decontamination.against(evaluation)
    assert {index for index, text in enumerate(texts) if goes(step, text)} == hit


def test_it_is_a_value_that_goes_to_other_processes() -> None:
    step = Decontamination.against([ENGLISH, CHINESE])
    again = pickle.loads(pickle.dumps(step))
    assert again == step and hash(again) == hash(step) and goes(again, ENGLISH)
    assert step == Decontamination.against([CHINESE, ENGLISH, ENGLISH])
    others = [Decontamination.against([ENGLISH]), Decontamination.against([ENGLISH, CHINESE], least_runs=2)]
    assert len({Cleaning().with_step(one).identity() for one in (step, *others)}) == 3


def test_the_technique_takes_the_texts_of_the_run_and_touches_nothing_without() -> None:
    for texts, places in (((), 0), (["too short"], 0), ([ENGLISH], 1)):
        cleaning, touched = Technique().documents(Cleaning(), SimpleNamespace(evaluation_texts=texts))
        assert touched == places == len(cleaning.steps)
    assert Technique().documents(Cleaning(), SimpleNamespace())[1] == 0
