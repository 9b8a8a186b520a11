"""Hugging Face's Trainer as a peer: a model from a configuration, a tokenizer learnt on the text, no other tricks.

python with_trainer.py prepare|train|score WORK CHECKOUT VARIANT    (versus.py calls this; CHECKOUT is not used)
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import metric
import numpy as np

END = "<|endoftext|>"
# The defaults of transformers' examples/pytorch/language-modeling/run_clm.py with --model_type gpt2.
DOCUMENTED = {
    "vocabulary": 50257,
    "context_length": 1024,
    "rows": 8,
    "shape": {"n_layer": 12, "n_head": 12, "n_embd": 768},
    "arguments": {},
}
FAST = {
    "bf16": True,
    "torch_compile": True,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "cosine",
    "weight_decay": 0.1,
    "adam_beta2": 0.99,
}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
SMALL = {
    "vocabulary": 4096,
    "context_length": 256,
    "rows": 16,
    "shape": {"n_layer": 4, "n_head": 2, "n_embd": 128, **NO_DROPOUT},
    "arguments": FAST,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "documented": DOCUMENTED,
    "small": SMALL,
    "medium": {**SMALL, "shape": {"n_layer": 4, "n_head": 4, "n_embd": 256, **NO_DROPOUT}},
    "large": {**SMALL, "shape": {"n_layer": 6, "n_head": 6, "n_embd": 384, **NO_DROPOUT}},
}
STEP_LINE = r"^step ([\d.]+)ms"


def commands(work: Path, checkout: Path, variant: str, iterations: int) -> list[list[str]]:
    return [[sys.executable, str(Path(__file__).resolve()), "train", str(work), "-", variant, str(iterations)]]


def environment(work: Path, checkout: Path, variant: str) -> dict[str, str]:
    return {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}


def prepare(work: Path, checkout: Path, variant: str) -> None:
    """A byte-level BPE learnt on the text; all documents in one row of tokens, cut into blocks, as run_clm does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    chosen = VARIANTS[variant]
    texts = metric.documents(work / "train.jsonl")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learner = trainers.BpeTrainer(
        vocab_size=chosen["vocabulary"], special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, learner)
    tokenizer.save(str(work / "tokenizer.json"))
    end = tokenizer.token_to_id(END)
    tokens: list[int] = []
    for encoded in tokenizer.encode_batch_fast(texts):
        tokens += [end, *encoded.ids]
    length = min(chosen["context_length"], len(tokens))
    blocks = np.array(tokens[: len(tokens) // length * length], dtype=np.int32).reshape(-1, length)
    np.save(work / "blocks.npy", blocks)


def train(work: Path, checkout: Path, variant: str, iterations: int) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

    chosen = VARIANTS[variant]
    blocks = np.load(work / "blocks.npy")

    class Told(TrainerCallback):
        """Prints how long each step took, for the calibration."""

        begun = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self.begun = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            print(f"step {1000 * (time.perf_counter() - self.begun):.1f}ms", flush=True)

    class Blocks(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(blocks)

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            block = torch.from_numpy(blocks[index].astype(np.int64))
            return {"input_ids": block, "labels": block}

    vocabulary = max(chosen["vocabulary"], int(blocks.max()) + 1)
    module = GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_positions=chosen["context_length"], **chosen["shape"]))
    arguments = TrainingArguments(
        output_dir=str(work / "trainer"),
        max_steps=iterations,
        per_device_train_batch_size=chosen["rows"],
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        warmup_steps=iterations // 20 if chosen["arguments"] else 0,
        **chosen["arguments"],
    )
    Trainer(model=module, args=arguments, train_dataset=Blocks(), callbacks=[Told()]).train()
    module.save_pretrained(work / "model")


def score(work: Path, checkout: Path, variant: str) -> dict[str, float]:
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import GPT2LMHeadModel

    module = GPT2LMHeadModel.from_pretrained(work / "model").eval()
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    end = tokenizer.token_to_id(END)
    assert len(ByteLevel.alphabet()) == 256  # so the characters of a token's name are its bytes
    size_of = {number: len(name) for name, number in tokenizer.get_vocab().items()} | {end: 0}
    stream: list[int] = []
    for text in metric.documents(work / "heldout.jsonl"):
        stream += [end, *tokenizer.encode(text).ids]
    sizes = np.array([size_of[token] for token in stream])
    length = module.config.n_positions
    bits, size = metric.bits_per_byte(
        lambda tokens: module(tokens).logits, np.array(stream), sizes, context_length=length, opening=end
    )
    parameters = sum(p.numel() for p in module.parameters())
    return {"bits_per_byte": bits, "bytes": size, "parameters": parameters, "vocabulary": tokenizer.get_vocab_size()}


if __name__ == "__main__":
    verb, work, variant = sys.argv[1], Path(sys.argv[2]), sys.argv[4]
    if verb == "train":
        train(work, Path(), variant, int(sys.argv[5]))
    else:
        print(json.dumps({"prepare": prepare, "score": score}[verb](work, Path(), variant)))
