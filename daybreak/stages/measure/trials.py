"""Trials: single measurements of plans: the time of their steps, and the loss at the end of a short training."""

import itertools
import math
import sys
import time
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from daybreak import techniques
from daybreak.core.clock import Stopwatch, TokensClock
from daybreak.core.errors import Interrupted, Saved, UsageError
from daybreak.core.run import Run
from daybreak.core.signals import Signals
from daybreak.core.types import Machine, Plan
from daybreak.core.values import Json
from daybreak.data.shards import Tokens
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.engine import loop
from daybreak.engine.machine import synchronize
from daybreak.tasks import task_of
from daybreak.tasks.scoring import TokenScores, loss
from daybreak.training.build import Trainable, batches_of, build
from daybreak.training.finalize import QUICK_SHARE, candidates_of, load_into, sample_windows
from daybreak.training.train import MARKS, training_steps

SCHEMA = 2  # of a trial's file
ROUNDS = 4
LEAST_ROUNDS = 2
# Steps are timed in blocks, at several moments of the run, because some techniques work only in a part of it.
MOST_MOMENTS = 10
LEAST_MOMENTS = 4  # if time is short
STEPS_A_MOMENT = 10  # a run with fewer steps a moment is timed at fewer moments
ROUNDS_SHARE = 0.5  # at most this share of the time left is spent on timing, by taking fewer moments
BLOCK_STEPS = 2  # at least
BLOCK_SECONDS = 0.05  # at least


class OutOfTime(Exception):
    """The deadline comes before the end of the trial, which is then not kept."""


@dataclass(kw_only=True)
class MeasurementSetup:
    """What all trials of a measurement share, and their deadline."""

    run: Run
    machine: Machine
    device: torch.device
    tokenizer: Tokenizer
    train: Tokens
    heldout: Tokens
    scored_tokens: int  # of the held-out text; the same in every trial
    stopwatch: Stopwatch
    end: float  # deadline, in seconds of the stopwatch
    signals: Signals
    costs: dict[str, float] = field(default_factory=dict)  # seconds that parts of a trial took the last time

    def left(self) -> float:
        return self.end - self.stopwatch.used()

    def check(self) -> None:
        """Raises Interrupted or Saved if a signal has come: finished trials are on disk."""
        if self.signals.received:
            kind = Interrupted if self.signals.received == "SIGINT" else Saved
            raise kind(
                "the measurement was stopped before its end",
                received=f"{self.signals.received} after {self.stopwatch.used():.0f} s",
                attempt="the same command again: it goes on from here",
            )


def _built(setup: MeasurementSetup, plan: Plan) -> Trainable:
    """Raises UsageError: a technique that changes nothing here."""
    try:
        return build(plan, setup.machine, setup.device, run=setup.run)
    except techniques.NothingChanged as error:
        raise UsageError("a technique has no effect here", received=str(error), attempt="leave it out") from None


def _forget_graphs() -> None:
    """Clears torch's compiled graphs: every plan compiles its own, and torch keeps only a few for one function."""
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()


# Step time


def moments_of(plan: Plan) -> int:
    """The number of moments of the run at which steps are timed."""
    return max(2, min(MOST_MOMENTS, plan.tokens // plan.batch_tokens // STEPS_A_MOMENT))


def timed(setup: MeasurementSetup, with_: Plan, without: Plan, before: Json, *, until: float) -> Json:
    """Times the steps of two plans in turns: seconds a token under "one" (with) and "other", [rounds][moments].

    "done" tells whether all rounds were taken. before: an earlier result with fewer rounds, or {}. until: seconds of
    the stopwatch after which no round begins once there are LEAST_ROUNDS. Compiling is not timed. Raises OutOfTime.
    """
    _forget_graphs()
    rounds: dict[str, list[list[float]]] = {side: list(before.get(side, [])) for side in ("one", "other")}
    sides = {"one": _Side(setup, with_), "other": _Side(setup, without)}
    seconds = [side.started() for side in sides.values()]  # that a step takes
    steps = max(BLOCK_STEPS, min(50, math.ceil(BLOCK_SECONDS / max(1e-6, min(seconds)))))
    moments = len(rounds["one"][0]) if rounds["one"] else _fitting(setup, moments_of(without), steps * sum(seconds))
    while (known := len(rounds["one"])) < ROUNDS:
        begun = setup.stopwatch.used()
        taken: dict[str, list[float]] = {side: [] for side in sides}
        for side in sides.values():
            side.forget()
        pair = 0.0  # seconds of the last two blocks
        for index in range(moments):
            if setup.left() < 1.2 * pair:
                break
            pair_begun = setup.stopwatch.used()
            # Each round takes another moment of the same part of the run.
            progress = (index + (known + 0.5) / ROUNDS) / moments
            # The order alternates, so that a slow drift of the machine's speed affects both alike.
            for name in sorted(sides, reverse=bool((index + known) % 2)):
                setup.check()
                taken[name].append(sides[name].block(progress, steps))
            pair = setup.stopwatch.used() - pair_begun
        else:
            for name in sides:
                rounds[name].append(taken[name])
        now = setup.stopwatch.used()
        if len(rounds["one"]) == known or now + (now - begun) > setup.end:
            break
        if now + (now - begun) > until and len(rounds["one"]) >= LEAST_ROUNDS:
            break
    if len(rounds["one"]) < LEAST_ROUNDS:
        raise OutOfTime
    return {**rounds, "steps": steps, "done": len(rounds["one"]) >= ROUNDS}


def _fitting(setup: MeasurementSetup, most: int, pair: float) -> int:
    """As many moments as leave time for LEAST_ROUNDS and for training trials. pair: seconds of two blocks."""
    if not math.isfinite(setup.end):
        return most
    return max(min(LEAST_MOMENTS, most), min(most, int(ROUNDS_SHARE * setup.left() / (LEAST_ROUNDS * pair))))


class _Side:
    """A plan that has been built and can take a few steps at any moment of its run."""

    def __init__(self, setup: MeasurementSetup, plan: Plan) -> None:
        self.setup, self.plan = setup, plan
        self.built = _built(setup, plan)
        batches = batches_of(setup.run, setup.train, plan)
        self.batches, _ = techniques.fold(self.built.techniques, "batches", batches, self.built.context)
        self.cursor = 0

    def started(self) -> float:
        """Takes the first steps, which are slower; returns the seconds of a later one."""
        for progress in (0.0, 0.5):
            if self.setup.left() < 0:
                raise OutOfTime
            self.setup.check()
            self.block(progress, 1)
        begun = time.perf_counter()
        self.block(0.95, 1)
        return time.perf_counter() - begun

    def forget(self) -> None:
        """Starts the step callbacks anew: they would wait for a progress that they have passed already."""
        self.built.callbacks, _ = techniques.fold(self.built.techniques, "step", [], self.built.context)

    def block(self, progress: float, steps: int) -> float:
        """Seconds a token over `steps` steps, from `progress` on."""
        setup, plan = self.setup, self.plan
        position = loop.Position(progress=progress, cursor=self.cursor)
        clock = TokensClock(setup.stopwatch, tokens=plan.tokens)
        clock.resume(min(int(progress * plan.tokens), plan.tokens - 1))
        synchronize(setup.device)
        begun = time.perf_counter()
        for _ in itertools.islice(
            training_steps(plan, self.built, self.batches, clock, position),
            steps,
        ):
            pass
        synchronize(setup.device)
        self.cursor = position.cursor
        return (time.perf_counter() - begun) / position.tokens


# Learning


def learned(setup: MeasurementSetup, plan: Plan, tokens: int) -> Json:
    """Trains on so many tokens, with the learning rate decaying to the end, and scores the held-out text.

    "loss": bits per byte, or nats a target where the main metric is another; None: the training diverged. Raises
    OutOfTime.
    """
    _forget_graphs()
    plan = plan.replace(tokens=tokens, budget=plan.budget.replace(clock="tokens"))
    begun = setup.stopwatch.used()
    built = _built(setup, plan)
    batches = batches_of(setup.run, setup.train, plan)
    batches, _ = techniques.fold(built.techniques, "batches", batches, built.context)
    clock = TokensClock(setup.stopwatch, tokens=tokens, end=setup.end - setup.costs.get("scoring", 0.0))
    position, skipped, marks = loop.Position(), 0, 0
    for step in training_steps(plan, built, batches, clock, position):
        setup.check()
        skipped += step.skipped
        if marks < int(step.progress * MARKS) < MARKS:  # as a run validates during training
            marks = int(step.progress * MARKS)
            built.validated(step.progress, _quick(setup, plan, built))
            built.module.train()
        if built.stop_reason():
            break
    if clock.cut or not position.step:
        raise OutOfTime
    trained = setup.stopwatch.used()
    reached, weights, size = _loss(setup, plan, built)
    setup.costs["scoring"] = setup.stopwatch.used() - trained
    return {
        "loss": reached if math.isfinite(reached) else None,
        "weights": weights,
        "scored_bytes": size,
        "seed": plan.seed,
        "tokens": position.tokens,
        "steps": position.step,
        "skipped": skipped,
        "training_seconds": trained - begun,
        "seconds": setup.stopwatch.used() - begun,
    }


def _quick(setup: MeasurementSetup, plan: Plan, built: Trainable) -> float:
    """Loss of the current weights on the part of the held-out text that a run scores during training."""
    stream = sample_windows(
        setup.heldout, max(1, setup.scored_tokens // QUICK_SHARE), built.module.shape.context_length
    )
    return loss(
        plan.headline, task_of(plan.objective).scorer(plan, setup.tokenizer).score(built.module, stream).total()
    )


def _loss(setup: MeasurementSetup, plan: Plan, built: Trainable) -> tuple[float, dict[str, float], int]:
    """The loss of the weights that a run would choose, the loss of each candidate by name, and the bytes scored.

    Each half of the text is scored with the candidate that is best on the other half, so that choosing among the
    candidates does not bias the loss.
    """
    candidates = candidates_of(built)[0]
    stream = sample_windows(setup.heldout, setup.scored_tokens, built.module.shape.context_length)
    scorer = task_of(plan.objective).scorer(plan, setup.tokenizer)
    answers: dict[str, TokenScores] = {}
    for name, weights in candidates.items():  # "current" comes first: loading the others overwrites it
        if name != "current":
            load_into(built, weights)
        answers[name] = scorer.score(built.module, stream)
    middle = len(answers["current"]) // 2
    halves = slice(0, middle), slice(middle, None)
    chosen = []
    for half, other in (halves, halves[::-1]):
        best = min(answers, key=lambda name: answers[name].part(other).total().nats)
        chosen.append(answers[best].nats[half])
    whole = replace(answers["current"], nats=np.concatenate(chosen), hits=None).total()
    losses = {name: loss(plan.headline, answer.total()) for name, answer in answers.items()}
    return (
        loss(plan.headline, whole),
        {name: reached for name, reached in losses.items() if math.isfinite(reached)},
        whole.bytes,
    )
