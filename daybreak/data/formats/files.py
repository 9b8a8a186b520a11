"""Files: one that is read as it was when it was opened, and tells when it changed in the meantime."""

import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.data.formats.findings import Unsuitable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Watched(io.RawIOBase):
    """A regular file up to its size when it was opened. Raises OSError, Unsuitable: it is no regular file."""

    def __init__(self, path: Path) -> None:
        # Not to wait: a pipe that has taken a file's place would never begin.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        self._file = open(descriptor, "rb", buffering=0)  # noqa: SIM115
        self.path, self._opened = path, os.fstat(descriptor)
        if not stat.S_ISREG(self._opened.st_mode):
            self._file.close()
            raise Unsuitable("not a regular file")
        self.size = self._opened.st_size
        self.offset = 0  # of the next byte

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        left = max(0, self.size - self.offset)
        data = self._file.read(left if size is None or size < 0 else min(size, left)) or b""
        self.offset += len(data)
        return data

    def readinto(self, buffer: "WriteableBuffer") -> int:
        with memoryview(buffer) as view:
            data = self.read(len(view))
            view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self.offset, self.size)[whence]
        self.offset = self._file.seek(max(0, base + offset))
        return self.offset

    def tell(self) -> int:
        return self.offset

    def close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
        super().close()

    def changed(self) -> str:
        """What happened to the file since it was opened, or nothing."""
        try:
            now = self.path.stat()
        except OSError:
            return "it vanished while it was read"
        if (now.st_dev, now.st_ino) != (self._opened.st_dev, self._opened.st_ino):
            return "it was replaced while it was read; the old one was read"
        if now.st_size > self.size:
            return "it grew while it was read; it was read up to its old size"
        if now.st_size < self.size:
            return "it shrank while it was read"
        return "it was written to while it was read" if now.st_mtime_ns != self._opened.st_mtime_ns else ""
