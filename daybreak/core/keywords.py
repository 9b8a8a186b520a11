"""Keywords of the Python functions: a misspelt one is an error with the nearest, and older names go on working."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from daybreak.core.errors import UnknownKeyword, UsageError, nearest

P = ParamSpec("P")
T = TypeVar("T")


def checked(formerly: Mapping[str, str] | None = None) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A function that takes its own keywords and older names of them.

    formerly: the keyword by its older name. Calling the function raises UnknownKeyword (a UsageError and a TypeError)
    for a keyword that it does not have, and UsageError for one that is given by both names.
    """
    older = dict(formerly or {})

    def checking(function: Callable[P, T]) -> Callable[P, T]:
        kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        known = {p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds} - {"self"}

        @functools.wraps(function)
        def called(*positional: P.args, **given: P.kwargs) -> T:
            named: dict[str, object] = {}
            for name, value in given.items():
                now = older.get(name, name)
                if now not in known:
                    raise UnknownKeyword(
                        f"{function.__name__}() has no keyword {name!r}",
                        received=f"{name}={value!r}",
                        attempt=nearest(name, known),
                    )
                if now in named or (now != name and now in given):
                    raise UsageError(
                        f"{now!r} is given twice",
                        received=f"{name} and {now}",
                        attempt=f"use {now} alone: both names mean the same",
                    )
                named[now] = value
            return function(*positional, **named)  # type: ignore[arg-type]

        return called

    return checking
