"""Next token: each token from those before it, the objective of models that continue text."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from daybreak.core.metrics import BITS_PER_BYTE
from daybreak.core.types import Corpus, Decisions, Plan
from daybreak.data import batches
from daybreak.data.batches import Batch
from daybreak.data.blocks import spread_out
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.models.inference.predictors import Counts, Network
from daybreak.models.inference.scores import nats_of
from daybreak.models.module import LanguageModel
from daybreak.models.objectives import Head, following, full_logits, preceding, token_nats
from daybreak.tasks import Task, samples
from daybreak.tasks.scoring import EVALUATION_TOKENS, Part, TokenScores, stream_windows


class NextToken:
    """Each token from those before it; rows [B, T + 1] are inputs and targets at once."""

    def __init__(
        self,
        head: Head = full_logits,
        labels: Callable[[Tensor], Tensor] = following,
        inputs: Callable[[Tensor], Tensor] = preceding,
    ) -> None:
        self.head, self.labels, self.inputs = head, labels, inputs

    def targets(self, batch: Batch) -> int:
        rows, width = batch.tokens.shape
        return rows * (width - 1)

    def __call__(self, module: LanguageModel, batch: Batch) -> Tensor:
        rows = batch.tokens
        hidden_ND, targets_N = module.hidden(self.inputs(rows)).flatten(0, 1), self.labels(rows).flatten()
        return self.head(hidden_ND, module.lm_head.weight, targets_N, module.shape.logit_cap)

    @torch.no_grad()
    def scored(self, module: LanguageModel, batch: Batch) -> tuple[Tensor, None, Tensor]:
        """Nats [N] in float32 and targets [N] of rows [B, T + 1], N = B * T."""
        inputs_BT, targets_BT = self.inputs(batch.tokens), self.labels(batch.tokens)
        return token_nats(module, inputs_BT, targets_BT).flatten(), None, targets_BT.flatten()


class NextTokens:
    """Every token from those before it, once, in windows of the context that do not overlap."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def score(
        self, module: LanguageModel | Network | Counts, stream: np.ndarray, *, seconds: float = float("inf")
    ) -> TokenScores:
        end = self.tokenizer.end_of_text
        network = module if isinstance(module, Network | Counts) else self._network(module)
        context = network.module.shape.context_length if isinstance(network, Network) else 1024
        nats = nats_of(network, stream_windows(stream, end, context), stream, seconds=seconds)
        return TokenScores(nats=nats, sizes=self.tokenizer.token_bytes[stream[: len(nats)]].astype(np.int64))

    def score_spread(
        self, module: LanguageModel, stream: np.ndarray, *, seconds: float = float("inf"), tokens: int | None = None
    ) -> Part:
        end, context = self.tokenizer.end_of_text, module.shape.context_length
        sizes = self.tokenizer.token_bytes[stream].astype(np.int64)
        starts = np.arange(0, len(stream), context)
        order = spread_out(starts, sizes)[: None if tokens is None else max(1, -(-tokens // context))]
        network = self._network(module)
        rows = max(1, EVALUATION_TOKENS // context)
        chosen = batches.chosen_windows(stream, starts[order], context, rows=rows, end_of_text=end)
        found = nats_of(network, chosen, stream, seconds=seconds)
        nats, scored = np.zeros(len(stream), np.float32), np.zeros(len(stream), bool)
        places = (starts[order][:, None] + np.arange(context)).ravel()
        places = places[places < len(stream)][: len(found)]
        nats[places], scored[places] = found, True
        answers = TokenScores(nats=nats[scored], sizes=sizes[scored])
        return Part(answers=answers, windows=scored[starts], tokens=scored)

    def _network(self, module: LanguageModel) -> Network:
        return Network(module, end_of_text=self.tokenizer.end_of_text, known_tokens=self.tokenizer.vocabulary)


class _Task:
    """See tasks.Task."""

    name, metric, scored_share = "next_token", BITS_PER_BYTE, 1.0

    def expected(self, bits_per_byte: float, bytes_per_token: float, tokens: float) -> float:
        return bits_per_byte

    def batch(self, batch: Batch) -> Batch:
        return batch

    def head(self, module: LanguageModel, seed: int) -> list[nn.Parameter]:
        return []

    def loss(self, decisions: Decisions) -> NextToken:
        return NextToken()

    def scorer(self, decisions: Decisions, tokenizer: Tokenizer) -> NextTokens:
        return NextTokens(tokenizer)

    def decode(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def floor(self, corpus: Corpus) -> float | None:
        return corpus.ngram_bits_per_byte or None  # 0: it was not counted

    def filler(self, module: LanguageModel, tokenizer: Tokenizer, plan: Plan) -> None:
        return None

    def sample(self, plan: Plan, module: LanguageModel, tokenizer: Tokenizer, tokens: Sequence[int]) -> tuple[str, str]:
        return samples.continuation(plan, module, tokenizer, tokens)


TASK: Task = _Task()
