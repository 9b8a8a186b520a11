"""Values: frozen dataclasses with JSON both ways, where an unknown field is an error that names the nearest."""

import dataclasses
import hashlib
import importlib.metadata
import json
import types
import typing
from collections import Counter
from typing import Any, ClassVar, Self

from daybreak.core.errors import UsageError, nearest

Json = dict[str, Any]  # an object of a JSON file: as it was read, or as it will be written

SCHEMA = 2
FAMILIES_GROUP = "daybreak.families"  # the entry-point group of families in other packages


class Value:
    """JSON both ways for the frozen values below. Unknown or missing fields are errors with the nearest name."""

    def to_json(self) -> Json:
        return {"schema": SCHEMA, **plain(self)}

    @classmethod
    def from_json(cls, data: Json, where: str = "") -> Self:
        """Raises UsageError: an unknown, missing or wrongly typed field, or a newer schema."""
        if not isinstance(data, dict):
            raise _wrong("an object was expected", where or cls.__name__, data, "{...}")
        data = dict(data)
        schema = data.pop("schema", SCHEMA)
        if schema != SCHEMA:
            raise UsageError(
                "the file was written by another version of daybreak",
                received=f"schema {schema} in {where or cls.__name__}",
                attempt=f"use the version that wrote it (this one reads schema {SCHEMA}), or make a new run",
            )
        return _built(cls, data, where or cls.__name__.lower())

    def replace(self, **changes: object) -> Self:
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]


class Tagged(Value):
    """A value of one of several kinds, told apart by `family`. A kind is known as soon as its class is defined."""

    family: ClassVar[str]
    KINDS: ClassVar[dict[str, type["Tagged"]]] = {}

    def __init_subclass__(cls, **how: object) -> None:
        super().__init_subclass__(**how)
        if "family" in vars(cls):
            Tagged.KINDS[cls.family] = cls


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def plain(value: object) -> Any:
    """The value as JSON has it: dataclasses are objects, tuples are lists."""
    if dataclasses.is_dataclass(value):
        family = getattr(type(value), "family", None)
        fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"family": family, **fields} if family else fields
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def _wrong(what: str, where: str, received: object, attempt: str) -> UsageError:
    return UsageError(f"{what} in {where}", received=str(received), attempt=attempt)


def _built(kind: Any, data: object, where: str) -> Any:
    """The value of type `kind` that `data` (from JSON) describes."""
    if kind is Any:
        return data
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType and types.NoneType in arguments:
        return None if data is None else _built(next(a for a in arguments if a is not types.NoneType), data, where)
    if origin is tuple:
        if not isinstance(data, list):
            raise _wrong("a list was expected", where, data, "[...]")
        return tuple(_built(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if origin in (dict, Counter):
        if not isinstance(data, dict):
            raise _wrong("an object was expected", where, data, "{...}")
        of = arguments[1] if origin is dict else int
        return origin({key: _built(of, item, f"{where}.{key}") for key, item in data.items()})
    if isinstance(kind, type) and issubclass(kind, Tagged) and "family" not in vars(kind):
        return _built_tagged(kind, data, where)
    if dataclasses.is_dataclass(kind):
        return _built_dataclass(kind, data, where)
    if kind is float and isinstance(data, int | float) and type(data) is not bool:
        return float(data)
    if type(data) is not kind:
        raise _wrong(f"a value that is not of type {kind.__name__}", where, repr(data), f"a {kind.__name__}")
    return data


def _built_tagged(kind: type[Tagged], data: object, where: str) -> Tagged:
    if not isinstance(data, dict):
        raise _wrong("a model shape was expected", where, data, "the model shape as `daybreak plan --out` writes it")
    family = data.get("family", "")
    if family not in Tagged.KINDS:  # a family of another package, whose file has not been imported yet
        for entry in importlib.metadata.entry_points(group=FAMILIES_GROUP):
            entry.load()
    known = {name: member for name, member in Tagged.KINDS.items() if issubclass(member, kind)}
    if family not in known:
        raise _wrong("unknown family", where, family, nearest(str(family), known))
    return _built(known[family], {name: item for name, item in data.items() if name != "family"}, where)


def _built_dataclass(kind: Any, data: object, where: str) -> Any:
    if not isinstance(data, dict):
        raise _wrong("an object was expected", where, data, "{...}")
    family = getattr(kind, "family", None)
    if family and data.get("family") == family:
        data = {name: item for name, item in data.items() if name != "family"}
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name in data:
        if name not in fields:
            raise _wrong(f"an unknown field {name!r}", where, name, nearest(name, fields))
    optional = {
        name
        for name, f in fields.items()
        if f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
    }
    for name in fields.keys() - data.keys() - optional:
        raise _wrong(f"the field {name!r} is missing", where, sorted(data), f"add {name!r}")
    return kind(**{name: _built(hints[name], item, f"{where}.{name}") for name, item in data.items()})
