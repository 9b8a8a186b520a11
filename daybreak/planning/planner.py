"""Planner: turns measurements and a request into a plan with a reason for each decision: `choose`, `write_plan`."""

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Protocol, runtime_checkable

from daybreak import techniques
from daybreak.core import units
from daybreak.core.errors import BudgetTooShort, ResourceError, UsageError, nearest
from daybreak.core.types import (
    UNASKED,
    Budget,
    Corpus,
    Decisions,
    Machine,
    Plan,
    Prediction,
    Probe,
    Request,
    TechniqueChoice,
)
from daybreak.data import mixing
from daybreak.engine import time_budget
from daybreak.models import families
from daybreak.models.families import Family
from daybreak.planning.candidates import Candidate, best_of, candidates, expected_bits
from daybreak.planning.choice import Choice
from daybreak.planning.memory import peak_bytes
from daybreak.planning.reasons import reasons_of
from daybreak.planning.recipe import recipe_of
from daybreak.planning.settings import Settings, parsed
from daybreak.planning.speed import Speed, memory_bytes
from daybreak.tasks import task_of
from daybreak.techniques.ngram_mix import NgramMix

LEAST_STEPS = 20
CLEANED_BYTES_PER_SECOND = 1e8  # speed of reading cleaned text for encoding
SCORING_SPEED = 2.5  # times the speed of training
LOADING_SECONDS = 0.4  # to read the model back before it is scored
MOST_WAITING = 3.0  # processes for a processor that a range of figures allows for
MOST_FASTER = 1.5  # times the speed of the probe, where others leave the machine


@runtime_checkable
class NeedsHardware(Protocol):
    """A technique that decides the speed of training, where the machine can do it."""

    def unusable(self, machine: Machine) -> str | None: ...


def choose(corpus: Corpus, machine: Machine, probe: Probe, request: Request, *, timed_only: bool = False) -> Choice:
    """Which network is trained and how: a pure function of measurements and request.

    timed_only: choose among the shapes that this probe has timed, if there are any, and be strict about the time.
    Raises BudgetTooShort (with the shortest that works), ResourceError (no shape fits the memory) and UsageError (a
    setting or technique that cannot be).
    """
    if request.reproducible:
        corpus, machine, probe = _nominal(corpus, machine)
    family = families.named(request.family)
    if not family.listed and corpus.origin is None:
        raise UsageError("unknown family", received=family.name, attempt=nearest(family.name, families.listed()))
    settings = parsed(request)
    _check_native(request, family, settings)
    fixed = _fixed_seconds(corpus, probe, request)
    available = request.seconds - sum(fixed.values())
    best, pool, timed = _best(corpus, machine, probe, request, settings, available, timed_only=timed_only)
    ending = _scoring_seconds(corpus, best, request.seconds) + LOADING_SECONDS
    phases = {**fixed, "the end": ending, "compile": best.mode_seconds}
    training = available + fixed["the end"] - ending - phases["compile"]
    # A guess, or what was measured on a worse day, is no reason to refuse unless it is hopeless.
    _check_long_enough(best, training, request, steps=LEAST_STEPS if timed_only else LEAST_STEPS // 5)
    phases["training"] = min(training, best.tokens / best.tokens_per_second)
    if training > phases["training"]:
        phases["left over"] = training - phases["training"]
    tokens = settings.get("tokens") or int(best.tokens)
    optimizer, schedule = recipe_of(corpus, best, tokens, settings)
    objective = families.of(best.shape).objective
    scored = time_budget.SCORING_MOST * request.seconds * SCORING_SPEED * best.tokens_per_second
    scored *= corpus.bytes_per_token[str(best.tokenizer.vocabulary)]
    choice = Choice(
        corpus=corpus,
        machine=machine,
        probe=probe,
        request=request,
        best=best,
        pool=tuple(pool),
        timed=timed,
        objective=objective,
        budget=Budget(
            clock="tokens" if request.reproducible else "seconds",
            seconds=request.seconds,
            until=request.until,
            most_tokens=int(best.most_tokens) if math.isfinite(best.most_tokens) and not request.reproducible else 0,
        ),
        tokens=tokens,
        optimizer=optimizer,
        schedule=schedule,
        evaluation_bytes=settings.get("evaluation_bytes") or min(corpus.heldout_bytes, int(scored)),
        predicted=_predicted(corpus, best, objective, tokens, phases, slower_at_worst(probe)),
    )
    chosen, refused = select_techniques(choice, machine, request, {step.name for step in corpus.cleaning})
    return replace(choice, techniques=chosen, refused=refused)


def write_plan(choice: Choice) -> Plan:
    """The plan of a choice, with a reason for every decision; made once a run."""
    corpus, request = choice.corpus, choice.request
    memory = peak_bytes(choice, choice.machine, choice.probe)
    return Plan(
        objective=choice.objective,
        metric=task_of(choice.objective).metric,
        corpus=corpus.digest,
        tokenizer=choice.tokenizer,
        shape=choice.shape,
        budget=choice.budget,
        tokens=choice.tokens,
        batch_tokens=choice.batch_tokens,
        micro_batch=choice.micro_batch,
        optimizer=choice.optimizer,
        schedule=choice.schedule,
        techniques=choice.techniques,
        refused=dict(choice.refused),
        seed=choice.seed,
        reproducible=request.reproducible,
        evaluation_bytes=choice.evaluation_bytes,
        predicted=choice.predicted.replace(memory_bytes=memory),
        reasons=reasons_of(choice, slower=slower_at_worst(choice.probe)) | _mixing(choice),
        parent=corpus.origin.digest if corpus.origin else "",
        origin=corpus.origin,
        request=request.shown(),
        mixture=tuple(request.weights[name] for name in request.sources) if request.weights else (),
    )


def _nominal(corpus: Corpus, machine: Machine) -> tuple[Corpus, Machine, Probe]:
    """Cautious constants in the place of measurements, so that a reproducible plan is the same every time."""
    known = {"float32": 4e10, "bfloat16": 1.2e11}
    rates = {
        name: rate * machine.cores if machine.kind == "cpu" else 500 * rate
        for name, rate in known.items()
        if name in machine.fast_dtypes
    }
    machine = machine.replace(matmul_flops=rates, bandwidth_bytes_per_second=1e10, disk_bytes_per_second=1e8)
    corpus = corpus.replace(bytes_per_second=2e7, tokens_per_second=2e6)
    return (
        corpus,
        machine,
        Probe(timings=(), earlier=(), compile_cold_seconds=0, compile_warm_seconds=0, used_seconds=8),
    )


# The shape


def _best(
    corpus: Corpus,
    machine: Machine,
    probe: Probe,
    request: Request,
    settings: Settings,
    available: float,
    *,
    timed_only: bool,
) -> tuple[Candidate, list[Candidate], bool]:
    """The best candidate, those that it was chosen from, and whether these have been timed. Raises ResourceError."""
    dtypes = {"bf16": "bfloat16", "fp16": "float16"}
    dtype = next((dtypes[name] for name in dtypes if _switched(name, request, machine)), "float32")
    modes = ("eager", *(name for name in ("compiled", "kernels") if _switched(name, request, machine)))
    if any(techniques.class_of(name).inside_layers for name in request.include):
        modes = tuple(mode for mode in modes if mode != "kernels")
    found = list(
        candidates(
            corpus,
            machine,
            Speed(machine, probe, dtype=dtype),
            settings,
            available,
            family=request.family,
            modes=modes,
            timed_only=timed_only,
        )
    )
    if not found:
        raise ResourceError(
            "no such model fits into the memory of this machine",
            received=f"{request.settings} on {units.size(machine.memory_bytes)} of memory",
            attempt="use fewer layers or a smaller width; each parameter takes 16 bytes while it is trained",
        )
    timed = {(t.shape.key(), t.mode) for t in probe.timings}
    measured = [candidate for candidate in found if (candidate.shape.key(), candidate.mode) in timed]
    # What has been timed and can take its steps is preferred to what is only expected to.
    pools = (measured if timed_only else [], found)
    feasible = [[c for c in pool if c.tokens >= LEAST_STEPS * c.batch_tokens] for pool in pools]
    pool = feasible[0] or feasible[1] or found
    return best_of(pool), pool, bool(feasible[0])


def _check_native(request: Request, family: Family, settings: Settings) -> None:
    """Raises UsageError: a setting leaves the class that transformers opens, and that was not given up."""
    options = getattr(family.shape, "OPTIONS", ())
    taken = {name: value for name, value in settings.items() if name in options and name != "layer_repeats"}
    if not taken or family.rung is None:
        return
    shape = family.rung(2, 128, vocabulary=257, context_length=128, changes=taken)
    shape.check()
    if request.native and (leaving := shape.not_in_transformers()):
        raise UsageError(
            "transformers has no class for this model shape",
            received=", ".join(f"--set {name}={request.settings[name]}" for name in leaving),
            attempt="use --no-native for a model/ that only daybreak can open; or leave the setting out",
        )


# Time


def _fixed_seconds(corpus: Corpus, probe: Probe, request: Request) -> dict[str, float]:
    """Seconds of the budget that are not training, by phase."""
    budget = request.seconds
    corpus_tokens = corpus.bytes / max(corpus.bytes_per_token.values())
    counted = techniques.suits("ngram_mix", families.named(request.family)) and "ngram_mix" not in request.exclude
    counting = 0.0 if not counted else NgramMix().seconds(corpus_tokens, budget)
    return {
        "until the plan": probe.used_seconds,
        "encode": corpus.bytes / CLEANED_BYTES_PER_SECOND + corpus_tokens / corpus.tokens_per_second + 0.3,
        "counting": counting,
        "validation": time_budget.evaluation_seconds(time_budget.EVALUATION_SHARE, budget) * 0.5,
        "samples": time_budget.evaluation_seconds(time_budget.SAMPLING_SHARE, budget),
        "saving": 0.005 * budget + 0.1,
        "the end": time_budget.evaluation_seconds(time_budget.EVALUATION_SHARE, budget) + LOADING_SECONDS,
    }


def _scoring_seconds(corpus: Corpus, best: Candidate, budget: float) -> float:
    """Seconds for scoring all held-out text at the end, or the most that it may take."""
    tokens = corpus.heldout_bytes / corpus.bytes_per_token[str(best.tokenizer.vocabulary)]
    return min(time_budget.SCORING_MOST * budget, tokens / (SCORING_SPEED * best.tokens_per_second))


def _check_long_enough(best: Candidate, training: float, request: Request, *, steps: int) -> None:
    """Raises BudgetTooShort where fewer steps fit."""
    step_seconds = best.batch_tokens / best.tokens_per_second
    if training >= steps * step_seconds:
        return
    shortest = math.ceil(1.15 * (request.seconds - training + LEAST_STEPS * step_seconds))
    raise BudgetTooShort(
        "the budget is too short for this machine and this text",
        received=f"--for {units.duration(request.seconds)}, which leaves "
        f"{units.duration(max(0.0, training))} for training at "
        f"{units.duration(step_seconds)} a step",
        attempt=f"--for {shortest}s, the shortest that works here; or --family ngram, which needs a few seconds",
        seconds=shortest,
    )


# What is predicted


def _predicted(
    corpus: Corpus, best: Candidate, objective: str, tokens: int, phases: dict[str, float], slower: float
) -> Prediction:
    """memory_bytes: of a step, until `write_plan` knows that of the whole process."""
    low, high = _range(corpus, best, objective, tokens, slower)
    size = corpus.bytes_per_token[str(best.tokenizer.vocabulary)]
    bits = families.of(best.shape).bits * best.bits_per_byte
    return Prediction(
        tokens_per_second=best.tokens_per_second,
        figure=task_of(objective).expected(bits, best.bytes_per_token, tokens),
        figure_low=low,
        figure_high=high,
        memory_bytes=memory_bytes(best.shape, best.micro_batch, best.mode),
        corpus_tokens=int(corpus.bytes / size),
        bytes_per_token=size,
        mode=best.mode,
        compile_seconds=best.compile_seconds,
        compiled_speedup=best.compiled_speedup,
        phase_seconds=phases,
        corpus_documents=corpus.documents,
    )


def slower_at_worst(probe: Probe) -> float:
    """Times by which steps may turn out slower than the probe's: 1 on a machine of this run alone.

    In ten runs of a minute beside other work, at 2 to 7 processes for each processor, steps took up to 2.4 times as
    long as they had in the probe.
    """
    return 1 + min(MOST_WAITING, probe.waiting) + max((t.spread for t in probe.timings), default=0.0)


def _range(corpus: Corpus, best: Candidate, objective: str, tokens: float, slower: float) -> tuple[float, float]:
    """The lowest and the highest headline to expect: by the law's error, and by the speed of the machine."""
    headline, size = task_of(objective).metric, best.bytes_per_token
    band = 0.10 if headline.of_text else 0.15
    figures = []
    for seen in (tokens / slower, tokens * min(slower, MOST_FASTER)):
        bits = best.bits_per_byte if seen == tokens else expected_bits(corpus, best.shape, seen, size)
        figures.append(task_of(objective).expected(families.of(best.shape).bits * bits, size, seen))
    return min(figures) * (1 - band), max(figures) * (1 + band)


def _mixing(choice: Choice) -> dict[str, str]:
    """How often each source is read, and which too often."""
    if not choice.request.weights:
        return {}
    request, groups, size = choice.request.shown(), choice.corpus.groups, choice.bytes_per_token()
    names = list(request.sources)
    weights = [request.weights[name] for name in names]
    epochs = mixing.effective_epochs([int(groups[name] / size) for name in names], weights, choice.tokens)
    told = ", ".join(f"{name} {count:.2f} times" for name, count in zip(names, epochs, strict=True))
    return {"mixture": "; ".join([told, *mixing.repetition_warnings(names, epochs)])}


# The techniques


def select_techniques(
    plan: Decisions, machine: Machine, request: Request, cleaned: Collection[str]
) -> tuple[tuple[TechniqueChoice, ...], dict[str, str]]:
    """Those that are on by default or asked for, unless they refuse, and the reasons of those that are not on.

    cleaned: names of the techniques that have cleaned the text. Raises UsageError: one that was asked for refuses.
    """
    chosen, refused = [], {}
    for name in (*request.include, *request.exclude):
        techniques.class_of(name)
    for name in techniques.names():
        kind = techniques.class_of(name)
        if name in request.exclude:
            refused[name] = "you said --without"
            continue
        if not kind.default and name not in request.include:
            refused[name] = f"{UNASKED}: --with {name}"
            continue
        choice = techniques.chosen(name, request)
        if hasattr(kind, "documents"):
            reason = None if name in cleaned else "the text gives it nothing to do"
        else:
            reason = techniques.unfit(name, plan) or techniques.make(choice).refuses(plan, machine)
        if reason is None:
            chosen.append(choice)
        elif name in request.include:
            raise UsageError(
                f"the technique {name} does not apply here",
                received=f"--with {name}: {reason}",
                attempt="leave it out",
            )
        else:
            refused[name] = reason
    return tuple(chosen), refused


def _switched(name: str, request: Request, machine: Machine) -> bool:
    """Whether a technique that decides the speed will be on, as far as the machine alone can tell."""
    technique = techniques.class_of(name)()
    assert isinstance(technique, NeedsHardware), name
    applies = name not in request.exclude and techniques.suits(name, families.named(request.family))
    return applies and technique.unusable(machine) is None
