"""Packings: a record each of how compressed data is recognised, and unpacked as far as it goes."""

import lzma
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from daybreak.core.errors import UsageError
from daybreak.data.formats import limits
from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.formats.streams import Bounded, Readable, Stream

BEHIND = "bytes behind the end of compressed data"
CUT_SHORT = "its compressed data ends too early"
DAMAGED = "its compressed data is damaged"
_HEAD_BYTES = 512  # of what is packed, by which it is recognised
_FED_BYTES = 1 << 14  # given to a decompressor at a time: what one leaves over is copied
_ZSTD_FED_BYTES = 1 << 10  # it has no limit on what comes out: 128 KB of every four bytes at most
_LZMA_SIZES = {1 << n for n in range(12, 32)} | {(1 << n) + (1 << (n - 1)) for n in range(12, 31)} | {0xFFFFFFFF}
_MOST_LZMA_BYTES = 1 << 38  # unpacked, as xz believes of a header


class Part(Protocol):
    """A decompressor of one packed part, as those of the modules bz2 and lzma are."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Packing:
    """A way of compressing one stream of bytes."""

    name: str
    recognize: Callable[[bytes, str], bool]  # by the first bytes and, where they do not tell, the name
    part: Callable[[bytes], Part] | None = None  # of what begins so; parts may follow one another
    file: Callable[[Stream], Readable] | None = None  # for a library that reads all of them
    fed: int = _FED_BYTES


class _Zlib:
    def __init__(self, bits: int) -> None:
        self._one = zlib.decompressobj(bits)
        self._full = False  # more may be waiting, though all input is taken

    @property
    def eof(self) -> bool:
        return self._one.eof

    @property
    def unused_data(self) -> bytes:
        return self._one.unused_data

    @property
    def needs_input(self) -> bool:
        return not (self._full or self._one.unconsumed_tail)

    def decompress(self, data: bytes, most: int) -> bytes:
        out = self._one.decompress(self._one.unconsumed_tail + data, most)
        self._full = len(out) == most
        return out


class _Zstd:
    needs_input = True

    def __init__(self, head: bytes) -> None:
        import zstandard

        facts = zstandard.get_frame_parameters(head)
        if facts.window_size > limits.ZSTD_WINDOW_BYTES:
            raise Unsuitable("compressed with a window over 128 MB; unpack it with `zstd -d --long=31`")
        if facts.dict_id:
            raise Unsuitable(
                "compressed with zstandard and a dictionary that is not in the file; "
                "unpack it with `zstd -d -D DICTIONARY`"
            )
        self._one = zstandard.ZstdDecompressor(max_window_size=limits.ZSTD_WINDOW_BYTES).decompressobj()

    @property
    def eof(self) -> bool:
        return bool(self._one.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._one.unused_data)

    def decompress(self, data: bytes, _: int) -> bytes:
        return self._one.decompress(data)


class _Skipped:
    """A frame of zstandard or LZ4 that holds no data: its size is in its header."""

    needs_input = True

    def __init__(self, head: bytes) -> None:
        self._left = 8 + struct.unpack_from("<I", head, 4)[0] if len(head) >= 8 else 1 << 32
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        return self._left == 0

    def decompress(self, data: bytes, _: int) -> bytes:
        own = min(self._left, len(data))
        self._left -= own
        self.unused_data = data[own:]
        return b""


def _bz2(_: bytes) -> Part:
    import bz2

    return bz2.BZ2Decompressor()


def _zstd(head: bytes) -> Part:
    return _Zstd(head) if head[0] == 0x28 else _Skipped(head)


def _of_pyarrow(codec: str) -> Callable[[Stream], Readable]:
    def opened(stream: Stream) -> Readable:
        try:
            import pyarrow
        except ImportError:
            raise UsageError(
                "reading this compression needs the library pyarrow",
                received=f"{stream.name}: {codec}",
                attempt="run pip install '.[parquet]' in the checkout, or unpack the file",
            ) from None
        source = pyarrow.PythonFile(_Source(stream), mode="r")
        return _Arrow(pyarrow.CompressedInputStream(source, codec), pyarrow.ArrowException)

    return opened


class _Source:
    """A stream as a file that pyarrow reads."""

    closed = False

    def __init__(self, stream: Stream) -> None:
        self.read = stream.read

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


class _Arrow:
    """A file of pyarrow, whose errors are those of reading files."""

    def __init__(self, file: Readable, error: type[Exception]) -> None:
        self._file, self._error = file, error

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except self._error as error:
            raise OSError(str(error)) from None


class _Unpacked:
    """All that can be unpacked. What is damaged, cut short or behind the end is told to the findings.

    Raises EOFError and the errors of decompressors where nothing at all can be unpacked.
    """

    def __init__(self, stream: Stream, packing: Packing, findings: Findings, told: set[str]) -> None:
        self._stream, self._packing, self._findings = stream, packing, findings
        self._told = told  # reasons that were told, by whichever reading of the same data came first
        self._file = packing.file(stream) if packing.file else None
        self._part: Part | None = None
        self._begun = self._given = self._ended = False
        self._rest = b""  # packed, not yet given to a decompressor
        self._ready, self._place = b"", 0  # unpacked, not yet asked for

    def read(self, size: int) -> bytes:
        if self._place < len(self._ready):
            data = self._ready[self._place : self._place + size]
            self._place += len(data)
            return data
        try:
            data = self._next(size) if not self._ended else b""
        except EOFError as error:
            data = self._stopped(CUT_SHORT, error)
        except _errors() as error:
            data = self._stopped(DAMAGED, error)
        self._given = self._given or bool(data)
        if len(data) > size:
            self._ready, self._place = data, size
            return data[:size]
        return data

    def _stopped(self, reason: str, error: Exception) -> bytes:
        """The end of what can be read. Raises the error: nothing was read."""
        if not self._given:
            raise error
        self._ended = True
        if reason not in self._told:
            self._told.add(reason)
            self._findings.stop(self._stream.name, reason, str(error))
        return b""

    def _next(self, size: int) -> bytes:
        if self._file:
            return self._file.read(size)
        while self._part or self._begins():
            part = self._part
            assert part is not None
            data = b""
            if part.needs_input:
                data = self._rest[: self._packing.fed] or self._stream.read(self._packing.fed)
                self._rest = self._rest[len(data) :]
                if not data:
                    raise EOFError(f"the end is missing after byte {self._stream.offset}")
            data = part.decompress(data, size)
            if part.eof:
                self._rest = part.unused_data + self._rest
                self._part = None
            if data:
                return data
        self._ended = True
        return b""

    def _begins(self) -> bool:
        """Whether another part begins here; zeros between parts and behind them are nothing."""
        block = self._rest
        self._rest = b""
        while block := block or self._stream.read(_HEAD_BYTES):
            self._rest = (self._rest + block).lstrip(b"\0" if self._begun else b"")
            block = b""
            if len(self._rest) >= _HEAD_BYTES:
                break
        if self._rest and (not self._begun or self._packing.recognize(self._rest, "")):
            assert self._packing.part is not None
            self._part, self._begun = self._packing.part(self._rest), True
            return True
        behind = len(self._rest) + sum(map(len, self._stream.blocks()))
        if behind and BEHIND not in self._told:
            self._told.add(BEHIND)
            self._findings.leave_part(BEHIND, behind)
        self._rest = b""
        return False


def _errors() -> tuple[type[Exception], ...]:
    """Of damaged data."""
    import zstandard

    return zlib.error, lzma.LZMAError, OSError, zstandard.ZstdError


def _starts(pattern: bytes) -> Callable[[bytes, str], bool]:
    magic = re.compile(pattern)
    return lambda head, _: magic.match(head) is not None


def _is_lzma(head: bytes, name: str) -> bool:
    """The old format of LZMA has no magic, so that its header has to make sense, as xz asks of it."""
    if len(head) < 18 or head[0] >= 225 or head[13] or (head[0] != 0x5D and not name.lower().endswith(".lzma")):
        return False
    window, size = struct.unpack_from("<IQ", head, 1)
    return window in _LZMA_SIZES and (size == (1 << 64) - 1 or size < _MOST_LZMA_BYTES)


def _is_zlib(head: bytes, _: str) -> bool:
    """Two bytes are a short magic, which old text may begin with, too: what follows has to be deflated data."""
    if head[:2] not in (b"x\x01", b"x\x9c", b"x\xda"):
        return False
    try:
        return bool(zlib.decompressobj().decompress(head)) or len(head) == _HEAD_BYTES
    except zlib.error:
        return False


def _is_brotli(head: bytes, name: str) -> bool:
    """Nothing but the name tells it from other binary data; a text of that name is one."""
    if not name.lower().endswith(".br"):
        return False
    try:
        head[:-3].decode()
    except UnicodeDecodeError:
        return True
    return b"\0" in head


PACKINGS = (
    Packing(name="gz", recognize=_starts(rb"\x1f\x8b\x08"), part=lambda _: _Zlib(31)),
    Packing(
        name="xz",
        recognize=_starts(rb"\xfd7zXZ\x00"),
        part=lambda _: lzma.LZMADecompressor(lzma.FORMAT_XZ, limits.XZ_MEMORY_BYTES),
    ),
    Packing(name="bz2", recognize=_starts(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), part=_bz2),
    Packing(
        name="zst", recognize=_starts(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), part=_zstd, fed=_ZSTD_FED_BYTES
    ),
    Packing(
        name="lzma",
        recognize=_is_lzma,
        part=lambda _: lzma.LZMADecompressor(lzma.FORMAT_ALONE, limits.XZ_MEMORY_BYTES),
    ),
    Packing(name="zlib", recognize=_is_zlib, part=lambda _: _Zlib(15)),
    Packing(name="lz4", recognize=_starts(rb"\x04\x22\x4d\x18"), file=_of_pyarrow("lz4")),
    Packing(name="brotli", recognize=_is_brotli, file=_of_pyarrow("brotli")),
)


def packing(head: bytes, name: str) -> Packing | None:
    """How a stream is packed, told by its first bytes, and by its name only where they do not tell."""
    return next((one for one in PACKINGS if one.recognize(head, name)), None)


def unpacked(stream: Stream, packing: Packing, findings: Findings, told: set[str] | None = None) -> Stream:
    """The unpacked stream. Raises Unsuitable: nested too deep, or a dictionary is missing; UsageError: a library is.

    told: what the findings know already of this data, if it is unpacked once more.
    """
    known = set[str]() if told is None else told
    file = _Unpacked(stream, packing, findings, known)
    inner = stream.inside(stream.name, Bounded(file, lambda: stream.offset, stream.budget))  # type: ignore[arg-type]
    inner.unpacks(stream, lambda outer: unpacked(outer, packing, findings, known))
    return inner
