"""N-grams: the training of the family ngram, which is counting."""

import time
from typing import cast

import numpy as np

from daybreak.core import units
from daybreak.core.records import Measurement
from daybreak.core.shapes import NgramShape
from daybreak.core.values import Json
from daybreak.evaluation.confidence import RESAMPLES_AT_THE_END, beside, of_cells
from daybreak.models.ngram import files
from daybreak.models.ngram.cost import SECONDS_PER_TOKEN_AND_ORDER, countable
from daybreak.models.ngram.kneser_ney import KneserNey, count_beginning
from daybreak.training.heldout_scores import keep_scores
from daybreak.training.state import TrainingState

COUNTING_SHARE = 0.5  # of the time left and of the memory
SCORING_SHARE = 0.3  # of the time that counting leaves
LEAST_TOKENS = 10_000  # counted even where no time is left: a late model is better than none
TRIED_TOKENS = 65_536  # counted and scored first, for how long it takes here and now
LARGER = 1.5  # times the seconds of a token of few, where many no longer fit into the caches


def train_ngram(state: TrainingState) -> Json:
    """The family ngram: counting is all the training there is."""
    shape = cast(NgramShape, state.plan.shape)
    state.ledger.enter("training")
    most = _most(state, shape.order)
    model = count_beginning(state.train, most, order=shape.order, vocabulary=state.tokenizer.vocabulary)
    state.ledger.enter("the end")
    token_nats = _nats(state, model)
    stream, scored = state.heldout.slice(0, len(state.heldout)), token_nats.shape[1]
    every = state.tokenizer.token_bytes[stream]
    sizes = every[:scored]
    nats = token_nats[:, sizes > 0].sum(1)
    best = int(nats.argmin())
    state.ledger.enter("saving")
    files.save_ngram(state.run.model_folder, model.at_order(best + 1), tokenizer_file=state.run.tokenizer_file)
    total, tokens_scored = int(sizes.sum(dtype=np.int64)), int((sizes > 0).sum())
    bits = float(nats[best] / total / np.log(2))
    kept = keep_scores(state, stream, token_nats[best], where=np.arange(len(stream)) < scored)
    figures: Json = {
        "bits_per_byte": bits,
        "perplexity": float(np.exp(nats[best] / tokens_scored)),
        "bytes": total,
        "tokens": tokens_scored,
        "heldout_share": total / max(1, int(every.sum(dtype=np.int64))),
    }
    figures = beside(figures, of_cells(kept, resamples=RESAMPLES_AT_THE_END) if kept else {})
    state.record(
        Measurement(
            name="bits_per_byte",
            value=bits,
            unit="bits/byte",
            bytes=total,
            note=f"order {best + 1}",
            interval=figures.get("bits_per_byte_interval"),
            share=figures["heldout_share"],
        )
    )
    state.ledger.enter("leaving")
    return figures


def _most(state: TrainingState, order: int) -> int:
    """How many tokens of the text are counted.

    Of a run that must repeat, as many as its whole budget says, not what is left of it; where that much time is not
    left, the deadline cuts the run.
    """
    pace, memory_bytes = _pace(state, order), COUNTING_SHARE * state.machine.memory_bytes

    def fitting(seconds: float) -> int:
        share = COUNTING_SHARE * seconds / pace
        most = max(LEAST_TOKENS, countable(order, seconds=share, memory_bytes=memory_bytes))
        return min(len(state.train), most)

    every = len(state.train)
    left = state.remaining() if state.timed() else state.plan.budget.seconds
    most = fitting(left)
    if not state.timed():
        # What is counted takes half of the budget at most, and may begin as late as that.
        in_time = fitting(state.remaining() / COUNTING_SHARE)
        if in_time < most:
            state.cut_short(f"the deadline left time to count {in_time:,} of {most:,} tokens")
            return in_time
    if most < every:
        state.warn(f"{most:,} of {every:,} tokens are counted: {_why(state, every, order, left, pace)}")
    return most


def _why(state: TrainingState, every: int, order: int, left: float, pace: float) -> str:
    """Why not all of the tokens are counted: for the time, or for the memory."""
    needed = pace * SECONDS_PER_TOKEN_AND_ORDER * order * every
    if needed > COUNTING_SHARE * left:
        return (
            f"all would take {units.duration(needed)}, and "
            f"{units.duration(COUNTING_SHARE * left)} are set aside for counting"
        )
    return f"all would take more than {COUNTING_SHARE:.0%} of the {units.size(state.machine.memory_bytes)} of memory"


def _pace(state: TrainingState, order: int) -> float:
    """Seconds of a token in those that counting is taken to need; measured on the beginning of the text.

    1 where nothing may depend on the time.
    """
    few = min(len(state.train), TRIED_TOKENS)
    if state.plan.reproducible or not few:
        return 1.0
    begun = time.perf_counter()
    count_beginning(state.train, few, order=order, vocabulary=state.tokenizer.vocabulary)
    taken = time.perf_counter() - begun
    return LARGER * taken / (few * order * SECONDS_PER_TOKEN_AND_ORDER)


def _nats(state: TrainingState, model: KneserNey) -> np.ndarray:
    """float64 [orders, n] of the held-out tokens, or of the beginning that the time suffices for.

    The held-out documents are in the order of their hashes, so that a beginning stands for all of them.
    """
    every = len(state.heldout)
    few = min(every, TRIED_TOKENS)
    begun = time.perf_counter()
    found = _scored(state, model, few)
    taken = max(time.perf_counter() - begun, 1e-9)
    most = every
    if not state.plan.reproducible:
        most = int(few * SCORING_SHARE * max(0.0, state.remaining() - state.margin()) / taken)
    return found if most <= few or few == every else _scored(state, model, min(every, most))


def _scored(state: TrainingState, model: KneserNey, tokens: int) -> np.ndarray:
    starts = state.heldout.starts
    stream = state.heldout.slice(0, tokens)
    return -np.log(model.probabilities(stream, starts=starts[starts < tokens]))
