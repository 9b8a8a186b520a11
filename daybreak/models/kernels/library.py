"""Library: kernels.c for one dtype, called with tensors."""

import ctypes
import re
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from daybreak.core.shapes import GptShape
from daybreak.models.kernels.compiling import Native, compiled

SOURCE = Path(__file__).with_name("kernels.c")
# Square roots and roundings need no error flags; sums keep their order, so that results repeat.
OPTIONS = ("-O3", "-fno-math-errno", "-fno-trapping-math")
DTYPES = {torch.bfloat16: ("-DBFLOAT16",), torch.float32: ()}
LARGEST_HEAD, LONGEST = 512, 4096  # what kernels.c has room for on its stack


def fits(shape: GptShape) -> bool:
    """Whether the kernels compute what this shape's layers do."""
    return shape.native() and shape.head_dim <= LARGEST_HEAD and shape.context_length <= LONGEST


class Library:
    """The functions of kernels.c for one dtype; an attribute is called with tensors, numbers, and the threads last."""

    def __init__(self, native: Native, dtype: torch.dtype) -> None:
        self.dtype, self.native, self._loaded = dtype, native, native.library
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
def _signatures() -> dict[str, list[Any]]:
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

    Raises NotCompiled.
    """
    return Library(compiled(SOURCE, folder, compiler, (*OPTIONS, *DTYPES[dtype])), dtype)
