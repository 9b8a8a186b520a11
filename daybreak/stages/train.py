"""Train: carries a plan out, from the first step to a scored model/ on disk, by the deadline."""

import contextlib
import dataclasses
import logging
import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from daybreak import techniques
from daybreak.core.clock import Clock, ReplayClock, SecondsClock, TokensClock
from daybreak.core.errors import BudgetTooShort, DaybreakError, Interrupted, ResourceError, Saved, UsageError
from daybreak.core.records import Event, Step, Validation
from daybreak.core.types import GptShape, NgramShape, Plan
from daybreak.data.batches import Windows
from daybreak.engine import checkpoints, faults, loop, memory, scaling
from daybreak.engine.guard import Guard, Unsound
from daybreak.stages.bench import Workbench
from daybreak.stages.build import Built, batches_of, build
from daybreak.stages.count import count
from daybreak.stages.finish import (
    MIXING_SHARE,
    QUICK_SHARE,
    choose_weights,
    current,
    finish,
    load_into,
    sample,
    validate,
    write_model,
)

logger = logging.getLogger(__name__)

SAVING_SHARE = 0.015  # of the budget that checkpoints may take
LOSING_SHARE = 0.02  # of the budget between two checkpoints: a kill costs this, and what was on its way to the disk
MOST_RETURNS = 3  # to a checkpoint, before the run says that it does not become sound
STALLED = 4.0  # times what it took before
MARKS = 10  # moments of the run at which model/ is written, and scored and sampled where that is cheap
MODEL_SHARE = 0.02  # of the budget that writing model/ on the way may take
VALIDATION_SHARE = 0.009
SAMPLING_SHARE = 0.005


def train(bench: Workbench, *, replay: list[Step] | None = None) -> dict[str, Any]:
    """Raises Interrupted or Saved where a signal ended it (all is on disk), and DaybreakError."""
    if isinstance(bench.plan.shape, NgramShape):
        return count(bench)
    assert isinstance(bench.plan.shape, GptShape)
    bench.ledger.enter("build")
    built = build(bench.plan, bench.machine, bench.device, run=bench.run)
    batches = batches_of(bench.run, bench.train, bench.plan)
    with bench.ledger.within("counting"), bench.cost("counting"):
        batches, touched = techniques.fold(built.techniques, "batches", batches, built.context)
    for record in (*built.touched, *touched):
        bench.record(record)
    guard = Guard()
    position, facts = _resumed(bench, built, guard)
    if not facts:
        position.row_seconds = bench.plan.shape.context_length / bench.plan.predicted.tokens_per_second
    clock = _clock(bench, replay, position, facts)
    saver = checkpoints.Writer(bench.run.checkpoints_folder, now=bench.stopwatch.used)
    bench.ledger.enter("training")
    while True:
        steps = stepped(bench.plan, built, batches, bench.device, clock, position, guard)
        try:
            _consume(bench, built, steps, clock, position, guard, saver)
            break
        except Unsound as error:
            _go_back(bench, built, position, guard, saver, str(error))
    if position.step == 0:
        raise BudgetTooShort(
            "no time was left for a single step",
            received=f"{bench.stopwatch.used():.0f} s were used of {bench.plan.budget.seconds:.0f}",
            attempt=f"--for {2 * bench.plan.budget.seconds:.0f}s",
        )
    if isinstance(clock, TokensClock) and clock.cut:
        bench.warn("the deadline came before all tokens were seen: another machine would end elsewhere")
    return finish(bench, built, choose_weights(bench, built, position))


def stepped(
    plan: Plan,
    built: Built,
    batches: Windows,
    device: torch.device,
    clock: Clock,
    position: loop.Position,
    guard: Guard | None = None,
) -> Iterator[Step]:
    """The loop over a plan's batches on its device; moves `position` along. Raises Unsound."""
    return loop.steps(
        built.module,
        built.loss,
        built.optimizer,
        built.schedule,
        _OnDevice(batches, device),
        clock,
        position=position,
        micro_batch=plan.micro_batch,
        guard=guard,
        after=_after(built.followers),
    )


def _consume(
    bench: Workbench,
    built: Built,
    steps: Iterator[Step],
    clock: Clock,
    position: loop.Position,
    guard: Guard,
    saver: checkpoints.Writer,
) -> None:
    """Takes the steps; between them writes, scores, samples and saves, each within its share of the budget."""
    saved_at = bench.stopwatch.used()
    marks = int(position.progress * MARKS)
    smaller, writes = position.micro_batch, list[float]()  # each in rows that could have been trained on meanwhile
    if position.step == 0:  # there is always a model, and something to go back to
        _write(bench, built)
        writes.append(bench.costs["model"] / max(position.row_seconds, 1e-9))
        _save(bench, built, clock, position, guard, saver)
    for step in steps:
        bench.record(step)
        if step.skipped and not bench.replayed:
            bench.warn(f"step {step.step} was skipped (rows from {step.cursor} on): {guard.reason}")
        if position.micro_batch != smaller:
            smaller = position.micro_batch
            bench.run.amend("micro_batch", rows=smaller, step=step.step)
            bench.warn(
                f"the memory was too small: {smaller} rows at a time from step {step.step} on, in the same batch"
            )
        faults.at("step.end")
        if bench.signals.received:
            raise _ended(bench, built, clock, position, guard, saver)
        if step.progress * MARKS >= marks + 1:
            marks = int(step.progress * MARKS)
            if _mark(bench, built, position, step.progress):
                pace = max(position.row_seconds, step.seconds / (step.micro_batch * step.accumulation))
                # A machine that stood still meanwhile says little of what the next one takes.
                most = STALLED * statistics.median(writes[-3:]) if writes else math.inf
                writes.append(min(most, bench.taken["model"][-1] / max(pace, 1e-9)))
        # Where steps have become slower since, writing has too.
        _set_end(bench, clock, saving=position.row_seconds * statistics.median(writes[-3:] or [0.0]))
        cost = bench.costs.get("checkpoint", 0.0) + saver.processor_seconds / bench.machine.cores
        pause = max(LOSING_SHARE * bench.plan.budget.seconds, cost / SAVING_SHARE)
        used = bench.stopwatch.used()
        due = used - saved_at > pause and not saver.busy()
        # Shortly before the end there is nothing left that it could save.
        if bench.signals.save or (due and getattr(clock, "end", math.inf) - used > 0.5 * pause):
            bench.signals.save = False
            with bench.ledger.within("saving"), bench.cost("checkpoint"):
                _save(bench, built, clock, position, guard, saver)
            saved_at = bench.stopwatch.used()


def _mark(bench: Workbench, built: Built, position: loop.Position, progress: float) -> bool:
    """About every tenth of the run; whether model/ was written. Each thing is done while its share of time lasts."""
    budget = bench.plan.budget.seconds
    written = bench.affords("model", MODEL_SHARE * budget * progress)
    if written:
        _write(bench, built)
    if bench.replayed:
        scored = bench.validations.get(position.step)
        scored = scored and dataclasses.replace(scored, used_seconds=bench.stopwatch.used())
    elif bench.affords("validation", scaling.looking_seconds(VALIDATION_SHARE, budget) * progress):
        scored = None
        with bench.ledger.within("validation"), bench.cost("validation"):
            try:
                scored = validate(bench, built, position, progress)
            except (RuntimeError, MemoryError) as error:
                if not memory.ended(error):
                    raise
                memory.let_go()
                bench.warn("the memory was too small to score the model here")
    else:
        scored = None
    if scored is not None:
        bench.record(scored)
        _follow_mark(built, scored)
    if not bench.replayed and bench.affords("sample", scaling.looking_seconds(SAMPLING_SHARE, budget) * progress):
        with bench.ledger.within("samples"), bench.cost("sample"):
            bench.record(sample(bench, built, progress))
    built.module.train()
    return written


def _write(bench: Workbench, built: Built) -> None:
    """model/ as it is now. Where the disk does not take it, an older one stands; the end tries again."""
    with bench.ledger.within("saving"), bench.cost("model"):
        try:
            write_model(bench, current(built))
        except ResourceError as error:
            bench.warn(str(error))


def _follow_mark(built: Built, scored: Validation) -> None:
    for follower in built.followers:
        if scored.progress < 1 and hasattr(follower, "validated"):  # at the end there is nothing left to change
            follower.validated(built.module, scored.progress, scored.bits_per_byte)


# The clock


def _clock(bench: Workbench, replay: list[Step] | None, position: loop.Position, facts: dict[str, Any]) -> Clock:
    if replay is not None:
        return ReplayClock(bench.stopwatch, replay)
    clock: TokensClock | SecondsClock
    if bench.plan.budget.clock == "tokens":
        clock = TokensClock(bench.stopwatch, tokens=bench.plan.tokens)
        clock.resume(position.tokens)
    else:
        clock = SecondsClock(bench.stopwatch, begin=facts.get("begin", bench.stopwatch.used()))
        clock.resume(facts.get("progress", 0.0))
    _set_end(bench, clock)
    return clock


def _set_end(bench: Workbench, clock: Clock, *, saving: float = 0.0) -> None:
    """Training ends when what comes after it, as measured so far, still fits. saving: seconds, at least."""
    if not isinstance(clock, SecondsClock | TokensClock):
        return
    budget = bench.plan.budget.seconds
    guessed = 0.1 + 4 * bench.plan.shape.parameters() / max(bench.machine.disk_bytes_per_second, 1e7)
    saving = max(saving, bench.costs.get("model") or guessed)
    quick = bench.costs.get("validation", 0.003 * budget)
    candidates = 1 + sum(hasattr(techniques.class_of(choice.name), "weights") for choice in bench.plan.techniques)
    comparing = candidates * quick if candidates > 1 else 0.0
    scoring = min(scaling.looking_seconds(0.02, budget), 1.15 * QUICK_SHARE * quick)
    mixing = MIXING_SHARE * bench.costs.get("counting", 0.0)
    clock.end = budget - (1.3 * saving + comparing + scoring + mixing + bench.margin())


def _after(followers: list[Any]) -> Callable[[Any, float], None] | None:
    if not followers:
        return None

    def follow(module: Any, progress: float) -> None:
        for follower in followers:
            follower(module, progress)

    return follow


class _OnDevice:
    """Batches where the module is."""

    def __init__(self, batches: Windows, device: torch.device) -> None:
        self._batches, self._device = batches, device

    def take(self, cursor: int, rows: int) -> Tensor:
        batch = self._batches.take(cursor, rows)
        if self._device.type == "cuda":
            return batch.pin_memory().to(self._device, non_blocking=True)
        return batch.to(self._device)


# Saving and resuming


def _save(
    bench: Workbench,
    built: Built,
    clock: Clock,
    position: loop.Position,
    guard: Guard,
    saver: checkpoints.Writer,
    *,
    wait: bool = False,
) -> None:
    """A full disk on the way costs the checkpoint, not the run. wait: until it is on disk."""
    tensors = {f"weights.{name}": weight for name, weight in current(built).items()}
    tensors |= {f"optimizer.{name}": tensor for name, tensor in built.optimizer.state().items()}
    followers: dict[str, Any] = {}
    for follower in built.followers:
        kept, followers[follower.name] = follower.state()
        tensors |= {f"follower.{follower.name}.{name}": tensor for name, tensor in kept.items()}
    facts: dict[str, Any] = {
        "identity": bench.plan.identity(),
        "position": vars(position),
        "schedule": built.schedule.state(),
        "guard": guard.state(),
        "followers": followers,
    }
    if isinstance(clock, SecondsClock):
        facts |= {"begin": clock.begin, "progress": clock.progress}
    bench.log.sync()
    try:
        saver.save(position.step, tensors, facts)
        if wait:
            saver.wait()
    except ResourceError as error:
        bench.warn(str(error))


def _resumed(bench: Workbench, built: Built, guard: Guard) -> tuple[loop.Position, dict[str, Any]]:
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


def _put_in_place(
    bench: Workbench, built: Built, guard: Guard, tensors: dict[str, Tensor], facts: dict[str, Any]
) -> None:
    """All of a checkpoint but the position."""

    def under(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    load_into(built, under("weights."))
    built.optimizer.load(under("optimizer."))
    built.schedule.load(facts["schedule"])
    guard.load(facts["guard"])
    for follower in built.followers:
        if follower.name in facts["followers"]:
            kept = {name: t.to(bench.device) for name, t in under(f"follower.{follower.name}.").items()}
            follower.load(kept, facts["followers"][follower.name])


def _go_back(
    bench: Workbench, built: Built, position: loop.Position, guard: Guard, saver: checkpoints.Writer, why: str
) -> None:
    """To the last checkpoint, past the rows that led away from it, at half the rate. Raises ResourceError: too often.

    Only the weights go back: time, rows and targets that were used stay used, so the rate does not rise.
    """
    with contextlib.suppress(ResourceError):
        saver.wait()
    tensors, facts, _ = checkpoints.newest(bench.run.checkpoints_folder)
    if position.went_back >= MOST_RETURNS or not tensors:
        raise ResourceError(
            "the training does not become sound",
            received=f"{why}; it went back {position.went_back} times before, to {position.rate:g} of the rate",
            attempt=f"{bench.run.log_file} names the rows of each skipped step: look at that text; or a lower rate, "
            f"--set learning_rate={bench.plan.optimizer.learning_rate / 4:g}; or --without bf16",
        )
    _put_in_place(bench, built, guard, tensors, facts)
    guard.forgive()
    built.optimizer.clear()
    position.step = facts["position"]["step"]
    position.rate, position.went_back = 0.5 * position.rate, position.went_back + 1
    used, detail = bench.stopwatch.used(), {"step": position.step, "why": why}
    bench.record(Event(name="resumed", used_seconds=used, detail=detail))
    bench.run.amend("went back", step=position.step, cursor=position.cursor, rate=position.rate, why=why)
    bench.warn(f"went back to step {position.step}, and on with other text at half the rate: {why}")


def _ended(
    bench: Workbench,
    built: Built,
    clock: Clock,
    position: loop.Position,
    guard: Guard,
    saver: checkpoints.Writer,
) -> DaybreakError:
    """Saves everything, then says what ended the run."""
    with bench.ledger.within("saving"):
        _save(bench, built, clock, position, guard, saver, wait=True)
        write_model(bench, current(built))
    bench.ledger.enter("leaving")
    kind = Interrupted if bench.signals.received == "SIGINT" else Saved
    return kind(
        "the run was saved before its end",
        received=f"{bench.signals.received} after {bench.stopwatch.used():.0f} s of {bench.plan.budget.seconds:.0f}",
        attempt="the same command again: it goes on from here",
    )
