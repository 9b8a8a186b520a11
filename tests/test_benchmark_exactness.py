"""benchmarks/exactness.py: processes are counted on from what is kept, and what differs is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_processes_take_the_same_first_step(root: Path, tmp_path: Path) -> None:
    def run(processes: int) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, str(root / "benchmarks" / "exactness.py"), "--folder", str(tmp_path), "--at-once", "3"]
        return subprocess.run([*words, "--processes", str(processes)], capture_output=True, text=True)

    done = run(4)
    assert done.stdout == "4 processes, one result\n" and done.returncode == 0, done.stderr
    file = tmp_path / "exactness.json"
    kept = json.loads(file.read_text())
    told = kept["results"][0]["told"]
    assert (
        kept["processes"] == 4
        and {"rotation", "loss", "model.norm.weight", "gradient of model.norm.weight"} <= told.keys()
    )
    other = {**told, "rotation": "0" * 16}
    file.write_text(json.dumps({**kept, "processes": 5, "results": [*kept["results"], {"times": 1, "told": other}]}))
    done = run(6)
    assert done.returncode == 1 and done.stdout == "1 of 6 differ in rotation\n", done.stderr
