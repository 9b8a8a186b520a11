"""Tables: every text of a table comes out whole, however the table is written; what is no table stays text."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from daybreak.data.sources import Reading

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import tables
from tables import sentence

CASES = tables.cases()
PLAIN = [sentence(i) for i in range(tables.ROWS)]


def read(folder: Path, data: str | bytes, name: str = "a.csv") -> tuple[list[str], Reading]:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    reading = Reading([path])
    found: list[str] = []
    for document in reading:
        if document.starts or not found:
            found.append(document.text)
        else:
            found[-1] += document.text
    return found, reading


@pytest.mark.parametrize("case", CASES)
def test_tables_as_people_have_them(tmp_path: Path, case: str) -> None:
    one = CASES[case]
    found, reading = read(tmp_path, one.data, one.name)
    assert found == [*one.texts]
    reading.findings.rows.pop("a line above the names of the columns", None)
    reading.findings.rows.pop("the names of the columns once more", None)
    assert not reading.findings.passed_over()
