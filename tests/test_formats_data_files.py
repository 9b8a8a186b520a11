"""Data files: Parquet, Arrow, ORC, folders of `datasets` and SQLite, with text however it is typed in them."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from daybreak.core.errors import DataError
from daybreak.data.formats import limits, sqlite
from daybreak.data.formats.findings import Findings
from daybreak.data.sources import Reading, find

TEXTS = [f"Text {n} is in words, and nobody doubts it. Größe 大小" for n in range(600)]


def read(*paths: Path) -> tuple[list[str], Findings]:
    reading = Reading(paths)
    return [document.text for document in reading], reading.findings


@pytest.fixture
def pyarrow():
    return pytest.importorskip("pyarrow")


# Parquet, Arrow and ORC


def parquet(table, path: Path) -> None:
    from pyarrow import parquet

    parquet.write_table(table, path, row_group_size=100)


def arrow(table, path: Path) -> None:
    from pyarrow import ipc

    with ipc.new_file(path, table.schema) as file:
        file.write_table(table, max_chunksize=100)


def stream(table, path: Path) -> None:
    from pyarrow import ipc

    with ipc.new_stream(path, table.schema) as file:
        file.write_table(table, max_chunksize=100)


def orc(table, path: Path) -> None:
    from pyarrow import orc

    orc.write_table(table, path)


WRITERS: list[Callable] = [parquet, arrow, stream, orc]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "binary", "large_binary", "dictionary"])
def test_text_of_every_type(tmp_path: Path, pyarrow, write: Callable, kind: str) -> None:
    numbers = pyarrow.array(range(len(TEXTS)))
    if kind == "dictionary":
        column = pyarrow.array(TEXTS).dictionary_encode()
    else:
        column = pyarrow.array(
            [text.encode() if "binary" in kind else text for text in TEXTS], getattr(pyarrow, kind)()
        )
    try:
        write(pyarrow.table({"number": numbers, "body": column}), tmp_path / "rows")
    except (pyarrow.ArrowException, NotImplementedError):
        pytest.skip("it cannot be written so")
    found, findings = read(tmp_path / "rows")
    assert found == TEXTS and not findings.passed_over()


@pytest.mark.parametrize("write", WRITERS)
def test_nested_text(tmp_path: Path, pyarrow, write: Callable) -> None:
    turns = [
        [{"role": "user", "content": f"Question {n}?"}, {"role": "assistant", "content": "Yes."}] for n in range(9)
    ]
    write(pyarrow.table({"messages": turns}), tmp_path / "rows")
    assert read(tmp_path / "rows")[0][3] == "User: Question 3?\nAssistant: Yes."


def test_bytes_that_are_no_text_are_not_read(tmp_path: Path, pyarrow) -> None:
    picture = b"\x89PNG\r\n\x1a\n\0\0" * 9
    captions = [f"A picture of the thing with number {n}." for n in range(50)]
    image = [{"bytes": picture, "path": f"some/folder/with words in {n}.png"} for n in range(50)]
    table = pyarrow.table({"image": image, "raw": [picture] * 50, "caption": captions, "none": [None] * 50})
    for write in (parquet, arrow, stream):
        write(table, tmp_path / "rows")
        found, findings = read(tmp_path / "rows")
        assert found == captions and findings.bytes < 50 * 60
        write(table.select(["image", "raw"]), tmp_path / "rows")
        assert "1 file skipped: it has no column of text" in read(tmp_path / "rows")[1].passed_over()[0]


def test_bytes_that_are_damaged_text_are_counted(tmp_path: Path, pyarrow) -> None:
    values = [text.encode() for text in TEXTS[:50]]
    values[40] = b"caf\xe9 in words"
    parquet(pyarrow.table({"text": values}), tmp_path / "rows")
    found, findings = read(tmp_path / "rows")
    assert found[40] == "caf\ufffd in words" and findings.replaced_bytes == 1


def test_columns_with_dots_and_missing_values(tmp_path: Path, pyarrow) -> None:
    for write in WRITERS:
        write(pyarrow.table({"data.text": [*TEXTS[:9], None, ""], "n": range(11)}), tmp_path / "rows")
        found, findings = read(tmp_path / "rows")
        assert found == TEXTS[:9] and findings.skipped_rows == 2


@pytest.mark.parametrize("write", WRITERS)
def test_files_without_rows_are_empty(tmp_path: Path, pyarrow, write: Callable) -> None:
    write(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), tmp_path / "rows")
    assert read(tmp_path / "rows")[1].passed_over() == ("1 file skipped: empty or blank (rows)",)


@pytest.mark.parametrize("write", [arrow, stream])
@pytest.mark.parametrize("place", [0.5, 0.9])
def test_arrow_that_ends_too_early_is_read_as_far_as_it_goes(
    tmp_path: Path, pyarrow, write: Callable, place: float
) -> None:
    write(pyarrow.table({"text": TEXTS}), tmp_path / "rows")
    data = (tmp_path / "rows").read_bytes()
    (tmp_path / "rows").write_bytes(data[: int(len(data) * place)])
    found, findings = read(tmp_path / "rows")
    assert found == TEXTS[: len(found)] and len(found) >= 200
    assert findings.stopped.total() >= 1
    find([str(tmp_path / "rows")])


@pytest.mark.parametrize("write", [arrow, stream])
def test_places_outside_of_a_batch_are_refused(tmp_path: Path, pyarrow, write: Callable) -> None:
    """pyarrow follows them wherever they lead."""
    write(pyarrow.table({"text": TEXTS[:50]}), tmp_path / "rows")
    data = bytearray((tmp_path / "rows").read_bytes())
    offsets = b"".join(sum(len(t.encode()) for t in TEXTS[:n]).to_bytes(4, "little") for n in range(3))
    place = data.index(offsets)
    data[place + 8 : place + 12] = b"\xff\xff\xff\x7f"
    (tmp_path / "rows").write_bytes(bytes(data))
    found, findings = read(tmp_path / "rows")
    assert not found and "a damaged Arrow file" in findings.passed_over()[0]


@pytest.mark.parametrize("write", WRITERS)
def test_damage_is_said(tmp_path: Path, pyarrow, write: Callable) -> None:
    write(pyarrow.table({"text": TEXTS}), tmp_path / "rows")
    data = (tmp_path / "rows").read_bytes()
    for place in (9, 100, len(data) // 2, len(data) - 60):
        (tmp_path / "rows").write_bytes(data[:place] + b"\xff\xff\xff\x7f" + data[place + 4 :])
        found, findings = read(tmp_path / "rows")
        assert len(found) == len(TEXTS) or findings.passed_over() or findings.replaced


def test_packed_arrow(tmp_path: Path, pyarrow) -> None:
    from pyarrow import feather

    feather.write_feather(pyarrow.table({"text": TEXTS}), str(tmp_path / "rows"), compression="zstd")
    assert read(tmp_path / "rows")[0] == TEXTS
    for write in (arrow, stream, orc):
        write(pyarrow.table({"text": TEXTS}), tmp_path / "rows")
        (tmp_path / "rows.gz").write_bytes(gzip.compress((tmp_path / "rows").read_bytes()))
        assert read(tmp_path / "rows.gz")[0] == TEXTS


def test_a_text_about_oracles_is_no_orc(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("ORCHIDS are flowers.\n")
    assert read(tmp_path / "a")[0] == ["ORCHIDS are flowers.\n"]


# Folders that `datasets` has written


def saved(folder: Path, pyarrow, texts: list[str], *, parts: int = 2) -> None:
    """As save_to_disk writes it."""
    folder.mkdir(parents=True)
    names = [f"data-{n:05}-of-{parts:05}.arrow" for n in range(parts)]
    for n, name in enumerate(names):
        stream(pyarrow.table({"text": texts[n::parts]}), folder / name)
    stream(pyarrow.table({"text": texts}), folder / "cache-0123456789abcdef.arrow")
    stream(pyarrow.table({"indices": pyarrow.array([1, 0], pyarrow.uint64())}), folder / "cache-fedcba.arrow")
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "7a", "_split": None}
    (folder / "state.json").write_text(json.dumps(state, indent=2))
    info = {"citation": "", "description": "A long description.", "features": {"text": {"dtype": "string"}}}
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2))


def packed_tar(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(folder, arcname=folder.name)
    return buffer.getvalue()


def packed_zip(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


def test_saved_data_sets(tmp_path: Path, pyarrow) -> None:
    data = tmp_path / "set"
    saved(data / "train", pyarrow, TEXTS)
    saved(data / "test", pyarrow, ["A text of the test."], parts=1)
    (data / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    (data / "README.md").write_text("About this data.")
    for paths in (find([str(data)]), [tmp_path / "set.tar"], [tmp_path / "set.zip"]):
        if paths == [tmp_path / "set.tar"]:
            paths[0].write_bytes(packed_tar(data))
        elif paths == [tmp_path / "set.zip"]:
            paths[0].write_bytes(packed_zip(data))
        found, _ = read(*paths)
        assert sorted(found) == sorted([*TEXTS, "A text of the test.", "About this data."])
    (folder,) = {path.parent for path in find([str(data / "test")])}
    assert [path.name for path in find([str(folder)])] == ["data-00000-of-00001.arrow"]


def test_the_cache_of_datasets(tmp_path: Path, pyarrow) -> None:
    stream(pyarrow.table({"text": TEXTS}), tmp_path / "books-train.arrow")
    stream(pyarrow.table({"text": TEXTS}), tmp_path / "cache-0123456789abcdef.arrow")
    info = {"builder_name": "text", "features": {}, "splits": {"train": {"num_examples": 9}}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    assert [path.name for path in find([str(tmp_path)])] == ["books-train.arrow"]


def test_json_of_such_names_may_be_text(tmp_path: Path) -> None:
    for name in ("state.json", "dataset_info.json", "dataset_dict.json"):
        (tmp_path / name).write_text(json.dumps({"text": "Words about a state of the union."}))
    assert len(find([str(tmp_path)])) == 3 and len(read(*find([str(tmp_path)]))[0]) == 3


# SQLite


def database(path: Path, *statements: str, encoding: str = "UTF-8") -> sqlite3.Connection:
    made = sqlite3.connect(path)
    made.execute(f"PRAGMA encoding = '{encoding}'")
    for statement in statements:
        made.execute(statement)
    return made


def filled(path: Path, *statements: str, encoding: str = "UTF-8") -> None:
    made = database(
        path, "CREATE TABLE posts (id INTEGER PRIMARY KEY, body TEXT, score REAL)", *statements, encoding=encoding
    )
    made.executemany("INSERT INTO posts (body, score) VALUES (?, ?)", [(text, 0.5) for text in TEXTS])
    made.commit()
    made.close()


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_tables_of_sqlite(tmp_path: Path, encoding: str) -> None:
    filled(tmp_path / "a.db", encoding=encoding)
    found, findings = read(tmp_path / "a.db")
    assert found == TEXTS and not findings.passed_over()
    (tmp_path / "a.db.gz").write_bytes(gzip.compress((tmp_path / "a.db").read_bytes()))
    assert read(tmp_path / "a.db.gz")[0] == TEXTS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db", "a.db.gz"], "nothing was written beside it"


def test_each_table_is_read_by_itself(tmp_path: Path) -> None:
    made = database(
        tmp_path / "a.db",
        'CREATE TABLE notes ("the \'text\' of ""it""" TEXT PRIMARY KEY) WITHOUT ROWID',
        "CREATE TABLE chats (id INTEGER, message TEXT, media BLOB, length AS (length(message)))",
        "CREATE TABLE numbers (a INTEGER, b REAL)",
        "CREATE TABLE empty (text TEXT)",
        "CREATE VIEW all_notes AS SELECT * FROM notes",
        "CREATE INDEX by_message ON chats (message)",
        "CREATE TRIGGER t AFTER INSERT ON chats BEGIN DELETE FROM notes; END",
        "DROP TRIGGER t",
    )
    made.executemany("INSERT INTO notes VALUES (?)", [("A note of some words.",), ("Be kind to all.",)])
    made.executemany(
        "INSERT INTO chats (id, message, media) VALUES (1, ?, ?)", [("Hello to you, my friend.", b"\0" * 70)]
    )
    made.execute("INSERT INTO numbers VALUES (1, 2.5)")
    made.commit()
    made.close()
    found, findings = read(tmp_path / "a.db")
    assert found == ["A note of some words.", "Be kind to all.", "Hello to you, my friend."]
    notes = findings.passed_over()
    assert any(f"2 left out: {sqlite.NO_TEXT} (a.db/numbers, a.db/empty)" == note for note in notes)
    assert any(f"1 left out: {sqlite.VIEW} (a.db/all_notes)" == note for note in notes)
    assert any(note.startswith(f"1 part left out: {sqlite.BLOBS} (70 bytes") for note in notes)


@pytest.mark.parametrize("module", ["fts3", "fts4", "fts5"])
def test_full_text_search_is_read_once(tmp_path: Path, module: str) -> None:
    try:
        made = database(tmp_path / "a.db", f"CREATE VIRTUAL TABLE mail USING {module}(subject, body)")
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no such module")
    made.executemany("INSERT INTO mail VALUES (?, ?)", [(f"Re: {n}", text) for n, text in enumerate(TEXTS[:20])])
    made.commit()
    made.close()
    found, findings = read(tmp_path / "a.db")
    assert [text.split("\n")[-1] for text in found] == TEXTS[:20]
    assert findings.left_out[sqlite.INDEX] >= 3


def test_a_log_beside_it_is_said(tmp_path: Path) -> None:
    made = database(tmp_path / "a.db", "PRAGMA journal_mode = WAL", "PRAGMA wal_autocheckpoint = 0")
    made.execute("CREATE TABLE t (text TEXT)")
    made.execute("INSERT INTO t VALUES ('Words that are old.')")
    made.commit()
    made.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    made.execute("INSERT INTO t VALUES ('Words that are new.')")
    made.commit()
    found, findings = read(tmp_path / "a.db")
    assert found == ["Words that are old."] and f"1 file read in part: {sqlite.LOG} (a.db)" in findings.passed_over()
    assert "SQLite log" in read(tmp_path / "a.db-wal")[1].passed_over()[0]
    made.close()
    packed = tmp_path / "b.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.db").read_bytes()))
    assert read(packed)[0] == ["Words that are old.", "Words that are new."]


def test_a_damaged_database_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    filled(tmp_path / "a.db", "CREATE TABLE last (text TEXT)", "INSERT INTO last VALUES ('Words of the last table.')")
    data = (tmp_path / "a.db").read_bytes()
    (tmp_path / "a.db").write_bytes(data[: len(data) * 2 // 3])
    found, findings = read(tmp_path / "a.db")
    assert found[-1] == "Words of the last table." and len(found) > 100
    assert any("a damaged table" in note for note in findings.passed_over())
    (tmp_path / "a.db").write_bytes(data[:100] + b"\xff" * 4000)
    with pytest.raises(DataError):
        find([str(tmp_path / "a.db")])
    assert read(tmp_path / "a.db")[1].skipped.total() == 1


def test_nothing_in_a_schema_is_run(tmp_path: Path) -> None:
    """A column that is computed, a view, a table that a module computes and a default are left alone."""
    made = database(
        tmp_path / "a.db",
        "CREATE TABLE a (text TEXT, big AS (zeroblob(9000000)), more TEXT AS (printf('%.9000000c', 'x')))",
        "INSERT INTO a VALUES ('Words of a row.')",
        "CREATE VIEW b AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x || ' word' FROM n",
    )
    made.execute("PRAGMA writable_schema = ON")
    made.execute(
        "INSERT INTO sqlite_master VALUES ('table', 'c', 'c', 0, 'CREATE VIRTUAL TABLE c USING generate_series(1, 2)')"
    )
    made.commit()
    made.close()
    found, findings = read(tmp_path / "a.db")
    assert found == ["Words of a row."]
    assert findings.left_out[sqlite.VIEW] == 1 and findings.left_out[sqlite.MODULE] == 1


def test_a_long_row_and_bytes_of_no_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROW_BYTES", 1000)
    made = database(tmp_path / "a.db", "CREATE TABLE a (text TEXT)", "INSERT INTO a VALUES ('Words of a row.')")
    made.execute("INSERT INTO a VALUES (?)", ("long " * 400,))
    made.execute("INSERT INTO a VALUES (CAST(? AS TEXT))", (b"caf\xe9 in words",))
    made.commit()
    made.close()
    found, findings = read(tmp_path / "a.db")
    assert found == ["Words of a row.", "caf\ufffd in words"] and findings.skipped_rows == 1
    assert findings.replaced_bytes == 1
