"""Sampling: from prompts to tokens, one of each text at a step; texts join and leave at any time."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from daybreak.core.errors import UsageError
from daybreak.core.request import LARGEST_SEED
from daybreak.models.inference.decoder import Decoder
from daybreak.models.inference.rows import Rows, rows_of


class Mixing(Protocol):
    """The decode seam: changes what a network finds probable, in many texts at once."""

    def join(self, row: int, text: Sequence[int]) -> None:
        """A new text, with the token that opens it; the row's number is the caller's."""
        ...

    def leave(self, row: int) -> None: ...

    def __call__(self, probabilities_BV: Tensor, texts: Mapping[int, Sequence[int]]) -> Tensor:
        """Probabilities [B, V] from the network's, by each row's tokens so far, in the mapping's order."""
        ...


def chosen(
    logits_V: Tensor,
    generator: torch.Generator,
    *,
    temperature: float,
    top_p: float,
    top_k: int,
) -> int:
    """One token. Temperature 0 takes the likeliest; top_k 0 and top_p 1 leave all tokens in.

    generator: of the CPU. One number is drawn from it a token, and none at temperature 0.
    """
    # One vector of a text at a time: NumPy's calls cost a fraction of torch's, whose threads wake up for each of them.
    logits = logits_V.detach().cpu().numpy()
    if temperature == 0:
        return int(logits.argmax())
    logits = logits / temperature
    if 0 < top_k < logits.size:
        logits[logits < np.partition(logits, -top_k)[-top_k]] = -np.inf
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    left = None
    if top_p < 1:
        left = _likeliest(probabilities, top_p)
        probabilities = probabilities[left]
    cumulative = probabilities.cumsum(dtype=np.float64)
    drawn = float(torch.rand((), generator=generator, dtype=torch.float64)) * cumulative[-1]
    # A product may be rounded up to the whole sum, behind the last token that has any probability.
    index = int(cumulative.searchsorted(min(drawn, np.nextafter(cumulative[-1], 0)), side="right"))
    return index if left is None else int(left[index])


def _likeliest(probabilities: np.ndarray, top_p: float) -> np.ndarray:
    """Tokens, rising: the smallest set whose mass reaches top_p (arXiv:1904.09751), or the likeliest one."""
    # Tokens below a V-th of the mass that may go are that mass at most, together; they need not be sorted. Half of it,
    # for sums that are not exact.
    likely = np.flatnonzero(probabilities >= 0.5 * (1 - top_p) / probabilities.size)
    among = probabilities[likely]
    ordered = np.sort(among)[::-1]
    count = max(1, int((ordered.cumsum(dtype=np.float64) - ordered < top_p).sum()))
    least = ordered[count - 1]
    left = likely[among >= least]
    equals = np.flatnonzero(probabilities[left] == least)
    return np.delete(left, equals[len(equals) - (len(left) - count) :])  # of equals, the first ones stay


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are drawn; temperature 0 takes the likeliest.

    min_tokens: how many tokens are written before the text may end. None: at temperatures above 0, as many as it takes
    until there is something to see; at temperature 0 none, so that the text is exactly the likeliest one. Raises
    UsageError: a value that makes no sense.
    """

    max_tokens: int = 200
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 0
    seed: int = 0
    min_tokens: int | None = None

    def __post_init__(self) -> None:
        asked, least = "", self.min_tokens or 0
        if not 0 <= self.temperature < float("inf"):
            asked, attempt = f"temperature {self.temperature:g}", "0 for the most likely text, or a number such as 0.8"
        elif not 0 <= self.top_p <= 1:
            asked, attempt = f"top_p {self.top_p:g}", "a share from 0 to 1, such as 0.95"
        elif not 0 <= self.seed <= LARGEST_SEED:
            asked, attempt = f"seed {self.seed}", f"a number from 0 to {LARGEST_SEED}"
        elif min(self.max_tokens, self.top_k, least) < 0:
            asked = f"max_tokens {self.max_tokens}, top_k {self.top_k}, min_tokens {least}"
            attempt = "numbers from 0 upwards"
        elif least > self.max_tokens:
            asked = f"min_tokens {least}, max_tokens {self.max_tokens}"
            attempt = "max_tokens at least as large as min_tokens"
        if asked:
            raise UsageError("the sampling settings are out of range", received=asked, attempt=attempt)


def may_end(sampling: Sampling, shows_text: Callable[[Sequence[int]], bool]) -> Callable[[Sequence[int]], bool]:
    """Whether the text may end behind the tokens that were written so far; see Sampling.min_tokens."""
    if sampling.min_tokens is None and sampling.temperature > 0:
        return shows_text
    return lambda written: len(written) >= (sampling.min_tokens or 0)


@dataclass
class _Text:
    tokens: list[int]  # with the one that opens the text
    prompt: int  # how many of them were given
    sampling: Sampling
    may_end: Callable[[Sequence[int]], bool]  # asked until it says so
    generator: torch.Generator
    ending: bool = False  # may_end has said so
    begun: bool = False


class Texts:
    """Texts that are continued together, one token each at a step. What one does leaves the others as they are.

    A text that is longer than the trained context is continued from its last half, so the work per token stays bounded.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        context: int,
        end_of_text: int,
        known_tokens: int | None = None,
        mixing: Mixing | None = None,
        shows_text: Callable[[Sequence[int]], bool] = bool,
    ) -> None:
        """context: tokens that a row holds. known_tokens: ids from here on have no bytes (the table is padded) and are
        never chosen. shows_text: whether there is anything to see in some tokens (Tokenizer.shows_text)."""
        self.rows, self.context, self.mixing, self.shows_text = rows, context, mixing, shows_text
        self.end_of_text, self.known_tokens = end_of_text, known_tokens
        self._texts: dict[int, _Text] = {}
        self._joined = 0

    def __contains__(self, row: int) -> bool:
        return row in self._texts

    def __len__(self) -> int:
        return len(self._texts)

    def join(self, prompt: Sequence[int], sampling: Sampling) -> int:
        """The number of a new text, which takes part from the next step on. It is over where it has left."""
        row, self._joined = self._joined, self._joined + 1
        if sampling.max_tokens:
            tokens = [self.end_of_text, *prompt]
            generator = torch.Generator().manual_seed(sampling.seed)
            self._texts[row] = _Text(tokens, len(tokens), sampling, may_end(sampling, self.shows_text), generator)
            if self.mixing is not None:
                self.mixing.join(row, tokens)
        return row

    def leave(self, row: int) -> None:
        """The text goes no further; its place is free."""
        text = self._texts.pop(row)
        if text.begun:
            self.rows.leave(row)
        if self.mixing is not None:
            self.mixing.leave(row)

    @torch.inference_mode()
    def step(self) -> dict[int, int | None]:
        """The next token of every text, or None where it has ended.

        A text that has ended, or has as many tokens as were asked for, has left.
        """
        if not self._texts:
            return {}
        logits_BV = self._logits()
        if self.known_tokens is not None:
            logits_BV[:, self.known_tokens :] = -torch.inf
        if self.mixing is not None:
            probabilities_BV = torch.softmax(logits_BV, -1)
            logits_BV = self.mixing(probabilities_BV, {row: text.tokens for row, text in self._texts.items()}).log()
        logits_BV = logits_BV.cpu()
        return {
            row: self._next(row, text, logits_V)
            for (row, text), logits_V in zip(list(self._texts.items()), logits_BV, strict=True)
        }

    def _logits(self) -> Tensor:
        """[B, V] of all texts; each prompt in a pass of its own, then a step of those that were there before."""
        stepping = {
            row: text.tokens[-1]
            for row, text in self._texts.items()
            if text.begun and self.rows.length(row) < self.context
        }
        begun: dict[int, Tensor] = {}
        for row, text in self._texts.items():
            if row not in stepping:
                keep = max(1, self.context // 2) if text.begun else self.context
                begun[row] = self.rows.begin(row, text.tokens[-keep:])
                text.begun = True
        if not begun:
            return self.rows.step(stepping)
        if stepping:
            begun |= zip(stepping, self.rows.step(stepping), strict=True)
        return torch.stack([begun[row] for row in self._texts])

    def _next(self, row: int, text: _Text, logits_V: Tensor) -> int | None:
        written = text.tokens[text.prompt :]
        text.ending = text.ending or text.may_end(written)
        if not text.ending:
            logits_V[self.end_of_text] = -torch.inf
        asked = text.sampling
        token = chosen(logits_V, text.generator, temperature=asked.temperature, top_p=asked.top_p, top_k=asked.top_k)
        text.tokens.append(token)
        if token == self.end_of_text or len(written) + 1 == asked.max_tokens:
            self.leave(row)
        return None if token == self.end_of_text else token


@contextlib.contextmanager
def open_texts(
    decoder: Decoder,
    *,
    end_of_text: int,
    known_tokens: int | None = None,
    mixing: Mixing | None = None,
    shows_text: Callable[[Sequence[int]], bool] = bool,
) -> Iterator[Texts]:
    """Texts that a decoder continues; see Texts."""
    with rows_of(decoder) as rows:
        yield Texts(
            rows,
            context=decoder.context,
            end_of_text=end_of_text,
            known_tokens=known_tokens,
            mixing=mixing,
            shows_text=shows_text,
        )


def one_text(texts: AbstractContextManager[Texts], prompt: Sequence[int], sampling: Sampling) -> Iterator[int]:
    """The tokens of one text after its prompt, until it ends or has max_tokens."""
    with texts as opened:
        row = opened.join(prompt, sampling)
        while row in opened:
            token = opened.step()[row]
            if token is not None:
                yield token
