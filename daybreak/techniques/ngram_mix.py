"""Interpolation of the network with a Kneser-Ney n-gram model, by weights fitted on held-out text."""

import json
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import ClassVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from daybreak.core.run import Run, usual_mode, write_json
from daybreak.core.types import Decisions, Machine
from daybreak.data.batches import Windows
from daybreak.models.inference.mixture import Mixture, Weights, fitted_weights
from daybreak.models.inference.predictors import Counts, Network
from daybreak.models.ngram.cost import LEAST_TOKENS, SECONDS_PER_TOKEN_AND_ORDER, countable
from daybreak.models.ngram.kneser_ney import KneserNey, count_beginning
from daybreak.techniques import Context, Slot, Technique

COUNTS = Slot[KneserNey]("ngram_mix")


@dataclass(frozen=True, kw_only=True)
class NgramMix(Technique):
    """p = (1 - w) network + w Kneser-Ney (arXiv:cmp-lg/9606011), both over the same tokens: a distribution.

    What the network has not had the time to learn by heart, counting knows at once. It needs more than `model/`, so its
    figure is shown beside the model's own and never in its place.
    """

    claim: ClassVar[str] = "bits_per_byte"
    does: ClassVar[str] = "mixes Kneser-Ney counts of the training text into the predictions"
    refuses_when: ClassVar[str] = "where fewer than 50,000 tokens can be counted in its share of time, text and memory"
    order: int = 5  # tokens
    share: float = 0.06  # of the budget that counting may take; more text than that is not counted
    memory_share: float = 0.2  # of the memory, likewise

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        tokens = self.counted_tokens(plan, machine)
        if tokens < LEAST_TOKENS:
            return f"only {tokens} tokens could be counted in the time, text and memory set aside for it"
        return None

    def seconds(self, corpus_tokens: float, budget: float) -> float:
        """What counting will take of the budget."""
        return min(self.share * budget, corpus_tokens * self.order * SECONDS_PER_TOKEN_AND_ORDER)

    def counted_tokens(self, plan: Decisions, machine: Machine) -> int:
        seconds, memory_bytes = self.share * plan.budget.seconds, self.memory_share * machine.memory_bytes
        return min(plan.predicted.corpus_tokens, countable(self.order, seconds=seconds, memory_bytes=memory_bytes))

    def batches(self, batches: Windows, run: Context) -> tuple[Windows, int]:
        """Counts the training tokens; batches stay as they are."""
        most = int(1.05 * self.counted_tokens(run.plan, run.machine))  # what was planned is a guess
        vocabulary = run.plan.tokenizer.vocabulary
        run.leave(COUNTS, count_beginning(batches.tokens, most, order=self.order, vocabulary=vocabulary))
        return batches, 0

    def decode(self, predictor: Network, run: Context) -> tuple[Mixture, int]:
        assert run.run is not None
        ngram = run.left(COUNTS)
        if ngram is None:
            ngram = KneserNey.from_tensors(load_file(str(counts_file(run.run))))
        counts = Counts(ngram, end_of_text=predictor.end_of_text)
        if run.scored is not None:
            stream, network = run.scored
            weights = fitted_weights(network, *counts.stream(stream))
            _save(run.run, ngram.tensors(), weights)
        else:
            weights = Weights.from_json(json.loads(weights_file(run.run).read_text()))
        return Mixture(predictor, counts, weights), 1


def counts_file(run: Run) -> Path:
    return run.mixture_folder / "counts.safetensors"


def weights_file(run: Run) -> Path:
    return run.mixture_folder / "weights.json"


def _save(run: Run, tensors: dict[str, np.ndarray], weights: Weights) -> None:
    run.mixture_folder.mkdir(exist_ok=True)
    beside = counts_file(run).with_suffix(".part")
    try:
        save_file(tensors, str(beside))
        usual_mode(beside)
        beside.replace(counts_file(run))
    except SafetensorError as error:
        raise OSError(ENOSPC, str(error), str(beside)) from None
    write_json(weights_file(run), {"of": "counts", **weights.to_json()})
