"""Checkpoints: everything a resume needs, in safetensors and JSON, with one commit point."""

import contextlib
import copy
import importlib.metadata
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import xxhash
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from daybreak.core import units
from daybreak.core.errors import DataError, ResourceError, UsageError
from daybreak.core.run import inside, usual_mode
from daybreak.core.values import Json
from daybreak.engine import faults

KEPT = 2
FORMAT = 1  # of the folder; a reader takes its own and older ones
_STATE, _FACTS, _MANIFEST = "state.safetensors", "facts.json", "manifest.json"
_BLOCK = 1 << 22
_BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError, DataError)


def save(folder: Path, step: int, tensors: dict[str, Tensor], facts: Json) -> Path:
    """Written aside, synced and hashed, and then renamed to `step-00001000`.

    The two newest are kept, and the newest one that was planned: whose step is that of its facts' "planned".

    Until the rename the older ones are all there is, after it the new one is. Raises ResourceError where the disk does
    not take it; older checkpoints stay, one of them at least.
    """
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    try:
        return _written(folder, step, tensors, facts)
    except (OSError, SafetensorError) as error:  # it has a kind of its own for a full disk
        found = checkpoints(folder)
        left = next(filter(_planned, found), None) or next(iter(found), None)
        if older := [path for path in found if path != left]:  # room for the new one, and one is left
            _removed(older)
            with contextlib.suppress(OSError, SafetensorError):
                return _written(folder, step, tensors, facts)
        free = "as little as there is"
        with contextlib.suppress(OSError):
            free = units.size(shutil.disk_usage(folder).free)
        raise ResourceError(
            "the checkpoint could not be written",
            received=f"{folder}: {getattr(error, 'strerror', None) or error}; it takes "
            f"{units.size(needed)} ({needed:,} bytes), and {free} is free",
            attempt="free some disk space; the run continues, and after a restart it would "
            "continue from the checkpoint before",
        ) from None


def _written(folder: Path, step: int, tensors: dict[str, Tensor], facts: Json) -> Path:
    target = folder / f"step-{step:08d}"
    aside = folder / f".{target.name}.new"
    faults.at("checkpoint.sweep")
    _removed(folder.glob(".step-*"))  # of saves that were killed
    try:
        faults.at("checkpoint.make")
        aside.mkdir(parents=True)
        faults.at("checkpoint.state")
        save_file(tensors, str(aside / _STATE))
        usual_mode(aside / _STATE)
        faults.at("checkpoint.facts")
        (aside / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
        files = {}
        for name in (_STATE, _FACTS):
            _synced(aside / name)
            files[name] = {"bytes": (aside / name).stat().st_size, "xxh3_128": _hash(aside / name)}
        faults.at("checkpoint.manifest")
        told = {"format": FORMAT, "daybreak": _version(), "step": step, "files": files}
        (aside / _MANIFEST).write_text(json.dumps({**told, "xxh3_128": _digest(told)}), encoding="utf-8")
        _synced(aside / _MANIFEST)
        _synced(aside)
        if target.exists():  # from before a roll-back, or damaged
            target.rename(folder / f".{target.name}.old")
        faults.at("checkpoint.rename")
        aside.rename(target)
        faults.at("checkpoint.renamed")
        _synced(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    faults.at("checkpoint.prune")
    older = checkpoints(folder)
    kept = {*older[:KEPT], next(filter(_planned, older), target)}
    _removed([*folder.glob(".step-*"), *(path for path in older if path not in kept)])
    return target


def _planned(path: Path) -> bool:
    """Whether the checkpoint is of a step that the plan names, whatever the clock says."""
    try:
        facts = json.loads((path / _FACTS).read_text(encoding="utf-8"))
        return bool(facts.get("planned") == facts["position"]["step"])
    except _BROKEN:
        return False


def _removed(folders: Iterable[Path]) -> None:
    """Each renamed first: what is half removed must not look like a checkpoint."""
    for path in list(folders):
        hidden = path if path.name.startswith(".") else path.with_name(f".{path.name}.old")
        with contextlib.suppress(OSError):
            path.rename(hidden)
            shutil.rmtree(hidden, ignore_errors=True)


def _synced(path: Path) -> None:
    """On disk, not only on its way there. Folders cannot be synced everywhere."""
    faults.at("checkpoint.sync")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def checkpoints(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted(folder.glob("step-*"), reverse=True)


def forget_after(folder: Path, step: int) -> None:
    """Takes away the checkpoints of later steps: the run goes on from this one, another way."""
    _removed(path for path in checkpoints(folder) if path.name > f"step-{step:08d}")


def newest(folder: Path, *, planned: bool = False) -> tuple[dict[str, Tensor], Json, list[str]]:
    """Tensors and facts of the newest checkpoint that verifies (empty: none does); warnings of those that do not.

    planned: only of a step that the plan names. Raises UsageError: a newer version of daybreak has written it.
    """
    warnings: list[str] = []
    for path in checkpoints(folder):
        if planned and not _planned(path):
            continue
        try:
            if reason := _broken(path):
                warnings.append(f"{path.name} is damaged ({reason}); the checkpoint before it is used")
                continue
            facts = json.loads((path / _FACTS).read_text(encoding="utf-8"))
            return load_file(str(path / _STATE)), facts, warnings
        except _BROKEN as error:
            warnings.append(f"{path.name} cannot be read ({error}); the checkpoint before it is used")
    return {}, {}, warnings


def _broken(path: Path) -> str:
    """What is not as the manifest says; empty where all is."""
    manifest = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
    told = {name: value for name, value in manifest.items() if name != "xxh3_128"}
    if manifest["xxh3_128"] != _digest(told):
        return _MANIFEST
    if told["format"] > FORMAT:
        raise UsageError(
            "the checkpoint was written by a newer version of daybreak",
            received=f"{path}: format {told['format']} of daybreak {told['daybreak']}; this is {_version()}",
            attempt=f"use daybreak {told['daybreak']} or newer",
        )
    if told["step"] != int(path.name.removeprefix("step-")):
        return f"it is of step {told['step']}"
    files = told["files"]
    if extra := {one.name for one in path.iterdir()} - {*files, _MANIFEST}:
        return f"unknown: {', '.join(sorted(extra))}"
    if missing := {_STATE, _FACTS} - files.keys():
        return f"not in its manifest: {', '.join(sorted(missing))}"
    return ", ".join(
        name
        for name, facts in files.items()
        if inside(path, name).stat().st_size != facts["bytes"] or _hash(path / name) != facts["xxh3_128"]
    )


def _hash(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _digest(told: Json) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(told, sort_keys=True).encode())


def _version() -> str:
    return importlib.metadata.version("daybreak")


class Writer:
    """Saves beside the training, one checkpoint at a time: what the training waits for is a copy in memory."""

    def __init__(self, folder: Path, *, now: Callable[[], float]) -> None:
        self._folder, self._now = folder, now
        self._thread: threading.Thread | None = None
        self._error: ResourceError | None = None
        self.seconds = 0.0  # that the last one took on its way to the disk
        self.processor_seconds = 0.0  # of it that a core was busy

    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def save(self, step: int, tensors: dict[str, Tensor], facts: Json) -> None:
        """Takes a copy, so that the next step may change what it is of. Raises what the last save has met."""
        met = self._ended()
        facts = copy.deepcopy(facts)
        copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        begun = self._now()

        def write() -> None:
            busy = time.thread_time()
            try:
                save(self._folder, step, copies, facts)
            except ResourceError as error:
                self._error = error
            self.seconds, self.processor_seconds = self._now() - begun, time.thread_time() - busy

        self._thread = threading.Thread(target=write, name="checkpoint", daemon=True)
        self._thread.start()
        if met is not None:
            raise met

    def wait(self) -> None:
        """Until it is on disk. Raises ResourceError: it is not."""
        met = self._ended()
        if met is not None:
            raise met

    def _ended(self) -> ResourceError | None:
        """What the save that is on its way has met, when it has ended."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        met, self._error = self._error, None
        return met
