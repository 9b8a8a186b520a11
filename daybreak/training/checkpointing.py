"""Saving: what a run leaves on disk on its way, and how it is taken up again or gone back to."""

import contextlib
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from daybreak.core.clock import Clock, SecondsClock
from daybreak.core.errors import ResourceError, UsageError
from daybreak.core.records import Event
from daybreak.engine import checkpoints, loop
from daybreak.engine.changes import Change
from daybreak.engine.guard import Guard
from daybreak.training.build import Built
from daybreak.training.finalize import best_so_far, current, load_into, write_model
from daybreak.training.state import Workbench

PLANNED_SAVES = 20  # of a run that counts tokens, evenly over its progress: it goes back to one of these alone
MOST_RETURNS = 3  # to a checkpoint, before the run says that it does not become sound


@dataclass(kw_only=True)
class Training:
    """A training under way: what is trained, where it stands, and where that is kept."""

    bench: Workbench
    built: Built
    clock: Clock
    position: loop.Position
    guard: Guard
    saver: checkpoints.Writer
    unsaved: bool = False  # the disk did not take the last checkpoint
    planned: int | None = None  # the step of the last planned save; None where the clock alone says when to save
    micro_batch: int = 0  # rows of one forward pass where the memory was too small for what was planned, as last told
    exchanged: bool = False  # the weights, since the last checkpoint

    def changed(self, change: Change) -> None:
        self.exchanged |= change is Change.WEIGHTS


def write(training: Training) -> None:
    """model/ as it is now, or was at a better mark. Where the disk does not take it, an older one stands."""
    bench = training.bench
    with bench.ledger.within("saving"), bench.cost("model"):
        try:
            write_model(bench, best_so_far(training.built))
        except ResourceError as error:
            bench.warn(str(error))


def plans_saves(bench: Workbench) -> bool:
    """Whether what a run goes back to may not depend on when there was time to save."""
    return bench.plan.budget.clock == "tokens" and not bench.replayed


def save(training: Training, *, planned: bool = False, wait: bool = False) -> None:
    """A full disk on the way costs the checkpoint, not the run.

    planned: the plan says so, not the clock. wait: until it is on disk.
    """
    bench, built, clock = training.bench, training.built, training.clock
    if planned:
        training.planned = training.position.step
    tensors = {f"weights.{name}": weight for name, weight in current(built).items()}
    tensors |= {f"optimizer.{name}": tensor for name, tensor in built.optimizer.state().items()}
    followers: dict[str, Any] = {}
    for follower in built.followers:
        kept, followers[follower.name] = follower.state()
        tensors |= {f"follower.{follower.name}.{name}": tensor for name, tensor in kept.items()}
    facts: dict[str, Any] = {
        "identity": bench.plan.identity(),
        "position": vars(training.position),
        "schedule": built.schedule.state(),
        "guard": training.guard.state(),
        "followers": followers,
    }
    if training.planned is not None:
        facts["planned"] = training.planned
    if isinstance(clock, SecondsClock):
        facts |= {"begin": clock.begin, "progress": clock.progress}
    bench.log.sync()
    try:
        training.saver.save(training.position.step, tensors, facts)
        if wait:
            training.saver.wait()
    except ResourceError as error:
        if not training.unsaved:  # said once, not at every save until there is room
            bench.warn(str(error))
        training.unsaved = True
    else:
        training.unsaved = False


def settle(training: Training) -> None:
    """At the end of training: tells what the last save has met. One that is still on its way is not waited for."""
    if not training.saver.busy():
        try:
            training.saver.wait()
        except ResourceError as error:
            training.bench.warn(str(error))


def resumed(bench: Workbench, built: Built, guard: Guard) -> tuple[loop.Position, dict[str, Any]]:
    """The newest checkpoint's state put in place, or the beginning. Raises UsageError: another run's checkpoint."""
    tensors, facts, warnings = checkpoints.newest(bench.run.checkpoints_folder)
    for warning in warnings:
        bench.warn(warning)
    if not tensors:
        return loop.Position(), {}
    if facts["identity"] != bench.plan.identity():
        raise UsageError(
            "the checkpoint belongs to another plan",
            received=f"{bench.run.checkpoints_folder}: text, tokenizer, shape, objective or seed differ from plan.json",
            attempt="the plan.json that it was made with, or another --out",
        )
    _put_in_place(bench, built, guard, tensors, facts)
    position = loop.Position(**facts["position"])
    bench.record(Event(name="resumed", used_seconds=bench.stopwatch.used(), detail={"step": position.step}))
    return position, facts


def go_back(training: Training, why: str) -> None:
    """To the last checkpoint, past the rows that led away from it, at half the rate.

    Only the weights go back: time, rows and targets that were used stay used, so the rate does not rise. Raises
    ResourceError: too often, or the checkpoint that the plan names is not on disk.
    """
    bench, built, position = training.bench, training.built, training.position
    with contextlib.suppress(ResourceError):
        training.saver.wait()
    tensors, facts, _ = checkpoints.newest(bench.run.checkpoints_folder, planned=training.planned is not None)
    if position.went_back >= MOST_RETURNS or not tensors:
        raise ResourceError(
            "training keeps diverging",
            received=f"{why}; it went back {position.went_back} times before, to {position.rate:g} of the rate",
            attempt=f"{bench.run.log_file} names the rows of each skipped step: look at that text; or a lower rate, "
            f"--set learning_rate={bench.plan.optimizer.learning_rate / 4:g}; or --without bf16",
        )
    if training.planned is not None and training.planned != facts["position"]["step"]:
        raise ResourceError(
            "the checkpoint to roll back to is missing",
            received=f"{why}; step {training.planned} was not saved, and from an older one the run would not repeat",
            attempt="free some disk space and begin again with another --out; or without --reproducible",
        )
    _put_in_place(bench, built, training.guard, tensors, facts, back=True)
    if training.planned is not None:
        checkpoints.forget_after(bench.run.checkpoints_folder, training.planned)
    training.guard.reset()
    built.optimizer.clear()
    position.step = facts["position"]["step"]
    position.rate, position.went_back = 0.5 * position.rate, position.went_back + 1
    used, detail = bench.stopwatch.used(), {"step": position.step, "why": why}
    bench.record(Event(name="resumed", used_seconds=used, detail=detail))
    bench.run.amend("went back", step=position.step, cursor=position.cursor, rate=position.rate, why=why)
    bench.warn(f"went back to step {position.step}, and on with other text at half the rate: {why}")


def _put_in_place(
    bench: Workbench,
    built: Built,
    guard: Guard,
    tensors: dict[str, Tensor],
    facts: dict[str, Any],
    *,
    back: bool = False,
) -> None:
    """All of a checkpoint but the position. back: to an earlier moment of this process; some followers stay as now."""

    def under(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    load_into(built, under("weights."))
    built.optimizer.load(under("optimizer."))
    built.schedule.load(facts["schedule"])
    guard.load(facts["guard"])
    for follower in built.followers:
        if follower.name in facts["followers"] and not (back and getattr(follower, "survives", False)):
            kept = {name: t.to(bench.device) for name, t in under(f"follower.{follower.name}.").items()}
            follower.load(kept, facts["followers"][follower.name])
