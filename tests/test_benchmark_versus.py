"""The comparison with peers: its metric by hand, its texts, its cells and its table."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path[:0] = [str(BENCHMARKS), str(BENCHMARKS / "peers")]

import metric  # noqa: E402
import versus  # noqa: E402


def test_a_model_that_knows_nothing_needs_the_logarithm_of_its_vocabulary():
    stream, sizes = np.array([0, 1, 2, 3, 1, 2]), np.array([0, 1, 1, 2, 1, 1])
    bits, size = metric.bits_per_byte(
        lambda tokens: torch.zeros(*tokens.shape, 8), stream, sizes, context_length=4, opening=0
    )
    assert size == 6
    assert bits == pytest.approx(5 * 3 / 6)  # five counted tokens of three bits each, over six bytes


def test_the_opening_token_is_used_where_it_is_better():
    def logits(tokens: torch.Tensor) -> torch.Tensor:
        """Right about everything, but after token 1 at the beginning of a window it is lost."""
        scores = torch.zeros(*tokens.shape, 2)
        scores[..., 1] = torch.where((tokens[:, :1] == 1) & (tokens.shape[1] > 1), 0.0, 20.0)
        return scores

    stream = np.ones(8, dtype=int)
    bits, _ = metric.bits_per_byte(logits, stream, np.ones(8, dtype=int), context_length=4, opening=0)
    assert bits < 1e-6


def test_what_is_held_out_is_the_same_every_time_and_not_trained_on(tmp_path):
    data = tmp_path / "lm_en_tinyshakespeare"
    data.mkdir()
    (data / "input.txt").write_text("To be, or not to be.\n" * 100)
    folder = versus.written("shakespeare", tmp_path, tmp_path / "out")
    train, held = (metric.documents(folder / f"{part}.jsonl") for part in ("train", "heldout"))
    assert "".join(train + held) == "To be, or not to be.\n" * 100
    assert len(held[0]) == 210


def test_every_peer_says_what_it_runs_for_every_variant(tmp_path):
    for tool, module in versus.PEERS.items():
        peer = __import__(module)
        assert set(peer.VARIANTS) == set(versus.VARIANTS), tool
        for variant in versus.VARIANTS:
            words = peer.commands(tmp_path, tmp_path, variant, 123)
            assert any("123" in word for word in words[-1])


def test_the_pieces_of_a_long_text_are_the_text():
    import with_nanochat

    text = "".join(f"line {number}\n" for number in range(2000))
    pieces = with_nanochat._pieces(text)
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= with_nanochat.PIECE


def test_finished_cells_are_read_and_shown(tmp_path):
    cell = {"tool": "daybreak", "variant": "", "text": "shakespeare", "seconds": 9, "bits_per_byte": 2.0}
    other = {**cell, "tool": "nanogpt", "variant": "small", "bits_per_byte": 2.5, "parameters": 10**6, "iterations": 7}
    (tmp_path / "cells").mkdir()
    for facts in (cell, other):
        name = f"shakespeare-9s-{facts['tool']}-{facts['variant']}.json"
        (tmp_path / "cells" / name).write_text(json.dumps({**facts, "wall_seconds": 8.9}))
    words = [sys.executable, str(BENCHMARKS / "versus.py"), "--seconds", "9", "--out", str(tmp_path), "--read"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| shakespeare | daybreak |  | 2.000 |  |  | 8.9 |" in done.stdout
    assert "| shakespeare | nanoGPT | small | 2.500 | 1.00 M | 7 | 8.9 |" in done.stdout


def test_kneser_ney_is_counted_on_the_whole_text(tmp_path):
    for part, count in (("train", 300), ("heldout", 20)):
        line = json.dumps({"text": "the cat sat on the mat and the dog sat on the log\n" * count})
        (tmp_path / f"{part}.jsonl").write_text(line + "\n")
    made = versus.of_counts(tmp_path, tmp_path, 9)
    assert made["bytes"] == 20 * 50
    assert 0 < made["bits_per_byte"] < math.log2(27)
