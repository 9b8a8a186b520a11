"""Tests of benchmarks/prepare.py: the text that it makes, what it sees of processes, and its table."""

from __future__ import annotations

import json
import lzma
import random
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import prepare  # noqa: E402

WORDS = ("river", "stone", "light", "evening", "market", "window", "paper", "station", "history", "garden")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    chance = random.Random(0)
    (folder / "lm_en_books").mkdir()
    with lzma.open(folder / "lm_en_books" / "books.jsonl.xz", "wt") as file:
        for _ in range(150):
            file.write(json.dumps({"text": " ".join(chance.choices(WORDS, k=400))}) + "\n")
        file.write(json.dumps({"text": "\n\n".join(" ".join(chance.choices(WORDS, k=300)) for _ in range(20))}) + "\n")
    return folder


def made(data: Path, folder: Path, seed: int = 0) -> tuple[dict[str, int], list[str]]:
    facts = prepare.make_text(data, folder, 2, seed)
    files = sorted(folder.glob("*.jsonl"))
    return facts, [json.loads(line)["text"] for file in files for line in file.read_text().splitlines()]


def test_the_text_is_what_its_counts_say(data: Path, tmp_path: Path) -> None:
    facts, texts = made(data, tmp_path / "text")
    assert len(texts) == facts["documents"] and sum(map(len, texts)) == facts["bytes"] == pytest.approx(2e6, rel=0.01)
    assert len(texts) - len(set(texts)) == pytest.approx(facts["exact_copies"], abs=2)
    assert facts["exact_copies"] / len(texts) == pytest.approx(0.05, abs=0.03)
    assert facts["near_copies"] / len(texts) == pytest.approx(0.10, abs=0.03)
    assert facts["said_again"] == len(texts) - facts["exact_copies"] - facts["near_copies"] - len(
        [*prepare.sources(data)]
    )
    assert max(map(len, texts)) <= prepare.PIECE + 100
    assert (facts, texts) == made(data, tmp_path / "again")
    assert texts != made(data, tmp_path / "other", seed=1)[1]


def test_pieces_of_a_book_join_up_to_it(data: Path) -> None:
    with lzma.open(data / "lm_en_books" / "books.jsonl.xz", "rt") as lines:
        *_, book = (json.loads(line)["text"] for line in lines)
    pieces = list(prepare.sources(data))
    assert "".join(pieces[150:]) == book and len(pieces) > 152


SHARED = """
import subprocess, sys, time, json
child = subprocess.Popen([sys.executable, "-c", "import time; x = bytearray(60_000_000); time.sleep(1.5)"],
                         start_new_session=True)
x = bytearray(40_000_000)
end = time.process_time() + 0.5
while time.process_time() < end: pass
child.wait()
print(json.dumps({"tokens": 7}))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to see memory")
def test_memory_and_processor_of_all_processes_are_seen(tmp_path: Path) -> None:
    found = prepare.timed([sys.executable, "-c", SHARED], tmp_path / "log", 60)
    assert found["printed"] == {"tokens": 7} and "failed" not in found
    assert 100e6 < found["peak_bytes"] < 200e6 and found["peak_processes"] == 2
    assert found["seconds"] >= 1.5 and 0.5 <= found["processor_seconds"] < 5


def test_what_fails_or_lasts_too_long_is_told(tmp_path: Path) -> None:
    late = prepare.timed([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log", 0.5)
    assert late["failed"] == "not done after 0.5 s" and late["seconds"] < 20
    wrong = prepare.timed([sys.executable, "-c", "raise ValueError('so it is')"], tmp_path / "log", 60)
    assert wrong["failed"] == "exit code 1: ValueError: so it is"


def test_a_missing_peer_is_left_out_with_the_reason(tmp_path: Path) -> None:
    peer = [sys.executable, str(BENCHMARKS / "peers/preparing.py"), "datatrove", str(tmp_path / "w"), "2", "8192", "x"]
    printed = prepare.timed(peer, tmp_path / "log", 60)["printed"]
    if "missing" not in printed:
        pytest.skip("datatrove is installed here")
    assert printed == {"missing": "datatrove is not installed"}


def test_the_table_says_how_many_times_as_long() -> None:
    facts = {"processor_seconds": 3.0, "peak_bytes": 2e8, "tokens": 1000}
    cells = [
        {"tool": "daybreak", "seconds": 10.0, "megabytes_per_second": 2.0, **facts},
        {"tool": "datasets", "seconds": 25.0, "megabytes_per_second": 0.8, **facts},
        {"tool": "litdata", "failed": "litdata is not installed"},
    ]
    lines = prepare.table(cells).splitlines()
    assert lines[2] == "| daybreak | 2.00 | 10.0 | 1.00 | 3.0 | 200 | 1,000 |"
    assert lines[3].split("|")[4].strip() == "2.50"
    assert lines[4] == "| litdata | litdata is not installed | | | | | |"
