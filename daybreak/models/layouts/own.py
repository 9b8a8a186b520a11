"""config.json of what no class of transformers holds: the shape as it is, under a name that transformers refuses."""

import dataclasses
from collections.abc import Mapping

from daybreak.core.errors import DataError
from daybreak.core.shapes import NetworkShape, Shape
from daybreak.core.values import Json
from daybreak.models.families.record import Family

PREFIX = "daybreak-"


def class_of(family: str) -> str:
    return f"Daybreak{family.capitalize()}"


def config_of(shape: NetworkShape, end_of_text: int) -> Json:
    own = {"architectures": [class_of(shape.family)], "model_type": PREFIX + shape.family}
    ends = {"bos_token_id": end_of_text, "eos_token_id": end_of_text}
    fields = {field.name: getattr(shape, field.name) for field in dataclasses.fields(shape)}  # type: ignore[arg-type]
    return {**own, **fields, **ends, "torch_dtype": "float32"}


def shape_of(config: Json, families: Mapping[str, Family]) -> Shape:
    """families: by name. Raises DataError: another family. UsageError: a field that is missing or of another type."""
    family = str(config.get("model_type", "")).removeprefix(PREFIX)
    if family not in families:
        raise DataError(
            "this kind of model is not supported",
            received=f"model_type {config.get('model_type')!r}",
            attempt=f"one of {', '.join(PREFIX + name for name in families)}",
        )
    names = families[family].fields()
    return families[family].shape.from_json({k: v for k, v in config.items() if k in names}, "config.json")
