"""Tokenizers compared: bytes a token on Chinese and English by kind and vocabulary, and how fast each encodes.

    python benchmarks/encoding.py --data FOLDER            the table of docs/tokenizers.md
    python benchmarks/encoding.py --data FOLDER --speed    MB/s of English books, one thread and two

FOLDER holds the data sets by name. Learnt on the first part of each, measured on the rest, which is not seen before.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from daybreak.data.sources import Reading, find  # noqa: E402
from daybreak.data.tokenizers import byte_tokenizer, train_tokenizer  # noqa: E402
from daybreak.data.tokenizers.base import utf8  # noqa: E402
from daybreak.data.tokenizers.byte_level import ByteLevelBpe  # noqa: E402

DATA_SETS = ("lm_zh_poetry", "lm_zh_laws", "lm_zh_techdocs", "lm_en_books")
VOCABULARIES = (512, 2048, 8192)
KINDS = ("characters", "bpe", "unigram", "words", "wordpiece")
LEARNT_CHARACTERS, MEASURED_CHARACTERS = 1_000_000, 100_000
SPEED_CHARACTERS = 6_000_000


def texts_of(folder: Path, characters: int) -> list[str]:
    texts, size = [], 0
    for document in Reading(find([str(folder)])):
        texts.append(document.text)
        size += len(document.text)
        if size >= characters:
            break
    return texts


def table(data: Path, names: list[str]) -> None:
    columns = [(kind, vocabulary) for kind in KINDS for vocabulary in VOCABULARIES]
    print("| tokenizer | vocabulary | " + " | ".join(f"`{name}`" for name in names) + " |")
    print("| --- | --- |" + " --- |" * len(names))
    parts = []
    for name in names:
        texts = texts_of(data / name, LEARNT_CHARACTERS + MEASURED_CHARACTERS)
        # Every eleventh document is not learnt from; a data set may change from its beginning to its end.
        parts.append(([t for i, t in enumerate(texts) if i % 11], texts[::11]))
    for kind, vocabulary in [("bytes", 257), *columns]:
        cells = []
        for seen, unseen in parts:
            tokenizer = train_tokenizer(seen, vocabulary, kind=kind)
            tokens = sum(map(len, tokenizer.encode_documents(unseen)))
            size = sum(len(utf8(text)) for text in unseen)
            exact = all(tokenizer.decode(tokenizer.encode(text)) == text for text in unseen[:20])
            assert exact or not tokenizer.lossless
            fewer = f" ({tokenizer.vocabulary})" if tokenizer.vocabulary < vocabulary else ""
            cells.append(f"{size / tokens:.2f}{fewer}")
        print(f"| {kind} | {vocabulary:,} | " + " | ".join(cells) + " |", flush=True)


def speed(data: Path) -> None:
    """Best of three: other programs only ever make it slower."""
    texts = texts_of(data / "lm_en_books", SPEED_CHARACTERS)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    bpe = train_tokenizer(texts[::4], 8192)
    assert isinstance(bpe, ByteLevelBpe)
    alone = ByteLevelBpe(bpe.merges)
    library = bpe._tokenizers
    parts = [texts[start::2] for start in range(2)]
    ways = {
        "bpe 8,192, encode_documents, all cores": lambda: bpe.encode_documents(texts),
        "bpe 8,192, two threads": lambda: list(
            ThreadPoolExecutor(2).map(lambda part: [alone._encoded(text) for text in part], parts)
        ),
        "bpe 8,192, one thread": lambda: [alone._encoded(text) for text in texts],
        "bpe 8,192, tokenizers' encode_batch_fast": lambda: library.encode_batch_fast(texts, add_special_tokens=False),
        "bytes": lambda: byte_tokenizer().encode_documents(texts),
    }
    bpe.encode("warm"), alone.encode("warm")
    print(f"{megabytes:.1f} MB of English books, {len(os.sched_getaffinity(0))} cores")
    print("| | MB/s | MB/s of processor time |\n| --- | --- | --- |")
    for name, way in ways.items():
        wall, process = [], []
        for _ in range(3):
            start, used = time.perf_counter(), time.process_time()
            way()
            wall.append(time.perf_counter() - start)
            process.append(time.process_time() - used)
        print(f"| {name} | {megabytes / min(wall):.1f} | {megabytes / min(process):.1f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("names", nargs="*", default=list(DATA_SETS))
    asked = parser.parse_args()
    if asked.speed:
        speed(asked.data)
    else:
        table(asked.data, asked.names)
