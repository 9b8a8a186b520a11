"""Makes the text that people have out of clean text: web pages, near-copies, noise, other encodings; all of a seed.

    python benchmarks/dirty.py CLEAN.jsonl OUT_FOLDER --seed 0

CLEAN.jsonl (several, and .xz, too) has rows with `text`. OUT_FOLDER gets

    dirty/pages, dirty/texts, dirty/rows   what a user would name: .html and .txt files, and .jsonl files of 200 rows
    clean.jsonl                            the same documents as they were, for what a perfect cleaning could reach
    heldout.jsonl                          clean documents that are in neither; a model is compared on these
    manifest.jsonl                         what became of each document: its file, form, encoding, and what it is

Of the documents that are not held out, 20% are there once more with a twentieth of their words edited; 30% of all these
are HTML pages; 5% as many noise documents come on top. One file in ten is not UTF-8 (none of the .jsonl files): Chinese
ones are in GB18030, some in UTF-16, others in UTF-16.
"""

import argparse
import base64
import hashlib
import json
import lzma
import random
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from page_templates import page

HELDOUT_SHARE = 0.02
COPIES = 0.20  # of the documents, added
EDITED = 0.05  # of the words of a copy; of a Chinese one, characters
PAGES = 0.30  # of documents and copies
NOISE = 0.05  # of the documents, added
ENCODED = 0.10  # of the files
ROWS = 200  # of a .jsonl file
IN_ROWS = 0.5  # of what is no page
CHINESE_FROM = 0.15  # of the characters looked at
_UNITS = re.compile(r"[\u3400-\u9fff]|[^\s\u3400-\u9fff]+")


@dataclass(kw_only=True)
class Piece:
    """A document on its way into a file."""

    text: str
    what: str = "clean"  # or copy, noise
    of: int = -1  # the document that it is, or is a copy of
    form: str = "text"  # or page, row
    encoding: str = "utf-8"
    file: str = ""


def texts_of(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as file:
            for line in file:
                if text := json.loads(line).get("text", "").strip():
                    yield text


def held_out(text: str) -> bool:
    """By its hash, so that equal documents are on one side."""
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < HELDOUT_SHARE * 2**64


def chinese(text: str) -> bool:
    looked = text[:2000]
    return sum("\u3400" <= c <= "\u9fff" for c in looked) >= CHINESE_FROM * len(looked)


# Near-copies and noise


def edited(text: str, chance: random.Random) -> str:
    """A twentieth of the words left out, said twice, exchanged with the next, or another one of the text instead."""
    spans = [match.span() for match in _UNITS.finditer(text)]
    units = [text[start:end] for start, end in spans]
    now = list(units)
    for index in chance.sample(range(len(units)), min(len(units), max(1, round(EDITED * len(units))))):
        kind = chance.randrange(4)
        if kind == 0:
            now[index] = ""
        elif kind == 1:
            now[index] = f"{units[index]} {units[index]}"
        elif kind == 2 and index + 1 < len(now):
            now[index], now[index + 1] = now[index + 1], now[index]
        else:
            now[index] = chance.choice(units)
    parts, at = [], 0
    for (start, end), unit in zip(spans, now, strict=True):
        parts += (text[at:start], unit)
        at = end
    return "".join(parts) + text[at:]


def _characters(chance: random.Random, size: int) -> str:
    ranges = ((0x21, 0x7E), (0xA1, 0x24F), (0x4E00, 0x9FFF), (0x2500, 0x257F))
    return "".join(chr(chance.randint(*chance.choice(ranges))) for _ in range(size))


def _base64(chance: random.Random, size: int) -> str:
    data = base64.b64encode(chance.randbytes(size * 3 // 4)).decode()
    return "\n".join(data[i : i + 76] for i in range(0, len(data), 76))


def _mash(chance: random.Random, size: int) -> str:
    row = chance.choice(("asdfghjkl;", "qwertyuiop", "zxcvbnm,./", "asdfjkl;", "hjkluiop"))
    words = ("".join(chance.choices(row, k=chance.randint(2, 14))) for _ in range(size // 9))
    return " ".join(words)


def _log(chance: random.Random, size: int) -> str:
    level = chance.choice(("INFO", "WARN", "DEBUG", "ERROR"))
    name = chance.choice(("http.server", "db.pool", "scheduler", "cache", "auth"))
    said = chance.choice(("connection timed out, retrying", "heartbeat ok", "GET /health 200", "slow query 1204 ms"))
    lines, seconds = [], chance.randrange(80_000)
    while size > 0:
        seconds += chance.randrange(3)
        clock = f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        lines.append(f"2024-03-{chance.randint(1, 2):02} {clock} {level} [{name}] {said}")
        size -= len(lines[-1])
    return "\n".join(lines)


NOISES: tuple[Callable[[random.Random, int], str], ...] = (_characters, _base64, _mash, _log)


# What becomes of each


def planned(texts: list[str], seed: int) -> list[Piece]:
    """The pieces in the order in which they are written; shares are of counts, not of chance."""
    chance = random.Random(f"{seed} plan")
    pieces = [Piece(text=text, of=index) for index, text in enumerate(texts)]
    copied = chance.sample(range(len(texts)), round(COPIES * len(texts)))
    pieces += [Piece(text=edited(texts[i], random.Random(f"{seed} copy {i}")), what="copy", of=i) for i in copied]
    for piece in chance.sample(pieces, round(PAGES * len(pieces))):
        piece.form = "page"
    sizes = [min(20_000, max(200, len(text))) for text in texts]
    for index in range(round(NOISE * len(texts))):
        noise = NOISES[index % len(NOISES)](random.Random(f"{seed} noise {index}"), chance.choice(sizes))
        pieces.append(Piece(text=noise, what="noise"))
    chance.shuffle(pieces)
    plain = [piece for piece in pieces if piece.form == "text"]
    rows = chance.sample(plain, round(IN_ROWS * len(plain)))
    for piece in rows:
        piece.form = "row"
    files = [piece for piece in pieces if piece.form != "row"]
    every = len(files) + -(-len(rows) // ROWS)
    for piece in chance.sample(files, min(len(files), round(ENCODED * every))):
        piece.encoding = chance.choice(("gb18030", "gb18030", "utf-16")) if chinese(piece.text) else "utf-16"
    return pieces


def write(pieces: list[Piece], folder: Path, seed: int) -> None:
    """Every piece to its file below `folder`; notes which in the piece."""
    counts: Counter[str] = Counter()
    names = {"page": "pages/{:06}.html", "text": "texts/{:06}.txt", "row": "rows/{:04}.jsonl"}
    for name in ("pages", "texts", "rows"):
        (folder / name).mkdir(parents=True)
    for index, piece in enumerate(pieces):
        number = counts[piece.form]
        counts[piece.form] += 1
        piece.file = names[piece.form].format(number // ROWS if piece.form == "row" else number)
        if piece.form == "row":
            with (folder / piece.file).open("a", encoding="utf-8", newline="\n") as file:
                file.write(_row(piece.text))
            continue
        text = piece.text + "\n"
        if piece.form == "page":
            # Pages in GB18030 call themselves by its older and more common name.
            charset = "gb2312" if piece.encoding == "gb18030" else piece.encoding
            text = page(piece.text, random.Random(f"{seed} page {index}"), charset, chinese=chinese(piece.text))
        data = text.encode("utf-16-le" if piece.encoding == "utf-16" else piece.encoding, "replace")
        (folder / piece.file).write_bytes(b"\xff\xfe" + data if piece.encoding == "utf-16" else data)


def _row(text: str) -> str:
    return json.dumps({"text": text}, ensure_ascii=False) + "\n"


def make(clean: list[Path], out: Path, seed: int) -> dict[str, Any]:
    """Writes all of OUT_FOLDER; the counts. What an earlier call has written there is replaced."""
    every = list(texts_of(clean))
    kept = [text for text in every if not held_out(text)]
    pieces = planned(kept, seed)
    shutil.rmtree(out / "dirty", ignore_errors=True)
    write(pieces, out / "dirty", seed)
    for name, texts in (("clean", kept), ("heldout", [text for text in every if held_out(text)])):
        (out / f"{name}.jsonl").write_text("".join(map(_row, texts)), encoding="utf-8", newline="\n")
    facts = [{k: v for k, v in asdict(piece).items() if k != "text"} for piece in pieces]
    (out / "manifest.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts), encoding="utf-8")
    files = {piece.file: piece for piece in pieces}
    return {
        "documents": len(kept),
        "heldout": len(every) - len(kept),
        "copies": sum(piece.what == "copy" for piece in pieces),
        "noise": sum(piece.what == "noise" for piece in pieces),
        "pages": sum(piece.form == "page" for piece in pieces),
        "files": len(files),
        "encodings": dict(sorted(Counter(piece.encoding for piece in files.values()).items())),
        "bytes": sum((out / "dirty" / name).stat().st_size for name in files),
        "clean_bytes": sum(len(text.encode("utf-8", "replace")) for text in kept),
    }


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, metavar="CLEAN.jsonl ... OUT_FOLDER")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(words)
    if len(given.paths) < 2:
        parser.error("name the clean text and then the folder to write to")
    print(json.dumps(make(given.paths[:-1], given.paths[-1], given.seed)))


if __name__ == "__main__":
    main()
