"""Text that is left out: what reading passes over is counted, with its reason, and said wherever text is."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from daybreak.core.clock import Stopwatch, boot_seconds
from daybreak.core.passed_over import PassedOver
from daybreak.core.run import Run
from daybreak.core.types import Request
from daybreak.core.values import plain
from daybreak.data.sources import Reading, find
from daybreak.planning import corpus_to_count
from daybreak.stages.plan import plan_only
from daybreak.stages.prepare import prepare_only
from daybreak.views import report_data
from daybreak.views.run_facts import Facts
from daybreak.views.terminal import fact_lines, plan_lines

TURN = {"role": "user", "content": "hello you"}
LINE = "The quick brown fox jumps over the lazy dog, and nobody minds it.\n"


def written(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def read(path: Path) -> tuple[list[str], tuple[str, ...]]:
    reading = Reading([path])
    return [document.text for document in reading], reading.findings.passed_over()


def rows(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


# What reading leaves out


def test_rows_are_counted_with_reason_number_and_share(tmp_path: Path) -> None:
    kept, lost = {"text": "a row of text"}, {"body": "0123456789"}
    path = written(tmp_path, "rows.jsonl", rows(*[kept] * 700, *[lost] * 800))
    texts, notes = read(path)
    assert len(texts) == 700
    share = 800 * len(json.dumps(lost, separators=(",", ":"))) / path.stat().st_size
    assert notes == (f"800 of 1,500 rows skipped: they have no column 'text' (16.8 KB, {share:.1%} of the bytes)",), (
        "the bytes are those of the rows, but for blanks between their parts"
    )


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.jsonl", rows({"text": "a"}, {"text": "b"}, {"text": ""}), "1 of 3 rows skipped: the column 'te"),
        (
            "a.jsonl",
            rows({"text": "a"}) + '{"text": "b"\n' + rows(7, None),
            "3 of 4 rows skipped: not a complete row (",
        ),
        ("a.json", '[{"text": "a"}, {"text": "b"}, 5]', "1 of 3 rows skipped: not a complete row"),
        ("a.csv", "number,text\n" + "1,some words of a text\n" * 7 + "2,\n" * 2, "2 of 9 rows skipped: the column"),
        ("a.jsonl", rows(*[{"messages": [TURN]}] * 3, {"messages": []}), "1 of 4 rows skipped: no text in them"),
        ("a.txt", "", "1 file skipped: empty or blank (a.txt)"),
        ("a.txt", " \n\n", "1 file skipped: empty or blank (a.txt)"),
        ("a.json", "[]", "1 file skipped: empty or blank (a.json)"),
        ("a.csv", "number,text\n", "1 file skipped: empty or blank (a.csv)"),
        ("a.xml", "<?xml version='1.0'?><a><b/></a>", "1 file skipped: empty or blank (a.xml)"),
        ("a.zip", b"PK\5\6" + bytes(18), "1 file skipped: empty or blank (a.zip)"),
        ("a.gz", gzip.compress(b""), "1 file skipped: empty or blank (a.gz)"),
        ("a.bin", b"\0\1\2" * 3000, "1 file skipped: binary, not text (a.bin; 9 KB, 100.0% of the bytes)"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(94), "1 file skipped: a 7z archive, which is not read (a.7z; 100 bytes"),
        ("a.txt", LINE.encode() * 9 + b"caf\xe9 " + b"\xc3\xa9" * 99, "1 bytes that are not valid in the file's"),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_left_out_is_said(tmp_path: Path, name: str, data: bytes | str, expected: str) -> None:
    _, notes = read(written(tmp_path, name, data))
    assert len(notes) == 1 and notes[0].startswith(expected), notes


def test_a_row_that_is_too_long_is_said_with_its_bytes(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", rows({"text": "a"}, {"text": "b" * 17_000_000}))
    texts, notes = read(path)
    assert (
        texts == ["a"]
        and notes[0].startswith("1 of 2 rows skipped: over 16 MB")
        and "line 2; 17 MB, 100.0%" in notes[0]
    )


def test_members_of_archives_are_said(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in {"a.txt": LINE, "b.bin": "\0\1" * 900, "c.txt": "", ".d/e.txt": LINE, "f.txt": LINE}.items():
            archive.writestr(name, data)
    data = bytearray(file.getvalue())
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the last file says that it is encrypted
        data[data.rindex(mark) + place] |= 1
    texts, notes = read(written(tmp_path, "z.zip", bytes(data)))
    assert texts == [LINE]
    for part in (
        "hidden (z.zip/.d)",
        "binary, not text (z.zip/b.bin; 1.8 KB",
        "blank (z.zip/c.txt)",
        "encrypted (z.zip/f.txt",
    ):
        assert any(part in note for note in notes), (part, notes)


def test_files_of_a_folder_are_said(tmp_path: Path) -> None:
    written(tmp_path, "a.txt", LINE)
    written(tmp_path, "b.png", b"\x89PNG\0\0data")
    os.chmod(written(tmp_path, "c.txt", LINE), 0)  # noqa: PTH101
    reading = Reading(find([str(tmp_path)]))
    assert LINE in [document.text for document in reading]
    notes = reading.findings.passed_over()
    assert "binary, not text (b.png; 10 bytes" in notes[0] and (os.getuid() == 0 or "c.txt" in notes[1])


# Where it is said


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory, small_text: Path) -> Path:
    folder = tmp_path_factory.mktemp("dirty")
    texts = [small_text.read_text()[start : start + 450] for start in range(0, 90_000, 450)]
    written(folder, "rows.jsonl", rows(*[{"text": text} for text in texts], *[{"body": "x"}] * 100))
    written(folder, "picture.png", b"\x89PNG\0\0data")
    (folder / ".hidden").write_text(LINE)
    return folder


def check(sentences: list[str]) -> None:
    for start in (
        "1 left out: hidden (",
        "1 file skipped: binary, not text (",
        "100 of 300 rows skipped: they have no column 'text'",
    ):
        assert any(sentence.startswith(start) for sentence in sentences), (start, sentences)


def test_prepare_says_what_is_left_out(dirty: Path, tmp_path: Path) -> None:
    request = Request(sources=(str(dirty),), seconds=0.0, settings={"vocabulary": "257"})
    facts = prepare_only(request, out=str(tmp_path / "run"))
    check(facts["skipped"])
    said = [line.removeprefix("skipped").strip() for line in fact_lines(facts)]
    check(said)


def test_plan_says_what_is_left_out(dirty: Path) -> None:
    made = plan_only(Request(sources=(str(dirty),), seconds=60.0, family="ngram"), Stopwatch(start=boot_seconds()))
    check(made.to_json()["skipped"])
    lines = plan_lines(made)
    check([line.strip() for line in lines[lines.index("not read") :]])


def test_a_run_that_had_no_time_for_more_says_what_is_left_out(dirty: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    request = Request(sources=(str(dirty),), seconds=20.0)
    corpus = corpus_to_count.corpus_to_count(run, request, seconds=10.0)
    check(list(corpus.skipped))
    assert not corpus.unread_bytes and len(corpus.skipped) == 3, "a picture is no text that there was no time for"
    assert corpus_to_count.corpus_to_count(run, request, seconds=10.0).skipped == corpus.skipped


@pytest.fixture(scope="module")
def every_loss(tmp_path_factory: pytest.TempPathFactory, small_text: Path) -> tuple[Path, Path, PassedOver]:
    """A folder and a held-out file with every kind of loss, and what is lost."""
    folder = tmp_path_factory.mktemp("losses")
    texts = [small_text.read_text()[start : start + 450] for start in range(0, 120_000, 450)]
    lost = {"body": "x"}
    written(folder, "rows.jsonl", rows(*[{"text": text} for text in texts], *[lost] * 100) + '{"text": "b\n')
    bytes_lost = 100 * len(json.dumps(lost, separators=(",", ":"))) + len('{"text": "b\n')
    bytes_lost += len(written(folder, "picture.png", b"\x89PNG\0\0data").read_bytes())
    written(folder, "empty.txt", "")
    (folder / ".hidden").write_text(LINE)
    (folder / ".git").mkdir()
    written(folder, "odd.txt", LINE.encode() * 9 + b"caf\xe9 " + b"\xc3\xa9" * 99)
    packed = gzip.compress(random.Random(0).randbytes(3000).hex().encode())
    written(folder, "cut.txt.gz", packed[: len(packed) // 2])
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in {"a.txt": LINE * 3, "b.bin": "\0\1" * 900, ".d/e.txt": LINE}.items():
            archive.writestr(name, data)
    written(folder, "z.zip", file.getvalue())
    heldout = written(
        tmp_path_factory.mktemp("heldout"), "heldout.jsonl", rows(*[{"text": text} for text in texts[:60]], 7, None)
    )
    truth = PassedOver(
        files=3,  # picture, empty, b.bin
        files_in_part=1,  # cut
        rows=103,
        left_out=3,  # .hidden, .git, .d
        bytes=bytes_lost + 1800 + len("7\n") + len("null\n"),
        replaced_bytes=1,
    )
    return folder, heldout, truth


def test_the_sum_of_what_is_left_out_is_one_wherever_it_is_said(
    every_loss: tuple[Path, Path, PassedOver], tmp_path: Path
) -> None:
    folder, heldout, truth = every_loss
    words = [sys.executable, "-P", "-m", "daybreak", "run", str(folder), "--for", "40s", "--family", "ngram", "--json"]
    words += ["--heldout", str(heldout), "--out", str(tmp_path / "run")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run, printed = Run(tmp_path / "run"), json.loads(done.stdout.splitlines()[-1])
    assert run.corpus().passed_over == truth
    assert run.plan().passed_over == truth and printed["passed_over"] == plain(truth)
    sentence = truth.sentence()
    assert printed["skipped"][0] == sentence and run.plan().skipped == tuple(printed["skipped"])
    assert f"warning: {sentence}" in " ".join(done.stderr.split())
    lines = plan_lines(run.plan())
    assert lines[lines.index("not read") + 1].strip() == sentence
    facts = Facts(run)
    facts.read()
    report = report_data.of_run(facts)["corpus"]
    assert report["notes"][: len(printed["skipped"])] == printed["skipped"]
    assert {**PassedOver.from_json(report["passed_over"]).to_json()} == truth.to_json()
    prepared = prepare_only(
        Request(sources=(str(folder),), heldout=str(heldout), seconds=0.0, settings={"vocabulary": "257"}),
        out=str(tmp_path / "prepared"),
    )
    assert (prepared["skipped"], prepared["passed_over"]) == (printed["skipped"], printed["passed_over"])
    asked = Request(sources=(str(folder),), heldout=str(heldout), seconds=20.0)
    counted = corpus_to_count.corpus_to_count(Run(tmp_path / "counted"), asked, seconds=10.0)
    assert counted.passed_over == truth and list(counted.not_read()) == printed["skipped"]


def test_a_text_of_which_all_is_read_has_no_sum(small_text: Path, tmp_path: Path) -> None:
    request = Request(sources=(str(small_text),), seconds=0.0, settings={"vocabulary": "257"})
    facts = prepare_only(request, out=str(tmp_path / "run"))
    assert facts["skipped"] == [] and not any(facts["passed_over"].values())
