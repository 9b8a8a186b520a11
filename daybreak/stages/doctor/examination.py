"""Examination: measures this machine, and says what would make training faster."""

import importlib.util
import os
import time

import torch

from daybreak import techniques
from daybreak.core import cache, units
from daybreak.core.errors import BudgetTooShort
from daybreak.core.types import Corpus, Machine, Probe, Request
from daybreak.core.values import Json
from daybreak.engine import machine as machines
from daybreak.engine.probe import Timings, compile_cache
from daybreak.planning.planner import choose

SECONDS = 60.0  # that the verdict is of
UNTIL_THE_PLAN = 15.0  # of them, for imports, reading and timing
INSTRUCTIONS = {
    "amx_tile": "AMX",
    "avx512_f": "AVX-512",
    "avx2": "AVX2",
    "sve": "SVE",
    "neon": "NEON",
}  # the best first
# Packages that may be missing, the extra that brings each, and what it is for.
EXTRAS = {
    "transformers": ("hf", "Hugging Face checkpoints"),
    "pyarrow": ("parquet", "Parquet files"),
    "pypdfium2": ("documents", "PDF files"),
    "jieba": ("zh", "splitting Chinese into words"),
    "gguf": ("gguf", "export to llama.cpp"),
    "onnx": ("onnx", "export to ONNX"),
}
# English prose of 10 MB, as it is usually measured.
TYPICAL = Corpus(
    sources=(),
    heldout="",
    threshold=0.02,
    digest="",
    files=1,
    documents=2500,
    bytes=10_000_000,
    heldout_documents=50,
    heldout_bytes=200_000,
    replaced_bytes=0,
    languages={"latin": 1.0},
    bytes_per_token={"2048": 3.2, "4096": 3.7},
    tokens_per_second=1e6,
    bytes_per_second=5e6,
    xz_bits_per_byte=2.6,
    ngram_bits_per_byte=2.0,
    ngram_unit="byte",
    ngram_order=7,
    ngram_bytes=1_000_000,
    ngram_fall=0.1,
)


def examined(device: str = "") -> Json:
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
        "verdict": verdict(machine, timings),
        "missing_extras": {extra: what for package, (extra, what) in EXTRAS.items() if not _installed(package)},
        "advice": _advice(machine.kind, machine.compiler),
    }


def verdict(machine: Machine, timings: Timings) -> str:
    """What a minute is enough for here, on a text of 10 MB, by the planner and what was timed before."""
    known = Probe(
        timings=(),
        earlier=tuple(timings.entries),
        compile_cold_seconds=timings.compile_seconds(cold=True),
        compile_warm_seconds=timings.compile_seconds(cold=False),
        used_seconds=UNTIL_THE_PLAN,
    )
    how = f"{machine.cores} threads" if machine.kind == "cpu" else machine.name
    if machine.kind == "cpu" and (named := _instructions()):
        how += f", {named}"
    try:
        choice = choose(TYPICAL, machine, known, Request(sources=(), seconds=SECONDS))
    except BudgetTooShort:
        return f"{how}: a minute is too short for a network; use --family ngram"
    used = [one.name for one in choice.techniques if one.name in ("bf16", "kernels", "compiled")]
    return (
        f"{how}{''.join(f', {name}' for name in used)}: {SECONDS:.0f} s train about "
        f"{units.count(choice.shape.parameters())} parameters on about {units.count(choice.tokens)} tokens"
    )


def lines(found: Json) -> list[str]:
    machine = found["machine"]
    rates = ", ".join(f"{name} {rate / 1e9:,.0f}" for name, rate in machine["matmul_flops"].items())
    known = [f"{found['shapes_measured']} shapes timed before"]
    if found["compile_cold_seconds"]:
        known.append(f"compiling took {found['compile_cold_seconds']:.0f} s with an empty cache")
    if found["compile_warm_seconds"]:
        known.append(f"{found['compile_warm_seconds']:.1f} s with a warm one")
    unusable = {name: reason for name, reason in found["techniques"].items() if reason != "usable"}
    extras = [f"{extra} ({what})" for extra, what in found["missing_extras"].items()]
    return [
        f"verdict     {found['verdict']}",
        *(f"advice      {sentence}" for sentence in found["advice"]),
        *([f"extras      not installed: {', '.join(extras)}; pip install '.[NAME]' in the checkout"] if extras else []),
        "",
        f"machine     {machine['kind']}: {machine['name']}, {machine['cores']} threads, "
        f"{units.size(machine['memory_bytes'])} of memory",
        f"matmul      {rates} GFLOP/s",
        f"memory      {machine['bandwidth_bytes_per_second'] / 1e9:.1f} GB/s",
        f"disk        {units.size(machine['disk_bytes_per_second'])}/s written and synced",
        f"compiler    {machine['compiler'] or 'none'}",
        f"versions    {', '.join(f'{name} {version}' for name, version in machine['versions'].items())}",
        f"cache       {found['cache_folder']}{'' if found['cache_writable'] else ' (not writable)'}",
        f"known       {'; '.join(known)}",
        f"techniques  {len(found['techniques']) - len(unusable)} of {len(found['techniques'])} can be used here; "
        "`daybreak plan` says which a run would use",
        *(f"  {name:18} cannot: {reason}" for name, reason in unusable.items()),
        f"measured in {found['seconds']:.1f} s",
    ]


def _instructions() -> str:
    """The widest instructions of the processor that torch has kernels for; empty where it does not say."""
    told = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return next((named for name, named in INSTRUCTIONS.items() if told.get(name)), "")


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


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
