"""What is read of a file of weights, each time that it is opened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from daybreak.models.checkpoints import tensors


@contextlib.contextmanager
def reads_of(file: Path) -> Iterator[list[str]]:
    """Of each opening in turn: "header", "bytes" (for a digest), or "tensors"."""
    reads: list[str] = []
    opened, open_path = tensors.safe_open, Path.open

    class Watched:
        def __init__(self, name: str, **words: Any) -> None:
            self.inner, self.ours = opened(name, **words), Path(name) == file

        def __enter__(self) -> Any:
            self.inner.__enter__()
            if self.ours:
                reads.append("header")
            return self

        def __exit__(self, *about: Any) -> Any:
            return self.inner.__exit__(*about)

        def get_tensor(self, name: str) -> torch.Tensor:
            if self.ours:
                reads[-1] = "tensors"
            return self.inner.get_tensor(name)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    def watched(path: Path, *words: Any, **more: Any) -> Any:
        if path == file:
            reads.append("bytes")
        return open_path(path, *words, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensors, "safe_open", Watched)
        patch.setattr(Path, "open", watched)
        yield reads
