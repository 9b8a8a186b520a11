"""Checkpointing: what a run saves on its way, how it resumes from that, and how it rolls back to it."""

import contextlib

from torch import Tensor

from daybreak.core.clock import SecondsClock
from daybreak.core.errors import ResourceError, UsageError
from daybreak.core.records import Event
from daybreak.core.values import Json
from daybreak.engine import checkpoints, loop
from daybreak.training.finalize import best_so_far, current, load_into, write_model
from daybreak.training.state import TrainingState

PLANNED_SAVES = 20  # of a run that counts tokens, evenly over its progress: it rolls back to one of these alone
MOST_RETURNS = 3  # to a checkpoint, before the run ends with an error


def write(state: TrainingState) -> None:
    """model/ with the weights of now, or of a better mark. Where the disk does not take it, an older one stands."""
    with state.ledger.within("saving"), state.cost("model"):
        try:
            if state.world.rank == 0:
                write_model(state, best_so_far(state.trainable))
        except ResourceError as error:
            state.warn(str(error))


def plans_saves(state: TrainingState) -> bool:
    """Whether what a run rolls back to may not depend on when there was time to save."""
    return state.plan.budget.clock == "tokens" and not state.replayed


def save(state: TrainingState, *, planned: bool = False, wait: bool = False) -> None:
    """Saves a checkpoint, by the process of rank 0. A full disk on the way costs the checkpoint, not the run.

    planned: the plan says so, not the clock. wait: until it is on disk.
    """
    trainable, clock = state.trainable, state.clock
    if planned:
        state.planned_save = state.position.step
    if state.world.rank:
        return
    tensors = {f"weights.{name}": weight for name, weight in current(trainable).items()}
    tensors |= {f"optimizer.{name}": tensor for name, tensor in trainable.optimizer.state().items()}
    callbacks: Json = {}
    for callback in trainable.callbacks:
        saved, callbacks[callback.name] = callback.state()
        tensors |= {f"follower.{callback.name}.{name}": tensor for name, tensor in saved.items()}
    facts: Json = {
        "identity": state.plan.identity(),
        "position": vars(state.position),
        "schedule": trainable.schedule.state(),
        "guard": state.guard.state(),
        "followers": callbacks,
    }
    if state.planned_save is not None:
        facts["planned"] = state.planned_save
    if isinstance(clock, SecondsClock):
        facts |= {"begin": clock.begin, "progress": clock.progress}
    state.log.sync()
    try:
        state.saver.save(state.position.step, tensors, facts)
        if wait:
            state.saver.wait()
    except ResourceError as error:
        if not state.unsaved:  # said once, not at every save until there is room
            state.warn(str(error))
        state.unsaved = True
    else:
        state.unsaved = False


def wait_for_save(state: TrainingState) -> None:
    """At the end of training: warns of what the last save has met. One that is still on its way is not waited for."""
    if not state.saver.busy():
        try:
            state.saver.wait()
        except ResourceError as error:
            state.warn(str(error))


def resume(state: TrainingState) -> Json:
    """Puts the newest checkpoint's state in place; its facts, empty where a run begins.

    Raises UsageError: another run's checkpoint.
    """
    folder = state.run.checkpoints_folder
    tensors, facts, warnings = checkpoints.newest(folder)
    for warning in warnings:
        state.warn(warning)
    if not tensors:
        return {}
    if facts["identity"] != state.plan.identity():
        raise UsageError(
            "the checkpoint belongs to another plan",
            received=f"{folder}: text, tokenizer, shape, objective or seed differ from plan.json",
            attempt="use the plan.json it was made with, or another --out",
        )
    _put_in_place(state, tensors, facts)
    state.position = loop.Position(**facts["position"])
    state.planned_save = facts.get("planned")
    detail = {"step": state.position.step}
    state.record(Event(name="resumed", used_seconds=state.stopwatch.used(), detail=detail))
    return facts


def roll_back(state: TrainingState, why: str) -> None:
    """Rolls back to the last checkpoint, past the rows that led away from it, at half the rate.

    Only the weights go back: time, rows and targets that were used stay used, so the rate does not rise. Raises
    ResourceError: too often, or the checkpoint that the plan names is not on disk.
    """
    position, planned = state.position, state.planned_save
    with contextlib.suppress(ResourceError):
        state.saver.wait()
    state.world.barrier()  # all processes read what the one of rank 0 has written
    tensors, facts, _ = checkpoints.newest(state.run.checkpoints_folder, planned=planned is not None)
    if position.went_back >= MOST_RETURNS or not tensors:
        raise ResourceError(
            "training keeps diverging",
            received=f"{why}; training went back {position.went_back} times before, down to "
            f"{position.rate:g} of the learning rate",
            attempt="look at the text of the skipped steps, whose rows are in "
            f"{state.run.log_file}; or lower the learning rate, --set "
            f"learning_rate={state.plan.optimizer.learning_rate / 4:g}; or use --without bf16",
        )
    if planned is not None and planned != facts["position"]["step"]:
        raise ResourceError(
            "the checkpoint to roll back to is missing",
            received=f"{why}; step {planned} was not saved, and going back further could not be repeated exactly",
            attempt="free some disk space and start again with another --out; or leave out --reproducible",
        )
    _put_in_place(state, tensors, facts, back=True)
    state.world.barrier()
    if planned is not None and state.world.rank == 0:
        checkpoints.forget_after(state.run.checkpoints_folder, planned)
    state.guard.reset()
    state.trainable.optimizer.clear()
    position.step = facts["position"]["step"]
    position.rate, position.went_back = 0.5 * position.rate, position.went_back + 1
    used, detail = state.stopwatch.used(), {"step": position.step, "why": why}
    state.record(Event(name="resumed", used_seconds=used, detail=detail))
    state.amend("went back", step=position.step, cursor=position.cursor, rate=position.rate, why=why)
    state.warn(f"went back to step {position.step}; training continues on other text at half the learning rate: {why}")


def _put_in_place(state: TrainingState, tensors: dict[str, Tensor], facts: Json, *, back: bool = False) -> None:
    """All of a checkpoint but the position. back: a roll-back of this process, in which some callbacks stay as now."""

    def under(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    trainable = state.trainable
    load_into(trainable, under("weights."))
    trainable.optimizer.load(under("optimizer."))
    trainable.schedule.load(facts["schedule"])
    state.guard.load(facts["guard"])
    for callback in trainable.callbacks:
        if callback.name in facts["followers"] and not (back and getattr(callback, "survives", False)):
            saved = {name: t.to(trainable.device) for name, t in under(f"follower.{callback.name}.").items()}
            callback.load(saved, facts["followers"][callback.name])
