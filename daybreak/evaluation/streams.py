"""Streams: text of files, or the held-out text of a run, as one array of tokens."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from daybreak.core.errors import DataError
from daybreak.core.run import Run
from daybreak.core.types import Plan
from daybreak.data import sources
from daybreak.data.tokenizers.base import Tokenizer


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
        raise DataError("there is no text to evaluate on", received=", ".join(on), attempt="use a file with text in it")
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
