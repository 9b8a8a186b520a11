"""Workers: processes that share the preparing of text, and go on when one of them is killed, stuck or leaks memory.

Why not multiprocessing's: its pools wait for ever where a worker is killed, and its "spawn" runs the caller's main
script again in every worker. Here a worker is a new Python that imports worker.py and the module of the work, nothing
else; it has a channel of its own and no lock in common with anybody. To start one took 0.08 s of a processor, and 0.2 s
more for work that imports numpy (none imports torch); an answer costs the parent 40 us and a second for 900 MB. So one
item alone needs no worker, and a short deadline none at all.

The parent never blocks on one worker: it reads what is there, and counts the time only while it is itself waiting, so
that a parent that was stopped, or busy with a result, holds no worker for stuck. A worker is heard when an item is
done, and whenever the work calls `alive()`; a thread's heartbeat would beat on in an endless loop.
"""

import contextlib
import os
import pickle
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from daybreak.core import process as starting
from daybreak.core.errors import ResourceError
from daybreak.data import cluster, workers
from daybreak.data.worker import BLOCK, LENGTH, Raised, Reason, alive, answered, line

APART_BYTES = 6_000_000  # of text, above which processes pay: to start one takes half a second

__all__ = ["Failed", "alive", "ordered"]

Item = TypeVar("Item")
Result = TypeVar("Result")
_Message = tuple[Result | Raised | Reason, int] | None  # an answer, and the memory of the worker; None: a sign of life

ATTEMPTS = 2  # at an item that ends its worker
STARTS = 5  # workers in a row that may end before they are ready; then none ever will be
START_SECONDS = 60.0  # at least, for the imports from a cold or distant disk
WAITING = 2  # results that wait for their turn, beside one a process
_TICK = 1.0  # seconds between looks at who is stuck
# A core is shared by no two workers, so that threads of libraries in them would only be in each other's way.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
_SERVE = "from daybreak.data import worker; worker.serve(int(sys.argv[1]))"


@dataclass(frozen=True, kw_only=True)
class Failed:
    """An item that is left out, with the reason in one line."""

    item: object
    name: str  # as `what` spells the item
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def ordered(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    processes: int,
    stuck_seconds: float = 60.0,
    most_bytes: int = 1 << 30,
    what: Callable[[Item], str] = str,
) -> Iterator[Result | Failed]:
    """work(item) of every item, in the order of the items, whatever becomes of the processes.

    `work` is a function (or a partial of one, or an object) that pickle can send by the name of its module, which is
    not the main script; it should do the same each time, for an item whose worker died is tried once more. An item
    that ends its worker twice, or of which nothing is heard for `stuck_seconds` twice, comes out as Failed, and so
    does one whose work raises; only a DaybreakError is raised here, in the item's place. Work that may take longer
    than `stuck_seconds` calls `alive()` on its way. A worker of more than `most_bytes` (resident) after an item gives
    way to a new one. At most `processes` + 2 results wait for their turn.

    With one process or one item there is no worker: the work is done in this process, which it can then end or block.
    The same on systems without POSIX signals. Workers start at the first `next` and end with the iterator, however it
    ends; if this process is killed, they end too. Raises ResourceError: no worker starts.
    """
    if processes <= 1 or len(items) <= 1 or os.name != "posix":
        answers: Iterator[Result | Raised | Reason] = (answered(work, item) for item in items)
    else:
        answers = _Pool(work, items, min(processes, len(items)), stuck_seconds, most_bytes).answers()
    with contextlib.closing(answers):  # type: ignore[type-var]
        for item, answer in zip(items, answers, strict=True):
            if isinstance(answer, Raised):
                raise answer.error()
            yield Failed(item=item, name=what(item), reason=answer.reason) if isinstance(answer, Reason) else answer


class _Worker(Generic[Result]):
    """A worker process, its channel, and the item that it works on."""

    def __init__(self, work: bytes) -> None:
        self.index: int | None = None  # of the item that it works on
        self.ready = False
        self.silent_seconds = 0.0  # waited since its last message
        self._incoming = bytearray()
        self.channel, theirs = socket.socketpair()
        with theirs:
            self.process = starting.start(
                starting.python(_SERVE, str(theirs.fileno())),
                more={**dict.fromkeys(_ONE_THREAD, "1"), "TOKENIZERS_PARALLELISM": "false"},
                stdin=starting.PIPE,  # nothing is ever written to it: it closes when this process is gone
                stdout=starting.DEVNULL,  # output of the work must not mix with that of the command
                pass_fds=(theirs.fileno(),),
                process_group=0,  # Ctrl-C is for the parent, which then ends its workers
            )
        self.send(work, START_SECONDS)

    def send(self, message: bytes, seconds: float) -> bool:
        """False: it takes nothing any more; that it has ended is seen when it is read."""
        self.channel.settimeout(seconds)
        try:
            self.channel.sendall(LENGTH.pack(len(message)) + message)
            return True
        except OSError:
            return False
        finally:
            self.channel.setblocking(False)

    def messages(self) -> tuple[list[_Message[Result]], bool]:
        """Complete messages that have arrived (None: a sign of life), and whether the channel has ended."""
        ended = False
        while True:
            try:
                block = self.channel.recv(BLOCK)
            except BlockingIOError:
                break
            except OSError:
                block = b""
            if not block:
                ended = True
                break
            self._incoming += block
            self.silent_seconds = 0.0
        found: list[_Message[Result]] = []
        start = 0
        while len(self._incoming) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._incoming, start)
            end = start + LENGTH.size + length
            if len(self._incoming) < end:
                break
            with memoryview(self._incoming)[start + LENGTH.size : end] as message:
                found.append(pickle.loads(message) if length else None)
            start = end
        del self._incoming[:start]
        return found, ended

    def end(self, grace: float = 0.0) -> str:
        """Ends the process, which may end by itself for `grace` seconds; how it did, in a few words."""
        self.channel.close()
        with contextlib.suppress(starting.TimeoutExpired):
            self.process.wait(grace)
        self.process.kill()
        with contextlib.suppress(starting.TimeoutExpired):
            self.process.wait(5)  # a process that the disk holds cannot be waited for
        if self.process.stdin:
            self.process.stdin.close()
        code = self.process.returncode
        return f"ended by {signal.Signals(-code).name}" if code and code < 0 else f"ended with code {code}"


class _Pool(Generic[Item, Result]):
    def __init__(
        self,
        work: Callable[[Item], Result],
        items: Sequence[Item],
        processes: int,
        stuck_seconds: float,
        most_bytes: int,
    ) -> None:
        self._work, self._items, self._processes = pickle.dumps(work), items, processes
        self._stuck_seconds, self._most_bytes = stuck_seconds, most_bytes
        self._tick = min(_TICK, stuck_seconds / 4)
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker[Result]] = []
        self._next = 0  # the first item that has not been handed out
        self._again: deque[int] = deque()  # items that lost their worker
        self._reasons: dict[int, list[str]] = {}  # why those workers ended
        self._waiting: dict[int, Result | Raised | Reason] = {}  # answers
        self._failed_starts = 0

    def answers(self) -> Iterator[Result | Raised | Reason]:
        try:
            for index in range(len(self._items)):
                self._advance(0.0)  # so that nobody idles while the caller is busy with the next answer
                while index not in self._waiting:
                    self._advance(self._tick)
                yield self._waiting.pop(index)
        finally:
            for worker in self._workers:
                worker.process.kill()  # all at once, and then each is waited for
            for worker in self._workers:
                worker.end()
            self._selector.close()

    def _advance(self, seconds: float) -> None:
        """Hands out items, waits up to `seconds`, and takes what has arrived."""
        self._hand_out()
        before = time.monotonic()
        heard = self._selector.select(seconds)
        waited = min(time.monotonic() - before, 2 * seconds)  # more of it, and it was this process that stood still
        for worker in self._workers:
            worker.silent_seconds += waited
        for key, _ in heard:
            self._take(key.data)
        for worker in [w for w in self._workers if w.index is not None or not w.ready]:
            most = self._stuck_seconds if worker.ready else max(START_SECONDS, self._stuck_seconds)
            if worker.silent_seconds > most:
                self._dismiss(worker)
                self._lost(worker, f"gave no sign of life for {most:g} s")
        self._hand_out()

    def _hand_out(self) -> None:
        """Gives items to the workers that have none, and starts workers while there is more to do than they can."""
        left = len(self._items) - self._next + len(self._again)
        free = [worker for worker in self._workers if worker.index is None]
        for _ in range(min(left - len(free), self._processes - len(self._workers))):
            try:
                worker: _Worker[Result] = _Worker(self._work)
            except OSError as error:  # the system has no more processes to give
                raise _no_worker(line(error)) from None
            self._workers.append(worker)
            self._selector.register(worker.channel, selectors.EVENT_READ, worker)
        for worker in free:
            if not worker.ready:
                continue
            busy = sum(other.index is not None for other in self._workers)
            if self._again:
                index = self._again.popleft()
            # The item whose turn it is waits for nobody: with one more at work, all others may come to wait.
            elif self._next < len(self._items) and busy + len(self._waiting) <= self._processes + WAITING:
                index, self._next = self._next, self._next + 1
            else:
                return
            worker.index, worker.silent_seconds = index, 0.0
            worker.send(pickle.dumps(self._items[index]), self._stuck_seconds)

    def _take(self, worker: _Worker[Result]) -> None:
        messages, ended = worker.messages()
        for answer, size in filter(None, messages):
            if worker.index is not None:
                self._waiting[worker.index], worker.index = answer, None
                if size > self._most_bytes and not ended:
                    self._dismiss(worker)
                    return
            elif isinstance(answer, Reason):
                raise _no_worker(answer.reason)
            else:
                worker.ready, self._failed_starts = True, 0
        if ended:
            self._lost(worker, self._dismiss(worker, grace=0.2))  # the channel closes a moment before the process ends

    def _dismiss(self, worker: _Worker[Result], grace: float = 0.0) -> str:
        self._selector.unregister(worker.channel)
        self._workers.remove(worker)
        return worker.end(grace)

    def _lost(self, worker: _Worker[Result], reason: str) -> None:
        """Retries the item of a worker that has ended, or gives it up."""
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= STARTS:
                raise _no_worker(f"{STARTS} in a row failed to start; the last {reason}")
        if worker.index is None:
            return
        reasons = self._reasons.setdefault(worker.index, [])
        reasons.append(reason)
        if len(reasons) < ATTEMPTS:
            self._again.append(worker.index)
        else:
            told = ", then ".join(dict.fromkeys(reasons))
            self._waiting[worker.index] = Reason(f"{ATTEMPTS} tries; its process {told}")


def _no_worker(received: str) -> ResourceError:
    return ResourceError(
        "no worker process could be started",
        received=received,
        attempt="use one process, which needs no other; for several, the work must be a "
        "function of a module that can be imported",
    )


def each(
    work: Callable[[Item], Result], items: Sequence[Item], *, processes: int, address: str, what: Callable[[Item], str]
) -> Generator[Result | Failed | None, None, None]:
    """Does the work on every item, here or on a cluster; yields in their order, `Failed` for one that was given up.

    what: an item in words.
    """
    if address:
        yield from cluster.ordered(work, items, address=address)
    else:
        yield from workers.ordered(work, items, processes=processes, what=what)
