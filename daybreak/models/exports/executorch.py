"""ExecuTorch: `model.pte` for phones and small devices, its products done by XNNPACK; one text at a time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from daybreak.models.exports import Source, Whole, program, quiet, traced
from daybreak.models.exports.hf import tokenizer_files
from daybreak.models.inference.decoder import State

PRECISIONS = ("float32",)
LIBRARIES = ("executorch",)
FILE = "model.pte"


refuses = traced.refuses


def write(source: Source, folder: Path, precision: str) -> None:
    """Memory is reserved for one text as long as the context."""
    with quiet.unheard():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        module, examples, sizes = traced.scoring(source, longest=source.shape.context_length, rows=1)
        recorded = torch.export.export(module, examples, dynamic_shapes=sizes, strict=False)
        lowered: Any = to_edge_transform_and_lower(recorded, partitioner=[XnnpackPartitioner()])
        with (folder / FILE).open("wb") as file:
            lowered.to_executorch().write_to_file(file)
    tokenizer_files(source, folder)


def opened(folder: Path, source: Source, precision: str) -> "Lowered":
    return Lowered(folder, source)


class Lowered:
    def __init__(self, folder: Path, source: Source) -> None:
        self.program, self.context = program("executorch"), source.shape.context_length
        with quiet.unheard():
            from executorch.runtime import Runtime

            self._program = Runtime.get().load_program(str(folder / FILE))  # which the method does not keep alive
            self._forward = self._program.load_method("forward")

    def logits(self, *inputs: np.ndarray) -> np.ndarray:
        rows = zip(*(torch.from_numpy(part).split(1) for part in inputs), strict=True)
        return np.concatenate([self._forward.execute(list(row))[0].numpy().copy() for row in rows])

    @contextlib.contextmanager
    def state(self) -> Iterator[State]:
        yield Whole(self)

    def encode(self, text: str) -> list[int] | None:
        return None

    def close(self) -> None:
        pass
