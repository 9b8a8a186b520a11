"""Live: the newest state of a run, read by one thread and streamed to any number of clients."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Callable

from daybreak.core.run import Run
from daybreak.core.values import Json
from daybreak.views import report_data
from daybreak.views.run_facts import Facts

LEAST_PAUSE = 1.0  # seconds between two readings
MOST_PAUSE = 60.0
READING_SHARE = 0.004  # of one core that reading may take
HEARTBEAT_SECONDS = 5.0
POINTS = 500  # of a curve: fewer than in the report, so that the page can be updated more often


class Reader:
    """Reads a run for all clients, in a thread that works only while there is a client.

    publish: called with each new state as one line of JSON, from whichever thread reads. language: of the sentences.
    """

    def __init__(self, run: Run, publish: Callable[[bytes], None], *, identity: str = "", language: str = "en") -> None:
        self._run, self._publish, self._identity, self._language = run, publish, identity, language
        self._facts: Facts | None = None
        self._beginning = (0, 0, b"")
        self._pause = LEAST_PAUSE
        self._read_at = float("-inf")
        self._lock = threading.Lock()
        self._wanted, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)
        self._told: Json = {}  # the last state of the folder
        self.state: Json = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def wanted(self, yes: bool) -> None:
        """Sets whether there is a client."""
        self._wanted.set() if yes else self._wanted.clear()

    def newest(self) -> Json:
        """The state for a page, at most one pause old."""
        with self._lock:
            self._read()
            return self.state

    def _work(self) -> None:
        while not self._over.is_set():
            self._wanted.wait()
            with self._lock:
                self._read()
            self._over.wait(self._pause)

    def _read(self) -> None:
        """Reads what is new. The pause after it keeps reading under its share of a core."""
        if time.monotonic() - self._read_at < self._pause:
            return
        first, began = self._facts is None, time.thread_time()
        if self._take_in():
            self._publish(json.dumps(self.state, separators=(",", ":")).encode())
        cost = time.thread_time() - began
        # The first reading takes in the whole log, the later ones only what is new.
        self._pause = LEAST_PAUSE if first else min(MOST_PAUSE, max(LEAST_PAUSE, cost / READING_SHARE))
        self._read_at = time.monotonic()

    def _take_in(self) -> bool:
        """Reads the files; whether the state has changed."""
        watch = {"identity": self._identity, "missing": False, "problem": ""}
        changed = False
        try:
            if not self._same_run():
                self._facts = None
            if self._facts is None:
                self._facts, changed = Facts(self._run, points=POINTS), True
            if self._facts.read() or changed or self._told["problem"]:
                self.state, changed = self._shown(self._facts), True
        except FileNotFoundError:
            watch["missing"], self._facts = True, None
        except Exception as error:  # files change under the reader: the next reading may do better
            watch["problem"], self._facts = f"{type(error).__name__}: {error}", None
        self.state = self.state or self._shown(Facts(self._run))  # of a run of which nothing is known
        changed = changed or watch != self._told
        self._told = watch
        if changed:
            self.state = {**self.state, "watch": watch}
        return changed

    def _shown(self, facts: Facts) -> Json:
        return report_data.in_language(report_data.of_run(facts), self._language)

    def _same_run(self) -> bool:
        """Whether folder and beginning of the log are the same as at the last reading.

        A new folder of the same path may have the inode of the old one, and a longer log.


        Raises FileNotFoundError: the folder is not there.
        """
        status = self._run.path.stat()
        try:
            with self._run.log_file.open("rb") as file:
                head = file.read(256)
        except OSError:
            head = b""
        device, number, before = self._beginning
        self._beginning = (status.st_dev, status.st_ino, head)
        return (device, number) == (status.st_dev, status.st_ino) and head.startswith(before)


class Stream:
    """Sends the newest state to any number of clients. A slow client skips states: there is no queue."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._line = b""
        self._version = 0
        self._clients = 0
        self._closed = False
        self.on_clients: Callable[[bool], None] = lambda yes: None

    def publish(self, line: bytes) -> None:
        """Sets the newest state. May be called from any thread."""
        if self._loop is None:
            self._line = line
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._put, line)

    def _put(self, line: bytes) -> None:
        self._line = line
        self._version += 1
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def opened(self) -> None:
        """Called in the server's event loop before the first client."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Ends all streams. Called in the event loop."""
        self._closed = True
        self._wake()

    async def events(self) -> AsyncIterator[bytes]:
        """Server-sent events: the newest state when it changes, and a comment from time to time when it does not."""
        self._clients += 1
        self.on_clients(True)
        seen = -1
        try:
            yield b"retry: 1000\n\n"
            while not self._closed:
                if seen != self._version and self._line:
                    seen = self._version
                    yield b"data: " + self._line + b"\n\n"
                    continue
                try:
                    await asyncio.wait_for(self._changed.wait(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield b": nothing new\n\n"
        finally:
            self._clients -= 1
            self.on_clients(self._clients > 0)
