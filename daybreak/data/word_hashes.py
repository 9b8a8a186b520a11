"""Word hashes: the words of a text as hashes in an array, each Chinese character a word; for shingles and repeats."""

import functools
import hashlib
import re
import unicodedata
from collections.abc import Sequence

import numpy as np

# A word's bytes are taken eight at a time, so that arithmetic is on words and not on characters. Rows of words have a
# polynomial hash modulo 2^64, taken from running sums: an odd base has an inverse there, so any row's hash is one
# difference and one product (Karp and Rabin 1987). The mixing is splitmix64's (Steele, Lea and Flood 2014).
_BASE = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
_LETTER, _ALONE = 1, 2
_ALONE_RANGES = (
    (0x2E80, 0x303F),
    (0x3040, 0x30FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)
_ALPHANUMERIC = re.compile(r"[^\W_]+")
_WITH_MARKS = (range(0x300, 0x3100), range(0xA600, 0xAC00), range(0xFB00, 0xFB50), range(0xFE00, 0xFE30))
_ASCII = bytes(range(0x80))
_MOST_PARTS = 4  # of eight bytes, before a word is so long that it is hashed by itself


def hashes(text: str) -> np.ndarray:
    """uint64 [words]: runs of letters and digits whatever their case, and Chinese and kana characters, each a word."""
    return _hashes(_lower_case(text))[0]


def hashes_of_each(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The hashes of all texts one after the other, and int64 [texts]: words in each. Short ones are faster so."""
    lowered = [_lower_case(text) for text in texts]
    found, starts, _ = _hashes(b"\n".join(lowered))
    ends = np.cumsum([len(data) + 1 for data in lowered], dtype=np.int64)
    return found, np.diff(np.searchsorted(starts, ends), prepend=0)


def hashes_and_alone(text: str) -> tuple[np.ndarray, np.ndarray]:
    """The hashes, and bool [words]: which are Chinese or kana characters, words alone."""
    found, _, alone = _hashes(_lower_case(text))
    return found, alone


def runs(words: np.ndarray, length: int) -> np.ndarray:
    """uint64 [words - length + 1]: a hash of every `length` words in a row; one of all where there are fewer."""
    if not len(words):
        return words
    length = min(length, len(words))
    count = len(words) - length + 1
    powers, inverses = _powers(1 << max(10, len(words).bit_length()))
    sums = np.zeros(len(words) + 1, dtype=np.uint64)
    np.cumsum(words * powers[: len(words)], out=sums[1:])
    return mixed((sums[length:] - sums[:count]) * inverses[:count])


def mixed(values: np.ndarray) -> np.ndarray:
    """uint64 like `values`, as if drawn at random for each value."""
    values = values ^ (values >> np.uint64(30))
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def beyond_ascii(data: bytes) -> str:
    """The characters of a UTF-8 text that are not ASCII's: few in most European texts."""
    return data.translate(None, _ASCII).decode()


def _lower_case(text: str) -> bytes:
    """UTF-8 of the text in lower case."""
    data = text.encode("utf-8", "replace")
    if not text.isascii():
        beyond = beyond_ascii(data)
        if beyond.lower() != beyond:
            return text.lower().encode("utf-8", "replace")
    return data.lower()  # which leaves alone what is not ASCII


def _hashes(data: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """uint64, int64 and bool [words]: hashes, the bytes that words start at, and which are characters alone."""
    inside = np.frombuffer(b"\0" + data.translate(_ascii_kinds()) + b"\0", np.uint8)
    if not data.isascii():
        codes = np.frombuffer(beyond_ascii(data).encode("utf-32-le"), dtype=np.uint32)
        kinds = _kinds()[codes]
        if (kinds == _ALONE).any():
            return _hashes_with_alone(data)
        inside = inside.copy()
        first = np.frombuffer(b"\0" + data, np.uint8)
        places = np.flatnonzero(first >= 0xC0)[kinds == _LETTER]  # of characters of two to four bytes
        for more, at_least in enumerate((0, 0, 0xE0, 0xF0)):
            inside[places[first[places] >= at_least] + more] = _LETTER
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts = edges[::2]
    return _hashes_of_spans(data, starts, edges[1::2]), starts, np.zeros(len(starts), dtype=np.bool_)


def _hashes_with_alone(data: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    codes = np.frombuffer(data.decode().encode("utf-32-le"), dtype=np.uint32)
    kinds = np.zeros(len(codes) + 2, dtype=np.uint8)
    np.take(_kinds(), codes, out=kinds[1:-1], mode="clip")  # whose other modes copy
    letter = kinds == _LETTER
    alone = kinds[1:-1] == _ALONE
    starts = np.flatnonzero((letter[1:-1] & ~letter[:-2]) | alone)
    found = _spread(codes[starts].astype(np.uint64))
    sizes = np.ones(len(codes), dtype=np.uint8)  # in UTF-8
    for limit in (0x80, 0x800, 0x10000):
        sizes += codes >= limit
    offsets = np.zeros(len(codes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    words = np.flatnonzero(~alone[starts])
    if len(words):
        ends = np.flatnonzero(letter[1:-1] & ~letter[2:]) + 1
        found[words] = _hashes_of_spans(data, offsets[starts[words]], offsets[ends])
    return found, offsets[starts], alone[starts]


def _hashes_of_spans(data: bytes, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """uint64 [spans], of the bytes of each and its length."""
    # Every place of the text as the eight bytes that begin there; those beyond the word's end are shifted out.
    eight = np.ndarray((len(data) + 1,), dtype="<u8", buffer=data + bytes(8), strides=(1,))
    sizes = ends - starts
    found = _spread((eight[starts] << _past()[np.minimum(sizes, 8)]) + sizes.astype(np.uint64))
    longer = np.flatnonzero(sizes > 8)
    for part in range(1, _MOST_PARTS):
        if not len(longer):
            return found
        past = _past()[np.minimum(sizes[longer] - 8 * part, 8)]
        found[longer] = _spread(found[longer] + (eight[starts[longer] + 8 * part] << past))
        longer = longer[sizes[longer] > 8 * part + 8]
    for index in longer.tolist():
        digest = hashlib.blake2b(data[starts[index] : ends[index]], digest_size=8).digest()
        found[index] = int.from_bytes(digest, "little")
    return found


def _spread(values: np.ndarray) -> np.ndarray:
    """uint64 like `values`, each bit of which depends on many; less thorough than `mixed`, and thrice as fast."""
    values = values * _BASE
    values ^= values >> np.uint64(32)
    return values


@functools.cache
def _past() -> np.ndarray:
    """Bits of eight bytes that are beyond the end of 0 to 8."""
    return np.arange(64, -1, -8).astype(np.uint64)


@functools.lru_cache(maxsize=4)
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Powers of the base and of its inverse, uint64 [count] each."""
    with np.errstate(over="ignore"):
        return tuple(  # type: ignore[return-value]
            np.concatenate(([np.uint64(1)], np.cumprod(np.full(count - 1, base)))) for base in (_BASE, _INVERSE)
        )


@functools.cache
def _ascii_kinds() -> bytes:
    """A table for bytes.translate: 1 in words, 0 elsewhere."""
    return bytes(chr(code).isalnum() and code < 0x80 for code in range(256))


@functools.cache
def _kinds() -> np.ndarray:
    """uint8 [code points]: part of a word, a word alone, or neither (0)."""
    kinds = np.zeros(0x110000, dtype=np.uint8)
    # The alphabetic and numeric ones, found all at once, and the marks of the blocks that have any.
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x20000))))
    kinds[[ord(character) for run in _ALPHANUMERIC.findall(every) for character in run]] = _LETTER
    marks = [c for block in _WITH_MARKS for c in block if unicodedata.category(chr(c))[0] == "M"]
    kinds[marks] = _LETTER
    for first, last in _ALONE_RANGES:
        span = kinds[first : last + 1]
        span[span == _LETTER if first < 0x20000 else slice(None)] = _ALONE
    return kinds
