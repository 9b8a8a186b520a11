"""Cells: single measurements of a plan: how long its steps take beside another's, and what it has learnt by the end."""

import itertools
import math
import sys
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from daybreak import techniques
from daybreak.core.clock import Stopwatch, TokensClock
from daybreak.core.errors import Interrupted, Saved, UsageError
from daybreak.core.run import Run
from daybreak.core.signals import Signals
from daybreak.core.types import Machine, Plan
from daybreak.data.shards import Tokens
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.engine import loop
from daybreak.engine.machine import synchronize
from daybreak.tasks import task_of
from daybreak.tasks.scoring import Answers, loss
from daybreak.training.build import Built, batches_of, build
from daybreak.training.finalize import QUICK_SHARE, candidates_of, load_into, spread
from daybreak.training.train import MARKS, stepped

SCHEMA = 2  # of a cell
ROUNDS = 4
LEAST_ROUNDS = 2
PLACES = 10  # of the run, at most, at which blocks of steps are timed
LEAST_PLACES = 4  # where time is short: some techniques work in a part of the run alone
STEPS_A_PLACE = 10  # of the run, at least: the steps of a short one are few and alike
ROUNDS_SHARE = 0.5  # of the time that is left, at most, where the least rounds would take longer
BLOCK_STEPS = 2
BLOCK_SECONDS = 0.05  # a block is no shorter


class OutOfTime(Exception):
    """The deadline would come first; what was begun is not kept."""


@dataclass(kw_only=True)
class Place:
    """What all cells of a run share, and until when they may take."""

    run: Run
    machine: Machine
    device: torch.device
    tokenizer: Tokenizer
    train: Tokens
    heldout: Tokens
    scored_tokens: int  # of the held-out text, by every cell the same
    stopwatch: Stopwatch
    end: float  # of the stopwatch's seconds
    signals: Signals
    costs: dict[str, float] = field(default_factory=dict)  # seconds that parts took, the last time

    def left(self) -> float:
        return self.end - self.stopwatch.used()

    def check(self) -> None:
        """Raises Interrupted or Saved where a signal asks for the end: cells that are done are on disk."""
        if self.signals.received:
            kind = Interrupted if self.signals.received == "SIGINT" else Saved
            raise kind(
                "the measurement was ended before its end",
                received=f"{self.signals.received} after {self.stopwatch.used():.0f} s",
                attempt="the same command again: it goes on from here",
            )


def _built(place: Place, plan: Plan) -> Built:
    """Raises UsageError: a technique that changes nothing here."""
    try:
        return build(plan, place.machine, place.device, run=place.run)
    except RuntimeError as error:
        if "touched nothing" not in str(error):
            raise
        raise UsageError("a technique has no effect here", received=str(error), attempt="without it") from None


def _forget_graphs() -> None:
    """Every plan that is built compiles its own graphs, and torch keeps only a few of one function."""
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()


# Step time


def places_of(plan: Plan) -> int:
    """Moments of the run at which its steps are timed."""
    return max(2, min(PLACES, plan.tokens // plan.batch_tokens // STEPS_A_PLACE))


def timed(place: Place, one: Plan, other: Plan, before: dict[str, Any], *, until: float) -> dict[str, Any]:
    """Seconds a token of both plans, in turns in this process: {"one", "other": [rounds][places]} and "done".

    before: such a cell with fewer rounds, or {}. until: seconds of the stopwatch by which no further round is begun
    when there are enough of them. Starting (compiling) is outside what is timed. Raises OutOfTime.
    """
    _forget_graphs()
    rounds: dict[str, list[list[float]]] = {side: list(before.get(side, [])) for side in ("one", "other")}
    sides = {"one": _Side(place, one), "other": _Side(place, other)}
    seconds = [side.started() for side in sides.values()]  # of a step
    steps = max(BLOCK_STEPS, min(50, math.ceil(BLOCK_SECONDS / max(1e-6, min(seconds)))))
    places = len(rounds["one"][0]) if rounds["one"] else _fitting(place, places_of(other), steps * sum(seconds))
    while (known := len(rounds["one"])) < ROUNDS:
        begun = place.stopwatch.used()
        taken: dict[str, list[float]] = {side: [] for side in sides}
        for side in sides.values():
            side.forget()
        pair = 0.0  # seconds of the last two blocks
        for index in range(places):
            if place.left() < 1.2 * pair:
                break
            pair_begun = place.stopwatch.used()
            # Within its part of the run, each round looks at another moment.
            progress = (index + (known + 0.5) / ROUNDS) / places
            # The order turns around each time, so that a slow drift of the machine falls on both alike.
            for name in sorted(sides, reverse=bool((index + known) % 2)):
                place.check()
                taken[name].append(sides[name].block(progress, steps))
            pair = place.stopwatch.used() - pair_begun
        else:
            for name in sides:
                rounds[name].append(taken[name])
        now = place.stopwatch.used()
        if len(rounds["one"]) == known or now + (now - begun) > place.end:
            break
        if now + (now - begun) > until and len(rounds["one"]) >= LEAST_ROUNDS:
            break
    if len(rounds["one"]) < LEAST_ROUNDS:
        raise OutOfTime
    return {**rounds, "steps": steps, "done": len(rounds["one"]) >= ROUNDS}


def _fitting(place: Place, most: int, pair: float) -> int:
    """Places that leave time for the least rounds, and a part of it for learning. pair: seconds of two blocks."""
    if not math.isfinite(place.end):
        return most
    return max(min(LEAST_PLACES, most), min(most, int(ROUNDS_SHARE * place.left() / (LEAST_ROUNDS * pair))))


class _Side:
    """A plan, built, that takes a few steps at any moment of its run."""

    def __init__(self, place: Place, plan: Plan) -> None:
        self.place, self.plan = place, plan
        self.built = _built(place, plan)
        batches = batches_of(place.run, place.train, plan)
        self.batches, _ = techniques.fold(self.built.techniques, "batches", batches, self.built.context)
        self.cursor = 0

    def started(self) -> float:
        """Takes the steps that are not like the later ones; the seconds of a later one."""
        for progress in (0.0, 0.5):
            if self.place.left() < 0:
                raise OutOfTime
            self.place.check()
            self.block(progress, 1)
        begun = time.perf_counter()
        self.block(0.95, 1)
        return time.perf_counter() - begun

    def forget(self) -> None:
        """What follows the steps begins anew: it would wait for the progress that it has seen already."""
        self.built.followers, _ = techniques.fold(self.built.techniques, "step", [], self.built.context)

    def block(self, progress: float, steps: int) -> float:
        """Seconds a token, over so many steps from this progress on."""
        place, plan = self.place, self.plan
        position = loop.Position(progress=progress, cursor=self.cursor)
        clock = TokensClock(place.stopwatch, tokens=plan.tokens)
        clock.resume(min(int(progress * plan.tokens), plan.tokens - 1))
        synchronize(place.device)
        begun = time.perf_counter()
        for _ in itertools.islice(
            stepped(plan, self.built, self.batches, place.device, clock, position),
            steps,
        ):
            pass
        synchronize(place.device)
        self.cursor = position.cursor
        return (time.perf_counter() - begun) / position.tokens


# Learning


def learned(place: Place, plan: Plan, tokens: int) -> dict[str, Any]:
    """Trains for so many tokens, the schedule ending there, and scores the held-out part.

    "loss" is bits per byte, or nats of a target where those are not the headline; None where the training diverged.
    Raises OutOfTime.
    """
    _forget_graphs()
    plan = plan.replace(tokens=tokens, budget=plan.budget.replace(clock="tokens"))
    begun = place.stopwatch.used()
    built = _built(place, plan)
    batches = batches_of(place.run, place.train, plan)
    batches, _ = techniques.fold(built.techniques, "batches", batches, built.context)
    clock = TokensClock(place.stopwatch, tokens=tokens, end=place.end - place.costs.get("scoring", 0.0))
    position, skipped, marks = loop.Position(), 0, 0
    for step in stepped(plan, built, batches, place.device, clock, position):
        place.check()
        skipped += step.skipped
        if marks < int(step.progress * MARKS) < MARKS:  # as a run does on the way
            marks = int(step.progress * MARKS)
            built.marked(step.progress, _quick(place, plan, built))
            built.module.train()
        if built.enough():
            break
    if clock.cut or not position.step:
        raise OutOfTime
    trained = place.stopwatch.used()
    reached, weights, size = _loss(place, plan, built)
    place.costs["scoring"] = place.stopwatch.used() - trained
    return {
        "loss": reached if math.isfinite(reached) else None,
        "weights": weights,
        "scored_bytes": size,
        "seed": plan.seed,
        "tokens": position.tokens,
        "steps": position.step,
        "skipped": skipped,
        "training_seconds": trained - begun,
        "seconds": place.stopwatch.used() - begun,
    }


def _quick(place: Place, plan: Plan, built: Built) -> float:
    """Loss of the current weights on the part of the held-out text that a run scores on the way."""
    stream = spread(place.heldout, max(1, place.scored_tokens // QUICK_SHARE), built.module.shape.context_length)
    return loss(plan.headline, task_of(plan.objective).scorer(plan, place.tokenizer).put(built.module, stream).score())


def _loss(place: Place, plan: Plan, built: Built) -> tuple[float, dict[str, float], int]:
    """Of the weights that a run would choose, then of each candidate; and the bytes scored.

    Each half of the text is scored with the candidate that is best on the other half: no text chooses its own.
    """
    candidates = candidates_of(built)[0]
    stream = spread(place.heldout, place.scored_tokens, built.module.shape.context_length)
    scorer = task_of(plan.objective).scorer(plan, place.tokenizer)
    answers: dict[str, Answers] = {}
    for name, weights in candidates.items():  # the current ones come first, and are then overwritten
        if name != "current":
            load_into(built, weights)
        answers[name] = scorer.put(built.module, stream)
    middle = len(answers["current"]) // 2
    halves = slice(0, middle), slice(middle, None)
    chosen = []
    for half, other in (halves, halves[::-1]):
        best = min(answers, key=lambda name: answers[name].part(other).score().nats)
        chosen.append(answers[best].nats[half])
    whole = replace(answers["current"], nats=np.concatenate(chosen), hits=None).score()
    losses = {name: loss(plan.headline, answer.score()) for name, answer in answers.items()}
    return (
        loss(plan.headline, whole),
        {name: reached for name, reached in losses.items() if math.isfinite(reached)},
        whole.bytes,
    )
