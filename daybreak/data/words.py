"""Words: hashes of the words of a text, Chinese characters one by one, as arrays; for shingles and repeated runs."""

import functools
import unicodedata

import numpy as np

# A polynomial hash modulo 2^64, taken from running sums: an odd base has an inverse there, so any span's hash is one
# difference and one product (Karp and Rabin 1987). The mixing after it is splitmix64's (Steele, Lea and Flood 2014).
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


def hashes(text: str) -> np.ndarray:
    """uint64 [words]: runs of letters and digits whatever their case, and Chinese and kana characters, each a word."""
    text = text.lower()
    if text.isascii():
        codes = np.frombuffer(text.encode(), dtype=np.uint8)
    else:
        codes = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
    kinds = _kinds()[codes]
    before = np.concatenate(([0], kinds[:-1]))
    after = np.concatenate((kinds[1:], [0]))
    letter, alone = kinds == _LETTER, kinds == _ALONE
    starts = np.flatnonzero((letter & (before != _LETTER)) | alone)
    ends = np.flatnonzero((letter & (after != _LETTER)) | alone) + 1
    return _spans(codes.astype(np.uint64) + np.uint64(1), starts, ends)


def runs(words: np.ndarray, length: int) -> np.ndarray:
    """uint64 [words - length + 1]: a hash of every `length` words in a row; one of all where there are fewer."""
    if not len(words):
        return words
    length = min(length, len(words))
    starts = np.arange(len(words) - length + 1)
    return _spans(words, starts, starts + length)


def mixed(values: np.ndarray) -> np.ndarray:
    """uint64 like `values`, as if drawn at random for each value."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def _spans(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    powers, inverses = _powers(1 << max(10, len(values).bit_length()))
    with np.errstate(over="ignore"):
        sums = np.concatenate(([np.uint64(0)], np.cumsum(values * powers[: len(values)])))
        return mixed((sums[ends] - sums[starts]) * inverses[starts])


@functools.lru_cache(maxsize=4)
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Powers of the base and of its inverse, uint64 [count] each."""
    with np.errstate(over="ignore"):
        return tuple(  # type: ignore[return-value]
            np.concatenate(([np.uint64(1)], np.cumprod(np.full(count - 1, base)))) for base in (_BASE, _INVERSE)
        )


@functools.cache
def _kinds() -> np.ndarray:
    """uint8 [code points]: part of a word, a word alone, or neither (0)."""
    kinds = np.zeros(0x110000, dtype=np.uint8)
    letters = [c for c in range(0x20000) if unicodedata.category(chr(c))[0] in "LNM"]
    kinds[letters] = _LETTER
    for first, last in _ALONE_RANGES:
        span = kinds[first : last + 1]
        span[span == _LETTER if first < 0x20000 else slice(None)] = _ALONE
    return kinds
