"""Checkpoints: whatever fails, and whenever, there is one that verifies, and what is broken is never loaded."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import saving
import torch

from daybreak.core.errors import ResourceError, UsageError
from daybreak.engine import checkpoints, faults

ROUND = ("sweep", "make", "state", "facts", "sync@1", "sync@2", "manifest", "sync@3", "sync@4", "rename")
AFTER = ("renamed", "sync@5", "prune")


def points(kind: str, names: tuple[str, ...] = (*ROUND, *AFTER)) -> list[str]:
    return [f"checkpoint.{name.partition('@')[0]}:{kind}@{name.partition('@')[2] or 1}" for name in names]


def carried_out(folder: Path, asked: list[str]) -> list[dict[str, Any]]:
    words = [sys.executable, str(Path(saving.__file__)), str(folder), *asked]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "DAYBREAK_FAULT": ""})
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == len(asked)
    return told


def steps_in(folder: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in checkpoints.checkpoints(folder)]


def test_every_point_of_a_save_is_named() -> None:
    here = {point for point in faults.POINTS if point.startswith("checkpoint.")}
    assert here == {fault.partition(":")[0] for fault in points("kill")}


@pytest.mark.promise("killed at each file operation of a save, there is a whole checkpoint", 13)
def test_killed_before_each_file_operation_there_is_a_checkpoint_and_the_next_save_clears_up(tmp_path: Path) -> None:
    for number, told in enumerate(carried_out(tmp_path, points("kill"))):
        folder, where = tmp_path / str(number), told["fault"]
        assert os.WTERMSIG(told["status"]) == 9, f"{where} was never reached"
        tensors, facts, warnings = checkpoints.newest(folder)
        assert facts["step"] == (3 if number >= len(ROUND) else 2), where
        assert not warnings and torch.equal(tensors["b"], torch.arange(facts["step"] + 8)), where
        checkpoints.save(folder, 4, *saving.state(4))
        assert steps_in(folder) == [4, facts["step"]] and len(list(folder.iterdir())) == 2, where


@pytest.mark.promise(
    "a disk that is full, read-only, over quota or broken at each file operation of a save leaves a whole checkpoint",
    16,
)
@pytest.mark.parametrize(
    "kind", ["ENOSPC", "EIO", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("EROFS", "EDQUOT"))]
)
def test_a_disk_that_fails_at_each_file_operation_leaves_a_checkpoint(tmp_path: Path, kind: str) -> None:
    once, for_good = (
        points(kind),
        [fault.partition("@")[0] + "@*" for fault in points(kind, ("make", "state", "rename"))],
    )
    for number, told in enumerate(carried_out(tmp_path, [*once, *for_good])):
        folder, where = tmp_path / str(number), told["fault"]
        _, facts, warnings = checkpoints.newest(folder)
        assert not warnings and facts["step"] in (2, 3), where
        if where in for_good:
            assert told["status"] and facts["step"] == 2, where
            assert "bytes" in told["said"] and "the checkpoint before" in told["said"], told["said"]
        checkpoints.save(folder, 4, *saving.state(4))
        assert steps_in(folder)[0] == 4 and checkpoints.newest(folder)[1] == {"step": 4}, where


# What is kept


def saved(folder: Path, *numbers: int) -> None:
    for number in numbers:
        checkpoints.save(folder, number, {"a": torch.full((4,), float(number))}, {"step": number})


def test_the_two_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path / "nothing") == ({}, {}, []) and not checkpoints.checkpoints(
        tmp_path / "nothing"
    )
    saved(tmp_path, 1, 2, 30, 4)
    assert [path.name for path in checkpoints.checkpoints(tmp_path)] == ["step-00000030", "step-00000004"]
    found = checkpoints.newest(tmp_path)
    assert found[1] == {"step": 30} and found[2] == []
    assert found[0]["a"].tolist() == [30.0] * 4
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip(folder / "state.safetensors"),
        lambda folder: (folder / "state.safetensors").write_bytes(b""),
        lambda folder: (folder / "state.safetensors").write_bytes((folder / "state.safetensors").read_bytes()[:-5]),
        lambda folder: (folder / "state.safetensors").unlink(),
        lambda folder: (folder / "facts.json").write_text('{"step": 9}'),
        lambda folder: (folder / "facts.json").unlink(),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text('{"fil'),
        lambda folder: (folder / "manifest.json").write_text("{}"),
        lambda folder: (folder / "manifest.json").write_text("[]"),
    ],
    ids=["bit", "empty", "cut", "gone", "facts", "no facts", "no manifest", "torn manifest", "{}", "[]"],
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before_with_a_warning(tmp_path: Path, damage: Any) -> None:
    saved(tmp_path, 1, 2)
    damage(tmp_path / "step-00000002")
    found = checkpoints.newest(tmp_path)
    assert found[1] == {"step": 1} and found[0]["a"].tolist() == [1.0] * 4
    assert len(found[2]) == 1 and "step-00000002" in found[2][0]


def test_checkpoints_that_are_all_damaged_leave_nothing_but_warnings(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    for number in (1, 2):
        flip(tmp_path / f"step-0000000{number}" / "state.safetensors")
    found = checkpoints.newest(tmp_path)
    assert found[0] == {} and found[1] == {} and len(found[2]) == 2


def test_a_checkpoint_that_was_being_written_is_no_checkpoint(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    (tmp_path / ".step-00000002.new").mkdir()
    found = checkpoints.newest(tmp_path)
    assert found[1] == {"step": 1} and found[2] == []
    saved(tmp_path, 2)
    found = checkpoints.newest(tmp_path)
    assert found[1] == {"step": 2}


def test_a_full_disk_leaves_the_checkpoints_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(ResourceError, match="No space left"):
        saved(tmp_path, 2)
    found = checkpoints.newest(tmp_path)
    assert found[1] == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_facts_come_back_to_the_last_bit(tmp_path: Path) -> None:
    facts = {"progress": 0.1 + 0.2, "schedule": [1 / 3, math.pi], "position": {"step": 3, "rate": 1.0}}
    checkpoints.save(tmp_path, 3, {"a": torch.zeros(1)}, facts)
    found = checkpoints.newest(tmp_path)
    assert found[1] == facts == json.loads(json.dumps(facts))


# What is broken


DAMAGED = "a checkpoint with a file that is cut, missing, extra or another's gives way to the one before"


def made(folder: Path) -> list[Path]:
    for step in (1, 2):
        checkpoints.save(folder, step, *saving.state(step))
    return sorted((folder / "step-00000002").iterdir())


@pytest.mark.promise(DAMAGED, 1)
@pytest.mark.parametrize(
    "left", [0.0, 1.0, 0.5, 0.99, -1.0], ids=["nothing", "a byte", "half", "99%", "all but a byte"]
)
@pytest.mark.parametrize("name", ["state.safetensors", "facts.json", "manifest.json"])
def test_a_cut_file_gives_way_to_the_checkpoint_before(tmp_path: Path, name: str, left: float) -> None:
    made(tmp_path)
    path = tmp_path / "step-00000002" / name
    data = path.read_bytes()
    path.write_bytes(data[: int(left if abs(left) == 1 else left * len(data))])
    _, facts, warnings = checkpoints.newest(tmp_path)
    assert facts == {"step": 1}
    assert len(warnings) == 1 and "step-00000002" in warnings[0]


@pytest.mark.promise("a flipped bit of a checkpoint is seen before use", 500)
def test_500_flipped_bits_are_all_seen(tmp_path: Path) -> None:
    files, chance = made(tmp_path), random.Random(7)
    for _ in range(500):
        path = chance.choice(files)
        data = bytearray(path.read_bytes())
        place, bit = chance.randrange(len(data)), chance.randrange(8)
        data[place] ^= 1 << bit
        path.write_bytes(bytes(data))
        assert checkpoints.newest(tmp_path)[1] == {"step": 1}, f"bit {bit} of byte {place} of {path.name}"
        data[place] ^= 1 << bit
        path.write_bytes(bytes(data))
    assert checkpoints.newest(tmp_path)[1] == {"step": 2}


@pytest.mark.promise(DAMAGED, 1)
@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "more.bin").write_bytes(b"x"),
        lambda folder: (folder / "state.safetensors").unlink(),
        lambda folder: (folder / "facts.json").rename(folder / "other.json"),
        lambda folder: (folder / "manifest.json").write_text("{}"),
        lambda folder: (folder / "manifest.json").write_text("[]"),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_bytes(
            (folder.parent / "step-00000001" / "manifest.json").read_bytes()
        ),
        lambda folder: (folder / "state.safetensors").write_bytes(
            (folder.parent / "step-00000001" / "state.safetensors").read_bytes()
        ),
    ],
    ids=["extra", "missing", "renamed", "{}", "[]", "no manifest", "another's manifest", "another's state"],
)
def test_another_set_of_files_gives_way_to_the_checkpoint_before(tmp_path: Path, change: Callable[[Path], Any]) -> None:
    made(tmp_path)
    change(tmp_path / "step-00000002")
    _, facts, warnings = checkpoints.newest(tmp_path)
    assert facts == {"step": 1} and "step-00000002" in warnings[0]


def test_what_a_newer_version_wrote_is_refused_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(checkpoints, "FORMAT", checkpoints.FORMAT + 1)
        later.setattr(checkpoints, "_version", lambda: "9.9")
        made(tmp_path)
    with pytest.raises(UsageError) as caught:
        checkpoints.newest(tmp_path)
    assert "9.9" in caught.value.received and "9.9" in caught.value.attempt


# Beside the training


def test_the_training_waits_for_a_copy_only_and_what_it_changes_meanwhile_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, real = threading.Event(), checkpoints.save

    def slow(*about: Any) -> Path:
        assert go_on.wait(20)
        return real(*about)

    monkeypatch.setattr(checkpoints, "save", slow)
    writer, weight, facts = checkpoints.Writer(tmp_path, now=lambda: 0.0), torch.zeros(4), {"position": {"step": 1}}
    writer.save(1, {"a": weight.t()}, facts)
    weight += 1
    facts["position"]["step"] += 1
    assert writer.busy() and not steps_in(tmp_path)
    go_on.set()
    writer.wait()
    assert not writer.busy()
    tensors, kept, _ = checkpoints.newest(tmp_path)
    assert tensors["a"].tolist() == [0.0] * 4 and kept == {"position": {"step": 1}}


def test_what_a_save_has_met_is_told_at_the_next(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    writer = checkpoints.Writer(tmp_path / "file", now=lambda: 0.0)
    writer.save(1, {"a": torch.zeros(1)}, {})
    writer._thread.join()
    (tmp_path / "file").unlink()
    with pytest.raises(ResourceError, match="4 bytes"):
        writer.save(2, {"a": torch.zeros(1)}, {})
    writer.wait()
    assert [path.name for path in checkpoints.checkpoints(tmp_path / "file")] == ["step-00000002"]


def test_the_newest_planned_one_is_kept_beside_the_two_newest(tmp_path: Path) -> None:
    def facts(step: int, planned: int) -> dict:
        return {"planned": planned, "position": {"step": step}}

    for step, planned in ((0, 0), (2, 2), (3, 2), (4, 2), (5, 2)):
        checkpoints.save(tmp_path, step, {"a": torch.full((1,), float(step))}, facts(step, planned))
    names = [path.name for path in checkpoints.checkpoints(tmp_path)]
    assert names == ["step-00000005", "step-00000004", "step-00000002"]
    assert checkpoints.newest(tmp_path)[0]["a"].item() == 5.0
    assert checkpoints.newest(tmp_path, planned=True)[0]["a"].item() == 2.0
    checkpoints.forget_after(tmp_path, 2)
    assert checkpoints.newest(tmp_path)[0]["a"].item() == 2.0
