"""Evaluate by tasks: zero-shot questions put before a run's model; the scores are kept and shown in the report."""

from collections.abc import Callable, Sequence

from daybreak.core.run import Run
from daybreak.core.values import Json
from daybreak.evaluation import bootstrap
from daybreak.evaluation.loaded import load
from daybreak.evaluation.questions import SCHEMA, answered, described, keep, scorer_of, scores, tasks_of
from daybreak.models.inference.likelihood import BATCH
from daybreak.views import report_page


def evaluate_tasks(
    path: str,
    files: Sequence[str],
    *,
    limit: int = 0,
    batch: int = BATCH,
    device: str = "",
    told: Callable[[str], None] = lambda line: None,
) -> Json:
    """Scores of `model/` alone on the tasks in the files; they are kept in the run's scores.json, too.

    limit: at most so many questions of a file, evenly spread. The keys are those of `daybreak evaluate --task --json`.
    Raises UsageError as `load`, and DataError: a file without questions.
    """
    asked = tasks_of(files, limit)
    loaded = load(path, device=device)
    scorer = scorer_of(loaded, batch)
    found = []
    for task in asked:
        told(f"{task.name}: {len(task.questions):,} questions")
        found.append(described(task) | scores(answered(task, loaded.tokenizer, scorer)))
    facts = {
        "schema": SCHEMA,
        "run": str(loaded.run),
        "needs": loaded.alone.needs,
        "method": {
            "likelihood": scorer.method,
            "resamples": bootstrap.RESAMPLES,
            "seed": 0,
            "confidence": bootstrap.CONFIDENCE,
        },
        "tasks": found,
    }
    keep(loaded.run, facts)
    _refresh_report(loaded.run)
    return facts


def evaluate_lm_eval(
    path: str, names: Sequence[str], *, folder: str = "", limit: int = 0, batch: int = BATCH, device: str = ""
) -> Json:
    """Scores of `model/` alone on tasks of lm-eval; as `lm_eval.evaluate`, which says what it raises."""
    from daybreak.evaluation import lm_eval

    facts = lm_eval.evaluate(path, names, folder=folder, limit=limit, batch=batch, device=device)
    _refresh_report(Run(path))
    return facts


def _refresh_report(run: Run) -> None:
    if run.report_file.exists():
        report_page.at_the_end(run)
