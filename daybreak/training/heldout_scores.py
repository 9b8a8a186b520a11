"""Held-out scores: what the end of a run has scored, kept for compare."""

import contextlib
from typing import TYPE_CHECKING

import numpy as np

from daybreak.data.blocks import block_order

if TYPE_CHECKING:
    from daybreak.tasks.scoring import Part
    from daybreak.training.state import TrainingState
from daybreak.evaluation.score_table import Scores

KEPT_TOKENS = 1_000_000  # of the held-out text, at most
KEPT_TOKENS_A_SECOND = 5000  # of the budget: keeping them takes about a thousandth of it


def keep_scores(
    state: "TrainingState",
    stream: np.ndarray,
    nats: np.ndarray,
    mixed: np.ndarray | None = None,
    *,
    where: np.ndarray | None = None,
) -> Scores | None:
    """Writes what the end of a run has scored, so that `compare` need not score it again. Costs no run its end.

    stream: all held-out tokens [n]; where: bool [n], those that were scored, of which alone nats and mixed are. Of a
    long text a part is kept that is spread over it, so that this takes a small share of the budget. What was kept comes
    back; None where it could not be.
    """
    try:
        for file in (state.run.scores_file, state.run.task_scores_file):
            file.unlink(missing_ok=True)  # of an earlier model, where a run was continued
        scored = np.ones(len(stream), bool) if where is None else where
        most = min(KEPT_TOKENS, int(KEPT_TOKENS_A_SECOND * state.plan.budget.seconds))
        kept = scored & _first_blocks(state.tokenizer.token_bytes[stream].astype(np.int64), scored, most)
        chosen = kept[scored]
        parts = nats[chosen], None if mixed is None else mixed[chosen]
        scores = Scores.of(stream, state.tokenizer, *parts, whole=len(stream) == len(state.heldout), where=kept)
        scores.save(state.run.scores_file)
        return scores
    except Exception as error:  # whatever it is, the model is there
        with contextlib.suppress(OSError):
            state.warn(f"the held-out scores could not be written: {error}")
        return None


def _first_blocks(sizes: np.ndarray, scored: np.ndarray, most: int) -> np.ndarray:
    """bool [n]: the blocks that come first in the order of scoring, with at most so many scored tokens in them.

    The first block is always among them.
    """
    order = block_order(sizes)
    tokens = np.cumsum(np.bincount(order, weights=scored))
    return order < max(1, int(np.searchsorted(tokens, most, side="right")))


def keep_hidden(state: "TrainingState", stream: np.ndarray, part: "Part", context: int) -> None:
    """As `keep_scores`, of a model that is judged by what is hidden from it."""
    try:
        state.run.scores_file.unlink(missing_ok=True)
        scores = Scores.of_hidden(stream, part.answers, state.plan.headline, context, where=part.windows)
        scores.save(state.run.scores_file)
    except Exception as error:  # whatever it is, the model is there
        with contextlib.suppress(OSError):
            state.warn(f"the held-out scores could not be written: {error}")
