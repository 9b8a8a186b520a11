"""`model/`: the folder that daybreak and transformers both open, written by hand and read back from it alone."""

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from torch import Tensor

from daybreak.core.errors import DataError, ResourceError
from daybreak.core.shapes import GptShape
from daybreak.models.gpt import Gpt
from daybreak.models.ngram import KneserNey
from daybreak.models.norms import NORM_EPSILON

OWN_CLASS = "daybreak-gpt"  # transformers knows no such kind and refuses the folder by this name


def save(
    folder: Path, shape: GptShape, weights: dict[str, Tensor], *, tokenizer_file: Path, end_of_text: int, token: str
) -> None:
    """Writes `folder` anew, aside and then renamed, so that there is a whole model at every moment.

    A shape that leaves the stock class is written as a class of our own, which daybreak alone reads.

    weights: by transformers' names, float32. Raises ResourceError: the disk is full or not writable.
    """
    if shape.native():
        shape, weights = _written_out(shape, weights)
    kept = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
    if shape.tied:
        kept.pop("lm_head.weight", None)

    def fill(aside: Path) -> None:
        save_file(kept, str(aside / "model.safetensors"), metadata={"format": "pt"})
        _write(aside / "config.json", config_of(shape, end_of_text))
        shutil.copymode(aside / "config.json", aside / "model.safetensors")  # which safetensors keeps to its owner
        _write(
            aside / "generation_config.json",
            {"bos_token_id": end_of_text, "eos_token_id": end_of_text, "pad_token_id": end_of_text},
        )
        shutil.copyfile(tokenizer_file, aside / "tokenizer.json")
        _write(
            aside / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": token,
                "eos_token": token,
                "pad_token": token,
                "clean_up_tokenization_spaces": False,
                "model_max_length": shape.context_length,
            },
        )

    _renamed(folder, fill)


def _written_out(shape: GptShape, weights: dict[str, Tensor]) -> tuple[GptShape, dict[str, Tensor]]:
    """Each shared layer as often as it is applied: the stock class knows no sharing, and computes the same."""
    if shape.layer_repeats == 1:
        return shape, weights
    written = {}
    for name, weight in weights.items():
        layer = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", name)
        if layer is None:
            written[name] = weight
            continue
        first = int(layer[1]) * shape.layer_repeats
        for index in range(first, first + shape.layer_repeats):
            written[f"model.layers.{index}.{layer[2]}"] = weight.detach().clone()
    return shape.replace(layer_repeats=1), written


def config_of(shape: GptShape, end_of_text: int) -> dict[str, Any]:
    """config.json of transformers' Qwen3ForCausalLM, or of our own class with the shape's fields as they are."""
    if not shape.native():
        own = {"architectures": ["DaybreakGpt"], "model_type": OWN_CLASS, **dataclasses.asdict(shape)}
        return {**own, "bos_token_id": end_of_text, "eos_token_id": end_of_text, "torch_dtype": "float32"}
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.mlp_width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_value_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context_length,
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": shape.rope_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_base},
        "tie_word_embeddings": shape.tied,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "torch_dtype": "float32",
    }


def shape_of(config: dict[str, Any]) -> GptShape:
    """Raises DataError: another kind of model."""
    if config.get("model_type") == OWN_CLASS:
        names = {field.name for field in dataclasses.fields(GptShape)}
        return GptShape.from_json({name: value for name, value in config.items() if name in names}, "config.json")
    if config.get("model_type") != "qwen3":
        raise DataError(
            "this kind of model is not known here",
            received=f"model_type {config.get('model_type')!r}",
            attempt=f"a model/ folder that daybreak wrote (model_type 'qwen3' or '{OWN_CLASS}')",
        )
    return GptShape(
        vocabulary=config["vocab_size"],
        layers=config["num_hidden_layers"],
        width=config["hidden_size"],
        heads=config["num_attention_heads"],
        key_value_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        mlp_width=config["intermediate_size"],
        context_length=config["max_position_embeddings"],
        tied=config["tie_word_embeddings"],
        rope_base=float(config["rope_theta"]),
    )


def _check(shape: GptShape, weights: dict[str, Tensor]) -> None:
    """Raises ValueError: a shape that these weights cannot be of, or weights that are no numbers."""
    if shape.layers > len(weights):
        raise ValueError(f"{shape.layers} layers in config.json, and {len(weights)} tensors")
    for name, weight in weights.items():
        if not bool(weight.isfinite().all()):
            raise ValueError(f"{name} has values that are no numbers")


def read(folder: Path, device: torch.device) -> Gpt:
    """The module in `folder`, in float32, ready to score. Raises DataError where the folder is not whole."""
    try:
        shape = shape_of(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        weights = load_file(str(folder / "model.safetensors"), device=str(device))
        _check(shape, weights)
        with torch.device("meta"):
            module = Gpt(shape)
        if shape.tied:
            weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
        module.load_state_dict(weights, assign=True)
    except DataError:
        raise
    except Exception as error:  # safetensors and json raise their own kinds for a damaged file
        raise DataError(
            "the model cannot be read",
            received=f"{folder}: {error}",
            attempt="the model/ folder of a finished run, whole",
        ) from None
    if shape.tied:
        module.lm_head.weight = module.model.embed_tokens.weight
    return module.eval().requires_grad_(False)


def save_ngram(folder: Path, ngram: KneserNey, *, tokenizer_file: Path) -> None:
    """As `save`, for counts: daybreak alone reads them."""

    def fill(aside: Path) -> None:
        save_arrays(ngram.tensors(), str(aside / "model.safetensors"))
        _write(
            aside / "config.json",
            {"model_type": "daybreak-ngram", "order": ngram.order, "vocab_size": ngram.vocabulary},
        )
        shutil.copyfile(tokenizer_file, aside / "tokenizer.json")

    _renamed(folder, fill)


def read_ngram(folder: Path) -> KneserNey:
    """Raises DataError where the folder is not whole."""
    try:
        return KneserNey.from_tensors(load_arrays(str(folder / "model.safetensors")))
    except Exception as error:  # safetensors raises its own kinds for a damaged file
        raise DataError(
            "the model cannot be read",
            received=f"{folder}: {error}",
            attempt="the model/ folder of a finished run, whole",
        ) from None


def _renamed(folder: Path, fill: Callable[[Path], None]) -> None:
    """`folder` anew: filled aside, synced, renamed; the old one stays till then. Raises ResourceError."""
    aside, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)  # killed between the two renames below
        shutil.rmtree(old, ignore_errors=True)
        aside.mkdir(parents=True)
        fill(aside)
        for file in aside.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        if folder.exists():
            folder.rename(old)
        aside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise ResourceError(
            "the model cannot be written",
            received=f"{folder}: {getattr(error, 'strerror', None) or error}",
            attempt="free some disk space and run the same command again; nothing that was written before is lost",
        ) from None


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
