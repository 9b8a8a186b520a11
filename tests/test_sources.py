"""Sources and scan: every way that text comes, nothing lost on the way, and errors that say what to do."""

import bz2
import csv
import gzip
import json
import lzma
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.errors import DataError
from daybreak.data.formats import pieces as cutting
from daybreak.data.sources import Reading, builtin_sources, find


def texts(path: Path, **named) -> list[str]:
    return [document.text for document in Reading([path], **named)]


def prose(size: int, seed: int = 0) -> str:
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcdefgh", k=draw.randint(1, 9))) for _ in range(500)]
    parts: list[str] = []
    length = 0
    while length < size:
        parts.append(" ".join(draw.choices(words, k=draw.randint(5, 60))) + draw.choice(["\n", "\n\n", " \n \n"]))
        length += len(parts[-1])
    return "".join(parts)[:size]


# Which files


def test_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.txt", "a/z.txt", "a/c/y.txt", "a/.hidden", ".git/x.txt", "a/c/n.md"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    Path("a/loop").symlink_to("..")
    os.mkfifo("a/pipe")
    assert list(map(str, find(["a"]))) == ["a/c/n.md", "a/c/y.txt", "a/loop/b.txt", "a/z.txt"]
    assert list(map(str, find(["b.txt", "a"]))) == ["b.txt", "a/c/n.md", "a/c/y.txt", "a/z.txt"]
    assert list(map(str, find(["**/*.txt"]))) == ["a/c/y.txt", "a/z.txt", "b.txt"]
    assert [str(path) for path in find(["a/**/c/*.md", "b*"])] == ["a/c/n.md", "b.txt"]
    assert find(["b.txt", "./b.txt", "*.txt"]) == [Path("b.txt")]
    Path("empty").mkdir()
    for wrong in ("nothing.txt", "empty", "*.nothing", "**/nothing", "a/pipe", "no\0name"):
        with pytest.raises(DataError) as caught:
            find([wrong])
        assert caught.value.exit_code == 3 and wrong in caught.value.received and caught.value.attempt
    with pytest.raises(DataError):
        find([])


def test_binary_files(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0data")
    (tmp_path / "latin.txt").write_bytes(bytes(range(128, 256)) * 9)
    (tmp_path / "sheet.xlsx").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    (tmp_path / "text.txt").write_text("text")
    for name in ("picture.png", "latin.txt", "sheet.xlsx"):
        with pytest.raises(DataError) as caught:
            find([str(tmp_path / name)])
        assert name in caught.value.received
        with pytest.raises(DataError):
            texts(tmp_path / name, named=[tmp_path / name])
    reading = Reading(find([str(tmp_path)]))
    assert [document.text for document in reading] == ["text"]
    assert (reading.findings.skipped + reading.findings.stopped).total() == 3 and len(reading.notes) == 3
    assert all(any(name in note for note in reading.notes) for name in ("picture.png", "latin.txt", "sheet.xlsx"))


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("here")
    gone = tmp_path / "gone.txt"
    reading = Reading([gone, tmp_path / "here.txt"])
    assert [document.text for document in reading] == ["here"]
    assert reading.notes == ("1 file skipped: cannot be read, or only in part (gone.txt: No such file or directory)",)
    with pytest.raises(DataError):
        list(Reading([gone], named=[gone]))
    torn = tmp_path / "torn.gz"
    torn.write_bytes(gzip.compress(prose(50_000).encode())[:-400])
    reading = Reading([torn], named=[torn])
    assert len(list(reading)) > 1 and "its compressed data ends too early" in reading.notes[0]


def test_builtin() -> None:
    files = builtin_sources()
    names = {file.name for file in files}
    assert {"argparse.py", "topics.py"} <= names and "cp1252.py" not in names
    assert not any({"test", "site-packages"} & set(file.parts) for file in files)
    assert sum(file.stat().st_size for file in files) > 3_000_000 and files == sorted(files)


# Text

PARTS = [b"\n", b"\n\n", b"\r\n\r\n", b" ", b"x" * 3000, "é中👍".encode() * 900, b"\xff\xe4"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_packed_files_are_told_by_content(tmp_path: Path, pack) -> None:
    text = prose(60_000)
    path = tmp_path / "packed"
    path.write_bytes(pack(text.encode()))
    documents = list(Reading([path]))
    assert "".join(document.text for document in documents) == text
    assert [document.starts for document in documents] == [True] + [False] * (len(documents) - 1)
    rows = tmp_path / "rows.jsonl.gz"
    rows.write_bytes(pack(b'{"text": "a"}\n{"text": "b"}\n'))
    assert texts(rows) == ["a", "b"]


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.sampled_from(PARTS), st.integers(1, 40)),
        max_size=8,
    ),
    block=st.sampled_from([100, 4096, 50_000]),
)
def test_pieces_join_up_to_the_text(parts: list[tuple[bytes, int]], block: int) -> None:
    data = b"".join(part * count for part, count in parts)
    pieces = list(cutting.pieces((data[i : i + block] for i in range(0, len(data), block)), cutting.WHOLE))
    assert b"".join(pieces) == data
    assert pieces == list(cutting.pieces([data], cutting.WHOLE))
    assert all(len(piece) <= cutting.LONGEST_PIECE for piece in pieces)
    assert "".join(piece.decode("utf-8", "replace") for piece in pieces) == data.decode("utf-8", "replace")


def test_pieces_end_at_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "prose.txt"
    path.write_bytes(("\n\n".join(["word " * 60] * 300)).encode())
    pieces = texts(path)
    assert all(piece.endswith("\n\n") and 2048 <= len(piece) < 7 * 1024 for piece in pieces[:-1])


def test_a_text_and_its_near_copy_are_cut_at_the_same_places(tmp_path: Path) -> None:
    chance = random.Random(4)
    words = [f"word{number}" for number in range(500)]
    paragraphs = [" ".join(chance.choices(words, k=50)) for _ in range(300)]
    edited = list(paragraphs)
    for index in range(0, 300, 30):
        edited[index] = f"another word {edited[index]}"
    cut = []
    for name, parts in (("text", paragraphs), ("copy", edited)):
        (tmp_path / name).write_text("\n\n".join(parts))
        cut.append(set(texts(tmp_path / name)))
    assert len(cut[0] & cut[1]) > 0.3 * len(cut[0])


def test_bytes_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\xff\xfe\xe4\xb8\n\xef\xbf\xbd")
    reading = Reading([path])
    assert [document.text for document in reading] == ["a\r\nb\rc\ufffd\ufffd\ufffd\n\ufffd"]
    assert reading.replaced_bytes == 4 and "4 bytes" in reading.notes[0]
    assert [document.text for document in reading] and reading.replaced_bytes == 4
    path.write_text(" \n\t\n")
    assert texts(path) == []


# Rows


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    rows = [{"id": str(i), "body": f"chapter {i}\n"} for i in range(120)]
    lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join([*lines, "{broken", "", "7", '{"body": null}', '{"body": " "}', '{"body": "\\ud800!"}']))
    reading = Reading([path])
    documents = list(reading)
    assert [document.text for document in documents] == [str(row["body"]) for row in rows] + ["\ufffd!"]
    assert all(document.starts for document in documents)
    assert "books.jsonl: the column 'body' holds the text" in reading.notes
    assert reading.findings.skipped_rows == 4
    path.write_text('{"text": "short", "summary": "much longer"}\r\n{"text": "two"}')
    assert texts(path) == ["short", "two"]
    path.write_text('"plain"\n"strings"\n')
    assert texts(path) == ["plain", "strings"]
    path.write_text('{"id": 1}\n')
    with pytest.raises(DataError):
        texts(path, named=[path])


def test_a_book_in_a_row_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    book = prose(200_000) + "é"
    path.write_text(json.dumps({"text": book}) + "\n" + json.dumps({"text": "next"}))
    documents = list(Reading([path]))
    assert "".join(document.text for document in documents) == book + "next"
    assert [d.starts for d in documents] == [True] + [False] * (len(documents) - 2) + [True]


def test_tables(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    long = 'long, "quoted"\nand on two lines ' * 9000
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["", "label", "review"], ["0", "good", long], ["1", "bad", "second"], ["2", "bad"]])
    reading = Reading([path])
    assert "".join(document.text for document in reading) == long + "second"
    assert reading.findings.skipped_rows == 1 and "'review'" in reading.notes[0]
    tabs = tmp_path / "t.tsv"
    tabs.write_text("label\ttext\n1\ta, b\n")
    assert texts(tabs) == ["a, b"]
    semicolons = tmp_path / "s.csv"
    semicolons.write_text("label;text\n1;a, b\n")
    assert texts(semicolons) == ["a, b"]
    bare = tmp_path / "bare.csv"
    bare.write_text("1,the first text\n0,the second text\n")
    reading = Reading([bare])
    assert [document.text for document in reading] == ["the first text", "the second text"]
    assert "column 2 holds the text" in reading.notes[0]


MEASURED = """
import re, sys
from pathlib import Path
from daybreak.data import sources
import lzma, numpy
# What getrusage tells is never below the peak of the process that started this one.
peak = lambda: int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
print(sum(len(document.text) for document in sources.Reading([Path(sys.argv[1])])), (peak() - before) * 1024)
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system tells no peak of a process's memory")
@pytest.mark.parametrize("text", [prose(1_000_000).encode(), b"x" * 1_000_000], ids=["lines", "one line"])
def test_memory_does_not_grow_with_the_text(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "text.txt"
    with path.open("wb") as file:
        for copy in range(200):
            file.write(b"%d-" % copy + text.replace(b"a", b"%d" % copy))
    # A process of its own: a peak that earlier tests reached would hide this one.
    command = [sys.executable, "-c", MEASURED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        size, grown = map(int, line.split())
        assert size == path.stat().st_size and grown < 100_000_000
