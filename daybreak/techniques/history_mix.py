"""A cache model: n-grams of the text read so far, mixed into the predictions (arXiv:1612.04426)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from daybreak.core.run import Run, write_json
from daybreak.models.inference.cache_ngrams import ORDER, History
from daybreak.models.inference.mixture import Mixture, Weights, fitted_weights
from daybreak.models.inference.predictors import Network
from daybreak.techniques import Context, Technique

UNFITTED = Weights(edges=(), values=(0.1,))  # of a run that was ended before its weights were fitted


@dataclass(frozen=True, kw_only=True)
class HistoryMix(Technique):
    """p = (1 - w) p + w p_history, a cache of n-grams (arXiv:1612.04426 is the same idea with hidden states).

    A network sees a window; names and phrases of a longer text come back behind it. Like the counts, it needs more than
    `model/`, so its figure is never shown in the place of the model's own.
    """

    claim: ClassVar[str] = "bits_per_byte"
    default: ClassVar[bool] = False  # one text at hand is short, and another's figure is not comparable
    does: ClassVar[str] = "mixes counts of the text at hand, as far as it was read, into the predictions"
    refuses_when: ClassVar[str] = "never"
    order: int = ORDER  # tokens

    def decode(self, predictor: Network | Mixture, run: Context) -> tuple[Mixture, int]:
        assert run.run is not None
        history = History(vocabulary=run.plan.tokenizer.vocabulary, end_of_text=predictor.end_of_text, order=self.order)
        if run.scored is not None:
            stream, network = run.scored
            before = network if isinstance(predictor, Network) else predictor.mixed(network, stream)
            weights = fitted_weights(before, *history.stream(stream[: len(before)]))
            weights_file(run.run).parent.mkdir(exist_ok=True)
            write_json(weights_file(run.run), weights.to_json())
        elif weights_file(run.run).exists():
            weights = Weights.from_json(json.loads(weights_file(run.run).read_text()))
        else:
            weights = UNFITTED
        return Mixture(predictor, history, weights), 1


def weights_file(run: Run) -> Path:
    return run.mixture_folder / "history.json"
