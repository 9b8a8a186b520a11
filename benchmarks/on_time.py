"""Whether runs end on time: real ones, of several lengths, on an idle machine, a busy one, and one that becomes busy.

    python benchmarks/on_time.py --out runs/on_time --lengths 20:30 60:20 144:8 600:2
    python benchmarks/on_time.py --out runs/on_time_load --lengths 20:60 --load 0 1 2 4 8

Each length is run so many times, in turns with no other work, with work on half of the cores, on all of them, and on
all of them from the middle of the run on; with --load, beside so many other busy processes. A run is late when its
command ends after its budget; what ends before 94% has idled, unless the machine was busy or n-grams were counted in
place of a network. A run that is refused, or fails, is one without a model. What is done is not done again: with --show
nothing is run. The figures of all runs are kept in benchmarks/results too. Nothing else should run on the machine.
"""

import argparse
import json
import os
import shutil
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
RESULTS = Path(__file__).parent / "results" / "on_time.json"


class Load:
    """Other processes on some of the cores, from a moment on."""

    def __init__(self, kind: str, seconds: float) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        by_name = {"idle": 0, "half": max(1, cores // 2)}
        self._count = int(kind) if kind.isdigit() else by_name.get(kind, cores)
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


def ran(out: Path, seconds: int, number: int, sources: list[str], loads: Sequence[str] = LOADS) -> dict[str, Any]:
    """Facts of one run; made, or read. loads: a name of LOADS, or a number of busy processes, in turns."""
    load = loads[number % len(loads)]
    name = f"{seconds}s-{number:02}" if loads is LOADS else f"{seconds}s-load{load}-{number:02}"
    result = out / f"{name}.json"
    if result.exists():
        return json.loads(result.read_text())
    shutil.rmtree(out / name, ignore_errors=True)  # of a run that was broken off
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
        "family": figures.get("family", ""),
        "said": "" if done.returncode == 0 else done.stderr.strip().splitlines()[-3:],
    }
    result.write_text(json.dumps(facts) + "\n")
    return facts


def table(found: list[dict[str, Any]]) -> Iterable[str]:
    yield "| budget | load | runs | late | without a model | refused | counted | ended at, median (least to most) |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    loads = sorted({facts["load"] for facts in found}, key=lambda load: (load not in LOADS, _place(load)))
    for seconds in sorted({facts["seconds"] for facts in found}):
        for load in loads:
            of = [facts for facts in found if (facts["seconds"], facts["load"]) == (seconds, load)]
            if not of:
                continue
            late, refused = sum(facts["share"] > 1 for facts in of), sum(facts["code"] == 2 for facts in of)
            shares = [facts["share"] for facts in of if facts["code"] == 0]
            counted = sum(facts.get("family") == "ngram" for facts in of)
            middle = f"{statistics.median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})" if shares else ""
            without = len(of) - len(shares)
            yield f"| {seconds} s | {load} | {len(of)} | {late} | {without} | {refused} | {counted} | {middle} |"


def _place(load: str) -> int:
    return LOADS.index(load) if load in LOADS else int(load)


def all_of(
    lengths: Sequence[str], out: Path, sources: list[str], loads: Sequence[str] = LOADS, *, show: bool = False
) -> list[dict[str, Any]]:
    """Every run, made or read. lengths: SECONDS:RUNS. show: only those that are there."""
    if show:
        return [json.loads(path.read_text()) for path in sorted(out.glob("*s-*.json"))]
    out.mkdir(parents=True, exist_ok=True)
    found = []
    for length in lengths:
        seconds, _, runs = length.partition(":")
        for number in range(int(runs or 1)):
            facts = ran(out, int(seconds), number, sources, loads)
            found.append(facts)
            said = f"{facts['family'] or 'no model'}, ended at {facts['share']:.1%}"
            print(f"{seconds} s, load {facts['load']}: {said}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", help="the text; none: the built-in one")
    parser.add_argument("--lengths", nargs="+", default=LENGTHS, help="SECONDS:RUNS")
    parser.add_argument("--load", nargs="+", default=LOADS, help="numbers of busy processes beside, in turns")
    parser.add_argument("--out", type=Path, default=Path("runs/on_time"))
    parser.add_argument("--show", action="store_true", help="the table of the runs that are there")
    asked = parser.parse_args()
    found = all_of(asked.lengths, asked.out, asked.sources, asked.load, show=asked.show)
    if asked.load is not LOADS and not asked.show:
        RESULTS.write_text("[\n " + ",\n ".join(json.dumps(facts) for facts in found) + "\n]\n")
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
