"""Signals: Ctrl-C and SIGTERM ask to save and end, SIGUSR1 to save and go on; a closed terminal ends nothing."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Self

_ENDING = ("SIGINT", "SIGTERM")
_SAVING = "SIGUSR1"


class Signals:
    """Sets flags that the loop looks at between steps; nothing else happens in a handler, but for a second SIGINT or
    SIGTERM: it ends the process at once, and what was saved before stays.
    """

    def __init__(self) -> None:
        self.received = ""  # the one that asks to end
        self.save = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for name in (*_ENDING, _SAVING):
                if number := getattr(signal, name, None):  # Windows has fewer
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if name == _SAVING:
            self.save = True
            return
        if self.received:
            os._exit(130 if number == signal.SIGINT else 75)
        self.received = name


class Terminated(KeyboardInterrupt):
    """A SIGTERM before training: it goes the way of a Ctrl-C."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """A SIGTERM raises Terminated, where `Signals` are not asked; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal received
        if received:
            os._exit(75)
        received = True
        raise Terminated

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def unbound() -> Iterator[None]:
    """The process outlives the terminal that it was started in. Whoever shows something must bear its loss."""
    number = getattr(signal, "SIGHUP", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
