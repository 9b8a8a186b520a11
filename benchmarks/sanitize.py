"""Sanitize: kernels.c and decode.cpp under AddressSanitizer and UndefinedBehaviorSanitizer, on random shapes.

    make sanitize
    python benchmarks/sanitize.py --rounds 1000 --seed 7

Every function is called with shapes, offsets from an aligned address and numbers of threads that are drawn anew each
round, on memory of exactly the size that it may touch. gcc and its sanitizers are needed (libasan, libubsan). The
sanitized library is loaded by a process of its own, which imports neither torch nor daybreak. Ends with code 1 and the
sanitizer's words where something is found.
"""

import argparse
import ctypes
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SANITIZERS = (
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-g",
    "-fno-omit-frame-pointer",
    "-Wno-psabi",
)
MACHINES = {"native": ("-march=native",), "baseline": ()}
SECONDS = 1800  # for one library


# What is called. Numbers are lengths in elements; S is what the kernels store, F a float, I an index below a number.


def sizes(draw: random.Random) -> dict[str, int]:
    """Axes as kernels.c names them: small and odd for the most part, now and then at their limits."""
    G = draw.choice((1, 1, 2, 3))
    sizes = {
        "N": draw.choice((1, 2, 3, 17, 32, 33, 65, draw.randint(1, 130))),
        "D": draw.choice((1, 2, 3, 15, 16, 17, 31, 32, 33, 64, 65, draw.randint(1, 200))),
        "B": draw.randint(1, 3),
        "T": draw.choice((1, 2, 5, 16, 33)),
        "G": G,
        "H": G * draw.choice((1, 1, 2, 4)),
        "K": 2 * draw.choice((1, 2, 4, 5, 8, 16, 32, 33)),
        "M": draw.choice((1, 7, 16, 33, 64, draw.randint(1, 150))),
        "V": draw.choice((1, 2, 17, 64, 257, draw.randint(1, 500))),
        "threads": draw.choice((1, 1, 2, 3, 4, 7)),
    }
    limit = draw.random()
    if limit < 0.02:
        sizes |= {"K": 512, "T": 2}  # the largest head
    elif limit < 0.04:
        sizes |= {"T": 4096, "B": 1, "H": 1, "G": 1, "K": 4}  # the longest context
    return sizes


def arguments(name: str, s: dict[str, int], draw: random.Random) -> list[Any]:
    """Of a function of kernels.c, without the threads: ("S" or "F", length), ("I", length, below), or a number."""
    N, D, B, T, H, G, K, M, V, threads = (s[axis] for axis in ("N", "D", "B", "T", "H", "G", "K", "M", "V", "threads"))
    rows, joint = B * T, B * T * (H + 2 * G) * K
    q, kv, half = ("S", B * H * T * K), ("S", B * G * T * K), ("F", T * (K // 2))
    turned, momentum, rate = draw.randint(0, 1), 0.9, 0.01
    known: dict[str, list[Any]] = {
        "rms_forward": [("S", N * D), ("F", D), ("S", N * D), ("F", N), N, D, 1e-6],
        "rms_backward": [*2 * [("S", N * D)], ("F", D), ("F", N), *2 * [("S", N * D)], ("F", threads * D), N, D],
        "heads_forward": [
            *(("S", joint), ("F", K), ("F", K), half, half, q, kv, kv, ("F", rows * (H + G)), B, T, H, G, K, 1e-6, 0.5)
        ],
        "heads_backward": [
            *(q, kv, kv, ("S", joint), ("F", K), ("F", K), half, half, ("F", rows * (H + G)), ("S", joint)),
            *(("F", threads * 2 * K), B, T, H, G, K, 0.5),
        ],
        "exchanged": [q, q, B, H, T, K],
        "transposed": [("S", N * D), ("S", N * D), N, D],
        "softmax_forward": [("S", B * H * T * T), B * H * T, T],
        "softmax_backward": [*2 * [("S", B * H * T * T)], B * H * T, T],
        "swiglu_forward": [("S", 2 * N * M), ("S", N * M), N, M],
        "swiglu_backward": [("S", N * M), *2 * [("S", 2 * N * M)], N, M],
        "muon_momentum": [*2 * [("F", N * D)], ("S", N * D), ("F", threads), N, D, momentum, turned],
        "muon_apply": [("F", N * D), ("S", N * D), N, D, 0.99, rate, turned],
        "cross_entropy": [("S", N * V), ("I", N, V), ("F", N), N, V],
    }
    return known[name]


class Memory:
    """Allocated by C, each piece of exactly its size and filled, so that the sanitizer knows where it ends."""

    def __init__(self, draw: random.Random, stored: str) -> None:
        import numpy

        self.numpy, self.draw, self.held = numpy, draw, list[int]()
        self.random = numpy.random.default_rng(draw.randrange(1 << 32))
        self.kinds = {"S": stored, "F": "float32", "I": "int64"}
        self.c = ctypes.CDLL(None)
        self.c.malloc.restype, self.c.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        self.c.free.restype, self.c.free.argtypes = None, [ctypes.c_void_p]

    def take(self, kind: str, length: int, below: int = 0) -> int:
        """The address of so many elements, which begin a few elements after an aligned one."""
        name = self.kinds[kind]
        size = {"bfloat16": 2, "float32": 4, "int64": 8}[name]
        offset = self.draw.choice((0, 0, 1, 2, 3, 5, 7)) * size
        address = self.c.malloc(offset + length * size)
        self.held.append(address)
        place = (ctypes.c_char * (length * size)).from_address(address + offset)
        if kind == "I":
            values = self.random.integers(0, below, length)
        else:
            values = (self.draw.choice((0.1, 1.0, 30.0)) * self.random.standard_normal(length)).astype("float32")
            if name == "bfloat16":
                values = (values.view("uint32") >> 16).astype("uint16")
        ctypes.memmove(place, values.tobytes(), length * size)
        return address + offset

    def give_back(self) -> None:
        for address in self.held:
            self.c.free(address)
        self.held.clear()


def run_kernels(library: ctypes.CDLL, signatures: dict[str, list[str]], stored: str, rounds: int, seed: int) -> None:
    draw = random.Random(seed)
    memory = Memory(draw, stored)
    for name, kinds in signatures.items():
        getattr(library, name).restype = None
        getattr(library, name).argtypes = [getattr(ctypes, kind) for kind in kinds]
    for _ in range(rounds):
        shape = sizes(draw)
        for name in signatures:
            given = [memory.take(*a) if isinstance(a, tuple) else a for a in arguments(name, shape, draw)]
            getattr(library, name)(*given, shape["threads"])
            memory.give_back()


def run_decoder(library: ctypes.CDLL, fields: dict[str, list[Any]], stored: str, rounds: int, seed: int) -> None:
    draw = random.Random(seed)
    memory = Memory(draw, stored)
    kinds = {"int": ctypes.c_int32, "float": ctypes.c_float, "pointer": ctypes.c_void_p}
    layer_kind = type("Layer", (ctypes.Structure,), {"_fields_": [(n, kinds[k]) for n, k in fields["layer"]]})
    model_kind = type("Model", (ctypes.Structure,), {"_fields_": [(n, kinds[k]) for n, k in fields["model"]]})
    assert library.model_bytes() == ctypes.sizeof(model_kind)
    step = getattr(library, f"step_{stored}")
    step.restype, step.argtypes = None, (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_void_p)
    for _ in range(rounds):
        s = sizes(draw)
        D, M, V, K, T = s["D"], s["M"], s["V"], min(s["K"], 66), min(s["T"], 64)
        H, G, threads, layers = s["H"], s["G"], s["threads"], draw.randint(1, 2)
        lengths = {
            **{"q": H * K * D, "k": G * K * D, "v": G * K * D, "o": D * H * K, "gate": M * D, "up": M * D},
            **{"down": D * M, "k_cache": G * T * K, "v_cache": G * T * K},
        }
        gains = {"attention_gain": D, "mlp_gain": D, "q_gain": K, "k_gain": K}
        of_layers = (layer_kind * layers)()
        for layer in of_layers:
            for name, length in lengths.items():
                setattr(layer, name, memory.take("S", length))
            for name, length in gains.items():
                setattr(layer, name, memory.take("F", length))
        scratch = D + 2 * M + 2 * (H + G) * K + threads * (D + 3 * K + T)
        model = model_kind(
            **{"layers": layers, "width": D, "heads": H, "key_value_heads": G, "head_dim": K, "mlp_width": M},
            **{"vocabulary": V, "context": T, "threads": threads, "epsilon": 1e-6},
            layer=ctypes.addressof(of_layers),
            **{"table": memory.take("S", V * D), "head": memory.take("S", V * D), "gain": memory.take("F", D)},
            **{name: memory.take("F", T * (K // 2)) for name in ("cosines", "sines")},
            scratch=memory.take("F", scratch),
        )
        logits = memory.take("F", V)
        for position in sorted({0, T // 2, T - 1}):
            step(ctypes.addressof(model), draw.randrange(V), position, logits)
        memory.give_back()


def child(asked: dict[str, Any]) -> None:
    library = ctypes.CDLL(asked["file"])
    run = run_decoder if "fields" in asked else run_kernels
    run(library, asked.get("fields") or asked["signatures"], asked["stored"], asked["rounds"], asked["seed"])


# The process that builds and starts them


def built(source: Path, compiler: str, options: Sequence[str], folder: Path) -> Path:
    file = folder / f"{source.stem}-{'-'.join(option.lstrip('-') for option in options if '=' not in option)}.so"
    words = [compiler, *options, *SANITIZERS, "-fopenmp", "-fPIC", "-shared", str(source), "-o", str(file), "-lm"]
    subprocess.run(words, check=True)
    return file


def runtime(compiler: str) -> str:
    """The sanitizers' libraries, which a process has to load before all others. Raises SystemExit: not installed."""
    found = []
    for name in ("libasan.so", "libubsan.so"):
        words = [compiler, f"-print-file-name={name}"]
        path = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
        if not Path(path).is_file():
            sys.exit(f"{compiler} has no {name}: install gcc's sanitizers (libgcc-*-dev on Debian)")
        found.append(path)
    return " ".join(found)


def jobs(folder: Path, compiler: str) -> list[tuple[str, dict[str, Any]]]:
    """What each library is and what its process is asked."""
    from daybreak.models.inference import decode_step
    from daybreak.models.kernels import library

    def kind_of(kind: Any) -> str:
        return {ctypes.c_int32: "int", ctypes.c_float: "float"}.get(kind, "pointer")

    fields = {
        name: [[field, kind_of(kind)] for field, kind in structure._fields_]
        for name, structure in (("layer", decode_step.Layer), ("model", decode_step.Model))
    }
    signatures = {name: [kind.__name__ for kind in kinds] for name, kinds in library._signatures().items()}
    found: list[tuple[str, dict[str, Any]]] = []
    for machine, flags in MACHINES.items():
        aside = folder / machine
        aside.mkdir()
        for dtype, defined in library.DTYPES.items():
            stored = str(dtype).removeprefix("torch.")
            file = built(library.SOURCE, compiler, (*library.OPTIONS, *defined, *flags), aside)
            found.append(
                (f"kernels.c {stored} {machine}", {"file": str(file), "signatures": signatures, "stored": stored})
            )
        cpp = ("-x", "c++", "-std=gnu++17", *decode_step.OPTIONS, *flags)
        file = built(decode_step.SOURCE, compiler, cpp, aside)
        for stored in ("float32", "bfloat16"):
            found.append((f"decode.cpp {stored} {machine}", {"file": str(file), "fields": fields, "stored": stored}))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300, help="of each function, in each library")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compiler", default="gcc")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(json.loads(asked.child))
        return
    preload = runtime(asked.compiler)
    environment = {
        **os.environ,
        "LD_PRELOAD": preload,
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1",  # the interpreter's own are none of ours
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, job in jobs(Path(folder), asked.compiler):
            told = json.dumps({**job, "rounds": asked.rounds, "seed": asked.seed})
            words = [sys.executable, "-P", __file__, "--child", told]
            done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=SECONDS)
            if done.returncode or "runtime error" in done.stderr or "AddressSanitizer" in done.stderr:
                sys.exit(f"{name}: exit code {done.returncode}\n{done.stderr}")
            print(f"{name}: {asked.rounds} rounds, nothing found", flush=True)


if __name__ == "__main__":
    main()
