"""Train: carries a plan out, from the first step to a scored model/ on disk, by the deadline."""

import contextlib
import dataclasses
import logging
import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch

from daybreak import techniques
from daybreak.core import units
from daybreak.core.clock import Clock, ReplayClock, SecondsClock, TokensClock
from daybreak.core.errors import BudgetTooShort, DaybreakError, Interrupted, ResourceError, Saved
from daybreak.core.records import Checksum, Event, Step
from daybreak.core.types import Machine, Plan, TechniqueChoice
from daybreak.data.batches import Batch, Windows
from daybreak.engine import checkpoints, faults, loop, memory, time_budget
from daybreak.engine.guard import Guard, TrainingDiverged
from daybreak.models.kernels.compiling import NotCompiled
from daybreak.tasks import Task, task_of
from daybreak.training.build import Built, batches_of, build
from daybreak.training.checkpointing import PLANNED_SAVES, Training, go_back, plans_saves, resumed, save, settle, write
from daybreak.training.finalize import (
    after_scoring,
    best_so_far,
    choose_weights,
    current,
    finish,
    quick_tokens,
    sample,
    validate,
    weights_checksum,
    whole_of_quick,
    write_model,
)
from daybreak.training.state import Workbench

logger = logging.getLogger(__name__)

CHECKSUM_BYTES_PER_SECOND = 2e9  # of weights; 2.2 to 3.4e9 were measured on a core that others used as well
STILL, STILL_SECONDS = 20.0, 2.0  # times what a step takes, and seconds: the machine has stood still
STALLED = 4.0  # times what it took before
MOST_SLOWER = 4.0
MARKS = 10  # moments of the run at which model/ is written, and scored and sampled where that is cheap
MARK_PASSES = 1.0  # over the text between two marks, where a tenth of the run is more of them
LEAST_BETWEEN = 3  # times the tokens that a mark scores are trained on before the next one


def train(bench: Workbench, *, replay: list[Step] | None = None) -> dict[str, Any]:
    """Raises Interrupted or Saved where a signal ended it (all is on disk), and DaybreakError."""
    bench.ledger.enter("build")
    faults.at("phase.build")
    built = _built(bench)
    batches = batches_of(bench.run, bench.train, bench.plan)
    with bench.ledger.within("counting"), bench.cost("counting"):
        faults.at("phase.counting")
        batches, touched = techniques.fold(built.techniques, "batches", batches, built.context)
    for record in (*built.touched, *touched):
        bench.record(record)
    guard = Guard()
    position, facts = resumed(bench, built, guard)
    if not facts:
        position.row_seconds = bench.plan.network.context_length / bench.plan.predicted.tokens_per_second
    clock = _clock(bench, replay, position, facts)
    saver = checkpoints.Writer(bench.run.checkpoints_folder, now=bench.stopwatch.used)
    training = Training(bench=bench, built=built, clock=clock, position=position, guard=guard, saver=saver)
    training.micro_batch, training.planned = position.micro_batch, facts.get("planned")
    built.context.changes.watch("checkpoint", training.changed)
    bench.ledger.enter("training")
    while True:
        try:
            _consume(training, stepped(bench.plan, built, batches, bench.device, clock, position, guard))
            break
        except TrainingDiverged as error:
            go_back(training, error.received)
    settle(training)
    if position.step == 0:
        with contextlib.suppress(ResourceError):
            saver.wait()
        bench.run.forget_training()  # which would stand in the way of the next try
        raise BudgetTooShort(
            "no time was left for a training step",
            received=f"{bench.stopwatch.used():.0f} s were used of {bench.plan.budget.seconds:.0f}",
            attempt=f"--for {2 * bench.plan.budget.seconds:.0f}s",
            seconds=2 * bench.plan.budget.seconds,
        )
    if isinstance(clock, TokensClock) and clock.cut:
        bench.cut_short(
            f"the deadline came at step {position.step}, after {position.tokens:,} of {bench.plan.tokens:,} tokens: a "
            "faster machine would end elsewhere"
        )
    return finish(bench, built, choose_weights(bench, built, position))


def _built(bench: Workbench) -> Built:
    """As the plan says; without the kernels where they cannot be compiled and the deadline is what was promised.

    Raises NotCompiled: they cannot be, and the run must repeat.
    """
    try:
        built = build(bench.plan, bench.machine, bench.device, run=bench.run, checkpoint=bench.checkpoint)
    except NotCompiled as error:
        if not bench.timed():
            raise
        bench.warn(f"the run goes on without the kernels, more slowly: {error.what} ({error.received})")
        bench.run.amend("without kernels", reason=error.received)
        bench.plan = without_kernels(bench.plan, bench.machine)
        return build(bench.plan, bench.machine, bench.device, run=bench.run, checkpoint=bench.checkpoint)
    if kernels := built.context.kept.get("kernels"):
        flags = " ".join(kernels.native.flags)
        detail = {"file": kernels.native.file.name, "flags": flags, "compiler": bench.machine.compiler}
        bench.record(Event(name="kernels", used_seconds=bench.stopwatch.used(), detail=detail))
    return built


def without_kernels(plan: Plan, machine: Machine) -> Plan:
    """The plan without the kernels, and without what applies beside them alone."""
    eager = plan.replace(predicted=plan.predicted.replace(mode="eager"))

    def applies(choice: TechniqueChoice, to: Plan) -> bool:
        return techniques.make(choice).refuses(to, machine) is None

    left = [choice for choice in plan.techniques if applies(choice, eager) or not applies(choice, plan)]
    return eager.replace(techniques=tuple(choice for choice in left if choice.name != "kernels"))


def stepped(
    plan: Plan,
    built: Built,
    batches: Windows,
    device: torch.device,
    clock: Clock,
    position: loop.Position,
    guard: Guard | None = None,
) -> Iterator[Step]:
    """The loop over a plan's batches on its device; moves `position` along. Raises TrainingDiverged."""
    guard = guard or Guard()
    built.context.changes.watch("guard", guard.changed)
    return loop.steps(
        built.module,
        built.loss,
        built.optimizer,
        built.schedule,
        _Labelled(batches, task_of(plan.objective)),
        clock,
        position=position,
        micro_batch=plan.micro_batch,
        device=device,
        guard=guard,
        after=_after(built.followers),
    )


def _consume(training: Training, steps: Iterator[Step]) -> None:
    """Takes the steps; between them writes, scores, samples and saves, each within its share of the budget."""
    bench, built, position = training.bench, training.built, training.position
    guard, saver = training.guard, training.saver
    saved_at = bench.stopwatch.used()
    marks, planned = int(position.progress * MARKS), int(position.progress * PLANNED_SAVES)
    looks = _looks(bench, built)
    looked = int(position.progress * looks)
    writes = list[float]()  # each in rows that could have been trained on meanwhile
    reserved, fastest, checked = 0.0, math.inf, _checksum_every(bench)
    if position.step == 0:  # there is always a model, and something to go back to
        write(training)
        writes.append(bench.costs["model"] / max(position.row_seconds, 1e-9))
        save(training, planned=plans_saves(bench))
    for step in steps:
        bench.record(step)
        if step.skipped and guard.reason:
            bench.warn(f"step {step.step} was skipped (rows from {step.cursor} on): {guard.reason}")
        if position.micro_batch != training.micro_batch:
            smaller = training.micro_batch = position.micro_batch
            bench.run.amend("micro_batch", rows=smaller, step=step.step)
            bench.deviate(
                f"the memory was too small: {smaller} rows at a time from step {step.step} on, in the same batch"
            )
        if checked and step.step % checked == 0:
            bench.record(Checksum(step=step.step, weights=weights_checksum(current(training.built))))
        usual = step.micro_batch * step.accumulation * position.row_seconds
        if step.step > loop.RECENT and step.seconds > max(STILL_SECONDS, STILL * usual):
            bench.warn(
                f"step {step.step} took {units.duration(step.seconds)}, where {units.duration(usual)} is usual: the "
                "machine slept, or was stopped, or was busy with other work. That time counts"
            )
        faults.at("step.end")
        if bench.signals.received:
            raise _ended(training)
        if step.progress * looks >= looked + 1 and step.progress * MARKS < marks + 1:
            _score(training, step.progress)
            built.module.train()
        looked = int(step.progress * looks)
        if step.progress * MARKS >= marks + 1:
            marks, reserved = int(step.progress * MARKS), 0.0
            if _mark(training, step.progress):
                pace = max(position.row_seconds, step.seconds / (step.micro_batch * step.accumulation))
                # A machine that stood still meanwhile says little of what the next one takes.
                most = STALLED * statistics.median(writes[-3:]) if writes else math.inf
                writes.append(min(most, bench.taken["model"][-1] / max(pace, 1e-9)))
        # Where steps have become slower since, writing and leaving have too.
        fastest = min(fastest, position.row_seconds)
        bench.slower = min(MOST_SLOWER, position.row_seconds / max(fastest, 1e-9))
        saving = position.row_seconds * statistics.median(writes[-3:] or [0.0])
        if not 0.9 * reserved <= saving <= 1.1 * reserved:
            reserved = saving
            _set_end(bench, training.clock, saving=saving)
        cost = bench.costs.get("checkpoint", 0.0) + saver.processor_seconds / bench.machine.cores
        pause = max(time_budget.LOSING_SHARE * bench.plan.budget.seconds, cost / time_budget.SAVING_SHARE)
        used = bench.stopwatch.used()
        due = used - saved_at > pause and not saver.busy()
        named = training.planned is not None and not step.skipped and int(step.progress * PLANNED_SAVES) > planned
        # Shortly before the end there is nothing left that it could save.
        due = due and getattr(training.clock, "end", math.inf) - used > 0.5 * pause
        # What goes back must not go to weights from before they were exchanged.
        named |= training.planned is not None and training.exchanged
        if bench.signals.save or named or training.exchanged or due:
            bench.signals.save = training.exchanged = False
            with bench.ledger.within("saving"), bench.cost("checkpoint"):
                save(training, planned=named)
            planned = int(step.progress * PLANNED_SAVES) if named else planned
            saved_at = bench.stopwatch.used()
        if why := built.enough():
            detail = {"what": why, "progress": step.progress}
            bench.record(Event(name="stopped early", used_seconds=bench.stopwatch.used(), detail=detail))
            return


def _looks(bench: Workbench, built: Built) -> float:
    """Moments of the run at which held-out text is scored, the marks among them.

    Where a text is small, a tenth of a long run reads it many times: it may be learnt by heart before the first mark.
    """
    if not any(hasattr(follower, "enough") for follower in built.followers):
        return MARKS
    scored = quick_tokens(bench)
    between = max(MARK_PASSES * bench.plan.predicted.corpus_tokens, LEAST_BETWEEN * scored)
    return max(MARKS, bench.plan.tokens / between)


def _checksum_every(bench: Workbench) -> int:
    """Steps between two checksums of the weights, the same in every run of the plan; 0: there are none."""
    if bench.timed():
        return 0
    seconds = 4 * bench.plan.shape.parameters() / CHECKSUM_BYTES_PER_SECOND
    step_seconds = bench.plan.batch_tokens / bench.plan.predicted.tokens_per_second
    return max(1, math.ceil(seconds / (time_budget.CHECKSUM_SHARE * step_seconds)))


def _mark(training: Training, progress: float) -> bool:
    """About every tenth of the run; whether model/ was written. Each thing is done while its share of time lasts."""
    bench, built = training.bench, training.built
    budget = bench.plan.budget.seconds
    _score(training, progress)
    written = bench.affords("model", time_budget.MODEL_SHARE * budget * progress)
    if written:
        write(training)
    if not bench.replayed and bench.affords(
        "sample", time_budget.looking_seconds(time_budget.SAMPLING_SHARE, budget) * progress
    ):
        with bench.ledger.within("samples"), bench.cost("sample"):
            bench.record(sample(bench, built, progress))
    built.module.train()
    return written


def _score(training: Training, progress: float) -> None:
    """Scores a part of the held-out text, and tells the followers; while its share of the time lasts."""
    bench, built, position = training.bench, training.built, training.position
    budget = bench.plan.budget.seconds
    stopping = any(hasattr(follower, "enough") for follower in built.followers)
    share = (
        time_budget.STOPPING_SHARE * budget
        if stopping
        else time_budget.looking_seconds(time_budget.VALIDATION_SHARE, budget)
    )
    if bench.replayed:
        scored = bench.validations.get(position.step)
        scored = scored and dataclasses.replace(scored, used_seconds=bench.stopwatch.used())
    elif _must_validate(bench) or bench.affords("validation", share * progress):
        scored = None
        with bench.ledger.within("validation"), bench.cost("validation"):
            try:
                scored = validate(bench, built, position, progress)
            except (RuntimeError, MemoryError) as error:
                if not memory.ended(error) or _must_validate(bench):
                    raise
                memory.let_go()
                bench.warn("the memory was too small to score the model here")
    else:
        scored = None
    if scored is not None:
        bench.record(scored)
        built.marked(scored.progress, scored.loss(bench.plan.headline))


def _must_validate(bench: Workbench) -> bool:
    """Whether the run must repeat: scores on the way say which weights it ends with, so none is left out."""
    return not bench.timed()


# The clock


def _clock(bench: Workbench, replay: list[Step] | None, position: loop.Position, facts: dict[str, Any]) -> Clock:
    if replay is not None:
        return ReplayClock(bench.stopwatch, replay)
    clock: TokensClock | SecondsClock
    if bench.plan.budget.clock == "tokens":
        clock = TokensClock(bench.stopwatch, tokens=bench.plan.tokens)
        clock.resume(position.tokens)
    else:
        begin, most = facts.get("begin", bench.stopwatch.used()), bench.plan.budget.most_tokens
        clock = SecondsClock(bench.stopwatch, begin=begin, most_tokens=most)
        clock.resume(facts.get("progress", 0.0), position.tokens)
    _set_end(bench, clock)
    if isinstance(clock, SecondsClock):
        clock.stretch()
    return clock


def _set_end(bench: Workbench, clock: Clock, *, saving: float = 0.0) -> None:
    """Training ends when what comes after it, as measured so far, still fits. saving: seconds, at least."""
    if not isinstance(clock, SecondsClock | TokensClock):
        return
    budget = bench.plan.budget.seconds
    guessed = 0.1 + 4 * bench.plan.shape.parameters() / max(bench.machine.disk_bytes_per_second, 1e7)
    saving = max(saving, bench.costs.get("model") or guessed)
    quick = bench.costs.get("validation", 0.003 * budget)
    # The last weights, those of the best mark, and what techniques keep are scored against each other.
    candidates = 2 + sum(hasattr(techniques.class_of(choice.name), "weights") for choice in bench.plan.techniques)
    scoring = min(time_budget.SCORING_MOST * budget, quick * (candidates + 1.3 * whole_of_quick(bench)))
    clock.end = budget - (1.3 * saving + scoring + after_scoring(bench) + bench.margin())


def _after(followers: list[Any]) -> Callable[[Any, float], None] | None:
    if not followers:
        return None

    def follow(module: Any, progress: float) -> None:
        for follower in followers:
            follower(module, progress)

    return follow


class _Labelled:
    """Batches with the labels that a task gives them."""

    def __init__(self, batches: Windows, task: Task) -> None:
        self._batches, self._task = batches, task
        self.context_length = batches.context_length

    def take(self, cursor: int, rows: int) -> Batch:
        return self._task.batch(self._batches.take(cursor, rows))


def _ended(training: Training) -> DaybreakError:
    """Saves everything, then says what ended the run."""
    bench = training.bench
    with bench.ledger.within("saving"):
        save(training, wait=True)
        write_model(bench, best_so_far(training.built))
    bench.ledger.enter("leaving")
    kind = Interrupted if bench.signals.received == "SIGINT" else Saved
    return kind(
        "the run was saved before its end",
        received=f"{bench.signals.received} after {bench.stopwatch.used():.0f} s of {bench.plan.budget.seconds:.0f}",
        attempt="the same command again: it goes on from here",
    )
