"""`model/`: the folder that daybreak and transformers both open, written by hand and read back from it alone."""

import functools
import importlib
import json
import re
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from daybreak.core.errors import DataError
from daybreak.core.run import usual_mode
from daybreak.core.shapes import BertShape, ForeignShape, GptShape, Network, T5Shape
from daybreak.core.types import Specials
from daybreak.models import foreign_files, tokenizer_files
from daybreak.models.families import module_of
from daybreak.models.layouts import CLASSES, own, qwen3
from daybreak.models.replaced import replaced, write_config

LAYOUTS = ("qwen3", "modernbert", "t5")  # a module of daybreak.models.layouts each
# Where a family keeps the table that tokens are looked up in, and the one that they are predicted with.
TABLES = {
    "gpt": "model.embed_tokens.weight",
    "bert": "model.embeddings.tok_embeddings.weight",
    "t5": "shared.weight",
    "lstm": "embed_tokens.weight",
}
HEADS = {"gpt": "lm_head.weight", "bert": "decoder.weight", "t5": "lm_head.weight", "lstm": "lm_head.weight"}


def save(
    folder: Path,
    shape: Network,
    weights: dict[str, Tensor],
    *,
    tokenizer_file: Path,
    end_of_text: int,
    token: str,
    specials: Specials | None = None,
    kept: Path | None = None,
) -> None:
    """Writes `folder` anew, aside and then renamed, so that there is a whole model at every moment.

    A shape that leaves the stock class is written as a class of our own, which daybreak alone reads.

    weights: by transformers' names, float32. token: how the end of a text is spelled. kept: small files of the
    checkpoint that training began with, which stay as they were. Raises ResourceError: the disk is full or not
    writable.
    """
    if isinstance(shape, ForeignShape):
        assert kept is not None
        replaced(folder, functools.partial(foreign_files.fill, shape=shape, weights=weights, kept=kept))
        return
    if isinstance(shape, GptShape) and shape.native():
        shape, weights = _written_out(shape, weights)
    held = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
    if shape.tied:
        held.pop(HEADS[shape.family], None)

    def fill(aside: Path) -> None:
        save_file(held, str(aside / "model.safetensors"), metadata={"format": "pt"})
        write_config(aside / "config.json", config_of(shape, end_of_text, specials))
        usual_mode(aside / "model.safetensors")
        if shape.family != "bert":
            write_config(aside / "generation_config.json", _generation(shape, end_of_text, specials))
        special = {"end_of_text": end_of_text, "token": token, "specials": specials}
        tokenizer_files.copied(tokenizer_file, aside, shape.family, **special)
        told = tokenizer_files.config_of(shape.family, token=token, specials=specials, longest=shape.context_length)
        write_config(aside / "tokenizer_config.json", told)
        if kept is not None:
            foreign_files.keep(kept, aside)
            write_config(aside / "config.json", _as_long(config_of(shape, end_of_text, specials), kept))

    replaced(folder, fill)


def _as_long(config: dict[str, Any], kept: Path) -> dict[str, Any]:
    """Training in short windows takes nothing from how long a text the checkpoint can read."""
    name = "max_position_embeddings"
    longest = json.loads((kept / "config.json").read_text(encoding="utf-8")).get(name, 0)
    return {**config, name: max(config[name], longest)} if name in config else config


def _generation(shape: Network, end_of_text: int, specials: Specials | None) -> dict[str, Any]:
    ids = {"eos_token_id": end_of_text, "pad_token_id": specials.pad if specials else end_of_text}
    if isinstance(shape, T5Shape):
        return {**ids, "decoder_start_token_id": ids["pad_token_id"]}
    return {"bos_token_id": end_of_text, **ids}


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


def config_of(shape: Network, end_of_text: int, specials: Specials | None = None) -> dict[str, Any]:
    """config.json of the class of transformers that holds the shape, or of our own with its fields as they are."""
    match shape:
        case BertShape():
            from daybreak.models.layouts import modernbert

            assert specials is not None
            return modernbert.config_of(shape, specials, end_of_text)
        case T5Shape():
            from daybreak.models.layouts import t5

            assert specials is not None
            return t5.config_of(shape, specials, end_of_text)
        case _:
            return (qwen3 if isinstance(shape, GptShape) and shape.native() else own).config_of(shape, end_of_text)


def shape_of(config: dict[str, Any]) -> Network:
    """Raises DataError: another kind of model."""
    kind = str(config.get("model_type"))
    if kind.startswith(own.PREFIX):
        return own.shape_of(config)
    if kind not in LAYOUTS:
        raise DataError(
            "this kind of model is not known here",
            received=f"model_type {config.get('model_type')!r}",
            attempt=f"a model/ folder that daybreak wrote (model_type {', '.join(LAYOUTS)} or {own.PREFIX}...)",
        )
    layout = importlib.import_module(f"daybreak.models.layouts.{kind}")
    return cast(Network, layout.shape_of(config))


def _is_foreign(config: dict[str, Any]) -> bool:
    """Whether no module here computes the class, and transformers' own does."""
    kind = str(config.get("model_type"))
    if kind.startswith(own.PREFIX) or kind not in CLASSES:
        return False
    if kind not in LAYOUTS:
        return True
    try:
        shape_of(config)
    except DataError:
        return True
    return False


def _check(shape: Network, weights: dict[str, Tensor]) -> None:
    """Raises ValueError: a shape that these weights cannot be of, or weights that are no numbers."""
    if shape.layers > len(weights):
        raise ValueError(f"{shape.layers} layers in config.json, and {len(weights)} tensors")
    for name, weight in weights.items():
        if not bool(weight.isfinite().all()):
            raise ValueError(f"{name} has values that are no numbers")


def read(folder: Path, device: torch.device) -> Any:
    """The module in `folder`, in float32, ready to score. Raises DataError where the folder is not whole."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if _is_foreign(config):
            from daybreak.models import huggingface

            return huggingface.read(folder, device).eval().requires_grad_(False)
        shape = shape_of(config)
        weights = load_file(str(folder / "model.safetensors"), device=str(device))
        _check(shape, weights)
        with torch.device("meta"):
            module = module_of(shape)
        if shape.tied:
            weights[HEADS[shape.family]] = weights[TABLES[shape.family]]
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
        module.lm_head.weight = module.get_parameter(TABLES[shape.family])
    return module.eval().requires_grad_(False)
