"""Exports: a trained model in the formats of other programs, one file each, and what all of them agree on."""

import contextlib
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from daybreak.core.errors import MissingPackage, UsageError, nearest
from daybreak.core.shapes import NetworkShape
from daybreak.core.types import Specials
from daybreak.core.values import Json
from daybreak.models import families
from daybreak.models.inference.decoder import State
from daybreak.models.module import LanguageModel

# The extra of pyproject.toml that each one needs; torch-export needs torch alone.
EXTRAS = {"hf": "hf", "gguf": "gguf", "onnx": "onnx", "executorch": "executorch", "torch-export": ""}


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is exported: a `model/` folder, read.

    module: on the CPU, in float32, ready to score; called as the signature in its family's record says, it gives logits
    [B, T, rows].
    """

    folder: Path
    module: LanguageModel
    tokenizer: Json  # tokenizer.json
    known: int  # tokens that the tokenizer and the family have; rows of the table from here on stand for nothing
    end_of_text: int
    token: str  # how the end of a text is spelled
    specials: Specials | None = None

    @property
    def shape(self) -> NetworkShape:
        return self.module.shape

    @property
    def family(self) -> families.Family:
        return families.of(self.shape)

    def own(self) -> bool:
        """Whether it is a module of our own with caches of keys and values."""
        return self.family.past

    def wrapped(self, tokens: Sequence[int]) -> list[int]:
        """A text as it is put in, the ends of texts around it as in training."""
        parts = {"end": [self.end_of_text], "A": list(tokens)}
        return [token for name in self.family.around for token in parts[name]]


class Opened(Protocol):
    """A model as another program has opened it. For GPT it is a Decoder, too."""

    program: str  # with its version
    context: int

    def logits(self, *inputs: np.ndarray) -> np.ndarray:
        """[B, T, V], float32, from token ids [B, T]; V is at least `Source.known`."""
        ...

    def state(self) -> contextlib.AbstractContextManager[State]: ...

    def encode(self, text: str) -> list[int] | None:
        """Tokens of a text as the program cuts it, `Source.wrapped`; None where it cuts none."""
        ...

    def close(self) -> None: ...


class Format(Protocol):
    """What a file of this folder offers."""

    PRECISIONS: tuple[str, ...]  # of the weights
    LIBRARIES: tuple[str, ...]  # that are imported

    def refuses(self, source: Source) -> str:
        """Why the format cannot hold the model, in words; empty where it can."""
        ...

    def write(self, source: Source, folder: Path, precision: str) -> None:
        """Fills an empty folder. Raises OSError where the disk does not take it."""
        ...

    def opened(self, folder: Path, source: Source, precision: str) -> Opened: ...


def format_of(name: str) -> Format:
    """Raises UsageError: no such format. MissingPackage: a library that it needs is not installed."""
    if name not in EXTRAS:
        raise UsageError("unknown format", received=f"--to {name}", attempt=nearest(name, EXTRAS))
    module: Any = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    absent = [library for library in module.LIBRARIES if importlib.util.find_spec(library) is None]
    if absent:
        raise MissingPackage(
            f"--to {name} needs packages that are not installed",
            received=", ".join(absent),
            attempt=f"run pip install '.[{EXTRAS[name]}]' in the checkout",
        )
    return module  # type: ignore[no-any-return]


def program(library: str) -> str:
    """A library with its version."""
    return f"{library} {importlib.metadata.version(library)}"


class Whole:
    """A text at hand for a program that keeps nothing between two tokens: every step goes through all of it again."""

    def __init__(self, opened: Opened) -> None:
        self._opened, self._tokens, self.length = opened, list[int](), 0

    def begin(self, tokens: Sequence[int]) -> Tensor:
        self._tokens = list(tokens)
        return self._last()

    def step(self, token: int) -> Tensor:
        self._tokens.append(token)
        return self._last()

    def _last(self) -> Tensor:
        import torch

        self.length = len(self._tokens)
        logits_V = self._opened.logits(np.array([self._tokens]))[0, -1]
        return torch.from_numpy(logits_V.copy())
