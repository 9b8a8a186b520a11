"""daybreak against its peers: equal seconds, cores and bytes, one metric, one JSON a cell, then a table and a chart.

    python benchmarks/versus.py --nanogpt ../nanoGPT --nanochat ../nanochat --texts shakespeare --seconds 144

What is finished is not run again, so the same command goes on where it was stopped; `--tools`, `--variants` and
`--texts` choose single cells. Nothing else should run on the machine meanwhile.

The rules, made so that a doubt is the peers' gain:
- The seconds are those of the whole way from text files to a saved model: preparing, tokenizer, imports, training.
- A peer has no deadline of its own. It is run once for a few steps, uncounted, to learn how many fit, and then again
  with schedules that end there; so its compile cache is warm. daybreak gets no such run and starts with empty caches.
- A peer is scored after its time, as long as it takes. daybreak's own scoring is inside its time.
- A peer that ends late, because the machine had other work, keeps what it has trained. daybreak ends in time.
- Figures are those of one metric (peers/metric.py) over every byte of the same held-out text, of the saved model alone.
- "documented" is what the peer's own documentation says; small, medium and large are ours, with compilation and
  bfloat16 where the peer has them. Evaluations on the way are off.
"""

import argparse
import datetime
import hashlib
import importlib
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))

PEERS = {"nanogpt": "with_nanogpt", "nanochat": "with_nanochat", "trainer": "with_trainer"}
NAMES = {
    "daybreak": "daybreak",
    "nanogpt": "nanoGPT",
    "nanochat": "nanochat",
    "trainer": "Hugging Face Trainer",
    "counts": "Kneser-Ney",
}
VARIANTS = ("documented", "small", "medium", "large")
FIRST_STEPS = {"documented": 3}  # of the run that learns the speed
FEW_STEPS = 25
SAFETY = 0.015  # of the seconds, so that a peer is not late for noise
EARLY = 0.96  # times the seconds: a peer that ends earlier is run again, with as many steps as fit
ATTEMPTS = 3
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}  # as daybreak sets it: spinning threads make every neighbour cost much more
HELDOUT_SHARE = 0.02
HELDOUT_MOST = 500_000  # bytes
BOOKS_BYTES = 10_000_000
BOOK_PIECE = 20_000  # characters


# Texts


def documents(name: str, data: Path) -> tuple[list[str], list[str]]:
    """The training and the held-out documents of a text."""
    if name == "shakespeare":
        text = (data / "lm_en_tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
        cut = len(text) * 9 // 10
        return [text[:cut]], [text[cut:]]
    folder = data / {"books": "lm_en_books", "techdocs": "lm_en_techdocs", "poetry": "lm_zh_poetry"}[name]
    train: list[str] = []
    held: list[str] = []
    sizes = [0, 0]
    most = BOOKS_BYTES if name == "books" else sys.maxsize
    for text in _read(folder, pieces=name == "books"):
        size = len(text.encode())
        share = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64
        out = share < HELDOUT_SHARE and sizes[1] + size <= HELDOUT_MOST
        (held if out else train).append(text)
        sizes[out] += size
        if sum(sizes) >= most:
            break
    return train, held


def _read(folder: Path, *, pieces: bool) -> Any:
    import lzma

    for path in sorted(folder.glob("*.jsonl*")):
        with lzma.open(path, "rt", encoding="utf-8", newline="") as file:
            for line in file:
                text = json.loads(line)["text"]
                yield from (
                    [text[i : i + BOOK_PIECE] for i in range(0, len(text), BOOK_PIECE)]
                    if pieces
                    else [text] * bool(text)
                )


def written(name: str, data: Path, out: Path) -> Path:
    """A folder with train.jsonl and heldout.jsonl, the same for every tool."""
    folder = out / "texts" / name
    if not (folder / "heldout.jsonl").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for part, texts in zip(("train", "heldout"), documents(name, data), strict=True):
            lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
            (folder / f"{part}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


# Cells


def of_daybreak(text: Path, work: Path, seconds: int, *, cache: Path) -> dict[str, Any]:
    """The whole command with empty caches, then `evaluate` over every byte of the held-out text."""
    run = work / "run"
    words = ["run", str(text / "train.jsonl"), "--heldout", str(text / "heldout.jsonl"), "--for", f"{seconds}s"]
    environment = {**os.environ, "DAYBREAK_CACHE": str(cache)}
    command = [sys.executable, "-P", "-m", "daybreak", *words, "--out", str(run), "--json"]
    wall, _ = timed(command, Path.cwd(), environment, work / "run.txt")
    scoring = [sys.executable, "-P", "-m", "daybreak", "evaluate", str(run), "--json"]
    figures = json.loads(subprocess.run(scoring, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    plan = json.loads((run / "plan.json").read_text())
    mixed = figures.get("mixture", {})
    return {
        "wall_seconds": wall,
        "bits_per_byte": figures["bits_per_byte"],
        "bytes": figures["bytes"],
        "with_counts": mixed.get("bits_per_byte"),
        "vocabulary": plan["tokenizer"]["vocabulary"],
        "shape": plan["shape"],
        "command": f"daybreak run {text.name}/train.jsonl --heldout {text.name}/heldout.jsonl --for {seconds}s",
    }


def of_counts(text: Path, work: Path, seconds: int) -> dict[str, Any]:
    """Interpolated modified Kneser-Ney over the whole training text, at its best order: the time it takes is told."""
    import metric

    from daybreak.models.ngram.baseline import ngram_figure

    train, held = (tuple(metric.documents(text / f"{part}.jsonl")) for part in ("train", "heldout"))
    unit = "character" if sum(map(len, held)) < 0.5 * sum(len(t.encode()) for t in held) else "byte"
    begun = time.monotonic()
    order, bits, _ = ngram_figure(train, list(held), unit=unit, most_bytes=10**12)
    return {
        "wall_seconds": time.monotonic() - begun,
        "bits_per_byte": bits,
        "bytes": sum(len(t.encode()) for t in held),
        "order": order,
        "unit": unit,
        "command": f"orders tried on {unit}s, the best is {order}",
    }


def of_peer(tool: str, variant: str, checkout: Path, text: Path, work: Path, seconds: int) -> dict[str, Any]:
    peer = importlib.import_module(PEERS[tool])
    for part in ("train", "heldout"):
        shutil.copyfile(text / f"{part}.jsonl", work / f"{part}.jsonl")
    few = FIRST_STEPS.get(variant, FEW_STEPS)
    if variant not in FIRST_STEPS:  # what compiling takes once is not part of what every run takes
        _attempt(peer, variant, checkout, work, FIRST_STEPS["documented"])
    wall, fixed, step = _attempt(peer, variant, checkout, work, few)
    iterations = few
    for _ in range(ATTEMPTS):
        fitting = max(2, int((seconds * (1 - SAFETY) - fixed) / step))
        if fitting == iterations:
            break
        iterations = fitting
        wall, fixed, step = _attempt(peer, variant, checkout, work, iterations)
        if wall >= EARLY * seconds:  # one that a busy machine made late has had all the steps of a quiet one
            break
    figures = _verb(peer, "score", work, checkout, variant)
    assert figures is not None
    commands = peer.commands(Path(), Path(), variant, iterations)
    return {
        "wall_seconds": wall,
        "iterations": iterations,
        "step_seconds": step,
        **figures,
        "commit": _commit(checkout),
        "command": " && ".join(" ".join(["python", *words[1:]]) for words in commands).replace(str(HERE), "benchmarks"),
    }


def _attempt(peer: ModuleType, variant: str, checkout: Path, work: Path, iterations: int) -> tuple[float, float, float]:
    """Prepares and trains: seconds of all, of what is not steps, and of a step."""
    begun = time.monotonic()
    _verb(peer, "prepare", work, checkout, variant)
    printed = ""
    where = checkout if "nanochat" in peer.__name__ else work
    for words in peer.commands(work.resolve(), checkout, variant, iterations):
        environment = {**os.environ, **PASSIVE, **peer.environment(work, checkout, variant)}
        _, told = timed(words, where, environment, work / "train.txt")
        printed += told
    wall = time.monotonic() - begun
    steps = [float(ms) / 1000 for ms in re.findall(peer.STEP_LINE, printed, re.MULTILINE)]
    step = statistics.median(steps[len(steps) // 3 :])
    return wall, wall - step * iterations, step


def _verb(peer: ModuleType, verb: str, work: Path, checkout: Path, variant: str) -> dict[str, Any] | None:
    words = [sys.executable, str(peer.__file__), verb, str(work.resolve()), str(checkout.resolve()), variant]
    environment = {**os.environ, **PASSIVE, **peer.environment(work, checkout, variant)}
    _, printed = timed(words, HERE, environment, work / f"{verb}.txt")
    return json.loads(printed.splitlines()[-1])


def timed(words: list[str], where: Path, environment: dict[str, str], log: Path) -> tuple[float, str]:
    """Wall seconds of a command and what it printed. Ends this program where the command fails.

    Raises MemoryError where the system killed it, which it does for memory: that is a result, not a defect.
    """
    begun = time.monotonic()
    with log.open("w") as file:
        done = subprocess.run(words, cwd=where, env=environment, stdout=subprocess.PIPE, stderr=file, text=True)
    wall = time.monotonic() - begun
    with log.open("a") as file:
        file.write(done.stdout)
    if done.returncode == -signal.SIGKILL:
        raise MemoryError(f"killed for memory; this machine has {memory_gib():.0f} GiB")
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\nended with {done.returncode}; what it printed is in {log}")
    return wall, done.stdout


def _commit(checkout: Path) -> str:
    """Of a checkout; of an installed package, its version."""
    if checkout == Path():
        from importlib.metadata import version

        return f"transformers {version('transformers')}"
    words = ["git", "-C", str(checkout), "log", "-1", "--format=%h %cs"]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def cell(asked: argparse.Namespace, tool: str, variant: str, text: str) -> dict[str, Any] | None:
    """One figure, made or read; None where its checkout was not named."""
    result = asked.out / "cells" / f"{text}-{asked.seconds}s-{tool}-{variant}.json"
    if result.exists():
        return json.loads(result.read_text())
    checkout = getattr(asked, tool, Path())
    if checkout is None or asked.read:
        return None
    folder = written(text, asked.data, asked.out)
    work = asked.out / "work" / result.stem
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    print(f"{text} {asked.seconds} s {tool} {variant} ...", file=sys.stderr, flush=True)
    if tool == "daybreak":
        made = of_daybreak(folder, work, asked.seconds, cache=work / "cache")
    elif tool == "counts":
        made = of_counts(folder, work, asked.seconds)
    else:
        where = checkout.resolve() if checkout != Path() else checkout
        try:
            made = of_peer(tool, variant, where, folder, work, asked.seconds)
        except MemoryError as error:
            made = {"failed": str(error)}
    facts = {"tool": tool, "variant": variant, "text": text, "seconds": asked.seconds, **made, "machine": machine()}
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps(facts, indent=1) + "\n")
    told = made.get("failed") or f"{made['bits_per_byte']:.3f} bits per byte, {made['wall_seconds']:.1f} s"
    print(f"  {told}", file=sys.stderr, flush=True)
    return facts


def machine() -> dict[str, Any]:
    import torch

    model = ""
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        model = found.group(1) if found else ""
    return {
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_gib(), 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "when": datetime.date.today().isoformat(),
    }


def memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


# The end


def table(cells: list[dict[str, Any]]) -> str:
    lines = ["| text | tool | variant | bits per byte | weights | steps | seconds |", "|---|---|---|---|---|---|---|"]
    for c in cells:
        if "failed" in c:
            lines.append(f"| {c['text']} | {NAMES[c['tool']]} | {c['variant']} | {c['failed']} | | | |")
            continue
        weights = f"{c['parameters'] / 1e6:.2f} M" if "parameters" in c else ""
        figure = f"{c['bits_per_byte']:.3f}"
        if c.get("with_counts"):
            figure += f" ({c['with_counts']:.3f} with its n-gram counts)"
        steps = f"{c['iterations']:,}" if "iterations" in c else ""
        lines.append(
            f"| {c['text']} | {NAMES[c['tool']]} | {c['variant']} | {figure} | {weights} | {steps} "
            f"| {c['wall_seconds']:.1f} |"
        )
    return "\n".join(lines)


def chart(cells: list[dict[str, Any]], path: Path) -> None:
    """One row of bars a text: the best of each tool, the lowest first. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    texts = list(dict.fromkeys(c["text"] for c in cells))
    figure, axes = pyplot.subplots(len(texts), 1, figsize=(8, 0.6 + 1.9 * len(texts)), squeeze=False)
    for axis, text in zip(axes[:, 0], texts, strict=True):
        best: dict[str, tuple[float, str]] = {}
        for c in (c for c in cells if c["text"] == text and "failed" not in c):
            name = NAMES[c["tool"]] + (f", {c['variant']}" if c["tool"] in PEERS else "")
            known = best.get(c["tool"])
            if known is None or c["bits_per_byte"] < known[0]:
                best[c["tool"]] = c["bits_per_byte"], name
            if c.get("with_counts"):
                best["mixed"] = c["with_counts"], "daybreak with its n-gram counts"
        rows = sorted(best.values(), reverse=True)
        colours = ["#b45309" if name.startswith("daybreak") else "#94a3b8" for _, name in rows]
        bars = axis.barh([name for _, name in rows], [bits for bits, _ in rows], color=colours)
        axis.bar_label(bars, fmt="%.3f", padding=3, fontsize=9)
        axis.set_title(f"{text}, {cells[0]['seconds']} s", fontsize=10, loc="left")
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.tick_params(axis="x", bottom=False, labelbottom=False)
        axis.tick_params(axis="y", length=0, labelsize=9)
        axis.margins(x=0.12)
    figure.supxlabel("bits per byte of the held-out text (less is better)", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", nargs="+", default=["shakespeare"], help="shakespeare books techdocs poetry")
    parser.add_argument("--tools", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--seconds", type=int, default=144)
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT")
    parser.add_argument("--nanochat", type=Path, help="a checkout of nanochat, its requirements installed")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/versus"))
    parser.add_argument("--read", action="store_true", help="run nothing: the table of what is there")
    asked = parser.parse_args()
    asked.out = asked.out.resolve()
    cells = []
    for text in asked.texts:
        for tool in asked.tools:
            for variant in asked.variants if tool in PEERS else [""]:
                made = cell(asked, tool, variant, text)
                if made is not None:
                    cells.append(made)
    print(table(cells))
    if cells:
        try:
            chart(cells, asked.out / "versus.png")
            print(f"\n{asked.out / 'versus.png'}", file=sys.stderr)
        except ImportError:
            print("no chart: pip install matplotlib", file=sys.stderr)


if __name__ == "__main__":
    main()
