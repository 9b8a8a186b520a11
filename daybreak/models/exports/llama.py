"""llama.cpp, through llama-cpp-python: opens a GGUF, cuts and continues texts."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from daybreak.models.exports import program, quiet
from daybreak.models.inference.decoder import State

FLOAT32 = 0  # ggml's number for it


class Llama:
    """An exports.Opened. exact: keys and values in float32, where llama.cpp would round them to float16."""

    def __init__(self, file: Path, *, exact: bool = True) -> None:
        import llama_cpp

        self.program = f"llama.cpp ({program('llama-cpp-python')})"
        precision = {"type_k": FLOAT32, "type_v": FLOAT32} if exact else {}
        with quiet.unheard():
            self.model: Any = llama_cpp.Llama(
                str(file), n_ctx=0, logits_all=True, n_gpu_layers=0, verbose=False, **precision
            )
        self.context = int(self.model.metadata["qwen3.context_length"])  # n_ctx is rounded up

    def logits(self, *inputs: np.ndarray) -> np.ndarray:
        found = []
        for row in inputs[0]:
            self.model.reset()
            self.model.eval(row.tolist())
            found.append(self.model.scores[: len(row)].copy())
        return np.stack(found)

    @contextlib.contextmanager
    def state(self) -> Iterator[State]:
        yield _Text(self.model)

    def encode(self, text: str) -> list[int] | None:
        return list(self.model.tokenize(text.encode(), add_bos=True, special=False))

    def close(self) -> None:
        self.model.close()


class _Text:
    """A text at hand; the program holds one at a time."""

    def __init__(self, model: Any) -> None:
        self._model, self.length = model, 0

    def begin(self, tokens: Sequence[int]) -> Tensor:
        self._model.reset()
        self.length = 0
        return self._on(tokens)

    def step(self, token: int) -> Tensor:
        return self._on([token])

    def _on(self, tokens: Sequence[int]) -> Tensor:
        self._model.eval(list(tokens))
        self.length += len(tokens)
        return torch.from_numpy(self._model.scores[self.length - 1].copy())
