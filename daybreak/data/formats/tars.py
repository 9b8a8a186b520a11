"""Tar: the members of archives of every age (V7, GNU, POSIX), read from the front, over damaged places too."""

import contextlib
import functools
import io
import re
import tarfile
from collections.abc import Callable, Iterator
from typing import IO, BinaryIO, Self

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.findings import SPECIAL, Findings, Stopped, Unsuitable
from daybreak.data.formats.folders import MARKS, outside_text
from daybreak.data.formats.format import BinaryFormat, Read
from daybreak.data.formats.members import ENDS_EARLY, MARK_BYTES, Member, check_count, member_documents, shown_name
from daybreak.data.formats.streams import Bounded, Stream, expected_errors

_BLOCK = 512
_SUM = slice(148, 156)  # of a header, where the sum of its bytes is
_OCTAL = re.compile(rb"[ \0]*[0-7]{1,8}[ \0]*")
_HEADER_BYTES = 1 << 24  # most bytes of a name or of other facts in front of a member
_DAMAGED = "damaged places in tar archives"


def tar_documents(stream: Stream, findings: Findings, read: Read) -> Iterator[Document]:
    """Of the regular files in it, in its order; links and devices are passed over. Raises Unsuitable: nothing in it."""
    ours: dict[str, str] = {}
    if again := stream.again():
        ours = _not_ours(again)
        stream = stream.again() or stream
    archive = _Archive(stream, findings)
    yield from member_documents(stream, archive.files(), findings, read, ours)
    if not archive.count and archive.lost:
        raise Unsuitable("a damaged tar archive")


def _not_ours(stream: Stream) -> dict[str, str]:
    """What in it is no text of the user's, by a scan of all: the file that identifies a folder may come last."""
    names, marks = list[str](), dict[str, bytes]()
    expected: tuple[type[Exception], ...] = (Unsuitable, Stopped, *expected_errors())  # reading will say so
    with contextlib.suppress(*expected):
        for member in _Archive(stream, Findings()).files():
            names.append(member.name)
            if member.name.endswith(MARKS):
                marks[member.name] = member.open().read(MARK_BYTES)
    return outside_text(names, lambda name: marks.get(name, b""))


class _Archive:
    """The regular files of an archive, and what was lost of it: told to the findings, a damaged stretch each."""

    def __init__(self, stream: Stream, findings: Findings) -> None:
        self._stream, self._findings = stream, findings
        self._file = _Forward(stream)
        self.count = self.lost = 0  # members; bytes in blocks that are no header where one has to be
        self._told = 0

    def files(self) -> Iterator[Member]:
        file, stream = self._file, self._stream
        archive = _Recovering(file, self)
        while member := archive.next():
            archive.members = []  # type: ignore[attr-defined]  # it would keep all
            self.count += 1
            check_count(self.count)
            name = shown_name(member.name.encode("utf-8", "surrogateescape"), member.name)
            if member.issparse() and member.isreg():
                # Holes unpack to zeros without end.
                opened = functools.partial(archive.extractfile, member)
                yield Member(name=name, size=member.size, open=functools.partial(_bounded, opened, stream))
            elif member.isfile():
                body = functools.partial(_Body, file, member.size)
                yield Member(name=name, size=member.size, open=body)  # type: ignore[arg-type]
            elif not member.isdir():
                self._findings.leave_out(f"{stream.name}/{name}", SPECIAL)
        self.tell()
        if file.short:
            self._findings.stop(stream.name, ENDS_EARLY, f"after byte {file.tell()}")

    def tell(self) -> None:
        """Tells of a damaged stretch that ends here."""
        if self.lost > self._told:
            self._findings.leave_part(_DAMAGED, self.lost - self._told)
            self._told = self.lost


def _bounded(opened: Callable[[], IO[bytes] | None], stream: Stream) -> BinaryIO:
    return Bounded(opened() or io.BytesIO(), lambda: stream.offset, stream.budget)  # type: ignore[return-value]


class _Forward:
    """A stream as a file that is only sought forwards."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._start = stream, stream.offset
        self.short = False  # its end came before that of a member

    def tell(self) -> int:
        return self._stream.offset - self._start

    def read(self, size: int) -> bytes:
        """As many bytes as there are up to `size`; of a longer header only the beginning."""
        wanted = min(size, _HEADER_BYTES)
        parts = []
        while wanted and (block := self._stream.read(wanted)):
            parts.append(block)
            wanted -= len(block)
        return b"".join(parts)

    def seek(self, offset: int) -> None:
        """Raises tarfile.ReadError: backwards."""
        left = offset - self.tell()
        if left < 0:
            raise tarfile.ReadError("a member begins before the end of the last one")
        while left and (block := self._stream.read(min(left, limits.BLOCK_BYTES))):
            left -= len(block)
        self.short = self.short or left > 0


class _Body:
    """The bytes of a member, as far as they are there."""

    def __init__(self, file: _Forward, size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(min(wanted, limits.BLOCK_BYTES))
        self._left -= len(data)
        if wanted and not data:
            self._file.short = True
            self._left = 0
        return data

    def __enter__(self) -> "_Body":
        return self

    def __exit__(self, *about: object) -> None:
        pass


class _Recovering(tarfile.TarFile):
    """Goes on behind a header that is damaged, with the next block that is one; two archives in a row are read, too."""

    def __init__(self, file: _Forward, archive: _Archive) -> None:
        self._forward = file

        class Header(tarfile.TarInfo):
            @classmethod
            def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
                try:
                    header = super().frombuf(buf, encoding, errors)
                except tarfile.HeaderError:
                    if len(buf) < _BLOCK:
                        file.short = file.short or len(buf) > 0
                    elif buf.strip(b"\0"):
                        archive.lost += len(buf)
                    raise
                archive.tell()
                return header

        super().__init__(
            fileobj=file,  # type: ignore[arg-type]
            mode="r",
            tarinfo=Header,
            ignore_zeros=True,
            encoding="utf-8",
            errors="surrogateescape",
        )

    def next(self) -> tarfile.TarInfo | None:
        while True:
            try:
                return super().next()
            except tarfile.TarError:
                if self._forward.short:
                    return None
                self.offset = -(-self._forward.tell() // _BLOCK) * _BLOCK
                self._forward.seek(self.offset)


def _is_tar(head: bytes) -> bool:
    """By the magic, or by the sum of the first header: the oldest archives have no magic."""
    if len(head) < _BLOCK:
        return False
    if head[257:262] == b"ustar":
        return True
    told = _OCTAL.fullmatch(head[_SUM])
    return told is not None and int(head[_SUM].strip(b" \0"), 8) in tarfile.calc_chksums(head)  # type: ignore[attr-defined]


TAR = BinaryFormat(name="tar", recognize=_is_tar, documents=tar_documents)
