"""Rows: where the text of each row is, whatever the first rows of its file have."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from daybreak.core.errors import DataError
from daybreak.core.messages import localized
from daybreak.data.formats.findings import Findings
from daybreak.data.sources import Reading, parts

TURNS = [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "Over there."}]
SAID = "User: Where is it?\nAssistant: Over there."


def text(i: int) -> str:
    return f"The text of row {i}, in some words."


def texts(start: int, stop: int, name: str = "text", **more: object) -> list[dict[str, Any]]:
    return [{"id": i, name: text(i), **more} for i in range(start, stop)]


def written(folder: Path, rows: list[Any], name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read(folder: Path, rows: list[Any]) -> tuple[list[str], Reading]:
    """The documents, which are the same from JSON lines, from one JSON value, and from parts of the file."""
    path = written(folder, rows)
    reading = Reading([path])
    found = [document.text for document in reading]
    whole = folder / "rows.json"
    whole.write_text(json.dumps(rows))
    assert [document.text for document in Reading([whole])] == found
    total, apart = Findings(), []
    for part in pickle.loads(pickle.dumps(parts([path], part_bytes=4000))):
        one = Reading([part])
        apart += [document.text for document in one]
        total.add(one.findings)
    assert apart == found and total.notes() == reading.notes
    return found, reading


ALL = [text(i) for i in range(500)]
MIXED = {
    "one row of the first hundred has a text": (
        [*texts(0, 50, "content"), *texts(50, 51), *texts(51, 500, "content")],
        ALL,
        "1 row has its text in 'text', not in 'content'",
    ),
    "the column changes in the middle": (
        [*texts(0, 250), *texts(250, 500, "content")],
        ALL,
        "250 rows have their text in 'content', not in 'text'",
    ),
    "the column changes to one without a known name": (
        [*texts(0, 250), *texts(250, 500, "observation")],
        ALL,
        "250 rows have their text in 'observation', not in 'text'",
    ),
    "the column of the text comes late, beside titles": (
        [*({"title": f"The title of row {i}"} for i in range(150)), *texts(150, 500, title="A title, and more")],
        [*(f"The title of row {i}" for i in range(150)), *ALL[150:]],
        "350 rows have their text in 'text', not in 'title'",
    ),
    "columns of two files put together, one of them null": (
        [*texts(0, 250, content=None), *texts(250, 500, "content", text=None)],
        ALL,
        "250 rows have their text in 'content', not in 'text'",
    ),
    "in turns": (
        [row for i in range(0, 500, 2) for row in (*texts(i, i + 1), *texts(i + 1, i + 2, "body"))],
        ALL,
        "250 rows have their text in 'body', not in 'text'",
    ),
    "in turns, one without a known name": (
        [row for i in range(0, 500, 2) for row in (*texts(i, i + 1), *texts(i + 1, i + 2, "observation"))],
        ALL,
        "250 rows have their text in 'observation', not in 'text'",
    ),
    "short texts of one word": (
        [*({"text": f"word{i}"} for i in range(250)), *({"content": f"word{i}"} for i in range(250, 500))],
        [f"word{i}" for i in range(500)],
        "250 rows have their text in 'content', not in 'text'",
    ),
    "conversations and then texts": (
        [*[{"messages": TURNS}] * 250, *texts(250, 500)],
        [SAID] * 250 + ALL[250:],
        "250 rows have their text in 'text', unlike the first rows",
    ),
    "texts and then conversations": (
        [*texts(0, 250), *[{"messages": TURNS}] * 250],
        ALL[:250] + [SAID] * 250,
        "250 rows are read in another way than the first rows: rows are conversations of messages",
    ),
    "strings among objects": ([*ALL[:250], *texts(250, 500)], ALL, ""),
    "objects and then strings": ([*texts(0, 250), *ALL[250:]], ALL, ""),
    "three shapes of a third each": (
        [
            row
            for i in range(0, 498, 3)
            for row in (*texts(i, i + 1), *texts(i + 1, i + 2, "body"), {"messages": TURNS})
        ],
        [one for i in range(0, 498, 3) for one in (ALL[i], ALL[i + 1], SAID)],
        "",
    ),
    "a conversation that is also told as a text": ([*texts(0, 500, messages=TURNS)], ALL, ""),
    "exchanges among texts": (
        [*texts(0, 200), *[{"prompt": "Why is it?", "completion": "Because."}] * 50],
        ALL[:200] + ["User: Why is it?\nAssistant: Because."] * 50,
        "50 rows are read in another way than the first rows: rows are exchanges",
    ),
    "in Chinese": (
        [*texts(0, 200), *[{"编号": i, "正文": f"第{i}行的正文写在这里，是一句话。"} for i in range(50)]],
        ALL[:200] + [f"第{i}行的正文写在这里，是一句话。" for i in range(50)],
        "50 rows have their text in '正文', not in 'text'",
    ),
}


@pytest.mark.parametrize("case", MIXED)
def test_a_row_without_the_chosen_column_chooses_for_itself(tmp_path: Path, case: str) -> None:
    rows, expected, said = MIXED[case]
    found, reading = read(tmp_path, rows)
    assert found == expected
    assert not reading.findings.passed_over() and reading.findings.rows_seen == len(expected)
    told = " ".join(reading.notes)
    assert said in told
    assert not said or any("rows.jsonl" in note and said in note for note in reading.notes)


EMPTY = {
    "empty": ([{"id": i, "text": ""} for i in range(150)], "the column 'text' is empty"),
    "null": ([{"id": i, "text": None} for i in range(150)], "the column 'text' is empty"),
    "blank": ([{"id": i, "text": " \n"} for i in range(150)], "the column 'text' is empty"),
    "with titles": ([{"title": f"The long title of {i}", "text": ""} for i in range(150)], "'text' is empty"),
    "numbers": ([{"id": i, "text": i} for i in range(150)], "the column 'text' holds no text"),
    "missing": ([{"id": i} for i in range(150)], "they have no column 'text'"),
    "labels only": ([{"id": i, "label": "positive"} for i in range(150)], "they have no column 'text'"),
    "a title only": ([{"title": f"The long title of {i}"} for i in range(150)], "they have no column 'text'"),
}


@pytest.mark.parametrize("case", EMPTY)
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_rows_without_text_are_counted_wherever_they_are(tmp_path: Path, case: str, first: bool) -> None:
    without, reason = EMPTY[case]
    more = {"title": "Some title of it"} if case == "with titles" else {}
    rows = [*without, *texts(0, 300, **more)] if first else [*texts(0, 300, **more), *without]
    if first and case in ("missing", "labels only", "a title only", "numbers"):
        rows = [*texts(300, 301), *rows[:60], *texts(301, 401), *rows[60:]]  # without them nothing tells of a text
    found, reading = read(tmp_path, rows)
    assert sorted(found) == sorted(
        text(row["id"]) for row in rows if isinstance(row.get("text"), str) and "row" in row["text"]
    )
    (note,) = reading.findings.passed_over()
    assert note.startswith(f"150 of {len(rows)} rows skipped: ") and reason in note


def test_a_column_that_stood_beside_the_text_is_not_taken_in_its_place(tmp_path: Path) -> None:
    rows = [{"text": text(i), "gloss": f"What row {i} is about, in words."} for i in range(150)]
    found, reading = read(tmp_path, [*rows, {"gloss": "What nothing is about, in words."}])
    assert found == ALL[:150] and reading.findings.skipped_rows == 1


def test_columns_of_prose_that_are_not_read_are_said(tmp_path: Path) -> None:
    rows = [
        {
            "id": i,
            "label": "good",
            "title": f"A title with words {i}",
            "text": text(i),
            "summary": f"In short, it is row {i}.",
        }
        for i in range(200)
    ]
    found, reading = read(tmp_path, rows)
    assert found == ALL[:200]
    assert reading.notes == ("rows.jsonl: the column 'text' holds the text; not read: 'title', 'summary'",)
    assert "未读取" in localized(reading.notes[0], "zh")


def test_what_is_said_of_rows_has_its_chinese_line(tmp_path: Path) -> None:
    told: list[str] = []
    for rows, _, said in MIXED.values():
        reading = Reading([written(tmp_path, [*rows[:120:4], *rows[-120::4]])])
        list(reading)
        said = said.partition(" ")[2].partition(" ")[2]
        told += [localized(note, "zh") for note in reading.notes if said and said in note]
    assert len(told) > 6
    for note in told:
        assert "行" in note and not any(word in note for word in (" have ", " has ", " are ", " is ")), note


@pytest.mark.parametrize(
    "value",
    [["One paragraph of it.", "Another one."], {"content": "One paragraph of it. Another one."}],
    ids=["list", "object"],
)
def test_a_text_in_parts_is_read(tmp_path: Path, value: Any) -> None:
    found, _ = read(tmp_path, [*texts(0, 120), {"text": value}])
    assert found[-1] == "One paragraph of it. Another one."


def test_files_of_a_folder_choose_each_for_itself(tmp_path: Path) -> None:
    paths = [
        written(tmp_path, texts(i, i + 3, name), f"{name}.jsonl") for i, name in ((0, "text"), (3, "body"), (6, "x"))
    ]
    reading = Reading(paths)
    assert [document.text for document in reading] == ALL[:9] and not reading.findings.rows_read


@pytest.mark.parametrize("rows", [[{"id": i, "score": 0.5} for i in range(150)], [{"id": 1}], [[1, 2]] * 9])
def test_rows_without_any_text_are_an_error_where_they_were_named(tmp_path: Path, rows: list[Any]) -> None:
    path = written(tmp_path, rows)
    with pytest.raises(DataError, match="no column of text") as error:
        list(Reading([path], named=[path]))
    assert "call the column" in error.value.attempt
    reading = Reading([path])
    assert not list(reading)
    (note,) = reading.findings.passed_over()
    assert note.startswith("1 file skipped: it has no column of text (rows.jsonl")


def test_many_ways_of_rows_are_told_apart_up_to_a_limit(tmp_path: Path) -> None:
    rows = [*texts(0, 200), *({"id": i, f"own{i}": text(i)} for i in range(200, 500))]
    reading = Reading([written(tmp_path, rows)])
    assert [document.text for document in reading] == ALL
    assert len(reading.findings.rows_read) == 101 and reading.findings.rows_read.total() == 300


def test_rows_of_tables_and_of_columnar_files_choose_for_themselves_too(tmp_path: Path) -> None:
    rows = [
        {"id": str(i), "text": text(i) if i < 250 else "", "content": "" if i < 250 else text(i)} for i in range(500)
    ]
    table = tmp_path / "a.csv"
    table.write_text("id,text,content\n" + "".join(f'{r["id"]},"{r["text"]}","{r["content"]}"\n' for r in rows))
    paths = [table]
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        pass
    else:
        paths.append(tmp_path / "a.parquet")
        filled = [{name: value or None for name, value in row.items()} for row in rows]
        parquet.write_table(pyarrow.Table.from_pylist(filled), paths[-1])
    for path in paths:
        reading = Reading([path])
        assert [document.text for document in reading] == ALL
        assert reading.notes == (f"{path.name}: 250 rows have their text in 'content', not in 'text'",)
