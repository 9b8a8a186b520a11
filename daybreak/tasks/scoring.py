"""Scoring: held-out text scored by a model of any task, and what comes back."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from daybreak.core.metrics import Metric
from daybreak.core.values import Json
from daybreak.data import batches
from daybreak.data.batches import Batch
from daybreak.data.blocks import spread_out
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.models.inference.scores import Score
from daybreak.models.module import LanguageModel

EVALUATION_TOKENS = 8192  # of one forward pass


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenScores:
    """Nats of every target in order, with the bytes of text behind each."""

    nats: np.ndarray  # float32 [n]
    sizes: np.ndarray  # int64 [n]; none behind special tokens
    hits: np.ndarray | None = None  # bool [n]: whether the likeliest token was the right one
    every: bool = False  # whether targets without bytes count, too
    of_a_row: int = 1  # targets

    def __len__(self) -> int:
        return len(self.nats)

    def first(self, count: int) -> Self:
        return self.part(slice(count))

    def part(self, of: slice | np.ndarray) -> Self:
        hits = None if self.hits is None else self.hits[of]
        return replace(self, nats=self.nats[of], sizes=self.sizes[of], hits=hits)

    def counted(self) -> np.ndarray:
        """bool [n]: the targets that metrics count."""
        return np.ones(len(self), bool) if self.every else self.sizes > 0

    def columns(self) -> dict[str, np.ndarray]:
        """What each target [n] adds to the sums of a metric, by their names."""
        columns = {"nats": self.nats, "bytes": self.sizes, "tokens": np.ones(len(self), bool)}
        return columns if self.hits is None else {**columns, "correct": self.hits}

    def total(self) -> Score:
        counted = self.counted()
        return Score(
            nats=float(self.nats[counted].sum(dtype=np.float64)),
            bytes=int(self.sizes.sum()),
            tokens=int(counted.sum()),
            hits=None if self.hits is None else int(self.hits[counted].sum()),
        )


def loss(metric: Metric, score: Score) -> float:
    """What training makes small, of a score; see Metric.loss."""
    return metric.loss(metric.value(score.sums()), score.nats / score.tokens if score.tokens else float("nan"))


def figures_of(metric: Metric, score: Score) -> Json:
    """The values of a score by name, the metric first; the keys are those of --json."""
    return {
        metric.name: metric.value(score.sums()),
        "perplexity": score.perplexity,
        "bytes": score.bytes,
        "tokens": score.tokens,
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """What was scored of a text: windows from all over it, or all of them."""

    answers: TokenScores  # in the order of the text
    windows: np.ndarray  # bool [w]: those of the text that were scored
    tokens: np.ndarray  # bool [n]: the tokens of the text in them

    @property
    def whole(self) -> bool:
        return bool(self.windows.all())


class TaskLoss(Protocol):
    """The loss of a task: what training makes small, and what is scored of held-out rows."""

    def __call__(self, module: LanguageModel, batch: Batch) -> Tensor:
        """Summed nats of all targets."""
        ...

    def targets(self, batch: Batch) -> int: ...

    def scored(self, module: LanguageModel, batch: Batch) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Of every target: nats [N], whether it was predicted [N] and the token that it is [N].

        The second is None where it is not looked at, and the third where targets are no tokens.
        """
        ...


class Scorer(Protocol):
    """Of a plan: the same text gives the same questions, whatever model is asked."""

    def score(self, module: LanguageModel, stream: np.ndarray, *, seconds: float = float("inf")) -> TokenScores:
        """stream: held-out tokens [n] with the end-of-text token before each document; as much of it as time allows."""
        ...

    def score_spread(
        self, module: LanguageModel, stream: np.ndarray, *, seconds: float = float("inf"), tokens: int | None = None
    ) -> Part:
        """As `score`, and what is scored where there is not the time for all is spread over the text.

        tokens: about how many are to be scored at most. What is asked of a token is the same as in `score`.
        """
        ...


class Hidden:
    """Targets of rows, such as tokens that are hidden in them; which ones follows from the text alone."""

    def __init__(
        self, loss: TaskLoss, tokenizer: Tokenizer, *, every: bool, label: Callable[[Batch], Batch] | None = None
    ) -> None:
        """every: whether targets without bytes count, too. label: gives rows the labels that the loss reads."""
        self.loss, self.every, self.label = loss, every, label
        self.sizes = tokenizer.token_bytes.astype(np.int64)

    def score(self, module: LanguageModel, stream: np.ndarray, *, seconds: float = float("inf")) -> TokenScores:
        return self._answers(module, list(self.rows(stream, module.shape.context_length)), seconds)

    def _answers(self, module: LanguageModel, rows: list[np.ndarray], seconds: float) -> TokenScores:
        module.eval()
        begun = time.perf_counter()
        nats, hits, sizes = [], [], []
        device = next(module.parameters()).device
        for done, part in enumerate(rows, 1):
            batch = Batch(torch.from_numpy(part))
            own, right, tokens = self.loss.scored(module, (self.label(batch) if self.label else batch).to(device))
            nats.append(own.float().cpu().numpy())
            if right is not None:
                hits.append(right.cpu().numpy())
            known = np.append(self.sizes, 0)  # behind the tokenizer's own stand special ones
            places = np.full(len(own), len(self.sizes)) if tokens is None else tokens.cpu().numpy()
            sizes.append(known[np.minimum(places, len(self.sizes))])
            passed = time.perf_counter() - begun
            if passed + passed / done > seconds:
                break
        if not nats:
            return TokenScores(nats=np.zeros(0, np.float32), sizes=np.zeros(0, np.int64), hits=np.zeros(0, bool))
        return TokenScores(
            nats=np.concatenate(nats),
            sizes=np.concatenate(sizes),
            hits=np.concatenate(hits) if hits else None,
            every=self.every,
            of_a_row=len(nats[0]) // len(rows[0]),
        )

    def score_spread(
        self, module: LanguageModel, stream: np.ndarray, *, seconds: float = float("inf"), tokens: int | None = None
    ) -> Part:
        context = min(module.shape.context_length, max(1, len(stream) - 1))
        starts = np.arange(0, len(stream) - context, context)
        known = np.append(self.sizes, 0)
        order = spread_out(starts, known[np.minimum(stream, len(self.sizes))])
        order = order[: None if tokens is None else max(1, -(-tokens // context))]
        found = self._answers(module, list(_rows(stream, starts[order], context)), seconds)
        done = order[: len(found) // max(1, found.of_a_row)]
        scored, windows = np.zeros(len(stream), bool), np.zeros(len(starts), bool)
        windows[done] = True
        scored[(starts[done][:, None] + np.arange(context)).ravel()] = True
        targets = np.argsort(done, kind="stable")[:, None] * found.of_a_row + np.arange(found.of_a_row)
        return Part(answers=found.part(targets.ravel()), windows=windows, tokens=scored)

    @staticmethod
    def rows(stream: np.ndarray, context: int) -> Iterator[np.ndarray]:
        """Windows [rows, context + 1] that do not overlap but for their last token; a rest is left out."""
        context = min(context, max(1, len(stream) - 1))
        return _rows(stream, np.arange(0, len(stream) - context, context), context)


def _rows(stream: np.ndarray, starts: np.ndarray, context: int) -> Iterator[np.ndarray]:
    """Batches [rows, context + 1] of the windows that start at these tokens [w]."""
    rows = max(1, EVALUATION_TOKENS // context)
    for first in range(0, len(starts), rows):
        places = starts[first : first + rows, None] + np.arange(context + 1)
        yield stream[places].astype(np.int64)


def stream_windows(
    stream: np.ndarray, end_of_text: int, context_length: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rows = max(1, EVALUATION_TOKENS // context_length)
    return batches.windows(stream, context_length, rows=rows, end_of_text=end_of_text)
