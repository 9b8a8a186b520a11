"""This machine, measured: arithmetic, memory, disk and compiler, in seconds, kept in the user's cache."""

import contextlib
import ctypes
import functools
import json
import math
import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable

import torch

from daybreak.core import cache
from daybreak.core.clock import Contention
from daybreak.core.errors import UsageError
from daybreak.core.run import write_json
from daybreak.core.types import Machine
from daybreak.engine.hardware import compiler, memory_available, processor_name

STALE_SECONDS = 30 * 86400
BUSY_STALE_SECONDS = 300.0  # what was measured beside other work says little of the next run
BUSY = 1.2  # times as long as on an idle machine
FASTEST_OF = 5  # turns: a rate is that of the fastest, which other work has disturbed least
LONGEST_PRODUCT = 1.0  # seconds that a measured product may take, by what a small one tells
MATMUL = {"cpu": 2048, "cuda": 4096, "mps": 2048}
# The elementwise functions that torch has from MKL's vector library.
VECTOR_FUNCTIONS = (
    *("acos", "asin", "atan", "cos", "erf", "erfc", "erfinv", "exp", "log", "log10", "log2"),
    *("sin", "sqrt", "tan", "tanh", "trunc"),
)
_vector_functions_settled = threading.Event()
_settling = threading.Lock()


def pick_device(name: str = "") -> torch.device:
    """The named device, or the fastest kind that is here. Raises UsageError."""
    settle_vector_functions()
    if name:
        try:
            device = torch.device(name)
            torch.empty(1, device=device)
            return device
        except (RuntimeError, AssertionError) as error:
            raise UsageError(
                "the device cannot be used",
                received=f"--device {name}: {str(error).splitlines()[0]}",
                attempt="leave it out, or use --device cpu",
            ) from None
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def measured(device: torch.device, *, anew: bool = False) -> Machine:
    """From the cache where it still holds, else measured now (about a second) and kept."""
    blank = described(device)
    path = cache.folder() / f"machine-{blank.key()}.json"
    if not anew:
        try:
            known = Machine.from_json(json.loads(path.read_text(encoding="utf-8")))
            if time.time() - known.measured_at < STALE_SECONDS:
                asked = ("memory_bytes", "compiler", "fast_dtypes")  # of the system, every time
                return known.replace(**{name: getattr(blank, name) for name in asked})
        except Exception:  # missing, torn or of another version: measure again
            pass
    contention = Contention()
    contention.factor()
    machine = blank.replace(
        matmul_flops={
            str(dtype).removeprefix("torch."): rate
            for dtype in (torch.float32, torch.bfloat16, torch.float16)
            if (rate := _matmul_rate(device, dtype)) > 0
        },
        bandwidth_bytes_per_second=_bandwidth(device),
        disk_bytes_per_second=_disk_rate(),
        measured_at=time.time(),
    )
    if contention.factor() > BUSY:
        machine = machine.replace(measured_at=machine.measured_at - STALE_SECONDS + BUSY_STALE_SECONDS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, machine.to_json())
    except OSError:
        pass  # a home that cannot be written costs a second in every run, nothing else
    return machine


def settle_vector_functions() -> None:
    """Calls each of MKL's vector functions once, on one number, before any thread does.

    MKL chooses the kernel of a function at its first call, without a lock. Where two threads make that call at the same
    time, one of them can get a kernel of 12 bits for its whole share (https://github.com/pytorch/pytorch/issues/188792):
    rotary tables, weights and scores that are right in one process and a little wrong in another. Whatever computes
    with a model calls this first. A second call costs nothing.
    """
    if _vector_functions_settled.is_set():
        return
    with _settling:
        for dtype in (torch.float32, torch.float64):
            for name in VECTOR_FUNCTIONS:
                getattr(torch, name)(torch.full((1,), 0.5, dtype=dtype))
        _vector_functions_settled.set()


@functools.cache
def keep_freed_memory() -> None:
    """Has glibc keep the memory that tensors give back, until the process ends (mallopt(3)); elsewhere nothing.

    A step allocates the same sizes again and again. By default the larger ones come from the system each time, and
    every page of them is cleared and mapped at its first touch: a quarter of an eager step's seconds.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    with contextlib.suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(mmap_max, 0)
        library.mallopt(trim_threshold, 2**31 - 1)
        library.mallopt(top_pad, 64 * 2**20)


def described(device: torch.device) -> Machine:
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name, memory, devices = properties.name, properties.total_memory, torch.cuda.device_count()
    else:
        name, memory, devices = processor_name(), memory_available(), 1
    return Machine(
        kind=device.type,
        name=name,
        cores=torch.get_num_threads(),
        devices=devices,
        memory_bytes=memory,
        matmul_flops={},
        bandwidth_bytes_per_second=0.0,
        disk_bytes_per_second=0.0,
        compiler=compiler(),
        fast_dtypes=_fast_dtypes(device),
        versions={"torch": torch.__version__, "python": platform.python_version()},
    )


def _fast_dtypes(device: torch.device) -> tuple[str, ...]:
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        float8 = ("float8_e4m3fn",) if capability >= (8, 9) and hasattr(torch, "_scaled_mm") else ()
        return ("float32", "bfloat16", *float8) if capability >= (8, 0) else ("float32",)
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    fast = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "amx_tile", "bf16"))
    return ("float32", "bfloat16") if fast else ("float32",)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def timed(work: Callable[[], object], device: torch.device, *, times: int = 3) -> float:
    """Median seconds of `work`, after one turn that is not counted."""
    return statistics.median(_turns(work, device, times))


def _turns(work: Callable[[], object], device: torch.device, times: int) -> list[float]:
    work()
    synchronize(device)
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        synchronize(device)
        seconds.append(time.perf_counter() - begun)
    return seconds


def _matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second; of a small product alone where a large one would take longer than it tells."""
    size = MATMUL.get(device.type, 1024)
    try:
        # Some processors have no instructions for a dtype, and a large product of it takes minutes.
        rate = _rate_at(size // 8, device, dtype)
        return rate if 2 * size**3 > LONGEST_PRODUCT * rate else _rate_at(size, device, dtype)
    except RuntimeError:
        return 0.0


def _rate_at(size: int, device: torch.device, dtype: torch.dtype) -> float:
    a, b = (torch.ones(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = min(_turns(lambda: a @ b, device, FASTEST_OF))
    return 2 * size**3 / seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def _bandwidth(device: torch.device) -> float:
    source = torch.ones(2**24, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / min(_turns(lambda: target.copy_(source), device, FASTEST_OF))


def _disk_rate() -> float:
    block = os.urandom(2**20) * 16
    try:
        with tempfile.NamedTemporaryFile() as file:
            begun = time.perf_counter()
            file.write(block)
            file.flush()
            os.fsync(file.fileno())
            return len(block) / (time.perf_counter() - begun)
    except OSError:
        return 0.0
