"""Build: a plan's module, loss, optimizer and schedule, with its techniques folded in."""

from dataclasses import dataclass
from typing import TypeVar

import torch

from daybreak import techniques
from daybreak.core.records import Touched
from daybreak.core.run import Run
from daybreak.core.types import Decisions, Machine, Plan
from daybreak.data import shards
from daybreak.data.batches import Batches
from daybreak.data.mixing import Mixture
from daybreak.engine import optimizers, schedules
from daybreak.engine.callbacks import SeesChange, SeesValidation, StepCallback, StopsEarly
from daybreak.engine.machine import keep_freed_memory, settle_vector_functions
from daybreak.engine.world import World, alone
from daybreak.models import families
from daybreak.models.checkpoints.source import Checkpoint
from daybreak.models.module import LanguageModel
from daybreak.tasks import task_of
from daybreak.tasks.scoring import TaskLoss
from daybreak.techniques import Context
from daybreak.training.marks import Marks

Thing = TypeVar("Thing")


@dataclass(kw_only=True)
class Trainable:
    """What `build` makes of a plan: all that the loop works with. Steps change the parts, nobody replaces them.

    Only a measurement that times a moment of the run by itself gives it new callbacks.
    """

    module: LanguageModel
    loss: TaskLoss
    optimizer: optimizers.Optimizers
    schedule: schedules.Schedule
    callbacks: list[StepCallback]  # called after each step
    marks: Marks  # one of the callbacks
    techniques: list[tuple[str, techniques.Technique]]
    touched: list[Touched]  # what each technique changed in them
    context: Context
    device: torch.device

    def validated(self, progress: float, loss: float) -> None:
        """Gives a held-out loss of the current weights to the callbacks; some exchange the weights for it."""
        for callback in self.callbacks:
            if progress < 1 and isinstance(callback, SeesValidation):  # at the end there is nothing left to change
                callback.validated(self.module, progress, loss)

    def stop_reason(self) -> str:
        """Why training ends though its clock gives leave for more, in words; empty: it does not."""
        return next((c.enough for c in self.callbacks if isinstance(c, StopsEarly) and c.enough), "")


def build(
    plan: Decisions,
    machine: Machine,
    device: torch.device,
    *,
    run: Run | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trainable:
    """Weights are those of the seed, the same on every machine, or of the checkpoint that a run begins with.

    checkpoint: the header of that, where this process has read it. Raises UsageError: a technique that is not there.
    """
    settle_vector_functions()
    on = [(choice.name, techniques.make(choice)) for choice in plan.techniques]
    marks = Marks()
    context = Context(plan=plan, machine=machine, run=run, marks=marks)
    touched: list[Touched] = []

    def folded(seam: str, thing: Thing) -> Thing:
        changed, places = techniques.fold(on, seam, thing, context)
        touched.extend(places)
        return changed

    if device.type == "cpu":
        keep_freed_memory()
    if plan.origin is not None and run is not None and not any(run.checkpoints_folder.glob("step-*")):
        from daybreak.planning import starting_checkpoint

        module = starting_checkpoint.module_of(plan, run, checkpoint=checkpoint)
    else:
        module = families.of(plan.shape).module(plan.shape)
        module.initialize(plan.seed)
    task = task_of(plan.objective)
    added = task.head(module, plan.seed)
    module = folded("module", module.to(device).train())
    loss = folded("loss", task.loss(plan))
    dtype = torch.bfloat16 if "bfloat16" in machine.fast_dtypes else torch.float32  # emulated, it would dominate a step
    factors = module.rate_factors()
    others = module.embeddings_and_norms()
    others += [weight for weight in added if not any(weight is known for known in others)]
    matrices, others = ([w for w in weights if w.requires_grad] for weights in (module.matrices(), others))
    made = optimizers.make(plan.optimizer, matrices, others, dtype=dtype, factors=factors)
    optimizer = folded("optimizer", made)
    rows = max(1, plan.batch_tokens // plan.network.context_length)
    schedule = folded("schedule", schedules.Schedule(plan.schedule, batch_rows=rows))
    callbacks: list[StepCallback] = folded("step", [marks])
    context.changes.watch("optimizer", optimizer.changed)
    for callback in callbacks:
        if isinstance(callback, SeesChange):
            context.changes.watch(callback.name, callback.changed)
    return Trainable(
        module=module,
        loss=loss,
        optimizer=optimizer,
        schedule=schedule,
        callbacks=callbacks,
        marks=marks,
        techniques=on,
        touched=touched,
        context=context,
        device=device,
    )


def batches_of(run: Run, train: shards.Tokens, plan: Plan, world: World | None = None) -> Batches | Mixture:
    """What the plan trains on: its text, or its sources by their weights; of it, this process's part."""
    world = world or alone()
    part = {"seed": plan.seed, "rank": world.rank, "world": world.size}
    length = plan.network.context_length
    if not plan.mixture:
        return Batches(train, context_length=length, **part)
    name = f"train-{plan.tokenizer.vocabulary}"
    parts = [shards.Tokens(run.corpus_folder, f"{name}-{number}") for number in range(len(plan.mixture))]
    return Mixture(list(zip(parts, plan.mixture, strict=True)), context_length=length, **part)
