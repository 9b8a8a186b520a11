"""The loop: one generator of steps for every kind of training."""

import dataclasses
import statistics
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from daybreak.core.clock import Clock
from daybreak.core.records import Step
from daybreak.engine import faults, memory
from daybreak.engine.guard import Guard, Unsound
from daybreak.engine.losses import BatchT, Loss, Source
from daybreak.engine.optimizers import Optimizers
from daybreak.engine.schedules import Schedule

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
    module: nn.Module,
    loss: Loss[BatchT],
    optimizer: Optimizers,
    schedule: Schedule,
    batches: Source[BatchT],
    clock: Clock,
    *,
    position: Position,
    micro_batch: int,
    device: torch.device = CPU,
    guard: Guard | None = None,
    after: Callable[[nn.Module, float], None] | None = None,
) -> Iterator[Step]:
    """Steps until the clock gives no leave for another. Moves `position` along.

    micro_batch: rows of one forward pass. device: where the module is; batches are moved to it. after: called with the
    module and the progress when a step has changed it.
    Raises Unsound: too many steps were broken, or the memory ended within the optimizer's step.
    """
    guard = guard or Guard()
    recent = deque([position.row_seconds] if position.row_seconds else [], RECENT)
    while True:
        # The batch is that of the progress so far: the clock is told what the step will really take.
        rows = schedule.rows(position.progress)
        micro = min(position.micro_batch or micro_batch, rows)
        accumulation = max(1, round(rows / micro))
        begun = clock.used()
        tokens = micro * accumulation * batches.context_length
        tick = clock.tick(micro * accumulation * position.row_seconds, tokens)
        if tick is None:
            return
        progress = position.progress = tick.progress
        replayed = tick.micro_batch is not None
        micro, accumulation = tick.micro_batch or micro, tick.accumulation or accumulation
        cursor = position.cursor = position.cursor if tick.cursor is None else tick.cursor
        while True:
            try:
                nats = _gradients(module, loss, batches, cursor, micro, accumulation, device)
                break
            except (RuntimeError, MemoryError) as error:
                smaller = _smaller(micro, micro * accumulation)
                if not memory.ended(error) or not smaller:
                    raise
            # Outside of the handler, whose traceback would keep what did not fit.
            optimizer.clear()
            memory.let_go()
            position.micro_batch, micro, accumulation = smaller, smaller, micro * accumulation // smaller
        nats, norm = faults.of("step.loss", nats), faults.of("step.gradient", optimizer.gradient_norm())
        skipped = tick.skip if replayed else guard.broken(nats, norm, overflowed=optimizer.overflowed)
        rates = schedule.rates(progress)
        factor = rates.learning_rate * position.rate if tick.learning_rate is None else tick.learning_rate
        rates = dataclasses.replace(rates, learning_rate=factor)
        if not skipped:
            try:
                faults.at("step.optimizer")
                optimizer.step(rates)
            except (RuntimeError, MemoryError) as error:
                if not memory.ended(error):
                    raise
                # Some weights have moved and some have not: only going back helps.
                position.micro_batch = _smaller(micro, micro * accumulation) or micro
                raise Unsound("the memory ended within the optimizer's step") from None
            schedule.observe(progress, nats)
            if after is not None:
                after(module, progress)
        optimizer.clear()
        now = clock.used()
        position.step += 1
        position.cursor += micro * accumulation
        position.tokens += micro * accumulation * batches.context_length
        recent.append((now - begun) / (micro * accumulation))
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
    module: nn.Module,
    loss: Loss[BatchT],
    batches: Source[BatchT],
    cursor: int,
    micro: int,
    accumulation: int,
    device: torch.device,
) -> float:
    """Mean nats over the step's targets; the gradients lie in the weights."""
    drawn = [batches.take(cursor + index * micro, micro).to(device) for index in range(accumulation)]
    targets = sum(loss.targets(batch) for batch in drawn)
    nats = 0.0
    for batch in drawn:
        faults.at("step.forward")
        total = loss(module, batch)
        faults.at("step.backward")
        # Divided by the targets of the whole step: the gradient does not depend on how the batch was split.
        (total / targets).backward()
        nats += float(total.detach()) / targets
    return nats


def _smaller(micro: int, rows: int) -> int:
    """The largest micro-batch of at most half the rows that divides the batch; 0: there is none."""
    return next((size for size in range(micro // 2, 0, -1) if rows % size == 0), 0)
