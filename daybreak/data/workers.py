"""stub"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Failed:
    item: object
    reason: str


def ordered(work, items, *, processes, what=str):
    for item in items:
        yield work(item)
