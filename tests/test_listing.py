"""Listing: the runs of a folder, newest first, those that are damaged too, in a row of facts and in a table."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import small_runs
from rich.console import Console

from daybreak.core.errors import UsageError
from daybreak.core.records import Event, Log, Validation
from daybreak.core.run import Run, write_json
from daybreak.core.types import Plan
from daybreak.data.tokenizers import byte_tokenizer
from daybreak.models.gpt import Gpt
from daybreak.views import listing


@pytest.fixture
def folder(tmp_path: Path, plan: Callable[..., Plan], network: Callable[..., Gpt]) -> Path:
    """One run at its end, one on its way, one whose plan cannot be read, and a folder of something else."""
    module = network(vocabulary=320, layers=1)
    ended = small_runs.of_network(tmp_path / "ended", plan(), module, byte_tokenizer())
    log = Log(ended.log_file)
    figures = {"bits_per_byte": 1.5, "mixture": {"bits_per_byte": 1.25}}
    log.append(Event(name="finished", used_seconds=55.0, detail=figures))
    log.close()
    half = Run(tmp_path / "half")
    half.make()
    write_json(half.plan_file, plan().to_json())
    log = Log(half.log_file)
    log.append(Validation(step=5, progress=0.5, used_seconds=35, tokens=1, figure=2.5, perplexity=4, bytes=9))
    log.close()
    broken = Run(tmp_path / "broken")
    broken.make()
    broken.plan_file.write_text('{"objective":')
    (tmp_path / "notes").mkdir()
    for age, run in enumerate((half, ended, broken)):
        for file in run.path.iterdir():
            os.utime(file, (1e9 - 86_400 * age, 1e9 - 86_400 * age))
    return tmp_path


def test_every_run_is_a_row_newest_first(folder: Path) -> None:
    rows = listing.listed(str(folder))
    assert [row["name"] for row in rows] == ["half", "ended", "broken"]
    half, ended, broken = rows
    assert (half["figure"], half["mixture"], half["family"]) == (2.5, None, "gpt")
    assert (ended["figure"], ended["mixture"], ended["used_seconds"]) == (1.5, 1.25, 55.0)
    assert ended["state"] == "finished" and half["state"] != "finished"
    assert (broken["state"], broken["figure"], broken["family"]) == ("damaged", None, None)


def test_a_table_has_a_line_a_run(folder: Path) -> None:
    out = io.StringIO()
    listing.show(listing.listed(str(folder)), Console(file=out, width=160))
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert "1.500 bits/byte" in lines[2] and "1.250" in lines[2] and "2001-09-08" in lines[2]
    assert "damaged" in lines[3]


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        listing.listed(str(tmp_path / "none"))
