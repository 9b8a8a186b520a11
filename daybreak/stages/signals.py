"""Signals: a first Ctrl-C or SIGTERM asks the loop to save and end, a second one ends at once."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class Signals:
    """Sets a flag that the loop looks at between steps; nothing else happens in a handler."""

    def __init__(self) -> None:
        self.received = ""
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            os._exit(130 if number == signal.SIGINT else 75)
        self.received = signal.Signals(number).name
