"""Cold start: measures a plan's first steps in a process of their own: seconds until steps are steady, and memory.

Only a new process starts with nothing compiled, and only its peak memory is that of a single plan.
"""

import itertools
import json
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from daybreak.core import process
from daybreak.core.errors import ResourceError
from daybreak.core.types import Machine, Plan
from daybreak.core.values import Json

if TYPE_CHECKING:  # torch, which a command loads only when it trains
    from daybreak.data.batches import Batch

STEPS = 5


def measure_in_subprocess(
    plan: Plan, machine: Machine, device: str, *, warm: bool, seconds: float | None = None
) -> Json:
    """{"cold": {"start_seconds", "step_seconds", "memory_bytes"}}; with `warm`, the same measured again as "warm".

    A cold start has an empty kernel cache, a warm one the cache that the cold start filled. Raises ResourceError: the
    plan cannot be built; TimeoutError: it took longer than `seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="daybreak-") as kernels:
        found = {}
        for name in ("cold", "warm") if warm else ("cold",):
            begun = time.perf_counter()
            found[name] = _run_process({"plan": plan.to_json(), "machine": machine.to_json()}, device, kernels, seconds)
            seconds = None if seconds is None else max(0.1, seconds - (time.perf_counter() - begun))
        return found


def _run_process(work: Json, device: str, kernels: str, seconds: float | None) -> Json:
    try:
        done = process.run(
            process.python("from daybreak.stages.measure.cold_start import main; main()", device),
            more={"TORCHINDUCTOR_CACHE_DIR": kernels, "DAYBREAK_CACHE": kernels},
            input=json.dumps(work),
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
            attempt="free some memory, then repeat the command",
        )
    return json.loads(done.stdout.splitlines()[-1])


def first_steps(plan: Plan, machine: Machine, device_name: str) -> Json:
    """Takes the first steps in this process, which has done nothing else.

    machine: measured elsewhere, because measuring takes more memory than training a small plan.
    """
    import statistics

    import torch

    from daybreak import techniques
    from daybreak.core.clock import Stopwatch, TokensClock
    from daybreak.engine import loop
    from daybreak.engine import machine as machines
    from daybreak.engine.probe import memory_bytes
    from daybreak.training.build import build
    from daybreak.training.train import training_steps

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
    # Late in the run, when batches have reached their full size.
    position = loop.Position(progress=0.5)
    clock.resume(1 << 59)
    taken = [begun]
    for step in training_steps(plan, built, _Noise(plan), clock, position):  # type: ignore[arg-type]
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
    """Batches of random tokens: neither time nor memory depends on the text."""

    def __init__(self, plan: Plan) -> None:
        self._vocabulary = plan.tokenizer.vocabulary
        self.context_length: int = plan.network.context_length

    def take(self, cursor: int, rows: int) -> "Batch":
        import torch

        from daybreak.data.batches import Batch

        generator = torch.Generator().manual_seed(cursor)
        return Batch(torch.randint(self._vocabulary, (rows, self.context_length + 1), generator=generator))


def main() -> None:
    """What the process runs: the device is on the command line, plan and machine are on standard input."""
    work = json.load(sys.stdin)
    measured = first_steps(Plan.from_json(work["plan"]), Machine.from_json(work["machine"]), sys.argv[1])
    print(json.dumps(measured))
