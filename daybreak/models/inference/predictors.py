"""Predictors: what a finished run gives back, behind one face: a network, an n-gram model, or a mixture of both."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from daybreak.models.families import decoder_of
from daybreak.models.inference.decoder import Decoder
from daybreak.models.inference.sampling import Mixing, Sampling, Texts, one_text, open_texts
from daybreak.models.module import LanguageModel
from daybreak.models.ngram.kneser_ney import KneserNey
from daybreak.models.objectives import token_nats

ENDLESS = 1 << 40  # tokens: counts look at the last few of them


class Predictor(Protocol):
    needs: str  # what has to be kept to reach its figures

    def texts(self) -> AbstractContextManager[Texts]:
        """Many texts that are continued together; they join and leave at any time."""
        ...

    def continuation(self, prompt: Sequence[int], sampling: Sampling) -> Iterator[int]:
        """The tokens of one text."""
        ...


class Network:
    """A decoder on its device.

    known_tokens: ids from here on belong to no token (the table is padded) and are never chosen.
    shows_text: whether there is anything to see in some tokens (Tokenizer.shows_text); by default in any.
    prepare: makes the decoder when the first text is asked for, of weights that change no more; without it, the module
    itself decodes.
    """

    needs = "model/"

    def __init__(
        self,
        module: LanguageModel,
        *,
        end_of_text: int,
        known_tokens: int,
        shows_text: Callable[[Sequence[int]], bool] = bool,
        prepare: Callable[[LanguageModel], Decoder] = decoder_of,
    ) -> None:
        self.module, self.end_of_text, self.known_tokens = module, end_of_text, known_tokens
        self.device = module.lm_head.weight.device
        self._shows_text, self._prepare = shows_text, prepare
        self._decoder: Decoder | None = None

    @property
    def decoder(self) -> Decoder:
        if self._decoder is None:
            self.module.eval()
            self._decoder = self._prepare(self.module)
        return self._decoder

    def nats(self, windows: Iterable[tuple[np.ndarray, np.ndarray]], stream: np.ndarray) -> Iterator[np.ndarray]:
        """Nats of every target, window batch by window batch. stream: all targets, in order."""
        self.module.eval()
        for inputs, targets in windows:
            pair = (torch.from_numpy(np.ascontiguousarray(part)).to(self.device) for part in (inputs, targets))
            yield token_nats(self.module, *pair).cpu().numpy()

    def texts(self, mixing: Mixing | None = None) -> AbstractContextManager[Texts]:
        self.module.eval()
        return open_texts(
            self.decoder,
            end_of_text=self.end_of_text,
            known_tokens=self.known_tokens,
            mixing=mixing,
            shows_text=self._shows_text,
        )

    def continuation(self, prompt: Sequence[int], sampling: Sampling) -> Iterator[int]:
        return one_text(self.texts(), prompt, sampling)


class Counts:
    """Interpolated Kneser-Ney over the run's own tokens."""

    needs = "model/"

    def __init__(
        self, ngram: KneserNey, *, end_of_text: int, shows_text: Callable[[Sequence[int]], bool] = bool
    ) -> None:
        """shows_text: as for Network."""
        self.ngram, self.end_of_text, self._shows_text = ngram, end_of_text, shows_text

    def nats(self, windows: Iterable[tuple[np.ndarray, np.ndarray]], stream: np.ndarray) -> Iterator[np.ndarray]:
        done = 0
        nats, _ = self.stream(stream)
        for _, targets in windows:
            yield nats[done : done + targets.size].reshape(targets.shape)
            done += targets.size

    def stream(self, tokens: np.ndarray, *, opened: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Nats [n] of a stream's tokens, and how unsure the counts are of their contexts [n].

        opened: end-of-text tokens open documents, and nothing before them is looked at.
        """
        starts = np.flatnonzero(tokens == self.end_of_text) if opened else None
        nats = -np.log(self.ngram.probabilities(tokens, starts=starts)[self.ngram.order - 1])
        return nats, self.ngram.backoff_mass(tokens, starts=starts)

    def reading(self) -> "CountsReading":
        return CountsReading(self.ngram)

    @contextlib.contextmanager
    def texts(self) -> Iterator[Texts]:
        rows = _CountsRows(self.ngram)
        yield Texts(rows, context=ENDLESS, end_of_text=self.end_of_text, shows_text=self._shows_text)

    def continuation(self, prompt: Sequence[int], sampling: Sampling) -> Iterator[int]:
        return one_text(self.texts(), prompt, sampling)


class CountsReading:
    """What the counts say comes next in each of several texts; they depend on its last tokens alone."""

    def __init__(self, ngram: KneserNey) -> None:
        self.ngram = ngram

    def join(self, row: int, text: Sequence[int]) -> None:
        pass

    def leave(self, row: int) -> None:
        pass

    def distributions(self, texts: Mapping[int, Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        contexts = [tokens[-self.ngram.order :] for tokens in texts.values()]
        return self.ngram.distributions(contexts), self.ngram.backoff_mass_after(contexts)


class _CountsRows:
    """Rows of an n-gram model: of each, the tokens that it looks at."""

    def __init__(self, ngram: KneserNey) -> None:
        self.ngram = ngram
        self._last: dict[int, list[int]] = {}
        self._lengths: dict[int, int] = {}

    def begin(self, row: int, tokens: Sequence[int]) -> Tensor:
        self._last[row], self._lengths[row] = list(tokens[-self.ngram.order :]), len(tokens)
        return self._logits([row])[0]

    def step(self, tokens: Mapping[int, int]) -> Tensor:
        for row, token in tokens.items():
            self._last[row] = [*self._last[row], token][-self.ngram.order :]
            self._lengths[row] += 1
        return self._logits(list(tokens))

    def _logits(self, rows: Sequence[int]) -> Tensor:
        return torch.from_numpy(np.log(self.ngram.distributions([self._last[row] for row in rows])))

    def length(self, row: int) -> int:
        return self._lengths[row]

    def leave(self, row: int) -> None:
        del self._last[row], self._lengths[row]
