"""One GPU, measured: speed as techniques are added, bits per byte beside peers at equal seconds, and peak memory.

    python benchmarks/gpu.py --data ../shared/data --nanogpt ../nanoGPT --nanochat ../nanochat --minutes 9

A command is one piece: it starts no cell that would end after its minutes, and every finished cell is one JSON file
under --out, so the same command goes on with what is missing; the whole takes about 25 minutes. Between machines, take
--out and --cache along: --cache holds the compiled kernels and what daybreak measured. --scratch holds the texts and
work folders and may be lost. `--read` runs nothing and prints what is there; `--smoke` runs everything in miniature,
on a processor too, in under a minute.

- Speed: a step of forward, backward and optimizer, each cell in a process of its own: the median of a few seconds after
  compiling. MFU is Shape.flops_per_token times tokens per second over the dense bfloat16 peak, the published one where
  the GPU is known here (or --peak), else that of a product of 4096 x 4096 matrices, measured; the cell says which.
- Memory: the most that torch had allocated on the GPU in such a step.
- Bits per byte: as in versus.py, on about --megabytes of English books. Kernels are compiled before the seconds count,
  on all sides, except daybreak's in its first cell with an empty --cache. A peer is first run twice for a few steps,
  uncounted, to learn how many fit. nanoGPT runs its own settings for a GPU (characters, 10.7 M weights), without
  dropout. nanochat is meant for data without repeats, much more than these books: its figure after many passes is not
  what it would reach on its own data.
"""

import argparse
import functools
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import versus  # noqa: E402

CONTEXT, VOCABULARY = 1024, 32768
SHAPES = {"124M": (12, 768, 32), "350M": (24, 1024, 16), "0.8B": (24, 1536, 16)}  # layers, width, rows of a step
SMOKE_SHAPES = {"tiny": (1, 64, 2)}
ADDED = ("bf16", "compiled", "fused_loss", "fp8")  # one after the other, those of them that daybreak has
WHOLE = "124M"  # the shape that is measured from eager float32 on; the others from bf16 and compiled on
SPEED_SECONDS = 5.0
SPEED_PRICE = 60.0  # seconds of a cell, at most as a rule
SCORING_PRICE = 60.0
LEARNING_PRICE = 60.0  # of a peer's few steps
FEW_STEPS = 25
PUBLISHED_PEAK = {"H100": 989e12, "H200": 989e12, "GH200": 989e12, "A100": 312e12}  # dense bfloat16, SXM modules
SMOKE_SECONDS = 25
VARIANT = "gpu"
PEER_SETTINGS: dict[str, dict[str, Any]] = {
    # config/train_shakespeare_char.py, which its read-me gives for a GPU, without dropout: the text repeats little.
    "nanogpt": {
        "device": "cuda",
        "compile": True,
        "block_size": 256,
        "batch_size": 64,
        "n_layer": 6,
        "n_head": 6,
        "n_embd": 384,
        "learning_rate": 1e-3,
        "min_lr": 1e-4,
        "beta2": 0.99,
        "warmup_iters": 100,
    },
    "nanochat": {
        "depth": 8,
        "head-dim": 64,
        "window-pattern": "L",
        "max-seq-len": 1024,
        "device-batch-size": 32,
        "total-batch-size": 65536,
    },
}
NANOCHAT_VOCABULARY = 8192


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure: a shape with some techniques, or a tool with some seconds."""

    name: str
    price: float  # seconds that it takes, about
    shape: str = ""
    stack: tuple[str, ...] = ()
    tool: str = ""
    seconds: int = 0


def cells(asked: argparse.Namespace) -> list[Cell]:
    """All that were asked for, the cheap ones first."""
    from daybreak import techniques

    added = [name for name in (("fused_loss",) if asked.smoke else ADDED) if name in techniques.names()]
    found = []
    for shape in SMOKE_SHAPES if asked.smoke else asked.shapes:
        for count in range(0 if asked.smoke or shape == WHOLE else min(2, len(added)), len(added) + 1):
            stack = tuple(added[:count])
            name = f"speed-{shape}-{'+'.join(stack) or 'float32'}"
            found.append(Cell(name=name, price=SPEED_PRICE, shape=shape, stack=stack))
    for seconds in sorted([SMOKE_SECONDS] if asked.smoke else asked.seconds):
        for tool in ("daybreak", "nanogpt", "nanochat"):
            if tool == "daybreak" or getattr(asked, tool) is not None:
                price = 1.05 * seconds + SCORING_PRICE + LEARNING_PRICE * (tool != "daybreak")
                found.append(Cell(name=f"text-{seconds}s-{tool}", price=price, tool=tool, seconds=seconds))
    return found


# Speed and memory


def plan_of(shape_name: str, stack: tuple[str, ...], rows: int, *, smoke: bool) -> Any:
    """A plan that only times steps: what of it is not of a step says nothing."""
    from daybreak.core.types import Budget, OptimizerChoice, Plan, Prediction, ScheduleChoice, TechniqueChoice
    from daybreak.core.types import TokenizerChoice as Choice
    from daybreak.models import ladder

    layers, width, _ = {**SHAPES, **SMOKE_SHAPES}[shape_name]
    vocabulary, context = (256, 64) if smoke else (VOCABULARY, CONTEXT)
    shape = ladder.gpt(layers, width, vocabulary=vocabulary, context_length=context)
    return Plan(
        objective="next_token",
        corpus="none",
        tokenizer=Choice(kind="bpe", vocabulary=shape.vocabulary),
        shape=shape,
        budget=Budget(clock="seconds", seconds=3600.0),
        tokens=10**9,
        batch_tokens=rows * context,
        micro_batch=rows,
        optimizer=OptimizerChoice(
            name="muon",
            learning_rate=0.02,
            table_learning_rate=0.004,
            weight_decay=0.1,
            momentum=0.95,
            orthogonalize_steps=5,
        ),
        schedule=ScheduleChoice(name="linear", warmup=0.0, decay=0.5, floor=0.0),
        techniques=tuple(TechniqueChoice(name=name) for name in stack),
        refused={},
        seed=0,
        reproducible=False,
        evaluation_bytes=0,
        predicted=Prediction(
            tokens_per_second=1.0,
            figure=1.0,
            figure_low=1.0,
            figure_high=1.0,
            memory_bytes=0,
            corpus_tokens=10**9,
            bytes_per_token=4.0,
            mode="compiled" if "compiled" in stack else "eager",
            compile_seconds=0.0,
            compiled_speedup=1.0,
            phase_seconds={"training": 3600.0, "compile": 0.0},
        ),
        reasons={},
    )


def speed(cell: Cell, *, smoke: bool, peak: float) -> dict[str, Any]:
    """Measured in this process: it should be a fresh one."""
    import torch

    from daybreak import techniques
    from daybreak.engine import machine as machines
    from daybreak.engine.probe import compile_cache

    device = machines.pick_device("cpu" if smoke else "")
    machine = machines.measured(device)
    compile_cache()
    reasons = {name: techniques.class_of(name)().unusable(machine) for name in cell.stack}
    if any(reasons.values()):
        return {"refused": "; ".join(f"{name}: {reason}" for name, reason in reasons.items() if reason)}
    rows = {**SHAPES, **SMOKE_SHAPES}[cell.shape][2]
    while True:
        try:
            timing, shape = timed(cell, rows, machine, device, smoke=smoke)
            break
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
            rows //= 2
        torch.cuda.empty_cache()  # outside the handler, whose error holds the tensors of the attempt
        torch.cuda.reset_peak_memory_stats()
    rate = rows * shape.context_length / timing.step_seconds
    peak, source = peak_of(machine, peak)
    return {
        "parameters": shape.parameters(),
        "rows": rows,
        "context_length": shape.context_length,
        "step_seconds": timing.step_seconds,
        "tokens_per_second": rate,
        "flops_per_second": rate * shape.flops_per_token(),
        "mfu": rate * shape.flops_per_token() / peak if peak else None,
        "peak": peak,
        "peak_source": source,
        "memory_bytes": timing.memory_bytes,
        "compile_seconds": timing.compile_seconds,
        "device": machine.name,
        "torch": torch.__version__,
    }


def timed(cell: Cell, rows: int, machine: Any, device: Any, *, smoke: bool) -> tuple[Any, Any]:
    """The Timing of a step of so many rows, and the shape. Raises torch.OutOfMemoryError."""
    import torch

    from daybreak.data.batches import Batch
    from daybreak.engine.probe import time_training
    from daybreak.training.build import build

    plan = plan_of(cell.shape, cell.stack, rows, smoke=smoke)
    built = build(plan, machine, device)
    size = (rows, plan.shape.context_length + 1)
    tokens = torch.randint(plan.shape.vocabulary, size, generator=torch.Generator().manual_seed(0)).to(device)
    timing = time_training(
        built.module,
        built.loss,
        built.optimizer,
        Batch(tokens),
        micro_batch=rows,
        device=device,
        shape=plan.shape,
        dtype=str(built.module.compute_dtype).removeprefix("torch."),
        mode=plan.predicted.mode,
        cold=False,
        seconds=0.2 if smoke else SPEED_SECONDS,
        evaluate=lambda batch: None,  # the memory is that of training
    )
    return timing, plan.shape


def peak_of(machine: Any, given: float) -> tuple[float, str]:
    """Operations per second of dense bfloat16, and where the figure is from."""
    if given:
        return given * 1e12, "given"
    # The longest name first: GH200 holds H200.
    for name in sorted(PUBLISHED_PEAK, key=len, reverse=True):
        if machine.kind == "cuda" and name in machine.name:
            return PUBLISHED_PEAK[name], "published"
    return max(machine.matmul_flops.values(), default=0.0), "measured"


def speed_apart(cell: Cell, asked: argparse.Namespace) -> dict[str, Any]:
    """`speed` in a process of its own."""
    words = [sys.executable, str(Path(__file__).resolve()), "--one", cell.name, "--peak", str(asked.peak)]
    words += ["--smoke"] * asked.smoke + ["--shapes", *asked.shapes]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=4 * SPEED_PRICE, env=environment(asked))
    except subprocess.TimeoutExpired:
        return {"failed": f"it took more than {4 * SPEED_PRICE:.0f} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no word"])[-1][:400]}
    return json.loads(done.stdout.splitlines()[-1])


def environment(asked: argparse.Namespace) -> dict[str, str]:
    cache = asked.cache.resolve()
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if asked.smoke else {}
    return {
        **os.environ,
        **hidden,
        "DAYBREAK_CACHE": str(cache / "daybreak"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "kernels"),
        "TRITON_CACHE_DIR": str(cache / "triton"),
    }


# Bits per byte


def text_folder(asked: argparse.Namespace) -> Path:
    """train.jsonl and heldout.jsonl, the same for every tool and every piece."""
    if not asked.smoke:
        versus.BOOKS_BYTES = asked.megabytes * 10**6
        return versus.written("books", asked.data, asked.scratch)
    from pydoc_data import topics

    folder = asked.scratch / "data" / "lm_en_tinyshakespeare"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.txt").write_text("\n\n".join(topics.topics[name] for name in sorted(topics.topics)))
    return versus.written("shakespeare", asked.scratch / "data", asked.scratch)


def of_text(cell: Cell, asked: argparse.Namespace) -> dict[str, Any]:
    text, work = text_folder(asked), asked.scratch / "work" / cell.name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    os.environ.update(environment(asked))  # versus hands its environment on
    if cell.tool == "daybreak":
        made = versus.of_daybreak(text, work, cell.seconds, cache=asked.cache.resolve() / "daybreak")
    else:
        made = of_peer(cell, asked, text, work)
    return {**made, "device": device_name(), "megabytes": asked.megabytes}


def of_peer(cell: Cell, asked: argparse.Namespace, text: Path, work: Path) -> dict[str, Any]:
    """As versus.of_peer, in one attempt: what a step takes is known from a shorter cell, or learnt in few steps."""
    peer = importlib.import_module(versus.PEERS[cell.tool])
    peer.VARIANTS[VARIANT] = PEER_SETTINGS[cell.tool]
    if cell.tool == "nanochat":
        peer.VOCABULARY[VARIANT] = NANOCHAT_VOCABULARY
    checkout = getattr(asked, cell.tool).resolve()
    for part in ("train", "heldout"):
        shutil.copyfile(text / f"{part}.jsonl", work / f"{part}.jsonl")
    known = learnt(cell, asked)
    for _ in range(0 if known else 2):  # the first compiles
        _, *known = versus._attempt(peer, VARIANT, checkout, work, FEW_STEPS)
    fixed, step = known
    iterations = max(2, int((cell.seconds * (1 - versus.SAFETY) - fixed) / step))
    wall, fixed, step = versus._attempt(peer, VARIANT, checkout, work, iterations)
    figures = versus._verb(peer, "score", work, checkout, VARIANT)
    assert figures is not None
    words = peer.commands(Path(), Path(), VARIANT, iterations)
    return {
        "wall_seconds": wall,
        "iterations": iterations,
        "step_seconds": step,
        "fixed_seconds": fixed,
        **figures,
        "commit": versus._commit(checkout),
        "command": " && ".join(" ".join(["python", *line[1:]]) for line in words),
    }


def learnt(cell: Cell, asked: argparse.Namespace) -> list[float]:
    """Seconds of what is not steps and of a step, from a finished cell of the same tool; empty where there is none."""
    for path in sorted(asked.out.glob(f"text-*-{cell.tool}.json")):
        facts = json.loads(path.read_text())
        if "step_seconds" in facts:
            return [facts["fixed_seconds"], facts["step_seconds"]]
    return []


@functools.cache
def device_name() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


# A piece


def piece(asked: argparse.Namespace) -> None:
    """Cells that are missing, as many as end within the minutes."""
    begun, wanted, left = time.monotonic(), cells(asked), []
    asked.out.mkdir(parents=True, exist_ok=True)
    for cell in wanted:
        path = asked.out / f"{cell.name}.json"
        if path.exists() and not (asked.again and "failed" in json.loads(path.read_text())):
            continue
        if time.monotonic() - begun + cell.price > 60 * asked.minutes:
            left.append(cell.name)
            continue
        print(f"{cell.name} ...", file=sys.stderr, flush=True)
        try:
            facts = speed_apart(cell, asked) if cell.shape else of_text(cell, asked)
        except (SystemExit, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            facts = {"failed": str(error)[-400:]}  # so that it does not stand in the way of the others
        facts = {"cell": cell.name, "shape": cell.shape, "stack": cell.stack, **facts}
        if cell.tool:
            facts = {"tool": cell.tool, "variant": "", "text": "books", "seconds": cell.seconds, **facts}
        path.write_text(json.dumps(facts, indent=1) + "\n")
        print(f"  {time.monotonic() - begun:.0f} s of this piece are over", file=sys.stderr, flush=True)
    if left:
        print(f"left for the next piece: {' '.join(left)}", file=sys.stderr)


def table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| weights | techniques | tokens/s | TFLOP/s | MFU | of the peak | peak memory | rows | compiling |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    told = []
    for f in (f for f in found if not f.get("tool")):
        name = f"| {f['shape']} | {' + '.join(f['stack']) or 'float32, eager'} "
        why = f.get("failed") or f.get("refused")
        if why:
            lines.append(f"{name}| {why} | | | | | | |")
            continue
        mfu = f"{f['mfu']:.1%}" if f["mfu"] is not None else ""
        lines.append(
            f"{name}| {f['tokens_per_second']:,.0f} | {f['flops_per_second'] / 1e12:.1f} | {mfu} "
            f"| {f['peak'] / 1e12:.0f} TFLOP/s, {f['peak_source']} | {f['memory_bytes'] / 2**30:.2f} GiB | {f['rows']} "
            f"| {f['compile_seconds']:.0f} s |"
        )
    texts = sorted((f for f in found if f.get("tool")), key=lambda f: (f["seconds"], f["tool"]))
    for f in texts:
        if "failed" in f:
            told.append(f"{f['cell']}: {f['failed']}")
    for seconds in dict.fromkeys(f["seconds"] for f in texts):
        of_these = [f for f in texts if f["seconds"] == seconds and "failed" not in f]
        lines += ["", f"After {seconds} s:", "", versus.table(of_these)]
    return "\n".join([*lines, *([""] * bool(told)), *told])


def finished(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """In the order that they are asked for in."""
    paths = [asked.out / f"{cell.name}.json" for cell in cells(asked)]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--seconds", nargs="+", type=int, default=[60, 300], help="of training on the books")
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT")
    parser.add_argument("--nanochat", type=Path, help="a checkout of nanochat, its requirements installed")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder with lm_en_books")
    parser.add_argument("--megabytes", type=int, default=100, help="of the books, at most")
    parser.add_argument("--peak", type=float, default=0.0, help="TFLOP/s of dense bfloat16")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--cache", type=Path, default=Path("runs/gpu-cache"))
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "daybreak-gpu")
    parser.add_argument("--minutes", type=float, default=9.0, help="of this piece")
    parser.add_argument("--again", action="store_true", help="run again what failed")
    parser.add_argument("--read", action="store_true", help="run nothing: the tables of what is there")
    parser.add_argument("--smoke", action="store_true", help="everything in miniature, on the processor")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)  # a speed cell, in this process
    asked = parser.parse_args()
    asked.out, asked.scratch = asked.out.resolve(), asked.scratch.resolve()
    if asked.one:
        cell = next(cell for cell in cells(asked) if cell.name == asked.one)
        print(json.dumps(speed(cell, smoke=asked.smoke, peak=asked.peak)))
        return
    if not asked.read:
        piece(asked)
    print(table(finished(asked)))


if __name__ == "__main__":
    main()
