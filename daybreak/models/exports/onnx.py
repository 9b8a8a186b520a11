"""ONNX: `onnx/model.onnx`, with cached keys and values for GPT, named as Optimum and transformers.js do."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from daybreak.models.exports import Source, Whole, program, quiet, traced
from daybreak.models.exports.hf import config_files, tokenizer_files
from daybreak.models.inference.decoder import State

PRECISIONS = ("float32",)
LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
FILE = "onnx/model.onnx"
MOST_IN_ONE_FILE = 1_500_000_000  # bytes; from 2 GiB on, the format keeps weights in a file beside


refuses = traced.refuses


def write(source: Source, folder: Path, precision: str) -> None:
    file = folder / FILE
    file.parent.mkdir()
    examples: tuple[object, ...]
    if source.own():
        module, examples, sizes, names, outputs = traced.continuing(source)
    else:
        module, examples, sizes = traced.scoring(source)
        assert source.family.signature is not None
        names, outputs = list(source.family.signature.names), ["logits"]
    with quiet.warned_off():
        recorded: Any = torch.onnx.export(
            module,
            examples,
            dynamo=True,
            input_names=names,
            output_names=outputs,
            dynamic_shapes=sizes,
            verbose=False,
        )
        weights = sum(tensor.nbytes for tensor in source.module.state_dict().values())
        recorded.save(file, external_data=weights > MOST_IN_ONE_FILE)
    tokenizer_files(source, folder)
    config_files(source, folder)


def opened(folder: Path, source: Source, precision: str) -> "Session":
    return Session(folder, source)


class Session:
    def __init__(self, folder: Path, source: Source) -> None:
        import onnxruntime

        self.program, self.context = program("onnxruntime"), source.shape.context_length
        self._session = onnxruntime.InferenceSession(folder / FILE, providers=["CPUExecutionProvider"])
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._shape = source.shape

    def logits(self, *inputs: np.ndarray) -> np.ndarray:
        past = self.nothing(len(inputs[0])) if len(self._inputs) > len(inputs) else []
        return self.run([*inputs, *past])[0]

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """All outputs: logits, then the keys and values of each layer."""
        return self._session.run(None, dict(zip(self._inputs, inputs, strict=True)))  # type: ignore[no-any-return]

    def nothing(self, rows: int) -> list[np.ndarray]:
        """The keys and values of no tokens."""
        assert isinstance(self._shape, traced.Heads)
        size = (rows, self._shape.key_value_heads, 0, self._shape.head_dim)
        return [np.zeros(size, np.float32) for _ in range(2 * self._shape.layers)]

    @contextlib.contextmanager
    def state(self) -> Iterator[State]:
        yield _Text(self) if len(self._inputs) > 1 else Whole(self)

    def encode(self, text: str) -> list[int] | None:
        return None

    def close(self) -> None:
        pass


class _Text:
    """A text at hand, with its keys and values."""

    def __init__(self, session: Session) -> None:
        self._session, self.length = session, 0

    def begin(self, tokens: Sequence[int]) -> Tensor:
        self._past, self.length = self._session.nothing(1), 0
        return self._on(tokens)

    def step(self, token: int) -> Tensor:
        return self._on([token])

    def _on(self, tokens: Sequence[int]) -> Tensor:
        logits, *self._past = self._session.run([np.array([tokens]), *self._past])
        self.length += len(tokens)
        return torch.from_numpy(logits[0, -1].copy())
