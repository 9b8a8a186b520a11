"""Token files: GPT-2 tokens that nanoGPT, llm.c or nanochat wrote, as batches read them."""

import functools
from pathlib import Path

import numpy as np

from daybreak.core.errors import DataError, ResourceError
from daybreak.data.shards import SHARD_TOKENS

# nanoGPT's files are ids alone; llm.c's and nanochat's begin with 256 numbers: this, a version, how many ids follow.
_HEADER_MAGIC, _HEADER_NUMBERS = 20240520, 256
GPT2_VOCABULARY = 50257  # the last id ends a text


def open_token_file(path: Path) -> "TokenFile":
    """GPT-2 tokens that nanoGPT, llm.c or nanochat wrote (.bin), as batches read them; the file is mapped, not read.

    Raises ResourceError where the file cannot be read, and DataError where it is something else.
    """
    try:
        size = path.stat().st_size
        header = np.fromfile(path, dtype="<i4", count=3)
    except OSError as error:
        raise ResourceError(
            "the file of tokens cannot be read",
            received=f"{path}: {error.strerror or error}",
            attempt="name a .bin file that exists and that you may read",
        ) from None
    offset, count, wrong = 0, size // 2, ""
    if len(header) == 3 and header[0] == _HEADER_MAGIC:
        offset, count = 4 * _HEADER_NUMBERS, int(header[2])
        if header[1] != 1:
            wrong = f"version {header[1]} in its header"
        elif size != offset + 2 * count:
            wrong = f"{size} bytes, where the header tells {count} tokens"
    elif len(header) == 3 and header[0] // 10000 == _HEADER_MAGIC // 10000:
        wrong = f"its header has the number {header[0]}, which is not that of the GPT-2 tokenizer"
    elif size % 2:
        wrong = f"{size} bytes, which is not a whole number of 16-bit ids"
    if wrong or not count:
        raise DataError(
            "the file does not hold GPT-2 tokens",
            received=f"{path}: {wrong or 'no tokens'}",
            attempt="use a file of 16-bit ids, as nanoGPT's data/*/prepare.py writes it, or the text itself",
        )
    return TokenFile(np.memmap(path, dtype="<u2", mode="r", offset=offset, shape=(count,)), path)


class TokenFile:
    """Tokens of another tool's file; a document begins at every end-of-text token.

    Where the tool puts that token behind documents (nanoGPT) instead of before them (llm.c), the tokens are the same:
    the first document then has none before it, and an empty one follows the last.
    """

    vocabulary, end_of_text = GPT2_VOCABULARY, GPT2_VOCABULARY - 1

    def __init__(self, ids: np.ndarray, path: Path) -> None:
        self._ids, self._path = ids, path

    def __len__(self) -> int:
        return len(self._ids)

    def slice(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start <= stop <= len(self), (start, stop, len(self))
        return self._ids[start:stop]

    def gather(self, positions: np.ndarray) -> np.ndarray:
        return np.asarray(self._ids)[positions]

    @property
    def documents(self) -> int:
        return len(self.starts)

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """Positions of the end-of-text tokens, int64 [documents]; reads the file once. Raises DataError: other ids."""
        found = [np.empty(0, dtype=np.int64)]
        for begin in range(0, len(self), SHARD_TOKENS):
            part = np.asarray(self._ids[begin : begin + SHARD_TOKENS])
            if (most := int(part.max())) >= self.vocabulary:
                raise DataError(
                    "the file does not hold GPT-2 tokens",
                    received=f"{self._path}: id {most}, but the largest possible id is {self.vocabulary - 1}",
                    attempt="use a file of 16-bit ids, as nanoGPT's data/*/prepare.py writes it, or the text itself",
                )
            found.append(np.flatnonzero(part == self.end_of_text) + begin)
        return np.concatenate(found)
