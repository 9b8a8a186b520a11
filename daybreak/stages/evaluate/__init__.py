"""Evaluate: a run's model on text, or on zero-shot tasks."""

from typing import Annotated

import typer

from daybreak.commands.options import (
    AsJson,
    Batch,
    Device,
    Limit,
    RunFolder,
    Tasks,
    check_named,
    declared,
)
from daybreak.commands.printing import print_facts, tell
from daybreak.core import terminal
from daybreak.core.errors import UsageError
from daybreak.core.failures import translate_errors


@declared("daybreak evaluate runs/novel --on test.txt")
def command(
    path: RunFolder,
    on: Annotated[
        list[str] | None,
        typer.Option("--on", metavar="TEXT", help="Text to score on (repeatable). Default: the held-out text."),
    ] = None,
    tasks: Tasks = None,
    limit: Limit = 0,
    batch: Batch = 16,
    harness: Annotated[
        str,
        typer.Option(
            "--lm-eval", metavar="NAMES", help="lm-eval tasks, separated by commas, such as blimp,lambada_openai."
        ),
    ] = "",
    harness_tasks: Annotated[
        str, typer.Option("--lm-eval-tasks", metavar="FOLDER", help="Folder with your own lm-eval tasks (YAML).")
    ] = "",
    device: Device = "",
    as_json: AsJson = False,
) -> None:
    """Score a model: bits per byte and perplexity on a text, or accuracy on zero-shot tasks."""

    check_named(path, device=device, on=on, tasks=tasks)
    if harness_tasks and not harness:
        raise UsageError(
            "--lm-eval does not name the tasks of the folder",
            received=f"--lm-eval-tasks {harness_tasks}",
            attempt="name the tasks with --lm-eval NAME",
        )
    if not (tasks or harness):
        from daybreak.stages.evaluate.text import evaluate as score

        print_facts(translate_errors(lambda: score(path, tuple(on or ()), device=device)), as_json)
        return
    if on or (tasks and harness):
        raise UsageError(
            "--on, --task and --lm-eval cannot be combined",
            received=" and ".join(n for n, given in (("--on", on), ("--task", tasks), ("--lm-eval", harness)) if given),
            attempt="use a command for each",
        )
    if harness:
        from daybreak.stages.evaluate.tasks import evaluate_lm_eval as asked

        names = [name.strip() for name in harness.split(",") if name.strip()]
        facts = translate_errors(
            lambda: asked(path, names, folder=harness_tasks, limit=limit, batch=batch, device=device)
        )
    else:
        from daybreak.stages.evaluate.tasks import evaluate_tasks as answered

        facts = translate_errors(
            lambda: answered(path, tasks or [], limit=limit, batch=batch, device=device, told=tell)
        )
    if as_json:
        print(terminal.as_json(facts))
        return
    from daybreak.views.comparison import task_lines

    print("\n".join(task_lines(facts)))
