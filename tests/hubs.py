"""Checkpoints as others publish them: tiny models of transformers with random weights, and tokenizers of every kind."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
import torch
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

ENGLISH = (
    "The quick brown fox doesn't jump over 12 lazy dogs; we'll see, said the other fox, and went on quickly.\n"
    "In the beginning there was a text, and the text was read again and again, until every word of it was known.\n"
) * 8
CHINESE = (
    "第一条 为了保护民事主体的合法权益，调整民事关系，维护社会和经济秩序，适应中国特色社会主义发展要求。\n"
    "数据库的节点之间通过网络进行通信，数据库的节点保存数据的副本，数据库在节点故障的时候可以继续提供服务。\n"
) * 8
QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+"
ROWS = 384  # of every table
CONTEXT = 64


def _specials(tokenizer: tokenizers.Tokenizer, *names: str) -> None:
    tokenizer.add_special_tokens([tokenizers.AddedToken(name, special=True, normalized=False) for name in names])


def byte_level(end: str = "<|endoftext|>", *, pattern: str = "", ignore_merges: bool = False) -> tokenizers.Tokenizer:
    """GPT-2's kind, or Llama 3's and Qwen's with a pattern."""
    made = tokenizers.Tokenizer(models.BPE(ignore_merges=ignore_merges))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not pattern)
    split = [pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")] if pattern else []
    made.pre_tokenizer = pre_tokenizers.Sequence([*split, level]) if pattern else level
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator([ENGLISH], trainer)
    _specials(made, end)
    return made


def qwen() -> tokenizers.Tokenizer:
    made = byte_level(pattern=QWEN_PATTERN)
    made.normalizer = normalizers.NFC()
    return made


def falling_back() -> tokenizers.Tokenizer:
    """Llama 2's kind: spaces spelled as U+2581, and bytes for what has no token."""
    learner = tokenizers.Tokenizer(models.BPE())
    learner.normalizer = normalizers.Replace(" ", "▁")
    learner.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    learner.train_from_iterator([ENGLISH], trainers.BpeTrainer(vocab_size=60, show_progress=False))
    model = json.loads(learner.to_str())["model"]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{value:02X}>" for value in range(256)), *model["vocab"]]
    vocabulary = {name: token for token, name in enumerate(names)}
    made = tokenizers.Tokenizer(
        models.BPE(
            vocabulary, [tuple(m) for m in model["merges"]], unk_token="<unk>", byte_fallback=True, fuse_unk=True
        )
    )
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    _specials(made, "<unk>", "<s>", "</s>")
    return made


def wordpiece() -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=names, show_progress=False)
    made.train_from_iterator([ENGLISH], trainer)
    return made


def unigram() -> tokenizers.Tokenizer:
    """T5's kind, with ten sentinels, the first of which has the highest id."""
    learner = tokenizers.Tokenizer(models.Unigram())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    learner.train_from_iterator([ENGLISH], trainer)
    vocabulary = [tuple(entry) for entry in json.loads(learner.to_str())["model"]["vocab"]]
    sentinels = [f"<extra_id_{index}>" for index in reversed(range(10))]
    made = tokenizers.Tokenizer(models.Unigram([*vocabulary, *((name, 0.0) for name in sentinels)], unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    _specials(made, "<pad>", "</s>", "<unk>", *sentinels)
    return made


TOKENIZERS: dict[str, Callable[[], tokenizers.Tokenizer]] = {
    "byte level": byte_level,
    "byte level, by a pattern": lambda: byte_level("<|end_of_text|>", pattern=LLAMA3_PATTERN, ignore_merges=True),
    "qwen": qwen,
    "falling back to bytes": falling_back,
    "wordpiece": wordpiece,
    "unigram": unigram,
}
SIZES: dict[str, Any] = {
    "vocab_size": ROWS,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
T5 = {"vocab_size": ROWS, "d_model": 64, "d_ff": 96, "d_kv": 16, "num_layers": 2, "num_heads": 4}
# By a name: the class, its config, the tokenizer that is published with it.
CHECKPOINTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "qwen2": ("Qwen2ForCausalLM", {**SIZES, "tie_word_embeddings": True}, "qwen"),
    "qwen2, untied": ("Qwen2ForCausalLM", {**SIZES, "tie_word_embeddings": False}, "qwen"),
    "qwen3": ("Qwen3ForCausalLM", {**SIZES, "head_dim": 32}, "qwen"),
    "qwen3, tied": ("Qwen3ForCausalLM", {**SIZES, "head_dim": 16, "tie_word_embeddings": True}, "qwen"),
    "qwen3 with biases": ("Qwen3ForCausalLM", {**SIZES, "head_dim": 16, "attention_bias": True}, "qwen"),
    "llama": ("LlamaForCausalLM", SIZES, "falling back to bytes"),
    "llama with biases": (
        "LlamaForCausalLM",
        {**SIZES, "attention_bias": True, "mlp_bias": True, "head_dim": 32, "tie_word_embeddings": True},
        "byte level, by a pattern",
    ),
    "gpt2": (
        "GPT2LMHeadModel",
        {"vocab_size": ROWS, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}
        | {"bos_token_id": None, "eos_token_id": None},
        "byte level",
    ),
    "nanochat": ("NanoChatForCausalLM", SIZES, "byte level"),
    "bert": (
        "BertForMaskedLM",
        {name: size for name, size in SIZES.items() if name != "num_key_value_heads"} | {"pad_token_id": 0},
        "wordpiece",
    ),
    "modernbert": (
        "ModernBertForMaskedLM",
        {name: size for name, size in SIZES.items() if name != "num_key_value_heads"}
        | {"local_attention": 16, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3}
        | {"bos_token_id": 2, "eos_token_id": 3},
        "wordpiece",
    ),
    "t5": ("T5ForConditionalGeneration", T5, "unigram"),
    "t5 v1.1": (
        "T5ForConditionalGeneration",
        {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "num_decoder_layers": 1},
        "unigram",
    ),
}
ENCODERS = ("bert", "modernbert")
DECODERS = [name for name in CHECKPOINTS if name not in ENCODERS and not name.startswith("t5")]


def model(name: str, *, seed: int = 0, **changes: Any) -> Any:
    """Of transformers, in which every weight is random, gains and biases included."""
    import transformers

    architecture, config, _ = CHECKPOINTS[name]
    kind = getattr(transformers, architecture)
    made = kind(kind.config_class(**{**config, **changes})).float().eval()
    if name == "t5 v1.1":  # whose head is its own, though its class says otherwise of every config
        made.lm_head.weight = torch.nn.Parameter(made.lm_head.weight.clone())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in made.parameters():
            if weight.ndim == 1:
                weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
            else:
                weight.normal_(0.0, 1.0 / weight.shape[-1] ** 0.5, generator=generator)
    return made


def publish(folder: Path, name: str, *, shard: str = "", end: str = "", **changes: Any) -> Any:
    """Writes the folder as its publisher would, and gives back the model."""
    made = model(name, **changes)
    with contextlib.redirect_stderr(io.StringIO()):
        made.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    TOKENIZERS[CHECKPOINTS[name][2]]().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end} if end else {})
    )
    return made


def change(path: Path, **changes: Any) -> None:
    """Of a JSON object; None takes a name out."""
    data = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in data.items() if value is not None}))
