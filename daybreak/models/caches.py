"""Caches: keys and values of the tokens so far, by layer; also those of rows at places of their own.

Axes in tensor names: B rows, N some of them, T positions, S positions attended to, H heads, K head size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(slots=True)
class LayerCache:
    """Keys and values of one layer for decoding, [B, H, S, K]; `length` positions of them are filled."""

    k_BHSK: Tensor
    v_BHSK: Tensor
    length: int = 0

    def extend(self, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        stop = self.length + k_BHTK.shape[2]
        self.k_BHSK[:, :, self.length : stop] = k_BHTK
        self.v_BHSK[:, :, self.length : stop] = v_BHTK
        self.length = stop
        return self.k_BHSK[:, :, :stop], self.v_BHSK[:, :, :stop]


@dataclass(slots=True)
class RowsCache:
    """Keys and values of one layer for rows at places of their own, [B, H, S, K], for one token more of each.

    Those of the rows `stepping` are kept, at their places; all of them attend to the first `stop` positions, of which a
    bias hides those behind their own.
    """

    k_BHSK: Tensor
    v_BHSK: Tensor
    places_B: Tensor
    stepping_N: Tensor
    stop: int

    def extend(self, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        rows_N = self.stepping_N
        self.k_BHSK[rows_N, :, self.places_B[rows_N]] = k_BHTK[rows_N, :, 0]
        self.v_BHSK[rows_N, :, self.places_B[rows_N]] = v_BHTK[rows_N, :, 0]
        return self.k_BHSK[:, :, : self.stop], self.v_BHSK[:, :, : self.stop]


class Cache(Protocol):
    """Of one layer, as LayerCache: all rows at one place; recorded graphs have tensors that grow instead."""

    length: int  # positions that are there

    def extend(self, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]: ...


Caches = Sequence[Cache] | Sequence[RowsCache]
