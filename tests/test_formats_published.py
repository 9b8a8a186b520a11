"""Corpora in the shapes in which they are published: questions with choices, rounds of two speakers, trees of words."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from daybreak.data.sources import Reading

TEXTS = ["The old harbour was quiet before the storm.", "Nobody knew who had painted the northern wall."]


def documents(folder: Path, name: str, data: str) -> tuple[list[str], str]:
    path = folder / name
    path.write_text(data, encoding="utf-8")
    reading = Reading([path])
    return [document.text for document in reading], "\n".join(reading.notes)


def lines(rows: Iterable[object]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (
            {"conversation": [{"human": TEXTS[0], "assistant": TEXTS[1]}, {"human": "Why?", "assistant": "So."}]},
            f"User: {TEXTS[0]}\nAssistant: {TEXTS[1]}\nUser: Why?\nAssistant: So.",
        ),
        ({"conversations": [{"user": "Why?", "bot": TEXTS[0]}]}, f"User: Why?\nAssistant: {TEXTS[0]}"),
        (
            {"title": "为什么港口很安静？", "desc": "请解释。", "answer": "因为渔船没有出海。"},
            "User: 为什么港口很安静？\n请解释。\nAssistant: 因为渔船没有出海。",
        ),
        ({"title": TEXTS[0], "desc": "", "answer": TEXTS[1]}, f"User: {TEXTS[0]}\nAssistant: {TEXTS[1]}"),
    ],
)
def test_rounds_and_forums_are_exchanges(tmp_path: Path, row: object, text: str) -> None:
    assert documents(tmp_path, "rows.jsonl", lines([row] * 12))[0] == [text] * 12


@pytest.mark.parametrize(
    "row",
    [
        {
            "question": {
                "stem": "Who slept?",
                "choices": [{"text": "boats", "label": "A"}, {"text": "no one", "label": "B"}],
            },
            "answerKey": "B",
        },
        {"question": "Who slept?", "choices": {"text": ["boats", "no one"], "label": ["A", "B"]}, "answerKey": "B"},
        {"question": "Who slept?", "choices": ["boats", "no one"], "answer": 1},
        {"question": "Who slept?", "choices": ["boats", "no one"], "answer": "no one"},
        {"query": "Who slept?", "choices": ["boats", "no one"], "gold": 1},
    ],
)
def test_of_a_question_with_choices_the_right_one_is_read(tmp_path: Path, row: object) -> None:
    texts, notes = documents(tmp_path, "rows.jsonl", lines([row] * 12))
    assert texts == ["Who slept? no one"] * 12
    assert "rows are questions with choices; the right choice is read" in notes


def test_what_a_forum_leaves_in_the_place_of_a_text_is_none(tmp_path: Path) -> None:
    rows = [{"body": TEXTS[number % 2] if number % 3 else "[deleted]", "score": number} for number in range(12)]
    texts, notes = documents(tmp_path, "rows.jsonl", lines(rows))
    assert texts == [row["body"] for row in rows if row["body"] != "[deleted]"]
    assert "4 of 12 rows skipped: no text in them" in notes


def test_two_columns_are_weighed_by_what_they_say_and_not_by_their_letters(tmp_path: Path) -> None:
    pairs = [
        (f"The harbour number {number} was quiet last night.", f"昨晚第{number}个港口很安静。") for number in range(12)
    ]
    table = "".join(f"{one}\t{other}\n" for one, other in pairs)
    assert documents(tmp_path, "pairs.tsv", table)[0] == [f"{one}\n{other}" for one, other in pairs]


WORDS = """# newdoc id = a
# sent_id = 1
# text = Don't go.
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\t_\t_\t3\taux\t_\t_
2\tn't\tnot\tPART\t_\t_\t3\tadvmod\t_\t_
3\tgo\tgo\tVERB\t_\t_\t0\troot\t_\tSpaceAfter=No
4\t.\t.\tPUNCT\t_\t_\t3\tpunct\t_\t_

"""


@pytest.mark.parametrize("data", [WORDS * 3, WORDS.replace("# text = Don't go.\n", "") * 3])
def test_trees_of_words_are_the_sentences_that_were_written(tmp_path: Path, data: str) -> None:
    texts, notes = documents(tmp_path, "trees.conllu", data + "8.1\tunsaid\t_\t_\t_\t_\t_\t_\t_\t_\n")
    assert "".join(texts).split("\n") == ["", "Don't go.", "", "Don't go.", "", "Don't go.", ""]
    assert "only the words are read" in notes


def test_words_in_elements_stand_in_one_line(tmp_path: Path) -> None:
    data = "<document><s><time value='1'/><w>The</w> <w>harbour</w> <w>slept</w><w>.</w></s></document>"
    assert documents(tmp_path, "subtitles.xml", data)[0] == ["The harbour slept.\n"]


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        ("id\x01text\n" + "".join(f"{n}\x01{TEXTS[n % 2]}\n" for n in range(12)), [TEXTS[n % 2] for n in range(12)]),
        (
            "id,text\n" + "".join(f"{n},{TEXTS[n % 2]}\n" for n in range(12)) + "\0" * 4000,
            [TEXTS[n % 2] for n in range(12)],
        ),
        ("", []),
        ("\0" * 4000, []),
    ],
)
def test_signs_that_part_columns_and_zeros_at_the_end_make_no_file_binary(
    tmp_path: Path, data: str, texts: list[str]
) -> None:
    assert documents(tmp_path, "table.csv", data)[0] == texts
