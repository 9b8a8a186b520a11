"""Fill: what an encoder would put in the place of its masks, and how likely it finds each token of a text.

Texts longer than the context are read through a window around each place. Axes: B rows, T positions, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from daybreak.models.module import LanguageModel

BATCH = 64  # rows of one forward pass


class Candidate(NamedTuple):
    token: int
    probability: float


def fills(
    module: LanguageModel,
    tokens: Sequence[int],
    mask: int,
    *,
    known_tokens: int,
    never: Sequence[int] = (),
    count: int = 5,
    batch: int = BATCH,
) -> list[list[Candidate]]:
    """For each mask in the tokens, in order, the likeliest tokens first.

    Each mask is filled for itself, while the others stay masks. known_tokens: ids below it are the tokenizer's. never:
    those of them that stand for no text, such as the end of a text or a pad. Neither they nor the rest of the table are
    offered, and probabilities are those among what is.
    """
    places = [place for place, token in enumerate(tokens) if token == mask]
    rows = [(list(tokens), place) for place in places]
    banned = torch.tensor(sorted(set(never)), dtype=torch.int64, device=module.lm_head.weight.device)
    found: list[list[Candidate]] = []
    for logits_BV in _logits(module, rows, batch):
        offered_BV = logits_BV[:, :known_tokens].index_fill(1, banned, -torch.inf)
        shares, ids = torch.softmax(offered_BV, -1).topk(min(count, known_tokens - len(banned)))
        for row_shares, row_ids in zip(shares.tolist(), ids.tolist(), strict=True):
            found.append([Candidate(*pair) for pair in zip(row_ids, row_shares, strict=True)])
    return found


def pseudo_nats(
    module: LanguageModel,
    tokens: Sequence[int],
    mask: int,
    *,
    places: Sequence[int] | None = None,
    words: Sequence[int] | None = None,
    batch: int = BATCH,
) -> Tensor:
    """Nats, float32 [len(places)], of each token where it alone is masked: pseudo-log-likelihood (arXiv:1910.14659).

    places: of the tokens that count, all by default; ends of text should not. words: the number of the word that each
    token belongs to; with it, the later tokens of the same word are masked, too, since they would give an earlier one
    away (arXiv:2305.10588).
    """
    places = range(len(tokens)) if places is None else places
    rows = [(_hidden(tokens, place, mask, words), place) for place in places]
    nats = [torch.zeros(0)]
    targets = torch.tensor([tokens[place] for place in places], device=module.lm_head.weight.device)
    for logits_BV, targets_B in zip(_logits(module, rows, batch), targets.split(batch), strict=False):
        nats.append(F.cross_entropy(logits_BV, targets_B, reduction="none").cpu())
    return torch.cat(nats)


def _hidden(tokens: Sequence[int], place: int, mask: int, words: Sequence[int] | None) -> list[int]:
    hidden = list(tokens)
    hidden[place] = mask
    for later in range(place + 1, len(hidden)):
        if words is None or words[later] != words[place]:
            break
        hidden[later] = mask
    return hidden


@torch.inference_mode()
def _logits(module: LanguageModel, rows: Sequence[tuple[list[int], int]], batch: int) -> Iterator[Tensor]:
    """Logits [B, V] at one place of each row; rows are of one length."""
    module.eval()
    device, longest = module.lm_head.weight.device, module.shape.context_length
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        windows, wheres = zip(*(_window(row, place, longest) for row, place in part), strict=True)
        tokens_BT = torch.tensor(windows, device=device)
        yield module(tokens_BT, where_BP=torch.tensor(wheres, device=device)[:, None])[:, 0]


def _window(row: list[int], place: int, length: int) -> tuple[list[int], int]:
    """At most `length` tokens around a place, as many on both sides as there are, and the place in them."""
    start = max(0, min(place - length // 2, len(row) - length))
    return row[start : start + length], place - start
