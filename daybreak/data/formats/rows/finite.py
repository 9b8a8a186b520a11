"""Finite: numbers that parsers of long JSON refuse (NaN, Infinity, more digits than fit) become null on the way."""

import re
from collections.abc import Iterable, Iterator

# A string, whole or up to the end of the block, or such a number outside of strings.
_NUMBER = rb"[-+]?\b(?:NaN|Infinity|nan|inf)\b|(?<![\d.])-?\d{19,}(?![\d.eE])|-?\d[\d.]*[eE]\+?\d{3,}"
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|' + _NUMBER, re.S)
_IN_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.S)
_PERHAPS = re.compile(rb"NaN|Infinity|nan|inf|\d{19}|\d[eE]\+?\d{3}")
_GOES_ON = b"-+.NaInfityeE0123456789"  # what may go on in the next block
_LONGEST = 6000  # digits of a number that are kept together


def finite(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks with null in place of each such number; strings stay as they are."""
    inside = False  # whether the block begins in a string
    rest = b""  # of the last block: the beginning of an escape or of a number
    for block in blocks:
        block = rest + block
        kept = _unfinished(block)
        block, rest = block[: len(block) - kept], block[len(block) - kept :]
        quotes = _quotes(block)
        if _PERHAPS.search(block):
            start = _IN_STRING.match(block).end() if inside else 0  # type: ignore[union-attr]
            start += inside and start < len(block)
            block = block[:start] + _TOKEN.sub(_null, block[start:])
        inside ^= quotes % 2 == 1
        if block:
            yield block
    if rest:
        yield _TOKEN.sub(_null, rest) if not inside else rest


def _unfinished(block: bytes) -> int:
    """How many bytes at the end may go on in the next block: a backslash, or letters and digits."""
    end = len(block)
    slashes = end - len(block.rstrip(b"\\"))
    if slashes:
        return slashes % 2
    tail = block[-_LONGEST:]
    return len(tail) - len(tail.rstrip(_GOES_ON))


def _quotes(block: bytes) -> int:
    """Quotes that open or close a string."""
    if b"\\" in block:
        block = block.replace(b"\\\\", b"").replace(b'\\"', b"")
    return block.count(b'"')


def _null(token: re.Match[bytes]) -> bytes:
    return token[0] if token[0][:1] == b'"' else b"null"
