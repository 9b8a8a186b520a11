"""A model's folder on disk, replaced as a whole: a reader sees the old one or the new one."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from daybreak.core.errors import ResourceError
from daybreak.core.values import Json


def replaced(folder: Path, fill: Callable[[Path], None]) -> None:
    """`folder` anew: filled aside, synced, renamed; the old one stays till then. Raises ResourceError."""
    aside, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)  # killed between the two renames below
        shutil.rmtree(old, ignore_errors=True)
        aside.mkdir(parents=True)
        fill(aside)
        for file in aside.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        if folder.exists():
            folder.rename(old)
        aside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise ResourceError(
            "the model cannot be written",
            received=f"{folder}: {getattr(error, 'strerror', None) or error}",
            attempt="free some disk space and repeat the command; nothing that was written before is lost",
        ) from None


def write_config(path: Path, data: Json) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
