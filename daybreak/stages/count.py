"""Count: the training of the family ngram."""

from typing import Any

import numpy as np

from daybreak.core.records import Measurement
from daybreak.core.shapes import NgramShape
from daybreak.models import files
from daybreak.models.ngram import countable, counted
from daybreak.stages.bench import Workbench
from daybreak.stages.scores import keep_scores

COUNTING_SHARE = 0.5  # of the time left and of the memory
LEAST_TOKENS = 10_000  # counted even where no time is left: a late model is better than none


def count(bench: Workbench) -> dict[str, Any]:
    """The family ngram: counting is all the training there is."""
    shape = bench.plan.shape
    assert isinstance(shape, NgramShape)
    bench.ledger.enter("training")
    seconds, memory_bytes = COUNTING_SHARE * bench.remaining(), COUNTING_SHARE * bench.machine.memory_bytes
    most = max(LEAST_TOKENS, countable(shape.order, seconds=seconds, memory_bytes=memory_bytes))
    if most < len(bench.train):
        bench.warn(f"{most:,} of {len(bench.train):,} tokens are counted: more would not fit the time or the memory")
    model = counted(bench.train, most, order=shape.order, vocabulary=bench.tokenizer.vocabulary)
    bench.ledger.enter("the end")
    stream = bench.heldout.slice(0, len(bench.heldout))
    heldout_starts = bench.heldout.starts
    sizes = bench.tokenizer.token_bytes[stream]
    token_nats = -np.log(model.probabilities(stream, starts=heldout_starts))  # [orders, n]
    nats = token_nats[:, sizes > 0].sum(1)
    best = int(nats.argmin())
    bench.ledger.enter("saving")
    files.save_ngram(bench.run.model_folder, model.at_order(best + 1), tokenizer_file=bench.run.tokenizer_file)
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
