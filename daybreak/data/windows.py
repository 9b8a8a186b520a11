"""Windows: a document that is longer than the context as overlapping parts, and the way back to its positions."""

from collections.abc import Sequence

import numpy as np

from daybreak.core.errors import UsageError


def overlapping(tokens: int, length: int, overlap: int) -> list[slice]:
    """Parts of a document of `tokens` tokens, in order, each `length` long and `overlap` into the one before.

    Every token is in at least one. The last part ends with the document and is as long as the others, so it may
    overlap by more; a document shorter than `length` is one part, and an empty one none. Raises UsageError.
    """
    if not 0 <= overlap < length:
        raise UsageError(
            "the overlap of windows must be smaller than their length",
            received=f"an overlap of {overlap} for windows of {length} tokens",
            attempt=f"an overlap from 0 to {max(length - 1, 0)}; half of the length is common",
        )
    if tokens <= length:
        return [slice(0, tokens)] if tokens else []
    starts = [*range(0, tokens - length, length - overlap), tokens - length]
    return [slice(start, start + length) for start in starts]


def in_document(windows: Sequence[slice], window: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Positions in the document, int64 like `position`, of positions in windows of these indexes."""
    starts = np.array([part.start for part in windows], dtype=np.int64)
    return starts[window] + position


def most_context(windows: Sequence[slice]) -> tuple[np.ndarray, np.ndarray]:
    """For every token of the document, the window that shows the most of what is around it, and its position there.

    int64 [tokens] each. Where a token is in several windows, the one in which it is farthest from both ends is
    believed, and the first of those, as BERT's authors do for answers in long passages
    (https://github.com/google-research/bert, run_squad.py).
    """
    tokens = windows[-1].stop if windows else 0
    best = np.full(tokens, -1, dtype=np.int64)
    window, position = np.zeros(tokens, dtype=np.int64), np.zeros(tokens, dtype=np.int64)
    for index, part in enumerate(windows):
        places = np.arange(part.stop - part.start)
        # The beginning and the end of the document cut nothing off.
        left = places if part.start else np.full(len(places), tokens)
        right = places[::-1] if part.stop < tokens else np.full(len(places), tokens)
        context = np.minimum(left, right)
        better = context > best[part]
        best[part][better] = context[better]
        window[part][better], position[part][better] = index, places[better]
    return window, position


def merged(windows: Sequence[slice], values: Sequence[np.ndarray]) -> np.ndarray:
    """One value for each token of the document, [tokens, ...], from one for each of each window [length, ...]."""
    window, position = most_context(windows)
    starts = np.cumsum([0, *(len(part) for part in values)])
    return np.concatenate([*values])[starts[window] + position] if len(values) else np.empty(0)
