"""Configs: config.json of the class that holds a shape, and the shape of a config.json."""

import importlib
from typing import Any, cast

from daybreak.core.errors import DataError
from daybreak.core.shapes import BertShape, GptShape, Network, T5Shape
from daybreak.core.types import Specials
from daybreak.models.layouts import CLASSES, own, qwen3

LAYOUTS = ("qwen3", "modernbert", "t5")  # a module of daybreak.models.layouts each


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


def is_foreign(config: dict[str, Any]) -> bool:
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
