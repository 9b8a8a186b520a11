"""The metric for every tool compared: summed nats of every byte of the held-out text, once, over its bytes and ln 2.

Windows have the length the model was trained on and do not overlap. The first input of a window is the token before
it or the opening token, whichever gives the peer the better figure: tools differ in what they were trained to see.
"""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from daybreak.data import batches

Logits = Callable[[Tensor], Tensor]  # tokens int64 [B, T] to logits [B, T, V]

SCORED_TOKENS = 8192  # of one forward pass


def documents(path: Path) -> list[str]:
    """The texts of a prepared file: one document a line of JSON."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


def bits_per_byte(
    logits: Logits, stream: np.ndarray, sizes: np.ndarray, *, context_length: int, opening: int
) -> tuple[float, int]:
    """Bits per byte and bytes of the stream [N]. sizes: bytes of each of its tokens [N]; 0 is not counted."""
    figures = []
    for opened in (False, True):
        nats = np.concatenate(list(_nats(logits, stream, context_length, opening, opened)))
        figures.append(float(nats[sizes > 0].sum(dtype=np.float64)) / (int(sizes.sum()) * math.log(2)))
    return min(figures), int(sizes.sum())


@torch.inference_mode()
def _nats(logits: Logits, stream: np.ndarray, length: int, opening: int, opened: bool) -> Iterator[np.ndarray]:
    rows = max(1, SCORED_TOKENS // length)
    for inputs, targets in batches.windows(stream, length, rows=rows, end_of_text=opening):
        tokens = torch.from_numpy(inputs.copy())
        if opened:
            tokens[:, 0] = opening
        # A model may want more than one token at a time.
        padded = torch.cat([tokens, tokens], 1) if tokens.shape[1] == 1 else tokens
        scores = logits(padded)[:, : tokens.shape[1]].float()
        wanted = torch.from_numpy(targets.copy())
        yield torch.nn.functional.cross_entropy(scores.flatten(0, 1), wanted.flatten(), reduction="none").numpy()
