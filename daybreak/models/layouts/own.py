"""config.json of what no class of transformers holds: the shape as it is, under a name that transformers refuses."""

import dataclasses
from typing import Any

from daybreak.core.errors import DataError
from daybreak.core.shapes import GptShape, LstmShape

PREFIX = "daybreak-"
SHAPES: dict[str, type[GptShape] | type[LstmShape]] = {"gpt": GptShape, "lstm": LstmShape}


def config_of(shape: GptShape | LstmShape, end_of_text: int) -> dict[str, Any]:
    own = {"architectures": [f"Daybreak{shape.family.capitalize()}"], "model_type": PREFIX + shape.family}
    ends = {"bos_token_id": end_of_text, "eos_token_id": end_of_text}
    return {**own, **dataclasses.asdict(shape), **ends, "torch_dtype": "float32"}


def shape_of(config: dict[str, Any]) -> GptShape | LstmShape:
    """Raises DataError: another family. Raises UsageError: a field that is missing or of another type."""
    family = str(config.get("model_type", "")).removeprefix(PREFIX)
    if family not in SHAPES:
        raise DataError(
            "this kind of model is not known here",
            received=f"model_type {config.get('model_type')!r}",
            attempt=f"one of {', '.join(PREFIX + name for name in SHAPES)}",
        )
    names = {field.name for field in dataclasses.fields(SHAPES[family])}
    return SHAPES[family].from_json({k: v for k, v in config.items() if k in names}, "config.json")
