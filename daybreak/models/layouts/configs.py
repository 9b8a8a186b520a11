"""Configs: config.json of the class that holds a shape, and the shape of a config.json."""

import importlib
from types import ModuleType
from typing import cast

from daybreak.core.errors import DataError
from daybreak.core.shapes import NetworkShape
from daybreak.core.types import Specials
from daybreak.core.values import Json
from daybreak.models import families
from daybreak.models.layouts import CLASSES, own


def config_of(shape: NetworkShape, end_of_text: int, specials: Specials | None = None) -> Json:
    """config.json of the class of transformers that holds the shape, or of our own with its fields as they are."""
    layout = families.of(shape).layout
    if not (layout and shape.native()):
        return own.config_of(shape, end_of_text)
    return cast(Json, _layout(layout).config_of(shape, end_of_text, specials))


def _layout(name: str) -> ModuleType:
    return importlib.import_module(f"daybreak.models.layouts.{name}")


def layouts() -> tuple[str, ...]:
    """The modules of models/layouts for classes that our own modules compute, each of the class' model_type."""
    return tuple(family.layout for family in families.every() if family.layout)


def classes_of(kind: str) -> tuple[str, ...]:
    """The classes that a folder may name by its model_type; none: it is not known here."""
    if kind.startswith(own.PREFIX):
        return tuple(own.class_of(family.name) for family in _ours() if kind == own.PREFIX + family.name)
    return CLASSES.get(kind, ())


def _ours() -> tuple[families.Family, ...]:
    """Families whose shapes, or some of them, no class of transformers holds."""
    return tuple(family for family in families.every() if family.ours_too)


def shape_of(config: Json) -> NetworkShape:
    """Raises DataError: another kind of model."""
    kind = str(config.get("model_type"))
    if kind.startswith(own.PREFIX):
        return cast(NetworkShape, own.shape_of(config, {family.name: family for family in _ours()}))
    if kind not in (known := layouts()):
        raise DataError(
            "this kind of model is not supported",
            received=f"model_type {config.get('model_type')!r}",
            attempt=f"use a model/ folder written by daybreak (model_type {', '.join(known)} or {own.PREFIX}...)",
        )
    return cast(NetworkShape, _layout(kind).shape_of(config))


def is_foreign(config: Json) -> bool:
    """Whether no module here computes the class, and transformers' own does."""
    kind = str(config.get("model_type"))
    if kind.startswith(own.PREFIX) or kind not in CLASSES:
        return False
    if kind not in layouts():
        return True
    try:
        shape_of(config)
    except DataError:
        return True
    return False
