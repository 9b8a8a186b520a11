"""Borders: marks such as <|endoftext|> between texts end documents; within a text they are text."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.data.formats import borders
from daybreak.data.formats.ranges import parts
from daybreak.data.sources import Reading

END = "<|endoftext|>"
PROSE = (
    "GPT-2 ends a text with <|endoftext|>, which is one token. Its file calls it '<|endoftext|>', and so do we.\n"
    "Write `<|endoftext|>` between texts. In code: tokenizer.encode('Hello<|endoftext|>', special=True).\n"
    "Of </s> and <s> others make use; [EOS] is rarer still, and <eos> too.\n"
)


def read(folder: Path, data: str | bytes, name: str = "a.txt") -> tuple[list[str], tuple[str, ...]]:
    """Texts, pieces joined, and what was said."""
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return joined(Reading([folder / name]))


def joined(*readings: Reading) -> tuple[list[str], tuple[str, ...]]:
    texts: list[str] = []
    for reading in readings:
        for document in reading:
            texts = [*texts, document.text] if document.starts else [*texts[:-1], texts[-1] + document.text]
    return texts, readings[-1].findings.passed_over()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (f"One day.\n{END}\n\nOnce upon.\n{END}\n", ["One day.\n", "Once upon.\n"]),  # TinyStories
        (f"One day.\r\n{END}\r\nOnce upon.\r\n", ["One day.\r\n", "Once upon.\r\n"]),
        (f"One day.{END}Once upon.{END}", ["One day.", "Once upon."]),  # GPT-2
        (f'"No!"{END}"Yes," he said. {END} And so on.\n', ['"No!"', '"Yes," he said. ', "And so on.\n"]),
        (f"{END}One day\n{END}Once upon\n", ["One day\n", "Once upon\n"]),
        ("<|startoftext|>A tale.<|endoftext|>\n<|startoftext|>Another.<|endoftext|>\n", ["A tale.", "Another."]),
        (f"一天。{END}从前。\n{END}\n", ["一天。", "从前。\n"]),
        ("One.\n<|end_of_text|>\nTwo.\n<|end▁of▁sentence|>\nThree.\n", ["One.\n", "Two.\n", "Three.\n"]),
        ("One.\n</s>\nTwo.\n<eos>\nThree\n[EOS]\nFour.", ["One.\n", "Two.\n", "Three\n", "Four."]),
        (f"One.\n{END}\n{END}\n \n{END}\nTwo.", ["One.\n", "Two."]),
        (f"import os\n{END}import re\n{END}#include <x>\n", ["import os\n", "import re\n", "#include <x>\n"]),
        (f"title one{END}\ntitle two{END}\n", ["title one", "title two"]),
        (END.join(f"title {i} of all" for i in range(20)), [f"title {i} of all" for i in range(20)]),
        (
            END.join(f"Text {i}." if i % 5 else f"  a) in part {i}" for i in range(1, 21)),
            [f"Text {i}." if i % 5 else f"a) in part {i}" for i in range(1, 21)],
        ),
        ("</s>".join(f" Line {i} of all." for i in range(20)), [f"Line {i} of all." for i in range(20)]),
        ("".join(f"<s> line {i} of all </s>\n" for i in range(20)), [f"line {i} of all" for i in range(20)]),
    ],
)
def test_marks_between_texts_are_borders(tmp_path: Path, data: str, expected: list[str]) -> None:
    texts, said = read(tmp_path, data)
    assert [text.strip(" ") for text in texts] == [text.strip(" ") for text in expected]
    assert any("between texts: borders of documents" in sentence for sentence in said)
    assert read(tmp_path, gzip.compress(data.encode()), "a.txt.gz")[0] == texts
    assert read(tmp_path, data.encode("utf-16"), "b.txt")[0] == texts


def test_the_count_of_borders_is_said(tmp_path: Path) -> None:
    _, said = read(tmp_path, f"One.\n{END}\n" * 1234)
    assert said == ("1,234 times <|endoftext|> between texts: borders of documents, not text (a.txt)",)


def test_a_text_about_tokenizers_keeps_its_marks(tmp_path: Path) -> None:
    texts, said = read(tmp_path, PROSE)
    assert texts == [PROSE] and said[0] == "4 times <|endoftext|> within a text: kept as text (a.txt)"
    code = f'EOS = "{END}"\n\n\ndef ended(text):\n    return text + "{END}"\n'
    assert read(tmp_path, code, "a.py")[0] == [code]
    struck = "It was <s>red.</s> It is blue. " * 20
    assert read(tmp_path, struck)[0] == [struck]


def test_a_border_far_into_a_file_is_one_too(tmp_path: Path) -> None:
    book = "A line of a book that goes on and on.\n" * 5000
    assert read(tmp_path, book + f"{END}\n" + book)[0] == [book, book]
    assert read(tmp_path, book.strip() + END + book)[0] == [book.strip(), book]


def test_rows_are_parted_at_borders(tmp_path: Path) -> None:
    rows = [
        {"text": f"A tale that ends{END}"},
        {"text": f"One.{END}Two.{END}Three."},
        {"text": "<s>[INST] Why? [/INST] So. </s>"},
        {"text": "It ends with <|endoftext|> as ever."},
    ]
    texts, said = read(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "a.jsonl")
    expected = ["A tale that ends", "One.", "Two.", "Three.", "[INST] Why? [/INST] So. ", rows[3]["text"]]
    assert texts == expected
    assert "3 times <|endoftext|> between texts: borders of documents, not text (a.jsonl)" in said
    assert "1 times <|endoftext|> within a text: kept as text (a.jsonl)" in said


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_ranges_and_blocks_give_what_the_whole_gives(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    draw = random.Random(seed)
    parts_of_text = [
        "a line\n",
        "A line.\n",
        "\n",
        "中文。",
        END,
        f"{END}\n",
        "</s>\n",
        "<s>",
        " ",
        "x" * 700,
        "<|",
        "\r\n",
    ]
    text = "".join(draw.choices(parts_of_text, weights=[9, 9, 5, 3, 2, 4, 1, 1, 3, 9, 1, 1], k=400))
    path = tmp_path_factory.mktemp("borders") / "a.txt"
    path.write_bytes(text.encode())
    whole, said = joined(Reading([path]))
    ranges = parts([path], part_bytes=draw.randint(500, 9000))
    read_in_ranges, _ = joined(*(Reading([part]) for part in ranges))
    assert read_in_ranges == whole
    total = joined(Reading(ranges))[1]
    assert total == said


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_where_blocks_end_does_not_matter(seed: int) -> None:
    from daybreak.data.formats.findings import Findings

    draw = random.Random(seed)
    data = "".join(draw.choices(["A b.", END, "\n", " ", "</s>", "<", "word", "。"], k=300)).encode()
    size = draw.randint(1, 300)
    found = []
    for blocks in ([data], [data[i : i + size] for i in range(0, len(data), size)]):
        findings = Findings()
        texts = [(s, b"".join(t)) for s, t in borders.documents_between(blocks, "a", findings)]
        found.append((texts, findings))
    assert found[0] == found[1]
