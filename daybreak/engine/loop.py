"""The loop: one generator of steps for every kind of training."""

import dataclasses
import statistics
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from daybreak.core.clock import Clock
from daybreak.core.records import Step
from daybreak.engine import faults, memory
from daybreak.engine.guard import Guard, TrainingDiverged
from daybreak.engine.losses import BatchT, Loss, ModuleT, Source
from daybreak.engine.optimizers import Optimizers, Rates
from daybreak.engine.schedules import Schedule
from daybreak.engine.world import World, alone

CPU = torch.device("cpu")
RECENT = 5  # steps whose median tells what the next one takes: one that stood still says nothing of it


@dataclass
class Position:
    """Where a run stands; with the weights and the optimizer's state it is all that a resume needs."""

    step: int = 0
    cursor: int = 0  # rows drawn
    tokens: int = 0  # of text that were trained on
    row_seconds: float = 0.0  # median of the last steps
    progress: float = 0.0  # of the last step
    micro_batch: int = 0  # rows of one forward pass, where the memory was too small for what was planned
    rate: float = 1.0  # of what the schedule says, since the run went back
    went_back: int = 0  # times


def steps(
    module: ModuleT,
    loss: Loss[ModuleT, BatchT],
    optimizer: Optimizers,
    schedule: Schedule,
    batches: Source[BatchT],
    clock: Clock,
    *,
    position: Position,
    micro_batch: int,
    device: torch.device = CPU,
    guard: Guard | None = None,
    after: Callable[[ModuleT, float], None] | None = None,
    world: World | None = None,
) -> Iterator[Step]:
    """Yields training steps until the clock says stop. Moves `position` along.

    micro_batch: rows of one forward pass in each process. device: where the module is; batches are moved to it. after:
    called with the module and the progress when a step has changed it. world: the processes that take these steps
    together; each has a module with the same weights, and batches that give it its part of the rows asked for.
    Raises TrainingDiverged: too many bad steps, or the memory ended within the optimizer's step.
    """
    world = world or alone()
    guard = guard or Guard(world)
    recent = deque([position.row_seconds] if position.row_seconds else [], RECENT)
    while True:
        # The batch is that of the progress so far: the clock is told what the step will really take.
        rows = schedule.rows(position.progress)
        micro = min(position.micro_batch or micro_batch, max(1, rows // world.size))
        accumulation = max(1, round(rows / (micro * world.size)))
        rows = micro * accumulation * world.size
        begun = clock.used()
        tick = world.agree(clock.tick(rows * position.row_seconds, rows * batches.context_length))
        if tick is None:
            return
        progress = position.progress = tick.progress
        replayed = tick.micro_batch is not None
        micro, accumulation = tick.micro_batch or micro, tick.accumulation or accumulation
        cursor = position.cursor = position.cursor if tick.cursor is None else tick.cursor
        rows = micro * accumulation * world.size
        while (nats := _gradients(module, loss, batches, cursor, micro, accumulation, device, world)) is None:
            optimizer.clear()
            memory.let_go()
            position.micro_batch = smaller = _smaller(micro, micro * accumulation)
            micro, accumulation = smaller, micro * accumulation // smaller
        nats, norm = faults.of("step.loss", nats), faults.of("step.gradient", optimizer.gradient_norm())
        skipped = tick.skip if replayed else guard.is_bad_step(nats, norm, overflowed=optimizer.overflowed)
        rates = schedule.rates(progress)
        factor = rates.learning_rate * position.rate if tick.learning_rate is None else tick.learning_rate
        rates = dataclasses.replace(rates, learning_rate=factor)
        if not skipped:
            if not _moved(optimizer, rates, world):
                # Some weights have moved and some have not: only a checkpoint has all of one moment.
                position.micro_batch = _smaller(micro, micro * accumulation) or micro
                raise TrainingDiverged("out of memory within the optimizer's step")
            schedule.observe(progress, nats)
            if after is not None:
                after(module, progress)
        optimizer.clear()
        now = clock.used()
        position.step += 1
        position.cursor += rows
        position.tokens += rows * batches.context_length
        recent.append((now - begun) / rows)
        position.row_seconds = statistics.median(recent)
        yield Step(
            step=position.step,
            progress=progress,
            micro_batch=micro,
            accumulation=accumulation,
            skipped=skipped,
            nats=nats,
            gradient_norm=norm,
            learning_rate_factor=rates.learning_rate,
            tokens=position.tokens,
            seconds=now - begun,
            used_seconds=now,
            cursor=cursor,
        )
        if skipped and not replayed:
            guard.check()


def _gradients(
    module: ModuleT,
    loss: Loss[ModuleT, BatchT],
    batches: Source[BatchT],
    cursor: int,
    micro: int,
    accumulation: int,
    device: torch.device,
    world: World,
) -> float | None:
    """Mean nats over the step's targets; the gradients lie in the weights. None: the memory of a process ended.

    Raises what ended the memory where a micro-batch cannot be smaller. However many micro-batches a step has, processes
    meet three times: for the targets, for whether all have finished, and for the sums of gradients and nats.
    """
    together = micro * world.size
    drawn, totals, ended = list[BatchT](), list[Tensor](), memory.Ended()
    with ended:
        for index in range(accumulation):
            drawn.append(batches.take(cursor + index * together, together).to(device))
    targets = world.sum(sum(loss.targets(batch) for batch in drawn)) or 1  # a batch may have nothing to learn
    with ended:
        for batch in drawn:
            if ended.here:
                break
            faults.at("step.forward")
            total = loss(module, batch)
            faults.at("step.backward")
            # Divided by the targets of the whole step: the gradient does not depend on how the batch was split.
            (total / targets).backward()
            totals.append(total.detach())
    if ended.anywhere(world):
        if not _smaller(micro, micro * accumulation):
            raise ended.error()
        return None
    nats = 0.0
    for total in totals:  # read when all is computed, so that a device need not wait between two micro-batches
        nats += float(total) / targets
    if world.size > 1:
        for weight in module.parameters():
            if weight.grad is not None:
                weight.grad = world.sum(weight.grad)
    return world.sum(nats)


def _moved(optimizer: Optimizers, rates: Rates, world: World) -> bool:
    """Takes the optimizer's step; whether the memory of every process sufficed for it."""
    ended = memory.Ended()
    with ended:
        faults.at("step.optimizer")
        optimizer.step(rates)
    return not ended.anywhere(world)


def _smaller(micro: int, rows: int) -> int:
    """The largest micro-batch of at most half the rows that divides the batch; 0: there is none."""
    return next((size for size in range(micro // 2, 0, -1) if rows % size == 0), 0)
