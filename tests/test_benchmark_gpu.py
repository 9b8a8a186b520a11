"""The benchmark of one GPU: its pieces, its tables, and all of it in miniature on the processor."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path[:0] = [str(BENCHMARKS), str(BENCHMARKS / "peers")]

import gpu  # noqa: E402


def asked(out: Path, **changes: Any) -> argparse.Namespace:
    named = {
        "shapes": list(gpu.SHAPES),
        "seconds": [300, 60],
        "nanogpt": Path(),
        "nanochat": None,
        "smoke": False,
        "again": False,
        "minutes": 9.0,
        "out": out,
    }
    return argparse.Namespace(**{**named, **changes})


def test_techniques_are_added_one_after_the_other_and_short_budgets_come_first(tmp_path):
    names = [cell.name for cell in gpu.cells(asked(tmp_path))]
    assert names[:3] == ["speed-124M-float32", "speed-124M-bf16", "speed-124M-bf16+compiled"]
    assert "speed-0.8B-bf16+compiled+fused_loss" in names and "speed-0.8B-bf16" not in names
    assert names[-4:] == ["text-60s-daybreak", "text-60s-nanogpt", "text-300s-daybreak", "text-300s-nanogpt"]


def test_every_cell_ends_within_a_piece(tmp_path):
    assert all(cell.price < 9 * 60 for cell in gpu.cells(asked(tmp_path, nanochat=Path())))


def test_a_piece_goes_on_where_the_last_one_ended(tmp_path, monkeypatch):
    clock, done = [0.0], []

    def spent(cell, _):
        clock[0] += cell.price
        done.append(cell.name)
        return {"failed": "x"} if cell.name == "speed-124M-bf16" else {}

    monkeypatch.setattr(gpu.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(gpu, "speed_apart", spent)
    monkeypatch.setattr(gpu, "of_text", spent)
    wanted = [cell.name for cell in gpu.cells(asked(tmp_path))]
    pieces = 0
    while set(done) != set(wanted):
        begun = clock[0]
        gpu.piece(asked(tmp_path))
        assert clock[0] - begun <= 9 * 60
        pieces += 1
    assert len(done) == len(wanted) and 1 < pieces < 6
    gpu.piece(asked(tmp_path))
    assert len(done) == len(wanted)
    gpu.piece(asked(tmp_path, again=True))
    assert done[len(wanted) :] == ["speed-124M-bf16"]


def test_what_a_step_takes_is_taken_from_a_shorter_cell(tmp_path):
    cell = next(c for c in gpu.cells(asked(tmp_path)) if c.name == "text-300s-nanogpt")
    assert gpu.learnt(cell, asked(tmp_path)) == []
    (tmp_path / "text-60s-nanogpt.json").write_text(json.dumps({"fixed_seconds": 20.0, "step_seconds": 0.1}))
    assert gpu.learnt(cell, asked(tmp_path)) == [20.0, 0.1]


def test_the_peak_of_a_known_gpu_is_the_published_one(machine):
    assert gpu.peak_of(machine(kind="cuda", name="NVIDIA H200"), 0.0) == (989e12, "published")
    assert gpu.peak_of(machine(kind="cuda", name="Some Other"), 0.0) == (1e11, "measured")
    assert gpu.peak_of(machine(), 400.0) == (400e12, "given")


def test_peers_are_told_their_settings(tmp_path):
    import with_nanochat
    import with_nanogpt

    for tool, peer in (("nanogpt", with_nanogpt), ("nanochat", with_nanochat)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(peer.VARIANTS, gpu.VARIANT, gpu.PEER_SETTINGS[tool])
            words = peer.commands(tmp_path, tmp_path, gpu.VARIANT, 77)[-1]
        assert any("77" in word for word in words)
        assert ("--device=cuda" in words) == (tool == "nanogpt")


def test_finished_cells_are_read_and_shown(tmp_path):
    speed = {
        "cell": "speed-124M-bf16",
        "shape": "124M",
        "stack": ["bf16"],
        "tokens_per_second": 400_000.0,
        "flops_per_second": 3.4e14,
        "mfu": 0.344,
        "peak": 989e12,
        "peak_source": "published",
        "memory_bytes": 20 * 2**30,
        "compile_seconds": 0.0,
        "rows": 32,
    }
    text = {"cell": "text-60s-daybreak", "shape": "", "stack": [], "tool": "daybreak", "variant": "", "text": "books"}
    text |= {"seconds": 60, "bits_per_byte": 1.25, "wall_seconds": 59.0}
    lost = {"cell": "text-300s-daybreak", "shape": "", "stack": [], "tool": "daybreak", "seconds": 300, "failed": "oh"}
    for facts in (speed, text, lost):
        (tmp_path / f"{facts['cell']}.json").write_text(json.dumps(facts))
    words = [sys.executable, str(BENCHMARKS / "gpu.py"), "--out", str(tmp_path), "--read"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| 124M | bf16 | 400,000 | 340.0 | 34.4% | 989 TFLOP/s, published | 20.00 GiB | 32 | 0 s |" in done.stdout
    assert "| books | daybreak |  | 1.250 |  |  | 59.0 |" in done.stdout
    assert "text-300s-daybreak: oh" in done.stdout


@pytest.mark.long
def test_everything_in_miniature(tmp_path):
    words = [sys.executable, str(BENCHMARKS / "gpu.py"), "--smoke", "--minutes", "5"]
    for name in ("out", "cache", "scratch"):
        words += [f"--{name}", str(tmp_path / name)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    found = [json.loads(path.read_text()) for path in sorted((tmp_path / "out").iterdir())]
    assert [f["cell"] for f in found] == ["speed-tiny-float32", "speed-tiny-fused_loss", "text-25s-daybreak"]
    assert not any("failed" in f for f in found), done.stdout
    assert all(f["tokens_per_second"] > 0 and 0 < f["mfu"] < 1.5 and f["memory_bytes"] > 0 for f in found[:2])
    assert 0 < found[2]["bits_per_byte"] < 8
    assert list((tmp_path / "cache" / "daybreak").iterdir())
    assert "After 25 s" in done.stdout
