"""benchmarks/fuzz_readers.py: changed files of text are read or passed over in words, and text lost is text counted."""

from __future__ import annotations

import json
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import fuzz_readers
import fuzz_seeds

from daybreak.data import sources

FUZZED = "a file with bytes exchanged, cut or doubled is read or refused in words"
SEEDS = fuzz_seeds.seeds()


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, fuzz_readers._over)
    yield
    signal.signal(signal.SIGALRM, before)


def outcome(number: int, folder: Path) -> tuple[fuzz_seeds.Seed, fuzz_readers.Outcome]:
    seed, data = fuzz_readers.case(number, SEEDS)
    return seed, fuzz_readers.read(folder / seed.name, seed, data, 20.0)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_a_sound_file_is_read_whole(tmp_path: Path, seed: fuzz_seeds.Seed) -> None:
    found = fuzz_readers.read(tmp_path / seed.name, seed, seed.data, 20.0)
    assert not found.fault and not found.missing


@pytest.mark.promise(FUZZED)
def test_changed_files_are_read_or_what_is_lost_is_counted(tmp_path: Path, record_property: Any) -> None:
    numbers = range(300)
    for number in numbers:
        seed, found = outcome(number, tmp_path)
        faults: list[object] = []
        fuzz_readers._count(number, seed, found, Counter(), faults)
        assert not faults, f"file {number}, {seed.name}: {found}"
    record_property("tried", len(numbers))


def test_text_that_is_lost_in_silence_is_found_and_made_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a reader that drops the rest of a text behind an exclamation mark."""
    seed = next(seed for seed in SEEDS if seed.name == "text.txt")
    whole = sources.Reading.__iter__

    def drops(self: sources.Reading) -> Iterator[sources.Document]:
        for document in whole(self):
            yield sources.Document(document.text.partition("!")[0], document.starts, document.kind)

    monkeypatch.setattr(sources.Reading, "__iter__", drops)
    assert not fuzz_readers.read(tmp_path / "a.txt", seed, seed.data, 20.0).fault
    data = seed.data.replace(b". ", b"! ").replace(b".\n", b"!\n")
    found = fuzz_readers.read(tmp_path / "a.txt", seed, data, 20.0)
    assert found.fault == "lost" and len(found.missing) == 11
    small = fuzz_readers.smaller(seed, data, "lost", tmp_path, 20.0)
    assert 8 <= len(small) < 30 and b"!" in small and fuzz_readers.WORD.search(small)


def test_exceptions_and_files_that_never_end_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(self: sources.Reading) -> Iterator[sources.Document]:
        raise RuntimeError("no")
        yield

    def waits(self: sources.Reading) -> Iterator[sources.Document]:
        while True:
            yield sources.Document("a", True)

    for reads, fault in ((raises, "crash"), (waits, "slow")):
        monkeypatch.setattr(sources.Reading, "__iter__", reads)
        assert fuzz_readers.read(tmp_path / "a.txt", SEEDS[0], b"text", 0.2).fault == fault


def test_a_number_makes_the_same_file_again_and_others_differ() -> None:
    made = [fuzz_readers.case(number, SEEDS)[1] for number in range(len(SEEDS))]
    assert made == [fuzz_readers.case(number, SEEDS)[1] for number in range(len(SEEDS))]
    assert sum(data != seed.data for data, seed in zip(made, SEEDS, strict=True)) > 0.8 * len(SEEDS)
    seed, others = SEEDS[0], SEEDS[1:]
    assert len({fuzz_readers.changed(seed, random.Random(n), others) for n in range(100)}) > 90


@pytest.mark.long
@pytest.mark.promise(FUZZED)
def test_many_changed_files(tmp_path: Path, record_property: Any) -> None:
    facts = fuzz_readers.fuzz(tmp_path, 3000, first=300, workers=2, seconds=20.0, megabytes=6000)
    record_property("tried", facts["files"])
    assert facts["files"] == 3000 and facts.get("read, and one text of one row is lost", 0) <= 9
    assert not facts["faults"], json.loads((tmp_path / "done.json").read_text())["faults"]
    assert fuzz_readers.fuzz(tmp_path, 3000, first=300, workers=2, seconds=20.0, megabytes=6000)["files"] == 3000
