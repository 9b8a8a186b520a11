"""Masked tokens: an encoder's objective, to tell tokens that were taken out of a row from those on both sides.

Every row has as many targets as every other, so that shapes stay the same, and only these go through the last layer's
MLP and the head (sparse prediction: arXiv:1907.11692's code, arXiv:2212.14034). Axes: B rows, T positions, P targets
of a row, N targets of all rows, D width, V vocabulary.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from daybreak.core.errors import UsageError
from daybreak.core.metrics import MASKED_ACCURACY
from daybreak.core.types import Corpus, Decisions, Plan, Specials
from daybreak.data.augmentation import uniform_of
from daybreak.data.batches import Batch
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.engine import scaling
from daybreak.models.module import LanguageModel
from daybreak.models.objectives import Head, full_logits, preceding
from daybreak.tasks import Task, samples
from daybreak.tasks.fill_mask import Filler, MaskFiller
from daybreak.tasks.scoring import Hidden

RATE = 0.3  # of the tokens, in training (arXiv:2202.08005)
SCORED_RATE = 0.15  # in scoring, as MosaicBERT has it (arXiv:2312.17482)
SCORED_SEED = 0  # the same targets for every run, so that their figures can be compared

# What the nats of a target are of those of a GPT's token, at the end and at the start; see `scaling.hidden_nats`.
END, START = 0.625, 600.0
ACCURACY = (0.33, -0.426)  # the logarithm of the share that is right, at no nats and for each

Uniform = Callable[[Tensor, int, str], Tensor]  # rows [B, T], a seed and a name to numbers [B, T] in [0, 1)


class MaskedTokens:
    """Targets are drawn by the seed and the row itself, so that it does not matter how a batch is split."""

    def __init__(
        self,
        uniform: Uniform,
        *,
        seed: int,
        specials: Specials,
        end_of_text: int,
        known_tokens: int,
        rate: float = RATE,
        random: float = 0.0,
        kept: float = 0.0,
        head: Head = full_logits,
    ) -> None:
        """uniform: data/augmentation.py's uniform_of. known_tokens: ids below it are the tokenizer's own.

        rate: share of a row that is predicted. random and kept: shares of these whose input is a random token, and
        the token itself, in the place of the mask; BERT had 0.1 each (arXiv:1810.04805), and at high rates the mask
        alone is better (arXiv:2202.08005). Raises UsageError: rates that are no shares.
        """
        if not (0 < rate < 1 and random >= 0 and kept >= 0 and random + kept <= 1):
            raise UsageError(
                "the shares of masked tokens are out of range",
                received=f"rate={rate:g}, random={random:g}, kept={kept:g}",
                attempt="a rate between 0 and 1, and random + kept at most 1",
            )
        assert specials.mask is not None, "a tokenizer without a mask token"
        self.uniform, self.seed, self.mask, self.known_tokens = uniform, seed, specials.mask, known_tokens
        self.spared = (end_of_text, specials.pad, specials.mask)
        self.rate, self.random, self.kept, self.head = rate, random, kept, head

    def targets(self, batch: Batch) -> int:
        """In rows [B, T + 1], of which the last token belongs to the next row."""
        rows, width = batch.tokens.shape
        return rows * count(width - 1, self.rate)

    def __call__(self, module: LanguageModel, batch: Batch) -> Tensor:
        text_BT = preceding(batch.tokens)
        where_BP = places(self.uniform(text_BT, self.seed, "masked_tokens"), text_BT, self.rate, self.spared)
        targets_BP = text_BT.gather(1, where_BP)
        inputs_BT = text_BT.scatter(1, where_BP, self._shown(text_BT, where_BP, targets_BP))
        hidden_ND = module.predicting(module.hidden(inputs_BT, where_BP).flatten(0, 1))
        head = module.lm_head
        return self.head(hidden_ND, head.weight, targets_BP.flatten(), 0.0, head.bias)

    def _shown(self, text_BT: Tensor, where_BP: Tensor, targets_BP: Tensor) -> Tensor:
        """What stands in the input where a token is predicted."""
        masks_BP = torch.full_like(targets_BP, self.mask)
        if not self.random + self.kept:
            return masks_BP
        drawn_BP = self.uniform(text_BT, self.seed, "shown_tokens").gather(1, where_BP)
        # Where a number is below the share, it is as good as new when it is stretched to [0, 1) again.
        others_BP = (drawn_BP * (self.known_tokens / max(self.random, 1e-9))).long().clamp_(max=self.known_tokens - 1)
        shown_BP = torch.where(drawn_BP < self.random, others_BP, masks_BP)
        return torch.where(drawn_BP >= 1 - self.kept, targets_BP, shown_BP)

    @torch.no_grad()
    def scored(self, module: LanguageModel, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Nats [N] in float32, hits [N] in bool and targets [N] of held-out rows [B, T + 1], N = B * round(0.15 * T).

        Every target is hidden by the mask, and which tokens are targets follows from the row alone.
        """
        text_BT = preceding(batch.tokens)
        where_BP = places(self.uniform(text_BT, SCORED_SEED, "scored_tokens"), text_BT, SCORED_RATE, self.spared)
        targets_N = text_BT.gather(1, where_BP).flatten()
        logits_NV = module(text_BT.scatter(1, where_BP, self.mask), where_BP=where_BP).flatten(0, 1)
        nats_N = F.cross_entropy(logits_NV, targets_N, reduction="none")
        return nats_N, TASK.decode(logits_NV) == targets_N, targets_N


def count(length: int, rate: float) -> int:
    """Targets in a row of so many tokens; at least one."""
    return max(1, round(rate * length))


def places(drawn_BT: Tensor, text_BT: Tensor, rate: float, spared: Sequence[int]) -> Tensor:
    """Places [B, P] of the targets in each row, in order: those with the smallest numbers drawn.

    Spared tokens are no targets while a row has others.
    """
    special_BT = torch.stack([text_BT == token for token in spared]).any(0)
    order_BT = torch.where(special_BT, drawn_BT + 1.0, drawn_BT).argsort(dim=1, stable=True)
    return order_BT[:, : count(text_BT.shape[1], rate)].sort(1).values


class _Task:
    """See tasks.Task."""

    name, metric, scored_share = "masked_tokens", MASKED_ACCURACY, SCORED_RATE

    def expected(self, bits_per_byte: float, bytes_per_token: float, tokens: float) -> float:
        nats = scaling.hidden_nats(bits_per_byte, bytes_per_token, tokens, end=END, start=START)
        at_none, each = ACCURACY
        return min(1.0, math.exp(at_none + each * nats))

    def batch(self, batch: Batch) -> Batch:
        return batch

    def head(self, module: LanguageModel, seed: int) -> list[nn.Parameter]:
        return []

    def loss(self, decisions: Decisions) -> MaskedTokens:
        return _loss(decisions, decisions.seed)

    def scorer(self, decisions: Decisions, tokenizer: Tokenizer) -> Hidden:
        return Hidden(_loss(decisions, 0), tokenizer, every=False)

    def decode(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def floor(self, corpus: Corpus) -> float | None:
        return None

    def filler(self, module: LanguageModel, tokenizer: Tokenizer, plan: Plan) -> Filler:
        return MaskFiller(module, tokenizer, plan)

    def sample(self, plan: Plan, module: LanguageModel, tokenizer: Tokenizer, tokens: Sequence[int]) -> tuple[str, str]:
        return samples.filled_gaps(self.filler(module, tokenizer, plan), plan, tokenizer, tokens)


def _loss(decisions: Decisions, seed: int) -> MaskedTokens:
    choice = decisions.tokenizer
    assert choice.specials is not None
    return MaskedTokens(
        uniform_of, seed=seed, specials=choice.specials, end_of_text=choice.end(), known_tokens=choice.vocabulary
    )


TASK: Task = _Task()
