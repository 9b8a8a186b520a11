"""From .jsonl files to tokens with datatrove, datasets and litdata; prepare.py calls this with the peers' Python.

    python preparing.py datatrove|datatrove-split|datasets|litdata WORK PROCESSES VOCABULARY FILES ...

Prints one line of JSON: tokens, documents kept, seconds of each step, versions; or what is missing.
"""

import functools
import hashlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

END = "<|endoftext|>"
SAMPLE_BYTES = 6_000_000  # that the tokenizer learns from, as daybreak's does
BUCKETS = 14  # of datatrove's MinHash, its default
NEEDS = {
    "datatrove": ("datatrove", "spacy", "xxhash", "orjson"),
    "datatrove-split": ("datatrove", "xxhash", "orjson"),
    "datasets": ("datasets", "tokenizers"),
    "litdata": ("litdata", "tokenizers", "torch"),
}


class Steps:
    """Seconds of each, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, step: Callable[[], Any]) -> Any:
        start = time.monotonic()
        found = step()
        self.seconds[name] = round(time.monotonic() - start, 2)
        return found


def texts(files: list[str]) -> Iterator[str]:
    for file in files:
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)["text"]


def learnt(files: list[str], vocabulary: int, path: Path) -> Path:
    """A byte-level BPE tokenizer of the first texts of every file."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    def sample() -> Iterator[str]:
        for file in files:
            size = 0
            for text in texts([file]):
                yield text
                size += len(text)
                if size >= SAMPLE_BYTES // len(files):
                    break

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sample(), trainer)
    tokenizer.save(str(path))
    return path


# datatrove: the way of its own example of MinHash over filtered text


def with_datatrove(files: list[str], work: Path, processes: int, vocabulary: int, *, split: bool = False) -> dict:
    """Gopher's quality filter, MinHash in four stages with the default settings, tokens.

    `split`: words are what is between spaces; datatrove's own choice for English is spaCy, which is slower by far.
    """
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.filters import GopherQualityFilter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.tokens import DocumentTokenizer
    from datatrove.pipeline.writers import JsonlWriter

    steps = Steps()
    tokenizer = steps("tokenizer", lambda: learnt(files, vocabulary, work / "tokenizer.json"))
    words: Any = _split_words() if split else "eng"
    folder = str(Path(files[0]).parent)
    clean, signatures, buckets, removed = (str(work / name) for name in ("clean", "signatures", "buckets", "removed"))

    def run(name: str, pipeline: list[Any], tasks: int) -> None:
        executor = LocalPipelineExecutor(
            pipeline, tasks=tasks, workers=min(tasks, processes), logging_dir=str(work / "logs" / name)
        )
        steps(name, executor.run)

    run(
        "filter and signatures",
        [
            JsonlReader(folder, glob_pattern="*.jsonl"),
            GopherQualityFilter(language=words),
            JsonlWriter(clean, output_filename="${rank}.jsonl", compression=None),
            MinhashDedupSignature(signatures, language=words),
        ],
        len(files),
    )
    run("buckets", [MinhashDedupBuckets(signatures, buckets)], BUCKETS)
    run("clusters", [MinhashDedupCluster(buckets, removed)], 1)
    run(
        "duplicates removed, tokens",
        [
            JsonlReader(clean, glob_pattern="*.jsonl"),
            MinhashDedupFilter(removed),
            DocumentTokenizer(str(work / "tokens"), str(tokenizer), eos_token=END, shuffle_documents=False),
        ],
        len(files),
    )
    tokens = sum(path.stat().st_size for path in (work / "tokens").rglob("*.ds")) // 2
    documents = sum(path.stat().st_size for path in (work / "tokens").rglob("*.ds.index")) // 8
    return {"tokens": tokens, "documents": documents, "steps": steps.seconds}


def _split_words() -> Any:
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Split(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return text.split("\n")

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    return Split()


# datasets


def _digests(batch: dict[str, list[str]]) -> dict[str, list[bytes]]:
    return {"digest": [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in batch["text"]]}


def _encoded(batch: dict[str, list[str]], tokenizer: str) -> dict[str, list[list[int]]]:
    known = _tokenizer(tokenizer)
    end = known.token_to_id(END)
    return {"ids": [[*encoding.ids, end] for encoding in known.encode_batch_fast(batch["text"])]}


@functools.cache
def _tokenizer(path: str) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(path)


def with_datasets(files: list[str], work: Path, processes: int, vocabulary: int) -> dict:
    """Exact duplicates out, tokens as an Arrow file. There is no cleaning in it, and no near-duplicate removal."""
    import numpy as np
    from datasets import Features, List, Value, load_dataset

    steps = Steps()
    tokenizer = steps("tokenizer", lambda: str(learnt(files, vocabulary, work / "tokenizer.json")))
    cache = str(work / "cache")
    rows = steps(
        "read", lambda: load_dataset("json", data_files=files, split="train", cache_dir=cache, num_proc=processes)
    )

    def unlike() -> Any:
        digests = rows.map(_digests, batched=True, num_proc=processes, remove_columns=rows.column_names)["digest"]
        _, first = np.unique(np.array(digests[:], dtype="S16"), return_index=True)
        return rows.select(np.sort(first))

    kept = steps("exact duplicates removed", unlike)
    encoded = steps(
        "tokens",
        lambda: kept.map(
            functools.partial(_encoded, tokenizer=tokenizer),
            batched=True,
            num_proc=processes,
            remove_columns=kept.column_names,
            features=Features({"ids": List(Value("uint16"))}),
        ),
    )
    count = sum(len(chunk.values) for chunk in encoded.data.column("ids").chunks)
    return {"tokens": count, "documents": len(encoded), "steps": steps.seconds}


# litdata


def _tokens_of(file: str, tokenizer: str) -> Iterator[Any]:
    import torch

    known = _tokenizer(tokenizer)
    end = known.token_to_id(END)
    for text in texts([file]):
        yield torch.tensor([*known.encode(text).ids, end], dtype=torch.uint16)


def with_litdata(files: list[str], work: Path, processes: int, vocabulary: int) -> dict:
    """Tokens only, in chunks of 64 MB: there is nothing in it for cleaning or duplicates."""
    from litdata import TokensLoader, optimize

    steps = Steps()
    tokenizer = steps("tokenizer", lambda: str(learnt(files, vocabulary, work / "tokenizer.json")))
    steps(
        "tokens",
        lambda: optimize(
            functools.partial(_tokens_of, tokenizer=tokenizer),
            files,
            output_dir=str(work / "tokens"),
            chunk_bytes="64MB",
            num_workers=processes,
            item_loader=TokensLoader(),
            verbose=False,
        ),
    )
    index = json.loads((work / "tokens" / "index.json").read_text())
    return {"tokens": sum(chunk["dim"] for chunk in index["chunks"]), "documents": None, "steps": steps.seconds}


PEERS: dict[str, Callable[..., dict]] = {
    "datatrove": with_datatrove,
    "datatrove-split": functools.partial(with_datatrove, split=True),
    "datasets": with_datasets,
    "litdata": with_litdata,
}


def main() -> None:
    peer, work, processes, vocabulary, *files = sys.argv[1:]
    versions = {}
    try:
        for name in NEEDS[peer]:
            versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError as error:
        print(json.dumps({"missing": f"{error.name} is not installed"}))
        return
    os.environ["TOKENIZERS_PARALLELISM"] = "false" if int(processes) > 1 else "true"
    Path(work).mkdir(parents=True, exist_ok=True)
    found = PEERS[peer](files, Path(work), int(processes), int(vocabulary))
    print(json.dumps({**found, "versions": versions}))


if __name__ == "__main__":
    main()
