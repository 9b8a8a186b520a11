"""The probe: seconds and memory of training steps, measured on this machine and kept in the user's cache."""

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from daybreak.core import cache
from daybreak.core.run import write_json
from daybreak.core.shapes import Shape
from daybreak.core.types import Machine, Timing
from daybreak.engine.hardware import held_memory_bytes, peak_memory_bytes
from daybreak.engine.losses import BatchT, Loss, ModuleT
from daybreak.engine.machine import synchronize
from daybreak.engine.optimizers import Optimizers, Rates

KEPT_TIMINGS = 200


class Timings:
    """What was measured before on this machine with these versions."""

    def __init__(self, machine: Machine) -> None:
        self._path = cache.folder() / f"timings-{machine.key()}.json"
        try:
            self.entries = [Timing.from_json(entry) for entry in json.loads(self._path.read_text(encoding="utf-8"))]
        except Exception:  # missing, torn or of another version: as on a new machine
            self.entries = []

    def add(self, timing: Timing) -> None:
        same = (timing.shape, timing.dtype, timing.mode, timing.micro_batch)
        others = [t for t in self.entries if (t.shape, t.dtype, t.mode, t.micro_batch) != same]
        self.entries = [*others, timing][-KEPT_TIMINGS:]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, [entry.to_json() for entry in self.entries])
        except OSError:
            pass  # measured again next time

    def compile_seconds(self, *, cold: bool) -> float:
        """Median of what compiling took; 0 where it is not known yet."""
        known = [t.compile_seconds for t in self.entries if t.mode == "compiled" and t.cold == cold]
        return statistics.median(known) if known else 0.0

    def was_compiled(self, shape: Shape, mode: str, micro_batch: int) -> bool:
        return any((t.shape, t.mode, t.micro_batch) == (shape, mode, micro_batch) for t in self.entries)


def compile_cache() -> Path:
    """Compiled kernels live beside the measurements: what forgets the one forgets the other."""
    return Path(os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache.folder() / "kernels")))


def memory_bytes(device: torch.device) -> int:
    """The most that this process has held so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_memory_bytes()


def held_bytes(device: torch.device) -> int:
    """Memory that this process holds now."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else held_memory_bytes()


def time_training(
    module: ModuleT,
    loss: Loss[ModuleT, BatchT],
    optimizer: Optimizers,
    batch: BatchT,
    *,
    micro_batch: int,
    device: torch.device,
    shape: Shape,
    dtype: str,
    mode: str,
    cold: bool,
    seconds: float,
    evaluate: Callable[[BatchT], object],
) -> Timing:
    """Median of as many steps as fit in `seconds`, at least two after the first. batch: of `micro_batch` rows."""

    def step() -> float:
        begun = time.perf_counter()
        (loss(module, batch) / loss.targets(batch)).backward()
        optimizer.gradient_norm()
        optimizer.step(Rates(learning_rate=1e-6))
        optimizer.clear()
        synchronize(device)
        return time.perf_counter() - begun

    module.train()
    first = step()
    second = step()
    taken = [step()]
    while len(taken) < 2 or sum(taken) + statistics.median(taken) < seconds:
        taken.append(step())
        if len(taken) >= 12:
            break
    steady = statistics.median(taken)
    module.eval()
    evaluate(batch)
    begun = time.perf_counter()
    evaluate(batch)
    synchronize(device)
    forward = time.perf_counter() - begun
    module.train()
    return Timing(
        shape=shape,
        dtype=dtype,
        mode=mode,
        micro_batch=micro_batch,
        step_seconds=steady,
        forward_seconds=forward,
        memory_bytes=memory_bytes(device),
        compile_seconds=max(0.0, first - steady) + max(0.0, second - 2 * steady) if mode != "eager" else 0.0,
        cold=cold,
        spread=max(0.0, sorted(taken)[int(0.75 * len(taken))] / steady - 1),
    )
