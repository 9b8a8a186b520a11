"""How fast text becomes tokens: `daybreak prepare` and its peers over the same files, each in fresh processes.

    python benchmarks/prepare.py --data DATA --out OUT --megabytes 1000 --peers-python PEERS/bin/python

The text is made first, from the English texts of the data folder: as many megabytes of .jsonl as asked for, in 8 files.
A twentieth of its documents are exact copies of earlier ones and a tenth near-copies (a fiftieth of the words differs);
where the text is used up it is said again with three words in ten replaced, which is no near-copy.

The peers live in an environment of their own, for they are no dependencies of daybreak:

    python -m venv PEERS && PEERS/bin/pip install "datatrove[io,processing]" spacy litdata datasets tokenizers

A peer that is missing, fails, or takes longer than --most-seconds is in the table with the reason. What each does:

    daybreak          cleaning, exact and near-duplicates, statistics of the text, BPE, tokens
    datatrove         Gopher's quality filter, MinHash, BPE (of `tokenizers`), tokens; words by spaCy, its default
    datatrove-split   the same with words by spaces, the fastest that it can be given
    datasets          exact duplicates, BPE, tokens: no cleaning, no near-duplicates
    litdata           BPE, tokens: nothing else

Seconds are from the start of the command to its end, imports and tokenizer included; memory is the most that all its
processes have together at any of the looks, shared pages counted once (PSS) where Linux tells it. The files were just
written, so "disk" is the page cache for all. Nothing else should run on the machine. Processor seconds are those of all
processes as last seen, for a machine that had other work.
"""

import argparse
import contextlib
import datetime
import json
import lzma
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TOOLS = ("daybreak", "datatrove", "datatrove-split", "datasets", "litdata")
TEXTS = ("lm_en_books", "lm_en_techdocs", "lm_en_textbooks", "cls_en_imdb", "faq_en_medquad")
COLUMNS = ("text", "answer")
FILES = 8
PIECE = 12_000  # characters, of a book
SHORTEST = 300  # characters; a corpus of shorter ones is another benchmark
EXACT, NEAR = 0.05, 0.10  # of the documents
NEAR_WORDS, OTHER_WORDS = 0.02, 0.30  # replaced
EARLIER = 2000  # documents that copies are made of
LOOK_SECONDS = 0.2  # between two looks, or more where a look is dear
LOOK_SHARE = 0.02  # of a processor, at most, so that looking slows nothing down


# The text


def sources(data: Path) -> Iterator[str]:
    """The documents of the English texts, long ones in pieces that end with a paragraph."""
    for path in sorted(path for name in TEXTS for path in (data / name).glob("*.jsonl.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                text = next((row[name] for name in COLUMNS if row.get(name)), "")
                while text:
                    cut = len(text) if len(text) <= PIECE else text.rfind("\n\n", SHORTEST, PIECE) + 2
                    cut = PIECE if cut < SHORTEST else cut
                    piece, text = text[:cut], text[cut:]
                    if len(piece) >= SHORTEST:
                        yield piece


def replaced(text: str, share: float, vocabulary: list[str], chance: random.Random) -> str:
    """Some of the words are others, none of the spaces."""
    words = text.split(" ")
    for _ in range(max(1, round(share * len(words)))):
        words[chance.randrange(len(words))] = chance.choice(vocabulary)
    return " ".join(words)


def make_text(data: Path, folder: Path, megabytes: int, seed: int) -> dict[str, Any]:
    """Writes the files; counts of what they hold."""
    chance = random.Random(f"{seed} text")
    every = list(sources(data))
    if not every:
        raise SystemExit(f"there is none of {', '.join(TEXTS)} in {data}")
    chance.shuffle(every)
    vocabulary = sorted({word for text in every[:2000] for word in text.split(" ") if word.isalpha()})
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    facts = {"documents": 0, "bytes": 0, "exact_copies": 0, "near_copies": 0, "said_again": 0, "files": FILES}
    earlier: list[str] = []
    used = size = 0
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context((folder / f"{n:02}.jsonl").open("w", encoding="utf-8")) for n in range(FILES)]
        while size < megabytes * 1_000_000:
            draw = chance.random()
            if earlier and draw < EXACT:
                text = chance.choice(earlier)
                facts["exact_copies"] += 1
            elif earlier and draw < EXACT + NEAR:
                text = replaced(chance.choice(earlier), NEAR_WORDS, vocabulary, chance)
                facts["near_copies"] += 1
            else:
                text = every[used % len(every)]
                if used >= len(every):
                    text = replaced(text, OTHER_WORDS, vocabulary, chance)
                    facts["said_again"] += 1
                used += 1
                if len(earlier) < EARLIER:
                    earlier.append(text)
                else:
                    earlier[chance.randrange(EARLIER)] = text
            size += len(text.encode())
            files[facts["documents"] % FILES].write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
            facts["documents"] += 1
    facts["bytes"] = size
    return facts


# One tool


class Looks(threading.Thread):
    """The most bytes that a session's processes have had together, and the processor seconds of them all."""

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self.session, self.most_bytes, self.most_processes, self.measure = session, 0, 0, "PSS"
        self._ticks: dict[int, int] = {}  # of each process, those that have ended too
        self._stopped = threading.Event()

    def run(self) -> None:
        pause = LOOK_SECONDS
        while not self._stopped.wait(pause):
            start = time.thread_time()
            sizes = [self._size(process) for process in self.processes()]
            self.most_bytes = max(self.most_bytes, sum(sizes))
            self.most_processes = max(self.most_processes, len(sizes))
            pause = max(LOOK_SECONDS, (time.thread_time() - start) / LOOK_SHARE)

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    @property
    def processor_seconds(self) -> float:
        return sum(self._ticks.values()) / os.sysconf("SC_CLK_TCK")

    def processes(self) -> list[Path]:
        """Those of the session and all that they have started, with sessions of their own too."""
        facts = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                facts[int(folder.name)] = (int(stat[1]), int(stat[3]), int(stat[11]) + int(stat[12]))
        found = {process for process, (_, session, _) in facts.items() if session == self.session}
        while True:
            more = {process for process, (parent, _, _) in facts.items() if parent in found} - found
            if not more:
                self._ticks.update((process, facts[process][2]) for process in found)
                return [Path("/proc") / str(process) for process in found]
            found |= more

    def _size(self, process: Path) -> int:
        try:
            for line in (process / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        except OSError:
            pass
        try:
            size = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:  # it has ended
            return 0
        self.measure = "RSS" if size else self.measure
        return size


def timed(command: list[str], log: Path, most_seconds: float) -> dict[str, Any]:
    """Runs a command in a session of its own: seconds, processor seconds, memory, and the last line that it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    failed = ""
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
        looks = Looks(process.pid)
        looks.start()
        try:
            output, _ = process.communicate(timeout=most_seconds)
        except BaseException as error:
            for folder in looks.processes():
                with contextlib.suppress(OSError):
                    os.kill(int(folder.name), 9)
            output, _ = process.communicate()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            failed = f"not done after {most_seconds:g} s"
        seconds = time.monotonic() - start
        looks.stop()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Whole, but without what was left to run on its own, as a server that forks; the looks miss the last moments.
    reaped = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if process.returncode and not failed:
        said = log.read_text(errors="replace").strip().splitlines()
        failed = f"exit code {process.returncode}: {said[-1][:200] if said else ''}"
    lines = output.strip().splitlines()
    printed: dict[str, Any] = {}
    if lines and not failed:
        try:
            printed = json.loads(lines[-1] if lines[-1].startswith("{") and lines[-1].endswith("}") else output)
        except ValueError:
            failed = "printed no JSON"
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(max(looks.processor_seconds, reaped), 2),
        "peak_bytes": looks.most_bytes,
        "peak_measure": looks.measure,
        "peak_processes": looks.most_processes,
        "printed": printed,
        **({"failed": failed} if failed else {}),
    }


def cell(tool: str, given: argparse.Namespace, files: list[str], size: int) -> dict[str, Any]:
    work = given.out / "work" / tool
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    if tool == "daybreak":
        words = ["prepare", *files, "--out", str(work / "run"), "--vocabulary", str(given.vocabulary)]
        command = [sys.executable, "-P", "-m", "daybreak", *words, "--json"]
    else:
        rest = [tool, str(work), str(given.processes), str(given.vocabulary), *files]
        command = [str(given.peers_python), str(HERE / "peers" / "preparing.py"), *rest]
    found = {"tool": tool, **timed(command, given.out / f"{tool}.log", given.most_seconds)}
    printed = found.pop("printed")
    if "missing" in printed:
        return {"tool": tool, "failed": printed["missing"]}
    if "failed" in found:
        return found
    for name in ("tokens", "documents", "steps", "versions"):
        if name in printed:
            found[name] = printed[name]
    found["megabytes_per_second"] = round(size / 1e6 / found["seconds"], 3)
    found["disk_bytes"] = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
    if not given.keep:
        shutil.rmtree(work)
    return found


def table(cells: list[dict[str, Any]]) -> str:
    """Markdown; ratios say how many times as long the tool takes as daybreak."""
    lines = [
        "| tool | MB/s | seconds | times daybreak's | processor seconds | peak memory, MB | tokens |",
        "|---|---|---|---|---|---|---|",
    ]
    ours = next((c["seconds"] for c in cells if c["tool"] == "daybreak" and "failed" not in c), None)
    for c in cells:
        if "failed" in c:
            lines.append(f"| {c['tool']} | {c['failed']} | | | | | |")
            continue
        ratio = f"{c['seconds'] / ours:.2f}" if ours else ""
        tokens = f"{c['tokens']:,}" if c.get("tokens") else ""
        lines.append(
            f"| {c['tool']} | {c['megabytes_per_second']:.2f} | {c['seconds']:.1f} | {ratio} "
            f"| {c['processor_seconds']:.1f} | {c['peak_bytes'] / 1e6:,.0f} | {tokens} |"
        )
    return "\n".join(lines)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with lm_en_books and others")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="of each peer")
    parser.add_argument("--peers-python", type=Path, default=Path(sys.executable))
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--most-seconds", type=float, default=7200.0, help="of each tool")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="the tokens that each tool wrote")
    given = parser.parse_args(words)
    given.out = given.out.resolve()
    facts = make_text(given.data, given.out / "text", given.megabytes, given.seed)
    print(json.dumps(facts), flush=True)
    files = [str(path) for path in sorted((given.out / "text").glob("*.jsonl"))]
    cells = []
    for tool in given.tools:
        cells.append(cell(tool, given, files, facts["bytes"]))
        print(json.dumps(cells[-1]), flush=True)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "when": datetime.date.today().isoformat(),
    }
    chosen = {"megabytes": given.megabytes, "vocabulary": given.vocabulary, "processes": given.processes}
    result = {"text": facts, **chosen, "seed": given.seed, "machine": machine, "cells": cells}
    (given.out / "prepare.json").write_text(json.dumps(result, indent=2) + "\n")
    (given.out / "prepare.md").write_text(table(cells) + "\n")
    print(table(cells))


if __name__ == "__main__":
    main()
