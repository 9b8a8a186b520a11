"""Evaluate: bits per byte and perplexity of a run's model on a text, every byte once."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from daybreak import techniques
from daybreak.core import cache
from daybreak.core.errors import DataError, UsageError, nearest
from daybreak.core.run import Run
from daybreak.core.shapes import NgramShape
from daybreak.core.types import Plan
from daybreak.data import sources
from daybreak.data.tokenizers import Tokenizer
from daybreak.engine import machine as machines
from daybreak.evaluation.confidence import Ends, beside, bits, ends_of, of_hidden, of_text
from daybreak.models import decode_step, files, ngram_files
from daybreak.models.decoder import Decoder
from daybreak.models.families import decoder_of
from daybreak.models.fast import prepared
from daybreak.models.gpt import Gpt
from daybreak.models.predictors import Counts, Mixture, Network, Score, nats_of, summed
from daybreak.tasks.fill_mask import Filler
from daybreak.tasks.scoring import exam_of, stream_windows, told

PSEUDO_TOKENS = 4096  # of a text; each one takes a forward pass of its window
PRECISIONS = ("float32", "bfloat16")  # of the weights that are multiplied with


@dataclass(kw_only=True)
class Loaded:
    """A finished (or unfinished) run's model, ready to score and to continue text."""

    run: Run
    plan: Plan
    tokenizer: Tokenizer
    alone: Network | Counts | Filler  # from model/
    predictor: Any  # with the run's decode techniques
    context_length: int


def load(path: str | Path, *, device: str = "", without: tuple[str, ...] = (), precision: str = "float32") -> Loaded:
    """Reads `model/` of a run. precision: one of PRECISIONS.

    Raises UsageError: no such run or precision, or a run without a model yet.
    """
    if precision not in PRECISIONS:
        raise UsageError("an unknown precision", received=precision, attempt=nearest(precision, PRECISIONS))
    run = Run.with_model(path)
    plan = run.plan()
    chosen = machines.pick_device(device or (plan.request.device if plan.request else ""))
    tokenizer = Tokenizer.load(run.model_folder / "tokenizer.json")
    if isinstance(plan.shape, NgramShape):
        ngram = ngram_files.read_ngram(run.model_folder)
        counts = Counts(ngram, end_of_text=tokenizer.end_of_text, shows_text=tokenizer.shows_text)
        return Loaded(run=run, plan=plan, tokenizer=tokenizer, alone=counts, predictor=counts, context_length=1024)
    module = files.read(run.model_folder, chosen)
    module.compute_dtype = getattr(torch, precision)
    if plan.objective != "next_token":
        filler = Filler(module, tokenizer, plan)
        length = module.shape.context_length
        return Loaded(run=run, plan=plan, tokenizer=tokenizer, alone=filler, predictor=filler, context_length=length)
    known = tokenizer.vocabulary
    network = Network(
        module,
        end_of_text=tokenizer.end_of_text,
        known_tokens=known,
        shows_text=tokenizer.shows_text,
        prepare=decoder_for,
    )
    predictor: Any = network
    on = [(choice.name, techniques.make(choice)) for choice in plan.techniques if choice.name not in without]
    if any(run.mixture_folder.glob("*.json")):
        context = techniques.Context(plan=plan, machine=machines.described(chosen), run=run)
        predictor, _ = techniques.fold(on, "decode", network, context)
    return Loaded(
        run=run,
        plan=plan,
        tokenizer=tokenizer,
        alone=network,
        predictor=predictor,
        context_length=network.module.shape.context_length,
    )


def decoder_for(module: Gpt) -> Decoder:
    """The fastest on this machine; its compiled step is in the user's cache, or made there in a second or two."""
    if not isinstance(module, Gpt):
        return decoder_of(module)
    library = None
    if module.lm_head.weight.device.type == "cpu":
        library = decode_step.library(cache.folder() / "kernels", machines.compiler())
    return prepared(module, library)


def evaluate(path: str | Path, on: tuple[str, ...], *, device: str = "") -> dict[str, Any]:
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
    result: dict[str, Any] = {"run": str(loaded.run), "needs": loaded.alone.needs, **figures}
    if isinstance(loaded.predictor, Mixture):
        mixed = loaded.predictor.mixed(nats, stream)
        result["mixture"] = {
            "needs": loaded.predictor.needs,
            "weight_of_counts": loaded.predictor.mean_weight(stream),
            **_figures(summed(mixed, stream, sizes), of_text(stream, loaded.tokenizer, mixed)),
        }
    return result | said


def _hidden(loaded: Loaded, filler: Filler, stream: np.ndarray) -> dict[str, Any]:
    """Of what is hidden in the text; of an encoder also every token hidden in its turn, in windows from all over."""
    answers = exam_of(loaded.plan, loaded.tokenizer).put(filler.module, stream)
    headline = loaded.plan.headline
    figures = beside(told(headline, answers.score()), of_hidden(headline, answers))
    if loaded.plan.objective == "masked_tokens":
        figures["pseudo"] = _pseudo(loaded, filler, stream)
    return figures


def _pseudo(loaded: Loaded, filler: Filler, stream: np.ndarray) -> dict[str, Any]:
    """Pseudo-perplexity (arXiv:1910.14659); its bits per byte do not compare with those of a model of next tokens."""
    from daybreak.models.fill import pseudo_nats

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


def stream_of(tokenizer: Tokenizer, on: tuple[str, ...], skipped: list[str] | None = None) -> np.ndarray:
    """The tokens of files, folders and patterns. skipped: is given sentences on what of them is not read.

    Raises DataError: no text.
    """
    found = sources.search(on)
    texts = sources.Reading(found.files, named=[Path(name) for name in on if Path(name).is_file()])
    stream = encoded(tokenizer, iter(texts))
    if skipped is not None:
        skipped += [*found.notes(), *texts.findings.passed_over()]
    if not len(stream):
        raise DataError("there is no text to evaluate on", received=", ".join(on), attempt="a file with text in it")
    return stream


def heldout_stream(run: Run, plan: Plan) -> np.ndarray:
    """The run's own held-out tokens."""
    from daybreak.data.encode import encode

    _, held = encode(run, run.corpus(), plan.tokenizer)
    return held.slice(0, len(held))


def encoded(tokenizer: Tokenizer, documents: Iterator[sources.Document]) -> np.ndarray:
    """All documents as one stream, each opened by the end-of-text token."""
    parts: list[np.ndarray] = []
    batch: list[sources.Document] = []

    def flush() -> None:
        for document, tokens in zip(batch, tokenizer.encode_documents([d.text for d in batch]), strict=True):
            if document.starts:
                parts.append(np.array([tokenizer.end_of_text], tokens.dtype))
            parts.append(tokens)
        batch.clear()

    for document in documents:
        batch.append(document)
        if len(batch) >= 256:
            flush()
    flush()
    return np.concatenate(parts) if parts else np.zeros(0, np.uint16)


def _figures(score: Score, ends: dict[str, Ends]) -> dict[str, Any]:
    figures = {
        "bits_per_byte": score.bits_per_byte,
        "perplexity": score.perplexity,
        "bytes": score.bytes,
        "tokens": score.tokens,
    }
    return beside(figures, ends)
