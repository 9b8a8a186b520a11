"""Packings: compressed data is unpacked as far as it goes, and what is not read of it is told."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import json
import lzma
import struct
import tarfile
import time
import zlib
from pathlib import Path

import pytest
import zstandard

from daybreak.core.errors import DataError
from daybreak.data import questions
from daybreak.data.formats import limits
from daybreak.data.formats.findings import Findings
from daybreak.data.formats.packings import packing
from daybreak.data.sources import Reading, find

LINES = [f"Line {number} of the text says {number * number % 977} and goes on.\n" for number in range(1000)]
TEXT = "".join(LINES)
DATA = TEXT.encode()


def alone(data: bytes) -> bytes:
    return lzma.compress(data, format=lzma.FORMAT_ALONE, preset=0)


def sized(data: bytes) -> bytes:
    """With its size in the header, as the tool lzma writes it."""
    packed = alone(data)
    return packed[:5] + struct.pack("<Q", len(data)) + packed[13:]


PACKS = {
    "gz": gzip.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "bz2": bz2.compress,
    "zst": zstandard.compress,
}


def read(path: Path) -> tuple[str, Findings]:
    reading = Reading([path])
    return "".join(document.text for document in reading), reading.findings


def read_bytes(folder: Path, data: bytes, name: str = "text.txt.packed") -> tuple[str, Findings]:
    path = folder / name
    path.write_bytes(data)
    return read(path)


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize(
    "behind", [b"garbage behind", b"\0" * 700 + b"-----BEGIN SIGNATURE-----", b"\x1f", b"BZ" * 999]
)
def test_what_is_behind_the_end_is_counted(tmp_path: Path, pack: str, behind: bytes) -> None:
    text, findings = read_bytes(tmp_path, PACKS[pack](DATA) + behind)
    assert text == TEXT
    (note,) = findings.passed_over()
    assert note.startswith("1 part left out: bytes behind the end of compressed data (")
    assert findings.lost.total() == len(behind.lstrip(b"\0"))
    find([str(tmp_path / "text.txt.packed")])  # named itself, it is no error


@pytest.mark.parametrize("pack", PACKS)
def test_zeros_behind_the_end_are_nothing(tmp_path: Path, pack: str) -> None:
    for zeros in (1, 511, 512, 70_000):
        text, findings = read_bytes(tmp_path, PACKS[pack](DATA) + b"\0" * zeros)
        assert text == TEXT and not findings.passed_over()


@pytest.mark.parametrize("pack", PACKS)
def test_parts_follow_one_another(tmp_path: Path, pack: str) -> None:
    for between in (b"", b"\0" * 512):
        parts = between.join(PACKS[pack]("".join(LINES[n : n + 50]).encode()) for n in range(0, len(LINES), 50))
        text, findings = read_bytes(tmp_path, parts + PACKS[pack](b""))
        assert text == TEXT and not findings.passed_over()
    text, _ = read_bytes(tmp_path, PACKS[pack](b"") + PACKS[pack](DATA))
    assert text == TEXT


@pytest.mark.parametrize(("pack", "place"), list(itertools.product(PACKS, (0.3, 0.7, 0.999))))
def test_a_file_that_ends_too_early_is_read_as_far_as_it_goes(tmp_path: Path, pack: str, place: float) -> None:
    packed = b"".join(PACKS[pack]("".join(LINES[n : n + 50]).encode()) for n in range(0, len(LINES), 50))
    text, findings = read_bytes(tmp_path, packed[: int(place * len(packed))])
    assert TEXT.startswith(text) and len(text) > (place - 0.15) * len(TEXT)
    (note,) = findings.passed_over()
    if findings.parts:  # cut within the first bytes of a part, by which it would have been told
        assert findings.lost.total() < 10
    else:
        assert note.startswith("1 file read in part: its compressed data ends too early (text.txt.packed: ")
    find([str(tmp_path / "text.txt.packed")])


@pytest.mark.parametrize("pack", PACKS)
def test_damage_in_the_middle_stops_there(tmp_path: Path, pack: str) -> None:
    parts = [bytearray(PACKS[pack]("".join(LINES[n : n + 100]).encode())) for n in range(0, len(LINES), 100)]
    middle = parts[5]
    for place in range(len(middle) // 2, len(middle) // 2 + 40):
        middle[place] ^= 0x5A
    text, findings = read_bytes(tmp_path, b"".join(parts))
    assert TEXT.startswith(text[: sum(map(len, LINES[:500]))]) and len(text) >= sum(map(len, LINES[:500]))
    assert any(reason.startswith("its compressed data") for reason in findings.stopped)


@pytest.mark.parametrize("pack", PACKS)
def test_a_file_of_which_nothing_can_be_read_is_refused(tmp_path: Path, pack: str) -> None:
    path = tmp_path / "text.packed"
    path.write_bytes(PACKS[pack](DATA)[:20])
    with pytest.raises(DataError):
        find([str(path)])
    text, findings = read(path)
    assert not text and findings.skipped.total() == 1 and findings.lost.total() == 20


@pytest.mark.parametrize("pack", [alone, sized, zlib.compress])
def test_packings_without_a_magic(tmp_path: Path, pack) -> None:
    for data in (DATA, b"a word", DATA[:999] * 300):
        text, findings = read_bytes(tmp_path, pack(data), "text")
        assert text == data.decode() and not findings.passed_over()
    text, findings = read_bytes(tmp_path, pack(DATA) + b"more")
    assert text == TEXT and findings.lost.total() == 4
    text, findings = read_bytes(tmp_path, pack(DATA)[:-300])
    assert len(text) > 0.9 * len(TEXT) and findings.stopped


@pytest.mark.parametrize(
    "head", ["]\0 words", "x\x9cuvre", "]]]]]]]]]]]]]]]]]]]]]]]]]", "(\xb5/ text", "BZh91AY", "x^2 + 1"]
)
def test_text_is_not_taken_for_packed_data(head: str) -> None:
    for encoded in (head.encode("latin-1"), head.encode("latin-1") + b" and more words of it" * 40):
        assert packing(encoded[:512], "a.txt") is None
    assert packing("Ur skouer eo, gant é.".encode(), "brezhoneg.br") is None


@pytest.mark.parametrize("codec", ["lz4", "brotli"])
def test_packings_of_pyarrow(tmp_path: Path, codec: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, codec) as file:
        file.write(DATA)
    packed = sink.getvalue().to_pybytes()
    name = {"lz4": "text", "brotli": "text.txt.br"}[codec]
    text, findings = read_bytes(tmp_path, packed, name)
    assert text == TEXT and not findings.passed_over()
    text, findings = read_bytes(tmp_path, packed[: len(packed) * 2 // 3], name)
    assert TEXT.startswith(text) and (findings.stopped or findings.skipped)


def test_a_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    _, findings = read_bytes(tmp_path, b"\x04\x22\x4d\x18" + bytes(90), "text")
    assert "pyarrow" in findings.passed_over()[0]


def test_frames_of_zstandard_that_are_to_be_skipped(tmp_path: Path) -> None:
    skipped = b"\x53\x2a\x4d\x18" + struct.pack("<I", 3000) + b"\xff" * 3000
    for packed in (
        skipped + zstandard.compress(DATA),
        zstandard.compress(DATA[:1000]) + skipped + zstandard.compress(DATA[1000:]) + skipped,
    ):
        text, findings = read_bytes(tmp_path, packed)
        assert text == TEXT and not findings.passed_over()


def test_a_dictionary_that_is_not_there_is_said(tmp_path: Path) -> None:
    samples = [line.encode() * 3 for line in LINES]
    dictionary = zstandard.train_dictionary(4096, samples)
    packed = zstandard.ZstdCompressor(dict_data=dictionary).compress(DATA)
    text, findings = read_bytes(tmp_path, packed)
    assert not text and "a dictionary that is not in the file" in findings.passed_over()[0]


def test_a_window_that_is_too_large_is_said(tmp_path: Path) -> None:
    packed = bytearray(zstandard.ZstdCompressor(write_content_size=False).compress(DATA))
    packed[5] = 0xA8  # 2 GB, as --long=31 asks for
    text, findings = read_bytes(tmp_path, bytes(packed))
    assert not text and "zstd -d --long=31" in findings.passed_over()[0]


def test_thousands_of_small_parts_are_quick(tmp_path: Path) -> None:
    parts = b"".join(gzip.compress(line.encode(), 1) for line in LINES) * 3
    bzips = b"".join(bz2.compress(line.encode(), 1) for line in LINES[:500])
    start = time.process_time()
    assert read_bytes(tmp_path, parts)[0] == TEXT * 3
    assert read_bytes(tmp_path, bzips)[0] == "".join(LINES[:500])
    assert time.process_time() - start < 2


def test_rows_before_the_place_where_data_ends(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"text": line}) + "\n" for line in LINES)
    packed = gzip.compress(rows.encode())
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    reading = Reading([path])
    texts = [document.text for document in reading]
    assert texts == LINES[: len(texts)] and len(texts) > 300
    assert reading.findings.stopped and set(reading.findings.rows) <= {"not a complete row"}


def test_archives_within(tmp_path: Path) -> None:
    """Their members are read up to the place, and the last one too, as far as it goes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number in range(4):
            info = tarfile.TarInfo(f"{number}.txt")
            info.size = len(DATA)
            archive.addfile(info, io.BytesIO(DATA))
    packed = gzip.compress(buffer.getvalue())
    text, findings = read_bytes(tmp_path, packed[: len(packed) * 6 // 10], "texts.tar.gz")
    assert (TEXT * 4).startswith(text) and len(text) >= 2 * len(TEXT)
    assert {"its compressed data ends too early", "the archive ends too early"} == set(findings.stopped)
    assert findings.stopped.total() == 2
    text, findings = read_bytes(tmp_path, packed + b"behind", "texts.tar.gz")
    assert text == TEXT * 4 and findings.lost.total() == 6 and findings.parts.total() == 1


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_whatever_the_encoding_what_is_lost_is_told_once(tmp_path: Path, encoding: str) -> None:
    """Reading looks through a text before it knows its encoding."""
    accents = "".join(line.replace("text", "größere Text der Bücher") for line in LINES)
    packed = gzip.compress(accents.encode(encoding))
    text, findings = read_bytes(tmp_path, packed[: len(packed) // 2], "a.txt.gz")
    assert len(text) > 1000 and accents.startswith(text[:-1])
    assert findings.stopped == {"its compressed data ends too early": 1}
    text, findings = read_bytes(tmp_path, packed + b"behind", "a.txt.gz")
    assert text == accents and findings.parts.total() == 1 and findings.lost.total() == 6


def test_what_unpacks_to_too_much_in_old_formats_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RATIO_FROM_BYTES", 50_000)
    monkeypatch.setattr(limits, "PACKED_RATIO", 100)
    for pack in (alone, zlib.compress):
        text, findings = read_bytes(tmp_path, pack(b"x" * 600_000), "bomb")
        assert len(text) < 500_000 and "100 times its size" in findings.passed_over()[0]


def test_a_task_file_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    row = json.dumps({"good": "A good sentence.", "bad": "A bad sentence."}) + "\n"
    packed = gzip.compress("".join(row.replace("good s", f"good {n} s") for n in range(2999)).encode())
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError):
        questions.read(path)
