"""Bombs and traps: files that unpack without end, nest without bottom or change while they are read."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from daybreak.core.errors import DataError
from daybreak.data.formats import limits
from daybreak.data.sources import Document, Reading, find

GOOD = "A good file, with words in it.\n"


def beside(path: Path) -> tuple[list[Document], tuple[str, ...]]:
    """Of the file, and then of a good one that has to be read whatever comes before it."""
    good = path.with_name("zz-good.txt")
    good.write_text(GOOD)
    reading = Reading([path, good])
    documents = list(reading)
    assert documents[-1].text == GOOD
    return documents[:-1], reading.notes


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zstandard.compress, lambda data: zipped("a.txt", data)])
def test_a_bomb_is_stopped_by_its_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack) -> None:
    monkeypatch.setattr(limits, "RATIO_FROM_BYTES", 500_000)
    zeros = pack(b"x" * 3_000_000)
    path = tmp_path / "bomb"
    path.write_bytes(zeros if pack is not gzip.compress else pack(zeros))
    documents, notes = beside(path)
    assert sum(len(d.text) for d in documents) <= 2 * limits.RATIO_FROM_BYTES + limits.PACKED_RATIO * len(zeros)
    if len(zeros) * limits.PACKED_RATIO < 3_000_000:
        assert "unpacks to more than 1000 times its size" in notes[0] and "bomb" in notes[0]


def test_the_total_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNPACKED_BYTES", 100_000)
    (tmp_path / "big.gz").write_bytes(gzip.compress(os.urandom(150_000).hex().encode()))
    _, notes = beside(tmp_path / "big.gz")
    assert "read in part" in notes[0] and "big.gz" in notes[0]


def test_twenty_levels(tmp_path: Path) -> None:
    data = GOOD.encode()
    for level in range(20):
        data = zipped("a.zip", data) if level % 2 else gzip.compress(data)
    (tmp_path / "deep").write_bytes(data)
    documents, notes = beside(tmp_path / "deep")
    assert not documents and "compressed more than 4 levels deep" in notes[0] and "deep" in notes[0]
    with pytest.raises(DataError) as caught:
        find([str(tmp_path / "deep")])
    assert "deep" in caught.value.received


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    for name in ("../../escape.txt", "/tmp/daybreak-escape.txt"):
        (inside / "trap.zip").write_bytes(zipped(name, GOOD.encode()))
        documents, _ = beside(inside / "trap.zip")
        assert [d.text for d in documents] == [GOOD]
    with tarfile.open(inside / "trap.tar", "w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        info = tarfile.TarInfo("../../escape.txt")
        info.size = len(GOOD)
        archive.addfile(info, io.BytesIO(GOOD.encode()))
    assert [d.text for d in beside(inside / "trap.tar")[0]] == [GOOD]
    assert not list(tmp_path.rglob("escape*")) and not Path("/tmp/daybreak-escape.txt").exists()


def test_odd_files_and_names(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "new\nline.txt").write_text("in a name with a line break")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.txt")).write_text("in a name that is no UTF-8")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xfe\n.bin")).write_bytes(b"\0" * 99)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "out").symlink_to("/dev/zero")
    reading = Reading(find([str(tmp_path)]))
    assert {d.text for d in reading} == {"in a name with a line break", "in a name that is no UTF-8"}
    assert all("\n" not in note and note.encode() for note in reading.notes)
    reading = Reading([tmp_path / "pipe", tmp_path / "out"])  # named after they were found, or put there since
    assert not list(reading) and "not a regular file" in reading.notes[0]


@pytest.mark.parametrize("change", ["grow", "shrink", "vanish", "replace", "write"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: str) -> None:
    path = tmp_path / "live.txt"
    path.write_text("some words on a line\n" * 100_000)
    good = tmp_path / "zz-good.txt"
    good.write_text(GOOD)
    reading = Reading([path, good])
    documents: Iterator[Document] = iter(reading)
    next(documents)
    if change == "grow":
        with path.open("a") as file:
            file.write("more\n" * 1000)
    elif change == "shrink":
        os.truncate(path, 500_000)
    elif change == "vanish":
        path.unlink()
    elif change == "replace":
        path.with_name("new").write_text("new")
        path.with_name("new").rename(path)
    else:
        with path.open("r+") as file:
            file.write("x")
        os.utime(path, ns=(1, 1))
    assert list(documents)[-1].text == GOOD
    said = {"grow": "grew", "shrink": "shrank", "vanish": "vanished", "replace": "replaced", "write": "written"}[change]
    note = next(note for note in reading.notes if said in note)
    assert "live.txt: at byte " in note


def test_parquet_with_a_lying_header(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"text": [f"text {i}" for i in range(1000)]}), path)
    data = path.read_bytes()
    for place in (4, 100, len(data) - 8, len(data) - 60, len(data) - 200):
        path.write_bytes(data[:place] + b"\xff\xff\xff\x7f" + data[place + 4 :])
        documents, notes = beside(path)
        assert len(documents) == 1000 or "rows.parquet" in notes[0]


# Huge structures, in a process of its own with a bound on its memory


READ = """
import re, sys
from pathlib import Path
from daybreak.data.sources import Reading
reading = Reading([Path(sys.argv[1])])
count = sum(1 for _ in reading)
# What getrusage tells is never below the peak of the process that started this one.
peak = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
print(count, peak // 1024, *reading.notes, sep="\\t")
"""


def measured(path: Path) -> tuple[int, int, str]:
    """Documents, megabytes at the peak, notes."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not say how much memory a process has had")
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    count, peak, *notes = done.stdout.rstrip("\n").split("\t")
    return int(count), int(peak), " ".join(notes)


@pytest.mark.parametrize("name", ["nested.json", "nested.jsonl", "nested.xml"])
def test_a_hundred_thousand_levels(tmp_path: Path, name: str) -> None:
    depth = 100_000
    (tmp_path / name).write_text({"nested.xml": "<?xml version='1.0'?>" + "<a>" * depth + "x" + "</a>" * depth}.get(
        name, '{"a":' * depth + "1" + "}" * depth + '\n{"text": "after"}\n'))  # fmt: skip
    count, peak, _ = measured(tmp_path / name)
    assert count <= 2 and peak < 1000


@pytest.mark.long
@pytest.mark.parametrize("shape", ["rows", "string", "quote", "numbers"])
def test_huge_structures_stay_under_a_gigabyte(tmp_path: Path, shape: str) -> None:
    path = tmp_path / ("a.csv" if shape == "quote" else "a.json")
    row = json.dumps({"text": "words in a row " * 60})
    with path.open("w") as file:
        if shape == "rows":
            file.write("[" + row)
            for _ in range(2200):
                file.write(("," + row) * 100)
            file.write("]")
        elif shape == "numbers":
            file.write('{"text": "a", "numbers": [[1')
            for _ in range(1000):
                file.write(",1" * 100_000)
            file.write("]]}")
        else:
            file.write('{"text": "' if shape == "string" else 'text,label\nfirst,1\n"open,2\n')
            for _ in range(2000):
                file.write("words, and more\n" * 6500 if shape == "quote" else "words and more " * 6700)
            file.write('"}' if shape == "string" else "")
    assert path.stat().st_size > 195_000_000
    count, peak, notes = measured(path)
    assert peak < 1000, notes
    assert count == 220_001 if shape == "rows" else "MB" in notes or count
