"""nanochat (github.com/karpathy/nanochat) as a peer: its own tok_train and base_train, on our text as parquet shards.

python with_nanochat.py prepare|score WORK CHECKOUT VARIANT    (versus.py calls this, and base_train itself)
"""

import json
import sys
from pathlib import Path

import metric
import numpy as np

# What runs/runcpu.sh says, without the evaluations on the way, which would take longer than the training.
DOCUMENTED = {
    "depth": 6,
    "head-dim": 64,
    "window-pattern": "L",
    "max-seq-len": 512,
    "device-batch-size": 32,
    "total-batch-size": 16384,
}
FAST = {**DOCUMENTED, "max-seq-len": 256, "device-batch-size": 16, "total-batch-size": 4096}
VARIANTS = {
    "documented": DOCUMENTED,
    "small": {**FAST, "depth": 2},
    "medium": {**FAST, "depth": 4},
    "large": FAST,
}
VOCABULARY = {"documented": 32768}  # of tok_train as it is; the others get what suits a small model
SMALL_VOCABULARY = 4096
STEP_LINE = r"^step \d+/.* dt: ([\d.]+)ms"
NO_EVALUATION = {"eval-every": -1, "core-metric-every": -1, "sample-every": -1, "run": "dummy"}
PIECE = 2000  # characters: a text that is one long document is cut, because base_train drops what a row cannot hold
SHARD_ROWS = 1000


def commands(work: Path, checkout: Path, variant: str, iterations: int) -> list[list[str]]:
    """What a user would type in the checkout: the tokenizer, then the training."""
    vocabulary = VOCABULARY.get(variant, SMALL_VOCABULARY)
    settings = {**VARIANTS[variant], **NO_EVALUATION, "num-iterations": iterations, "model-tag": "model"}
    settings["warmup-steps"] = min(40, max(1, iterations // 10))
    train = [f"--{name}={value}" for name, value in settings.items()]
    return [
        [sys.executable, "-m", "scripts.tok_train", f"--vocab-size={vocabulary}"],
        [sys.executable, "-m", "scripts.base_train", *train],
    ]


def environment(work: Path, checkout: Path, variant: str) -> dict[str, str]:
    more = {} if variant == "documented" else {"NANOCHAT_DTYPE": "bfloat16"}
    return {
        "NANOCHAT_BASE_DIR": str(work.resolve()),
        "PYTHONPATH": str(checkout.resolve()),
        "WANDB_MODE": "disabled",
    } | more


def prepare(work: Path, checkout: Path, variant: str) -> None:
    """The text as the shards that its data loader reads: the last one is for validation."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = work / "base_data_climbmix"
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(("train", "heldout")):
        texts = [piece for text in metric.documents(work / f"{name}.jsonl") for piece in _pieces(text)]
        table = pa.table({"text": texts})
        pq.write_table(table, folder / f"shard_{index:05d}.parquet", row_group_size=SHARD_ROWS)


def _pieces(text: str) -> list[str]:
    """Cut at line ends: about PIECE characters each, nothing lost."""
    pieces, size = [[]], 0
    for line in text.splitlines(keepends=True):
        if size + len(line) > PIECE and pieces[-1]:
            pieces.append([])
            size = 0
        pieces[-1].append(line)
        size += len(line)
    return ["".join(piece) for piece in pieces if piece]


def score(work: Path, checkout: Path, variant: str) -> dict[str, float]:
    import torch

    sys.path.insert(0, str(checkout))
    from nanochat import checkpoint_manager  # type: ignore[import-not-found]

    folder = work / "base_checkpoints" / "model"
    last = max(int(path.stem.split("_")[1]) for path in folder.glob("model_*.pt"))
    module, tokenizer, meta = checkpoint_manager.build_model(str(folder), last, torch.device("cpu"), "eval")
    bos = tokenizer.get_bos_token_id()
    stream, sizes = [], []
    for text in metric.documents(work / "heldout.jsonl"):
        tokens = tokenizer.encode(text)
        stream += [bos, *tokens]
        sizes += [0, *(len(tokenizer.decode_single_token_bytes(token)) for token in tokens)]
    length = meta["model_config"]["sequence_len"]
    bits, size = metric.bits_per_byte(module, np.array(stream), np.array(sizes), context_length=length, opening=bos)
    parameters = sum(p.numel() for p in module.parameters())
    return {"bits_per_byte": bits, "bytes": size, "parameters": parameters, "vocabulary": tokenizer.get_vocab_size()}


if __name__ == "__main__":
    verb, work, checkout, variant = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    print(json.dumps({"prepare": prepare, "score": score}[verb](work, checkout.resolve(), variant)))
