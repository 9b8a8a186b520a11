"""Evaluate: bits per byte and perplexity of a run's model on a text, every byte once."""

from pathlib import Path

import numpy as np

from daybreak.core.values import Json
from daybreak.evaluation.confidence import Ends, beside, bits, ends_of, of_hidden, of_text
from daybreak.evaluation.loaded import Loaded, load
from daybreak.evaluation.streams import heldout_stream, stream_of
from daybreak.models.inference.mixture import Mixture
from daybreak.models.inference.scores import Score, nats_of, summed
from daybreak.tasks import task_of
from daybreak.tasks.fill_mask import Filler, MaskFiller
from daybreak.tasks.scoring import figures_of, stream_windows

PSEUDO_TOKENS = 4096  # of a text; each one takes a forward pass of its window


def evaluate(path: str | Path, on: tuple[str, ...], *, device: str = "") -> Json:
    """Figures over every byte of the text: of `model/` alone, and of the mixture where the run has one.

    Raises DataError: no text. The keys are those of `daybreak evaluate --json`.
    """
    loaded = load(path, device=device)
    skipped: list[str] = []
    stream = stream_of(loaded.tokenizer, on, skipped) if on else heldout_stream(loaded.run, loaded.plan)
    said = {"skipped": skipped} if on else {}
    if isinstance(loaded.alone, Filler):
        return {"run": str(loaded.run), "needs": loaded.alone.needs, **_hidden(loaded, loaded.alone, stream), **said}
    windows = stream_windows(stream, loaded.tokenizer.end_of_text, loaded.context_length)
    nats = nats_of(loaded.alone, windows, stream)
    sizes = loaded.tokenizer.token_bytes
    figures = _figures(summed(nats, stream, sizes), of_text(stream, loaded.tokenizer, nats))
    result: Json = {"run": str(loaded.run), "needs": loaded.alone.needs, **figures}
    if isinstance(loaded.predictor, Mixture):
        mixed = loaded.predictor.mixed(nats, stream)
        result["mixture"] = {
            "needs": loaded.predictor.needs,
            "weight_of_counts": loaded.predictor.mean_weight(stream),
            **_figures(summed(mixed, stream, sizes), of_text(stream, loaded.tokenizer, mixed)),
        }
    return result | said


def _hidden(loaded: Loaded, filler: Filler, stream: np.ndarray) -> Json:
    """Of what is hidden in the text; of an encoder also every token hidden in its turn, in windows from all over."""
    answers = task_of(loaded.plan.objective).scorer(loaded.plan, loaded.tokenizer).score(filler.module, stream)
    headline = loaded.plan.headline
    figures = beside(figures_of(headline, answers.total()), of_hidden(headline, answers))
    if isinstance(filler, MaskFiller):
        figures["pseudo"] = _pseudo(loaded, filler, stream)
    return figures


def _pseudo(loaded: Loaded, filler: Filler, stream: np.ndarray) -> Json:
    """Pseudo-perplexity (arXiv:1910.14659); its bits per byte do not compare with those of a model of next tokens."""
    from daybreak.models.inference.pseudo_likelihood import pseudo_nats

    assert filler.specials.mask is not None
    length = loaded.context_length
    count = max(1, min(PSEUDO_TOKENS, len(stream)) // length)
    scores = []
    for start in np.linspace(0, max(0, len(stream) - length), count).astype(int).tolist():
        window = stream[start : start + length]
        sizes = loaded.tokenizer.token_bytes[window].astype(np.int64)
        places = np.flatnonzero(sizes).tolist()
        nats = pseudo_nats(filler.module, window.tolist(), filler.specials.mask, places=places)
        scores.append(Score(nats=float(nats.double().sum()), bytes=int(sizes.sum()), tokens=len(places)))
    nats_U, bytes_U, tokens_U = (np.array([vars(one)[name] for one in scores]) for name in ("nats", "bytes", "tokens"))
    ends = {"bits_per_byte": ends_of(nats_U, bytes_U, bits), "perplexity": ends_of(nats_U, tokens_U, np.exp)}
    return _figures(Score(nats=float(nats_U.sum()), bytes=int(bytes_U.sum()), tokens=int(tokens_U.sum())), ends)


def _figures(score: Score, ends: dict[str, Ends]) -> Json:
    figures = {
        "bits_per_byte": score.bits_per_byte,
        "perplexity": score.perplexity,
        "bytes": score.bytes,
        "tokens": score.tokens,
    }
    return beside(figures, ends)
