"""Doctor: what this machine can do, measured, and what would make it do more."""

import os
import time
from typing import Any

import torch

from daybreak import techniques
from daybreak.core import cache, units
from daybreak.engine import machine as machines
from daybreak.engine.probe import Timings, compile_cache


def examined(device: str = "") -> dict[str, Any]:
    """Measured anew; the keys are those of `daybreak doctor --json`."""
    begun = time.perf_counter()
    chosen = machines.pick_device(device)
    machine = machines.measured(chosen, anew=True)
    timings = Timings(machine)
    refusals = {name: techniques.class_of(name)().unusable(machine) for name in techniques.names()}
    return {
        "machine": machine.to_json(),
        "seconds": time.perf_counter() - begun,
        "cache_folder": str(cache.folder()),
        "cache_writable": _writable(),
        "kernels_folder": str(compile_cache()),
        "shapes_measured": len({t.shape for t in timings.entries}),
        "compile_cold_seconds": timings.compile_seconds(cold=True),
        "compile_warm_seconds": timings.compile_seconds(cold=False),
        "techniques": {name: reason or "usable" for name, reason in refusals.items()},
        "advice": _advice(machine.kind, machine.compiler),
    }


def lines(found: dict[str, Any]) -> list[str]:
    machine = found["machine"]
    rates = ", ".join(f"{name} {rate / 1e9:,.0f}" for name, rate in machine["matmul_flops"].items())
    known = [f"{found['shapes_measured']} shapes timed before"]
    if found["compile_cold_seconds"]:
        known.append(f"compiling took {found['compile_cold_seconds']:.0f} s with an empty cache")
    if found["compile_warm_seconds"]:
        known.append(f"{found['compile_warm_seconds']:.1f} s with a warm one")
    return [
        f"machine     {machine['kind']}: {machine['name']}, {machine['cores']} threads, "
        f"{units.size(machine['memory_bytes'])} of memory",
        f"matmul      {rates} GFLOP/s",
        f"memory      {machine['bandwidth_bytes_per_second'] / 1e9:.1f} GB/s",
        f"disk        {units.size(machine['disk_bytes_per_second'])}/s written and synced",
        f"compiler    {machine['compiler'] or 'none'}",
        f"versions    {', '.join(f'{name} {version}' for name, version in machine['versions'].items())}",
        f"cache       {found['cache_folder']}{'' if found['cache_writable'] else ' (not writable)'}",
        f"known       {'; '.join(known)}",
        *(f"technique   {name}: {verdict}" for name, verdict in found["techniques"].items()),
        *(f"advice      {sentence}" for sentence in found["advice"]),
        f"measured in {found['seconds']:.1f} s",
    ]


def _writable() -> bool:
    folder = cache.folder()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)


def _advice(kind: str, compiler: str) -> list[str]:
    advice = []
    if kind == "cpu" and not compiler:
        advice.append("install a C++ compiler (g++ or clang++): it makes training about twice as fast")
    if kind == "cpu" and torch.backends.cuda.is_built() and not torch.cuda.is_available():
        advice.append("this torch could use an NVIDIA GPU, but finds none; check the driver with nvidia-smi")
    return advice
