"""Exactness: does the first step of a reproducible run come out the same in every fresh process?

    python benchmarks/exactness.py --processes 6000
    python benchmarks/exactness.py --processes 6000 --cold   # without the first calls of MKL's functions: the race

A plan is made once. Then processes are forked after the imports, many at once on purpose, so that their threads are
held up at every moment; each builds the plan, takes step 1, and tells checksums of the tables of positions, of the
loss, of every gradient and of every weight. Results are kept as they come (--kept), and the same command goes on from
there. Ends with code 1 where two processes differ, and says in what.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # numpy would have threads before the fork, and none after it
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "OPENBLAS_NUM_THREADS": "1"})

import torch
import xxhash
from torch import Tensor

from daybreak import techniques
from daybreak.core.clock import Stopwatch, TokensClock
from daybreak.core.run import Run, write_json
from daybreak.core.types import Plan
from daybreak.data import shards
from daybreak.engine import loop
from daybreak.engine import machine as machines
from daybreak.training.build import batches_of, build
from daybreak.training.train import training_steps

TOKENS = 60_000
SIZES = ("layers=1", "width=64", "context_length=32", f"tokens={TOKENS}")
AT_ONCE = 16
STUCK_SECONDS = 300.0  # for one step
KEPT_EVERY = 5.0  # seconds


def prepared(folder: Path) -> Run:
    """A finished run of the plan, made by the command in a process of its own: text, plan, and compiled kernels."""
    from pydoc_data import topics

    text, run = folder / "topics.txt", Run(folder / "run")
    if not run.finished():
        text.write_text("\n\n".join(topics.topics[name] for name in sorted(topics.topics))[:300_000])
        words = ["run", str(text), "--for", "5m", "--reproducible", "--out", str(run.path), "--json"]
        words += [word for size in SIZES for word in ("--set", size)]
        words += ["--without", "compiled", "--without", "ngram_mix", "--with", "thread_parallel"]
        subprocess.run([sys.executable, "-P", "-m", "daybreak", *words], check=True, stdout=subprocess.DEVNULL)
    return run


def checksum(*tensors: Tensor) -> str:
    whole = xxhash.xxh3_64()
    for tensor in tensors:
        plain = tensor.detach().contiguous()
        whole.update(plain.view(torch.int16 if plain.element_size() == 2 else torch.int32).numpy().data)
    return whole.hexdigest()


def step_once(run: Run, plan: Plan, *, cold: bool) -> dict[str, str]:
    """Checksums after step 1, by what they are of."""
    if cold:
        machines._vector_functions_settled.set()
    device = machines.pick_device("cpu")
    built = build(plan, machines.measured(device), device)
    train = shards.Tokens(run.corpus_folder, f"train-{plan.tokenizer.vocabulary}")
    batches, _ = techniques.fold(built.techniques, "batches", batches_of(run, train, plan), built.context)
    told: dict[str, str] = {}
    norm = built.optimizer.gradient_norm

    def looking() -> float:
        for name, weight in built.module.named_parameters():
            told[f"gradient of {name}"] = checksum(weight.grad)
        return norm()

    built.optimizer.gradient_norm = looking  # type: ignore[method-assign]
    clock = TokensClock(Stopwatch(), tokens=plan.tokens)
    step = next(training_steps(plan, built, batches, clock, loop.Position()))
    told |= {name: checksum(*tables) for name, (_, tables) in built.module._told.items()}
    told |= {name: checksum(weight) for name, weight in built.module.named_parameters()}
    return {**told, "loss": step.nats.hex(), "norm of the gradient": step.gradient_norm.hex()}


def results(run: Run, plan: Plan, count: int, *, at_once: int, cold: bool) -> Iterator[dict[str, str]]:
    """Of so many forked processes, as they end. Raises SystemExit: one failed, or is stuck."""
    waiting: dict[int, tuple[int, float]] = {}  # the channel and the beginning of each process
    begun = 0
    while begun < count or waiting:
        while begun < count and len(waiting) < at_once:
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    os.close(reading)
                    with os.fdopen(writing, "w") as channel:
                        json.dump(step_once(run, plan, cold=cold), channel)
                    code = 0
                finally:
                    os._exit(code)
            os.close(writing)
            waiting[pid], begun = (reading, time.monotonic()), begun + 1
        for pid, (channel, since) in list(waiting.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)  # what it tells fits into the pipe
            if ended:
                del waiting[pid]
                with os.fdopen(channel) as told:
                    if status:
                        sys.exit(f"a process ended with status {status}")
                    yield json.load(told)
            elif time.monotonic() - since > STUCK_SECONDS:
                sys.exit(f"process {pid} is stuck")
        time.sleep(0.01)


def kept_in(file: Path, made_with: dict[str, Any]) -> dict[str, Any]:
    """What the file holds of the same plan, code and versions; else nothing."""
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    if found.get("made_with") != made_with:
        return {"made_with": made_with, "processes": 0, "seconds": 0.0, "results": []}
    return found


def difference(kept: dict[str, Any]) -> str:
    """In what the results differ from the most frequent one; empty where there is one alone."""
    usual, *others = sorted(kept["results"], key=lambda one: -int(one["times"]))
    parts = []
    for other in others:
        differing = sorted(name for name, value in usual["told"].items() if other["told"].get(name) != value)
        parts.append(f"{other['times']} of {kept['processes']} differ in {', '.join(differing)}")
    return "; ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=200, help="in all, those that are kept included")
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--cold", action="store_true", help="without the first calls that a run makes alone")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "daybreak-exactness")
    parser.add_argument("--kept", type=Path, help="the results; by default exactness.json in the folder")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    run = prepared(asked.folder)
    plan = run.plan()
    file = asked.kept or asked.folder / ("exactness-cold.json" if asked.cold else "exactness.json")
    package = Path(machines.__file__).resolve().parents[1]
    code = xxhash.xxh3_64()
    for source in sorted((*package.rglob("*.py"), *package.rglob("*.c"))):
        code.update(source.read_bytes())
    made_with = {
        "code": code.hexdigest(),
        "plan": xxhash.xxh3_64_hexdigest(run.plan_file.read_bytes()),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cold": asked.cold,
    }
    kept = kept_in(file, made_with)
    before, begun, written = kept["seconds"], time.monotonic(), 0.0
    left = asked.processes - kept["processes"]
    for told in results(run, plan, left, at_once=asked.at_once, cold=asked.cold):
        same = next((one for one in kept["results"] if one["told"] == told), None)
        if same is None:
            kept["results"].append({"times": 1, "told": told})
        else:
            same["times"] += 1
        kept["processes"] += 1
        kept["seconds"] = round(before + time.monotonic() - begun, 1)
        if time.monotonic() - written > KEPT_EVERY or kept["processes"] == asked.processes:
            write_json(file, kept)
            written = time.monotonic()
            line = f"{kept['processes']} of {asked.processes}, {len(kept['results'])} results, {kept['seconds']:.0f} s"
            print(line, file=sys.stderr, flush=True)
    found = difference(kept)
    print(found or f"{kept['processes']} processes, one result")
    if found:
        sys.exit(1)


if __name__ == "__main__":
    main()
