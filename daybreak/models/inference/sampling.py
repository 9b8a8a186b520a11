"""Decoding: from a prompt to tokens, one at a time, with cached keys and values."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from daybreak.core.errors import UsageError
from daybreak.core.request import LARGEST_SEED
from daybreak.models.inference.decoder import Decoder

# Probabilities [V] of a network and the tokens so far, to probabilities [V]: the decode seam.
Mixing = Callable[[Tensor, Sequence[int]], Tensor]


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


@torch.inference_mode()
def generate(
    decoder: Decoder,
    prompt: Sequence[int],
    *,
    max_tokens: int,
    end_of_text: int,
    seed: int,
    temperature: float = 0.8,
    top_p: float = 1.0,
    top_k: int = 0,
    known_tokens: int | None = None,
    may_end: Callable[[Sequence[int]], bool] = lambda written: True,
    mixing: Mixing | None = None,
) -> Iterator[int]:
    """Tokens after the prompt, until the end of the text or max_tokens.

    known_tokens: ids from here on have no bytes (the table is padded) and are never chosen. may_end: whether the text
    may end behind the tokens written so far; until it may, the end of the text is not chosen, and it is asked no more
    once it has said so. What is longer than the trained context is continued from its last half, so the work per token
    stays bounded.
    """
    context = decoder.context
    generator = torch.Generator().manual_seed(seed)
    tokens = [end_of_text, *prompt]
    ending = False
    with decoder.state() as state:
        for index in range(max_tokens):
            if index == 0:
                logits_V = state.begin(tokens[-context:])
            elif state.length == context:
                logits_V = state.begin(tokens[-max(1, context // 2) :])
            else:
                logits_V = state.step(tokens[-1])
            if known_tokens is not None:
                logits_V[known_tokens:] = -torch.inf
            if mixing is not None:
                logits_V = mixing(torch.softmax(logits_V, -1), tokens).log()
            ending = ending or may_end(tokens[1 + len(prompt) :])
            if not ending:
                logits_V[end_of_text] = -torch.inf
            token = chosen(logits_V, generator, temperature=temperature, top_p=top_p, top_k=top_k)
            if token == end_of_text:
                return
            tokens.append(token)
            yield token


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
