"""Compare: runs side by side, and whether one model is better than another or whether that cannot be told."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from daybreak.core import records
from daybreak.core.errors import DataError
from daybreak.core.run import Run
from daybreak.core.types import Plan
from daybreak.core.values import Json
from daybreak.data import sources
from daybreak.evaluation import bootstrap, score_table
from daybreak.evaluation.score_table import Scores
from daybreak.evaluation.verdicts import labels_of, opened, verdict_on
from daybreak.views import report_data
from daybreak.views.run_facts import Facts

# What follows from the decisions, and what was asked.
NO_DECISIONS = frozenset(
    ("schema", "corpus", "tokens", "evaluation_bytes", "refused", "predicted", "reasons", "request", "techniques")
)
OF_NETWORKS = frozenset(("batch_tokens", "micro_batch", "optimizer", "schedule"))  # counts are not trained by them


def compare(
    paths: Sequence[str],
    on: Sequence[str] = (),
    *,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
    told: Callable[[str], None] = lambda line: None,
) -> Json:
    """The runs' figures and curves, the decisions in which they differ, and a verdict for each pair.

    on: text to score the models on now, in place of the held-out text that they were scored on. told: is given a line
    before anything that takes long. The keys are those of `daybreak compare --json`. Raises UsageError: fewer than two
    runs, or one that is not finished. Raises DataError: the runs were scored on different text.
    """
    runs = opened(paths)
    plans = [run.plan() for run in runs]
    asked = sources.find(on) if on else []  # what is not there is told before a model is loaded
    scored = []
    for run in runs:
        skipped: list[str] = []
        if on or not run.scores_file.exists():
            told(f"scoring {run}")
        scored.append(score_table.on_text(run.path, tuple(on), skipped) if on else score_table.of_heldout(run.path))
    for sentence in skipped:  # the same for every run
        told(sentence)
    labels = labels_of(runs)
    _check_alike(labels, scored)
    common = score_table.common(scored)
    if not len(common[0].sizes):
        raise _different_texts(labels, scored, on)
    units = bootstrap.units(common[0].documents, common[0].sizes)
    described = [
        {"label": label, **_described(run, plan), **_reached(whole, one)}
        for label, run, plan, whole, one in zip(labels, runs, plans, scored, common, strict=True)
    ]
    return {
        "schema": 1,
        "headline": scored[0].metric.name,
        "runs": described,
        "text": {
            "on": list(on),
            "skipped": skipped,
            "bytes": common[0].size,
            "documents": units.documents,
            "units": units.count,
            "kind": units.kind,
            "whole": all(one.whole for one in common),
        },
        "method": {
            "resamples": resamples,
            "seed": seed,
            "confidence": bootstrap.CONFIDENCE,
            "least_units": bootstrap.LEAST_UNITS,
        },
        "verdicts": _verdicts(labels, common, units, resamples, seed),
        "differences": differences(described, plans),
        "first_differences": _first_differences(labels, runs, plans),
        "seen_in_training": _seen_in_training(labels, runs, asked),
    }


def _first_differences(labels: Sequence[str], runs: Sequence[Run], plans: Sequence[Plan]) -> list[dict[str, str]]:
    """Of runs that should have ended with the same weights: since when they differ; "" where their logs are equal."""
    return [
        {"run": labels[later], "than": labels[earlier], "where": records.first_difference(*files)}
        for earlier, later in itertools.combinations(range(len(runs)), 2)
        if plans[earlier].reproducible and plans[earlier].to_json() == plans[later].to_json()
        for files in [(runs[earlier].log_file, runs[later].log_file)]
    ]


# Verdicts


def _verdicts(
    labels: Sequence[str], common: Sequence[Scores], units: bootstrap.Units, resamples: int, seed: int
) -> list[Json]:
    """For each pair how the later run does beside the earlier one: alone, and with all that it keeps."""
    for label, one in zip(labels, common, strict=True):
        if not (np.isfinite(one.losses).all() and np.isfinite(one.best).all()):
            raise DataError(
                "a model's loss on a part of the text is not a number",
                received=f"{label}: the loss on it is not finite",
                attempt="compare the other runs, or train this one again without bf16",
            )
    figures = {"alone": [one.losses for one in common]}
    if any(one.mixed is not None for one in common):
        figures["kept"] = [one.best for one in common]

    def by_unit(values: np.ndarray) -> np.ndarray:
        return np.bincount(units.of_cell, weights=values, minlength=units.count)

    pairs = [(later, earlier) for earlier, later in itertools.combinations(range(len(labels)), 2)]
    asked = [(figure, pair) for figure in figures for pair in pairs]
    found: list[bootstrap.Difference] = []
    size, per = by_unit(common[0].sizes), common[0].metric.per
    for losses in figures.values():
        table = np.stack([by_unit(values) for values in losses])
        found += bootstrap.paired(table, size, pairs, per=per, resamples=resamples, seed=seed)
    adjusted = bootstrap.holm([one.p for one in found])
    return [
        {
            "figure": figure,
            "run": labels[later],
            "than": labels[earlier],
            **dataclasses.asdict(difference),
            "adjusted_p": p,
            "verdict": verdict_on(difference.difference, difference.low, difference.high, p=p, units=units.count),
        }
        for (figure, (later, earlier)), difference, p in zip(asked, found, adjusted, strict=True)
    ]


def _described(run: Run, plan: Plan) -> Json:
    """A row of the table, and the curve: bits per byte over seconds and over tokens."""
    facts = Facts(run, points=600)
    facts.read()
    told = report_data.of_run(facts)
    result, training = told["result"], told["training"] or {}
    counted = plan.shape.counted
    mixture = result["more"][0] if result["more"] else None
    return {
        "path": str(run),
        "alone": result["model"]["value"] if result["model"] else None,
        "mixed": mixture["value"] if mixture else None,
        "mixture_needs": mixture["needs"] if mixture else None,
        "seconds": told["budget"]["used"],
        "budget_seconds": told["budget"]["seconds"],
        "tokens": training.get("tokens"),
        "tokens_per_second": training.get("tokens_per_second"),
        "family": plan.shape.family,
        "shape": plan.shape.key(),
        "parameters": None if counted else plan.shape.parameters(),
        "vocabulary": plan.tokenizer.vocabulary,
        "techniques": [choice.name for choice in plan.techniques],
        "trained_on": _text_name(told["corpus"], plan),
        "machine": (told["machine"] or {}).get("name", ""),
        "curve": _curve(run, told),
    }


def _text_name(corpus: Json | None, plan: Plan) -> str:
    names = [Path(source).name for source in corpus["sources"]] if corpus else []
    shown = ", ".join(names[:2]) + (f" and {corpus['files'] - 2} more" if corpus and corpus["files"] > 2 else "")
    return f"{shown} ({plan.corpus[:8]})" if shown else plan.corpus[:8]


def _curve(run: Run, told: Json) -> Json:
    smooth, result = told["curves"]["smooth"], told["result"]["model"]
    steps = records.standing_steps(run.log_file)
    tokens: list[float] = []
    if steps and smooth["seconds"]:
        moments = [step.used_seconds for step in steps]
        tokens = np.rint(np.interp(smooth["seconds"], moments, [step.tokens for step in steps])).tolist()
    end = {"seconds": told["budget"]["used"], "tokens": steps[-1].tokens if steps else None}
    return {
        **smooth,
        "tokens": tokens,
        "validations": [
            {"seconds": v["used_seconds"], "tokens": v["tokens"], "loss": v["loss"]} for v in told["validations"]
        ],
        "end": {**end, "loss": result["value"]} if result else None,
    }


def _reached(whole: Scores, common: Scores) -> Json:
    """On the text that all runs were scored on, which may be a part of what the run's own figure was taken on."""
    return {
        "scored_bytes": whole.size,
        "compared": {
            "alone": common.mean_loss(common.losses),
            "mixed": None if common.mixed is None else common.mean_loss(common.mixed),
        },
    }


def _check_alike(labels: Sequence[str], scored: Sequence[Scores]) -> None:
    """Raises DataError: figures of different kinds."""
    if len({one.metric.name for one in scored}) > 1:
        told = (f"{label}: {one.metric.name}" for label, one in zip(labels, scored, strict=True))
        raise DataError(
            "the runs have different metrics and cannot be compared",
            received=", ".join(told),
            attempt="compare runs of one family, or score all runs on the same questions with --task FILE",
        )


def _different_texts(labels: Sequence[str], scored: Sequence[Scores], on: Sequence[str]) -> DataError:
    if on:
        return DataError("the text changed while it was scored", received=", ".join(on), attempt="repeat the command")
    told = (f"{label}: {one.size:,} bytes" for label, one in zip(labels, scored, strict=True))
    return DataError(
        "the runs were scored on different text and cannot be compared",
        received="held-out text of " + ", ".join(told),
        attempt="use --on FILE with text that no run was trained on, or compare runs with the same --heldout FILE",
    )


def _seen_in_training(labels: Sequence[str], runs: Sequence[Run], asked: Sequence[Path]) -> dict[str, list[str]]:
    """Those of the files that are among a run's sources: on text that a model has learnt it looks better than it is."""
    resolved = {path.resolve(): str(path) for path in asked}
    found = {}
    for label, run in zip(labels, runs, strict=True):
        if not (asked and run.corpus_file.exists()):
            continue
        corpus = run.corpus()
        heldout = Path(corpus.heldout).resolve() if corpus.heldout else None
        learnt = {Path(name).resolve() for name in corpus.sources} - {heldout}
        if seen := [name for path, name in resolved.items() if path in learnt]:
            found[label] = seen
    return found


# Plans


def differences(described: Sequence[Json], plans: Sequence[Plan]) -> list[Json]:
    """The decisions that are not the same in all runs, by their names in plan.json; None where a plan has none.

    The text by its digest, and the machine where every run has recorded it, are told like decisions.
    """
    decided = [_decisions(plan) for plan in plans]
    if len({plan.corpus for plan in plans}) > 1:
        decided = [{"text": run["trained_on"], **one} for run, one in zip(described, decided, strict=True)]
    if all(run["machine"] for run in described):
        decided = [{"machine": run["machine"], **one} for run, one in zip(described, decided, strict=True)]
    names = dict.fromkeys(name for decisions in decided for name in decisions)
    rows = [(name, [decisions.get(name) for decisions in decided]) for name in names]
    return [
        {"name": name, "values": {run["label"]: value for run, value in zip(described, values, strict=True)}}
        for name, values in rows
        if any(value != values[0] for value in values)
    ]


def _decisions(plan: Plan) -> Json:
    hidden = NO_DECISIONS | (OF_NETWORKS if plan.shape.counted else frozenset())
    decided = _flat({name: value for name, value in plan.to_json().items() if name not in hidden})
    if plan.budget.clock == "tokens":
        decided["tokens"] = plan.tokens
    for choice in plan.techniques:
        decided[f"techniques.{choice.name}"] = True
        decided |= _flat(choice.settings, f"techniques.{choice.name}.")
    return decided


def _flat(values: Json, before: str = "") -> Json:
    flat: Json = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = value
    return flat
