"""Finite: NaN and Infinity in long JSON, which its standard has not and Python writes, become null on the way."""

import re
from collections.abc import Iterable, Iterator

# A string, whole or up to the end of the block, or one of the names outside of strings.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[-+]?\b(?:NaN|Infinity|nan|inf)\b', re.S)
_IN_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.S)
_NAMES = (b"NaN", b"Infinity", b"nan", b"inf")


def finite(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks with null in place of each such number; strings stay as they are."""
    inside = False  # whether the block begins in a string
    rest = b""  # of the last block: the beginning of an escape or of a name
    for block in blocks:
        block = rest + block
        kept = _unfinished(block)
        block, rest = block[: len(block) - kept], block[len(block) - kept :]
        quotes = _quotes(block)
        if any(name in block for name in _NAMES):
            start = _IN_STRING.match(block).end() if inside else 0  # type: ignore[union-attr]
            start += inside and start < len(block)
            block = block[:start] + _TOKEN.sub(_null, block[start:])
        inside ^= quotes % 2 == 1
        if block:
            yield block
    if rest:
        yield _TOKEN.sub(_null, rest) if not inside else rest


def _unfinished(block: bytes) -> int:
    """How many bytes at the end may go on in the next block: a backslash, or letters."""
    end = len(block)
    slashes = end - len(block.rstrip(b"\\"))
    if slashes:
        return slashes % 2
    tail = block[-10:]
    return len(tail) - len(tail.rstrip(b"-+NaInfityn"))


def _quotes(block: bytes) -> int:
    """Quotes that open or close a string."""
    if b"\\" in block:
        block = block.replace(b"\\\\", b"").replace(b'\\"', b"")
    return block.count(b'"')


def _null(token: re.Match[bytes]) -> bytes:
    return token[0] if token[0][:1] == b'"' else b"null"
