"""The main job, measured: whole commands on real texts at several budgets, as docs/benchmarks.md shows them.

    python benchmarks/main_job.py --texts builtin shakespeare --budgets 60 144 --data ../shared/data --out runs/bench

Every cell is a run folder, so what is finished is not run again. Nothing else should run on the machine meanwhile.
Kneser-Ney is fitted on the whole training part of the same text, at its best order, for each text once.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from daybreak.core.records import standing_steps
from daybreak.core.run import Run
from daybreak.data.encode import texts_of
from daybreak.models.ngram.baseline import ngram_figure
from daybreak.views.report_page import phase_seconds


def sources(name: str, data: Path, out: Path) -> list[str]:
    """The command's words for a text."""
    if name == "builtin":
        return []
    if name == "shakespeare":
        text = (data / "lm_en_tinyshakespeare" / "input.txt").read_bytes()
        out.mkdir(parents=True, exist_ok=True)
        train, held = out / "shakespeare-train.txt", out / "shakespeare-heldout.txt"
        cut = len(text) * 9 // 10
        train.write_bytes(text[:cut])
        held.write_bytes(text[cut:])
        return [str(train), "--heldout", str(held)]
    return [str(data / {"poetry": "lm_zh_poetry", "techdocs": "lm_en_techdocs", "books": "lm_en_books"}[name])]


def ran(name: str, seconds: int, data: Path, out: Path, more: list[str]) -> dict[str, Any]:
    """One cell: the whole command as its user waits for it."""
    folder = out / f"{name}-{seconds}s"
    result = out / f"{name}-{seconds}s.json"
    if not result.exists():
        words = [sys.executable, "-P", "-m", "daybreak", "run", *sources(name, data, out), "--for", f"{seconds}s"]
        begun = time.monotonic()
        done = subprocess.run([*words, "--out", str(folder), "--json", *more], stdout=subprocess.PIPE, text=True)
        wall = time.monotonic() - begun
        if done.returncode:
            raise SystemExit(f"{name} at {seconds} s ended with {done.returncode}")
        result.write_text(json.dumps({"wall_seconds": wall, **json.loads(done.stdout.splitlines()[-1])}))
    return cell(name, seconds, Run(folder), json.loads(result.read_text()))


def cell(name: str, seconds: int, run: Run, figures: dict[str, Any]) -> dict[str, Any]:
    plan, phases, steps = run.plan(), phase_seconds(run), standing_steps(run.log_file)
    rows = sum(s.micro_batch * s.accumulation for s in steps)
    rate = rows * getattr(plan.shape, "context_length", 0) / max(1e-9, sum(s.seconds for s in steps))
    return {
        "text": name,
        "budget": seconds,
        "wall": figures["wall_seconds"] / seconds,
        "training": phases.get("training", 0.0) / seconds,
        "model": figures["bits_per_byte"],
        "mixture": figures.get("mixture", {}).get("bits_per_byte"),
        "predicted": plan.predicted.figure / figures["bits_per_byte"],
        "speed": rate / plan.predicted.tokens_per_second if rate else float("nan"),
        "tokens_per_second": rate,
        "shape": plan.shape.key(),
    }


def whole_ngram(run: Run, cache: Path) -> tuple[int, float]:
    """Kneser-Ney over all of the training text, on all of the held-out text."""
    if cache.exists():
        order, bits = json.loads(cache.read_text())
        return order, bits
    corpus = run.corpus()
    train, held = texts_of(run, corpus)
    unseen = [document.text for document in held]
    order, bits, _ = ngram_figure(tuple(d.text for d in train), unseen, unit=corpus.ngram_unit, most_bytes=10**12)
    cache.write_text(json.dumps([order, bits]))
    return order, bits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", nargs="+", default=["builtin"])
    parser.add_argument("--budgets", nargs="+", type=int, default=[144])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    parser.add_argument("more", nargs="*", help="further words for `daybreak run`, after --")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    print("| text | budget | model/ alone | with counts | Kneser-Ney (order) | bits predicted / fact "
          "| speed fact / predicted | wall / budget | training | shape |")  # fmt: skip
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in asked.texts:
        for seconds in asked.budgets:
            c = ran(name, seconds, asked.data, asked.out, asked.more)
            order, bits = whole_ngram(Run(asked.out / f"{name}-{seconds}s"), asked.out / f"{name}-ngram.json")
            mixed = f"{c['mixture']:.3f}" if c["mixture"] else ""
            print(
                f"| {name} | {seconds} s | {c['model']:.3f} | {mixed} | {bits:.3f} ({order}) | {c['predicted']:.2f} | "
                f"{c['speed']:.2f} | {c['wall']:.1%} | {c['training']:.0%} | {c['shape']} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
