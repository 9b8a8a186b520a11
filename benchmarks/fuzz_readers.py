"""Fuzzes every reader: files with bits flipped, cut, repeated, spliced, with tokens put in and lengths changed.

    python benchmarks/fuzz_readers.py --files 100000 --workers 2 --out OUT

Each of the sound files of fuzz_seeds.py is changed by `random.Random(number)`; the number decides seed and changes, so
any file can be made again (`--only NUMBER` reads it and prints what happened). OUT gets `done.json`, from which a call
goes on where the last one was stopped, and a folder `faults` with the first file of each fault, made as small as the
fault lets it be; a file that kills its process or is stuck in it counts as a fault, and another process goes on.
What is asked of every file:

    crash     it is read or passed over in words: no exception leaves the reader, and no process ends
    slow      it takes less than --seconds
    memory    its process stays below --megabytes
    lost      marked words of the text that the bytes still hold are in the documents, or something was counted as
              passed over, replaced or read otherwise. Three kinds are counted apart: words that the change has put
              where a format shows none (a comment, a template, a header), words of a row in another column than
              those that the notes say are read, and one text of one row, which is what is lost in silence where a
              row of JSON has a key twice: the last counts
    markup    marked words of markup are in no document of a page whose tags do not show them
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fuzz_seeds import Seed, seeds

TOKENS = (
    b"\0 \xff \xef\xbb\xbf \xff\xfe { } [ ] \" ' , ; : | \t \r \n \r\n"
    b" < > </p> <!-- --> <![CDATA[ ]]> <script> & &amp; &#0;"
    b" \\u0000 \\ud800 \\ NaN null 1e999 <|endoftext|> PK\x03\x04 \x1f\x8b BZh9 %PDF-1.4 WARC/1.0 From "
    b" -1 99999999999999 \xe4\xb8\xad \x80 text id messages {{ }} [[ ]] \\par \\bin9 endstream --B"
).split(b" ")
WORD, NAME = re.compile(rb"w\d{5}x"), re.compile(r"m\d{5}x")
ROWS = (".json", ".jsonl", ".csv", ".tsv")
BATCH = 1000  # files a process
LOOK_SECONDS = 0.02
STARTING = 60.0  # seconds that a process may take to import what it needs


class TooSlow(Exception):
    """Raised in the reader when its time is over."""


# What happens to a file


def changed(seed: Seed, chance: random.Random, others: list[Seed]) -> bytes:
    """One to four accidents, of seven kinds."""
    out = bytearray(seed.data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        place = chance.randrange(len(out) + 1) if chance.random() < 0.7 else chance.randrange(min(len(out), 200) + 1)
        stop = min(len(out), place + chance.choice((1, 1, 2, 4, 30, 500)))
        kind = chance.randrange(8)
        if kind == 0 and out:
            for _ in range(chance.choice((1, 1, 8))):
                out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
        elif kind == 1:
            out[place:stop] = b""
        elif kind == 2:
            del out[place:]
        elif kind == 3:
            out[place:place] = out[place:stop] * chance.choice((1, 1, 2, 20))
        elif kind == 4:
            other = chance.choice(others).data
            start = chance.randrange(len(other) + 1)
            out[place:stop] = other[start : start + chance.choice((10, 200, 5000))]
        elif kind == 5:
            out[place:place] = chance.choice(TOKENS)
        elif kind == 6:  # a length, in digits or as a number in bytes
            found = list(re.finditer(rb"\d+", out))
            if found and chance.random() < 0.5:
                number = chance.choice(found)
                out[number.start() : number.end()] = str(chance.choice((0, 1, 7, 2**16, 2**31, 2**63, 10**30))).encode()
            else:
                out[place : place + 4] = chance.choice((0, 1, 2**16, 2**31, 2**32 - 1)).to_bytes(4, "little")
        else:
            out[place:stop] = chance.randbytes(stop - place)
    return bytes(out)


def case(number: int, every: list[Seed]) -> tuple[Seed, bytes]:
    chance = random.Random(number)
    seed = every[number % len(every)]
    return seed, changed(seed, chance, every)


# What a reader makes of it


@dataclass(kw_only=True)
class Outcome:
    """fault: empty where the law holds; told: what was counted; missing: marked words that are in no document."""

    fault: str = ""
    detail: str = ""
    missing: list[str] = field(default_factory=list)
    told: bool = False
    columns: bool = False  # the notes say which columns are read


def held(seed: Seed, data: bytes) -> set[bytes]:
    """The marked words that can still be had from the bytes."""
    name = seed.name
    if name.endswith((".gz", ".bz2", ".xz", ".lzma", ".zst")):
        data = _unpacked_part(name, data)
    elif name.startswith(("utf-16", "utf-32")):
        name = "utf-16" if data[:2] == b"\xff\xfe" and data[2:4] != b"\0\0" else name  # a mark is believed
        data = data.decode(name.removesuffix(".txt"), "replace").encode("utf-8", "replace")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # a mark that the change put there
        data = data.decode("utf-16", "replace").encode("utf-8", "replace")
    words = set(WORD.findall(data))
    known = set(WORD.findall(seed.data)) if words else set()
    return words & known if known else words


def _unpacked_part(name: str, data: bytes) -> bytes:
    """As far as it can be unpacked, byte by byte towards the end."""
    import bz2
    import lzma

    if name.endswith(".zst"):
        return b""
    packer: Any = zlib.decompressobj(31) if name.endswith(".gz") else bz2.BZ2Decompressor() if ".bz2" in name else None
    packer = packer or lzma.LZMADecompressor()
    parts = []
    with contextlib.suppress(Exception):
        for start in range(0, len(data), 64):
            parts.append(packer.decompress(data[start : start + 64]))
            if packer.eof:
                break
    return b"".join(parts)


def read(path: Path, seed: Seed, data: bytes, seconds: float) -> Outcome:
    """Writes the file, reads and cleans it as `run` does."""
    from daybreak.data.pages import HtmlText
    from daybreak.data.sources import Reading

    path.write_bytes(data)
    reading, texts, raw = Reading([path]), [], []
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        clean = HtmlText()
        for document in reading:
            raw.append(document.text)
            kept = clean(document, lambda *about: None)
            if kept is not None and document.kind == "page":
                texts.append(kept.text)
        findings = reading.findings
        notes = findings.notes()
    except TooSlow:
        return Outcome(fault="slow", detail=f"over {seconds:g} s")
    except MemoryError:
        return Outcome(fault="memory", detail="more than the process may have")
    except BaseException as error:
        frame = next((f for f in reversed(traceback.extract_tb(error.__traceback__)) if "daybreak" in f.filename), None)
        where = f"{Path(frame.filename).name}:{frame.lineno}" if frame else ""
        return Outcome(fault="crash", detail=f"{type(error).__name__} at {where}: {str(error)[:120]}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        path.unlink(missing_ok=True)
    counted = findings.told or findings.replaced or findings.rows_read or any("not read" in note for note in notes)
    told = bool(counted and notes)
    said = "\n".join(raw)
    missing = sorted(word.decode() for word in held(seed, data) if word.decode() not in said)
    if missing and not told:
        columns = any("column" in note or "rows are" in note for note in notes)
        return Outcome(fault="lost", detail=f"{len(missing)} words of {seed.name}", missing=missing, columns=columns)
    shown = re.sub(rb"<[/!?a-zA-Z][^<>]*>", b"", data) if texts else b""
    leaked = [name for text in texts for name in NAME.findall(text) if name.encode() not in shown]
    if leaked:
        return Outcome(fault="markup", detail=leaked[0])
    return Outcome(missing=missing, told=told)


def _over(number: int, frame: FrameType | None) -> None:
    raise TooSlow


@dataclass(kw_only=True)
class Settings:
    folder: Path
    seconds: float
    megabytes: int


def _work(numbers: range, settings: Settings, told: Connection) -> None:
    """In a process of its own: sends the number of each file before it is read, and then what became of it."""
    resource.setrlimit(resource.RLIMIT_AS, (settings.megabytes << 20, resource.RLIM_INFINITY))
    signal.signal(signal.SIGALRM, _over)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    every = seeds()
    for number in numbers:
        told.send((number, None))
        seed, data = case(number, every)
        told.send((number, read(settings.folder / f"{number}-{seed.name}", seed, data, settings.seconds)))
    told.send((-1, None))


class _Worker:
    """A process that reads the files of some numbers; where one kills it or is stuck in it, another takes the rest."""

    def __init__(self, numbers: range, settings: Settings) -> None:
        self.numbers, self.settings = numbers, settings
        self.at, self.over = numbers.start, False
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.told, other = context.Pipe(duplex=False)
        rest = range(self.at, self.numbers.stop)
        self.process = context.Process(target=_work, args=(rest, self.settings, other), daemon=True)
        self.process.start()
        other.close()
        self.since = time.monotonic()

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """What is known by now."""
        try:
            while self.told.poll():
                number, outcome = self.told.recv()
                self.since = time.monotonic()
                if number < 0:
                    self.over = True
                    self.process.join()
                    return
                if outcome is not None:
                    self.at = number + 1
                    yield number, outcome
        except EOFError:
            self.process.join()
            yield from self._lost(Outcome(fault="crash", detail=f"the process ended with {self.process.exitcode}"))
        else:
            if time.monotonic() - self.since > 2 * self.settings.seconds + STARTING:
                self.process.kill()
                self.process.join()
                yield from self._lost(Outcome(fault="slow", detail=f"stuck for {2 * self.settings.seconds:g} s"))

    def _lost(self, outcome: Outcome) -> Iterator[tuple[int, Outcome]]:
        number = self.at
        self.at += 1
        self.over = self.at >= self.numbers.stop
        if not self.over:
            self._start()
        yield number, outcome


def smaller(seed: Seed, data: bytes, fault: str, folder: Path, seconds: float, tries: int = 300) -> bytes:
    """Pieces taken out as long as the fault stays."""
    size = len(data) // 2
    while size and tries > 0:
        place = 0
        while place < len(data) and tries > 0:
            shorter = data[:place] + data[place + size :]
            tries -= 1
            if read(folder / f"smaller-{seed.name}", seed, shorter, seconds).fault == fault:
                data = shorter
            else:
                place += size
        size //= 2
    return data


def fuzz(out: Path, files: int, *, first: int, workers: int, seconds: float, megabytes: int) -> dict[str, Any]:
    """Goes on from OUT/done.json. The counts."""
    out.mkdir(parents=True, exist_ok=True)
    log = out / "done.json"
    state = json.loads(log.read_text()) if log.exists() else {"done": [], "counts": {}, "faults": []}
    counts, done, begun = Counter(state["counts"]), set(state["done"]), time.monotonic()
    every = seeds()
    waiting = [range(n, min(n + BATCH, first + files)) for n in range(first, first + files, BATCH) if n not in done]
    waiting.reverse()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(folder=Path(folder), seconds=seconds, megabytes=megabytes)
        running: list[_Worker] = []
        found: dict[int, list[tuple[int, Outcome]]] = {}
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_Worker(waiting.pop(), settings))
            for worker in list(running):
                found.setdefault(worker.numbers.start, []).extend(worker.outcomes())
                if worker.over:
                    running.remove(worker)
                    done.add(worker.numbers.start)
                    for number, outcome in found.pop(worker.numbers.start):
                        _count(number, every[number % len(every)], outcome, counts, state["faults"])
                    log.write_text(json.dumps({"done": sorted(done), "counts": counts, "faults": state["faults"]}))
            time.sleep(LOOK_SECONDS)
        _keep(out / "faults", state["faults"], settings)
    kinds = {kind: number for kind, number in sorted(counts.items()) if ": " not in kind}
    tried = sum(kinds.values())
    return {"files": tried, "seconds": round(time.monotonic() - begun), **kinds, "faults": len(state["faults"])}


def _count(number: int, seed: Seed, outcome: Outcome, counts: Counter[str], faults: list[Any]) -> None:
    kind = outcome.fault or ("read, and what was not is counted" if outcome.told else "read whole")
    if outcome.fault == "lost" and not seed.strict:
        kind = "read, and words are where the format shows none"
    elif outcome.fault == "lost" and outcome.columns:
        kind = "read, and words are in columns that are not"
    elif outcome.fault == "lost" and len(outcome.missing) == 1 and seed.name.endswith(ROWS):
        kind = "read, and one text of one row is lost"
    elif outcome.fault:
        faults.append((number, seed.name, outcome.fault, outcome.detail))
    counts[kind] += 1
    counts[f"{seed.name}: {kind}"] += 1


def _keep(folder: Path, faults: list[tuple[int, str, str, str]], settings: Settings) -> None:
    """The first file of each fault, made smaller."""
    signal.signal(signal.SIGALRM, _over)
    every, kept = seeds(), set()
    for number, name, fault, detail in faults:
        about = (name, fault, re.sub(r"\d+", "", detail)[:60])
        if about in kept:
            continue
        kept.add(about)
        folder.mkdir(exist_ok=True)
        seed, data = case(number, every)
        if fault in ("crash", "lost", "markup") and "process" not in detail:
            data = smaller(seed, data, fault, settings.folder, settings.seconds)
        (folder / f"{fault}-{number}-{name}").write_bytes(data)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first file")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="for a file")
    parser.add_argument("--megabytes", type=int, default=4000, help="of address space for a process")
    parser.add_argument("--out", type=Path, default=Path("fuzzed"))
    parser.add_argument("--only", type=int, metavar="NUMBER", help="read this file alone")
    given = parser.parse_args(words)
    if given.only is not None:
        signal.signal(signal.SIGALRM, _over)
        seed, data = case(given.only, seeds())
        given.out.mkdir(parents=True, exist_ok=True)
        outcome = read(given.out / f"{given.only}-{seed.name}", seed, data, given.seconds)
        print(seed.name, len(data), outcome)
        (given.out / f"{given.only}-{seed.name}").write_bytes(data)
        return
    facts = fuzz(
        given.out,
        given.files,
        first=given.first,
        workers=given.workers,
        seconds=given.seconds,
        megabytes=given.megabytes,
    )
    print(json.dumps(facts, indent=1))
    sys.exit(bool(facts["faults"]))


if __name__ == "__main__":
    main()
