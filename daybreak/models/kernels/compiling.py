"""Native: our C and C++ compiled by the machine's own compiler, in a second or two, for its own processor."""

import ctypes
import hashlib
import platform
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from daybreak.core import process
from daybreak.core.errors import ResourceError

SECONDS = 60  # in which a compiler that works has long finished
LANGUAGES = {".c": ("-x", "c"), ".cpp": ("-x", "c++", "-std=gnu++17")}
# The best that the compiler understands: the processor's own instructions, more threads than one.
TRIED: tuple[tuple[str, ...], ...] = (
    ("-march=native", "-fopenmp"),
    ("-mcpu=native", "-fopenmp"),
    ("-fopenmp",),
    ("-march=native",),
    (),
)


# What a compiler's driver says where it was a signal, the memory or the disk that ended its work.
STOPPED = (
    *("signal terminated", "due to signal", "killed", "internal compiler error", "out of memory", "memory exhausted"),
    *("cannot allocate memory", "no space left", "temporarily unavailable"),
)


class NotCompiled(ResourceError):
    """There is no library: the compiler refused the source with all flags, or it was stopped at its work."""


class CompilerStopped(NotCompiled):
    """It did not come to its end. Another time it may, so that nothing follows from it for the flags."""


@dataclass(frozen=True, kw_only=True)
class Native:
    """A library, and the flags that it was compiled with: other flags can give other roundings."""

    library: ctypes.CDLL
    file: Path
    flags: tuple[str, ...]


def compiled(source: Path, folder: Path, compiler: str, options: tuple[str, ...]) -> Native:
    """The library made of a source file, compiled into `folder` where that does not hold it yet.

    Of TRIED, the first flags that the compiler does not refuse. folder: of this user alone, because what lies there is
    run. compiler: a path, of C or C++. Raises NotCompiled.
    """
    # What "native" means is the processor's: a folder that several machines share holds a file for each.
    same = (source.read_bytes(), compiler, options, _processor(), torch.__version__)
    name = hashlib.blake2b(repr(same).encode(), digest_size=8).hexdigest()
    files = {flags: folder / f"{source.stem}-{name}-{_spelled(flags)}.so" for flags in TRIED}
    flags = next((flags for flags, file in files.items() if file.exists()), None)
    try:
        if flags is None:
            folder.mkdir(parents=True, exist_ok=True)
            flags = _compile(source, compiler, options, files)
        elif not _opens(files[flags]):  # made beside a library that this process lacks
            flags = _compile(source, compiler, options, files)
        return Native(library=ctypes.CDLL(str(files[flags])), file=files[flags], flags=flags)
    except OSError as error:
        raise _failed(source, str(error)) from error


def _opens(file: Path) -> bool:
    try:
        ctypes.CDLL(str(file))
    except OSError:
        return False
    return True


def _spelled(flags: tuple[str, ...]) -> str:
    """In a file's name: march-native-fopenmp."""
    return "-".join(flag.lstrip("-").replace("=", "-") for flag in flags) or "plain"


def _compile(
    source: Path, compiler: str, options: tuple[str, ...], files: Mapping[tuple[str, ...], Path]
) -> tuple[str, ...]:
    """The flags that worked, with their library in its place in `files`. Raises NotCompiled."""
    said = ""
    # The compiler works in a folder of its own, away from what lies about in the user's.
    with tempfile.TemporaryDirectory(dir=files[TRIED[0]].parent.resolve()) as aside:
        part, made = Path(aside) / "part.o", Path(aside) / "made.so"
        for flags in TRIED:
            compiling = [compiler, *LANGUAGES[source.suffix], *options, "-fPIC", *flags, "-c", str(source)]
            linking = [compiler, "-shared", str(part), "-o", str(made), *_threads(flags), "-lm"]
            for words in ([*compiling, "-o", str(part)], linking):
                said = _refused(source, words, aside)
                if said:
                    break
            else:
                try:
                    ctypes.CDLL(str(made))
                except OSError as error:
                    said = str(error)
                    continue
                made.replace(files[flags])
                return flags
    raise _failed(source, f"{compiler}: {said}")


def _refused(source: Path, words: list[str], folder: str) -> str:
    """What the compiler has against it, in its own words; empty: it is done. Raises CompilerStopped."""
    try:
        done = process.run(
            words, more={"LC_ALL": "C"}, capture_output=True, text=True, errors="replace", timeout=SECONDS, cwd=folder
        )
    except process.TimeoutExpired:
        raise _stopped(source, f"{words[0]} took more than {SECONDS:g} s") from None
    except OSError as error:
        raise _stopped(source, f"{words[0]} could not be started: {error.strerror or error}") from None
    said = (done.stderr or done.stdout).strip()[-300:] or f"exit code {done.returncode}"
    if done.returncode < 0:
        raise _stopped(source, f"{words[0]} was ended by signal {-done.returncode}")
    if done.returncode and any(word in said.lower() for word in STOPPED):
        raise _stopped(source, f"{words[0]}: {said}")
    return said if done.returncode else ""


def _stopped(source: Path, said: str) -> CompilerStopped:
    return CompilerStopped(
        f"the compiler did not finish {source.name}",
        received=said,
        attempt="repeat the command when more memory and time are free, or use --without kernels",
    )


def _failed(source: Path, said: str) -> NotCompiled:
    return NotCompiled(f"{source.name} could not be compiled", received=said, attempt="use --without kernels")


def _threads(flags: tuple[str, ...]) -> tuple[str, ...]:
    """The library of threads that torch has loaded: another one beside it would have threads of its own."""
    if "-fopenmp" not in flags:
        return ()
    # Other packages, such as scikit-learn, may have loaded one of theirs, which no other process of daybreak has.
    of_torch = [path for path in _loaded() if "gomp" in Path(path).name and "torch" in path]
    return (of_torch[0],) if of_torch else ("-fopenmp",)


def _loaded() -> list[str]:
    """The files that this process has mapped into its memory, in no particular order."""
    if sys.platform != "linux":
        return []
    lines = Path("/proc/self/maps").read_text().splitlines()
    return list(dict.fromkeys(line[line.index("/") :] for line in lines if "/" in line))


def _processor() -> str:
    """Its name and its instructions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    told = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    return f"{platform.machine()} {platform.processor()} {told}"
