"""The step of decode.cpp: compiled once a machine by the C++ compiler that is there, and called through ctypes."""

import ctypes
import hashlib
import logging
import os
import platform
import subprocess
import tempfile
from pathlib import Path

logger = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("decode.cpp")
FLAGS = ("-O2", "-std=gnu++17", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC")
THREADS = ("-fopenmp",)  # Apple's compiler has none: one thread then
PATIENCE = 120.0  # seconds

POINTER, INT, FLOAT = ctypes.c_void_p, ctypes.c_int32, ctypes.c_float


class Layer(ctypes.Structure):
    """As in decode.cpp: addresses of contiguous tensors."""

    _fields_ = [
        (name, POINTER)
        for name in (
            *("q", "k", "v", "o", "gate", "up", "down"),
            *("attention_gain", "q_gain", "k_gain", "mlp_gain"),
            *("k_cache", "v_cache"),
        )
    ]


class Model(ctypes.Structure):
    """As in decode.cpp."""

    _fields_ = [
        *(
            (name, INT)
            for name in (
                *("layers", "width", "heads", "key_value_heads", "head_dim", "mlp_width", "vocabulary"),
                *("context", "threads"),
            )
        ),
        ("epsilon", FLOAT),
        ("layer", ctypes.POINTER(Layer)),
        *((name, POINTER) for name in ("table", "head", "gain", "cosines", "sines", "scratch")),
    ]


def library(folder: Path, compiler: str) -> ctypes.CDLL | None:
    """The compiled step, from `folder` or compiled into it (a second or two); None where that is not possible.

    folder: of this user alone, because what lies there is run. compiler: a path; empty where there is none.
    """
    if not compiler:
        return None
    path = folder / f"decode-{_digest(compiler)}.so"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _compile(compiler, path)
        opened = ctypes.CDLL(str(path))
    except (OSError, subprocess.SubprocessError) as error:
        logger.info("decoding goes on without its compiled step: %s", error)
        return None
    for name in ("step_float32", "step_bfloat16"):
        call = getattr(opened, name)
        call.argtypes = (ctypes.POINTER(Model), ctypes.c_int64, INT, POINTER)
        call.restype = None
    return opened if opened.model_bytes() == ctypes.sizeof(Model) else None


def _compile(compiler: str, path: Path) -> None:
    """Raises OSError or SubprocessError."""
    handle, name = tempfile.mkstemp(suffix=".so", dir=path.parent)
    os.close(handle)
    try:
        for threads in (THREADS, ()):
            words = [compiler, *FLAGS, *threads, str(SOURCE), "-o", name]
            done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
            if done.returncode == 0:
                Path(name).replace(path)
                return
        raise OSError(f"{' '.join(words)}: {done.stderr[-400:]}")
    finally:
        Path(name).unlink(missing_ok=True)


def _digest(compiler: str) -> str:
    """A home may be shared by machines whose processors differ, and -march=native is for one of them."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor += "".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))
    except OSError:
        pass
    return hashlib.sha256("\0".join((SOURCE.read_text(), compiler, *FLAGS, processor)).encode()).hexdigest()[:16]
