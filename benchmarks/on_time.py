"""Whether runs end on time: real ones, of several lengths, on an idle machine, a busy one, and one that becomes busy.

    python benchmarks/on_time.py --out runs/on_time --lengths 20:30 60:20 144:8 600:2

Each length is run so many times, in turns with no other work, with work on half of the cores, on all of them, and on
all of them from the middle of the run on. A run is late when its command ends after its budget; what ends before 94%
has idled, unless the machine was busy. On a busy machine a short budget may be refused, with the shortest that works;
that is a run without a model. What is done is not done again. Nothing else should run on the machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

LOADS = ("idle", "half", "all", "all from the middle")
LENGTHS = ("20:30", "60:20", "144:8", "600:2")  # seconds and runs
BURN = "while True: sum(range(100_000))"


class Load:
    """Other processes on some of the cores, from a moment on."""

    def __init__(self, kind: str, seconds: float) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._count = {"idle": 0, "half": max(1, cores // 2)}.get(kind, cores)
        self._timer = threading.Timer(seconds / 2 if kind.endswith("middle") else 0.0, self._start)
        self._processes: list[subprocess.Popen[bytes]] = []

    def _start(self) -> None:
        self._processes = [subprocess.Popen([sys.executable, "-P", "-c", BURN]) for _ in range(self._count)]

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        self._timer.join()
        for process in self._processes:
            process.kill()
            process.wait()


def ran(out: Path, seconds: int, number: int, sources: list[str]) -> dict[str, Any]:
    """Facts of one run; made, or read."""
    load = LOADS[number % len(LOADS)]
    name = f"{seconds}s-{number:02}"
    result = out / f"{name}.json"
    if result.exists():
        return json.loads(result.read_text())
    words = [
        sys.executable,
        "-P",
        "-m",
        "daybreak",
        "run",
        *sources,
        "--for",
        f"{seconds}s",
        "--out",
        str(out / name),
        "--json",
    ]
    with Load(load, seconds):
        begun = time.monotonic()
        done = subprocess.run(words, capture_output=True, text=True)
        wall = time.monotonic() - begun
    figures = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    facts = {
        "seconds": seconds,
        "load": load,
        "code": done.returncode,
        "wall": wall,
        "share": wall / seconds,
        "bits_per_byte": figures.get("bits_per_byte"),
        "said": "" if done.returncode == 0 else done.stderr.strip().splitlines()[-3:],
    }
    result.write_text(json.dumps(facts) + "\n")
    return facts


def table(found: list[dict[str, Any]]) -> Iterable[str]:
    yield "| budget | load | runs | late | refused as too short | failed | ended at, median (least to most) |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for seconds in sorted({facts["seconds"] for facts in found}):
        for load in LOADS:
            of = [facts for facts in found if (facts["seconds"], facts["load"]) == (seconds, load)]
            if not of:
                continue
            late, refused = sum(facts["share"] > 1 for facts in of), sum(facts["code"] == 2 for facts in of)
            shares = [facts["share"] for facts in of if facts["code"] == 0]
            failed = len(of) - refused - len(shares)
            middle = f"{statistics.median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})" if shares else ""
            yield f"| {seconds} s | {load} | {len(of)} | {late} | {refused} | {failed} | {middle} |"


def all_of(lengths: Sequence[str], out: Path, sources: list[str]) -> list[dict[str, Any]]:
    """Every run, made or read. lengths: SECONDS:RUNS."""
    out.mkdir(parents=True, exist_ok=True)
    found = []
    for length in lengths:
        seconds, _, runs = length.partition(":")
        for number in range(int(runs or 1)):
            facts = ran(out, int(seconds), number, sources)
            found.append(facts)
            print(f"{seconds} s, {facts['load']}: ended at {facts['share']:.1%}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", help="the text; none: the built-in one")
    parser.add_argument("--lengths", nargs="+", default=LENGTHS, help="SECONDS:RUNS")
    parser.add_argument("--out", type=Path, default=Path("runs/on_time"))
    asked = parser.parse_args()
    print("\n".join(table(all_of(asked.lengths, asked.out, asked.sources))))


if __name__ == "__main__":
    main()
