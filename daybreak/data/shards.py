"""Shards: a stream of documents as files of tokens, and the one long array that they are to a reader."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Protocol

import numpy as np

from daybreak.core.errors import ResourceError
from daybreak.core.run import inside, read_json, write_json
from daybreak.core.values import Value
from daybreak.data.cleaning import Document, batches
from daybreak.data.tokenizers.base import Tokenizer

SHARD_TOKENS = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Index(Value):
    """The contents of the shards of one name; stored as NAME.json, which is written last."""

    tokens: int  # ends of text included
    bytes: int  # bytes of the text that the tokens encode
    documents: int
    vocabulary: int
    end_of_text: int
    dtype: str
    files: tuple[str, ...]
    file_tokens: tuple[int, ...]
    file_hashes: tuple[str, ...]
    starts_hash: str

    def check(self, where: Path) -> None:
        """Raises ResourceError: it does not hold together."""
        sizes = self.file_tokens
        counts = (self.tokens, self.bytes, self.documents, *sizes)
        if (
            self.dtype not in ("uint16", "uint32")
            or not len(self.files) == len(sizes) == len(self.file_hashes)
            or not all(isinstance(count, int) and 0 <= count < 1 << 62 for count in counts)
            or self.tokens != sum(sizes)
        ):
            raise _damaged(where, "its parts contradict each other")

    def digest(self) -> str:
        """Equal for equal tokens in shards of equal size."""
        return hashlib.blake2b("".join((*self.file_hashes, self.starts_hash)).encode(), digest_size=16).hexdigest()


def write(
    folder: Path, name: str, documents: Iterable[Document], tokenizer: Tokenizer, *, shard_tokens: int = SHARD_TOKENS
) -> Index:
    """Encodes documents into files `NAME-00000.bin` and so on, in bounded memory.

    The end-of-text token stands before every document that starts; a piece follows the piece that it continues. Older
    shards of the name are replaced; while it is being written, there are none. Raises ResourceError: the disk is full
    or the folder may not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").unlink(missing_ok=True)
        writer = _Writer(folder, name, tokenizer.dtype, shard_tokens)
        try:
            text_bytes = 0
            for batch in batches(documents):
                starts, tokens = _joined(batch, tokenizer)
                text_bytes += tokenizer.text_bytes([document.text for document in batch], tokens)
                writer.add(tokens, starts)
            index = writer.finish(text_bytes, tokenizer)
        finally:
            writer.close()
        write_json(folder / f"{name}.json", index.to_json())
        return index
    except OSError as error:
        raise _unwritable(folder, error) from None


def written(folder: Path, name: str) -> bool:
    """Whether `write` has finished under this name."""
    return (folder / f"{name}.json").exists()


def join(folder: Path, name: str, parts: Sequence[str], tokenizer: Tokenizer) -> Index:
    """One index over what `write` has written under the names of `parts`, in their order. Raises as `write`."""
    indices = [Tokens(folder, part).index for part in parts]
    try:
        starts_hash, before = hashlib.blake2b(digest_size=16), 0
        beside = folder / f"{name}.starts.bin.part"
        with beside.open("wb") as file:
            for part, index in zip(parts, indices, strict=True):
                data = (Tokens(folder, part).starts + before).astype("<i8").tobytes()
                file.write(data)
                starts_hash.update(data)
                before += index.tokens
        os.replace(beside, folder / f"{name}.starts.bin")
        whole = Index(
            tokens=before,
            bytes=sum(index.bytes for index in indices),
            documents=sum(index.documents for index in indices),
            vocabulary=tokenizer.vocabulary,
            end_of_text=tokenizer.end_of_text,
            dtype=np.dtype(tokenizer.dtype).name,
            files=tuple(file for index in indices for file in index.files),
            file_tokens=tuple(count for index in indices for count in index.file_tokens),
            file_hashes=tuple(digest for index in indices for digest in index.file_hashes),
            starts_hash=starts_hash.hexdigest(),
        )
        write_json(folder / f"{name}.json", whole.to_json())
        return whole
    except OSError as error:
        raise _unwritable(folder, error) from None


def _joined(batch: list[Document], tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Where documents start in the batch's tokens, and the tokens."""
    end = np.array([tokenizer.end_of_text], dtype=tokenizer.dtype)
    parts: list[np.ndarray] = []
    starts: list[int] = []
    position = 0
    for document, tokens in zip(batch, tokenizer.encode_documents([d.text for d in batch]), strict=True):
        if document.starts:
            starts.append(position)
            parts.append(end)
            position += 1
        parts.append(tokens)
        position += len(tokens)
    return np.array(starts, dtype=np.int64), np.concatenate(parts)


class _Writer:
    def __init__(self, folder: Path, name: str, dtype: np.dtype | type[np.generic], shard_tokens: int) -> None:
        self._folder, self._name, self._dtype, self._shard_tokens = folder, name, np.dtype(dtype), shard_tokens
        self._tokens = self._documents = 0
        self._files: list[tuple[str, int, str]] = []
        self._file: BufferedWriter | None = None
        self._room = 0
        self._hash = self._new_hash()
        self._starts_hash = self._new_hash()
        self._starts = self._path(f"{name}.starts.bin.part").open("wb")

    def _path(self, file: str) -> Path:
        return self._folder / file

    @staticmethod
    def _new_hash() -> "hashlib.blake2b":
        return hashlib.blake2b(digest_size=16)

    def add(self, tokens: np.ndarray, starts: np.ndarray) -> None:
        data = (starts + self._tokens).astype("<i8").tobytes()
        self._starts.write(data)
        self._starts_hash.update(data)
        self._documents += len(starts)
        self._tokens += len(tokens)
        while len(tokens):
            if self._file is None:
                self._file = self._path(f"{self._name}-{len(self._files):05d}.bin.part").open("wb")
                self._room, self._hash = self._shard_tokens, self._new_hash()
            data = tokens[: self._room].astype(self._dtype.newbyteorder("<"), copy=False).tobytes()
            self._file.write(data)
            self._hash.update(data)
            written = len(data) // self._dtype.itemsize
            self._room -= written
            tokens = tokens[written:]
            if not self._room:
                self._close_shard()

    def _close_shard(self) -> None:
        assert self._file is not None
        self._file.close()
        file = self._path(self._file.name).name.removesuffix(".part")
        os.replace(self._file.name, self._path(file))
        self._files.append((file, self._shard_tokens - self._room, self._hash.hexdigest()))
        self._file = None

    def finish(self, text_bytes: int, tokenizer: Tokenizer) -> Index:
        if self._file is not None:
            self._close_shard()
        self._starts.close()
        os.replace(self._starts.name, self._path(f"{self._name}.starts.bin"))
        kept = {file for file, _, _ in self._files}
        for old in self._folder.glob(f"{self._name}-*.bin*"):
            if old.name not in kept:
                old.unlink()
        return Index(
            tokens=self._tokens,
            bytes=text_bytes,
            documents=self._documents,
            vocabulary=tokenizer.vocabulary,
            end_of_text=tokenizer.end_of_text,
            dtype=self._dtype.name,
            files=tuple(file for file, _, _ in self._files),
            file_tokens=tuple(count for _, count, _ in self._files),
            file_hashes=tuple(digest for _, _, digest in self._files),
            starts_hash=self._starts_hash.hexdigest(),
        )

    def close(self) -> None:
        self._starts.close()
        if self._file is not None:
            self._file.close()


class TokenArray(Protocol):
    """The tokens that batches read: documents in a row, the end-of-text token before each."""

    @property
    def vocabulary(self) -> int: ...

    @property
    def end_of_text(self) -> int: ...

    @property
    def documents(self) -> int: ...

    @property
    def starts(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def slice(self, start: int, stop: int) -> np.ndarray: ...

    def gather(self, positions: np.ndarray) -> np.ndarray: ...


class Tokens:
    """The shards of one name as one array of tokens; the files are mapped, not read.

    Raises UsageError where there are none, and ResourceError where a file does not fit the index.
    """

    def __init__(self, folder: Path, name: str) -> None:
        where = folder / f"{name}.json"
        self.index = Index.from_json(read_json(where, "run `daybreak prepare` to encode the text again"), str(where))
        self.index.check(where)
        self.bytes = self.index.bytes
        self.documents = self.index.documents
        self.vocabulary = self.index.vocabulary
        self.end_of_text = self.index.end_of_text
        self.dtype = np.dtype(self.index.dtype)
        self._folder, self._name = folder, name
        self._offsets = np.concatenate([[0], np.cumsum(self.index.file_tokens, dtype=np.int64)]).astype(np.int64)
        self._shards = [
            self._mapped(inside(folder, file), count, self.dtype.newbyteorder("<"))
            for file, count in zip(self.index.files, self.index.file_tokens, strict=True)
        ]

    def __len__(self) -> int:
        return self.index.tokens

    def slice(self, start: int, stop: int) -> np.ndarray:
        """Tokens from `start` up to `stop`, both within the length; a view of the file where one shard holds them."""
        assert 0 <= start <= stop <= len(self), (start, stop, len(self))
        if start == stop:
            return np.empty(0, dtype=self.dtype)
        first = int(np.searchsorted(self._offsets, start, side="right")) - 1
        last = int(np.searchsorted(self._offsets, stop, side="left")) - 1
        parts = [
            shard[max(start - offset, 0) : stop - offset]
            for shard, offset in zip(self._shards[first : last + 1], self._offsets[first:].tolist(), strict=False)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def gather(self, positions: np.ndarray) -> np.ndarray:
        """The tokens at any positions [...] within the length, in that shape."""
        if len(self._shards) == 1:
            return np.asarray(self._shards[0])[positions]
        return gathered(self._offsets, lambda shard, inside: self._shards[shard][inside], positions, self.dtype)

    @property
    def starts(self) -> np.ndarray:
        """Positions of the end-of-text tokens that documents start with, int64 [documents]."""
        return self._mapped(self._folder / f"{self._name}.starts.bin", self.documents, np.dtype("<i8"))

    def verify(self) -> None:
        """Checks every file against its hash. Raises ResourceError where one has changed."""
        starts = (f"{self._name}.starts.bin", self.index.starts_hash)
        for file, expected in (*zip(self.index.files, self.index.file_hashes, strict=True), starts):
            digest = hashlib.blake2b(digest_size=16)
            with (self._folder / file).open("rb") as opened:
                while block := opened.read(1 << 20):
                    digest.update(block)
            if digest.hexdigest() != expected:
                raise _damaged(self._folder / file, "its content has changed")

    @staticmethod
    def _mapped(path: Path, count: int, dtype: np.dtype) -> np.ndarray:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise _damaged(path, error.strerror or str(error)) from None
        if size != count * dtype.itemsize:
            raise _damaged(path, f"{size} bytes instead of {count * dtype.itemsize}")
        # An empty file cannot be mapped.
        return np.memmap(path, dtype=dtype, mode="r") if count else np.empty(0, dtype=dtype)


def _unwritable(folder: Path, error: OSError) -> ResourceError:
    return ResourceError(
        "the tokens could not be written",
        received=f"{folder}: {error.strerror or error}",
        attempt="name a folder with free space that you may write (`df -h`, --out)",
    )


def gathered(
    offsets: np.ndarray,
    pick: Callable[[int, np.ndarray], np.ndarray],
    positions: np.ndarray,
    dtype: np.dtype | type[np.generic],
) -> np.ndarray:
    """Tokens at positions [...] of arrays in a row: array i begins at offsets[i], and pick(i, places) reads it."""
    flat = positions.reshape(-1)
    which = np.searchsorted(offsets, flat, side="right") - 1
    order = np.argsort(which, kind="stable")  # so that each array is asked once
    found, begins = np.unique(which[order], return_index=True)
    tokens: np.ndarray = np.empty(len(flat), dtype=dtype)
    for array, places in zip(found.tolist(), np.split(order, begins[1:]), strict=True):
        tokens[places] = pick(array, flat[places] - offsets[array])
    return tokens.reshape(positions.shape)


def _damaged(path: Path, why: str) -> ResourceError:
    return ResourceError(
        "a token file is damaged",
        received=f"{path}: {why}",
        attempt="run `daybreak prepare` to encode the text again",
    )
