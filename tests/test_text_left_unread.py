"""Text that there is no time for: what was read is trained on, and what was not is named."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daybreak.core.errors import BudgetTooShort
from daybreak.core.run import Run
from daybreak.core.types import Request
from daybreak.data import store
from daybreak.data.workers import Failed
from daybreak.planning import reading, text_facts


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch):
    """A part of the text takes a tenth of a second, in this process."""
    made = store.make

    def make(work: store.Work, **how: float) -> object:
        time.sleep(0.1)
        return made(work, **how)

    monkeypatch.setattr(store, "make", make)
    monkeypatch.setattr(reading, "_processes", lambda work: 1)
    monkeypatch.setattr(reading, "LEAST_READ_BYTES", 100_000)


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(reading, "PART_BYTES", 60_000)
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(20):
        lines = [f"Line {line} of text {number} says {line * number} and little else.\n" for line in range(1000)]
        (folder / f"{number:02}.txt").write_text("".join(lines))
    return folder


def asked(texts: Path, seconds: float, **more: object) -> Request:
    without = ("near_duplicates", "exact_duplicates", "quality")
    return Request(sources=(str(texts),), seconds=seconds, exclude=without, **more)  # type: ignore[arg-type]


def test_what_was_read_in_its_share_of_the_time_is_the_text(texts: Path, tmp_path: Path, slowly) -> None:
    run = Run(tmp_path / "run")
    corpus = text_facts.scanned(run, asked(texts, 2.4))  # a quarter of which is six parts of twenty
    assert corpus.unread_bytes > 100_000 and corpus.read_bytes > 100_000
    total, told = corpus.not_read()
    assert total == corpus.passed_over.sentence() and corpus.passed_over.unread_bytes == corpus.unread_bytes
    assert "left out" in told and "daybreak prepare" in told
    assert text_facts.scanned(run, asked(texts, 2.4)) == corpus, "an interrupted run goes on with what it has"
    whole = text_facts.scanned(run, asked(texts, 0.0))
    assert not whole.unread_bytes and not whole.not_read()
    assert corpus.read_bytes + corpus.unread_bytes == whole.read_bytes


def test_what_was_read_comes_from_all_over_the_text(texts: Path, tmp_path: Path, slowly) -> None:
    run = Run(tmp_path / "run")
    text_facts.scanned(run, asked(texts, 2.4))
    work = reading.parts_of(run, asked(texts, 2.4), reading.cleaning_of(asked(texts, 2.4))[0])
    read = [index for index, one in enumerate(work) if store.readable(one)]
    assert max(read) - min(read) >= len(read), "they are not one stretch of the text; by chance once in 800 times"


@pytest.mark.parametrize("more", [{"reproducible": True}, {}], ids=["reproducible", "too little"])
def test_a_budget_in_which_too_little_is_read_is_refused(
    texts: Path, tmp_path: Path, slowly, monkeypatch, more
) -> None:
    if not more:
        monkeypatch.setattr(reading, "LEAST_READ_BYTES", 10**9)
    with pytest.raises(BudgetTooShort) as caught:
        text_facts.scanned(Run(tmp_path / "run"), asked(texts, 2.4, **more))
    assert "more to come" in caught.value.received


def test_a_piece_that_is_given_up_is_in_the_sum(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def each(work: Any, items: Any, *, what: Any, **_: Any) -> Iterator[Any]:
        for number, item in enumerate(items):
            yield Failed(item=item, name=what(item), reason="2 tries; ended") if number == 3 else work(item)

    monkeypatch.setattr(reading, "each", each)
    corpus = text_facts.scanned(Run(tmp_path / "run"), asked(texts, 0.0))
    every = sum(path.stat().st_size for path in texts.iterdir())
    lost = corpus.passed_over
    assert lost.given_up == 1 and corpus.read_bytes + lost.bytes == every and not lost.unread_bytes
    total, told = corpus.not_read()
    assert total == lost.sentence() and " was left out: 2 tries; ended; " in told
