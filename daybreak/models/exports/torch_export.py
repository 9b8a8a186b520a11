"""torch-export: `model.pt2`, graph and weights, which torch opens without daybreak."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from daybreak.models.exports import Source, Whole, program, quiet, traced
from daybreak.models.exports.hf import tokenizer_files
from daybreak.models.inference.decoder import State

PRECISIONS = ("float32",)
LIBRARIES = ()
FILE = "model.pt2"


refuses = traced.refuses


def write(source: Source, folder: Path, precision: str) -> None:
    module, examples, sizes = traced.scoring(source)
    with quiet.warned_off():
        recorded = torch.export.export(module, examples, dynamic_shapes=sizes, strict=False)
        whole = io.BytesIO()  # on a full disk, torch's own writer ends the process
        torch.export.save(recorded, whole)
    (folder / FILE).write_bytes(whole.getbuffer())
    tokenizer_files(source, folder)


def opened(folder: Path, source: Source, precision: str) -> "Exported":
    return Exported(folder, source)


class Exported:
    def __init__(self, folder: Path, source: Source) -> None:
        self.program, self.context = program("torch"), source.shape.context_length
        with quiet.warned_off():
            self._module = torch.export.load(folder / FILE).module()

    @torch.inference_mode()
    def logits(self, *inputs: np.ndarray) -> np.ndarray:
        result: np.ndarray = self._module(*map(torch.from_numpy, inputs)).numpy()
        return result

    @contextlib.contextmanager
    def state(self) -> Iterator[State]:
        yield Whole(self)

    def encode(self, text: str) -> list[int] | None:
        return None

    def close(self) -> None:
        pass
