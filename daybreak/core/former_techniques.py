"""Techniques of earlier versions, and what does the same today: in a command, in request.json and in plan.json."""

from collections.abc import Mapping
from typing import Any

# A field of the model's shape, and the value that the technique gave it.
FIELDS = {
    "logit_cap": ("logit_cap", "15"),
    "value_embeddings": ("value_embeddings", "true"),
    "x0_skips": ("skips", "true"),
    "squared_relu": ("activation", "squared_relu"),
}
NAMES = (*FIELDS,)


def instead(name: str) -> str | None:
    """What to type in the place of a technique that is gone; None: it is not one of them."""
    if name not in FIELDS:
        return None
    field, value = FIELDS[name]
    return f"--set {field}={value} --no-native"


def request_of_today(data: Any) -> Any:
    """The JSON object of a request, with settings in the place of techniques that are gone; others as they are."""
    include = data.get("include") if isinstance(data, Mapping) else None
    if not isinstance(include, list) or not any(name in NAMES for name in include):
        return data
    settings = dict(data.get("settings") or {})
    for name in include:
        if name in FIELDS:
            field, value = FIELDS[name]
            settings.setdefault(field, value)  # what was set by name stood
    return {**data, "include": [name for name in include if name not in FIELDS], "settings": settings}


def plan_of_today(data: Any) -> Any:
    """The JSON object of a plan, with what does the same in the place of techniques that are gone.

    A field of the shape does the whole of what a technique on the shape did. Where the plan's shape does not have it,
    the name stays, and is refused where the plan is carried out.
    """
    chosen, shape = (data.get("techniques"), data.get("shape")) if isinstance(data, Mapping) else (None, None)
    if not isinstance(chosen, list) or not isinstance(shape, Mapping):
        return data
    kept = [choice for choice in chosen if not (isinstance(choice, Mapping) and _in_shape(choice.get("name"), shape))]
    return {**data, "techniques": kept, "request": request_of_today(data.get("request"))}


def _in_shape(name: Any, shape: Mapping[str, Any]) -> bool:
    """Whether the shape has what a technique made of it: the value that it gave, or one that was set in its place."""
    if name not in FIELDS:
        return False
    return shape.get(FIELDS[name][0]) not in (None, 0, False, "swiglu")
