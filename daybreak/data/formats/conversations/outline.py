"""Outline: which lists of objects the beginning of a JSON text holds, where they are, and what their objects have."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Path = tuple[str, ...]  # keys from the top; "[]" for the elements of a list
ELEMENT = "[]"
_OBJECTS = 20  # looked at in each list
_DEEPEST = 8


@dataclass
class Outline:
    """What is known of a JSON text from its beginning."""

    keys: dict[str, str] = field(default_factory=dict)  # of the object at the top, and the kind of what they hold
    objects: dict[Path, list[dict[str, object]]] = field(default_factory=dict)  # the first of each list, values plain

    def merged(self, *path: str) -> Mapping[str, object]:
        """What the first objects of a list have, all together."""
        return {key: value for one in reversed(self.objects.get(path, [])) for key, value in one.items()}


def outline(sample: bytes) -> Outline:
    """Of the sample, which may end anywhere. Values that are lists or objects are told by their kind alone."""
    import ijson

    events: list[tuple[str, object]] = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, multiple_values=True, use_float=True)
    try:
        parser.send(sample)
    except (ijson.JSONError, ValueError):
        return Outline()
    found = Outline()
    path: list[str] = []
    open_objects: list[dict[str, object] | None] = []
    key = ""
    for event, value in events:
        if event == "map_key":
            key = str(value)
            if path:
                path[-1] = key
            continue
        if event in ("end_map", "end_array"):
            path.pop()
            open_objects.pop()
            key = path[-1] if path else ""
            continue
        holder = open_objects[-1] if open_objects else None
        kind = event.removeprefix("start_") if event.startswith("start_") else ""
        if holder is not None and path and path[-1] != ELEMENT:
            holder.setdefault(path[-1], {} if kind == "map" else [] if kind == "array" else value)
            if len(path) == 1:
                found.keys.setdefault(path[0], kind or event)
        if not kind:
            continue
        listed = found.objects.setdefault(tuple(path), []) if kind == "map" and len(path) <= _DEEPEST else None
        made: dict[str, object] | None = {} if kind == "map" else None
        if listed is not None and len(listed) < _OBJECTS and made is not None:
            listed.append(made)
        path.append(ELEMENT if kind == "array" else "")
        open_objects.append(made)
    return found
