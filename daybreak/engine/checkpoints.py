"""Checkpoints: everything a resume needs, in safetensors and JSON, with one commit point."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from daybreak.core.errors import ResourceError

KEPT = 2


def save(folder: Path, step: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Path:
    """Written aside, hashed, synced, and then renamed to `step-00001000`; the two newest are kept.

    Raises ResourceError where the disk does not take it; older checkpoints stay.
    """
    target = folder / f"step-{step:08d}"
    aside = folder / f".{target.name}.new"
    try:
        for leftover in folder.glob(".step-*.new"):  # of a save that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        aside.mkdir(parents=True)
        save_file(
            {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()},
            str(aside / "state.safetensors"),
        )
        (aside / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        files = {path.name: _hash(path) for path in sorted(aside.iterdir())}
        (aside / "manifest.json").write_text(json.dumps({"files": files}), encoding="utf-8")
        for path in aside.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
    except (OSError, SafetensorError) as error:  # it has a kind of its own for a full disk
        shutil.rmtree(aside, ignore_errors=True)
        raise ResourceError(
            "the checkpoint cannot be written",
            received=f"{target}: {getattr(error, 'strerror', None) or error}",
            attempt="free some disk space and run the same command again; it continues from the checkpoint before",
        ) from None
    for old in checkpoints(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def checkpoints(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted(folder.glob("step-*"), reverse=True) if folder.is_dir() else []


def newest(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
    """Tensors and facts of the newest checkpoint that verifies (empty: none does); warnings of those that do not."""
    warnings: list[str] = []
    for path in checkpoints(folder):
        try:
            files = json.loads((path / "manifest.json").read_text(encoding="utf-8"))["files"]
            broken = [name for name, digest in files.items() if _hash(path / name) != digest]
            if not broken:
                facts = json.loads((path / "facts.json").read_text(encoding="utf-8"))
                return load_file(str(path / "state.safetensors")), facts, warnings
            warnings.append(f"{path.name} is damaged ({', '.join(broken)}); the one before is used")
        except (OSError, ValueError, KeyError, TypeError) as error:
            warnings.append(f"{path.name} cannot be read ({error}); the one before is used")
    return {}, {}, warnings


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
