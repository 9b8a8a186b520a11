"""Compare: runs side by side, and which is better, worse, or cannot be told."""

from typing import Annotated

import typer

from daybreak.commands.options import (
    LANGUAGES,
    AsJson,
    Batch,
    Limit,
    Tasks,
    check_named,
    declared,
)
from daybreak.commands.parser import among, run_folders
from daybreak.commands.printing import print_by_tasks, tell
from daybreak.core import messages, terminal
from daybreak.core.errors import UsageError
from daybreak.core.failures import translate_errors


@declared("daybreak compare runs/novel runs/novel-long")
def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN RUN...", autocompletion=run_folders, help="Folders of two or more finished runs."),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option("--on", metavar="TEXT", help="Text to compare on (repeatable). Default: the runs' held-out text."),
    ] = None,
    tasks: Tasks = None,
    limit: Limit = 0,
    batch: Batch = 16,
    out: Annotated[
        str, typer.Option(metavar="FILE", help="Output file (.html). Default: compare.html; with --json, none.")
    ] = "",
    language: Annotated[
        str, typer.Option(metavar="LANGUAGE", autocompletion=among(*LANGUAGES), help="Language of the page: en or zh.")
    ] = "en",
    as_json: AsJson = False,
) -> None:
    """Compare runs, and test which one is better."""
    check_named(*(paths or ()), on=on, tasks=tasks)
    from daybreak.stages.compare.text import compare as compared
    from daybreak.views import comparison

    said = comparison.page_words(language)
    if tasks:
        if on or out:
            raise UsageError(
                "--task writes no page",
                received=" and ".join(name for name, given in (("--on", on), ("--out", out)) if given),
                attempt="use --task without these options, or these options without --task",
            )
        from daybreak.stages.compare.tasks import compare as by_tasks

        print_by_tasks(
            translate_errors(lambda: by_tasks(paths or [], tasks, limit=limit, batch=batch, told=tell)), said, as_json
        )
        return
    facts = translate_errors(lambda: compared(paths or [], on or [], told=tell))
    page = comparison.write_page(facts, out or "compare.html", language=language) if out or not as_json else None
    if as_json:
        print(terminal.as_json({**facts, "page": str(page) if page else None}))
        return
    from rich.console import Console

    comparison.show(facts, said, Console())
    for pair in facts["first_differences"]:
        where = messages.localized(pair["where"] or "the same in every step and checksum")
        print(f"\n{pair['run']}, {pair['than']}: {where}")
    print(messages.localized(f"\npage  {page}"))
