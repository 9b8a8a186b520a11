"""Train: carries a plan out, from the first step to a scored model/ on disk, by the deadline."""

import contextlib
import dataclasses
import logging
import math
import statistics
from collections.abc import Iterator

from torch import nn

from daybreak import techniques
from daybreak.core import units
from daybreak.core.clock import Clock, ReplayClock, SecondsClock, TokensClock
from daybreak.core.errors import BudgetTooShort, DaybreakError, Interrupted, ResourceError, Saved
from daybreak.core.records import Checksum, Event, Step, Validation
from daybreak.core.types import Machine, Plan, TechniqueChoice
from daybreak.core.values import Json
from daybreak.data.batches import Batch, Windows
from daybreak.engine import checkpoints, faults, loop, memory, time_budget
from daybreak.engine.callbacks import stops_early
from daybreak.engine.guard import Guard, TrainingDiverged
from daybreak.engine.world import World
from daybreak.models.kernels.compiling import NotCompiled
from daybreak.tasks import Task, task_of
from daybreak.techniques.kernels import LIBRARY
from daybreak.training.build import Trainable, batches_of, build
from daybreak.training.checkpointing import PLANNED_SAVES, plans_saves, resume, roll_back, save, wait_for_save, write
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
from daybreak.training.state import TrainingState

logger = logging.getLogger(__name__)

CHECKSUM_BYTES_PER_SECOND = 2e9  # of weights; 2.2 to 3.4e9 were measured on a core that others used as well
# A step this many times slower than usual, and at least this many seconds long, counts as a stall.
STALL_FACTOR, STALL_SECONDS = 20.0, 2.0
SLOW_WRITE = 4.0  # a write of model/ that took this many times longer than usual counts as no longer than that
MOST_SLOWER = 4.0
MARKS = 10  # moments of the run at which model/ is written, and scored and sampled where that is cheap
MARK_PASSES = 1.0  # over the text between two marks, where a tenth of the run is more of them
LEAST_BETWEEN = 3  # times the tokens that a mark scores are trained on before the next one


def train(state: TrainingState, *, replay: list[Step] | None = None) -> Json:
    """The figures of the finished model.

    Raises Interrupted or Saved where a signal ended it (all is on disk), and DaybreakError.
    """
    state.ledger.enter("build")
    faults.at("phase.build")
    trainable = state.trainable = _built(state)
    batches = batches_of(state.run, state.train, state.plan, state.world)
    with state.ledger.within("counting"), state.cost("counting"):
        faults.at("phase.counting")
        batches, touched = techniques.fold(trainable.techniques, "batches", batches, trainable.context)
    for record in (*trainable.touched, *touched):
        state.record(record)
    state.guard, state.position = Guard(state.world), loop.Position()
    facts = resume(state)
    if not facts:
        state.position.row_seconds = state.plan.network.context_length / state.plan.predicted.tokens_per_second
    state.clock = _clock(state, replay, facts)
    state.saver = checkpoints.Writer(state.run.checkpoints_folder, now=state.stopwatch.used)
    state.micro_batch = state.position.micro_batch
    trainable.context.changes.watch("checkpoint", state.changed)
    state.ledger.enter("training")
    while True:
        try:
            steps = training_steps(
                state.plan, trainable, batches, state.clock, state.position, state.guard, world=state.world
            )
            _consume(state, steps)
            break
        except TrainingDiverged as error:
            roll_back(state, error.received)
    wait_for_save(state)
    if state.position.step == 0:
        with contextlib.suppress(ResourceError):
            state.saver.wait()
        if state.world.rank == 0:
            state.run.forget_training()  # which would stand in the way of the next try
        raise BudgetTooShort(
            "no time was left for a training step",
            received=f"{state.stopwatch.used():.0f} s of {state.plan.budget.seconds:.0f} had passed",
            attempt=f"give a longer budget, such as --for {2 * state.plan.budget.seconds:.0f}s",
            seconds=2 * state.plan.budget.seconds,
        )
    if isinstance(state.clock, TokensClock) and state.clock.cut:
        state.cut_short(
            f"the deadline came at step {state.position.step}, after {state.position.tokens:,} of "
            f"{state.plan.tokens:,} tokens: a faster machine would end elsewhere"
        )
    # One process chooses, writes and scores; the others wait for what it has found.
    return state.world.agree(finish(state, choose_weights(state)) if state.world.rank == 0 else {})


def _built(state: TrainingState) -> Trainable:
    """As the plan says; without the kernels where they cannot be compiled and the deadline is what was promised.

    Raises NotCompiled: they cannot be, and the run must repeat.
    """
    assert state.device is not None, "a plan to count n-grams"
    try:
        built = build(state.plan, state.machine, state.device, run=state.run, checkpoint=state.checkpoint)
    except NotCompiled as error:
        if not state.timed():
            raise
        state.warn(f"the run continues without the kernels, more slowly: {error.what} ({error.received})")
        state.amend("without kernels", reason=error.received)
        state.plan = without_kernels(state.plan, state.machine)
        return build(state.plan, state.machine, state.device, run=state.run, checkpoint=state.checkpoint)
    if (kernels := built.context.left(LIBRARY)) is not None:
        flags = " ".join(kernels.native.flags)
        detail = {"file": kernels.native.file.name, "flags": flags, "compiler": state.machine.compiler}
        state.record(Event(name="kernels", used_seconds=state.stopwatch.used(), detail=detail))
    return built


def without_kernels(plan: Plan, machine: Machine) -> Plan:
    """The plan without the kernels, and without what applies beside them alone."""
    eager = plan.replace(predicted=plan.predicted.replace(mode="eager"))

    def applies(choice: TechniqueChoice, to: Plan) -> bool:
        return techniques.make(choice).refuses(to, machine) is None

    left = [choice for choice in plan.techniques if applies(choice, eager) or not applies(choice, plan)]
    return eager.replace(techniques=tuple(choice for choice in left if choice.name != "kernels"))


def training_steps(
    plan: Plan,
    trainable: Trainable,
    batches: Windows,
    clock: Clock,
    position: loop.Position,
    guard: Guard | None = None,
    *,
    world: World | None = None,
) -> Iterator[Step]:
    """The loop over a plan's batches on its device; moves `position` along. Raises TrainingDiverged."""
    guard = guard or Guard(world)
    trainable.context.changes.watch("guard", guard.changed)

    def after(module: nn.Module, progress: float) -> None:
        for callback in trainable.callbacks:
            callback(module, progress)

    return loop.steps(
        trainable.module,
        trainable.loss,
        trainable.optimizer,
        trainable.schedule,
        _Labelled(batches, task_of(plan.objective)),
        clock,
        position=position,
        micro_batch=plan.micro_batch,
        device=trainable.device,
        guard=guard,
        after=after,
        world=world,
    )


def _consume(state: TrainingState, steps: Iterator[Step]) -> None:
    """Takes the steps; between them writes, scores, samples and saves, each within its share of the budget."""
    trainable, position, world = state.trainable, state.position, state.world
    saved_at = state.stopwatch.used()
    marks, planned = int(position.progress * MARKS), int(position.progress * PLANNED_SAVES)
    looks = _looks(state)
    looked = int(position.progress * looks)
    writes = list[float]()  # each in rows that could have been trained on meanwhile
    reserved, fastest, checked = 0.0, math.inf, _checksum_every(state)
    if position.step == 0:  # there is always a model, and a checkpoint to roll back to
        write(state)
        writes.append(state.costs["model"] / max(position.row_seconds, 1e-9))
        save(state, planned=plans_saves(state))
    for step in steps:
        state.record(step)
        if step.skipped and state.guard.reason:
            state.warn(f"step {step.step} was skipped (rows from {step.cursor} on): {state.guard.reason}")
        if position.micro_batch != state.micro_batch:
            smaller = state.micro_batch = position.micro_batch
            state.amend("micro_batch", rows=smaller, step=step.step)
            state.deviate(f"out of memory: from step {step.step} on, {smaller} rows at a time, in the same batch")
        if checked and step.step % checked == 0:
            state.record(Checksum(step=step.step, weights=weights_checksum(current(trainable))))
        usual = step.micro_batch * step.accumulation * position.row_seconds
        if step.step > loop.RECENT and step.seconds > max(STALL_SECONDS, STALL_FACTOR * usual):
            state.warn(
                f"step {step.step} took {units.duration(step.seconds)}, where "
                f"{units.duration(usual)} is usual: the machine slept, was stopped or was busy. "
                "That time counts"
            )
        faults.at("step.end")
        if world.agree(state.signals.received):
            raise _ended(state)
        if step.progress * looks >= looked + 1 and step.progress * MARKS < marks + 1:
            _score(state, step.progress)
            trainable.module.train()
        looked = int(step.progress * looks)
        if step.progress * MARKS >= marks + 1:
            marks, reserved = int(step.progress * MARKS), 0.0
            if _mark(state, step.progress):
                pace = max(position.row_seconds, step.seconds / (step.micro_batch * step.accumulation))
                # A machine that stood still meanwhile says little of how long the next write takes.
                most = SLOW_WRITE * statistics.median(writes[-3:]) if writes else math.inf
                writes.append(min(most, state.taken["model"][-1] / max(pace, 1e-9)))
        # Where steps have become slower since, writing and leaving have too.
        fastest = min(fastest, position.row_seconds)
        state.slower = min(MOST_SLOWER, position.row_seconds / max(fastest, 1e-9))
        saving = position.row_seconds * statistics.median(writes[-3:] or [0.0])
        if not 0.9 * reserved <= saving <= 1.1 * reserved:
            reserved = saving
            _set_end(state, state.clock, saving=saving)
        # What a roll-back goes to must not have weights from before they were exchanged.
        named = (not step.skipped and int(step.progress * PLANNED_SAVES) > planned) or state.exchanged
        named = named and state.planned_save is not None
        asked = named or state.exchanged or state.signals.save or _save_is_due(state, saved_at)
        if world.agree(asked):
            state.signals.save = state.exchanged = False
            with state.ledger.within("saving"), state.cost("checkpoint"):
                save(state, planned=named)
            planned = int(step.progress * PLANNED_SAVES) if named else planned
            saved_at = state.stopwatch.used()
        if why := trainable.stop_reason():
            detail = {"what": why, "progress": step.progress}
            state.record(Event(name="stopped early", used_seconds=state.stopwatch.used(), detail=detail))
            return


def _save_is_due(state: TrainingState, saved_at: float) -> bool:
    """Whether the time since the last checkpoint is worth another. saved_at: its second of the budget."""
    cost = state.costs.get("checkpoint", 0.0) + state.saver.processor_seconds / state.machine.cores
    pause = max(time_budget.LOSING_SHARE * state.plan.budget.seconds, cost / time_budget.SAVING_SHARE)
    used = state.stopwatch.used()
    # Shortly before the end there is nothing left that it could save.
    in_time = getattr(state.clock, "end", math.inf) - used > 0.5 * pause
    return used - saved_at > pause and not state.saver.busy() and in_time


def _looks(state: TrainingState) -> float:
    """Moments of the run at which held-out text is scored, the marks among them.

    Where a text is small, a tenth of a long run reads it many times: it may be learnt by heart before the first mark.
    """
    if not stops_early(state.trainable.callbacks):
        return MARKS
    scored = quick_tokens(state)
    between = max(MARK_PASSES * state.plan.predicted.corpus_tokens, LEAST_BETWEEN * scored)
    return max(MARKS, state.plan.tokens / between)


def _checksum_every(state: TrainingState) -> int:
    """Steps between two checksums of the weights, the same in every run of the plan; 0: there are none."""
    if state.timed():
        return 0
    seconds = 4 * state.plan.shape.parameters() / CHECKSUM_BYTES_PER_SECOND
    step_seconds = state.plan.batch_tokens / state.plan.predicted.tokens_per_second
    return max(1, math.ceil(seconds / (time_budget.CHECKSUM_SHARE * step_seconds)))


def _mark(state: TrainingState, progress: float) -> bool:
    """About every tenth of the run; whether model/ was written. Each thing is done while its share of time lasts."""
    budget = state.plan.budget.seconds
    _score(state, progress)
    written = state.affords("model", time_budget.MODEL_SHARE * budget * progress)
    if written:
        write(state)
    if not state.replayed and state.affords(
        "sample", time_budget.evaluation_seconds(time_budget.SAMPLING_SHARE, budget) * progress
    ):
        with state.ledger.within("samples"), state.cost("sample"):
            if state.world.rank == 0:
                state.record(sample(state, progress))
    state.trainable.module.train()
    return written


def _score(state: TrainingState, progress: float) -> None:
    """Scores a part of the held-out text, and gives that to the callbacks; while its share of the time lasts."""
    budget = state.plan.budget.seconds
    share = (
        time_budget.STOPPING_SHARE * budget
        if stops_early(state.trainable.callbacks)
        else time_budget.evaluation_seconds(time_budget.VALIDATION_SHARE, budget)
    )
    scored = None
    if state.replayed:
        if before := state.validations.get(state.position.step):
            scored = dataclasses.replace(before, used_seconds=state.stopwatch.used())
    elif _must_validate(state) or state.affords("validation", share * progress):
        with state.ledger.within("validation"), state.cost("validation"):
            # One process scores: how much there is time for may differ, and all must see the same loss.
            scored = state.world.agree(_validated(state, progress) if state.world.rank == 0 else None)
    if scored is not None:
        state.record(scored)
        state.trainable.validated(scored.progress, scored.loss(state.plan.headline))


def _validated(state: TrainingState, progress: float) -> Validation | None:
    """None where the memory is too small for it. Of a run that must repeat, that is an error."""
    try:
        return validate(state, progress)
    except (RuntimeError, MemoryError) as error:
        if not memory.ended(error) or _must_validate(state):
            raise
        memory.let_go()
        state.warn("out of memory: the model is not scored at this point")
        return None


def _must_validate(state: TrainingState) -> bool:
    """Whether the run must repeat: scores on the way say which weights it ends with, so none is left out."""
    return not state.timed()


# The clock


def _clock(state: TrainingState, replay: list[Step] | None, facts: Json) -> Clock:
    if replay is not None:
        return ReplayClock(state.stopwatch, replay)
    clock: TokensClock | SecondsClock
    if state.plan.budget.clock == "tokens":
        clock = TokensClock(state.stopwatch, tokens=state.plan.tokens)
        clock.resume(state.position.tokens)
    else:
        begin, most = facts.get("begin", state.stopwatch.used()), state.plan.budget.most_tokens
        clock = SecondsClock(state.stopwatch, begin=begin, most_tokens=most)
        clock.resume(facts.get("progress", 0.0), state.position.tokens)
    _set_end(state, clock)
    if isinstance(clock, SecondsClock):
        clock.stretch()
    return clock


def _set_end(state: TrainingState, clock: Clock, *, saving: float = 0.0) -> None:
    """Training ends when what comes after it, as measured so far, still fits. saving: seconds, at least."""
    if not isinstance(clock, SecondsClock | TokensClock):
        return
    budget = state.plan.budget.seconds
    guessed = 0.1 + 4 * state.plan.shape.parameters() / max(state.machine.disk_bytes_per_second, 1e7)
    saving = max(saving, state.costs.get("model") or guessed)
    quick = state.costs.get("validation", 0.003 * budget)
    # The last weights, those of the best mark, and what techniques keep are scored against each other.
    candidates = 2 + sum(hasattr(techniques.class_of(choice.name), "weights") for choice in state.plan.techniques)
    scoring = min(time_budget.SCORING_MOST * budget, quick * (candidates + 1.3 * whole_of_quick(state)))
    clock.end = budget - (1.3 * saving + scoring + after_scoring(state) + state.margin())


class _Labelled:
    """Batches with the labels that a task gives them."""

    def __init__(self, batches: Windows, task: Task) -> None:
        self._batches, self._task = batches, task
        self.context_length = batches.context_length

    def take(self, cursor: int, rows: int) -> Batch:
        return self._task.batch(self._batches.take(cursor, rows))


def _ended(state: TrainingState) -> DaybreakError:
    """Saves everything, then says what ended the run."""
    signal = state.world.agree(state.signals.received)
    with state.ledger.within("saving"):
        save(state, wait=True)
        if state.world.rank == 0:
            write_model(state, best_so_far(state.trainable))
    state.ledger.enter("leaving")
    kind = Interrupted if signal == "SIGINT" else Saved
    return kind(
        "the run was saved before its end",
        received=f"{signal} after {state.stopwatch.used():.0f} s of {state.plan.budget.seconds:.0f}",
        attempt="the same command again: it goes on from here",
    )
