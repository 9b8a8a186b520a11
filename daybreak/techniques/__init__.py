"""Techniques: how a run is made faster, smaller or better. One file each, folded in at the seams it names.

The seams, in order: documents batches module loss optimizer schedule step weights decode. A technique has a method
named after each seam that it changes; the method takes the thing and the run's `Context` and gives back the same kind
of thing and the number of places it touched. On the seam `documents` the thing is the `Cleaning` of the text, and the
context a `TextContext`. What a model is (its shape) is no technique but a setting of the plan.
"""

import dataclasses
import functools
import importlib
import importlib.metadata
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

import numpy as np

from daybreak.core import former_techniques
from daybreak.core.errors import UsageError, nearest
from daybreak.core.records import Touched
from daybreak.core.run import Run
from daybreak.core.types import Decisions, Machine, Request, TechniqueChoice
from daybreak.core.values import Json
from daybreak.data.cleaning import STEPS
from daybreak.engine.changes import Changes
from daybreak.models import families

if TYPE_CHECKING:  # text is read without torch
    from torch import Tensor, nn

SEAMS = ("documents", "batches", "module", "loss", "optimizer", "schedule", "step", "weights", "decode")
MAY_TOUCH_NOTHING = ("documents", "batches", "optimizer", "weights")  # what there is to change depends on more

# Within a seam: structure, then precision, then parallel, then compile.
ORDER = (
    *STEPS,
    "batch_ramp",
    "short_first",
    "packing",
    "dropout",
    "augmentation",
    "fill_in_the_middle",
    "checkpointing",
    "word_vectors",
    "fused_loss",
    "early_stopping",
    "ema",
    "averaging",
    "ngram_teacher",
    "ngram_mix",
    "history_mix",
    "prefetch",
    "bf16",
    "fp16",
    "fp8",
    "kernels",
    "thread_parallel",
    "compiled",
    "cuda_graphs",
)
NETWORKS: tuple[str, ...] = ("any network",)  # in the place of names: all that is trained by steps


Left = TypeVar("Left")
Thing = TypeVar("Thing")
Candidates: TypeAlias = "dict[str, dict[str, Tensor]]"  # weights that a run may end with, by name


class NothingChanged(RuntimeError):
    """A technique that said that it applies found nothing to change."""


class BestMark(Protocol):
    """The best of the held-out losses so far, and the weights that had it."""

    least: float  # the loss
    progress: float

    def put_back(self, module: "nn.Module") -> None: ...

    def load(self, best: "dict[str, Tensor]", facts: Json) -> None: ...


@dataclass(frozen=True)
class Slot(Generic[Left]):
    """A name for what one seam of a technique leaves for a later one, with its type: Slot[Threads]("threads")."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a technique may look at while it is folded in, and what its seams leave for later ones."""

    plan: Decisions  # of the run, or of a step that a probe times
    machine: Machine
    run: Run | None = None  # its folder; none while a probe times steps
    marks: BestMark | None = None  # of the run; none where nothing is scored on the way
    changes: Changes = dataclasses.field(default_factory=Changes)  # told of exchanged weights and the like
    scored: tuple[np.ndarray, np.ndarray] | None = None  # held-out tokens [n] and the network's nats [n], at the end
    _left: dict[Slot[Any], Any] = dataclasses.field(default_factory=dict)

    def leave(self, slot: Slot[Left], value: Left) -> Left:
        """Leaves a value for a later seam, and gives it back."""
        self._left[slot] = value
        return value

    def left(self, slot: Slot[Left]) -> Left | None:
        """What an earlier seam has left; None where that was not called, as while a probe times steps."""
        return self._left.get(slot)

    def take(self, slot: Slot[Left]) -> Left:
        """What an earlier seam has left. Raises KeyError: nothing."""
        return self._left[slot]  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class TextContext:
    """What a technique on the seam `documents` may look at: the text comes before the plan."""

    request: Request
    evaluation_texts: Sequence[str] = ()  # that the run is scored on, where they were given


def asked_by_name(name: str, run: Context | TextContext) -> bool:
    """Whether the user has asked for a technique that may be on by default, too."""
    request = run.request if isinstance(run, TextContext) else getattr(run.plan, "request", None)
    return request is not None and name in request.include


@dataclass(frozen=True, kw_only=True)
class Technique:
    """What all techniques share: the number that should move, and when they do not apply.

    docs/techniques.md is written from these classes by benchmarks/techniques.py: the sources from the class docstring,
    the meaning of a setting from the comment beside its field.
    """

    claim: ClassVar[str]
    does: ClassVar[str] = ""  # in words, for a table
    refuses_when: ClassVar[str] = ""  # likewise, continuing "it refuses"
    default: ClassVar[bool] = True  # part of the plan unless it refuses
    standing: ClassVar[str] = ""  # what was measured beside kept verdicts; or why it is on, or off and kept, without
    only_begins: ClassVar[bool] = False  # changes what a module begins with, from the text, and not what a step takes
    inside_layers: ClassVar[bool] = False  # changes what a layer computes, for which the kernels have no place
    families: ClassVar[tuple[str, ...]] = ("gpt",)  # whose modules and objectives have what it changes

    def unusable(self, machine: Machine) -> str | None:
        """A reason in words why this machine never gains by it, or None."""
        return None

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        """A reason in words why this plan does not gain by it, or None."""
        return self.unusable(machine)


class Reached:
    """A follower that knows the progress of the last step: checkpoints and logs have it, so a resumed run has."""

    def __init__(self, name: str) -> None:
        self.name, self.progress = name, 0.0

    def __call__(self, module: "nn.Module", progress: float) -> None:
        self.progress = progress

    def state(self) -> "tuple[dict[str, Tensor], float]":
        return {}, self.progress

    def load(self, tensors: "dict[str, Tensor]", progress: float) -> None:
        self.progress = progress


def names() -> tuple[str, ...]:
    """Ours in their order, then those of third parties."""
    return (*ORDER, *sorted(set(_third_parties()) - set(ORDER)))


def unfit(name: str, plan: Decisions) -> str | None:
    """Why the plan's family has no place for a technique, or None. Raises UsageError: an unknown name."""
    made_for = " and ".join(class_of(name).families)
    return None if suits(name, families.of(plan.shape)) else f"it applies to {made_for} only"


def suits(name: str, family: families.Family) -> bool:
    """Whether the family's modules and objectives have what a technique changes. Raises UsageError: an unknown name."""
    made_for = class_of(name).families
    return (made_for == NETWORKS and not family.counted) or family.name in made_for or name in family.techniques


def class_of(name: str) -> type[Technique]:
    """The technique's class. Raises UsageError: no such technique."""
    if name in ORDER:
        module = importlib.import_module(f"daybreak.techniques.{name}")
        title = "".join(part.capitalize() for part in name.split("_"))
        return getattr(module, title)
    if name in _third_parties():
        return _third_parties()[name].load()
    raise unknown(name)


def unknown(name: str, option: str = "") -> UsageError:
    """The error for a name that is no technique's, which says what to use instead. option: that named it."""
    received = f"{option} {name}".strip()
    if instead := former_techniques.instead(name):
        return UsageError("the technique no longer exists", received=received, attempt=instead)
    return UsageError("unknown technique", received=received, attempt=nearest(name, names()))


def make(choice: TechniqueChoice) -> Technique:
    """Raises UsageError: no such technique, or a setting that it does not have."""
    kind = class_of(choice.name)
    known = {field.name for field in dataclasses.fields(kind)}
    for setting in choice.settings:
        if setting not in known:
            raise UsageError(
                f"the technique {choice.name} has no such setting", received=setting, attempt=nearest(setting, known)
            )
    return kind(**choice.settings)


def chosen(name: str, request: Request) -> TechniqueChoice:
    """With the settings that were asked for. Raises UsageError: a setting that it does not have, or a wrong value."""
    kinds = typing.get_type_hints(class_of(name))
    settings: Json = {}
    for setting, text in request.technique_settings.get(name, {}).items():
        kind = kinds.get(setting, str)
        try:
            settings[setting] = text.lower() in ("true", "yes", "1", "on") if kind is bool else kind(text)
        except (TypeError, ValueError):
            raise UsageError(
                f"{setting} takes a value of type {getattr(kind, '__name__', kind)}",
                received=f"--with {name}:{setting}={text}",
                attempt="use a value of that type, or leave the setting out",
            ) from None
    choice = TechniqueChoice(name=name, settings=settings)
    make(choice)
    return choice


def on_documents(request: Request) -> list[TechniqueChoice]:
    """The techniques on the seam `documents` that are on by default or asked for, in order. Raises UsageError."""
    on = []
    for name in (*STEPS, *sorted(_third_parties())):
        kind = class_of(name)
        if hasattr(kind, "documents") and (name in request.include or kind.default) and name not in request.exclude:
            on.append(chosen(name, request))
    return on


def fold(
    techniques: Sequence[tuple[str, Technique]], seam: str, thing: Thing, run: object
) -> tuple[Thing, list[Touched]]:
    """The thing after every technique that changes this seam, in order, and what each one touched.

    Raises NothingChanged where one touched nothing: a technique that silently does nothing is a defect.
    """
    assert seam in SEAMS, seam
    touched = []
    for name, technique in techniques:
        change = getattr(technique, seam, None)
        if change is None:
            continue
        thing, places = change(thing, run)
        if places == 0 and seam not in MAY_TOUCH_NOTHING:
            raise NothingChanged(f"the technique {name} changed nothing in {seam}, although it said that it applies")
        touched.append(Touched(technique=name, seam=seam, places=places))
    return thing, touched


def passes(plan: Decisions) -> float:
    """How often the run is expected to see the text."""
    return plan.tokens / max(1, plan.predicted.corpus_tokens)


@functools.cache
def _third_parties() -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group="daybreak.techniques")}
