"""Folders of finished runs, made in a moment: a tiny network with random weights, or counts of a few documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from daybreak.core.records import Event, Log
from daybreak.core.run import Run, write_json
from daybreak.core.shapes import NgramShape
from daybreak.core.types import Plan, Request, TokenizerChoice
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.models.checkpoints import write
from daybreak.models.gpt import Gpt, tensors_of
from daybreak.models.ngram import files
from daybreak.models.ngram.kneser_ney import KneserNey


def of_network(folder: Path, plan: Plan, module: Gpt, tokenizer: Tokenizer) -> Run:
    run = _run(folder, plan.replace(shape=module.shape), tokenizer)
    write.save(
        run.model_folder,
        module.shape,
        tensors_of(module),
        tokenizer_file=run.tokenizer_file,
        end_of_text=tokenizer.end_of_text,
        token=tokenizer.end_of_text_token,
    )
    return run


def of_counts(folder: Path, plan: Plan, documents: Sequence[str], tokenizer: Tokenizer, order: int) -> Run:
    shape = NgramShape(order=order, unit="token", vocabulary=tokenizer.vocabulary)
    run = _run(folder, plan.replace(shape=shape), tokenizer)
    parts = [[tokenizer.end_of_text, *tokenizer.encode(text)] for text in documents]
    stream = np.array([token for part in parts for token in part], np.uint16)
    starts = np.flatnonzero(stream == tokenizer.end_of_text)
    counts = KneserNey.fit(stream, order=order, vocabulary=tokenizer.vocabulary, starts=starts)
    files.save_ngram(run.model_folder, counts, tokenizer_file=run.tokenizer_file)
    return run


def _run(folder: Path, plan: Plan, tokenizer: Tokenizer) -> Run:
    run = Run(folder)
    run.make()
    request = Request(sources=("a.txt",), seconds=60.0, device="cpu")
    choice = TokenizerChoice(kind=tokenizer.kind, vocabulary=tokenizer.vocabulary)
    write_json(run.request_file, request.to_json())
    write_json(run.plan_file, plan.replace(request=request, tokenizer=choice).to_json())
    tokenizer.save(run.tokenizer_file)
    log = Log(run.log_file)
    log.append(Event(name="finished", used_seconds=55.0, detail={}))
    log.close()
    return run
