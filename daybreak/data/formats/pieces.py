"""Pieces: long text cut at good places, so that the pieces join up to exactly the text."""

import re
import zlib
from collections.abc import Iterable, Iterator

WHOLE = 1 << 13  # a text file up to here is one document
PIECE = 1 << 11  # longer ones are cut at a good place after this
GATHERED = 7 << 10  # and before this, where there is one
AROUND = 16  # bytes on both sides that choose among good places
LONGEST_PIECE = 1 << 14
WHOLE_ROW = 1 << 16  # a row is a document; only a book in a row is cut
_BLANK_LINE = re.compile(rb"\n[ \t\r]*\n(?:[ \t\r]*\n)*")
_LINE_BREAK = re.compile(rb"\n")


def pieces(blocks: Iterable[bytes], whole: int) -> Iterator[bytes]:
    """Text of up to `whole` bytes as it is; longer text in pieces that join up to exactly it, with whole characters."""
    data, start = b"", 0
    cutting = False
    for block in blocks:
        data, start = data[start:] + block, 0
        while len(data) - start > (LONGEST_PIECE if cutting else max(whole, LONGEST_PIECE)):
            cutting = True
            end = _cut(data, start)
            yield data[start:end]
            start = end
    while len(data) - start > (WHOLE if cutting else whole):
        cutting = True
        end = _cut(data, start)
        yield data[start:end]
        start = end
    if start < len(data):
        yield data[start:]


def _cut(data: bytes, start: int) -> int:
    """The best place to end a piece: a blank line, a line break, a space, or anywhere between two characters.

    Of several blank lines or line breaks, what stands around them chooses: then a text and its near-copy are cut at
    the same places, and their pieces can be told to be copies (Muthitacharoen, Chen and Mazieres 2001).
    """
    good = range(start + PIECE, min(start + GATHERED, len(data)))
    for form in (_BLANK_LINE, _LINE_BREAK):
        ends = [found.end() for found in form.finditer(data, good.start, good.stop)]
        if ends:
            return min(ends, key=lambda end: zlib.crc32(data[end - AROUND : end + AROUND]))
    limit = min(start + LONGEST_PIECE, len(data))
    line = data.find(b"\n", start + PIECE, limit)
    if line >= 0:
        return line + 1
    space = data.rfind(b" ", start + PIECE, limit)
    if space >= 0:
        return space
    end = limit
    while end < len(data) and limit - end < 3 and data[end] & 0xC0 == 0x80:
        end -= 1
    return end


def whole_lines(blocks: Iterable[bytes], longest: int, lost: list[int]) -> Iterator[bytes]:
    """Blocks that end where a line does; an empty one stands in the place of a line of more than `longest` bytes.

    lost: is given the bytes of such a line, before the empty block.
    """
    waiting: list[bytes] = []
    size = 0
    for block in blocks:
        first = block.find(b"\n") + 1
        if not first:
            size += len(block)
            waiting = [*waiting, block] if size <= longest else []
            continue
        start, end = 0, block.rfind(b"\n") + 1
        if size + first > longest:
            lost.append(size + first)
            yield b""
            waiting, start = [], first
        if waiting or start < end:
            yield b"".join([*waiting, block[start:end]])
        size = len(block) - end
        waiting = [block[end:]] if size else []
    if size > longest:
        lost.append(size)
        yield b""
    elif waiting:
        yield b"".join(waiting)


def line_blocks(blocks: Iterable[bytes], longest: int) -> Iterator[bytes]:
    """The same bytes in blocks that end where a line does, or anywhere in a line of more than `longest` bytes."""
    rest = b""
    for block in blocks:
        data = rest + block
        end = data.rfind(b"\n") + 1
        if not end and len(data) < longest:
            rest = data
            continue
        end = end or len(data)
        yield data[:end]
        rest = data[end:]
    if rest:
        yield rest


def lines(blocks: Iterable[bytes], longest: int, lost: list[int] | None = None) -> Iterator[bytes]:
    """Lines with their ends (a line feed); of one that is longer, an empty line stands in its place.

    lost: is given the bytes of such a line, before the empty line.
    """
    lost = [] if lost is None else lost
    waiting: list[bytes] = []
    size = 0
    for block in blocks:
        start = 0
        while (end := block.find(b"\n", start) + 1) > 0:
            size += end - start
            if size > longest:
                lost.append(size)
                yield b""
            elif waiting:
                waiting.append(block[start:end])
                yield b"".join(waiting)
            else:
                yield block[start:end]
            waiting, size, start = [], 0, end
        if start < len(block):
            size += len(block) - start
            if size > longest:
                waiting = []
            else:
                waiting.append(block[start:] if start else block)
    if size > longest:
        lost.append(size)
        yield b""
    elif waiting:
        yield b"".join(waiting)
