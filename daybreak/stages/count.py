"""Count: the training of the family ngram."""

from typing import Any

import numpy as np

from daybreak.core.records import Measurement
from daybreak.core.types import NgramShape
from daybreak.models import files
from daybreak.models.ngram import KneserNey
from daybreak.stages.bench import Workbench


def count(bench: Workbench) -> dict[str, Any]:
    """The family ngram: counting is all the training there is."""
    shape = bench.plan.shape
    assert isinstance(shape, NgramShape)
    bench.ledger.enter("training")
    tokens = bench.train.slice(0, len(bench.train))
    model = KneserNey.fit(tokens, order=shape.order, vocabulary=bench.tokenizer.vocabulary, starts=bench.train.starts)
    bench.ledger.enter("the end")
    stream = bench.heldout.slice(0, len(bench.heldout))
    starts = bench.heldout.starts
    sizes = bench.tokenizer.token_bytes[stream]
    nats = -np.log(model.probabilities(stream, starts=starts)[:, sizes > 0]).sum(1)
    best = int(nats.argmin())
    bench.ledger.enter("saving")
    files.save_ngram(bench.run.model_folder, model.at_order(best + 1), tokenizer_file=bench.run.tokenizer_file)
    total, tokens_scored = int(sizes.sum(dtype=np.int64)), int((sizes > 0).sum())
    bits = float(nats[best] / total / np.log(2))
    bench.record(Measurement(name="bits_per_byte", value=bits, unit="bits/byte", bytes=total, note=f"order {best + 1}"))
    bench.ledger.enter("leaving")
    return {
        "bits_per_byte": bits,
        "perplexity": float(np.exp(nats[best] / tokens_scored)),
        "bytes": total,
        "tokens": tokens_scored,
    }
