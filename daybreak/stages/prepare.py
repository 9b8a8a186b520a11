"""Prepare: cleans and encodes text into a run folder, before any budget is spent."""

from typing import Annotated

import typer

from daybreak.commands.options import AsJson, asks, declared
from daybreak.commands.printing import print_facts
from daybreak.core.clock import Stopwatch
from daybreak.core.failures import translate_errors
from daybreak.core.request import Request, request_of
from daybreak.core.values import Json, plain
from daybreak.planning import names
from daybreak.training.session import folder_of, open_session


def prepare_only(request: Request, *, out: str) -> Json:
    """Scan and encode into a folder; the keys are those of `daybreak prepare --json`. Raises DaybreakError."""
    from daybreak.data import encode
    from daybreak.planning import text_facts
    from daybreak.planning.tokenizer_choice import check, choice_of, nearest_vocabulary

    names.check(request)
    check(request)
    stopwatch = Stopwatch()
    folder = folder_of(request, out)
    with open_session(folder, request, stopwatch):
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
        "skipped": list(corpus.not_read()),
        "passed_over": plain(corpus.passed_over),
        "removed": {account.name: account.removed_documents for account in corpus.accounts},
    }


@declared("daybreak prepare novel.txt --out runs/novel")
@asks("sources", "heldout", "include", "exclude", "tokenizer", "cluster")
def command(
    asked: Json,
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Output folder. Default: runs/ and a name made of text and time.")
    ] = "",
    vocabulary: Annotated[
        int, typer.Option(metavar="TOKENS", help="Vocabulary size; smaller where the text has too few tokens.")
    ] = 4096,
    as_json: AsJson = False,
) -> None:
    """Clean the text, train a tokenizer, and write the tokens, to train on later."""
    request = request_of(asked).replace(seconds=0.0, settings={"vocabulary": str(vocabulary)})

    facts = translate_errors(lambda: prepare_only(request, out=out))
    print_facts(facts, as_json)
