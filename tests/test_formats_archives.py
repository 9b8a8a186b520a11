"""Archives: tar and zip of every age, damaged, cut short or with odd members; what is not read is told by its kind."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import struct
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

from daybreak.core.errors import DataError
from daybreak.data.formats import kinds, limits
from daybreak.data.formats.findings import Findings
from daybreak.data.sources import Reading, find

TEXTS = {f"folder/{n}.txt": f"Text {n} of the archive, in words that nobody doubts.\n" * 30 for n in range(6)}


def read(path: Path) -> tuple[list[str], Findings]:
    reading = Reading([path])
    texts: list[str] = []
    for document in reading:
        if document.starts:
            texts.append("")
        texts[-1] += document.text
    return texts, reading.findings


def read_bytes(folder: Path, data: bytes, name: str = "archive") -> tuple[list[str], Findings]:
    path = folder / name
    path.write_bytes(data)
    return read(path)


# Tar


def tarred(form: int = tarfile.GNU_FORMAT, texts: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, text in (TEXTS if texts is None else texts).items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def v7(texts: dict[str, str]) -> bytes:
    """As tar of Version 7 of Unix wrote it: headers without a magic."""
    data = b""
    for name, text in texts.items():
        body = text.encode()
        header = name.encode().ljust(100, b"\0") + b"000644 \0" + b"000000 \0" * 2 + b"%011o " % len(body)
        header += b"%011o " % 1_000_000 + b" " * 8 + b"\0" * 356
        header = header[:148] + b"%06o\0 " % sum(header) + header[156:]
        data += header + body + b"\0" * (-len(body) % 512)
    return data + b"\0" * 1024


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, None])
def test_tar_of_every_age(tmp_path: Path, form: int | None) -> None:
    texts = TEXTS | ({"long/" * 60 + "name.txt": "A text with a long name.", "名字.txt": "中文。"} if form else {})
    if form == tarfile.USTAR_FORMAT:
        texts = TEXTS
    data = v7(texts) if form is None else tarred(form, texts)
    found, findings = read_bytes(tmp_path, data)
    assert found == list(texts.values()) and not findings.passed_over()
    found, _ = read_bytes(tmp_path, lzma.compress(tarred(texts={"inner.tar": "x"}) + data, preset=0))
    assert found == ["x", *texts.values()], "two archives in a row, in a packed file"


@pytest.mark.parametrize("make", [tarred, lambda: v7(TEXTS)])
def test_a_tar_that_is_cut_short_is_read_as_far_as_it_goes(tmp_path: Path, make) -> None:
    data = make()
    size = 512 + -(-len(TEXTS["folder/0.txt"]) // 512) * 512
    for cut in (5 * size + 512 + 700, 5 * size + 200, 5 * size - 100):
        found, findings = read_bytes(tmp_path, data[:cut])
        whole = list(TEXTS.values())
        assert found[:4] == whole[:4] and whole[5].startswith("".join(found[5:]))
        if cut == 5 * size + 512 + 700:
            assert found[5] == whole[5][:700]
        if cut != 5 * size - 100:  # only zeros that fill a block were lost
            assert findings.passed_over() == (
                f"1 file read in part: the archive ends too early (archive: after byte {cut})",
            )
    find([str(tmp_path / "archive")])


def test_a_damaged_header_costs_one_member(tmp_path: Path) -> None:
    for data in (tarred(), tarred(tarfile.PAX_FORMAT), v7(TEXTS)):
        size = 512 + -(-len(TEXTS["folder/0.txt"]) // 512) * 512
        broken = bytearray(data)
        broken[2 * size + 10] ^= 0xFF
        found, findings = read_bytes(tmp_path, bytes(broken))
        assert found == [text for name, text in TEXTS.items() if name != "folder/2.txt"]
        (note,) = findings.passed_over()
        assert note.startswith("1 part left out: damaged places in tar archives (") and findings.lost.total() == size
    broken = bytearray(tarred())
    broken[0] ^= 0xFF  # of the first member: the magic tells what it is
    found, findings = read_bytes(tmp_path, bytes(broken))
    assert len(found) == 5 and findings.parts
    with pytest.raises(DataError):
        (tmp_path / "archive").write_bytes(bytes(broken[:1024]))
        find([str(tmp_path / "archive")])


def test_a_damaged_long_name_costs_one_member(tmp_path: Path) -> None:
    texts = TEXTS | {"long/" * 60 + "name.txt": "A text.", "last.txt": "The last one."}
    data = bytearray(tarred(texts=texts))
    place = data.index(b"././@LongLink")
    data[place + 1024 + 3] ^= 0xFF  # the header behind the name
    found, findings = read_bytes(tmp_path, bytes(data))
    assert found == [*TEXTS.values(), "The last one."] and findings.parts


def test_sparse_members_of_tar(tmp_path: Path) -> None:
    (tmp_path / "sparse.txt").write_text("Words in a file that was stored sparsely.\n" * 200)
    done = subprocess.run(
        ["tar", "-cSf", "sparse.tar", "--hole-detection=raw", "sparse.txt"], cwd=tmp_path, capture_output=True
    )
    if done.returncode:
        pytest.skip("this tar cannot do that")
    found, _ = read(tmp_path / "sparse.tar")
    assert found == [(tmp_path / "sparse.txt").read_text()]


def test_links_and_devices_are_said(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(f"{number}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("text")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"words"))
    found, findings = read_bytes(tmp_path, buffer.getvalue())
    assert found == ["words"] and findings.left_out.total() == 4


def test_names_in_other_encodings(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", encoding="gb18030", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo("课文资料.png")
        info.size = 12
        archive.addfile(info, io.BytesIO(b"\x89PNG\r\n\x1a\n\0\0\0\0"))
    _, findings = read_bytes(tmp_path, buffer.getvalue())
    assert "课文资料.png" in findings.passed_over()[0]


def test_a_text_of_numbers_is_no_tar(tmp_path: Path) -> None:
    text = "0123456 7777777 0000 " * 60
    assert read_bytes(tmp_path, text.encode())[0] == [text]


# Zip


def zipped(texts: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED, *, streamed: bool = False) -> bytes:
    buffer = io.BytesIO()
    if streamed:
        buffer.seekable = lambda: False  # type: ignore[method-assign]
        buffer.tell = lambda: (_ for _ in ()).throw(OSError())  # type: ignore[method-assign]
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    return buffer.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_of_zip(tmp_path: Path, method: int) -> None:
    assert read_bytes(tmp_path, zipped(TEXTS, method))[0] == list(TEXTS.values())


def relabelled(data: bytes, name: str, method: int) -> bytes:
    """The member of this name is said to be compressed so."""
    changed = bytearray(data)
    for sign, place, at in ((b"PK\3\4", 8, 30), (b"PK\1\2", 10, 46)):
        start = -1
        while (start := changed.find(sign, start + 1)) >= 0:
            if changed[start + at : start + at + len(name)] == name.encode():
                changed[start + place : start + place + 2] = struct.pack("<H", method)
    return bytes(changed)


@pytest.mark.parametrize(("method", "pack"), [(93, zstandard.compress), (95, lzma.compress)])
def test_newer_methods_of_zip(tmp_path: Path, method: int, pack) -> None:
    text = TEXTS["folder/0.txt"]
    data = zipped({"a.txt": pack(text.encode()), "b.txt": "Another text."}, zipfile.ZIP_STORED)
    assert read_bytes(tmp_path, relabelled(data, "a.txt", method))[0] == [text, "Another text."]


@pytest.mark.parametrize(
    ("method", "said"), [(9, "Deflate64"), (98, "PPMd"), (1, "Shrink"), (6, "Implode"), (77, "method 77")]
)
def test_other_methods_of_zip_are_said(tmp_path: Path, method: int, said: str) -> None:
    data = relabelled(zipped(TEXTS), "folder/3.txt", method)
    found, findings = read_bytes(tmp_path, data)
    assert found == [text for name, text in TEXTS.items() if name != "folder/3.txt"]
    assert findings.passed_over()[0].startswith(
        f"1 file skipped: compressed with {said}, which is not read; 7-Zip unpacks it (archive/folder/3.txt; "
    )


def test_a_bad_checksum_costs_one_member(tmp_path: Path) -> None:
    data = bytearray(zipped(TEXTS, zipfile.ZIP_STORED))
    data[data.index(b"Text 2") + 5] ^= 1
    found, findings = read_bytes(tmp_path, bytes(data))
    assert len(found) >= 5 and all(text in found for name, text in TEXTS.items() if name != "folder/2.txt")
    (note,) = findings.passed_over()
    assert "archive/folder/2.txt" in note and "CRC" in note


@pytest.mark.parametrize("front", [b"MZ\x90\0\3\0\0\0" + b"\0\xff" * 900, b"#!/bin/sh\nexec\n\0\1\2" * 9, b"\0" * 512])
def test_a_zip_with_something_in_front(tmp_path: Path, front: bytes) -> None:
    found, _ = read_bytes(tmp_path, front + zipped(TEXTS))
    assert found == list(TEXTS.values())


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_without_its_list_is_read_from_the_front(tmp_path: Path, method: int, streamed: bool) -> None:
    if streamed and method == zipfile.ZIP_STORED:
        pytest.skip("then the size of a member is in the list alone")
    data = zipped(TEXTS, method, streamed=streamed)
    found, findings = read_bytes(tmp_path, data[: data.index(b"PK\1\2")])
    assert found == list(TEXTS.values())
    (note,) = findings.passed_over()
    assert (
        note
        == "1 file read in part: a zip archive without its list of files, such as one that ends too early (archive)"
    )
    cut = data.rindex(b"PK\3\4") + 30 + len("folder/5.txt") + 20
    found, findings = read_bytes(tmp_path, data[:cut])
    assert found[:5] == list(TEXTS.values())[:5] and TEXTS["folder/5.txt"].startswith("".join(found[5:]))
    assert any("the archive ends too early" in note and "5.txt" in note for note in findings.passed_over())
    find([str(tmp_path / "archive")])


def test_a_zip_of_which_nothing_is_there_is_refused(tmp_path: Path) -> None:
    _, findings = read_bytes(tmp_path, zipped(TEXTS)[:40])
    assert findings.skipped.total() >= 1 and not findings.files


def test_a_zip_in_a_packed_file_and_a_zip64(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in TEXTS.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(text.encode())
    whole = buffer.getvalue()
    for data in (whole, whole[: whole.index(b"PK\1\2")], zipped({"inner.zip": whole})):
        assert read_bytes(tmp_path, data)[0] == list(TEXTS.values())


def test_a_long_zip_in_a_packed_file_is_read_from_the_front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HELD_BYTES", 1000)
    texts = {f"{n}.txt": "".join(f"Line {line * n % 97} of {n}.\n" for line in range(900)) for n in range(1, 6)}
    for data in (zipped(texts), zipped(texts, streamed=True), zipped(texts, zipfile.ZIP_STORED)):
        found, findings = read_bytes(tmp_path, gzip.compress(data))
        assert found == list(texts.values()) and not findings.passed_over()


def test_a_file_of_another_kind_is_not_taken_for_a_zip(tmp_path: Path) -> None:
    """What an old Office file or a picture holds beside its own is not all of it."""
    for head in (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), PNG + bytes(600)):
        found, findings = read_bytes(tmp_path, head + zipped(TEXTS))
        assert not found and "not" in findings.passed_over()[0]


def test_a_pickle_among_texts_costs_no_text(tmp_path: Path) -> None:
    found, findings = read_bytes(tmp_path, zipped({"a/data.pkl": b"\x80\2}q\0.", "a/version": "3", "b.txt": "Words."}))
    assert found == ["3", "Words."] and "a pickle of Python" in findings.passed_over()[0]


def test_names_of_zip_members(tmp_path: Path) -> None:
    data = zipped({"xxxxxxxx.bin": b"\0\1\2\3" * 30, "a.txt": "words"})
    for raw in ("课文资料".encode("gb18030"), "é".encode() * 4):
        _, findings = read_bytes(tmp_path, data.replace(b"xxxxxxxx", raw))
        (name,) = next(iter(findings.names.values()))
        assert name == "archive/" + raw.decode("utf-8" if raw[0] == 0xC3 else "gb18030") + ".bin"


# What is not read, told by its kind


def test_odd_members_are_counted_by_kind(tmp_path: Path) -> None:
    members: dict[str, str | bytes] = {
        f"pictures/{n}.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(90) for n in range(300)
    }
    members |= {
        "__MACOSX/._a.txt": b"\0\5\x16\7",
        "a/.DS_Store": b"\0\0\0\1Bud1",
        "a/Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1",
    }
    members |= {"desktop.ini": "[.ShellClassInfo]\nIconResource=C:\\x\n", "f.woff2": b"wOF2\0\1\0\0" + bytes(50)}
    members |= {"song.mp3": b"ID3\4\0\0" + bytes(99), "text.txt": "The only text."}
    found, findings = read_bytes(tmp_path, zipped(members))
    assert found == ["The only text."]
    notes = findings.passed_over()
    assert len(notes) == 4 and notes[0].startswith("4 left out: hidden (")
    assert notes[1].startswith("300 files skipped: a picture (JPEG), not text (archive/pictures/0.jpg, ")
    assert "a font (web font), not text" in notes[2] or "a font (web font), not text" in notes[3]
    assert "a recording (MP3), not text" in notes[2] or "a recording (MP3), not text" in notes[3]


def test_hidden_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "a.txt"):
        (tmp_path / name).write_text("[.ShellClassInfo]\n" if name != "a.txt" else "words")
    assert [path.name for path in find([str(tmp_path)])] == ["a.txt"]


def saved(model: str) -> bytes:
    return zipped({f"{model}/data.pkl": b"\x80\2}q\0.", f"{model}/version": "3\n", f"{model}/data/0": bytes(64)})


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
KINDS = {
    "a picture (PNG)": PNG,
    "a picture (GIF)": b"GIF89a\1\0\1\0",
    "a picture (WebP)": b"RIFF\x24\0\0\0WEBPVP8 ",
    "a picture (TIFF)": b"II*\0\x08\0\0\0",
    "a picture (HEIF)": b"\0\0\0\x18ftypheic\0\0",
    "a recording (WAV)": b"RIFF\x24\0\0\0WAVEfmt ",
    "a recording (Ogg)": b"OggS\0\2\0\0",
    "a video (MP4)": b"\0\0\0\x20ftypisom\0\0",
    "a font (TrueType)": b"\0\1\0\0\0\x0f\0\x80",
    "a program (ELF)": b"\x7fELF\2\1\1\0",
    "a program (Windows)": b"MZ\x90\0\3\0\0\0",
    "a Debian package": b"!<arch>\ndebian-binary   1342943816  0     0     100644  4         `\n2.0\n",
    "an ar archive": b"!<arch>\nfile.o/         0 ",
    "an RPM package": b"\xed\xab\xee\xdb\3\0\0\0",
    "a cpio archive": b"070701" + b"0" * 104 + b"a\0",
    "an image of a disk (SquashFS)": b"hsqs\7\0\0\0",
    "a 7z archive": b"7z\xbc\xaf\x27\x1c\0\4",
    "a RAR archive": b"Rar!\x1a\7\1\0",
    "an array of numbers (NumPy)": b"\x93NUMPY\1\0v\0{'descr'",
    "an array of numbers (HDF5)": b"\x89HDF\r\n\x1a\n\0\0",
    "a pickle of Python": b"\x80\4\x95\x10\0\0\0\0\0\0\0",
    "weights of a model (safetensors)": b"\x40\0\0\0\0\0\0\0{\"__meta",
    "weights of a model (GGUF)": b"GGUF\3\0\0\0\0",
    "weights of PyTorch": saved("model"),
    "a data file (DuckDB)": b"\1\2\3\4\5\6\7\0DUCK\x40\0\0\0",
    "a data file (Avro)": b"Obj\1\4\x14avro.codec\0",
    "a Kiwix ZIM archive": b"ZIM\4\5\0\0\0",
    "compressed with compress (.Z)": b"\x1f\x9d\x90\0\1\2",
    "compressed with Snappy": b"\xff\6\0\0sNaPpY\0",
    "an encrypted Parquet file": b"PARE\x15\0\0\0",
    "an old Office file": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "a Kindle book": b"A book".ljust(60, b"\0") + b"BOOKMOBI\0\0",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_text_is_told_by_its_kind(tmp_path: Path, kind: str) -> None:
    data = KINDS[kind] if kind.startswith("weights of PyTorch") else KINDS[kind] + bytes(600)
    found, findings = read_bytes(tmp_path, data)
    assert not found and findings.passed_over()[0].startswith(f"1 file skipped: {kind}"), findings.passed_over()


@pytest.mark.parametrize(
    "text",
    ["MZ is a word", "BM25 ranks", "GIF89a is old", "Rar! cried", "PAREnts", "IDs and ID3", "ftyp moov", "OTTO went",
     "PACK it", "070701 070702\n" * 9, "!<arch>", "II* and", "true story", "AT&T", "%PDFs", "7z is", "OggS!", "GRIB"],
)  # fmt: skip
def test_words_are_no_signatures(text: str) -> None:
    for data in (text, text + " and more words, quite a lot of them\n" * 20, "é" + text, text + "é"):
        assert not kinds.not_text(data.encode()[:512]) and not kinds.not_text(
            ("\ufeff" + data).encode("utf-16-le")[:512]
        )


# Folders whose files stand beside a text


def test_the_index_of_a_web_archive_is_no_text(tmp_path: Path) -> None:
    warc = (
        b"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://a/\r\nContent-Type: text/plain\r\n"
        b"Content-Length: 13\r\n\r\nThe page text\r\n\r\n"
    )
    members: dict[str, str | bytes] = {
        "datapackage.json": json.dumps({"profile": "data-package"}),
        "archive/data.warc": warc,
    }
    members |= {"indexes/index.cdx": "a)/ 2020 {}\n" * 9, "pages/pages.jsonl": '{"title": "A page", "text": "x"}\n'}
    found, findings = read_bytes(tmp_path, zipped(members), "a.wacz")
    assert found == ["The page text"] and findings.left_out.total() == 3
