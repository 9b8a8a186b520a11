"""Choices: how likely a model finds given continuations of given contexts, the same in batches of any size.

Every row of a pass is as long as its own tokens ask for, in steps of STEP, and never longer because of its neighbours;
the head gets states in multiples of STEP. So what is computed for a row does not depend on the rows beside it, and on
one machine the shapes of its products do not either, but for the number of rows.

Axes: B rows, T positions, N targets of all rows, D width, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from daybreak.models.inference.predictors import Counts, Network
from daybreak.models.objectives import capped

BATCH = 16  # rows of a pass
STEP = 16  # tokens; a product of fewer rows takes another path through the libraries, and rounds in another way
HEAD_STATES = 512  # that have logits at once
COUNTED_AT_ONCE = 1 << 20  # tokens
COUNTED_ROWS = 16  # distributions over the vocabulary


class Pair(NamedTuple):
    """Tokens of a text, without any special ones: each family puts these where its training had them."""

    context: Sequence[int]
    continuation: Sequence[int]


class Likelihood(NamedTuple):
    log_likelihood: float  # of the whole continuation, in nats: at most 0
    greedy: bool  # each of its tokens is the likeliest at its place
    cut: bool  # the context was too long, and its beginning was left out


class Scorer(Protocol):
    """What zero-shot questions ask of a model of any family."""

    method: str  # what the log-likelihoods are, in words

    def log_likelihoods(self, pairs: Sequence[Pair], *, greedy: bool = False) -> list[Likelihood]:
        """One a pair, in order. greedy: whether it must be told; where it costs nothing it always is."""
        ...


class Window(NamedTuple):
    """A part of a pair that goes through a model at once: the last `targets` of the tokens are to be predicted."""

    tokens: tuple[int, ...]
    targets: int


def windows(pair: Pair, end_of_text: int, context_length: int) -> tuple[list[Window], bool]:
    """The windows that predict every token of the continuation once, and whether something of the context is left out.

    The context begins with the end-of-text token, as a document does in training. What is too long loses its beginning,
    that token first: so does a window that training cuts out of a document's middle. A continuation that is longer
    than the context of the model is predicted in parts, the last with as much before it as fits.
    """
    whole = (end_of_text, *pair.context, *pair.continuation)
    begin, length = 1 + len(pair.context), len(whole)
    parts = []
    for start in range(begin, length, context_length):
        stop = min(start + context_length, length)
        parts.append(Window(whole[max(0, stop - 1 - context_length) : stop], stop - start))
    return parts, length - 1 > context_length


class Causal:
    """A network that predicts each token from those before it."""

    method = "log-likelihood"

    def __init__(self, network: Network, *, batch: int = BATCH) -> None:
        self.module = network.module
        self.end_of_text, self.known_tokens = network.end_of_text, network.known_tokens
        self.device, self.batch = network.device, batch

    def log_likelihoods(self, pairs: Sequence[Pair], *, greedy: bool = False) -> list[Likelihood]:
        context_length = self.module.shape.context_length
        split = [windows(pair, self.end_of_text, context_length) for pair in pairs]
        # What is asked twice is computed once, so that equal options are equally likely to the last bit.
        distinct = list(dict.fromkeys(window for parts, _ in split for window in parts))
        found: dict[Window, tuple[float, bool]] = {}
        for batch in batches(distinct, self.batch, context_length):
            found.update(zip(batch, self._pass(batch, context_length), strict=True))
        return [
            Likelihood(sum(found[part][0] for part in parts), all(found[part][1] for part in parts), cut)
            for parts, cut in split
        ]

    @torch.inference_mode()
    def _pass(self, batch: Sequence[Window], context_length: int) -> list[tuple[float, bool]]:
        self.module.eval()
        # On an accelerator the number of rows chooses the kernels: there the last pass is filled up.
        rows = len(batch) if self.device.type == "cpu" else self.batch
        T = padded_length(batch[0], context_length)
        inputs_BT = np.full((rows, T), self.end_of_text, np.int64)
        where: list[int] = []
        targets: list[int] = []
        for row, (tokens, count) in enumerate(batch):
            inputs_BT[row, : len(tokens) - 1] = tokens[:-1]
            where += range(row * T + len(tokens) - 1 - count, row * T + len(tokens) - 1)
            targets += tokens[len(tokens) - count :]
        hidden_ND = self.module.hidden(torch.from_numpy(inputs_BT).to(self.device)).flatten(0, 1)
        logits = self._logits(hidden_ND[torch.tensor(where, device=self.device)])
        nats, hits = judged(logits, targets, self.known_tokens)
        return summed(nats, hits, [window.targets for window in batch])

    def _logits(self, hidden_ND: Tensor) -> Iterator[Tensor]:
        """Logits [., V] of the states, a part at a time."""
        missing = -len(hidden_ND) % STEP
        for part in F.pad(hidden_ND, (0, 0, 0, missing)).split(HEAD_STATES):
            yield capped(self.module.lm_head(part).float(), self.module.shape.logit_cap)


def padded_length(window: Window, context_length: int) -> int:
    """Positions of its inputs, in steps."""
    return min(-(-(len(window.tokens) - 1) // STEP) * STEP, context_length)


def batches(found: Sequence[Window], rows: int, context_length: int) -> Iterator[list[Window]]:
    """Windows of one length in steps, at most `rows` of them at once; the longest first, as they need most memory."""
    by_length: dict[int, list[Window]] = {}
    for window in found:
        by_length.setdefault(padded_length(window, context_length), []).append(window)
    for length in sorted(by_length, reverse=True):
        for start in range(0, len(by_length[length]), rows):
            yield by_length[length][start : start + rows]


def judged(logits: Iterator[Tensor], targets: Sequence[int], known_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Nats [N] of the targets, and whether each is the likeliest of the tokens below `known_tokens`.

    logits: [., V] in parts; those behind the last target are passed over.
    """
    nats, hits, done = [], [], 0
    for part_NV in logits:
        wanted_N = torch.tensor(targets[done : done + len(part_NV)], dtype=torch.int64, device=part_NV.device)
        done += len(part_NV)
        part_NV = part_NV[: len(wanted_N)]
        nats.append(F.cross_entropy(part_NV, wanted_N, reduction="none"))
        hits.append(part_NV[:, :known_tokens].argmax(-1) == wanted_N)
    return torch.cat(nats).cpu().numpy(), torch.cat(hits).cpu().numpy()


def summed(nats: np.ndarray, hits: np.ndarray, counts: Sequence[int]) -> list[tuple[float, bool]]:
    """Log-likelihood of each row, and whether all of it is likeliest. counts: targets of each row, in order."""
    found, done = [], 0
    for count in counts:
        part = slice(done, done + count)
        found.append((-float(nats[part].sum(dtype=np.float64)), bool(hits[part].all())))
        done += count
    return found


class Counted:
    """An n-gram model, which reads no further back than its order."""

    method = "log-likelihood"

    def __init__(self, counts: Counts) -> None:
        self.ngram, self.end_of_text = counts.ngram, counts.end_of_text

    def log_likelihoods(self, pairs: Sequence[Pair], *, greedy: bool = False) -> list[Likelihood]:
        found: list[Likelihood] = []
        waiting: list[tuple[tuple[int, ...], int]] = []
        size = 0
        for pair in pairs:
            count = len(pair.continuation)
            seen = (self.end_of_text, *pair.context, *pair.continuation)[-(count + self.ngram.order - 1) :]
            waiting.append((seen, count))
            size += len(seen)
            if size > COUNTED_AT_ONCE:
                found += self._scored(waiting, greedy)
                waiting, size = [], 0
        return found + self._scored(waiting, greedy)

    def _scored(self, rows: Sequence[tuple[tuple[int, ...], int]], greedy: bool) -> list[Likelihood]:
        if not rows:
            return []
        starts = np.cumsum([0, *(len(tokens) for tokens, _ in rows)])
        stream = np.fromiter((token for tokens, _ in rows for token in tokens), np.int64, starts[-1])
        logs = np.log(self.ngram.probabilities(stream, starts=starts[:-1])[self.ngram.order - 1])
        return [
            Likelihood(float(logs[end - count : end].sum()), greedy and self._likeliest(tokens, count), False)
            for (tokens, count), end in zip(rows, starts[1:], strict=True)
        ]

    def _likeliest(self, tokens: tuple[int, ...], count: int) -> bool:
        places = range(len(tokens) - count, len(tokens))
        for start in range(places.start, places.stop, COUNTED_ROWS):
            part = places[start - places.start :][:COUNTED_ROWS]
            likeliest_B = self.ngram.distributions([tokens[:place] for place in part]).argmax(-1)
            if not np.array_equal(likeliest_B, tokens[part.start : part.stop]):
                return False
        return True
