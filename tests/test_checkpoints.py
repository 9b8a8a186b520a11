"""Checkpoints: whatever fails, and whenever, there is one that verifies, and what is broken is never loaded."""

from __future__ import annotations

import errno
import importlib.metadata
import json
import math
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import saving
import torch
import xxhash

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


def test_the_manifest_by_hand(tmp_path: Path) -> None:
    folder = checkpoints.save(tmp_path, 12, {"a": torch.zeros(3)}, {"step": 12})
    assert folder == tmp_path / "step-00000012"
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {name: (folder / name).read_bytes() for name in ("state.safetensors", "facts.json")}
    told = {
        "daybreak": importlib.metadata.version("daybreak"),
        "files": {
            name: {"bytes": len(data), "xxh3_128": xxhash.xxh3_128_hexdigest(data)} for name, data in files.items()
        },
        "format": 1,
        "step": 12,
    }
    digest = xxhash.xxh3_128_hexdigest(json.dumps(dict(sorted(told.items())), sort_keys=True).encode())
    assert manifest == {**told, "xxh3_128": digest}


def test_a_step_that_is_saved_again_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        checkpoints.save(tmp_path, 7, {"a": torch.full((1,), value)}, {"value": value})
    assert checkpoints.newest(tmp_path)[0]["a"].tolist() == [2.0]
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000007"]


def planned_facts(step: int, planned: int) -> dict[str, Any]:
    return {"planned": planned, "position": {"step": step}}


@pytest.mark.parametrize(("planned", "left"), [(-1, [4, 3]), (2, [4, 2])])
def test_where_the_disk_is_full_older_ones_make_room_but_for_the_planned_or_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planned: int, left: list[int]
) -> None:
    for step in (2, 3):
        checkpoints.save(tmp_path, step, {"a": torch.zeros(1)}, planned_facts(step, planned))
    real, found = checkpoints.save_file, []

    def limited(*about: Any) -> None:
        found.append(steps_in(tmp_path))
        if len(found[-1]) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*about)

    monkeypatch.setattr(checkpoints, "save_file", limited)
    folder = checkpoints.save(tmp_path, 4, {"a": torch.ones(1)}, planned_facts(4, planned))
    assert folder.name == "step-00000004" and steps_in(tmp_path) == left and found == [[3, 2], left[1:]]


@pytest.mark.parametrize(("steps", "tries"), [((), 1), ((1,), 1), ((1, 2), 2)])
def test_where_the_disk_stays_full_one_is_left_and_what_is_needed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: tuple[int, ...], tries: int
) -> None:
    saved(tmp_path, *steps)
    found = []

    def full(*_: Any) -> None:
        found.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(ResourceError, match=r"No space left on device; it takes .*8 bytes"):
        checkpoints.save(tmp_path, 3, {"a": torch.zeros(2)}, {})
    assert steps_in(tmp_path) == list(steps[-1:]) and len(found) == tries


def test_a_folder_that_cannot_be_made_is_told_with_its_own_reason(tmp_path: Path, asked: Any) -> None:
    asked("checkpoint.make:EROFS@*")
    with pytest.raises(ResourceError, match="Read-only"):
        saved(tmp_path, 1)


@pytest.mark.parametrize("folders", [False, True])
def test_files_must_be_synced_and_folders_where_that_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: bool
) -> None:
    def refused(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == folders:
            raise OSError(errno.EINVAL, "no sync here")

    monkeypatch.setattr(os, "fsync", refused)
    if folders:
        saved(tmp_path, 1)
    else:
        with pytest.raises(ResourceError, match="no sync here"):
            saved(tmp_path, 1)
    assert steps_in(tmp_path) == [1] * folders


def test_what_is_half_removed_is_no_checkpoint_and_is_removed_by_the_next_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, 1, 2)
    (tmp_path / ".step-00000009.new").mkdir()
    with monkeypatch.context() as killed:
        killed.setattr(shutil, "rmtree", lambda *_, **__: None)
        checkpoints.forget_after(tmp_path, 1)
        checkpoints._removed(tmp_path.glob(".step-00000009.new"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".step-00000002.old",
        ".step-00000009.new",
        "step-00000001",
    ]
    saved(tmp_path, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001", "step-00000003"]


def test_a_file_that_cannot_be_removed_does_not_keep_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, 1, 2)
    tried = []

    def refused(name: Any, **_: Any) -> None:
        tried.append(os.path.basename(name))  # noqa: PTH119
        raise PermissionError(errno.EPERM, "not removed", name)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refused)
        checkpoints.forget_after(tmp_path, 1)
    assert sorted(tried) == ["facts.json", "manifest.json", "state.safetensors"] and steps_in(tmp_path) == [1]


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


def signed(folder: Path, **changes: Any) -> None:
    """Changes the manifest, with a digest that is right."""
    told = {**json.loads((folder / "manifest.json").read_text()), **changes}
    del told["xxh3_128"]
    digest = xxhash.xxh3_128_hexdigest(json.dumps(told, sort_keys=True).encode())
    (folder / "manifest.json").write_text(json.dumps({**told, "xxh3_128": digest}))


def test_a_manifest_whose_digest_is_not_its_own_is_named(tmp_path: Path) -> None:
    made(tmp_path)
    path = tmp_path / "step-00000002" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "daybreak": "0.0"}))
    (warning,) = checkpoints.newest(tmp_path)[2]
    assert warning.startswith("step-00000002 is damaged (manifest.json)")


def test_what_is_not_as_the_manifest_says_is_named(tmp_path: Path) -> None:
    def reason(change: Callable[[Path], Any]) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        made(folder)
        change(folder / "step-00000002")
        tensors, facts, (warning,) = checkpoints.newest(folder)
        assert facts == {"step": 1} and tensors["a"][0] == 1.0
        return warning.partition("(")[2].partition(")")[0]

    def without_facts(folder: Path) -> None:
        files = json.loads((folder / "manifest.json").read_text())["files"]
        signed(folder, files={"state.safetensors": files["state.safetensors"]})
        (folder / "facts.json").unlink()

    assert reason(lambda folder: signed(folder, step=1)) == "it is of step 1"
    assert reason(without_facts) == "not in its manifest: facts.json"
    assert reason(lambda folder: (folder / "more").write_bytes(b"")) == "unknown: more"
    assert reason(lambda folder: flip(folder / "state.safetensors")) == "state.safetensors"
    for name in ("facts.json", "state.safetensors"):
        assert reason(lambda folder, name=name: (folder / name).write_bytes(b"")) == name


def test_where_only_planned_ones_are_wanted_one_whose_facts_cannot_be_read_is_none(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoints.save(tmp_path, step, {"a": torch.full((1,), float(step))}, planned_facts(step, step))
    (tmp_path / "step-00000002" / "facts.json").write_text("{")
    tensors, _, warnings = checkpoints.newest(tmp_path, planned=True)
    assert tensors["a"].item() == 1.0 and warnings == []


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


def test_a_save_that_is_waited_for_tells_what_it_has_met(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    writer = checkpoints.Writer(tmp_path / "file", now=lambda: 0.0)
    writer.save(1, {"a": torch.zeros(1)}, {})
    with pytest.raises(ResourceError):
        writer.wait()
    writer.wait()


def test_a_save_tells_the_seconds_that_it_took_and_ends_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    presents = iter([10.0, 13.5])
    writer = checkpoints.Writer(tmp_path, now=lambda: next(presents))
    assert (writer.seconds, writer.processor_seconds) == (0.0, 0.0) and not writer.busy()
    monkeypatch.setattr(time, "thread_time", iter([1.0, 1.25]).__next__)
    writer.save(1, {"a": torch.zeros(1)}, {})
    assert writer._thread.daemon
    writer.wait()
    assert (writer.seconds, writer.processor_seconds) == (3.5, 0.25)


def test_the_newest_planned_one_is_kept_beside_the_two_newest(tmp_path: Path) -> None:
    for step, planned in ((0, 0), (2, 2), (3, 2), (4, 2), (5, 2)):
        checkpoints.save(tmp_path, step, {"a": torch.full((1,), float(step))}, planned_facts(step, planned))
    names = [path.name for path in checkpoints.checkpoints(tmp_path)]
    assert names == ["step-00000005", "step-00000004", "step-00000002"]
    assert checkpoints.newest(tmp_path)[0]["a"].item() == 5.0
    assert checkpoints.newest(tmp_path, planned=True)[0]["a"].item() == 2.0
    checkpoints.forget_after(tmp_path, 2)
    assert checkpoints.newest(tmp_path)[0]["a"].item() == 2.0
