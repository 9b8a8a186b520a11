"""Prefetching: a thread prepares the next batch while the device computes."""

import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

from daybreak.core.types import Machine
from daybreak.data.batches import Batch, Windows
from daybreak.techniques import NETWORKS, Context, Technique


@dataclass(frozen=True, kw_only=True)
class Prefetch(Technique):
    """Reads one batch ahead in a thread, into pinned memory (https://docs.pytorch.org/docs/stable/data.html)."""

    claim: ClassVar[str] = "tokens_per_second"
    families: ClassVar[tuple[str, ...]] = NETWORKS
    standing: ClassVar[str] = "for CUDA devices; tests show that the batches are the same"
    does: ClassVar[str] = "the next batch is made while the device computes"
    refuses_when: ClassVar[str] = "where the processor computes"

    def unusable(self, machine: Machine) -> str | None:
        if machine.kind != "cuda":
            return "the CPU that would make the next batch is busy computing"
        return None

    def batches(self, batches: Windows, run: Context) -> tuple["Ahead", int]:
        return Ahead(batches, pinned=run.machine.kind == "cuda"), 1


class Ahead:
    """The same batches; the one that follows the last is begun before it is asked for."""

    def __init__(self, batches: Windows, *, pinned: bool) -> None:
        self.tokens, self.context_length = batches.tokens, batches.context_length
        self._batches, self._pinned = batches, pinned
        # One thread makes all batches: what makes them need not be safe for two.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        weakref.finalize(self, self._thread.shutdown, wait=False)
        self._last: tuple[tuple[int, int], Future[Batch]] | None = None
        self._next: tuple[tuple[int, int], Future[Batch]] | None = None

    def take(self, cursor: int, rows: int) -> Batch:
        """As the batches' own `take`, whatever is asked for; only what comes in order is faster."""
        asked = (cursor, rows)
        for known in (self._next, self._last):
            if known is not None and known[0] == asked:
                made = known[1]
                break
        else:
            made = self._begun(*asked)
            if rows == 1 and self._next is not None and self._next[0][0] == cursor:
                return made.result()  # a look at how long rows are; the batch itself comes next
        follows = (cursor + rows, rows)
        if self._next is None or self._next[0] != follows:
            self._next = follows, self._begun(*follows)
        self._last = asked, made
        return made.result()

    def _begun(self, cursor: int, rows: int) -> "Future[Batch]":
        return self._thread.submit(_made, self._batches, cursor, rows, self._pinned)


def _made(batches: Windows, cursor: int, rows: int, pinned: bool) -> Batch:
    batch = batches.take(cursor, rows)
    return batch.pin_memory() if pinned else batch
