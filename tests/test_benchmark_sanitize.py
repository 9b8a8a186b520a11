"""Sanitize: the kernels and the decoder under gcc's sanitizers, and that these find what is wrong."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from daybreak.models.kernels import library

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="libraries are loaded before others on Linux alone"),
]


@pytest.fixture
def sanitize(root: Path, monkeypatch: pytest.MonkeyPatch):
    spec = importlib.util.spec_from_file_location("sanitize", root / "benchmarks" / "sanitize.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(rounds: int) -> None:
        monkeypatch.setattr(sys, "argv", ["sanitize.py", "--rounds", str(rounds)])
        module.main()

    return run


def test_nothing_is_found(sanitize, capsys) -> None:
    sanitize(40)
    assert capsys.readouterr().out.count("40 rounds, nothing found") == 8


def test_a_row_too_many_is_found(sanitize, tmp_path, monkeypatch) -> None:
    source = library.SOURCE.read_text()
    right = "for (long m = 0; m < M; m++) {\n            float g = widened(gate[m]);\n            yn[m]"
    assert right in source
    broken = tmp_path / "kernels.c"
    broken.write_text(source.replace(right, right.replace("m < M", "m <= M")))
    monkeypatch.setattr(library, "SOURCE", broken)
    with pytest.raises(SystemExit, match="heap-buffer-overflow"):
        sanitize(5)
