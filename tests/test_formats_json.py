"""JSON as it comes: lines that are not quite JSON, frames in columns, rows in trees, and what is no text."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.data.formats import reader
from daybreak.data.formats.findings import Findings, Stopped, Unsuitable
from daybreak.data.formats.rows import lenient
from daybreak.data.formats.rows.finite import finite
from daybreak.data.formats.rows.frames import frame_rows
from daybreak.data.formats.streams import Budget, Stream
from daybreak.data.sources import Reading, parts

A, B, C = (f"The number {name} is a text of some words, as people write them." for name in ("one", "two", "three"))
TEXTS = [A, B, C]
ROWS = [{"text": text, "n": number} for number, text in enumerate(TEXTS)]
LINES = [json.dumps(row) for row in ROWS]


def read(data: str | bytes, name: str = "f.jsonl") -> tuple[list[str], tuple[str, ...]]:
    """The texts of a file's documents, and the notes; why a file is refused or breaks off is the last of them."""
    data = data.encode() if isinstance(data, str) else data
    findings, texts, ended = Findings(), [], ()
    try:
        for document in reader.documents(Stream(name, io.BytesIO(data), Budget(len(data))), findings):
            texts.append(document.text)
    except (Unsuitable, Stopped) as error:
        ended = (f"{type(error).__name__}: {error}",)
    return texts, (*findings.notes(), *ended)


# Lines that are not quite JSON

LOOSE = {
    "a comma behind each row": ",\n".join(LINES) + ",\n",
    "commas and brackets on lines of their own": "[\n" + ",\n".join(LINES) + "\n]\n",
    "brackets at the first and last row": "[" + ",\n".join(LINES) + "]\n",
    "commas in front": "\n,".join(LINES),
    "pages of rows": json.dumps(ROWS[:2]) + "\n" + json.dumps(ROWS[2:]),
    "a fence of Markdown": "```json\n" + "\n".join(LINES) + "\n```\n",
    "a fence around a list": f"```json\n{json.dumps(ROWS, indent=2)}\n```",
    "documents of YAML": "---\n".join(f"{line}\n" for line in LINES),
    "line ends spelt out": "\\n".join(LINES),
    "bars": "|".join(LINES),
    "semicolons": ";\n".join(LINES) + ";",
    "Python's dictionaries": "\n".join(repr(row | {"of": None, "ok": True, "pair": (1, "a")}) for row in ROWS),
    "Python's bytes": "\n".join(repr({"text": text.encode()}) for text in TEXTS),
    "Python's list": repr(ROWS),
    "two on a line": f"{LINES[0]}{LINES[1]}\n{LINES[2]}\n",
    "two on a line with a blank": f"{LINES[0]} {LINES[1]}\n{LINES[2]}\n",
    "all on one line": "".join(LINES),
    "all on one line with commas": ",".join(LINES),
    "marks of byte order": "\n".join("\ufeff" + line for line in LINES),
    "a mark of byte order in a later row": f"{LINES[0]}\n\ufeff{LINES[1]}\n{LINES[2]}",
    "two marks of byte order": f"\ufeff\ufeff{LINES[0]}\n{LINES[1]}\n{LINES[2]}",
    "record separators": "".join(f"\x1e{line}\n" for line in LINES),
    "blank lines": "\n\n \n".join(LINES),
    "line ends of CR and LF": "\r\n".join(LINES),
    "line ends of CR": "\r".join(LINES),
    "comments": f"// first\n{LINES[0]}\n# second\n{LINES[1]} // behind\n/* third */\n{LINES[2]}",
    "bare keys and single quotes": "\n".join(f"{{text: '{text}', n: .5,}}" for text in TEXTS),
    "commas at the end of objects": "\n".join(line[:-1] + ",}" for line in LINES),
    "numbers that are none": "\n".join(line[:-1] + ', "x": NaN, "y": -Infinity}' for line in LINES),
    "numbers too large": "\n".join(line[:-1] + ', "x": 1e9999, "y": ' + "9" * 5000 + "}" for line in LINES),
    "objects over several lines": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "one object over several lines": f"{LINES[0]}\n{json.dumps(ROWS[1], indent=2)}\n{LINES[2]}",
    "values of databases": "\n".join(
        f'{{"_id": ObjectId("5f"), "text": "{text}", "at": ISODate("2020-01-01")}}' for text in TEXTS
    ),
    "values of Python's modules": "\n".join(
        f"{{'at': datetime.date(2020, 1, 1), 'text': '{text}', 'x': array([1, 2], dtype=int64)}}" for text in TEXTS
    ),
    "hashes of Ruby": "\n".join(f'{{"text"=>"{text}", :of=>nil}}' for text in TEXTS),
    "quotes of a word processor": "\n".join(f"{{“text”: “{text}”}}" for text in TEXTS),
    "an assignment": f"data = {json.dumps(ROWS)};",
    "a call": f"callback({json.dumps(ROWS)});\n",
    "a guard of servers": f")]}}'\n{json.dumps(ROWS)}",
}


@pytest.mark.parametrize("name", ["f.jsonl", "f.json", "f.txt"])
@pytest.mark.parametrize("case", LOOSE)
def test_lines_that_are_not_quite_json(case: str, name: str) -> None:
    if (name == "f.txt" and "fence" in case) or (name != "f.jsonl" and "word processor" in case):
        pytest.skip("no JSON by its signs or its name")
    texts, notes = read(LOOSE[case], name)
    assert texts == TEXTS and not [note for note in notes if "skipped" in note or "broken" in note], notes


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("in words", "in\nwords"), "in\nwords."),
        (("in words", "in\twords"), "in\twords."),
        (("in words.", "in words.\n"), "in words.\n"),  # the next line begins with the quote
        (("in words", "in \x0b words"), "in \x0b words."),
        (("in words", r"in \x41 \d \' words"), "in A \\d ' words."),
        (("in words", r"in \ud83d\ude00 words"), "in \U0001f600 words."),
        (("in words", r"in \ud83d words"), "in \ufffd words."),
    ],
)
def test_strings_that_are_not_quite_json(change: tuple[str, str], expected: str) -> None:
    lines = [json.dumps({"text": f"Number {number} in words."}) for number in range(3)]
    texts, notes = read("\n".join(line.replace(*change) for line in lines))
    assert texts == [f"Number {number} {expected}" for number in range(3)], notes


@pytest.mark.parametrize(
    ("data", "places", "left"),
    [
        ("\n".join(LINES)[:-20], "1 of 3 rows skipped: not a complete row (f.jsonl: line 3;", [A, B]),
        (f'{LINES[0]}\n{{"text": "He said "no" to me"}}\n{LINES[2]}', "(f.jsonl: line 2;", [A, C]),
        ("<html>\n<h1>502</h1>\n</html>\n" + "\n".join(LINES), "f.jsonl: line 1, f.jsonl: line 2", TEXTS),
        (f"{LINES[0]}\n<<<<<<< HEAD\n{LINES[1]}\n=======\n{LINES[2]}\n>>>>>>> b", "line 2, f.jsonl: line 4", TEXTS),
        ("id,text\n" + "\n".join(LINES), "(f.jsonl: line 1;", TEXTS),
        (f'{LINES[0]}\n{{"text": "cut off\n{LINES[1]}\n  {LINES[2]}', "(f.jsonl: line 2;", TEXTS),
        (f"{LINES[0]}\n[1, 2\nnull\n{LINES[2]}", "2 of 4 rows skipped: not a complete row (f.jsonl: line 2, f", [A, C]),
        (f'{LINES[0]}\n{"[" * 200}\n{LINES[1]}\n{{"a": }}', "line 2, f.jsonl: line 4", [A, B]),
    ],
)
def test_rows_that_cannot_be_read_are_counted_by_their_lines(data: str, places: str, left: list[str]) -> None:
    texts, notes = read(data)
    assert texts == left
    assert places in " ".join(notes), notes


@pytest.mark.parametrize("name", ["f.jsonl", "f.json"])
def test_a_prefix_of_a_log_is_left_out_and_said(name: str) -> None:
    texts, notes = read("\n".join(f"2024-01-01T00:00:00Z INFO {line}" for line in LINES), name)
    assert texts == TEXTS and notes == (f"{name}: what stands in front of its rows is not read",)


@pytest.mark.parametrize(
    "data",
    [f"callback({LINES[0]}, {LINES[1]}"[:-30], f"rows: {LINES[0]}, {LINES[1]}", f"<rows>{''.join(LINES)}</rows>"],
)
def test_what_is_named_and_looks_like_json_is_never_read_as_text(data: str) -> None:
    texts, notes = read(data, "f.json")
    assert not [text for text in texts if '"' in text] and notes


@pytest.mark.parametrize("name", ["f.json", "f.txt", "f"])
def test_a_page_of_an_error_in_front_of_the_rows(name: str) -> None:
    page = "<!DOCTYPE html>\n<html><body>\n<h1>502 Bad Gateway</h1>\n</body></html>\n"
    texts, notes = read(page + "\n".join(LINES), name)
    assert texts == TEXTS and "line 4" in notes[0]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("[Verse 1]\nLa la la\n", "f.json"),
        ("{curly} words\nare text\n", "f.jsonl"),
        ("{% block main %}\n<b>{{ title }}</b>\n{% endblock %}\n", "f.txt"),
        ("{\\bf LaTeX}, and {words} of it: a text.\n", "f"),
        ("(see above) It is 'so', they said: a text\n" * 3, "f.txt"),
        ("[link]: http://a.b 'title'\n[other]: http://c.d\n", "f.md"),
        ("{ color: red; }\n", "f.txt"),
        ("# numbers\n[1, 2]\n", "f.py"),
        ("primes = [2, 3, 5]\n", "f.txt"),
    ],
)
def test_brackets_alone_make_no_json(data: str, name: str) -> None:
    texts, _ = read(data, name)
    assert texts == [data]


def test_broken_json_is_refused_with_its_line_and_never_read_as_text() -> None:
    data = '{\n "rows": [\n  {"text": "He said "no" to me"}\n ]\n}\n'
    assert read(data, "f.json") == (
        [],
        ("Unsuitable: broken JSON at line 3: 'no\" to me\"}' where a comma was expected",),
    )
    whole = json.dumps({"data": ROWS * 50})
    texts, notes = read(whole[:-300], "f.json")
    assert len(texts) > 140 and texts == (TEXTS * 50)[: len(texts)] and "broken JSON after byte" in notes[0]
    texts, notes = read(json.dumps(ROWS)[:-30], "f.json")
    assert texts == TEXTS[:2] and "broken JSON after byte" in notes[0]


def test_ranges_of_lines_give_what_the_whole_gives(tmp_path: Path) -> None:
    chosen = random.Random(1)
    forms = [
        lambda row: json.dumps(row),
        lambda row: json.dumps(row) + ",",
        lambda row: json.dumps(row, indent=1),
        lambda row: repr(row),
        lambda row: json.dumps(row).replace("some words", "some\nwords"),
        lambda row: json.dumps(row)[:-9],
        lambda row: "\ufeff" + json.dumps(row) + json.dumps(row),
    ]
    rows = [{"text": f"Row {n}: {chosen.choice(TEXTS)}", "n": [n, [n]]} for n in range(200)]
    path = tmp_path / "f.jsonl"
    path.write_text("".join(chosen.choice(forms)(row) + "\n" for row in rows))
    whole = Reading([path])
    expected = list(whole)
    assert len(expected) > 170
    for size in (900, 4000):
        made = parts([path], part_bytes=size)
        assert len(made) > 3
        cut = Reading(made)
        assert list(cut) == expected and cut.notes == whole.notes


@pytest.mark.parametrize("data", [json.dumps(TEXTS[0]), "\n".join(map(json.dumps, TEXTS)), json.dumps(TEXTS)])
def test_strings_are_rows(data: str) -> None:
    for name in ("f.json", "f.jsonl"):
        assert read(data, name) == (TEXTS[: max(1, data.count("number"))], ())


def test_a_long_list_as_python_prints_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daybreak.data.formats.rows.json_tree._WHOLE_BYTES", 10)
    data = repr([row | {"of": None} for row in ROWS])
    assert read(data, "f.txt") == (TEXTS, ())
    texts, notes = read(data[:-30], "f.txt")
    assert texts == TEXTS[:2] and "broken JSON at line 1" in notes[0]
    monkeypatch.setattr("daybreak.data.formats.rows.json_tree._PRINTED_BYTES", 100)
    assert "write a row a line" in read(data, "f.txt")[1][0]


def test_keys_that_are_text_stay_with_their_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {f"What is the number {n}?": text for n, text in enumerate(TEXTS)}
    words = {"apple": A, "pear": B, "plum": C, "fig": A}
    for _ in range(2):
        assert read(json.dumps(asked), "f.json") == ([f"{key}\n{text}" for key, text in asked.items()], ())
        texts, notes = read(json.dumps(words), "f.json")
        assert texts == [A, B, C, A] and notes == ("f.json: texts by their keys, which are not read",)
        monkeypatch.setattr("daybreak.data.formats.rows.json_tree._WHOLE_BYTES", 10)


def test_a_long_line_of_many_rows(tmp_path: Path) -> None:
    data = "".join(json.dumps({"text": f"{n}. {TEXTS[n % 3]}"}) for n in range(2000))
    assert len(data) > 2 * 65536
    assert len(read(data, "f.jsonl")[0]) == len(read(data, "f.json")[0]) == 2000
    book = json.dumps({"title": "A book", "text": " ".join(TEXTS * 600), "tags": ["a"]})
    for data in (f"{book}\n{book}", f'{{"text": "short"}}\n{book}'):
        for name in ("f.jsonl", "f.json", "f"):
            texts, notes = read(data, name)
            assert "".join(texts).endswith(" ".join(TEXTS * 600)) and notes == ()
            kind, _, _ = reader.text_format(Stream(name, io.BytesIO(data.encode()), Budget(len(data))))
            assert kind.name == "jsonl" or not data.startswith('{"text": "short"'), name


# Frames: tables in columns, as pandas and others write them

FRAMES: dict[str, object] = {
    "columns": {"text": {"0": A, "1": B}, "label": {"0": 1, "1": 0}},
    "columns, the text last": {"label": {"0": 1, "1": 0}, "text": {"0": A, "1": B}},
    "columns with an index of names": {
        name: {f"row {n}": value for n, value in enumerate(values)}
        for name, values in (("text", [A, B] * 5), ("label", range(10)))
    },
    "one column": {"text": {"0": A, "1": B}},
    "split": {"columns": ["text", "label"], "index": [0, 1], "data": [[A, 1], [B, 0]]},
    "split with levels": {"columns": [["text", ""], ["label", "x"]], "index": [0, 1], "data": [[A, 1], [B, 0]]},
    "records": [{"text": A, "label": 1}, {"text": B, "label": 0}],
    "index": {"0": {"text": A, "label": 1}, "1": {"text": B, "label": 0}},
    "values": [[A, 1], [B, 0]],
    "values with names": {"range": "A1:B3", "values": [["text", "label"], [A, "x"], [B, "y"]]},
    "table": {
        "schema": {"fields": [{"name": "text", "type": "string"}], "primaryKey": ["text"]},
        "data": [{"text": A}, {"text": B}],
    },
    "series": {"0": A, "1": B},
    "lists": {"text": [A, B], "label": [0, 1]},
    "lists of texts": {"text": [A, B], "title": ["One", "Two"]},
    "one list": {"text": [A, B]},
    "an interface of a database": {"columns": [{"name": "text"}, {"name": "n"}], "rows": [[A, 1], [B, 2]]},
}


@pytest.mark.parametrize("form", FRAMES)
@pytest.mark.parametrize("indent", [None, 1])
def test_frames_become_rows(form: str, indent: int | None) -> None:
    value = FRAMES[form]
    texts, notes = read(json.dumps(value, indent=indent), "f.json")
    expected = [A, B] * 5 if "index of names" in form else [A, B]
    if form == "split with levels":
        assert texts == expected and "'text.'" in notes[0]
    else:
        assert texts == expected, notes


def test_records_by_their_names_are_no_frame() -> None:
    assert frame_rows({"ann": {"text": A, "age": "9"}, "bob": {"text": B, "age": "8"}}) is None
    assert frame_rows({"train": [{"text": A}], "test": [{"text": B}]}) is None
    assert frame_rows({"train": [A, B], "test": [C, A]}) is None
    assert read(json.dumps({"train": [A, B], "test": [C]}), "f.json")[0] == [A, B, C]


# Rows in trees

TREES: dict[str, object] = {
    "two long texts by names": {"opening": "\n".join(TEXTS), "ending": "\n".join(TEXTS[::-1])},
    "pages": [ROWS[:2], ROWS[2:]],
    "pages of pages": {"pages": {"first": [ROWS[:1]], "second": [ROWS[1:]]}},
    "texts by their keys": {"id1": A, "id2": B, "id3": C},
    "texts by names": {"intro": A, "middle": B, "outro": C, "a1": A},
    "objects by their keys": {"id1": {"text": A}, "id2": {"text": B}, "id3": {"text": C}},
    "lists in an object": {"version": "1.0", "data": ROWS},
    "lists deep below": {"response": {"status": "all is well here", "result": {"docs": ROWS}}},
    "splits": {"train": ROWS[:2], "test": ROWS[2:]},
    "splits of objects": {"train": {"data": ROWS[:2]}, "test": {"data": ROWS[2:]}},
    "one list of texts": {"source": "somewhere", "texts": TEXTS},
    "a list in a list's place": ROWS,
    "a row without a list": {"title": "short", "text": "\n".join(TEXTS), "tags": ["a", "b"], "parts": [{"text": A}]},
}


@pytest.mark.parametrize("form", TREES)
def test_rows_in_trees(form: str) -> None:
    texts, notes = read(json.dumps(TREES[form], indent=2), "f.json")
    assert texts == {
        "a row without a list": ["\n".join(TEXTS)],
        "texts by names": [*TEXTS, A],
        "two long texts by names": ["\n".join(TEXTS), "\n".join(TEXTS[::-1])],
    }.get(form, TEXTS), notes


@pytest.mark.parametrize("form", [*TREES, "columns", "split", "table", "values with names"])
def test_long_trees_are_read_as_short_ones(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {**TREES, **FRAMES}[form]
    expected = read(json.dumps(value), "f.json")
    monkeypatch.setattr("daybreak.data.formats.rows.json_tree._WHOLE_BYTES", 10)
    assert read(json.dumps(value), "f.json") == expected
    assert read(f"callback({json.dumps(value)});", "f.json") == expected


def test_lists_beside_the_rows_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.dumps({"articles": ROWS, "authors": [{"name": "Ann", "bio": "She writes of many things."}]})
    for _ in range(2):
        assert read(data, "f.json") == (TEXTS, ("f.json: the lists 'authors' beside its rows are not read",))
        monkeypatch.setattr("daybreak.data.formats.rows.json_tree._WHOLE_BYTES", 10)


def test_an_archive_of_posts_assigns_its_list() -> None:
    posts = [{"id": "1", "full_text": text} for text in TEXTS]
    texts, _ = read(f"window.YTD.tweets.part0 = {json.dumps(posts, indent=1)}", "tweets.js")
    assert texts == TEXTS
    program = "const colours = ['red', 'green'];\nexport default colours;\n"
    assert read(program, "colours.js")[0] == [program]


def test_columns_that_are_too_long_to_hold_are_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daybreak.data.formats.rows.json_tree._WHOLE_BYTES", 10)
    monkeypatch.setattr("daybreak.data.formats.limits.HELD_BYTES", 300_000)
    data = json.dumps({"text": dict(enumerate(TEXTS * 3000))})
    texts, notes = read(data, "f.json")
    assert not texts and "orient='records', lines=True" in notes[0]


# What is no text

NO_TEXT = {
    "package.json": {"name": "x", "version": "1", "description": "Does many things well.", "scripts": {"a": "b c"}},
    "config.json": {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64},
    "tokenizer.json": {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {"a b": 0}}},
    "tokenizer_config.json": {"tokenizer_class": "X", "chat_template": "{% for message in messages %} it is so"},
    "vocab.json": {f"word{n}": n for n in range(50)},
    "dataset_infos.json": {"default": {"description": A, "citation": B, "features": {}, "splits": {}}},
    "numbers.json": [[1, 2], [3, 4]],
    "messages.json": {
        "menu": {"open": "Open a file", "close": "Close the file"},
        "help": {"about": "About this tool", "home": "Visit our home"},
    },
    "settings.json": {"editor.rulers": [80], "terminal.title": "My own title", "git.message": "A message of mine"},
    "pages.json": {
        "pagination": {f"List{n}": {"limit_key": "maxResults", "result_key": f"groupIds{n}"} for n in range(9)}
    },
    "enum.json": [{"op": "add", "path": "/a/b", "value": ["EBS", "EFS"]}, {"op": "add", "value": ["ABANDON"]}],
    "keys.json": ["card_arrival", "card_linking", "exchangeRate", "T0ken", "a.b.c"],
    "schema.json": {"$schema": "http://json-schema.org/draft-07", "properties": {"a": {"description": A}}},
}


@pytest.mark.parametrize("name", NO_TEXT)
def test_settings_and_numbers_are_no_text(name: str) -> None:
    texts, notes = read(json.dumps(NO_TEXT[name], indent=1), name)
    assert not texts and notes, notes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["Emma", "Olivia", "Ann-Marie"], ["Emma", "Olivia", "Ann-Marie"]),
        ([{"name": "Emma", "sex": "F"}, {"name": "Noah", "sex": "M"}], ["Emma", "Noah"]),
        ([{"body": "Hello"}, {"body": "World"}], ["Hello", "World"]),
        ([{"note": "Good morning"}, {"note": "Good night"}], ["Good morning", "Good night"]),
        ([{"note": "早上好"}, {"note": "晚安"}], ["早上好", "晚安"]),
        ([{"note": "IT WAS ALL THERE"}, {"note": "AND IT WAS GOOD"}], ["IT WAS ALL THERE", "AND IT WAS GOOD"]),
    ],
)
def test_short_texts_are_texts(value: object, expected: list[str]) -> None:
    assert read(json.dumps(value), "f.json")[0] == expected


# The parsers

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_the_lenient_parser_agrees_with_json_and_python(value: dict[str, object]) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1), repr(value)):
        assert list(lenient.values(text)) == [value]
        assert list(lenient.values(f"{text},\n{text}")) == [value, value]


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet="{}[](),:'\"\\ab1 \n#/*=<>u-.", max_size=60))
def test_the_lenient_parser_ends_in_values_or_its_own_error(text: str) -> None:
    try:
        for value in lenient.values(text):
            assert isinstance(value, dict | list | str) or value is None or isinstance(value, int | float)
    except lenient.Broken as error:
        assert 0 <= error.position <= len(text)


ODD_NUMBERS = ("NaN", "-Infinity", "9" * 30, "1e999")
OTHERS = ('"NaN \\" , Infinity"', "1", '"\\\\"', '"n"', "0.1234567890123456789012", '"1e999"')


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([*ODD_NUMBERS, *OTHERS]), max_size=9), st.integers(1, 9))
def test_numbers_that_are_none_become_null_whatever_the_blocks(values: list[str], size: int) -> None:
    data = ("[" + ", ".join(values) + "]").encode()
    mended = b"".join(finite(data[at : at + size] for at in range(0, len(data), size)))
    expected = [None if value in ODD_NUMBERS else json.loads(value) for value in values]
    assert json.loads(mended) == expected
