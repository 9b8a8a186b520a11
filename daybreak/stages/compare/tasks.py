"""Compare by tasks: two runs or more before the same questions, and which is better, worse or cannot be told."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

from daybreak.core.values import Json
from daybreak.evaluation import bootstrap
from daybreak.evaluation.loaded import load
from daybreak.evaluation.questions import (
    Answers,
    answered,
    clusters_of,
    described,
    difference,
    scorer_of,
    scores,
    tasks_of,
)
from daybreak.evaluation.verdicts import labels_of, opened, verdict_on
from daybreak.models.inference.likelihood import BATCH

SMALLER_IS_BETTER = ("nats",)


def compare(
    paths: Sequence[str],
    files: Sequence[str],
    *,
    limit: int = 0,
    batch: int = BATCH,
    device: str = "",
    told: Callable[[str], None] = lambda line: None,
) -> Json:
    """Every run's scores on every task, and for each pair of runs and each score a verdict.

    The keys are those of `daybreak compare --task --json`. Raises UsageError: fewer than two runs, or one that is not
    finished. Raises DataError: a file without questions.
    """
    asked = tasks_of(files, limit)
    runs = opened(paths)
    labels = labels_of(runs)
    found: list[list[Answers]] = []  # by run, by task
    for label, run in zip(labels, runs, strict=True):
        loaded = load(run.path, device=device)
        scorer = scorer_of(loaded, batch)
        told(f"scoring {label}")
        found.append([answered(task, loaded.tokenizer, scorer) for task in asked])
    return {
        "schema": 1,
        "runs": [{"label": label, "path": str(run)} for label, run in zip(labels, runs, strict=True)],
        "tasks": [
            {
                **described(task),
                "runs": {label: scores(of_run[index]) for label, of_run in zip(labels, found, strict=True)},
            }
            for index, task in enumerate(asked)
        ],
        "method": {
            "resamples": bootstrap.RESAMPLES,
            "seed": 0,
            "confidence": bootstrap.CONFIDENCE,
            "least_units": bootstrap.LEAST_UNITS,
        },
        "verdicts": _verdicts(labels, found),
    }


def _verdicts(labels: Sequence[str], found: Sequence[Sequence[Answers]]) -> list[Json]:
    """How the later run does beside the earlier one; the verdicts allow for the number of all of them."""
    rows: list[Json] = []
    for index, answers in enumerate(found[0]):
        names = [*answers.right, *(("nats",) if answers.task.kind == "last_words" else ())]
        for score, (earlier, later) in itertools.product(names, itertools.combinations(range(len(labels)), 2)):
            told = dataclasses.asdict(difference(found[later][index], found[earlier][index], score))
            named = {"task": answers.task.name, "score": score, "run": labels[later], "than": labels[earlier]}
            rows.append(
                named | {"units": int(clusters_of(answers.task).max()) + 1, "difference": told.pop("value"), **told}
            )
    for row, p in zip(rows, bootstrap.holm([row["p"] for row in rows]), strict=True):
        row["adjusted_p"] = p
        row["verdict"] = verdict_on(
            row["difference"],
            row["low"],
            row["high"],
            p=p,
            units=row["units"],
            higher_is_better=row["score"] not in SMALLER_IS_BETTER,
        )
    return rows
