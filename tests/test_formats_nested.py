"""Nested rows: text in objects, lists and strings of JSON that are in a row, in JSON, tables and columnar files."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from daybreak.data.formats import reader
from daybreak.data.formats.findings import Findings
from daybreak.data.formats.streams import Budget, Stream

A, B, C = (f"The number {name} is a text of some words, as people write them." for name in ("one", "two", "three"))
TEXTS = [A, B, C]


def read(data: str | bytes, name: str = "f.jsonl") -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    data = data.encode() if isinstance(data, str) else data
    findings = Findings()
    stream = Stream(name, io.BytesIO(data), Budget(len(data)), seekable=True)
    return [(document.text, document.kind) for document in reader.documents(stream, findings)], findings.notes()


def as_lines(rows: list[Any]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


def as_tree(rows: list[Any]) -> bytes:
    return json.dumps({"results": rows}, indent=1).encode()


def as_table(rows: list[Any]) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def as_parquet(rows: list[Any]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


# Rows in rows. Each is given a text and its number.

WRAPPED: dict[str, tuple[Any, str]] = {
    "one level": (lambda text, n: {"id": n, "data": {"text": text}}, "'data.text'"),
    "two levels": (lambda text, n: {"id": n, "data": {"kind": "a", "inner": {"text": text}}}, "'data.inner.text'"),
    "a search's answer": (
        lambda text, n: {"_index": "books", "_id": str(n), "_score": 1.5, "_source": {"body": text}},
        "'_source.body'",
    ),
    "a viewer's answer": (lambda text, n: {"row_idx": n, "row": {"text": text}, "truncated_cells": []}, "'row.text'"),
    "a map": (
        lambda text, n: {"type": "Feature", "geometry": {"type": "Point", "coordinates": [n, 2]},
                         "properties": {"description": text}},
        "'properties.description'",
    ),
    "labels": (
        lambda text, n: {"id": n, "annotations": [{"result": [{"value": {"choices": ["Good"]}}]}],
                         "data": {"text": text}},
        "'data.text'",
    ),
    "a listing": (
        lambda text, n: {"kind": "t3", "data": {"title": f"Title {n}", "selftext": text, "ups": n}},
        "'data.selftext'",
    ),
    "typed values": (lambda text, n: {"Item": {"id": {"N": str(n)}, "text": {"S": text}}}, "'Item.text.S'"),
    "a title outside": (lambda text, n: {"title": f"A title {n}", "data": {"text": text}}, "'data.text'"),
}  # fmt: skip


@pytest.mark.parametrize("write", [as_lines, as_tree, as_parquet])
@pytest.mark.parametrize("form", WRAPPED)
def test_rows_in_rows(form: str, write: Any) -> None:
    row, column = WRAPPED[form]
    documents, notes = read(write([row(text, n) for n, text in enumerate(TEXTS)]), "f")
    assert [text for text, _ in documents] == TEXTS, notes
    assert len(notes) == 1 and column in notes[0], notes


def test_conversations_and_questions_in_rows_of_rows() -> None:
    rows = [{"row_idx": n, "row": {"messages": [{"role": "user", "content": text}]}} for n, text in enumerate(TEXTS)]
    documents, notes = read(as_tree(rows), "f.json")
    assert documents == [(f"User: {text}", "dialogue") for text in TEXTS] and "'row'" in notes[0]
    rows = [{"id": n, "_source": {"question": "Why?", "answer": text}} for n, text in enumerate(TEXTS)]
    documents, _ = read(as_lines(rows))
    assert documents == [(f"User: Why?\nAssistant: {text}", "dialogue") for text in TEXTS]


def test_a_column_of_text_is_preferred_to_objects_beside_it() -> None:
    rows = [{"text": text, "meta": {"about": "A long description of the source, the same in each row. " * 3}}
            for text in TEXTS]  # fmt: skip
    assert [text for text, _ in read(as_lines(rows))[0]] == TEXTS
    rows = [{"content": text, "meta": {"about": "A long description of the source, the same in each row. " * 3}}
            for text in TEXTS]  # fmt: skip
    assert [text for text, _ in read(as_lines(rows))[0]] == TEXTS


def test_actions_between_the_rows_of_a_bulk_request_are_counted() -> None:
    lines = [line for text in TEXTS for line in ({"index": {"_index": "b", "_id": "1"}}, {"text": text})]
    documents, notes = read(as_lines(lines))
    assert [text for text, _ in documents] == TEXTS and "3 of 6 rows skipped" in notes[0]


# Texts deep below, of one row that is the file, or of several


def book(*chapters: list[str]) -> dict[str, Any]:
    parts = [{"title": f"Part {n}", "page": n, "paragraphs": texts} for n, texts in enumerate(chapters, 1)]
    return {"book": {"title": "A book of things", "isbn": "978-3-16-148410-0", "chapters": parts}}


DEEP: dict[str, tuple[Any, list[str]]] = {
    "speech": (
        {"results": [{"alternatives": [{"transcript": text, "confidence": 0.9}]} for text in TEXTS]},
        TEXTS,
    ),
    "speech of a cloud": (
        {"jobName": "x", "results": {"transcripts": [{"transcript": A}],
         "items": [{"alternatives": [{"content": word}], "type": "word"} for word in A.split()]}},
        [A],
    ),
    "a book": (book([A, B], [C]), [f"A book of things\nPart 1\n{A}\n{B}\nPart 2\n{C}"]),
    "words of lines": ({"pages": [{"lines": [{"words": [{"text": w} for w in t.split()]} for t in TEXTS]}]},
                       [" ".join(TEXTS)]),
    "captions": ({"events": [{"tStartMs": 0, "segs": [{"utf8": text}]} for text in TEXTS]}, TEXTS),
    "paragraphs": ({"title": "A title", "paragraphs": TEXTS}, ["\n".join(TEXTS)]),
    "poems": ([{"title": "T", "lines": TEXTS[:2]}, {"title": "U", "lines": TEXTS[2:]}], [f"{A}\n{B}", C]),
    "articles of science": (
        {"paper_id": "x1", "metadata": {"title": "A title in words"}, "abstract": [{"text": A}],
         "body_text": [{"text": B}, {"text": C}]},
        [f"{A}\n{B} {C}"],
    ),
    "a table's export": (
        [{"type": "header", "version": "4.9", "comment": "Export to JSON plugin"}, {"type": "database", "name": "x"},
         {"type": "table", "name": "posts", "data": [{"id": str(n), "body": text} for n, text in enumerate(TEXTS)]}],
        TEXTS,
    ),
    "edges and nodes": ({"data": {"posts": {"edges": [{"node": {"id": "1", "body": t}} for t in TEXTS]}}}, TEXTS),
}  # fmt: skip


@pytest.mark.parametrize("form", DEEP)
def test_texts_deep_below(form: str) -> None:
    value, expected = DEEP[form]
    documents, notes = read(json.dumps(value, indent=1), "f.json")
    assert [text for text, _ in documents] == expected, notes


# Translations and trees


@pytest.mark.parametrize(
    "rows",
    [
        [{"id": str(n), "translation": {"en": f"Hello number {n}", "fr": f"Bonjour {n}"}} for n in range(3)],
        [{"translation": {"en": f"Hello number {n}", "fr": f"Bonjour {n}"}} for n in range(3)],
        [{"en": f"Hello number {n}", "fr": f"Bonjour {n}"} for n in range(3)],
        [{"translations": [{"lang": "en", "text": f"Hello number {n}"}, {"lang": "fr", "text": f"Bonjour {n}"}]}
         for n in range(3)],
        [{"translation": {"eng_Latn": f"Hello number {n}", "fra_Latn": f"Bonjour {n}"}} for n in range(3)],
        [{"translation": {"en-GB": f"Hello number {n}", "fr-FR": f"Bonjour {n}"}, "score": 0.5} for n in range(3)],
    ],
)  # fmt: skip
@pytest.mark.parametrize("write", [as_lines, as_tree, as_parquet])
def test_translations_have_all_sides_in_one_document(rows: list[Any], write: Any) -> None:
    documents, notes = read(write(rows), "f")
    assert documents == [(f"Hello number {n}\nBonjour {n}", "text") for n in range(3)]
    assert "translations" in notes[0]


def test_columns_with_short_names_are_no_languages() -> None:
    rows = [{"id": f"a{n}", "url": f"http://a.b/{n}", "doc": text} for n, text in enumerate(TEXTS)]
    assert [text for text, _ in read(as_lines(rows))[0]] == TEXTS


def message(text: str, *replies: Any, role: str = "assistant", rank: int | None = None) -> dict[str, Any]:
    return {"message_id": "x", "text": text, "role": role, "lang": "en", "rank": rank, "replies": list(replies)}


def test_trees_of_messages_follow_the_best_ranked_reply() -> None:
    thanks = message("Thank you.", message("Welcome."), role="prompter")
    worse, best = message("It is this.", rank=1), message("It is that.", thanks, rank=0)
    root = message("What is it?", worse, best, role="prompter")
    expected = "User: What is it?\nAssistant: It is that.\nUser: Thank you.\nAssistant: Welcome."
    for row in ({"message_tree_id": "x", "tree_state": "ready", "prompt": root}, {"prompt": root}, root):
        documents, notes = read(as_lines([row, row]))
        assert documents == [(expected, "dialogue")] * 2
        assert "best-ranked" in notes[0]
        assert notes[1].startswith("2 parts left out: replies beside the best-ranked ones (22 bytes")
    unranked = message("Question?", message("First."), message("Second."), role="prompter")
    assert read(as_lines([{"prompt": unranked}]), "f.json")[0] == [("User: Question?\nAssistant: First.", "dialogue")]


# JSON in a string cell


def doubled(text: str) -> str:
    return json.dumps({"id": 7, "text": text})


CELLS: dict[str, tuple[Any, Any]] = {
    "an object": (doubled, lambda text: text),
    "Python's dictionary": (lambda text: repr({"text": text, "x": None}), lambda text: text),
    "a list": (lambda text: json.dumps([text, "More words."]), lambda text: f"{text} More words."),
    "Python's list": (lambda text: repr([text, "It's more."]), lambda text: f"{text} It's more."),
    "a conversation": (
        lambda text: repr([{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}]),
        lambda text: f"User: {text}\nAssistant: Yes.",
    ),
    "an object in an object": (lambda text: json.dumps({"data": {"text": text}}), lambda text: text),
}


@pytest.mark.parametrize("name", ["payload", "messages", "text"])
@pytest.mark.parametrize("write", [as_lines, as_tree, as_table, as_parquet])
@pytest.mark.parametrize("form", CELLS)
def test_cells_of_json_are_read_as_what_they_are(form: str, write: Any, name: str) -> None:
    if (form, name) in (("a conversation", "text"), ("a list", "messages"), ("Python's list", "messages")):
        pytest.skip("in a column of that name it is something else")
    cell, expected = CELLS[form]
    rows = [{"id": f"row-{n}", "label": str(n % 2), name: cell(text)} for n, text in enumerate(TEXTS * 3)]
    documents, notes = read(write(rows), "f.csv" if write is as_table else "f")
    assert [text for text, _ in documents] == [expected(text) for text in TEXTS * 3], notes
    assert f"cells of '{name}' hold JSON" in notes[0]


def test_rows_that_were_written_as_json_twice() -> None:
    documents, notes = read(as_lines([doubled(text) for text in TEXTS]))
    assert [text for text, _ in documents] == TEXTS and "strings of JSON" in notes[0]


def test_cells_of_numbers_do_not_hide_the_text() -> None:
    rows = [{"vector": str([0.5, n]), "note": text} for n, text in enumerate(TEXTS)]
    documents, _ = read(as_lines(rows))
    assert [text for text, _ in documents] == TEXTS


def test_answers_in_json_stay_as_they_are() -> None:
    rows = [{"prompt": f"Name {n}.", "completion": json.dumps({"name": n})} for n in range(3)]
    documents, _ = read(as_lines(rows))
    assert documents[1] == ('User: Name 1.\nAssistant: {"name": 1}', "dialogue")
    verse = [{"text": f"[Verse {n}]\nLa la la [chorus]"} for n in range(3)]
    assert read(as_lines(verse))[0][2] == ("[Verse 2]\nLa la la [chorus]", "text")


# Rows that are lists


@pytest.mark.parametrize(
    "rows",
    [
        [[text, {"entities": [[0, 3, "X"]]}] for text in TEXTS],
        [[n, text, "label"] for n, text in enumerate(TEXTS)],
        [[text, None, [1, 2]] for text in TEXTS],
    ],
)
@pytest.mark.parametrize("write", [as_lines, as_tree])
def test_rows_that_are_lists_of_cells(rows: list[Any], write: Any) -> None:
    documents, notes = read(write(rows), "f")
    assert [text for text, _ in documents] == TEXTS, notes


def test_pairs_of_texts_are_turns() -> None:
    assert read(as_lines([["Hello there.", "How are you?"]] * 2))[0][0] == ("Hello there.\nHow are you?", "dialogue")
