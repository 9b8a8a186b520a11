"""Harness: a run's model behind lm-eval, whose tasks then ask it (https://github.com/EleutherAI/lm-evaluation-harness)."""

import contextlib
import dataclasses
import importlib.metadata
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from daybreak.core.errors import DataError, MissingPackage, UsageError, nearest
from daybreak.core.values import Json
from daybreak.evaluation import bootstrap
from daybreak.evaluation.generation import pieces
from daybreak.evaluation.loaded import Loaded, load
from daybreak.evaluation.questions import SCHEMA, keep, pairs_of, scorer_of
from daybreak.models.inference.likelihood import BATCH, Pair, Scorer
from daybreak.models.inference.sampling import Sampling
from daybreak.tasks.fill_mask import Filler

try:
    from lm_eval.api.model import LM
except ImportError:  # `evaluate` says how to get it
    LM = object

MOST_WRITTEN = 256  # tokens, where a task does not say, as with lm-eval's own models
FEWSHOT_SEED = 1234  # lm-eval's default
RESAMPLES_OF_OTHERS = 200  # of a figure that lm-eval has to compute anew for each


class DaybreakLM(LM):  # type: ignore[misc]
    """What lm-eval asks of a model: log-likelihoods of continuations and of whole texts, and greedy text.

    The batch is ours, and lm-eval is given none: what is answered to a request depends on it alone.
    """

    def __init__(self, loaded: Loaded, scorer: Scorer) -> None:
        super().__init__()
        self.loaded = dataclasses.replace(loaded, predictor=loaded.alone)
        self.scorer = scorer

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        pairs = pairs_of(self.loaded.tokenizer, [request.args for request in requests])
        found = self.scorer.log_likelihoods(pairs, greedy=True)
        return [(one.log_likelihood, one.greedy) for one in found]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Of whole texts; each token is predicted once, in windows of the context (see choices.windows)."""
        tokens = self.loaded.tokenizer.encode_documents([request.args[0] for request in requests])
        found = self.scorer.log_likelihoods([Pair((), one.tolist()) for one in tokens])
        return [one.log_likelihood for one in found]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        if isinstance(self.loaded.alone, Filler):
            raise UsageError(
                "this kind of model does not continue text",
                received=f"{self.loaded.run}, of the family {self.loaded.plan.shape.family}",
                attempt="use tasks that choose between answers",
            )
        return [self._written(*request.args) for request in requests]

    def _written(self, prompt: str, asked: Json) -> str:
        until = asked.get("until") or []
        sampled = bool(asked.get("do_sample"))
        sampling = Sampling(
            max_tokens=int(asked.get("max_gen_toks", MOST_WRITTEN)),
            temperature=float(asked.get("temperature", 1.0)) if sampled else 0.0,
            top_p=float(asked.get("top_p", 1.0)),
            top_k=int(asked.get("top_k", 0)),
            min_tokens=0,
        )
        stop = (until,) if isinstance(until, str) else tuple(until)
        return "".join(pieces(self.loaded, prompt, sampling, stop=tuple(text for text in stop if text)))


def evaluate(
    path: str,
    names: Sequence[str],
    *,
    folder: str = "",
    limit: int = 0,
    batch: int = BATCH,
    device: str = "",
) -> Json:
    """Scores of `model/` alone on tasks of lm-eval; they are kept in the run's scores.json, too.

    folder: with tasks of one's own, as YAML. limit: at most the first so many questions of a task. Raises UsageError:
    lm-eval is not installed, or there is no such task. Raises DataError: the task's data cannot be had.
    """
    if LM is object:
        raise MissingPackage(
            "lm-eval is not installed", received="--lm-eval", attempt="run pip install '.[lm-eval]' in the checkout"
        )
    loaded = load(path, device=device)
    scorer = scorer_of(loaded, batch)
    with quietly():
        tasks = _loaded_tasks(names, folder)
        found = _asked(DaybreakLM(loaded, scorer), tasks, limit)
    described = [_described(name, task, found) for name, task in tasks["tasks"].items()]
    described += [_group(name, found) for name in found.get("groups", {})]
    facts: Json = {
        "schema": SCHEMA,
        "run": str(loaded.run),
        "needs": loaded.alone.needs,
        "method": {
            "likelihood": scorer.method,
            "harness": f"lm-eval {importlib.metadata.version('lm_eval')}",
            "resamples": bootstrap.RESAMPLES,
            "seed": 0,
            "confidence": bootstrap.CONFIDENCE,
        },
        "tasks": described,
    }
    keep(loaded.run, {**facts, "tasks": [{**task, "name": f"lm-eval/{task['name']}"} for task in described]})
    return facts


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Standard output is for the result, and lm-eval's account of its progress is left out unless it was asked for."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    if "LMEVAL_LOG_LEVEL" not in os.environ:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        logger.setLevel(level)


def _loaded_tasks(names: Sequence[str], folder: str) -> Any:
    """lm-eval's tasks and groups, with their data."""
    from lm_eval.tasks import TaskManager

    if folder and not Path(folder).is_dir():
        raise UsageError(
            "the folder does not exist", received=f"--lm-eval-tasks {folder}", attempt="name a folder with YAML files"
        )
    # Its own thousands of tasks are looked through only where one is asked for.
    manager = TaskManager(include_path=folder, include_defaults=False) if folder else None
    if manager is None or any(name not in manager.all_tasks for name in names):
        manager = TaskManager(include_path=folder or None)
    for name in names:
        if not manager.match_tasks([name]):
            raise UsageError("unknown lm-eval task", received=name, attempt=nearest(name, manager.all_tasks))
    try:
        tasks = manager.load(list(names))
    except Exception as error:  # of any of its libraries: no network, no such data set, a description that is wrong
        reason = str(error).strip().splitlines()
        raise DataError(
            "a task of lm-eval could not be loaded",
            received=f"{', '.join(names)}: {type(error).__name__}: {reason[0] if reason else ''}",
            attempt="check the network if the task's data is online, or use --lm-eval-tasks with "
            "tasks whose data is in local files",
        ) from error
    for task in tasks["tasks"].values():
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
    return tasks


def _asked(model: DaybreakLM, tasks: Any, limit: int) -> Json:
    from lm_eval.evaluator import evaluate as ask

    return ask(lm=model, task_dict=tasks, limit=limit or None, bootstrap_iters=1000, log_samples=True)


def _described(name: str, task: Any, found: Json) -> Json:
    figures, samples = found["results"][name], found["samples"][name]
    counts = found["n-samples"][name]
    named = (key for key in figures if "," in key and "_stderr," not in key)
    return {
        "name": name,
        "kind": task.OUTPUT_TYPE,
        "items": counts["effective"],
        "items_in_file": counts["original"],
        "version": found["versions"].get(name),
        "shots": found["n-shot"].get(name, 0),
        "scores": {key.removesuffix(",none"): _score(key, figures, task, samples) for key in named},
    }


def _group(name: str, found: Json) -> Json:
    """A group's figures, with the intervals that lm-eval's standard errors give."""
    figures = found["groups"][name]
    named = (key for key in figures if "," in key and "_stderr," not in key)
    items = figures.get("sample_len", 0)
    scores = {key.removesuffix(",none"): _by_error(figures[key], _error_of(key, figures)) for key in named}
    return {"name": name, "kind": "group", "items": items, "items_in_file": items, "scores": scores}


def _score(key: str, figures: Json, task: Any, samples: Sequence[Json]) -> Json:
    """A figure with its bootstrap interval over the questions."""
    metric, _, filtered = key.partition(",")
    value = figures[key]
    values = [one[metric] for one in samples if one["filter"] == filtered and metric in one]
    aggregate = task.aggregation().get(metric)
    if not isinstance(value, int | float) or not values:
        return {"value": value, "low": None, "high": None}
    low, high = interval(values, aggregate)
    return {"value": float(value), "low": low, "high": high}


def interval(values: Sequence[object], aggregate: Callable[[Sequence[object]], float] | None) -> tuple[float, float]:
    """The percentile bootstrap of what lm-eval makes of the values of its questions."""
    form = _RATIOS.get(getattr(aggregate, "__name__", "mean"))
    if form is None:
        generator = np.random.default_rng(0)
        drawn = generator.integers(0, len(values), (RESAMPLES_OF_OTHERS, len(values)))
        assert aggregate is not None
        figures = [aggregate([values[place] for place in row]) for row in drawn]
        low, high = np.percentile(figures, [2.5, 97.5])
        return float(low), float(high)
    table = np.array([one if isinstance(one, tuple | list) else (one, 1.0) for one in values], np.float64)
    tops, bottoms = table[:, 0], table[:, 1]
    right_or_wrong = bool(np.isin(tops, (0.0, 1.0)).all()) and bool((bottoms == 1).all())
    found = bootstrap.share(tops, bottoms) if right_or_wrong else bootstrap.ratio(tops, bottoms)
    ends = sorted((form(found.low), form(found.high)))
    return ends[0], ends[1]


# lm-eval's figures that are a function of a ratio of sums: of values, or of (nats, weight).
_RATIOS: dict[str, Callable[[float], float]] = {
    "mean": float,
    "perplexity": lambda value: math.exp(-value),
    "weighted_perplexity": lambda value: math.exp(-value),
    "bits_per_byte": lambda value: -value / math.log(2),
}


def _error_of(key: str, figures: Json) -> object:
    metric, _, filtered = key.partition(",")
    return figures.get(f"{metric}_stderr,{filtered}")


def _by_error(value: object, error: object) -> Json:
    if not isinstance(value, int | float) or not isinstance(error, int | float):
        return {"value": value, "low": None, "high": None}
    return {"value": float(value), "low": value - 1.96 * error, "high": value + 1.96 * error}
