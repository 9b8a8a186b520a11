"""Whether more time is ever worse: whole commands on small texts of two languages, at several times and with seeds.

    python benchmarks/small_texts.py --data ../shared/data
    python benchmarks/small_texts.py --show

Texts of 20, 62 and 250 KB and 1 MB are cut from books and laws; what is scored is 200 KB of the same source that none
of them has, the same in every cell. Each cell's figures are kept in --results as it ends, so what is done is not run
again. With more time the median over the seeds may be worse by 1% at most, of model/ alone and with the counts, and no
run may end as not sound. Nothing else should run on the machine. The exit code says whether the verdict is good.
"""

import argparse
import json
import lzma
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "small_texts"
SOURCES = {
    "en": ("lm_en_books/books-00.jsonl.xz", "The Riddle of the Sands", "Treasure Island", "The Ambassadors"),
    "zh": ("lm_zh_laws/laws.jsonl.xz",),
}
SIZES = {"20KB": 20_500, "62KB": 62_000, "250KB": 250_000, "1MB": 1_000_000}
SECONDS = (20, 60, 300)
HELDOUT_BYTES = 200_000
ENDS_BYTES = 8  # of characters that are cut, and a line end
WORSE = 1.01  # times the figure of less time


def text_of(language: str, data: Path) -> bytes:
    """Of a source, as much as the largest text and the held-out one take."""
    path, *titles = SOURCES[language]
    parts: dict[str, str] = {}
    with lzma.open(data / path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if not titles or row["title"] in titles:
                parts[row["title"] if titles else str(len(parts))] = row["text"]
            if len(parts) == len(titles) or sum(map(len, parts.values())) > 1_500_000:
                break
    return "\n".join(parts[name] for name in titles or parts).encode()


def cut(language: str, data: Path, out: Path) -> dict[str, Path]:
    """Files of each size, and "heldout"; made once."""
    files = {name: out / f"{language}-{name}.txt" for name in (*SIZES, "heldout")}
    if not all(file.exists() for file in files.values()):
        out.mkdir(parents=True, exist_ok=True)
        text = text_of(language, data)
        pieces = {name: text[:size] for name, size in SIZES.items()}
        pieces["heldout"] = text[max(SIZES.values()) :][-HELDOUT_BYTES:]
        for name, piece in pieces.items():
            files[name].write_text(piece.decode("utf-8", "ignore"), encoding="utf-8")
    return files


def ran(text: Path, heldout: Path, seconds: int, seed: int, out: Path, more: list[str]) -> dict[str, Any]:
    """One whole command, as its user waits for it."""
    folder = out / f"{text.stem}-{seconds}s-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    words = [sys.executable, "-P", "-m", "daybreak", "run", str(text), "--heldout", str(heldout)]
    words += ["--for", f"{seconds}s", "--seed", str(seed), "--out", str(folder), "--json", *more]
    begun = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True)
    wall = time.monotonic() - begun
    cell = {
        "text": text.stem,
        "seconds": seconds,
        "seed": seed,
        "wall_seconds": round(wall, 2),
        "code": done.returncode,
    }
    if done.returncode:
        return {**cell, "error": done.stderr.strip().splitlines()[-3:]}
    figures = json.loads(done.stdout.splitlines()[-1])
    if figures["bytes"] < heldout.stat().st_size - ENDS_BYTES:
        figures |= scored(folder, heldout)
    plan = json.loads((folder / "plan.json").read_text())
    told = [line for line in done.stderr.splitlines() if "stopped early" in line or "warning" in line]
    shape = {name: plan["shape"][name] for name in ("layers", "width", "vocabulary", "context_length")}
    return {
        **cell,
        "bits_per_byte": figures["bits_per_byte"],
        "with_counts": figures.get("mixture", {}).get("bits_per_byte"),
        "bytes": figures["bytes"],
        "shape": shape,
        "tokens": plan["tokens"],
        "told": told,
    }


def scored(folder: Path, heldout: Path) -> dict[str, Any]:
    """Figures over all of the held-out text: what a short run scores is a part of it, and another one each time."""
    words = [sys.executable, "-P", "-m", "daybreak", "evaluate", str(folder), "--on", str(heldout), "--json"]
    found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    return {name: found[name] for name in ("bits_per_byte", "mixture", "bytes") if name in found}


def cells(asked: argparse.Namespace) -> Iterator[tuple[str, str, int, int, Path]]:
    """Language, size, seconds, seed, and where the figures are kept; the shortest runs first."""
    for seconds, seed, language, size in product(asked.seconds, asked.seeds, asked.languages, asked.sizes):
        yield language, size, seconds, seed, asked.results / f"{language}-{size}-{seconds}s-{seed}.json"


def medians(found: list[dict[str, Any]], figure: str) -> dict[int, float]:
    """By seconds."""
    by_seconds: dict[int, list[float]] = {}
    for cell in found:
        if cell.get(figure) is not None:
            by_seconds.setdefault(cell["seconds"], []).append(cell[figure])
    return {seconds: statistics.median(values) for seconds, values in sorted(by_seconds.items())}


def worsened(reached: dict[int, float]) -> list[str]:
    """Each longer time whose median is worse than the best of the shorter ones by more than is allowed."""
    found, best = [], float("inf")
    for seconds, value in sorted(reached.items()):
        if value > WORSE * best:
            found.append(f"{seconds} s: {value:.3f}, {value / best - 1:.1%} worse than with less time")
        best = min(best, value)
    return found


def shown(results: Path) -> bool:
    """Prints the table and the verdict; whether it is good."""
    found = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    times = sorted({cell["seconds"] for cell in found})
    good = bool(found)
    for figure, title in (("bits_per_byte", "model/ alone"), ("with_counts", "with counts")):
        print(f"\n{title}, bits per byte, median (runs)\n")
        print(f"| text | {' | '.join(f'{seconds} s' for seconds in times)} | |")
        print(f"| --- |{' --- |' * (len(times) + 1)}")
        for text in sorted({cell["text"] for cell in found}):
            those = [cell for cell in found if cell["text"] == text]
            reached = medians(those, figure)
            counts = {s: sum(c["seconds"] == s and c.get(figure) is not None for c in those) for s in times}
            columns = [f"{reached[s]:.3f} ({counts[s]})" if s in reached else "" for s in times]
            worse = worsened(reached)
            good &= not worse
            print(f"| {text} | {' | '.join(columns)} | {'; '.join(worse) or 'never worse'} |")
    failed = [cell for cell in found if cell["code"]]
    for cell in failed:
        print(f"{cell['text']}, {cell['seconds']} s, seed {cell['seed']}: exit code {cell['code']}: {cell['error']}")
    verdict = "good" if good and not failed else "bad"
    print(f"\n{len(failed)} of {len(found)} runs ended without a model. Verdict: {verdict}")
    return good and not failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/small_texts"), help="texts and run folders")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--languages", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--seconds", nargs="+", type=int, default=list(SECONDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--show", action="store_true", help="only the table and the verdict of what is there")
    parser.add_argument("more", nargs="*", help="further words for `daybreak run`, after --")
    asked = parser.parse_args()
    if not asked.show:
        asked.results.mkdir(parents=True, exist_ok=True)
        for language, size, seconds, seed, result in cells(asked):
            if result.exists():
                continue
            files = cut(language, asked.data, asked.out)
            cell = ran(files[size], files["heldout"], seconds, seed, asked.out, asked.more)
            result.write_text(json.dumps(cell, indent=1) + "\n")
            print(result.stem, cell.get("bits_per_byte", cell.get("error")), flush=True)
    sys.exit(0 if shown(asked.results) else 1)


if __name__ == "__main__":
    main()
