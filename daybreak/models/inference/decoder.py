"""Decoders: a module made ready to continue texts, one token of one text at a time.

A decoder lends out states, one for each text at hand, and takes them back.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from daybreak.models.gpt import Gpt


class State(Protocol):
    """One text at hand."""

    length: int  # tokens so far

    def begin(self, tokens: Sequence[int]) -> Tensor:
        """Logits [V], float32, of what follows the tokens; what was before is forgotten."""
        ...

    def step(self, token: int) -> Tensor:
        """As `begin`, for one token more; the next call may write over what it gave back."""
        ...


class Decoder(Protocol):
    context: int  # tokens that a state holds

    def state(self) -> contextlib.AbstractContextManager[State]: ...


class Plain:
    """The module's own forward pass with cached keys and values, whatever its shape."""

    def __init__(self, module: Gpt) -> None:
        self.module, self.context = module, module.shape.context_length

    @contextlib.contextmanager
    def state(self) -> Iterator[State]:
        yield _PlainState(self.module)


class _PlainState:
    def __init__(self, module: Gpt) -> None:
        self.module, self.length = module, 0

    def begin(self, tokens: Sequence[int]) -> Tensor:
        self.caches = self.module.new_caches(1, self.module.shape.context_length)
        self.length = 0
        return self._on(tokens)

    def step(self, token: int) -> Tensor:
        return self._on([token])

    def _on(self, tokens: Sequence[int]) -> Tensor:
        self.length += len(tokens)
        rows = torch.tensor([list(tokens)], device=self.module.lm_head.weight.device)
        return self.module(rows, self.caches)[0, -1]
