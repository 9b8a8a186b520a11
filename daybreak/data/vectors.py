"""Word vectors from a file: word2vec's text and binary formats and GloVe's, told apart by how the file begins."""

from collections.abc import Container
from pathlib import Path
from typing import IO

import numpy as np

from daybreak.core.errors import DataError

MOST_DIMENSIONS = 4096
LONGEST_WORD = 1000  # bytes
LONGEST_LINE = LONGEST_WORD + 64 * MOST_DIMENSIONS


def read(path: Path, wanted: Container[str]) -> dict[str, np.ndarray]:
    """Vectors, float32 [dimensions], of the words that are wanted; the first where a word comes twice.

    Only numbers and words are read, line by line. Raises DataError: no such file, another format, a line that is cut
    or of another length, or a number that is none.
    """
    try:
        with path.open("rb") as file:
            return _read(file, path, wanted)
    except OSError as error:
        raise _error(path, error.strerror or str(error)) from None


def _read(file: IO[bytes], path: Path, wanted: Container[str]) -> dict[str, np.ndarray]:
    header = _line(file, path, 1)
    size = _sizes(header)
    if size is None:  # GloVe has no header
        file.seek(0)
        dimensions = len(header.split()) - 1
    else:
        dimensions = size[1]
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise _error(path, f"{dimensions} numbers a word; 1 to {MOST_DIMENSIONS} are supported")
    if size is not None and _is_binary(file, dimensions):
        return _binary(file, path, wanted, *size)
    return _text(file, path, wanted, dimensions, begun=1 if size is None else 2)


def _sizes(header: bytes) -> tuple[int, int] | None:
    """Words and dimensions of a word2vec file."""
    parts = header.split()
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(part.isdigit() for part in parts) else None


def _is_binary(file: IO[bytes], dimensions: int) -> bool:
    """Whether what follows the header is not a line of as many numbers."""
    place = file.tell()
    line = file.readline(LONGEST_LINE)
    file.seek(place)
    try:
        return bool(line) and len([float(part) for part in line.split(b" ")[1:] if part.strip()]) != dimensions
    except ValueError:
        return True


def _text(file: IO[bytes], path: Path, wanted: Container[str], dimensions: int, *, begun: int) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    number = begun
    while line := _line(file, path, number):
        parts = line.rstrip().rsplit(b" ", dimensions)  # GloVe has words with spaces in them
        if len(parts) != dimensions + 1:
            raise _error(path, f"line {number} has {len(parts) - 1} numbers instead of {dimensions}")
        word = parts[0].decode("utf-8", "replace")
        if word in wanted and word not in found:
            try:
                found[word] = _finite(np.array([float(part) for part in parts[1:]], np.float32))
            except ValueError as error:
                raise _error(path, f"line {number}: {error}") from None
        number += 1
    return found


def _binary(file: IO[bytes], path: Path, wanted: Container[str], words: int, dimensions: int) -> dict[str, np.ndarray]:
    """After each word a space and its numbers as little-endian float32; some writers end them with a line feed."""
    found: dict[str, np.ndarray] = {}
    for number in range(1, words + 1):
        name = bytearray()
        while (byte := file.read(1)) != b" ":
            if not byte or len(name) > LONGEST_WORD:
                raise _error(path, f"word {number} of {words} has no end")
            name += byte
        data = file.read(4 * dimensions)
        if len(data) != 4 * dimensions:
            raise _error(path, f"the file ends in word {number} of {words}")
        word = name.lstrip(b"\n").decode("utf-8", "replace")
        if word in wanted and word not in found:
            try:
                found[word] = _finite(np.frombuffer(data, "<f4").astype(np.float32))
            except ValueError as error:
                raise _error(path, f"word {number}: {error}") from None
    return found


def _line(file: IO[bytes], path: Path, number: int) -> bytes:
    line = file.readline(LONGEST_LINE)
    if len(line) == LONGEST_LINE:
        raise _error(path, f"line {number} does not end")
    return line


def _finite(vector: np.ndarray) -> np.ndarray:
    if not np.isfinite(vector).all():
        raise ValueError("a number is not finite")
    return vector


def _error(path: Path, why: str) -> DataError:
    return DataError(
        "the word vectors cannot be read",
        received=f"{path}: {why}",
        attempt="use an uncompressed file in word2vec's text or binary format, or in GloVe's",
    )
