"""Which documents are held out: those whose hash is smallest, so that no run on any machine trains on them."""

import hashlib
import heapq
import math

import numpy as np

from daybreak.core import units
from daybreak.core.errors import DataError

HELDOUT_SHARE = 0.02  # share of the bytes
LEAST_BYTES = 20_000  # fewer say little about a model
MOST_BYTES = 5_000_000  # more say nothing new
LEAST_TRAINING_BYTES = 20_000


def digest(text: bytes) -> bytes:
    """16 bytes that stand for a document, the same on every machine."""
    return hashlib.blake2b(text, digest_size=16).digest()


def share(document: bytes) -> float:
    """Where a document, by its `digest`, falls in [0, 1), uniformly. Exact duplicates fall on the same side."""
    return (int.from_bytes(document[:8], "big") >> 11) * 2.0**-53


def shares(digests: np.ndarray) -> np.ndarray:
    """`share` of many: uint8 [documents, 16] to float64 [documents]."""
    first = np.ascontiguousarray(digests[:, :8]).view(">u8").reshape(-1)
    return (first.astype(np.uint64) >> np.uint64(11)) * 2.0**-53


class Draw:
    """Gathers the documents of a reading and says below which share they are held out.

    How many bytes there will be is not known before the end. Of what was seen, only the smallest shares that could
    still be chosen are kept.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self.documents = 0
        self._waiting: list[float] = []  # negative shares, as a heap: the largest share is first
        self._sizes: dict[float, tuple[int, int]] = {}  # bytes and documents; duplicates are one entry
        self._waiting_bytes = 0

    def add(self, share: float, size: int) -> None:
        self.bytes += size
        self.documents += 1
        if share in self._sizes:
            known, count = self._sizes[share]
            self._sizes[share] = known + size, count + 1
        elif self._waiting_bytes < MOST_BYTES or share < -self._waiting[0]:
            heapq.heappush(self._waiting, -share)
            self._sizes[share] = size, 1
        else:
            return
        self._waiting_bytes += size
        while self._waiting_bytes - self._sizes[-self._waiting[0]][0] >= MOST_BYTES:
            self._waiting_bytes -= self._sizes.pop(-heapq.heappop(self._waiting))[0]

    def threshold(self) -> float:
        """Documents with a share below it are held out. Raises DataError: too little text to take some away."""
        aim = min(max(HELDOUT_SHARE * self.bytes, LEAST_BYTES), MOST_BYTES)
        taken, threshold = 0, 0.0
        for share in sorted(self._sizes):
            size = self._sizes[share][0]
            if taken >= aim or (taken >= LEAST_BYTES and taken + size > MOST_BYTES):
                break
            taken += size
            threshold = math.nextafter(share, 2.0)
        if self.bytes - taken < max(LEAST_TRAINING_BYTES, taken) or taken < LEAST_BYTES:
            enough = 3 * LEAST_BYTES  # documents are whole, so the parts are not exactly as small as they may be
            what = "too little text" if self.bytes < enough else "too much of the text in too few different documents"
            raise DataError(
                f"there is {what} to train on one part and to test on another",
                received=f"{units.size(self.bytes)} in {self.documents} documents, of which "
                f"{units.size(taken)} would be held out",
                attempt=f"more text (at least {units.size(enough)}), or a file to test on: `--heldout FILE`",
            )
        return threshold

    def heldout(self, threshold: float) -> tuple[int, int]:
        """Documents and bytes below a threshold that `threshold` gave."""
        chosen = [sizes for share, sizes in self._sizes.items() if share < threshold]
        return sum(count for _, count in chosen), sum(size for size, _ in chosen)
