"""Native: our C and C++ compiled by the machine's own compiler, in a second or two, for its own processor."""

import ctypes
import hashlib
import platform
import sys
import tempfile
from pathlib import Path

import torch

from daybreak.core import process
from daybreak.core.errors import ResourceError

SECONDS = 60  # in which a compiler that works has long finished
LANGUAGES = {".c": ("-x", "c"), ".cpp": ("-x", "c++", "-std=gnu++17")}
# The best that the compiler understands: the processor's own instructions, more threads than one.
TRIED = (("-march=native", "-fopenmp"), ("-mcpu=native", "-fopenmp"), ("-fopenmp",), ("-march=native",), ())


def compiled(source: Path, folder: Path, compiler: str, options: tuple[str, ...]) -> ctypes.CDLL:
    """The library made of a source file, compiled into `folder` where that does not hold it yet.

    folder: of this user alone, because what lies there is run. compiler: a path, of C or C++.
    Raises ResourceError: it cannot be compiled.
    """
    # What "native" means is the processor's: a folder that several machines share holds a file for each.
    same = (source.read_bytes(), compiler, options, _processor(), torch.__version__)
    name = hashlib.blake2b(repr(same).encode(), digest_size=8).hexdigest()
    file = folder / f"{source.stem}-{name}.so"
    try:
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _compile(source, compiler, options, file)
        return ctypes.CDLL(str(file))
    except OSError as error:
        raise _failed(source, str(error)) from error


def _compile(source: Path, compiler: str, options: tuple[str, ...], file: Path) -> None:
    said = ""
    file = file.resolve()  # the compiler works in a folder of its own, away from what lies about in the user's
    with tempfile.TemporaryDirectory(dir=file.parent) as aside:
        part, made = Path(aside) / "part.o", Path(aside) / file.name
        for tried in TRIED:
            compiling = [compiler, *LANGUAGES[source.suffix], *options, "-fPIC", *tried, "-c", str(source)]
            linking = [compiler, "-shared", str(part), "-o", str(made), *_threads(tried), "-lm"]
            try:
                for words in ([*compiling, "-o", str(part)], linking):
                    process.run(words, check=True, capture_output=True, text=True, timeout=SECONDS, cwd=aside)
                ctypes.CDLL(str(made))
            except (OSError, process.ProcessError) as error:
                said = str(getattr(error, "stderr", "") or error).strip()[-300:]
                continue
            made.replace(file)
            return
    raise _failed(source, f"{compiler}: {said}")


def _failed(source: Path, said: str) -> ResourceError:
    return ResourceError(f"{source.name} could not be compiled", received=said, attempt="--without kernels")


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
