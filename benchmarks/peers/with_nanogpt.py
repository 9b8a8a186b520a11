"""nanoGPT (github.com/karpathy/nanoGPT) as a peer: its own train.py, run on characters as its read-me does.

python with_nanogpt.py prepare|score WORK CHECKOUT VARIANT    (versus.py calls this, and train.py itself)
"""

import json
import os
import pickle
import sys
from pathlib import Path

import metric
import numpy as np

OPENING = "\0"  # between documents; counts no bytes

CPU = {"device": "cpu", "dropout": 0.0, "eval_iters": 1, "always_save_checkpoint": True, "log_interval": 1}
# The command that the read-me gives for a computer without a GPU.
DOCUMENTED = {
    "compile": False,
    "block_size": 64,
    "batch_size": 12,
    "n_layer": 4,
    "n_head": 4,
    "n_embd": 128,
    "learning_rate": 1e-3,
    "min_lr": 1e-4,
    "beta2": 0.99,
    "warmup_iters": 100,
}
COMPILED = {**DOCUMENTED, "compile": True, "block_size": 128, "batch_size": 16}
VARIANTS = {
    "documented": DOCUMENTED,
    "small": COMPILED,
    "medium": {**COMPILED, "n_embd": 256},
    "large": {**COMPILED, "n_layer": 6, "n_head": 6, "n_embd": 384},
}


def commands(work: Path, checkout: Path, variant: str, iterations: int) -> list[list[str]]:
    """What a user would type, in `work`, to train for so many iterations."""
    settings = {**CPU, **VARIANTS[variant], "gradient_accumulation_steps": 1, "dataset": "text", "out_dir": "out"}
    # Its own evaluation is switched off; it saves where it evaluates, so once, at the end.
    settings |= {"max_iters": iterations, "lr_decay_iters": iterations, "eval_interval": iterations}
    settings["warmup_iters"] = min(DOCUMENTED["warmup_iters"], iterations // 10)
    return [[sys.executable, "train.py", *(f"--{name}={value}" for name, value in settings.items())]]


def environment(work: Path, checkout: Path, variant: str) -> dict[str, str]:
    return {}


STEP_LINE = r"^iter \d+: .* time ([\d.]+)ms"  # milliseconds of a step, in what it prints


def prepare(work: Path, checkout: Path, variant: str) -> None:
    """Characters as numbers, as data/shakespeare_char/prepare.py makes them; the vocabulary knows all characters."""
    for name in ("train.py", "model.py", "configurator.py"):
        link = work / name
        if not link.exists():
            link.symlink_to((checkout / name).resolve())
    train = _joined(metric.documents(work / "train.jsonl"))
    held = _joined(metric.documents(work / "heldout.jsonl"))
    characters = sorted(set(train) | set(held))
    number = {character: index for index, character in enumerate(characters)}
    folder = work / "data" / "text"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("train", train), ("val", held)):
        np.array([number[c] for c in text], dtype=np.uint16).tofile(folder / f"{name}.bin")
    with (folder / "meta.pkl").open("wb") as file:
        pickle.dump({"vocab_size": len(characters), "itos": dict(enumerate(characters)), "stoi": number}, file)


def _joined(documents: list[str]) -> str:
    return "".join(OPENING + text.replace(OPENING, "") for text in documents)


def score(work: Path, checkout: Path, variant: str) -> dict[str, float]:
    import torch

    sys.path.insert(0, str(checkout))
    from model import GPT, GPTConfig  # type: ignore[import-not-found]

    saved = torch.load(work / "out" / "ckpt.pt", map_location="cpu", weights_only=False)
    module = GPT(GPTConfig(**saved["model_args"]))
    module.load_state_dict({name.removeprefix("_orig_mod."): w for name, w in saved["model"].items()})
    module.eval()
    with (work / "data" / "text" / "meta.pkl").open("rb") as file:
        meta = pickle.load(file)
    stream = np.fromfile(work / "data" / "text" / "val.bin", dtype=np.uint16)
    sizes = np.array([0 if c == OPENING else len(c.encode()) for c in meta["itos"].values()])[stream]

    def logits(tokens: torch.Tensor) -> torch.Tensor:
        return module(tokens, torch.zeros_like(tokens))[0]  # without targets it gives the last place only

    bits, size = metric.bits_per_byte(
        logits, stream, sizes, context_length=saved["model_args"]["block_size"], opening=meta["stoi"][OPENING]
    )
    parameters = sum(p.numel() for p in module.parameters())
    return {"bits_per_byte": bits, "bytes": size, "parameters": parameters, "vocabulary": meta["vocab_size"]}


if __name__ == "__main__":
    verb, work, checkout, variant = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    os.chdir(work)
    result = {"prepare": prepare, "score": score}[verb](Path(), checkout.resolve(), variant)
    print(json.dumps(result))
