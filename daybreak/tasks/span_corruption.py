"""Span corruption: spans of a text taken out, a sentinel in the place of each, and all of them written by a decoder.

Axes in tensor names: B rows, T tokens of a text, S tokens read, W tokens written, N spans or targets, D width,
V vocabulary, X any number.
"""

import functools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from daybreak.core.errors import UsageError
from daybreak.core.metrics import SPAN_LOSS
from daybreak.core.types import Corpus, Decisions, Plan, Specials
from daybreak.data.augmentation import uniform_of
from daybreak.data.batches import Batch
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.engine import scaling
from daybreak.models.module import LanguageModel
from daybreak.models.objectives import Head, full_logits
from daybreak.tasks import Task, samples
from daybreak.tasks.fill_mask import Filler, SpanFiller
from daybreak.tasks.scoring import Hidden

# What the nats of a target are of those of a GPT's token, at the end and at the start; see `scaling.hidden_nats`.
END, START = 0.96, 125.0
DENSITY, MEAN_SPAN = 0.15, 3.0  # of the tokens, that are taken out; tokens in a span (arXiv:1910.10683, section 3.1.4)


def counts(length: int, density: float = DENSITY, mean_span: float = MEAN_SPAN) -> tuple[int, int]:
    """How many tokens are taken out of a text of `length` (at least 2), and in how many spans."""
    removed = min(max(round(length * density), 1), length - 1)
    return removed, min(max(round(removed / mean_span), 1), removed, length - removed)


def sizes(length: int, density: float = DENSITY, mean_span: float = MEAN_SPAN) -> tuple[int, int]:
    """How many tokens are read and written for a text of `length`, with the sentinels and an end of text on each side.

    They are the same for every row, so that every batch has the shapes of the one before.
    """
    removed, spans = counts(length, density, mean_span)
    return length - removed + spans + 1, removed + spans + 1


def check(length: int, sentinels: Sequence[int], density: float = DENSITY, mean_span: float = MEAN_SPAN) -> None:
    """Raises UsageError: a text of `length` tokens is too short, or has more spans than there are sentinels."""
    if not (0 < density < 1 and mean_span >= 1 and length >= 2):
        raise UsageError(
            "the span settings are out of range",
            received=f"a share of {density:g} in spans of {mean_span:g} tokens, out of {length}",
            attempt="a share between 0 and 1, in spans of at least one token, from at least two tokens",
        )
    spans = counts(length, density, mean_span)[1]
    if spans > len(sentinels):
        most = int(len(sentinels) * mean_span / density)
        raise UsageError(
            "the text has more spans than there are sentinel tokens",
            received=f"{spans} spans in {length} tokens, but only {len(sentinels)} sentinels",
            attempt=f"--set context_length={max(most, 2)} or less",
        )


def removed_places(drawn_BT: Tensor, removed: int, spans: int) -> Tensor:
    """bool [B, T]: which tokens of a text are taken out, by numbers in [0, 1) that were drawn for them.

    Those that stay and those that go are each divided into as many parts, every division as likely as another, and
    these take turns: a text begins with what stays and ends with what goes, as in the T5 paper's own code.
    """
    kept = drawn_BT.shape[1] - removed
    stay_BX = _part_of_each(drawn_BT[:, : kept - 1], spans)
    go_BX = _part_of_each(drawn_BT[:, kept - 1 : kept + removed - 2], spans)
    return torch.cat((2 * stay_BX, 2 * go_BX + 1), 1).sort(1).values % 2 == 1


def _part_of_each(drawn_BX: Tensor, parts: int) -> Tensor:
    """int64 [B, X + 1], rising from 0: which part each of X + 1 things is in, where no part is empty."""
    cuts = drawn_BX.argsort(stable=True, dim=1)[:, : parts - 1] + 1
    begins = torch.zeros(len(drawn_BX), drawn_BX.shape[1] + 1, dtype=torch.long, device=drawn_BX.device)
    return begins.scatter_(1, cuts, 1).cumsum(1)


def corrupted(tokens_BT: Tensor, gone_BT: Tensor, sentinels_X: Tensor, end_of_text: int) -> tuple[Tensor, Tensor]:
    """What is read, [B, S], and what is to be written, [B, W], both int64.

    gone: as `removed_places` says, with as many tokens and spans in every row. Read are the tokens that stay with a
    sentinel in the place of each span, written are each span's sentinel and its tokens; an end of text closes both.
    """
    begins = gone_BT.clone()
    begins[:, 1:] &= ~gone_BT[:, :-1]
    rows, removed, spans = len(tokens_BT), int(gone_BT[0].sum()), int(begins[0].sum())
    number = begins.long().cumsum(1) - 1
    sentinel = sentinels_X[number.clamp(min=0)]
    # Whatever has no place goes to one more column, which is cut off.
    read = tokens_BT.new_full((rows, tokens_BT.shape[1] - removed + spans + 2), end_of_text)
    stays = ~gone_BT | begins
    place = torch.where(stays, stays.long().cumsum(1) - 1, read.shape[1] - 1)
    read.scatter_(1, place, torch.where(begins, sentinel, tokens_BT))
    written = tokens_BT.new_full((rows, removed + spans + 2), end_of_text)
    place = gone_BT.long().cumsum(1) + number
    written.scatter_(1, torch.where(begins, place - 1, written.shape[1] - 1), sentinel)
    written.scatter_(1, torch.where(gone_BT, place, written.shape[1] - 1), tokens_BT)
    return read[:, :-1], written[:, :-1]


def shifted(targets_BW: Tensor, start: int) -> Tensor:
    """What a decoder reads while it writes the targets [B, W]: `start`, then all targets but the last."""
    return F.pad(targets_BW[:, :-1], (1, 0), value=start)


class SpanCorruption:
    """Spans from the text around them; rows [B, T + 1], whose last token is left out.

    drawn: from tokens [B, T], numbers in [0, 1) [B, T] that follow from a seed and each row itself, so that the spans
    do not depend on how a batch is split; nothing else here is random.
    """

    def __init__(
        self,
        specials: Specials,
        *,
        end_of_text: int,
        drawn: Callable[[Tensor], Tensor],
        density: float = DENSITY,
        mean_span: float = MEAN_SPAN,
        head: Head = full_logits,
    ) -> None:
        self.specials, self.end_of_text, self.drawn = specials, end_of_text, drawn
        self.density, self.mean_span, self.head = density, mean_span, head

    def targets(self, batch: Batch) -> int:
        rows, width = batch.tokens.shape
        return rows * sizes(width - 1, self.density, self.mean_span)[1]

    def examples(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """What is read [B, S], what the decoder reads [B, W] and the targets [B, W]. Raises UsageError; see `check`."""
        text_BT = batch.tokens[:, :-1]
        length, sentinels = text_BT.shape[1], self.specials.sentinels
        check(length, sentinels, self.density, self.mean_span)
        gone_BT = removed_places(self.drawn(text_BT), *counts(length, self.density, self.mean_span))
        sentinels_X = torch.tensor(sentinels, device=text_BT.device)
        read, targets = corrupted(text_BT, gone_BT, sentinels_X, self.end_of_text)
        return read, shifted(targets, self.specials.pad), targets

    def __call__(self, module: LanguageModel, batch: Batch) -> Tensor:
        """Summed nats of all targets: sentinels and the end of text are among them."""
        read, decoder_inputs, targets = self.examples(batch)
        hidden_ND = module.hidden(read, decoder_inputs).flatten(0, 1)
        return self.head(hidden_ND, module.lm_head.weight, targets.flatten())

    @torch.no_grad()
    def scored(self, module: LanguageModel, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Nats [N], float32, of every target, whether it is the likeliest token [N], bool, and the targets [N]."""
        read, decoder_inputs, targets = self.examples(batch)
        logits_NV, targets_N = module(read, decoder_inputs).flatten(0, 1), targets.flatten()
        nats_N = F.cross_entropy(logits_NV, targets_N, reduction="none")
        return nats_N, TASK.decode(logits_NV) == targets_N, targets_N


class _Task:
    """See tasks.Task."""

    name, metric, scored_share = "span_corruption", SPAN_LOSS, 0.2

    def expected(self, bits_per_byte: float, bytes_per_token: float, tokens: float) -> float:
        return scaling.hidden_nats(bits_per_byte, bytes_per_token, tokens, end=END, start=START)

    def batch(self, batch: Batch) -> Batch:
        return batch

    def head(self, module: LanguageModel, seed: int) -> list[nn.Parameter]:
        return []

    def loss(self, decisions: Decisions) -> SpanCorruption:
        return _loss(decisions, decisions.seed)

    def scorer(self, decisions: Decisions, tokenizer: Tokenizer) -> Hidden:
        return Hidden(_loss(decisions, 0), tokenizer, every=True)

    def decode(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def floor(self, corpus: Corpus) -> float | None:
        return None

    def filler(self, module: LanguageModel, tokenizer: Tokenizer, plan: Plan) -> Filler:
        return SpanFiller(module, tokenizer, plan)

    def sample(self, plan: Plan, module: LanguageModel, tokenizer: Tokenizer, tokens: Sequence[int]) -> tuple[str, str]:
        return samples.filled_gaps(self.filler(module, tokenizer, plan), plan, tokenizer, tokens)


def _loss(decisions: Decisions, seed: int) -> SpanCorruption:
    choice = decisions.tokenizer
    assert choice.specials is not None
    drawn = functools.partial(uniform_of, seed=seed, name="span_corruption")
    return SpanCorruption(choice.specials, end_of_text=choice.end(), drawn=drawn)


TASK: Task = _Task()
