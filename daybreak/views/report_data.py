"""Report data: everything that the page of a run shows, as strict JSON: plan against fact, seconds, figures."""

import dataclasses
import datetime
import functools
import math
import shlex
import time
from typing import TypeVar

from daybreak.core import units
from daybreak.core.messages import localized
from daybreak.core.metrics import BITS_PER_BYTE, Metric
from daybreak.core.types import Account, Corpus
from daybreak.core.values import Json
from daybreak.views.run_facts import MOST_EVENTS, MOST_SOURCES, Facts

T = TypeVar("T")
UNTIL_THE_PLAN = ("imports", "scan", "probe", "plan")


def of_run(facts: Facts) -> Json:
    """Everything that the report shows, as strict JSON: numbers are finite or null."""
    plan, corpus = facts.plan, facts.corpus
    context = 1 if plan is None or plan.shape.counted else plan.network.context_length
    headline = plan.headline if plan is not None else BITS_PER_BYTE
    bytes_per_token = (plan.predicted.bytes_per_token if plan is not None else 0.0) or 1.0
    per_nat = 1 / (bytes_per_token * math.log(2)) if headline.of_text else 1.0
    curves = facts.curves.json(unit_per_nat=per_nat, context_length=context)
    found = {
        "schema": 1,
        "name": facts.run.path.resolve().name,
        "path": str(facts.run),
        "state": facts.state(),
        "now": facts.now(),
        "written_at": round(time.time(), 1),
        "request": facts.request.to_json() if facts.request else None,
        "plan": plan.to_json() if plan else None,
        "headline": dataclasses.asdict(headline),
        "parameters": plan.shape.parameters() if plan is not None else None,
        "corpus": _card(corpus) if corpus else None,
        "machine": facts.told.get("machine"),
        "versions": facts.told.get("versions"),
        "unreadable": dict(facts.unreadable),
        "amendments": facts.amendments[-MOST_EVENTS:],
        "budget": budget(facts),
        "phases": phases(facts),
        "result": result(facts),
        "comparison": comparison(facts),
        "training": _training(facts, context),
        "curves": curves,
        "validations": [{**vars(v), "loss": v.loss(headline)} for v in _thinned(facts.validations, facts.points)],
        "samples": [{**vars(s), **_at(curves["smooth"], s.used_seconds)} for s in _thinned(facts.samples, 100)],
        "techniques": techniques(facts),
        "measured": measured(facts),
        "tasks": tasks(facts),
        "reasons": plan.reasons if plan else {},
        "events": [vars(e) for e in facts.events[-MOST_EVENTS:]],
        "events_in_all": len(facts.events),
        "commands": commands(facts),
    }
    return {name: _strict(value) for name, value in found.items()}


def in_language(data: Json, language: str) -> Json:
    """What `of_run` returns with the planner's sentences in a language; those without a translation stay in English."""
    if language == "en":
        return data
    shown: Json = {name: _said(data[name], language) for name in ("reasons", "unreadable")}
    for name in ("techniques", "amendments"):
        shown[name] = [_said(entry, language, ("reason",)) for entry in data[name]]
    shown["events"] = [
        {**event, "detail": _said(event["detail"], language, ("what", "reason"))} for event in data["events"]
    ]
    shown["result"] = _said(data["result"], language, ("verdict",))
    if data["corpus"]:
        notes = [_translated(note, language) for note in data["corpus"]["notes"]]
        shown["corpus"] = {**data["corpus"], "notes": notes}
    return data | shown


def _said(values: Json, language: str, names: tuple[str, ...] = ()) -> Json:
    """The values with the sentences under `names` (none given: under every name) in a language."""
    return {
        name: _translated(value, language) if isinstance(value, str) and (not names or name in names) else value
        for name, value in values.items()
    }


@functools.lru_cache(maxsize=4096)  # a live page has the same sentences again and again
def _translated(sentence: str, language: str) -> str:
    return localized(sentence, language)


def _training(facts: Facts, context_length: int) -> Json | None:
    totals = facts.curves.totals()
    if not totals:
        return None
    rate = totals["rows"] * context_length / max(1e-9, totals["seconds"])
    return {**totals, "tokens_per_second": rate}


def budget(facts: Facts) -> Json:
    """Seconds of the budget, used, unused and beyond it (`over`)."""
    seconds, used = facts.budget_seconds(), facts.used_seconds()
    plan, request = facts.plan, facts.request
    return {
        "seconds": seconds,
        "used": used,
        "unused": max(0.0, seconds - used),
        "over": max(0.0, used - seconds) if seconds else 0.0,
        "clock": plan.budget.clock if plan else "seconds",
        "until": plan.budget.until if plan else request.until if request else "",
    }


def phases(facts: Facts) -> list[Json]:
    """Name, seconds and planned seconds of each phase. With the unused seconds they add up to the budget."""
    seconds = dict(facts.phases)
    rest = facts.used_seconds() - sum(seconds.values())
    if rest > 0:
        name = facts.going_on()
        seconds[name] = seconds.get(name, 0.0) + rest
    planned = dict(facts.plan.predicted.phase_seconds) if facts.plan else {}
    if "training" in planned:  # compiling happens inside the first step
        planned["training"] += planned.get("compile", 0.0)
    return [{"name": name, "seconds": spent, "planned": planned.get(name)} for name, spent in seconds.items()]


def result(facts: Facts) -> Json:
    """Scores of model/ alone, with n-gram counts (`more`) and of baselines: fields of a Measurement, or None."""
    found = [vars(m) for m in facts.measurements.values()]
    headline = facts.plan.headline if facts.plan is not None else BITS_PER_BYTE
    scored = [m for m in found if m["name"] == headline.name]
    model = next((m for m in scored if m["needs"] == "model/"), None)
    corpus = facts.corpus
    # Baselines are in bits per byte and are shown only beside such a score.
    names = ("xz", "kneser_ney")
    baselines = {name: next((m for m in found if m["name"] == name and headline.of_text), None) for name in names}
    if corpus is not None and headline.of_text:
        baselines["xz"] = baselines["xz"] or _baseline("xz", corpus.xz_bits_per_byte)
        baselines["kneser_ney"] = baselines["kneser_ney"] or _baseline("kneser_ney", corpus.ngram_bits_per_byte)
    held_out = corpus.heldout_bytes if corpus is not None else 0
    finished = facts.finished or {}
    return {
        "model": model,
        "more": [m for m in scored if m["needs"] != "model/"],
        **baselines,
        "counts": (finished.get("mixture") or {}).get("counts_bits_per_byte"),  # of the n-gram counts alone
        "verdict": finished.get("verdict"),
        "perplexity": next((m for m in found if m["name"] == "perplexity"), None),
        "scored_share": _scored_share(model, held_out, facts.finished or {}),
        "weights": next((e.detail.get("weights") for e in reversed(facts.events) if e.name == "weights chosen"), None),
        **{name: finished.get(name) for name in ("weights_digest", "cut", "deviations")},
        "measurements": found,
    }


def _scored_share(model: Json | None, held_out: int, finished: Json) -> float | None:
    """Of the held-out text. Where tokens are hidden in it, the bytes that were scored do not tell."""
    if "heldout_share" in finished:
        return finished["heldout_share"]
    return model["bytes"] / held_out if model and held_out else None


def _baseline(name: str, value: float) -> Json:
    return {"name": name, "value": value, "unit": "bits/byte", "needs": "", "bytes": 0, "note": ""}


def comparison(facts: Facts) -> list[Json]:
    """Planned and actual values with their ratio; None: not known yet. Empty without a plan."""
    plan = facts.plan
    if plan is None:
        return []
    headline = plan.headline
    predicted, totals, done = plan.predicted, facts.curves.totals(), facts.finished is not None
    figures = {(m.name, m.needs): m.value for m in facts.measurements.values()}
    rows = [
        _row(headline.name, headline.unit, predicted.figure, figures.get((headline.name, "model/")))
        | {"low": predicted.figure_low, "high": predicted.figure_high, "higher": headline.higher_is_better}
    ]
    if not plan.shape.counted:
        rate = totals["rows"] * plan.network.context_length / max(1e-9, totals["seconds"]) if totals else None
        ramp = plan.technique("batch_ramp") is not None  # then the first steps are smaller, and there are more
        steps = None if ramp else round(plan.tokens / max(1, plan.batch_tokens))
        rows += [
            _row("tokens_per_second", "tokens/s", predicted.tokens_per_second, rate),
            _row("tokens", "tokens", plan.tokens, totals.get("tokens")),
            _row("steps", "", steps, totals.get("steps")),
            _row("memory", "bytes", predicted.memory_bytes, figures.get(("peak_memory_bytes", ""))),
        ]
    planned = predicted.phase_seconds
    if "until the plan" in planned and "plan" in facts.phases:
        spent = sum(facts.phases.get(name, 0.0) for name in UNTIL_THE_PLAN)
        rows.append(_row("until_the_plan", "s", planned["until the plan"], spent))
    if "training" in planned:
        spent_training = facts.phases.get("training") if totals else None
        rows.append(_row("training", "s", planned["training"] + planned.get("compile", 0.0), spent_training))
    return [*rows, _row("seconds", "s", facts.budget_seconds(), facts.used_seconds() if done else None)]


def _row(name: str, unit: str, plan: float | None, fact: float | None) -> Json:
    ratio = fact / plan if fact is not None and plan else None
    return {"name": name, "unit": unit, "plan": plan, "fact": fact, "ratio": ratio}


def techniques(facts: Facts) -> list[Json]:
    """Techniques in use, with the metric each should improve and what it changed; then those not used, with the reason.

    A cleaning step has its `account`, as in corpus.json. `optional`: off by default.
    """
    if facts.plan is None:
        return []
    claims = facts.told.get("claims", {})
    accounts = {account.name: account for account in facts.corpus.accounts} if facts.corpus is not None else {}
    on = [
        {
            "name": choice.name,
            "on": True,
            "claim": claims.get(choice.name, ""),
            "settings": choice.settings,
            "account": _account(accounts.get(choice.name)),
            "touched": [
                {"seam": seam, "places": n} for (name, seam), n in facts.touched.items() if name == choice.name
            ],
        }
        for choice in facts.plan.techniques
    ]
    refused = facts.plan.refused.items()
    return [
        *on,
        *(
            # The planner's reason for what is off by default ends in the option that turns it on.
            {"name": name, "on": False, "reason": reason, "optional": reason.endswith(f"--with {name}")}
            for name, reason in refused
        ),
    ]


def _account(account: "Account | None") -> dict[str, int] | None:
    """Documents that a cleaning step changed and removed, and the bytes removed."""
    if account is None:
        return None
    names = ("documents", "changed_documents", "removed_documents", "removed_bytes")
    return {name: getattr(account, name) for name in names}


def measured(facts: Facts) -> Json | None:
    """The content of `measure.json`; None if there is none, or one of another version."""
    found = facts.measured
    whole = found.get("schema") == 2 and isinstance(found.get("rows"), list) and isinstance(found.get("method"), dict)
    return found if whole else None


def tasks(facts: Facts) -> list[Json]:
    """Scores on zero-shot tasks that `daybreak evaluate --task` kept, without paths of this machine."""
    kept = facts.answered.get("tasks")
    if facts.answered.get("schema") != 1 or not isinstance(kept, dict):
        return []
    names = ("name", "kind", "items", "items_in_file", "chance", "cut", "scores", "scored_at")
    return [{name: task.get(name) for name in names} for task in kept.values() if isinstance(task, dict)]


def commands(facts: Facts) -> dict[str, str]:
    """Shell commands that repeat the run, train its plan, replay its log, score it and use it."""
    folder = shlex.quote(str(facts.run))
    found = {}
    if facts.request is not None:
        request = facts.request
        if request.until and datetime.datetime.fromisoformat(request.until).timestamp() <= time.time():
            request = request.replace(until="")  # the moment has passed: repeat with the same number of seconds
        found["run" if request.seconds else "prepare"] = request.command(str(facts.run))
    if facts.plan is not None:
        found["train"] = f"daybreak train {folder}"
    if facts.curves:
        found["replay"] = f"daybreak train --replay {folder} --out {shlex.quote(f'{facts.run}-replay')}"
    if facts.plan is not None and (facts.run.model_folder / "config.json").exists():
        found["evaluate"] = f"daybreak evaluate {folder}"
        if not facts.plan.shape.counted:
            found["measure"] = f"daybreak measure {folder}"
        found["generate"] = f'daybreak generate {folder} "..."'
    return found


def sentence(facts: Json) -> str:
    """The result in one line, for a terminal. facts: of Facts.json."""
    model, used = facts["result"]["model"], units.duration(facts["budget"]["used"])
    if model is None:
        return f"{facts['name']}: {facts['state']}, {used} used"
    told = Metric(**facts["headline"]).told(model["value"], 4)
    return f"{facts['name']}: {facts['state']}, {told}, {used} used"


def _card(corpus: Corpus) -> Json:
    """Its notes begin with what was not read, as the terminal says it."""
    not_read = corpus.not_read()
    notes = [*not_read, *(note for note in corpus.notes if note not in not_read)]
    return {**corpus.to_json(), "sources": list(corpus.sources[:MOST_SOURCES]), "notes": notes}


def _thinned(values: list[T], most: int) -> list[T]:
    """At most about `most` of the values, evenly spread, always with the last one."""
    every = math.ceil(len(values) / most) or 1
    return values[::-1][::every][::-1]


def _at(curve: dict[str, list[float]], seconds: float) -> dict[str, float | None]:
    """The loss of the smooth line at a moment."""
    before = [y for x, y in zip(curve["seconds"], curve["values"], strict=True) if x <= seconds]
    return {"loss": before[-1] if before else None}


def _strict(value: object) -> object:
    """The value with None for the numbers that JSON does not have."""
    if isinstance(value, dict):
        return {str(name): _strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        if value and type(value[0]) is float and all(type(item) is float for item in value):
            return value if all(map(math.isfinite, value)) else [x if math.isfinite(x) else None for x in value]
        return [_strict(item) for item in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None
