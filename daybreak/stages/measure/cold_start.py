"""Start: what a plan's first steps take in a process of their own: seconds until steps are steady, and memory.

Only a new process starts cold, and only there is the most memory that was held that of one plan.
"""

import itertools
import json
import sys
import tempfile
import time
from typing import Any

from daybreak.core import process
from daybreak.core.errors import ResourceError
from daybreak.core.types import Machine, Plan

STEPS = 5


def apart(plan: Plan, machine: Machine, device: str, *, warm: bool, seconds: float | None = None) -> dict[str, Any]:
    """{"cold": {"start_seconds", "step_seconds", "memory_bytes"}, and with `warm` the same once more as "warm"}.

    Cold is with an empty cache of kernels, warm with the one that the cold start has left. Raises ResourceError: the
    plan cannot be built; TimeoutError: it took longer than `seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="daybreak-") as kernels:
        found = {}
        for name in ("cold", "warm") if warm else ("cold",):
            begun = time.perf_counter()
            found[name] = _asked({"plan": plan.to_json(), "machine": machine.to_json()}, device, kernels, seconds)
            seconds = None if seconds is None else max(0.1, seconds - (time.perf_counter() - begun))
        return found


def _asked(what: dict[str, Any], device: str, kernels: str, seconds: float | None) -> dict[str, Any]:
    try:
        done = process.run(
            process.python("from daybreak.stages.measure.cold_start import main; main()", device),
            more={"TORCHINDUCTOR_CACHE_DIR": kernels, "DAYBREAK_CACHE": kernels},
            input=json.dumps(what),
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except process.TimeoutExpired:
        raise TimeoutError from None
    if done.returncode:
        raise ResourceError(
            "a trial could not be started in its own process",
            received=(done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1],
            attempt="the same command again, with more memory free",
        )
    return json.loads(done.stdout.splitlines()[-1])


def first_steps(plan: Plan, machine: Machine, device_name: str) -> dict[str, Any]:
    """In this process, which has done nothing else: measuring the machine here would hold more than a small plan."""
    import statistics

    import torch

    from daybreak import techniques
    from daybreak.core.clock import Stopwatch, TokensClock
    from daybreak.engine import loop
    from daybreak.engine import machine as machines
    from daybreak.engine.probe import memory_bytes
    from daybreak.training.build import build
    from daybreak.training.train import stepped

    device = machines.pick_device(device_name)
    held = memory_bytes(device)
    begun = time.perf_counter()
    every_step = tuple(choice for choice in plan.techniques if not techniques.class_of(choice.name).only_begins)
    plan = plan.replace(
        batch_tokens=plan.micro_batch * plan.network.context_length,
        techniques=every_step,
    )
    built = build(plan, machine, device)
    clock = TokensClock(Stopwatch(), tokens=1 << 60)
    # Late in the run, where a schedule has reached the full batch.
    position = loop.Position(progress=0.5)
    clock.resume(1 << 59)
    taken = [begun]
    for step in stepped(plan, built, _Noise(plan), device, clock, position):  # type: ignore[arg-type]
        machines.synchronize(device)
        taken.append(time.perf_counter())
        if step.step == STEPS:
            break
    seconds = [later - earlier for earlier, later in itertools.pairwise(taken)]
    steady = statistics.median(seconds[2:])
    return {
        "start_seconds": max(0.0, sum(seconds[:2]) - 2 * steady),
        "step_seconds": steady,
        "memory_bytes": max(0, memory_bytes(device) - held),
        "torch": torch.__version__,
    }


class _Noise:
    """Rows of random tokens: neither seconds nor memory depend on what they say."""

    def __init__(self, plan: Plan) -> None:
        self._vocabulary = plan.tokenizer.vocabulary
        self.context_length: int = plan.network.context_length

    def take(self, cursor: int, rows: int) -> Any:
        import torch

        from daybreak.data.batches import Batch

        generator = torch.Generator().manual_seed(cursor)
        return Batch(torch.randint(self._vocabulary, (rows, self.context_length + 1), generator=generator))


def main() -> None:
    """The process itself: a device on the command line, a plan and a machine on standard input."""
    asked = json.load(sys.stdin)
    told = first_steps(Plan.from_json(asked["plan"]), Machine.from_json(asked["machine"]), sys.argv[1])
    print(json.dumps(told))
