"""Many rows of a GPT of any shape, by the module's own forward pass."""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from daybreak.models.caches import LayerCache, RowsCache
from daybreak.models.gpt import Gpt
from daybreak.models.inference.decoder import Plain
from daybreak.models.inference.rows import Rows, Slots


class GptDecoder(Plain):
    """As Plain, for many rows, too."""

    @contextlib.contextmanager
    def rows(self) -> Iterator[Rows]:
        yield _GptRows(self.module)


class _GptRows(Slots):
    def __init__(self, module: Gpt) -> None:
        super().__init__()
        self.module = module
        self.context, self.device = module.shape.context_length, module.lm_head.weight.device
        self.caches: list[LayerCache] = []

    def grow(self, capacity: int) -> None:
        caches = self.module.new_caches(capacity, self.context)
        for new in caches:
            new.k_BHSK.zero_()  # a mask hides what is not filled, but for what is no number
            new.v_BHSK.zero_()
        for new, old in zip(caches, self.caches, strict=bool(self.caches)):
            new.k_BHSK[: self.capacity], new.v_BHSK[: self.capacity] = old.k_BHSK, old.v_BHSK
        self.caches = caches

    def move(self, source: int, target: int) -> None:
        stop = self.lengths[source]
        for cache in self.caches:
            cache.k_BHSK[target, :, :stop] = cache.k_BHSK[source, :, :stop]
            cache.v_BHSK[target, :, :stop] = cache.v_BHSK[source, :, :stop]

    def first(self, slot: int, tokens: Sequence[int]) -> Tensor:
        return self._alone(slot, tokens, 0)

    def _alone(self, slot: int, tokens: Sequence[int], length: int) -> Tensor:
        own = slice(slot, slot + 1)
        caches = [LayerCache(cache.k_BHSK[own], cache.v_BHSK[own], length) for cache in self.caches]
        return self.module(torch.tensor([list(tokens)], device=self.device), caches)[0, -1]

    def next(self, slots: Sequence[int], tokens: Sequence[int]) -> Tensor:
        if len(slots) == 1:
            return self._alone(slots[0], tokens, self.lengths[slots[0]])[None]
        count = len(self.lengths)
        stepping_N, tokens_B, places_B, stop = side_by_side(self.lengths, slots, tokens, self.context, self.device)
        caches = [RowsCache(c.k_BHSK[:count], c.v_BHSK[:count], places_B, stepping_N, stop) for c in self.caches]
        return self.module(tokens_B[:, None], caches)[stepping_N, 0]


def side_by_side(
    lengths: Sequence[int], slots: Sequence[int], tokens: Sequence[int], context: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, int]:
    """What a step of all slots needs: which of them step [N], tokens [B], places [B], and how far back they look.

    Slots that do not step are computed along, with any token, and what comes out of them is not kept: to leave them
    out, the keys and values of all others would have to be copied.
    """
    places = [min(length, context - 1) for length in lengths]
    said = [0] * len(lengths)
    for slot, token in zip(slots, tokens, strict=True):
        if lengths[slot] >= context:
            raise IndexError(f"token {token} at position {lengths[slot]}")
        said[slot] = token
    numbers = (torch.tensor(part, device=device) for part in (list(slots), said, places))
    stepping_N, tokens_B, places_B = numbers
    return stepping_N, tokens_B, places_B, max(places) + 1
