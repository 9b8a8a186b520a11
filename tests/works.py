"""Pieces of work for tests of daybreak/data/workers.py: top-level functions of a module that imports little."""

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

from daybreak.core.errors import DataError
from daybreak.data.workers import alive

leaked: list[bytearray] = []


def doubled(number: int) -> int:
    return 2 * number


def doubled_slowly(number: int) -> int:
    time.sleep(0.01)
    return 2 * number


def repeated(number: int) -> bytes:
    return bytes([number % 256]) * number


def process(number: int) -> tuple[int, bool, bool, str]:
    """The process, whether it has numpy and torch, and its threads' setting."""
    time.sleep(0.02)
    return os.getpid(), "numpy" in sys.modules, "torch" in sys.modules, os.environ.get("OMP_NUM_THREADS", "")


def poisoned(number: int) -> int:
    """3 ends its process each time."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def killed_once(named: tuple[str, int]) -> int:
    note, number = Path(named[0]), named[1]
    if number == 3 and not note.exists():
        note.touch()
        os._exit(7)
    return 2 * number


def stuck(number: int) -> int:
    """2 never ends, and holds the interpreter while it does not, as a regular expression can."""
    if number == 2:
        re.match(r"(a+)+$", "a" * 60 + "b")
    return 2 * number


def long_but_alive(number: int) -> int:
    for _ in range(20):
        time.sleep(0.1)
        alive()
    return 2 * number


def leaking(number: int) -> int:
    leaked.append(bytearray(os.urandom(1 << 20) * 20))
    return os.getpid()


def raising(number: int) -> Any:
    if number == 1:
        raise ValueError("no such\nnumber")
    if number == 2:
        return lambda: number  # nothing that pickle can send
    return 2 * number


def ours(number: int) -> int:
    if number >= 2:
        raise DataError("the number is too large", received=str(number), attempt="a smaller one")
    return 2 * number


def noisy(number: int) -> int:
    print("a line on standard output")
    return 2 * number
