"""Prepare: cleans and encodes text into a run folder, before any budget is spent."""

from typing import Any

from daybreak.core.clock import Stopwatch
from daybreak.core.types import Request
from daybreak.planning import names
from daybreak.training.session import folder_of, kept


def prepare_only(request: Request, *, out: str) -> dict[str, Any]:
    """Scan and encode into a folder; the keys are those of `daybreak prepare --json`. Raises DaybreakError."""
    from daybreak.data import encode
    from daybreak.planning import text_facts
    from daybreak.planning.tokenizer_choice import check, choice_of, nearest_vocabulary

    names.check(request)
    check(request)
    stopwatch = Stopwatch()
    folder = folder_of(request, out)
    with kept(folder, request, stopwatch):
        corpus = text_facts.scanned(folder, request)
        vocabulary = nearest_vocabulary(int(request.settings["vocabulary"]), corpus)
        choice = choice_of(corpus, vocabulary)
        train, held = encode.encode(folder, corpus, choice)
    return {
        "run": str(folder),
        "documents": corpus.documents,
        "bytes": corpus.bytes,
        "tokens": len(train),
        "vocab": vocabulary,
        "tokenizer": choice.kind,
        "heldout": {"documents": corpus.heldout_documents, "bytes": corpus.heldout_bytes, "tokens": len(held)},
        "read_bytes": corpus.read_bytes,
        "skipped": list(text_facts.unread(corpus)),
        "removed": {account.name: account.removed_documents for account in corpus.accounts},
    }
