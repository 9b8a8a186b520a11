"""Worker: the loop of a worker process of daybreak/data/workers.py: read an item, work, send the result."""

import contextlib
import os
import pickle
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from daybreak.core.errors import DaybreakError

LENGTH = struct.Struct("<Q")  # before every message; a message of no bytes is a sign of life
BLOCK = 1 << 20  # bytes read at a time
Item = TypeVar("Item")
Result = TypeVar("Result")

_SIGN_SECONDS = 0.2  # between two signs of life, however often alive() is called


@dataclass(frozen=True)
class Raised:
    """An error of ours on its way to the caller, who meets it where the item's result would have been."""

    kind: type[DaybreakError]
    args: tuple[object, ...]
    facts: dict[str, object]

    def error(self) -> DaybreakError:
        error = self.kind.__new__(self.kind, *self.args)  # its __init__ wants the parts by name
        error.__dict__.update(self.facts)
        return error


@dataclass(frozen=True)
class Reason:
    """Why an item has no result."""

    reason: str


def answered(work: Callable[[Item], Result], item: Item) -> Result | Raised | Reason:
    """work(item), or why it has no result."""
    try:
        return work(item)
    except DaybreakError as error:
        return Raised(type(error), error.args, error.__dict__)
    except Exception as error:
        return Reason(line(error))


def line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


_channel: socket.socket | None = None  # to the parent; there is none where the work is done in the parent itself
_next_sign = 0.0


def alive() -> None:
    """A sign of life from work that may take long; cheap enough for every document. Does nothing outside a worker."""
    global _next_sign
    now = time.monotonic()
    if _channel is None or now < _next_sign:
        return
    _next_sign = now + _SIGN_SECONDS
    with contextlib.suppress(BlockingIOError):  # a parent that has not read the last ones needs no more of them
        _channel.send(LENGTH.pack(0), socket.MSG_DONTWAIT)


def serve(descriptor: int) -> None:
    """The loop of a worker, until its channel ends: read an item, work, send the result."""
    global _channel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)
    _end_with_parent()
    channel = socket.socket(fileno=descriptor)
    with contextlib.suppress(OSError):  # the parent has gone, or wants no more
        try:
            work = pickle.loads(_received(channel))
        except Exception as error:
            _reply(channel, Reason(line(error)))
            return
        _reply(channel, None)
        _channel = channel
        while message := _received(channel):
            _reply(channel, answered(work, pickle.loads(message)))


def _end_with_parent() -> None:
    """Standard input closes when the parent is gone; the kernel's signal then ends even work that never pauses."""
    import fcntl
    import select

    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:
        os._exit(1)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")  # where memory ends, a worker goes before the parent does


def _received(channel: socket.socket) -> bytes:
    """A message; nothing where the channel has ended."""
    head = _exactly(channel, LENGTH.size)
    return _exactly(channel, LENGTH.unpack(head)[0]) if head else b""


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        block = channel.recv(min(BLOCK, size - len(parts)))
        if not block:
            return b""
        parts += block
    return bytes(parts)


def _reply(channel: socket.socket, answer: object) -> None:
    try:
        message = pickle.dumps((answer, _resident_bytes()), protocol=5)
    except Exception as error:
        message = pickle.dumps((Reason(f"its result cannot be sent: {line(error)}"), 0))
    channel.sendall(LENGTH.pack(len(message)))
    channel.sendall(message)


def _resident_bytes() -> int:
    """Memory of this process; where the system does not tell it, the most that it ever was."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
