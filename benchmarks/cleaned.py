"""What cleaning gains: the same seconds on a dirty text with cleaning and without, scored on the same clean text.

    python benchmarks/cleaned.py CLEAN.jsonl --seconds 144 --seeds 3 --out runs/cleaned

CLEAN.jsonl is made dirty by dirty.py, whose help says how. Both sides read every encoding; without cleaning, every step
is left out. What is finished is not run again. Nothing else should run on the machine.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from daybreak.core.run import Run
from daybreak.data.cleaning import STEPS

HERE = Path(__file__).resolve().parent


def ran(dirty: Path, out: Path, seconds: int, seed: int, *, cleaned: bool) -> dict[str, Any]:
    """Figures of one run; made, or read."""
    name = f"{'cleaned' if cleaned else 'as-it-is'}-{seed}"
    result = out / f"{name}.json"
    if result.exists():
        return json.loads(result.read_text())
    words = [
        sys.executable,
        "-P",
        "-m",
        "daybreak",
        "run",
        str(dirty / "dirty"),
        "--heldout",
        str(dirty / "heldout.jsonl"),
    ]
    words += ["--for", f"{seconds}s", "--seed", str(seed), "--out", str(out / name), "--json"]
    for step in () if cleaned else STEPS:
        words += ["--without", step]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stderr}")
    figures = json.loads(done.stdout.splitlines()[-1])
    corpus = Run(out / name).corpus()
    facts = {
        "seed": seed,
        "cleaned": cleaned,
        "bits_per_byte": figures["bits_per_byte"],
        "scored_bytes": figures["bytes"],
        "bytes": corpus.bytes,
        "removed": {account.name: account.removed_documents for account in corpus.accounts},
    }
    result.write_text(json.dumps(facts, indent=1) + "\n")
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clean", type=Path)
    parser.add_argument("--seconds", type=int, default=144)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/cleaned"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    dirty = asked.out / "text"
    if not (dirty / "heldout.jsonl").exists():
        subprocess.run(
            [sys.executable, str(HERE / "dirty.py"), str(asked.clean), str(dirty), "--seed", "0"], check=True
        )
    print("| seed | with cleaning | without | fewer bits |\n| --- | --- | --- | --- |")
    gains = []
    for seed in range(asked.seeds):
        one, other = (ran(dirty, asked.out, asked.seconds, seed, cleaned=cleaned) for cleaned in (True, False))
        gains.append(1 - one["bits_per_byte"] / other["bits_per_byte"])
        print(f"| {seed} | {one['bits_per_byte']:.4f} | {other['bits_per_byte']:.4f} | {gains[-1]:.1%} |", flush=True)
    print(f"\nmean {sum(gains) / len(gains):.1%}")


if __name__ == "__main__":
    main()
