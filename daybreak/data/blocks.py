"""Blocks of held-out text, and the order in which they are scored where there may not be the time for all of it."""

import numpy as np

BLOCK_BYTES = 4096


def block_order(sizes: np.ndarray) -> np.ndarray:
    """When each token's block of text is scored, int64 [n]: equal numbers are one block, the smallest comes first.

    sizes: bytes [n]. A block is BLOCK_BYTES of text, wherever tokens end, so that models of other tokenizers are scored
    on the same text; and any number of blocks from the first one on lies spread over the whole (a van der Corput
    sequence: each next one falls into the widest gap).
    """
    block = (np.cumsum(sizes) - sizes) // BLOCK_BYTES
    return _bits_reversed(int(block[-1]) + 1)[block] if len(block) else block


def _bits_reversed(count: int) -> np.ndarray:
    """A permutation of `count` numbers, int64: where each one comes when they are ordered by their bits backwards."""
    bits = max(1, (count - 1).bit_length())
    numbers, backwards = np.arange(count), np.zeros(count, np.int64)
    for bit in range(bits):
        backwards |= ((numbers >> bit) & 1) << (bits - 1 - bit)
    ranks = np.empty(count, np.int64)
    ranks[np.argsort(backwards)] = numbers
    return ranks


def spread_out(windows: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The order in which windows, by the tokens that they start at, int64 [w], are scored. sizes: bytes [n]."""
    return np.argsort(block_order(sizes)[windows], kind="stable")
