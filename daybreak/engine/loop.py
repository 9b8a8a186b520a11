"""The loop: one generator of steps for every kind of training."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from daybreak.core.clock import Clock
from daybreak.core.records import Step
from daybreak.engine.optimizers import Optimizers
from daybreak.engine.schedules import Schedule

SMOOTHING = 0.2  # of a new step's seconds in the running mean


class Loss(Protocol):
    def __call__(self, module: nn.Module, rows: Tensor) -> Tensor: ...

    def targets(self, rows: Tensor) -> int: ...


class Source(Protocol):
    def take(self, cursor: int, rows: int) -> Tensor: ...


@dataclass
class Position:
    """Where a run stands; with the weights and the optimizer's state it is all that a resume needs."""

    step: int = 0
    cursor: int = 0  # rows drawn
    tokens: int = 0  # targets seen
    row_seconds: float = 0.0  # running mean
    progress: float = 0.0  # of the last step


def steps(
    module: nn.Module,
    loss: Loss,
    optimizer: Optimizers,
    schedule: Schedule,
    batches: Source,
    clock: Clock,
    *,
    position: Position,
    micro_batch: int,
    after: Callable[[nn.Module, float], None] | None = None,
) -> Iterator[Step]:
    """Steps until the clock gives no leave for another. Moves `position` along.

    micro_batch: rows of one forward pass. after: called with the module and the progress when a step has changed it.
    """
    while True:
        # The batch is that of the progress so far: the clock is told what the step will really take.
        rows = schedule.rows(position.progress)
        micro = min(micro_batch, rows)
        accumulation = max(1, round(rows / micro))
        begun = clock.used()
        targets = micro * accumulation * loss.targets(batches.take(position.cursor, 1))
        tick = clock.tick(micro * accumulation * position.row_seconds, targets)
        if tick is None:
            return
        progress = position.progress = tick.progress
        micro, accumulation = tick.micro_batch or micro, tick.accumulation or accumulation
        drawn = [batches.take(position.cursor + index * micro, micro) for index in range(accumulation)]
        targets = sum(loss.targets(batch) for batch in drawn)
        nats = 0.0
        for batch in drawn:
            total = loss(module, batch)
            # Divided by the targets of the whole step: the gradient does not depend on how the batch was split.
            (total / targets).backward()
            nats += float(total.detach()) / targets
        norm = optimizer.gradient_norm()
        skipped = tick.skip or not (math.isfinite(nats) and math.isfinite(norm))
        rates = schedule.rates(progress)
        if not skipped:
            optimizer.step(rates)
            schedule.observe(progress, nats)
            if after is not None:
                after(module, progress)
        optimizer.clear()
        now = clock.used()
        position.step += 1
        position.cursor += micro * accumulation
        position.tokens += targets
        row_seconds = (now - begun) / (micro * accumulation)
        known = position.row_seconds
        position.row_seconds = row_seconds if not known else known + SMOOTHING * (row_seconds - known)
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
        )
