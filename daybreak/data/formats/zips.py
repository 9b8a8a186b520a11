"""Zip: how the members of an archive are opened, and how they are found where its list of them is missing."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from daybreak.data.formats import limits
from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.formats.members import ENDS_EARLY, Member, check_count, shown_name
from daybreak.data.formats.streams import Bounded, Budget, Stream

_LOCAL = struct.Struct("<4sHHHHHIIIHH")  # the header in front of a member (APPNOTE.TXT of PKWARE, 4.3.7)
_MEMBER, _LIST = b"PK\x03\x04", b"PK\x01\x02"
_ENCRYPTED, _SIZE_BEHIND, _UTF8 = 1, 8, 1 << 11  # flags
_STORED, _DEFLATED = 0, 8
_OPENED = (_STORED, _DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)  # by zipfile
_STREAMS = (93, 95)  # Zstandard and XZ: what is packed is a file of its own, and told by its content
_OTHERS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 10: "Implode", 96: "JPEG", 97: "WavPack", 98: "PPMd"}
_FED_BYTES = 1 << 14


def listed(archive: zipfile.ZipFile, file: BinaryIO, budget: Budget) -> Iterator[Member]:
    """The files that the archive lists, in its order."""
    for info in archive.infolist():
        if info.filename and not info.is_dir():
            yield Member(
                name=name_of(info),
                size=info.file_size,
                open=lambda info=info: opened(archive, info, file, budget),  # type: ignore[misc]
            )


def name_of(info: zipfile.ZipInfo) -> str:
    """zipfile takes what is not marked as UTF-8 for code page 437, whatever the archive's language."""
    if info.flag_bits & _UTF8 or info.filename.isascii():
        return info.filename
    try:
        return shown_name(info.filename.encode("cp437"), info.filename)
    except UnicodeEncodeError:
        return info.filename


def opened(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: BinaryIO, budget: Budget) -> BinaryIO:
    """Raises Unsuitable: encrypted, or compressed in a way that is not read."""
    _check(info.flag_bits, info.compress_type)
    if info.compress_type in _STREAMS:
        return _Window(file, _body_of(info, file), info.compress_size)  # type: ignore[return-value]
    return Bounded(archive.open(info), lambda: info.compress_size, budget)  # type: ignore[return-value]


def _check(flags: int, method: int) -> None:
    if flags & _ENCRYPTED:
        raise Unsuitable("encrypted")
    if method not in (*_OPENED, *_STREAMS):
        name = _OTHERS.get(method, f"method {method}")
        raise Unsuitable(f"compressed with {name}, which is not read; 7-Zip unpacks it")


def _body_of(info: zipfile.ZipInfo, file: BinaryIO) -> int:
    """Where a member's bytes begin. Raises BadZipFile."""
    file.seek(info.header_offset)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size or header[:4] != _MEMBER:
        raise zipfile.BadZipFile("no header in front of the file")
    return info.header_offset + _LOCAL.size + sum(_LOCAL.unpack(header)[-2:])


class _Window:
    """Some bytes of a file in which others read, too."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._place, self._end = file, start, start + size

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._place
        self._file.seek(self._place)
        data = self._file.read(left if size < 0 else min(size, left))
        self._place += len(data)
        return data

    def __enter__(self) -> "_Window":
        return self

    def __exit__(self, *about: object) -> None:
        pass


# Without a list: the headers in front of the members, one after another


@dataclass(frozen=True, kw_only=True)
class _Header:
    name: str
    flags: int
    method: int
    packed: int
    size: int

    @property
    def sized(self) -> bool:
        return not self.flags & _SIZE_BEHIND or self.packed > 0


def found(stream: Stream, findings: Findings) -> Iterator[Member]:
    """The files whose headers are found from the front on. What follows one is sought behind what was read of it."""
    count = 0
    while _next_header(stream):
        count += 1
        check_count(count)
        header = _header(stream)
        if header is None:
            findings.stop(stream.name, ENDS_EARLY, f"after byte {stream.offset}")
            return
        body = _Body(stream, header, findings)
        if not header.name.endswith("/"):
            yield Member(name=header.name, size=header.size, open=lambda body=body: body.opened())  # type: ignore[misc]
        body.skip()


def _next_header(stream: Stream) -> bool:
    """Goes to the next header; False: there is none before the list or the end."""
    while ahead := stream.peek(limits.BLOCK_BYTES):
        places = [place for sign in (_MEMBER, _LIST) if (place := ahead.find(sign)) >= 0]
        if places:
            stream.read(min(places))
            return stream.peek(4) == _MEMBER
        stream.read(max(1, len(ahead) - 3))
    return False


def _header(stream: Stream) -> _Header | None:
    """None: it is cut short."""
    data = stream.read(_LOCAL.size)
    if len(data) < _LOCAL.size:
        return None
    _, _, flags, method, _, _, _, packed, size, names, extras = _LOCAL.unpack(data)
    raw, extra = stream.read(names), stream.read(extras)
    if len(raw) < names or len(extra) < extras:
        return None
    while len(extra) >= 4:
        number, length = struct.unpack_from("<HH", extra)
        if number == 1 and packed == 0xFFFFFFFF and length >= 16:  # sizes of more than 4 GB
            size, packed = struct.unpack_from("<QQ", extra, 4)
        extra = extra[4 + length :]
    return _Header(
        name=shown_name(raw, raw.decode("utf-8", "backslashreplace")),
        flags=flags,
        method=method,
        packed=packed,
        size=size,
    )


class _Body:
    """What stands behind a header: so many bytes, or deflated data up to its own end."""

    def __init__(self, stream: Stream, header: _Header, findings: Findings) -> None:
        self._stream, self._header, self._findings = stream, header, findings
        self._left = header.packed if header.sized else -1  # not known
        self._inflate = zlib.decompressobj(-15) if header.method == _DEFLATED else None
        self._begun = False

    def opened(self) -> BinaryIO:
        """Raises Unsuitable: it cannot be read from the front on."""
        header = self._header
        _check(header.flags, header.method)
        if not header.sized and self._inflate is None:
            raise Unsuitable("its size is in the part of the archive that is missing")
        if header.method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            raise Unsuitable("compressed in a way that is not read without the list of the archive")
        self._begun = True
        return Bounded(self, lambda: self._stream.offset, self._stream.budget)  # type: ignore[return-value]

    def read(self, size: int) -> bytes:
        """Raises zlib.error: damaged."""
        while True:
            wanted = _FED_BYTES if self._left < 0 else min(_FED_BYTES, self._left)
            data = self._stream.peek(wanted)
            if self._inflate is None:
                data = self._taken(data[:size])
                if wanted and not data:
                    self._ends_early()
                return data
            if self._inflate.eof:
                return b""
            out = self._inflate.decompress(data, size)
            self._taken(data[: len(data) - len(self._inflate.unused_data or self._inflate.unconsumed_tail)])
            if out:
                return out
            if not data:
                self._ends_early()
                return b""

    def _taken(self, data: bytes) -> bytes:
        self._stream.read(len(data))
        self._left -= len(data) if self._left > 0 else 0
        return data

    def _ends_early(self) -> None:
        if self._left:
            self._findings.stop(f"{self._stream.name}/{self._header.name}", ENDS_EARLY)
            self._left = 0

    def skip(self) -> None:
        """The rest, where its size is known."""
        while self._left > 0 and (block := self._stream.read(min(self._left, limits.BLOCK_BYTES))):
            self._left -= len(block)
