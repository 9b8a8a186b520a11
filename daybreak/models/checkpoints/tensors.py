"""Weights from strangers' folders: safetensors in one file or in shards, looked at before any of it is read."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from torch import Tensor

from daybreak.core.errors import DataError
from daybreak.core.run import inside

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
MOST_INDEX_BYTES = 1 << 28
READABLE = ("F64", "F32", "F16", "BF16")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")  # what torch.save writes
OTHERS = (".h5", ".msgpack", ".gguf", ".onnx")
_PIECE = 1 << 24  # bytes of a file at a time


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where a tensor is, before it is read."""

    file: Path
    name: str  # in the file
    size: tuple[int, ...]
    dtype: str


def entries(folder: Path, *, convert: str) -> dict[str, Entry]:
    """Every tensor of the folder by name; only the files' headers are read.

    convert: the command that writes safetensors from a pickle, for the error. Raises DataError: no safetensors, shards
    that are missing, or files that do not hold together.
    """
    if (folder / WHOLE).is_file():
        return _entries_of(folder / WHOLE)
    if not (folder / INDEX).is_file():
        raise _no_weights(folder, convert)
    places = _index(folder)
    files = sorted(set(places.values()))
    missing = [name for name in files if not inside(folder, name).is_file()]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise DataError(
            "files of the weights are missing",
            received=f"{len(missing)} of {len(files)} in {folder}: {shown}",
            attempt=f"download them into {folder}",
        )
    found: dict[str, Entry] = {}
    for name in files:
        held = _entries_of(folder / name)
        if lacking := [tensor for tensor, place in places.items() if place == name and tensor not in held]:
            raise _damaged(folder / name, f"{lacking[0]} is not in it, but {INDEX} says so")
        if twice := next((tensor for tensor in held if tensor in found), None):
            raise _damaged(folder / name, f"{twice} is in another shard, too")
        found |= held
    return found


def check_types(found: dict[str, Entry]) -> None:
    """Raises DataError: one of these tensors is quantized, or no weight. Buffers that nobody reads need no check."""
    for entry in found.values():
        if entry.dtype not in READABLE:
            raise DataError(
                "the data type of the weights cannot be trained",
                received=f"{entry.name} in {entry.file} is {entry.dtype}",
                attempt=f"use the checkpoint from before quantization ({', '.join(READABLE)})",
            )


def read(found: dict[str, Entry]) -> Iterator[tuple[str, Tensor]]:
    """Each tensor in float32, on the CPU, file by file, by the names in `found`.

    Raises DataError: a damaged file, a type of numbers that cannot be trained, or values that are no numbers.
    """
    check_types(found)
    by_file: dict[Path, list[str]] = {}
    for name, entry in found.items():
        by_file.setdefault(entry.file, []).append(name)
    for file, names in by_file.items():
        try:
            with safe_open(str(file), framework="pt", device="cpu") as opened:
                for name in names:
                    tensor = opened.get_tensor(found[name].name).to(torch.float32).contiguous()
                    if wrong := tensor.numel() - int(tensor.isfinite().sum()):
                        raise DataError(
                            "the weights contain NaN or infinity",
                            received=f"{found[name].name} in {file}: {wrong} of {tensor.numel()}",
                            attempt="use an earlier checkpoint of that model",
                        )
                    yield name, tensor
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise _damaged(file, str(error)) from None


def digest(files: list[Path]) -> str:
    """Of the bytes of files, in this order."""
    state = xxhash.xxh3_128()
    for file in files:
        with file.open("rb") as opened:
            while piece := opened.read(_PIECE):
                state.update(piece)
    return state.hexdigest()


def _entries_of(file: Path) -> dict[str, Entry]:
    found = {}
    try:
        with safe_open(str(file), framework="pt", device="cpu") as opened:
            for name in opened.keys():  # noqa: SIM118
                part = opened.get_slice(name)
                found[name] = Entry(file=file, name=name, size=tuple(part.get_shape()), dtype=part.get_dtype())
    except (SafetensorError, OSError, ValueError, RuntimeError, OverflowError) as error:
        raise _damaged(file, str(error)) from None
    return found


def _index(folder: Path) -> dict[str, str]:
    """The shard of every tensor."""
    path = folder / INDEX
    try:
        if path.stat().st_size > MOST_INDEX_BYTES:
            raise ValueError(f"over {MOST_INDEX_BYTES >> 20} MiB")
        told: object = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        if not isinstance(told, dict) or not told or not all(isinstance(name, str) for name in told.values()):
            raise ValueError("weight_map is not an object of names")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from None
    return told


def _no_weights(folder: Path, convert: str) -> DataError:
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    pickled = [name for name in names if name.endswith(PICKLES)]
    if pickled:
        return DataError(
            "the weights are a pickle file, which can run any code and is never opened",
            received=f"{folder / pickled[0]}, and no {WHOLE}",
            attempt=f"if you trust the file, convert it: {convert}",
        )
    others = [name for name in names if name.endswith(OTHERS)]
    return DataError(
        "the folder has no readable weights",
        received=f"{folder}: {', '.join(others or names[:8]) or 'nothing'}, and no {WHOLE}",
        attempt=f"use a folder with {WHOLE}, or with {INDEX} and its shards",
    )


def _damaged(file: Path, why: str) -> DataError:
    return DataError(
        "the weights cannot be read", received=f"{file}: {why}", attempt="download the file again: it is incomplete"
    )
