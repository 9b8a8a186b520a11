"""Hardware: what the operating system tells of this machine, without torch, whose import takes over a second."""

import os
import platform
import resource
import shutil
import sys
from pathlib import Path

from daybreak.core.types import Machine


def processor() -> Machine:
    """The processor as the system describes it; nothing of it is measured."""
    affinity = getattr(os, "sched_getaffinity", None)
    return Machine(
        kind="cpu",
        name=processor_name(),
        cores=len(affinity(0)) if affinity else os.cpu_count() or 1,
        devices=1,
        memory_bytes=memory_available(),
        matmul_flops={},
        bandwidth_bytes_per_second=0.0,
        disk_bytes_per_second=0.0,
        compiler="",
        fast_dtypes=("float32",),
        versions={"python": platform.python_version()},
    )


def memory_available() -> int:
    """Bytes that this process may take, the limit of its control group included."""
    limits = [memory_total()]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(int(Path(path).read_text()))
        except (OSError, ValueError):
            continue
    return min(limits)


def compiler() -> str:
    """The C++ compiler that torch would use, or nothing."""
    for name in (os.environ.get("CXX", ""), "g++", "c++", "clang++"):
        if name and (path := shutil.which(name)):
            return str(Path(path).absolute())
    return ""


def processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def memory_total() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 8 * 2**30


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far."""
    try:  # what getrusage tells on Linux begins with the memory of the process that started this one
        with open("/proc/self/status") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def held_memory_bytes() -> int:
    """The memory that this process holds now; the most so far where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return peak_memory_bytes()


def waiting() -> float:
    """Processes that wait for a processor, for each one that there is: the load of the last minute beyond them all."""
    try:
        return max(0.0, os.getloadavg()[0] / (os.cpu_count() or 1) - 1)
    except OSError:
        return 0.0
