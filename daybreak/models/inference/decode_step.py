"""The step of decode.cpp, called through ctypes."""

import ctypes
import logging
from pathlib import Path

from daybreak.models.kernels.compiling import CompilerStopped, NotCompiled, compiled

logger = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("decode.cpp")
OPTIONS = ("-O2", "-ffp-contract=fast")

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
    try:
        opened = compiled(SOURCE, folder, compiler, OPTIONS).library
    except NotCompiled as error:
        # Without it a token may be drawn otherwise. A compiler that refuses does so every time; one that was stopped
        # makes this time differ from the next.
        level = logging.WARNING if isinstance(error, CompilerStopped) else logging.INFO
        logger.log(level, "decoding goes on without its compiled step: %s", error)
        return None
    for name in ("step_float32", "step_bfloat16"):
        call = getattr(opened, name)
        call.argtypes = (ctypes.POINTER(Model), ctypes.c_int64, INT, POINTER)
        call.restype = None
    return opened if opened.model_bytes() == ctypes.sizeof(Model) else None
