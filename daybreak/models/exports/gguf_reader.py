"""A GGUF read back without llama.cpp: its weights, in float32 again, in our own module."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from daybreak.models.exports import Source, program, traced
from daybreak.models.exports.gguf_names import named
from daybreak.models.gpt import Gpt
from daybreak.models.inference.decoder import Plain, State


class ReadBack:
    """An exports.Opened: what is in the file is right; whether llama.cpp opens it, only llama.cpp can tell."""

    def __init__(self, file: Path, source: Source) -> None:
        import gguf

        self.program = f"{program('gguf')}, read back"
        reader = gguf.GGUFReader(file)
        read = {
            t.name: torch.from_numpy(np.array(gguf.quants.dequantize(t.data, t.tensor_type))) for t in reader.tensors
        }
        assert isinstance(source.module, Gpt)  # see gguf.refuses
        self.module = traced.apart(source.module)
        weights = dict(source.module.state_dict())
        for name, weight in weights.items():
            found = read.get(named(name), read["token_embd.weight"] if name == "lm_head.weight" else None)
            if found is None or found.shape[1:] != weight.shape[1:]:
                raise ValueError(f"{name} is not in the file as it was written")
            weights[name] = torch.cat((found, weight[len(found) :]))
        self.module.load_state_dict(weights, assign=True)
        self.context = source.shape.context_length

    @torch.inference_mode()
    def logits(self, *inputs: np.ndarray) -> np.ndarray:
        result: np.ndarray = self.module(torch.from_numpy(inputs[0])).numpy()
        return result

    @contextlib.contextmanager
    def state(self) -> Iterator[State]:
        with Plain(self.module).state() as state:
            yield state

    def encode(self, text: str) -> list[int] | None:
        return None

    def close(self) -> None:
        pass
