"""Read: the module in a model/ folder, from that folder alone."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from daybreak.core.errors import DataError
from daybreak.core.shapes import NetworkShape
from daybreak.models import families
from daybreak.models.layouts.configs import is_foreign, shape_of
from daybreak.models.module import LanguageModel


def _check(shape: NetworkShape, weights: dict[str, Tensor]) -> None:
    """Raises ValueError: a shape that these weights cannot be of, or weights that are no numbers."""
    if shape.layers > len(weights):
        raise ValueError(f"{shape.layers} layers in config.json, but {len(weights)} tensors")
    for name, weight in weights.items():
        if not bool(weight.isfinite().all()):
            raise ValueError(f"{name} contains values that are not numbers")


def read_model(folder: Path, device: torch.device) -> LanguageModel:
    """The module in `folder`, in float32, ready to score. Raises DataError where the folder is not whole."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if is_foreign(config):
            return read_foreign(folder, device).eval().requires_grad_(False)
        shape = shape_of(config)
        weights = load_file(str(folder / "model.safetensors"), device=str(device))
        _check(shape, weights)
        family = families.of(shape)
        with torch.device("meta"):
            module = family.module(shape)
        if shape.tied:
            weights[family.head] = weights[family.embedding]
        module.load_state_dict(weights, assign=True)
    except DataError:
        raise
    except Exception as error:  # safetensors and json raise their own kinds for a damaged file
        raise DataError(
            "the model cannot be read",
            received=f"{folder}: {error}",
            attempt="use the complete model/ folder of a finished run",
        ) from None
    if shape.tied:
        module.lm_head.weight = module.get_parameter(family.embedding)
    return module.eval().requires_grad_(False)


def read_foreign(folder: Path, device: torch.device) -> LanguageModel:
    """The module in a folder that source.py reads, ready to score. Raises as `peek`, its weights and the class do."""
    from daybreak.models.checkpoints.source import peek

    found = peek(folder)
    loaded = families.of(found.shape).loaded
    if loaded is None:
        raise DataError(
            "daybreak has its own module for this model",
            received=str(folder),
            attempt="read it with that module",
        )
    return loaded(found.shape, found.weights()).to(device).eval().requires_grad_(False)
