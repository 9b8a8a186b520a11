"""A disk that takes no large file: what fits is kept, what does not is named, and the training goes on where it can."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.core.run import Run

LIMITED = "on a disk that takes no large file, a run ends with what fits, or says what does not"
TINY = ["--set", "layers=1", "--set", "width=128", "--set", "context_length=32", "--without", "compiled"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no limit on the size of files")


def limited(small_text: Path, out: Path, most_bytes: int) -> subprocess.CompletedProcess:
    """A run whose files may grow to so many bytes: beyond that, the system refuses to write.

    Its weights take 1.8 MB, and with the optimizer's state twice that and more.
    """
    words = [sys.executable, "-m", "daybreak", "run", str(small_text), "--for", "2m", "--reproducible", *TINY]
    words += ["--without", "ngram_mix", "--set", "tokens=30000", "--out", str(out), "--json"]
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes)),
    )


@pytest.mark.promise(LIMITED, 1)
def test_where_no_checkpoint_fits_the_run_ends_with_its_model(small_text, tmp_path):
    done = limited(small_text, tmp_path / "run", 3_000_000)
    assert done.returncode == 0, done.stderr
    assert (
        "the checkpoint could not be written" in done.stderr
        and "bytes" in done.stderr
        and "Traceback" not in done.stderr
    )
    assert not list(Run(tmp_path / "run").checkpoints_folder.glob("*"))
    model = tmp_path / "run" / "model"
    assert (model / "model.safetensors").stat().st_size < 3_000_000
    assert len({path.stat().st_mode for path in model.iterdir()}) == 1, "who may read one of its files may read all"
    assert done.stderr.count("could not be written") <= 3, "it is said once a save"


@pytest.mark.promise(LIMITED, 1)
@pytest.mark.long
def test_where_not_even_the_model_fits_the_end_says_so(small_text, tmp_path):
    done = limited(small_text, tmp_path / "run", 1_700_000)
    assert done.returncode == 4, done.stderr
    assert "could not be written" in done.stderr and "Traceback" not in done.stderr
    again = limited(small_text, tmp_path / "run", 1 << 30)
    assert again.returncode == 0, again.stderr
