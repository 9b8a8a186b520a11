"""Settings: the names that --set knows, and parsing their values."""

from dataclasses import Field, fields
from typing import TypedDict, cast

from daybreak.core.errors import UsageError, nearest
from daybreak.core.request import Request
from daybreak.core.types import OPTIMIZERS, SCHEDULES, OptimizerChoice, ScheduleChoice
from daybreak.models import families


class Settings(TypedDict, total=False):
    """What --set overrides, with its type; other fields of a shape, an optimizer or a schedule stand in it too."""

    tokens: int
    epochs: float
    batch_tokens: int
    micro_batch: int
    evaluation_bytes: int
    optimizer: str
    schedule: str
    order: int
    vocabulary: int
    layers: int
    width: int
    context_length: int


def parsed(request: Request) -> Settings:
    """--set's words as numbers. Raises UsageError: an unknown name, with the nearest, or a value of another type."""
    family = families.named(request.family)
    kinds: dict[str, type] = {
        field.name: {"int": int, "float": float, "bool": bool, "str": str}.get(
            getattr(field.type, "__name__", str(field.type)), str
        )
        for field in (*_of_shape(family), *fields(OptimizerChoice), *fields(ScheduleChoice))
        if field.name != "name"
    }
    kinds |= {"optimizer": str, "schedule": str, "batch_tokens": int, "micro_batch": int, "evaluation_bytes": int}
    kinds["epochs"] = float  # most times that the text is read
    if request.reproducible:
        kinds["tokens"] = int
    if family.counted:
        kinds = {"order": int, "vocabulary": int}
    choices = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, **getattr(family.shape, "CHOICES", {})}
    found: dict[str, int | float | str] = {}
    for name, text in request.settings.items():
        if name not in kinds:
            raise UsageError("unknown setting", received=f"--set {name}={text}", attempt=nearest(name, kinds))
        try:
            found[name] = text.lower() in ("true", "yes", "1", "on") if kinds[name] is bool else kinds[name](text)
        except ValueError:
            raise UsageError(
                f"{name} takes a number of type {kinds[name].__name__}",
                received=f"--set {name}={text}",
                attempt=f"such as --set {name}=8",
            ) from None
        value = found[name]
        if isinstance(value, str) and name in choices and value not in choices[name]:
            raise UsageError(f"unknown {name}", received=f"--set {name}={text}", attempt=nearest(value, choices[name]))
        if name == "orthogonalize_steps" and value not in range(1, 6):
            raise UsageError(
                "the number of iterations is out of range", received=f"--set {name}={text}", attempt="1 to 5"
            )
        if not isinstance(value, str) and not value >= 0:
            raise UsageError("a setting is negative", received=f"--set {name}={text}", attempt="a positive number")
    return cast(Settings, found)


def _of_shape(family: families.Family) -> "list[Field[object]]":
    """The fields of the shape that can be set: of one that a checkpoint comes with, the length of its windows."""
    every = fields(family.shape)  # type: ignore[arg-type]  # every shape is a dataclass, whatever its base is
    return [field for field in every if family.rung is not None or field.name == "context_length"]
