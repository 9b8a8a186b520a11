"""Questions: zero-shot tests put before a model, scored with an interval each, and kept in the run's folder."""

import contextlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from daybreak.core.errors import DataError, DaybreakError, UsageError
from daybreak.core.run import Run, read_json, write_json
from daybreak.core.values import Json
from daybreak.data import questions
from daybreak.data.questions import Task
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.evaluation import bootstrap
from daybreak.evaluation.loaded import Loaded
from daybreak.models.inference.cloze import Infilled, Masked
from daybreak.models.inference.likelihood import BATCH, Causal, Counted, Likelihood, Pair, Scorer
from daybreak.models.inference.predictors import Counts, Network
from daybreak.tasks.fill_mask import MaskFiller

SCHEMA = 1
TEXTS_AT_ONCE = 4096  # that are cut into tokens; then their tokens are there before the next come
PARTS_SHOWN = 100  # of a file with more, scores by part would be a list of questions


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What a model made of a task, question by question: [I] each."""

    task: Task
    right: dict[str, np.ndarray]  # by the score's name: 1 right, 0 wrong, between them where options tie
    nats: np.ndarray  # of the right continuation
    cut: int  # questions of which a beginning did not fit into the context


def tasks_of(files: Sequence[str], limit: int = 0) -> list[Task]:
    """Raises DataError: a file without questions. UsageError: a limit below zero, or two files of one name."""
    if limit < 0:
        raise UsageError("--limit is out of range", received=f"--limit {limit}", attempt="such as --limit 500")
    found = [questions.read(file).limited(limit) for file in files]
    names = [task.name for task in found]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise UsageError(
            "two tasks have the same name",
            received=f"{twice}: {' and '.join(str(task.path) for task in found if task.name == twice)}",
            attempt="use files whose names differ before the first dot",
        )
    return found


def scorer_of(loaded: Loaded, batch: int = BATCH) -> Scorer:
    """Of the run's model/ alone."""
    if batch < 1:
        raise UsageError("--batch is out of range", received=f"--batch {batch}", attempt=f"such as --batch {BATCH}")
    alone = loaded.alone
    if isinstance(alone, Counts):
        return Counted(alone)
    if isinstance(alone, Network):
        return Causal(alone, batch=batch)
    kind = Masked if isinstance(alone, MaskFiller) else Infilled
    known = loaded.plan.tokenizer.vocabulary
    return kind(alone.module, specials=alone.specials, end_of_text=alone.end_of_text, known_tokens=known, batch=batch)


# From text to answers


def answered(task: Task, tokenizer: Tokenizer, scorer: Scorer) -> Answers:
    """Raises DataError: the model's score for an answer is not a number."""
    options = [option for question in task.questions for option in question.options]
    pairs = pairs_of(tokenizer, options)
    found = scorer.log_likelihoods(pairs, greedy=task.kind == "last_words")
    if not np.isfinite([one.log_likelihood for one in found]).all():
        raise DataError(
            "the model's score for an answer is not a number",
            received=f"{task.path}: the loss on it is not finite",
            attempt="use another run: the weights of this one are broken",
        )
    places = np.cumsum([0, *(len(question.options) for question in task.questions)])
    by_question = [found[begin:end] for begin, end in itertools.pairwise(places.tolist())]
    chosen = [one[question.gold] for one, question in zip(by_question, task.questions, strict=True)]
    return Answers(
        task=task,
        right=_right(task, by_question),
        nats=np.array([-one.log_likelihood for one in chosen]),
        cut=sum(any(option.cut for option in one) for one in by_question),
    )


def _right(task: Task, by_question: Sequence[Sequence[Likelihood]]) -> dict[str, np.ndarray]:
    if task.kind == "last_words":
        return {"accuracy": np.array([float(one[0].greedy) for one in by_question])}
    summed = [[option.log_likelihood for option in one] for one in by_question]
    golds = [question.gold for question in task.questions]
    right = {"accuracy": np.array([credit(one, gold) for one, gold in zip(summed, golds, strict=True)])}
    if task.kind == "choices":
        by_bytes = [
            [value / size for value, size in zip(one, question.sizes, strict=True)]
            for one, question in zip(summed, task.questions, strict=True)
        ]
        right["accuracy_by_bytes"] = np.array([credit(one, gold) for one, gold in zip(by_bytes, golds, strict=True)])
    return right


def credit(values: Sequence[float], gold: int) -> float:
    """1 where gold has the largest value, 0 where it has not; where options tie for it, each has its part.

    An n-gram model cannot tell options that differ only before what it looks at: it guesses, and so it is scored.
    """
    largest = max(values)
    return 1 / sum(value == largest for value in values) if values[gold] == largest else 0.0


def pairs_of(tokenizer: Tokenizer, options: Sequence[tuple[str, str]]) -> list[Pair]:
    """Tokens of (context, continuation), cut as one text.

    White space at the context's end is the continuation's: tokens often begin with a space, and none ends with it. The
    tokens that the context has by itself, as far as the whole begins with them, are its; the rest is the continuation,
    so none of its text is lost where a token reaches across the joint.
    """
    split = [_split(*option) for option in options]
    texts = list(dict.fromkeys(text for context, whole in split for text in (context, whole)))
    tokens: dict[str, list[int]] = {}
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        part = texts[start : start + TEXTS_AT_ONCE]
        tokens.update(zip(part, (row.tolist() for row in tokenizer.encode_documents(part)), strict=True))
    return [_pair(tokens[context], tokens[whole]) for context, whole in split]


def _split(context: str, continuation: str) -> tuple[str, str]:
    """The context without white space at its end, and the whole."""
    return context.rstrip(), context + continuation


def _pair(context: list[int], whole: list[int]) -> Pair:
    most = min(len(context), max(0, len(whole) - 1))
    shared = next((place for place in range(most) if context[place] != whole[place]), most)
    return Pair(whole[:shared], whole[shared:])


# From answers to scores


def described(task: Task) -> Json:
    return {
        "name": task.name,
        "file": str(task.path),
        "digest": task.digest,
        "kind": task.kind,
        "items": len(task.questions),
        "items_in_file": task.items,
        "chance": task.chance,
    }


def scores(answers: Answers) -> Json:
    """Each score with its interval, over all questions and by the parts that the file names."""
    task = answers.task
    clusters = clusters_of(task)
    parts: dict[str, list[int]] = {}
    for index, question in enumerate(task.questions):
        parts.setdefault(question.part, []).append(index)
    told = 1 < len(parts) <= PARTS_SHOWN
    return {
        "cut": answers.cut,
        "clusters": int(clusters.max()) + 1,
        "scores": _scores(answers, np.arange(len(task.questions)), clusters),
        "parts": {name: {"items": len(at), **_scores(answers, np.array(at), clusters)} for name, at in parts.items()}
        if told
        else {},
    }


def _scores(answers: Answers, at: np.ndarray, clusters: np.ndarray) -> Json:
    """at: the questions that count."""
    drawn, of_cluster = _drawn(clusters[at])
    found = {}
    for name, right in answers.right.items():
        found[name] = _told(bootstrap.share(np.bincount(of_cluster, right[at]), drawn))
    if answers.task.kind == "last_words":
        nats = bootstrap.ratio(np.bincount(of_cluster, answers.nats[at]), drawn)
        found["perplexity"] = {name: float(np.exp(value)) for name, value in _told(nats).items()}
    return found


def _drawn(clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Questions in each cluster [U], and the cluster of each question [I], counted from 0."""
    _, of_cluster = np.unique(clusters, return_inverse=True)
    return np.bincount(of_cluster).astype(np.float64), of_cluster


def clusters_of(task: Task) -> np.ndarray:
    """The cluster of each question [I], counted from 0; one that names none stands alone."""
    numbers: dict[str | int, int] = {}
    keys = (question.cluster or index for index, question in enumerate(task.questions))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])


def by_cluster(task: Task, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of values [I] and numbers of questions, [U] each, of what is drawn together."""
    drawn, of_cluster = _drawn(clusters_of(task))
    return np.bincount(of_cluster, values), drawn


def _told(interval: bootstrap.Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


# Kept


def keep(run: Run, facts: Json) -> None:
    """Adds the scores to the run's scores.json; a task that is scored again takes its own place.

    The log is what the run did, up to its end, and stays as it ended. A folder that may only be read stays as it is.
    """
    try:
        kept = read_json(run.task_scores_file, "") if run.task_scores_file.exists() else {}
    except DaybreakError:  # damaged: what it said can be scored again
        kept = {}
    tasks = kept.get("tasks")
    tasks = tasks if isinstance(tasks, dict) else {}
    moment = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    for task in facts["tasks"]:
        tasks[task["name"]] = {"scored_at": moment, "method": facts["method"], **task}
    with contextlib.suppress(OSError):
        write_json(run.task_scores_file, {"schema": SCHEMA, "tasks": tasks})


def difference(one: Answers, other: Answers, score: str) -> bootstrap.Interval:
    """Of a score on the same questions, one minus other: the paired bootstrap over questions, clusters together.

    score: a name of `right`, or nats (of the right continuation, a question).
    """
    values = (one.nats - other.nats) if score == "nats" else one.right[score] - other.right[score]
    tops, bottoms = by_cluster(one.task, values)
    return bootstrap.ratio(tops, bottoms)
