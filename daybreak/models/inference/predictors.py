"""Predictors: what a finished run gives back, behind one face: a network, an n-gram model, or a mixture of both."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch

from daybreak.models.families import decoder_of
from daybreak.models.gpt import Gpt
from daybreak.models.inference import sampling as decoding
from daybreak.models.inference.decoder import Decoder
from daybreak.models.inference.sampling import Sampling, may_end
from daybreak.models.ngram.kneser_ney import KneserNey
from daybreak.models.objectives import token_nats


class Predictor(Protocol):
    needs: str  # what has to be kept to reach its figures

    def continuation(self, prompt: Sequence[int], sampling: Sampling) -> Iterator[int]: ...


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
        module: Gpt,
        *,
        end_of_text: int,
        known_tokens: int,
        shows_text: Callable[[Sequence[int]], bool] = bool,
        prepare: Callable[[Gpt], Decoder] = decoder_of,
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

    def continuation(
        self, prompt: Sequence[int], sampling: Sampling, mixing: decoding.Mixing | None = None
    ) -> Iterator[int]:
        self.module.eval()
        return decoding.generate(
            self.decoder,
            prompt,
            max_tokens=sampling.max_tokens,
            end_of_text=self.end_of_text,
            seed=sampling.seed,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            known_tokens=self.known_tokens,
            may_end=may_end(sampling, self._shows_text),
            mixing=mixing,
        )


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

    def reader(self, text: Sequence[int]) -> Callable[[Sequence[int]], tuple[np.ndarray, float]]:
        """From the tokens so far to a distribution [V] and how unsure it is."""

        def read(tokens: Sequence[int]) -> tuple[np.ndarray, float]:
            context = tokens[-self.ngram.order :]
            # How unsure counts are of a context is the same whatever token comes next, so any will do in its place.
            _, unsure = self.stream(np.array([*context, self.end_of_text]), opened=False)
            return self.ngram.distribution(context), float(unsure[-1])

        return read

    def continuation(self, prompt: Sequence[int], sampling: Sampling) -> Iterator[int]:
        generator = torch.Generator().manual_seed(sampling.seed)
        tokens = [self.end_of_text, *prompt]
        may_end_now, ending = may_end(sampling, self._shows_text), False
        for _ in range(sampling.max_tokens):
            logits = torch.from_numpy(np.log(self.ngram.distribution(tokens[-self.ngram.order :])))
            ending = ending or may_end_now(tokens[1 + len(prompt) :])
            if not ending:
                logits[self.end_of_text] = -torch.inf
            token = decoding.chosen(
                logits, generator, temperature=sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k
            )
            if token == self.end_of_text:
                return
            tokens.append(token)
            yield token
