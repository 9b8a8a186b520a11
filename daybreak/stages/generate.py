"""Generate: a text continued by a run's model, or the masks in it filled."""

import sys
from typing import Annotated

import typer

from daybreak.commands.options import (
    AsJson,
    Device,
    RunFolder,
    Seed,
    Without,
    check_named,
    declared,
)
from daybreak.commands.parser import among
from daybreak.commands.printing import tell
from daybreak.core import terminal
from daybreak.core.errors import UsageError
from daybreak.core.failures import translate_errors


@declared('daybreak generate runs/novel "It was" --max-tokens 100')
def command(
    path: RunFolder,
    prompt: Annotated[str, typer.Argument(metavar="[PROMPT]", help="Text to continue, or - for standard input.")] = "",
    given: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="Text to continue, if it begins with a dash.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="Maximum number of new tokens.")] = 200,
    min_tokens: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="NUMBER",
            help="Minimum number of new tokens. Default: until some text is visible; 0 at temperature 0.",
            show_default=False,
        ),
    ] = None,
    n: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="Number of continuations.")] = 1,
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Stop string: generation ends before it (repeatable).")
    ] = None,
    temperature: Annotated[
        float, typer.Option(min=0.0, metavar="NUMBER", help="Sampling temperature; 0: greedy decoding.")
    ] = 0.8,
    top_p: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Nucleus sampling: sample from the smallest set of tokens with this total probability.",
        ),
    ] = 0.95,
    top_k: Annotated[
        int, typer.Option(min=0, metavar="NUMBER", help="Top-k sampling: sample from the k most likely tokens; 0: all.")
    ] = 0,
    seed: Seed = 0,
    without: Without = None,
    device: Device = "",
    precision: Annotated[
        str,
        typer.Option(
            metavar="DTYPE",
            autocompletion=among("float32", "bfloat16"),
            help="Precision of the weights: float32, or bfloat16 (faster, rounded).",
        ),
    ] = "float32",
    as_json: AsJson = False,
) -> None:
    """Continue a text; with a BERT or T5, fill in its <mask>s."""
    if given is not None and prompt:
        raise UsageError(
            "PROMPT and --prompt cannot be combined", received=f"{prompt!r} and --prompt", attempt="use one of the two"
        )
    prompt = prompt if given is None else given
    check_named(path, device=device)
    from daybreak.evaluation.generation import continuations, cut_prompt, nth, pieces, prompt_tokens
    from daybreak.evaluation.loaded import load
    from daybreak.models.inference.sampling import Sampling
    from daybreak.stages.tokenize import text_of
    from daybreak.tasks.continuation import check_stop
    from daybreak.tasks.fill_mask import CANDIDATES, Filler, filled_json, filler_of, lines
    from daybreak.views.progress import harmless

    sampling = Sampling(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        min_tokens=min_tokens,
    )
    words = tuple(stop or ())
    check_stop(words)
    prompt = text_of(prompt, "") if prompt == "-" and given is None else prompt
    loaded = translate_errors(lambda: load(path, device=device, without=tuple(without or ()), precision=precision))
    if isinstance(loaded.alone, Filler):
        filled = translate_errors(lambda: filler_of(loaded).filled(prompt, sampling, count=max(n, CANDIDATES)))
        print(terminal.as_json(filled_json(prompt, filled)) if as_json else "\n".join(lines(filled, n)))
        return
    if cut := cut_prompt(loaded, prompt):
        tell(cut)
    if as_json:
        texts = continuations(loaded, prompt, sampling, n=n, stop=words)
        count, seen = prompt_tokens(loaded, prompt)
        facts = {"prompt": prompt, "texts": texts, "prompt_tokens": count, "prompt_tokens_seen": seen}
        print(terminal.as_json(facts))
        return
    for index in range(n):
        if n > 1:
            print(f"--- {index + 1}")
        sys.stdout.write(prompt)
        for piece in pieces(loaded, prompt, nth(sampling, index), stop=words):
            sys.stdout.write(harmless(piece) if sys.stdout.isatty() else piece)
            sys.stdout.flush()
        print()
