"""Notebooks: cells in their order as one document; outputs are left out and counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daybreak.data.sources import Document, Reading

CELLS = [
    {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n", "Some words."]},
    {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": {},
        "outputs": [{"output_type": "stream", "text": ["printed\n"]}, {"data": {"image/png": "AAAA" * 900}}],
        "source": "import os\nprint(1)",
    },
    {"cell_type": "code", "metadata": {}, "outputs": [], "source": []},
    {"cell_type": "markdown", "metadata": {}, "source": "The end."},
]
TOLD = "# Title\nSome words.\n\nimport os\nprint(1)\n\nThe end."


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("name", ["a.ipynb", "a.json", "a"])
@pytest.mark.parametrize("first", ["cells", "nbformat"])
def test_a_notebook_is_one_document(tmp_path: Path, indent: int | None, name: str, first: str) -> None:
    book = {"nbformat": 4, "cells": CELLS, "metadata": {"kernelspec": {"name": "python3"}}, "nbformat_minor": 2}
    ordered = {first: book.pop(first), **book}
    (tmp_path / name).write_text(json.dumps(ordered, indent=indent))
    reading = Reading([tmp_path / name])
    assert list(reading) == [Document(TOLD, True, "code")]
    assert any("1 part left out: outputs of notebooks" in note for note in reading.notes)


def test_a_notebook_of_the_third_format(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "metadata": {}, "source": ["Title"]},
        {"cell_type": "code", "input": ["print(1)\n", "2"], "language": "python", "outputs": [{"text": ["1"]}]},
    ]
    book = {"metadata": {"name": "words"}, "nbformat": 3, "worksheets": [{"cells": cells, "metadata": {}}]}
    (tmp_path / "a.ipynb").write_text(json.dumps(book))
    assert [d.text for d in Reading([tmp_path / "a.ipynb"])] == ["## Title\n\nprint(1)\n2"]


def test_a_notebook_with_an_output_longer_than_the_sample(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "outputs": [{"data": "A" * 200_000}], "metadata": {}, "source": "x = 1"}, *CELLS]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4}))
    assert [d.text for d in Reading([tmp_path / "a.ipynb"])] == [f"x = 1\n\n{TOLD}"]


def test_rows_with_cells_are_no_notebook(tmp_path: Path) -> None:
    rows = [{"text": f"row {n} of words", "cell_type": "code", "source": "x"} for n in range(3)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(list(Reading([tmp_path / "a.jsonl"]))) == 3
