"""Count: the training of the family ngram."""

import time
from typing import Any

import numpy as np

from daybreak.core.records import Measurement
from daybreak.core.shapes import NgramShape
from daybreak.models import ngram_files
from daybreak.models.ngram import SECONDS_PER_TOKEN_AND_ORDER, KneserNey, countable, counted
from daybreak.stages.bench import Bench
from daybreak.stages.scores import keep_scores

COUNTING_SHARE = 0.5  # of the time left and of the memory
SCORING_SHARE = 0.3  # of the time that counting leaves
LEAST_TOKENS = 10_000  # counted even where no time is left: a late model is better than none
TRIED_TOKENS = 65_536  # counted and scored first, for how long it takes here and now
LARGER = 1.5  # times the seconds of a token of few, where many no longer fit into the caches


def count(bench: Bench) -> dict[str, Any]:
    """The family ngram: counting is all the training there is."""
    shape = bench.plan.shape
    assert isinstance(shape, NgramShape)
    bench.ledger.enter("training")
    seconds, memory_bytes = COUNTING_SHARE * bench.remaining(), COUNTING_SHARE * bench.machine.memory_bytes
    slower = _times_slower(bench, shape.order)
    most = max(LEAST_TOKENS, countable(shape.order, seconds=seconds / slower, memory_bytes=memory_bytes))
    if most < len(bench.train):
        bench.warn(f"{most:,} of {len(bench.train):,} tokens are counted: more would not fit the time or the memory")
    model = counted(bench.train, most, order=shape.order, vocabulary=bench.tokenizer.vocabulary)
    bench.ledger.enter("the end")
    token_nats = _nats(bench, model)
    stream = bench.heldout.slice(0, token_nats.shape[1])
    sizes = bench.tokenizer.token_bytes[stream]
    nats = token_nats[:, sizes > 0].sum(1)
    best = int(nats.argmin())
    bench.ledger.enter("saving")
    ngram_files.save_ngram(bench.run.model_folder, model.at_order(best + 1), tokenizer_file=bench.run.tokenizer_file)
    total, tokens_scored = int(sizes.sum(dtype=np.int64)), int((sizes > 0).sum())
    bits = float(nats[best] / total / np.log(2))
    bench.record(Measurement(name="bits_per_byte", value=bits, unit="bits/byte", bytes=total, note=f"order {best + 1}"))
    keep_scores(bench, stream, token_nats[best])
    bench.ledger.enter("leaving")
    return {
        "bits_per_byte": bits,
        "perplexity": float(np.exp(nats[best] / tokens_scored)),
        "bytes": total,
        "tokens": tokens_scored,
    }


def _times_slower(bench: Bench, order: int) -> float:
    """Than counting is taken to be; measured on the beginning of the text. 1 where nothing may depend on the time."""
    few = min(len(bench.train), TRIED_TOKENS)
    if bench.plan.reproducible or not few:
        return 1.0
    begun = time.perf_counter()
    counted(bench.train, few, order=order, vocabulary=bench.tokenizer.vocabulary)
    taken = time.perf_counter() - begun
    return max(1.0, LARGER * taken / (few * order * SECONDS_PER_TOKEN_AND_ORDER))


def _nats(bench: Bench, model: KneserNey) -> np.ndarray:
    """float64 [orders, n] of the held-out tokens, or of the beginning that the time suffices for.

    The held-out documents are in the order of their hashes, so that a beginning stands for all of them.
    """
    every = len(bench.heldout)
    few = min(every, TRIED_TOKENS)
    begun = time.perf_counter()
    found = _scored(bench, model, few)
    taken = max(time.perf_counter() - begun, 1e-9)
    most = every
    if not bench.plan.reproducible:
        most = int(few * SCORING_SHARE * max(0.0, bench.remaining() - bench.margin()) / taken)
    return found if most <= few or few == every else _scored(bench, model, min(every, most))


def _scored(bench: Bench, model: KneserNey, tokens: int) -> np.ndarray:
    starts = bench.heldout.starts
    stream = bench.heldout.slice(0, tokens)
    return -np.log(model.probabilities(stream, starts=starts[starts < tokens]))
