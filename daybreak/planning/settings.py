"""Settings: what --set knows, and its words as numbers."""

from dataclasses import Field, fields
from typing import Any

from daybreak.core.errors import UsageError, nearest
from daybreak.core.request import Request
from daybreak.core.types import OPTIMIZERS, SCHEDULES, OptimizerChoice, ScheduleChoice
from daybreak.models import families


def parsed(request: Request) -> dict[str, Any]:
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
    found: dict[str, Any] = {}
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
        if name in choices and found[name] not in choices[name]:
            raise UsageError(
                f"unknown {name}", received=f"--set {name}={text}", attempt=nearest(found[name], choices[name])
            )
        if name == "orthogonalize_steps" and not 1 <= found[name] <= 5:
            raise UsageError(
                "the number of iterations is out of range", received=f"--set {name}={text}", attempt="1 to 5"
            )
        if kinds[name] in (int, float) and not found[name] >= 0:
            raise UsageError("a setting is negative", received=f"--set {name}={text}", attempt="a positive number")
    return found


def _of_shape(family: families.Family) -> list[Field[Any]]:
    """The fields of the shape that can be set: of one that a checkpoint comes with, the length of its windows."""
    of_shape: Any = family.shape
    return [field for field in fields(of_shape) if family.rung is not None or field.name == "context_length"]
