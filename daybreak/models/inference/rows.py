"""Rows: many texts continued together by one decoder, each at a place of its own; they join and leave at any time."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from daybreak.models.inference.decoder import Decoder, State


class Rows(Protocol):
    """The texts at hand, by numbers that the caller chooses. What one row does leaves the others as they are."""

    def begin(self, row: int, tokens: Sequence[int]) -> Tensor:
        """Logits [V], float32, of what follows the tokens. A new row joins; what an old one held is forgotten."""
        ...

    def step(self, tokens: Mapping[int, int]) -> Tensor:
        """One token more for each of these rows: logits [B, V], float32, in the mapping's order.

        The next call may write over what it gave back. Rows that are not named stay where they are.
        """
        ...

    def length(self, row: int) -> int:
        """Tokens that a row holds."""
        ...

    def leave(self, row: int) -> None:
        """Its place is free for another row; the others are not computed again."""
        ...


@runtime_checkable
class RowDecoder(Protocol):
    """A decoder that takes a step of many rows at once."""

    context: int  # tokens that a row holds

    def rows(self) -> contextlib.AbstractContextManager[Rows]: ...


@contextlib.contextmanager
def rows_of(decoder: Decoder | RowDecoder) -> Iterator[Rows]:
    """Rows of any decoder; of one that knows single texts only, a state each, one after another."""
    if isinstance(decoder, RowDecoder):
        with decoder.rows() as rows:
            yield rows
    else:
        with contextlib.closing(OneByOne(decoder)) as single:
            yield single


class OneByOne:
    """Rows of a decoder that knows single texts only."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self._states: dict[int, tuple[State, contextlib.ExitStack]] = {}

    def begin(self, row: int, tokens: Sequence[int]) -> Tensor:
        if row not in self._states:
            stack = contextlib.ExitStack()
            self._states[row] = stack.enter_context(self.decoder.state()), stack
        return self._states[row][0].begin(tokens)

    def step(self, tokens: Mapping[int, int]) -> Tensor:
        if len(tokens) == 1:
            ((row, token),) = tokens.items()
            return self._states[row][0].step(token)[None]
        return torch.stack([self._states[row][0].step(token).clone() for row, token in tokens.items()])

    def length(self, row: int) -> int:
        return self._states[row][0].length

    def leave(self, row: int) -> None:
        self._states.pop(row)[1].close()

    def close(self) -> None:
        for row in list(self._states):
            self.leave(row)


class Slots(ABC):
    """Rows kept side by side without holes: the last one moves to where one has left."""

    def __init__(self) -> None:
        self.capacity = 0
        self.lengths: list[int] = []  # tokens, by slot
        self._rows: list[int] = []  # the row in each slot

    @abstractmethod
    def grow(self, capacity: int) -> None:
        """Makes room for so many rows and keeps what is there."""

    @abstractmethod
    def move(self, source: int, target: int) -> None:
        """What the slot `source` holds goes to `target`."""

    @abstractmethod
    def first(self, slot: int, tokens: Sequence[int]) -> Tensor:
        """Logits [V] after the tokens, which are all that the slot holds from now on."""

    @abstractmethod
    def next(self, slots: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Logits [B, V] after one token more in each of the slots; `lengths` are still those before it."""

    @torch.inference_mode()
    def begin(self, row: int, tokens: Sequence[int]) -> Tensor:
        if row not in self._rows:
            if len(self._rows) == self.capacity:
                self.grow(max(1, 2 * self.capacity))
                self.capacity = max(1, 2 * self.capacity)
            self._rows.append(row)
            self.lengths.append(0)
        slot = self._rows.index(row)
        self.lengths[slot] = len(tokens)
        return self.first(slot, tokens)

    @torch.inference_mode()
    def step(self, tokens: Mapping[int, int]) -> Tensor:
        slots = [self._rows.index(row) for row in tokens]
        logits_BV = self.next(slots, list(tokens.values()))
        for slot in slots:
            self.lengths[slot] += 1
        return logits_BV

    def length(self, row: int) -> int:
        return self.lengths[self._rows.index(row)]

    @torch.inference_mode()
    def leave(self, row: int) -> None:
        slot, last = self._rows.index(row), len(self._rows) - 1
        if slot != last:
            self.move(last, slot)
            self._rows[slot], self.lengths[slot] = self._rows[last], self.lengths[last]
        self._rows.pop()
        self.lengths.pop()

    def clear(self) -> None:
        self._rows, self.lengths = [], []
