"""Memory: the predicted peak of a run's process, from its memory after the probe and what is allocated later."""

from typing import Protocol, runtime_checkable

from daybreak import techniques
from daybreak.core.shapes import network_of
from daybreak.core.types import Decisions, Machine, Probe
from daybreak.models.ngram import cost
from daybreak.planning.speed import LIBRARY_BYTES, memory_bytes
from daybreak.tasks import task_of
from daybreak.tasks.scoring import EVALUATION_TOKENS

# Measured in runs of 20 to 60 s on texts of 0.25 to 17 MB (benchmarks/memory.py).
NEVER_FREED = 35e6  # by allocations that do not fit where others were


@runtime_checkable
class CountsTokens(Protocol):
    """A technique that counts n-grams of the training text beside the network."""

    order: int

    def counted_tokens(self, plan: Decisions, machine: Machine) -> int: ...


def peak_bytes(plan: Decisions, machine: Machine, probe: Probe) -> int:
    """Peak memory of the training process with libraries, text and counts; on an accelerator, of training alone.

    Where the probe was not measured (`held_bytes` is 0), the libraries are taken to be of their usual size.
    """
    shape = plan.network
    share = task_of(plan.objective).scored_share
    scored = 8 * EVALUATION_TOKENS * share * shape.vocabulary  # logits, and their softmax
    saved = 12 * shape.parameters()  # a copy of weights and optimizer that is written while training goes on
    needed = memory_bytes(shape, plan.micro_batch, plan.predicted.mode) - LIBRARY_BYTES
    if machine.kind != "cpu":
        return int(max(probe.peak_bytes, needed + scored))
    base = LIBRARY_BYTES + needed
    if probe.held_bytes:  # it includes the steps that the probe timed
        timed = [
            memory_bytes(network, t.micro_batch, t.mode) - LIBRARY_BYTES
            for t in probe.timings
            if (network := network_of(t.shape)) is not None
        ]
        base = probe.held_bytes + max(0.0, needed - max(timed, default=0.0))
    counting, counts = _counts(plan, machine)
    return int(max(probe.peak_bytes, base + max(counting, counts + scored + saved) + NEVER_FREED))


def _counts(plan: Decisions, machine: Machine) -> tuple[float, float]:
    """Bytes while n-grams are counted beside the network, and bytes of the counts afterwards."""
    while_counting, afterwards = 0.0, 0.0
    for choice in plan.techniques:
        technique = techniques.make(choice)
        if isinstance(technique, CountsTokens):
            tokens = technique.counted_tokens(plan, machine)
            order, vocabulary = technique.order, plan.tokenizer.vocabulary
            while_counting = afterwards + max(
                while_counting, cost.counting_bytes(tokens, order=order, vocabulary=vocabulary)
            )
            afterwards += cost.counted_bytes(tokens, order=order, vocabulary=vocabulary)
    return while_counting, afterwards
