"""Streams: the bytes of a file, or of what is inside it, within the limits of unpacking."""

import io
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from daybreak.data.formats import limits
from daybreak.data.formats.files import Watched
from daybreak.data.formats.findings import Stopped, Unsuitable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Budget:
    """How many bytes one file may unpack to, however its packings are nested."""

    def __init__(self, size: int) -> None:
        self.unpacked = 0
        self.most = min(limits.UNPACKED_BYTES, max(limits.RATIO_FROM_BYTES, limits.PACKED_RATIO * size))

    def take(self, size: int) -> None:
        """Raises Stopped: the file has unpacked to more than it may."""
        self.unpacked += size
        if self.unpacked > self.most:
            if self.most == limits.UNPACKED_BYTES:
                raise Stopped(f"it unpacks to more than {limits.UNPACKED_BYTES // 10**9} GB")
            raise Stopped(f"it unpacks to more than {limits.PACKED_RATIO} times its size")

    def unused(self) -> "Budget":
        """One as this was at first."""
        fresh = Budget(0)
        fresh.most = self.most
        return fresh


class Stream:
    """Bytes read once from the front, with a look ahead; named as the notes name it."""

    def __init__(self, name: str, file: BinaryIO, budget: Budget, *, depth: int = 0, seekable: bool = False) -> None:
        self.name, self.budget, self.depth = name, budget, depth
        self._file, self._seekable = file, seekable
        self._again: Callable[[], Stream | None] | None = self._rewound if seekable else None
        self._ahead, self._place = b"", 0  # looked at, and how much of it is read
        self.offset = 0  # bytes read so far

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end; they stay to be read."""
        have = len(self._ahead) - self._place
        if have < size:
            parts = [self._ahead[self._place :]]
            while have < size and (block := self._file.read(min(size - have, limits.BLOCK_BYTES))):
                parts.append(block)
                have += len(block)
            self._ahead, self._place = b"".join(parts), 0
        return self._ahead[self._place : self._place + size]

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            data = self._ahead[self._place :] + self._file.read()
            self._ahead, self._place = b"", 0
        elif self._ahead:
            data = self._ahead[self._place : self._place + size]
            self._place += len(data)
            if self._place == len(self._ahead):
                self._ahead, self._place = b"", 0
        else:
            data = self._file.read(size)
        self.offset += len(data)
        return data

    def blocks(self) -> Iterator[bytes]:
        if self._ahead:
            yield self.read(len(self._ahead))
        while block := self.read(limits.BLOCK_BYTES):
            yield block

    def whole(self, most: int) -> bytes:
        """All of it. Raises Unsuitable: it is longer."""
        data = self.peek(most + 1)
        if len(data) > most:
            raise Unsuitable(f"over {most // 1_000_000} MB, which is too long to be read at once")
        return self.read(len(data))

    def again(self) -> "Stream | None":
        """The same bytes from the front, for a look through them all before this stream is read; None: only by holding
        them. Whoever has looked takes another one to read, for they share the file.
        """
        return self._again() if self._again else None

    @property
    def is_file(self) -> bool:
        """Whether it is a file itself and not something packed."""
        return self._seekable

    @property
    def path(self) -> Path | None:
        """Of the file itself; None: it is packed, or no file of this machine."""
        return self._file.path if self._seekable and isinstance(self._file, Watched) else None

    def seekable(self) -> BinaryIO:
        """A file to go back and forth in: the file itself, or all of a packed one. Raises Unsuitable: that is long."""
        if self._seekable:
            self._file.seek(0)
            return self._file
        return io.BytesIO(self.whole(limits.HELD_BYTES))

    def unpacks(self, outer: "Stream", unpack: Callable[["Stream"], "Stream"]) -> None:
        """This stream is what another one unpacks to, and may be had again as often as that one."""
        self._again = lambda: unpack(again) if (again := outer.again()) else None

    def _rewound(self) -> "Stream":
        self._file.seek(0)
        return Stream(self.name, self._file, self.budget.unused(), depth=self.depth, seekable=True)

    def inside(self, name: str, file: BinaryIO) -> "Stream":
        """The stream of a file packed in this one. Raises Unsuitable: nested too deep."""
        if self.depth >= limits.DEPTH:
            raise Unsuitable(f"compressed more than {limits.DEPTH} levels deep")
        return Stream(name, file, self.budget, depth=self.depth + 1)


class Readable(Protocol):
    """A file that is read from its beginning on."""

    def read(self, size: int, /) -> bytes: ...


class Bounded(io.RawIOBase):
    """Unpacked bytes, counted against the bytes that were packed and against the file's budget."""

    def __init__(self, file: Readable, packed: Callable[[], int], budget: Budget) -> None:
        self._unpacking, self._packed, self._budget = file, packed, budget
        self._size = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:  # type: ignore[override]
        if size < 0:
            return b"".join(iter(lambda: self.read(limits.BLOCK_BYTES), b""))
        data: bytes = self._unpacking.read(size)
        self._size += len(data)
        self._budget.take(len(data))
        if self._size > max(limits.RATIO_FROM_BYTES, limits.PACKED_RATIO * self._packed()):
            raise Stopped(f"it unpacks to more than {limits.PACKED_RATIO} times its size")
        return data

    def readinto(self, buffer: "WriteableBuffer") -> int:
        with memoryview(buffer) as view:
            data = self.read(len(view))
            view[: len(data)] = data
        return len(data)


def expected_errors() -> tuple[type[Exception], ...]:
    """Exceptions of reading and unpacking a file that is damaged, gone or not readable for this user."""
    import tarfile
    import zipfile
    import zlib

    errors: list[type[Exception]] = [OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError]
    errors += [zipfile.BadZipFile, NotImplementedError, UnicodeError, MemoryError, RecursionError]
    try:
        import zstandard
    except ImportError:
        return tuple(errors)
    return (*errors, zstandard.ZstdError)
