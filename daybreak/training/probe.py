"""Probe: times steps of the shapes that a plan would have, and has the picked one compiled in passing."""

import dataclasses

import torch

from daybreak import techniques
from daybreak.core.clock import Stopwatch
from daybreak.core.types import Corpus, Machine, Probe, Request, Timing
from daybreak.data.batches import Batch
from daybreak.engine import time_budget
from daybreak.engine.hardware import waiting
from daybreak.engine.probe import Timings, compile_cache, held_bytes, memory_bytes, time_training
from daybreak.models import families
from daybreak.models.kernels.compiling import NotCompiled
from daybreak.planning.choice import Choice
from daybreak.planning.planner import LEAST_STEPS, choose
from daybreak.tasks import task_of
from daybreak.training.build import build

TIMING_SECONDS = 1.2
MOST_SHAPES = 4
EARLIER_TIMINGS = 40


def probe(corpus: Corpus, machine: Machine, request: Request, device: torch.device, stopwatch: Stopwatch) -> Probe:
    """Measures the best shape by what is known, asks again with what was learnt, and so on while it pays.

    The first shape is always timed, since a run compiles it anyway; a further one only where it costs little of the
    budget. Raises BudgetTooShort and UsageError as the plan does.
    """
    compile_cache()
    timings = Timings(machine)
    known = Probe(
        timings=(),
        earlier=tuple(timings.entries[-EARLIER_TIMINGS:]),
        compile_cold_seconds=timings.compile_seconds(cold=True),
        compile_warm_seconds=timings.compile_seconds(cold=False),
        used_seconds=stopwatch.used() + TIMING_SECONDS,
    )
    if families.named(request.family).counted or request.reproducible:
        return _with_state(known, device, stopwatch)
    for turn in range(MOST_SHAPES):
        choice = choose(corpus, machine, known, request)
        mode = choice.predicted.mode
        if any(t.shape == choice.shape and t.mode == mode for t in known.timings):
            break
        cold = mode != "eager" and not timings.was_compiled(choice.shape, mode, choice.micro_batch)
        price = TIMING_SECONDS + choice.predicted.phase_seconds["compile"]
        if turn and price > time_budget.PROBING_SHARE * request.seconds:
            break
        try:
            timing = _timed(choice, machine, device, mode=mode, cold=cold)
        except NotCompiled as error:
            what = f"the plan does without the kernels: {error.what} ({error.received})"
            machine, known = machine.replace(compiler=""), known.replace(warnings=(*known.warnings, what))
            continue
        steps_fit = choice.predicted.phase_seconds["training"] / timing.step_seconds
        if steps_fit < LEAST_STEPS * choice.batch_tokens / (choice.micro_batch * choice.shape.context_length):
            # About to be refused: others may have had the processor in that moment, so it is timed once more.
            again = _timed(choice, machine, device, mode=mode, cold=False)
            timing = min(timing, again, key=lambda timing: timing.step_seconds)
        timings.add(timing)
        known = known.replace(
            timings=(*known.timings, timing),
            compile_cold_seconds=timings.compile_seconds(cold=True),
            compile_warm_seconds=timings.compile_seconds(cold=False),
            used_seconds=stopwatch.used(),
        )
    return _with_state(known, device, stopwatch)


def _with_state(known: Probe, device: torch.device, stopwatch: Stopwatch) -> Probe:
    """With what the process holds, and how busy the machine is, at the end of the probe."""
    return known.replace(
        used_seconds=stopwatch.used(),
        held_bytes=held_bytes(device),
        peak_bytes=memory_bytes(device),
        waiting=waiting(),
    )


def _timed(choice: Choice, machine: Machine, device: torch.device, *, mode: str, cold: bool) -> Timing:
    # Techniques that count or keep the text have nothing to do with a step's seconds.
    of_a_step = [
        c
        for c in choice.techniques
        if (hasattr(techniques.class_of(c.name), "module") or c.name in ("fused_loss", "thread_parallel"))
        and not techniques.class_of(c.name).only_begins
    ]
    built = build(dataclasses.replace(choice, techniques=tuple(of_a_step)), machine, device)
    size = (choice.micro_batch, choice.shape.context_length + 1)
    task = task_of(choice.objective)
    scored = task.loss(choice).scored
    rows = torch.randint(choice.tokenizer.vocabulary, size, generator=torch.Generator().manual_seed(0))
    return time_training(
        built.module,
        built.loss,
        built.optimizer,
        task.batch(Batch(rows)).to(device),
        micro_batch=choice.micro_batch,
        device=device,
        shape=choice.shape,
        dtype=str(built.module.compute_dtype).removeprefix("torch."),
        mode=mode,
        cold=cold,
        seconds=min(TIMING_SECONDS, time_budget.TIMING_SHARE * choice.budget.seconds),
        evaluate=lambda batch: scored(built.module, batch),
    )
