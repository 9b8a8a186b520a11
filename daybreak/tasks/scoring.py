"""Exams: how held-out text is put to a model of any family, and what comes back."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import torch

from daybreak.core.metrics import Metric
from daybreak.core.types import Plan
from daybreak.data import batches
from daybreak.data.batches import Batch
from daybreak.data.blocks import spread_out
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.models.predictors import Counts, Network, Score, nats_of
from daybreak.tasks.aims import objective_of

EVALUATION_TOKENS = 8192  # of one forward pass


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
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

    def score(self) -> Score:
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


def figures_of(metric: Metric, score: Score) -> dict[str, Any]:
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

    answers: Answers  # in the order of the text
    windows: np.ndarray  # bool [w]: those of the text that were scored
    tokens: np.ndarray  # bool [n]: the tokens of the text in them

    @property
    def whole(self) -> bool:
        return bool(self.windows.all())


class Exam(Protocol):
    """Of a plan: the same text gives the same questions, whatever model is asked."""

    def put(self, module: Any, stream: np.ndarray, *, seconds: float = float("inf")) -> Answers:
        """stream: held-out tokens [n] with the end-of-text token before each document; as much of it as time allows."""
        ...

    def put_spread(
        self, module: Any, stream: np.ndarray, *, seconds: float = float("inf"), tokens: int | None = None
    ) -> Part:
        """As `put`, and what is scored where there is not the time for all is spread over the text.

        tokens: about how many are to be scored at most. What is asked of a token is the same as in `put`.
        """
        ...


def exam_of(plan: Plan, tokenizer: Tokenizer) -> Exam:
    if plan.objective == "next_token":
        return NextTokens(tokenizer)
    return Hidden(objective_of(plan.replace(seed=0)), tokenizer, every=plan.objective == "span_corruption")


class NextTokens:
    """Every token from those before it, once, in windows of the context that do not overlap."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def put(self, module: Any, stream: np.ndarray, *, seconds: float = float("inf")) -> Answers:
        end = self.tokenizer.end_of_text
        network: Network | Counts
        network = module
        if not isinstance(module, Network | Counts):
            network = Network(module, end_of_text=end, known_tokens=self.tokenizer.vocabulary)
        context = network.module.shape.context_length if isinstance(network, Network) else 1024
        nats = nats_of(network, stream_windows(stream, end, context), stream, seconds=seconds)
        return Answers(nats=nats, sizes=self.tokenizer.token_bytes[stream[: len(nats)]].astype(np.int64))

    def put_spread(
        self, module: Any, stream: np.ndarray, *, seconds: float = float("inf"), tokens: int | None = None
    ) -> Part:
        end, context = self.tokenizer.end_of_text, module.shape.context_length
        sizes = self.tokenizer.token_bytes[stream].astype(np.int64)
        starts = np.arange(0, len(stream), context)
        order = spread_out(starts, sizes)[: None if tokens is None else max(1, -(-tokens // context))]
        network = Network(module, end_of_text=end, known_tokens=self.tokenizer.vocabulary)
        rows = max(1, EVALUATION_TOKENS // context)
        chosen = batches.chosen_windows(stream, starts[order], context, rows=rows, end_of_text=end)
        found = nats_of(network, chosen, stream, seconds=seconds)
        nats, scored = np.zeros(len(stream), np.float32), np.zeros(len(stream), bool)
        places = (starts[order][:, None] + np.arange(context)).ravel()
        places = places[places < len(stream)][: len(found)]
        nats[places], scored[places] = found, True
        answers = Answers(nats=nats[scored], sizes=sizes[scored])
        return Part(answers=answers, windows=scored[starts], tokens=scored)


class Hidden:
    """Tokens that an objective hides, from those around them; which ones follows from the text alone."""

    def __init__(self, objective: Any, tokenizer: Tokenizer, *, every: bool) -> None:
        self.objective, self.every = objective, every
        self.sizes = tokenizer.token_bytes.astype(np.int64)

    def put(self, module: Any, stream: np.ndarray, *, seconds: float = float("inf")) -> Answers:
        return self._answers(module, list(self.rows(stream, module.shape.context_length)), seconds)

    def _answers(self, module: Any, rows: list[np.ndarray], seconds: float) -> Answers:
        module.eval()
        begun = time.perf_counter()
        nats, hits, sizes = [], [], []
        device = module.lm_head.weight.device
        for done, part in enumerate(rows, 1):
            targets = self.objective.scored(module, Batch(torch.from_numpy(part)).to(device))
            nats.append(targets[0].float().cpu().numpy())
            hits.append(targets[1].cpu().numpy())
            known = np.append(self.sizes, 0)  # behind the tokenizer's own stand special ones
            sizes.append(known[np.minimum(targets[2].cpu().numpy(), len(self.sizes))])
            passed = time.perf_counter() - begun
            if passed + passed / done > seconds:
                break
        if not nats:
            return Answers(nats=np.zeros(0, np.float32), sizes=np.zeros(0, np.int64), hits=np.zeros(0, bool))
        return Answers(
            nats=np.concatenate(nats),
            sizes=np.concatenate(sizes),
            hits=np.concatenate(hits),
            every=self.every,
            of_a_row=len(nats[0]) // len(rows[0]),
        )

    def put_spread(
        self, module: Any, stream: np.ndarray, *, seconds: float = float("inf"), tokens: int | None = None
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
