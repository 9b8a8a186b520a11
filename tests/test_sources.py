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
from daybreak.data import scan as scanning
from daybreak.data.formats import pieces as cutting
from daybreak.data.sources import Document, Reading, builtin_sources, find


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
    assert sum(reading.skipped.values()) == 3 and len(reading.notes) == 3
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
    with pytest.raises(DataError):
        list(Reading([torn], named=[torn]))


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
    assert all(piece.endswith("\n\n") and 4096 <= len(piece) < 4096 + 310 for piece in pieces[:-1])


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
    assert reading.skipped_rows == 4
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
    assert reading.skipped_rows == 1 and "'review'" in reading.notes[0]
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


# Scan


def test_scan_tells_facts(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    text = prose(300_000) + "中文12"
    path.write_text(text)
    facts = scanning.scan([path])
    assert facts.bytes + facts.heldout_bytes == len(text.encode())
    assert 20_000 <= facts.heldout_bytes <= 30_000 and facts.files == 1
    assert sum(facts.languages.values()) == pytest.approx(1) and facts.languages["cjk"] > 0
    assert 1 < scanning.xz_bits_per_byte(facts.sample) < 8 and facts.bytes_per_second > 0
    heldout: list[Document] = []
    training = list(scanning.documents([path], facts.threshold, aside=heldout.append))
    assert tuple(document.text for document in training) == facts.sample
    assert (len(training), len(heldout)) == (facts.documents, facts.heldout_documents)
    assert sum(len(d.text.encode()) for d in heldout) == facts.heldout_bytes
    assert sum(d.starts for d in training) > 1 and heldout[0].starts
    smaller = scanning.scan([path], sample_bytes=50_000)
    assert 50_000 <= sum(map(len, smaller.sample)) < 60_000 and set(smaller.sample) < set(facts.sample)


def test_digest_is_of_the_text(tmp_path: Path) -> None:
    text = prose(100_000)
    (tmp_path / "a.txt").write_text(text)
    (tmp_path / "b").write_bytes(lzma.compress(text.encode()))
    (tmp_path / "c.txt").write_text(text + "!")
    digests = [scanning.scan([tmp_path / name]).digest for name in ("a.txt", "b", "c.txt")]
    assert digests[0] == digests[1] != digests[2]
    given_a, given_c = (scanning.scan([tmp_path / "a.txt"], heldout=tmp_path / name).digest for name in ("b", "c.txt"))
    assert len({*digests, given_a, given_c}) == 4


def test_a_heldout_file(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(prose(50_000, 1))
    test = tmp_path / "test.txt"
    test.write_text("test me")
    paths = find([str(tmp_path)])
    facts = scanning.scan(paths, heldout=test)
    assert (facts.bytes, facts.heldout_bytes, facts.threshold) == (50_000, 7, 0.0)
    heldout: list[Document] = []
    training = list(scanning.documents(paths, 0.0, test, aside=heldout.append))
    assert heldout == [Document("test me", True)] and "".join(d.text for d in training) == prose(50_000, 1)
    test.write_text(" ")
    with pytest.raises(DataError):
        scanning.scan(paths, heldout=test)


def test_streams_keep_neighbours_joined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pieces = [
        Document("a", True),
        Document("b", False),
        Document("c", False),
        Document("d", False),
        Document("e", True),
    ]
    shares = dict(zip("abcde", (0.5, 0.0, 0.0, 0.5, 0.0), strict=True))
    monkeypatch.setattr(scanning, "Reading", lambda paths: pieces)
    monkeypatch.setattr(scanning.held, "share", lambda digest: shares[digest.decode()])
    monkeypatch.setattr(scanning.held, "digest", lambda text: text)
    heldout: list[Document] = []
    training = list(scanning.documents([], 0.1, aside=heldout.append))
    assert training == [Document("a", True), Document("d", True)]
    assert heldout == [Document("b", True), Document("c", False), Document("e", True)]


def test_a_beginning_in_hash_order_is_from_all_over() -> None:
    documents = [Document(f"{i:04d} {part}", part == 0) for i in range(400) for part in range(1 + i % 3)]
    ordered = scanning.in_hash_order(documents)
    assert sorted(d.text for d in ordered) == [d.text for d in documents]
    first = [int(d.text[:4]) for d in ordered[:200]]
    assert 150 < sum(first) / len(first) < 250  # of 0 to 399, not of the first hundred
    places = {d.text: place for place, d in enumerate(ordered)}
    assert all(places[f"{i:04d} 1"] == places[f"{i:04d} 0"] + 1 for i in range(1, 400, 3))
    assert scanning.in_hash_order(documents[::-1][:0]) == []


def test_too_little_text_says_why(tmp_path: Path) -> None:
    (tmp_path / "small.txt").write_text("small")
    (tmp_path / "picture").write_bytes(b"\0" * 90_000)
    with pytest.raises(DataError) as caught:
        scanning.scan(find([str(tmp_path)]))
    assert "binary" in caught.value.received and "--heldout" in caught.value.attempt


MEASURED = """
import resource, sys
from pathlib import Path
from daybreak.data import scan, sources
import lzma, numpy
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
print(sum(len(document.text) for document in sources.Reading([Path(sys.argv[1])])), (peak() - before) * 1024)
facts = scan.scan([Path(sys.argv[1])])
print(facts.bytes + facts.heldout_bytes, (peak() - before) * 1024)
"""


@pytest.mark.long
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
