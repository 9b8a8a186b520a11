"""Infilling: an encoder-decoder reads a text with gaps, writes what belongs in each, and the gaps are filled."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from daybreak.core.types import Specials
from daybreak.models.inference.sampling import chosen
from daybreak.models.t5 import T5


@torch.inference_mode()
def written(
    module: T5,
    inputs: Sequence[int],
    *,
    specials: Specials,
    end_of_text: int,
    max_tokens: int,
    seed: int = 0,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    known_tokens: int | None = None,
    may_end: Callable[[Sequence[int]], bool] = lambda written: True,
) -> Iterator[int]:
    """What the decoder writes after reading `inputs`, until the end of text or max_tokens; neither is given out.

    inputs: with the sentinels in them and `end_of_text` at their end, as the class was trained. known_tokens: ids from
    here on are no tokens of text; but for sentinels, they are never chosen. Temperature 0 takes the likeliest token.
    may_end: as in sampling.generate.
    """
    device = module.lm_head.weight.device
    generator = torch.Generator().manual_seed(seed)
    encoded_BSD = module.encode(torch.tensor([list(inputs)], device=device))
    caches = module.new_caches(encoded_BSD, max_tokens)
    never_V = _never(module.shape.vocabulary, specials, known_tokens).to(device)
    token, tokens, ending = specials.pad, list[int](), False
    for _ in range(max_tokens):
        hidden_BTD = module.decode(torch.tensor([[token]], device=device), None, caches=caches)
        logits_V = module.lm_head(hidden_BTD)[0, -1].float().masked_fill(never_V, -torch.inf)
        ending = ending or may_end(tokens)
        if not ending:
            logits_V[end_of_text] = -torch.inf
        token = chosen(logits_V, generator, temperature=temperature, top_p=top_p, top_k=top_k)
        if token == end_of_text:
            return
        tokens.append(token)
        yield token


def _never(vocabulary: int, specials: Specials, known_tokens: int | None) -> Tensor:
    """bool [V]: tokens that are not written."""
    never = torch.zeros(vocabulary, dtype=torch.bool)
    if known_tokens is not None:
        never[known_tokens:] = True
        never[list(specials.sentinels)] = False
    never[specials.pad] = True
    return never


def spans_of(tokens: Sequence[int], sentinels: Sequence[int]) -> dict[int, list[int]]:
    """What was written behind each sentinel; of one that comes twice, the first time counts."""
    known, spans = frozenset(sentinels), dict[int, list[int]]()
    current: list[int] = []  # what comes before the first sentinel belongs nowhere
    for token in tokens:
        if token in known:
            current = []
            spans.setdefault(token, current)
        else:
            current.append(token)
    return spans


def filled(inputs: Sequence[int], tokens: Sequence[int], sentinels: Sequence[int]) -> list[int]:
    """The inputs with what was written in the place of each sentinel; nothing where nothing was written for it."""
    known, spans = frozenset(sentinels), spans_of(tokens, sentinels)
    return [each for token in inputs for each in (spans.get(token, []) if token in known else [token])]
