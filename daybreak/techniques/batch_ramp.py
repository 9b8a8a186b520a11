"""Dynamic batch size: small batches early in the run, full ones later (arXiv:1711.00489)."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.core.types import Decisions, Machine
from daybreak.engine.schedules import Schedule
from daybreak.techniques import NETWORKS, Context, Technique


@dataclass(frozen=True, kw_only=True)
class BatchRamp(Technique):
    """A quarter, a half and then the full batch (arXiv:1711.00489), by the number of micro-batches: no new shapes."""

    claim: ClassVar[str] = "bits_per_byte"
    families: ClassVar[tuple[str, ...]] = NETWORKS
    standing: ClassVar[str] = "in runs of minutes on a processor it refuses, because a batch is one micro-batch"
    does: ClassVar[str] = "a quarter of the batch until 10% of the run, half until 25%, then all"
    refuses_when: ClassVar[str] = "where a batch has fewer than four micro-batches"
    quarter_until: float = 0.1  # of the progress
    half_until: float = 0.25  # of the progress

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        micro_batches = plan.batch_tokens // (plan.micro_batch * plan.network.context_length)
        if micro_batches < 4:
            return f"a ramp needs at least four micro-batches a batch; this plan has {max(1, micro_batches)}"
        return None

    def schedule(self, schedule: Schedule, run: Context) -> tuple[Schedule, int]:
        def share(progress: float) -> float:
            return 0.25 if progress < self.quarter_until else 0.5 if progress < self.half_until else 1.0

        schedule.batch_share = share
        return schedule, 1
