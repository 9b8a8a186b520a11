"""Stock: a folder as transformers opens it, with the classes and tokenizers of its own."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from daybreak.models.inference.decoder import State


class Stock:
    """A folder as transformers opens it by itself, code of strangers never run; an exports.Opened.

    opens: the class of transformers that does, such as AutoModelForMaskedLM. names: of the inputs, in the order in
    which `logits` takes them.
    """

    def __init__(
        self, folder: Path, opens: str = "AutoModelForCausalLM", names: Sequence[str] = ("input_ids",)
    ) -> None:
        import transformers

        self.program, self._names = f"transformers {transformers.__version__}", names
        with _quiet(transformers):
            self.model: Any = getattr(transformers, opens).from_pretrained(folder).eval()
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        self.context = int(getattr(self.model.config, "max_position_embeddings", 0))

    @torch.inference_mode()
    def logits(self, *inputs: np.ndarray) -> np.ndarray:
        named = dict(zip(self._names, map(torch.from_numpy, inputs), strict=True))
        result: np.ndarray = self.model(**named).logits.float().numpy()
        return result

    @contextlib.contextmanager
    def state(self) -> Iterator[State]:
        yield _Text(self.model)

    def encode(self, text: str) -> list[int] | None:
        return list(self.tokenizer(text, verbose=False)["input_ids"])

    def close(self) -> None:
        pass


class _Text:
    """A text at hand, with the class' own cache of keys and values."""

    def __init__(self, model: Any) -> None:
        self._model, self.length = model, 0

    def begin(self, tokens: Sequence[int]) -> Tensor:
        self._past, self.length = None, 0
        return self._on(tokens)

    def step(self, token: int) -> Tensor:
        return self._on([token])

    @torch.inference_mode()
    def _on(self, tokens: Sequence[int]) -> Tensor:
        given = self._model(torch.tensor([list(tokens)]), past_key_values=self._past, use_cache=True)
        self._past, self.length = given.past_key_values, self.length + len(tokens)
        logits_V: Tensor = given.logits[0, -1].float().clone()
        return logits_V


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without its bars and advice."""
    from transformers.utils import logging

    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
        logging.enable_progress_bar()
