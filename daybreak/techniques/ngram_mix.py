"""An n-gram model mixed with the network while decoding and scoring, by a weight fitted on held-out text."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from safetensors.numpy import load_file, save_file

from daybreak.core.run import Run, write_json
from daybreak.core.types import Machine, Plan
from daybreak.models.ngram import KneserNey
from daybreak.models.predictors import Counts, Mixture, Network, fitted_weight
from daybreak.techniques import Context, Technique

SECONDS_PER_TOKEN_AND_ORDER = 4e-7  # of counting, on one core
BYTES_PER_TOKEN_AND_ORDER = 40


@dataclass(frozen=True, kw_only=True)
class NgramMix(Technique):
    """p = (1 - w) network + w Kneser-Ney, both over the same tokens, so the mixture is a distribution.

    What the network has not had the time to learn by heart, counting knows at once. It needs more than `model/`, so its
    figure is shown beside the model's own and never in its place.
    """

    claim: ClassVar[str] = "bits_per_byte"
    order: int = 5  # tokens
    largest_share: float = 0.04  # of the budget that counting may take
    most_tokens: int = 100_000_000  # counted, from the beginning of the training tokens

    def refuses(self, plan: Plan, machine: Machine) -> str | None:
        tokens = min(plan.predicted.corpus_tokens, self.most_tokens)
        seconds = tokens * self.order * SECONDS_PER_TOKEN_AND_ORDER
        if seconds > self.largest_share * plan.budget.seconds:
            return f"counting would take about {seconds:.0f} s of the budget"
        memory = tokens * self.order * BYTES_PER_TOKEN_AND_ORDER
        if memory > 0.3 * machine.memory_bytes:
            return f"the counts would take about {memory / 1e9:.0f} GB of memory"
        return None

    def batches(self, batches: Any, run: Context) -> tuple[Any, int]:
        """Counts the training tokens; batches stay as they are."""
        tokens = batches.tokens
        counted = min(len(tokens), self.most_tokens)
        starts = tokens.starts[tokens.starts < counted]
        ngram = KneserNey.fit(
            tokens.slice(0, counted), order=self.order, vocabulary=plan_vocabulary(run.plan), starts=starts
        )
        run.kept["ngram_mix"] = ngram
        return batches, 0

    def decode(self, predictor: Network, run: Context) -> tuple[Mixture, int]:
        assert run.run is not None
        ngram = run.kept.get("ngram_mix")
        if ngram is None:
            ngram = KneserNey.from_tensors(load_file(str(counts_file(run.run))))
        counts = Counts(ngram, end_of_text=predictor.end_of_text)
        if run.scored is not None:
            stream, network = run.scored
            weight = fitted_weight(network, counts.stream_nats(stream))
            _save(run.run, ngram.tensors(), weight)
        else:
            weight = json.loads(weight_file(run.run).read_text())["weight"]
        return Mixture(predictor, counts, weight), 1


def plan_vocabulary(plan: Plan) -> int:
    return plan.tokenizer.vocabulary


def counts_file(run: Run) -> Path:
    return run.mixture_folder / "counts.safetensors"


def weight_file(run: Run) -> Path:
    return run.mixture_folder / "weight.json"


def _save(run: Run, tensors: dict[str, np.ndarray], weight: float) -> None:
    run.mixture_folder.mkdir(exist_ok=True)
    save_file(tensors, str(counts_file(run)))
    write_json(weight_file(run), {"weight": weight, "of": "counts"})
