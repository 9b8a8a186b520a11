"""Decoding: from a prompt to tokens, one at a time, with cached keys and values."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from daybreak.models.gpt import Gpt

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
    """One token. Temperature 0 takes the likeliest; top_k 0 and top_p 1 leave all tokens in."""
    if temperature == 0:
        return int(logits_V.argmax())
    logits_V = logits_V.float() / temperature
    if 0 < top_k < logits_V.numel():
        logits_V = logits_V.masked_fill(logits_V < logits_V.topk(top_k).values[-1], -torch.inf)
    probabilities_V = torch.softmax(logits_V, -1)
    if top_p < 1:
        # The smallest set whose mass reaches top_p (arXiv:1904.09751); the likeliest token always stays.
        ordered, order = probabilities_V.sort(descending=True)
        beyond = ordered.cumsum(0) - ordered >= top_p
        beyond[0] = False
        probabilities_V = probabilities_V.index_fill(0, order[beyond], 0.0)
    return int(torch.multinomial(probabilities_V, 1, generator=generator))


@torch.inference_mode()
def generate(
    module: Gpt,
    prompt: Sequence[int],
    *,
    max_tokens: int,
    end_of_text: int,
    seed: int,
    temperature: float = 0.8,
    top_p: float = 1.0,
    top_k: int = 0,
    known_tokens: int | None = None,
    mixing: Mixing | None = None,
) -> Iterator[int]:
    """Tokens after the prompt, until the end of the text or max_tokens.

    known_tokens: ids from here on have no bytes (the table is padded) and are never chosen. What is longer than the
    trained context is continued from its last half, so the work per token stays bounded.
    """
    device = module.lm_head.weight.device
    context = module.shape.context_length
    generator = torch.Generator(device).manual_seed(seed)
    tokens = [end_of_text, *prompt]
    fresh = tokens[-context:]
    caches = module.new_caches(1, context)
    for _ in range(max_tokens):
        if caches[0].length + len(fresh) > context:
            fresh = tokens[-max(1, context // 2) :]
            caches = module.new_caches(1, context)
        logits_V = module(torch.tensor([fresh], device=device), caches)[0, -1]
        if known_tokens is not None:
            logits_V[known_tokens:] = -torch.inf
        if mixing is not None:
            logits_V = mixing(torch.softmax(logits_V, -1), tokens).log()
        token = chosen(logits_V, generator, temperature=temperature, top_p=top_p, top_k=top_k)
        if token == end_of_text:
            return
        tokens.append(token)
        fresh = [token]
        yield token
