"""Families: the record of each, by its name. Adding one is a file like the others here and its place in OURS."""

import functools
import importlib.metadata
from typing import TYPE_CHECKING

from daybreak.core.errors import UsageError, nearest
from daybreak.core.shapes import Shape
from daybreak.core.values import FAMILIES_GROUP
from daybreak.models.families import bert, foreign, gpt, lstm, ngram, t5
from daybreak.models.families.record import Family as Family
from daybreak.models.families.record import Rates as Rates

if TYPE_CHECKING:
    from daybreak.models.inference.decoder import Decoder
    from daybreak.models.module import LanguageModel

OURS = (gpt.FAMILY, bert.FAMILY, t5.FAMILY, lstm.FAMILY, ngram.FAMILY, foreign.FAMILY)
COUNTED = ngram.FAMILY.name  # what is made where there is no time for a network
_REGISTERED = {family.name: family for family in OURS}


def register(family: Family) -> None:
    """Makes a family known that is defined elsewhere; packages name theirs in the entry-point group daybreak.families.

    Raises UsageError: another family has the name.
    """
    if _REGISTERED.setdefault(family.name, family) is not family:
        raise UsageError("a family of this name is there already", received=family.name, attempt="choose another name")


def named(name: str) -> Family:
    """Raises UsageError: no such family."""
    if name not in _REGISTERED:
        _third_parties()
    if name not in _REGISTERED:
        raise UsageError("unknown family", received=name, attempt=nearest(name, listed()))
    return _REGISTERED[name]


def of(shape: Shape) -> Family:
    """The record that holds for a shape."""
    family = named(shape.family)
    return family.variant(shape) if family.variant is not None else family


def decoder_of(module: "LanguageModel") -> "Decoder":
    """The module's own forward pass, one token at a time."""
    return of(module.shape).decoder(module)


def every() -> tuple[Family, ...]:
    """All families, ours first."""
    _third_parties()
    return tuple(_REGISTERED.values())


def listed() -> tuple[str, ...]:
    """The names that can be asked for."""
    return tuple(family.name for family in every() if family.listed)


@functools.cache
def _third_parties() -> None:
    for entry in importlib.metadata.entry_points(group=FAMILIES_GROUP):
        register(entry.load())
