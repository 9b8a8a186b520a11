"""Library: kernels.c compiled for this processor by its own compiler, in about a second, and called with tensors."""

import ctypes
import hashlib
import platform
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from daybreak.core.errors import ResourceError
from daybreak.core.types import GptShape

SOURCE = Path(__file__).with_name("kernels.c")
SECONDS = 60  # in which a compiler that works has long finished
# Square roots and roundings need no error flags; sums keep their order, so that results repeat.
OPTIONS = ("-O3", "-fPIC", "-fno-math-errno", "-fno-trapping-math")
# The best that the compiler understands: the processor's own instructions, more threads than one.
TRIED = (("-march=native", "-fopenmp"), ("-mcpu=native", "-fopenmp"), ("-fopenmp",), ("-march=native",), ())
DTYPES = {torch.bfloat16: ("-DBFLOAT16",), torch.float32: ()}
LARGEST_HEAD, LONGEST = 512, 4096  # what kernels.c has room for on its stack


def fits(shape: GptShape) -> bool:
    """Whether the kernels compute what this shape's layers do."""
    return shape.native() and shape.head_dim <= LARGEST_HEAD and shape.context_length <= LONGEST


class Library:
    """The functions of kernels.c for one dtype; an attribute is called with tensors, numbers, and the threads last."""

    def __init__(self, file: Path, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._loaded = ctypes.CDLL(str(file))
        for name, kinds in _signatures().items():
            getattr(self._loaded, name).argtypes = kinds
            getattr(self._loaded, name).restype = None

    def call(self, name: str, *arguments: Tensor | float) -> None:
        """Tensors are contiguous; what is stored is of `dtype`."""
        for argument in arguments:
            assert not isinstance(argument, Tensor) or argument.is_contiguous(), name
        plain = [a.data_ptr() if isinstance(a, Tensor) else a for a in arguments]
        getattr(self._loaded, name)(*plain, torch.get_num_threads())


@cache
def _signatures() -> dict[str, list[type]]:
    """Argument types of each function, read from the source."""
    source = SOURCE.read_text(encoding="utf-8")
    found = {}
    for name, arguments in re.findall(r"^void (\w+)\(([^)]*)\)", source, re.MULTILINE):
        kinds = [
            ctypes.c_void_p
            if "*" in argument
            else {"long": ctypes.c_long, "float": ctypes.c_float, "int": ctypes.c_int}[argument.split()[0]]
            for argument in arguments.split(",")
        ]
        found[name] = kinds
    return found


@cache
def library(folder: Path, dtype: torch.dtype, compiler: str) -> Library:
    """The library for a dtype, compiled by `compiler` (of C or C++) where `folder` does not hold it yet.

    Raises ResourceError: it cannot be compiled.
    """
    source = SOURCE.read_bytes()
    # What "native" means is the processor's: a folder that several machines share holds a file for each.
    same = (source, compiler, _processor(), torch.__version__, str(dtype))
    name = hashlib.blake2b(repr(same).encode(), digest_size=8).hexdigest()
    file = folder / f"{name}.so"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _compile(compiler, DTYPES[dtype], file)
    return Library(file, dtype)


def _compile(compiler: str, defines: tuple[str, ...], file: Path) -> None:
    said = ""
    with tempfile.TemporaryDirectory(dir=file.parent) as aside:
        part = Path(aside) / "kernels.o"
        made = Path(aside) / file.name
        for tried in TRIED:
            compiling = [compiler, "-x", "c", *OPTIONS, *tried, *defines, "-c", str(SOURCE), "-o", str(part)]
            linking = [compiler, "-shared", str(part), "-o", str(made), *_threads(tried), "-lm"]
            try:
                for words in (compiling, linking):
                    subprocess.run(words, check=True, capture_output=True, text=True, timeout=SECONDS)
                ctypes.CDLL(str(made))
            except (OSError, subprocess.SubprocessError) as error:
                said = str(getattr(error, "stderr", "") or error).strip()[-300:]
                continue
            made.replace(file)
            return
    raise ResourceError(
        "the kernels could not be compiled", received=f"{compiler}: {said}", attempt="--without kernels"
    )


def _threads(tried: tuple[str, ...]) -> tuple[str, ...]:
    """The library of threads that torch has loaded: another one beside it would have threads of its own."""
    if "-fopenmp" not in tried:
        return ()
    if sys.platform == "linux":
        for line in Path("/proc/self/maps").read_text().splitlines():
            if "gomp" in line and "/" in line:
                return (line[line.index("/") :],)
    return ("-fopenmp",)


def _processor() -> str:
    """Its name and its instructions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    told = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    return f"{platform.machine()} {platform.processor()} {told}"
