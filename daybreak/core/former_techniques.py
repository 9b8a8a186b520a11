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
# A technique that is left, with the settings by which it does exactly the same.
RENAMED = {
    "token_noise": ("augmentation", {"kind": "noise"}),
    "span_masking": ("augmentation", {"kind": "masking"}),
}
DROPPED = {  # what comes nearest; nothing does the same
    "token_swap": "--with augmentation:kind=swap",
    "token_deletion": "--with augmentation",
}


def instead(name: str) -> str | None:
    """What to type in the place of a technique that is gone; None: it is not one of them."""
    if name in FIELDS:
        field, value = FIELDS[name]
        return f"use --set {field}={value} --no-native, which does the same"
    if name in RENAMED:
        other, settings = RENAMED[name]
        told = ",".join(f"{setting}={value}" for setting, value in settings.items())
        return f"use --with {other}:{told}, which does the same"
    return f"use {DROPPED[name]}, which serves the same purpose" if name in DROPPED else None


def request_of_today(data: Any) -> Any:
    """The JSON object of a request, with what does the same in the place of techniques that are gone."""
    include = data.get("include") if isinstance(data, Mapping) else None
    if not isinstance(include, list) or not any(name in FIELDS or name in RENAMED for name in include):
        return data
    settings, own = dict(data.get("settings") or {}), dict(data.get("technique_settings") or {})
    kept = []
    for name in include:
        if name in FIELDS:
            field, value = FIELDS[name]
            settings.setdefault(field, value)  # what was set by name stood
        elif name in RENAMED:
            other, meant = RENAMED[name]
            kept.append(other)
            own[other] = {**meant, **own.pop(name, {})}
        else:
            kept.append(name)
    return {**data, "include": kept, "settings": settings, "technique_settings": own}


def plan_of_today(data: Any) -> Any:
    """The JSON object of a plan, with what does the same in the place of techniques that are gone.

    A field of the shape does the whole of what a technique on the shape did. Where the plan's shape does not have it,
    the name stays, as those do that nothing does the same as: they are refused where the plan is carried out.
    """
    chosen, shape = (data.get("techniques"), data.get("shape")) if isinstance(data, Mapping) else (None, None)
    if not isinstance(chosen, list) or not isinstance(shape, Mapping):
        return data
    kept = [
        _renamed(choice) if isinstance(choice, Mapping) else choice
        for choice in chosen
        if not (isinstance(choice, Mapping) and _in_shape(choice.get("name"), shape))
    ]
    return {**data, "techniques": kept, "request": request_of_today(data.get("request"))}


def _renamed(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    if (name := choice.get("name")) not in RENAMED:
        return choice
    other, meant = RENAMED[name]
    return {**choice, "name": other, "settings": {**meant, **(choice.get("settings") or {})}}


def _in_shape(name: Any, shape: Mapping[str, Any]) -> bool:
    """Whether the shape has what a technique made of it: the value that it gave, or one that was set in its place."""
    if name not in FIELDS:
        return False
    return shape.get(FIELDS[name][0]) not in (None, 0, False, "swiglu")
