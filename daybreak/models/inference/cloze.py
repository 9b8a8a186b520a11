"""Cloze: how likely models that read both sides of a gap find continuations, by tokens masked or by a gap filled.

Axes: B rows, S positions read, T positions written, P places of a row, N targets of all rows, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from daybreak.core.types import Specials
from daybreak.models.inference.likelihood import BATCH, STEP, Likelihood, Pair, judged, summed
from daybreak.models.module import LanguageModel

# Of a row, or of both sides of one.
Length = TypeVar("Length", int, tuple[int, int])


class Masked:
    """An encoder: each token of the continuation is masked in turn and told from all others.

    Their sum is the pseudo-log-likelihood (arXiv:1910.14659). It is no log-likelihood: a word of many tokens is easy,
    because its tokens give each other away. A text longer than the context is read through a window around each place.
    """

    method = "pseudo-log-likelihood"

    def __init__(
        self, module: LanguageModel, *, specials: Specials, end_of_text: int, known_tokens: int, batch: int = BATCH
    ) -> None:
        """module: called with tokens, attention_mask and where_BP, as models/bert.py's Bert.

        known_tokens: ids below it stand for text.
        """
        assert specials.mask is not None, "a tokenizer without a mask token"
        self.module, self.mask, self.pad = module, specials.mask, specials.pad
        self.end_of_text, self.known_tokens, self.batch = end_of_text, known_tokens, batch

    def log_likelihoods(self, pairs: Sequence[Pair], *, greedy: bool = False) -> list[Likelihood]:
        longest = self.module.shape.context_length
        of_pair: list[int] = []
        rows: list[tuple[int, ...]] = []
        places: list[int] = []
        targets: list[int] = []
        for index, (context, continuation) in enumerate(pairs):
            text = (self.end_of_text, *context, *continuation, self.end_of_text)
            for place in range(1 + len(context), len(text) - 1):
                start = max(0, min(place - longest // 2, len(text) - longest))
                of_pair.append(index)
                rows.append((*text[start:place], self.mask, *text[place + 1 : start + longest]))
                places.append(place - start)
                targets.append(text[place])
        nats, hits = [0.0] * len(pairs), [True] * len(pairs)
        for group in _alike([min(_stepped(len(row)), longest) for row in rows], self.batch):
            logits_NV = self._logits([rows[at] for at in group], [places[at] for at in group])
            told = judged(iter([logits_NV]), [targets[at] for at in group], self.known_tokens)
            for at, (value, hit) in zip(group, summed(*told, [1] * len(group)), strict=True):
                nats[of_pair[at]] += value
                hits[of_pair[at]] &= hit
        cut = [len(pair.context) + len(pair.continuation) + 2 > longest for pair in pairs]
        return [Likelihood(*one) for one in zip(nats, hits, cut, strict=True)]

    @torch.inference_mode()
    def _logits(self, rows: Sequence[tuple[int, ...]], places: Sequence[int]) -> Tensor:
        """At one place [N, V] of each row."""
        self.module.eval()
        device = self.module.lm_head.weight.device
        length = min(_stepped(len(rows[0])), self.module.shape.context_length)
        tokens_BT, mask_BT = _padded(rows, length, self.pad, device)
        where_BP = torch.tensor(places, device=device)[:, None]
        logits_NV: Tensor = self.module(tokens_BT, attention_mask=mask_BT, where_BP=where_BP)[:, 0]
        return logits_NV


class Infilled:
    """An encoder-decoder: it reads the context with a gap behind it, and the continuation is what it writes for it.

    What is too long to be read loses its beginning. A text without a context is all gap.
    """

    method = "log-likelihood of what fills a gap"

    def __init__(
        self, module: LanguageModel, *, specials: Specials, end_of_text: int, known_tokens: int, batch: int = BATCH
    ) -> None:
        """module: called with inputs, decoder_inputs and attention_mask, as models/t5.py's T5."""
        self.module, self.pad, self.sentinel = module, specials.pad, specials.sentinels[0]
        self.end_of_text, self.known_tokens, self.batch = end_of_text, known_tokens, batch

    def log_likelihoods(self, pairs: Sequence[Pair], *, greedy: bool = False) -> list[Likelihood]:
        room = self.module.shape.context_length - 2  # beside the sentinel and the end of the text
        read = [(*context[max(0, len(context) - room) :], self.sentinel, self.end_of_text) for context, _ in pairs]
        written = [tuple(continuation) for _, continuation in pairs]
        found = [(0.0, True)] * len(pairs)
        asked = [(_stepped(len(one)), _stepped(len(other) + 1)) for one, other in zip(read, written, strict=True)]
        for group in _alike(asked, self.batch):
            S, T = asked[group[0]]
            for at, one in zip(
                group, self._judged([read[i] for i in group], [written[i] for i in group], S, T), strict=True
            ):
                found[at] = one
        return [Likelihood(*one, len(pair.context) > room) for one, pair in zip(found, pairs, strict=True)]

    @torch.inference_mode()
    def _judged(
        self, read: Sequence[tuple[int, ...]], written: Sequence[tuple[int, ...]], S: int, T: int
    ) -> list[tuple[float, bool]]:
        self.module.eval()
        device = self.module.lm_head.weight.device
        inputs_BS, mask_BS = _padded(read, S, self.pad, device)
        begun_BT, _ = _padded([(self.pad, self.sentinel, *one[:-1]) for one in written], T, self.pad, device)
        logits_BTV = self.module(inputs_BS, begun_BT, mask_BS)
        # Behind the pad comes the sentinel, and behind that the continuation.
        logits_NV = torch.cat([row_TV[1 : 1 + len(one)] for row_TV, one in zip(logits_BTV, written, strict=True)])
        told = judged(iter([logits_NV]), [token for one in written for token in one], self.known_tokens)
        return summed(*told, [len(one) for one in written])


def _stepped(length: int) -> int:
    return -(-length // STEP) * STEP


def _alike(keys: Sequence[Length], most: int) -> Iterator[list[int]]:
    """Places of equal keys, at most so many at once; the largest keys first, as they need most memory."""
    by_key: dict[Length, list[int]] = {}
    for place, key in enumerate(keys):
        by_key.setdefault(key, []).append(place)
    for key in sorted(by_key, reverse=True):
        for start in range(0, len(by_key[key]), most):
            yield by_key[key][start : start + most]


def _padded(rows: Sequence[tuple[int, ...]], length: int, pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens and attention mask, int64 [B, length] each."""
    tokens = [(*row, *[pad] * (length - len(row))) for row in rows]
    mask = [[1] * len(row) + [0] * (length - len(row)) for row in rows]
    return torch.tensor(tokens, device=device), torch.tensor(mask, device=device)
