"""Tests of benchmarks/documents.py: the documents that it makes, what it compares, and its tables."""

from __future__ import annotations

import gzip
import json
import lzma
import random
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import documents  # noqa: E402

WORDS = ("river", "stone", "light", "evening", "market", "window", "paper", "station", "history", "garden")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    chance = random.Random(0)
    for name, column in documents.ENGLISH + documents.CHINESE:
        (folder / name).mkdir()
        with lzma.open(folder / name / "t.jsonl.xz", "wt", encoding="utf-8", preset=0) as file:
            for _ in range(230):
                signs = WORDS if name.startswith("lm_en") else "山水人家天地日月花鸟"
                glue = " " if name.startswith("lm_en") else ""
                text = "\n\n".join(glue.join(chance.choices(signs, k=60)) for _ in range(4))
                file.write(json.dumps({column: f"# Title\n\n{text}"}, ensure_ascii=False) + "\n")
    return folder


@pytest.mark.parametrize("language", ["en", "zh"])
def test_documents_hold_the_words_that_are_looked_for(data: Path, language: str) -> None:
    made, other = documents.known(data, language, 2, 0)
    assert made.words and made.words != other.words
    assert documents.known(data, language, 2, 0)[0] == made != documents.known(data, language, 2, 1)[0]
    for sign in ("## ", "[^3]: ", "|---|---|---|", "\n- "):
        assert sign in made.markdown
    told = documents.collections.Counter(documents.words_of(documents.re.sub(r"\[\^\d+\]", "", made.markdown)))
    assert told == documents.collections.Counter(made.words)


def test_what_is_lost_more_or_markup_is_counted(tmp_path: Path) -> None:
    row = documents.Row("tool", "html", "en")
    page = tmp_path / "a.html"
    body = "".join(f"<p>The {word} of the {word} is here, and so is all of it today.</p>" for word in WORDS)
    page.write_text(f"<html><body>{body}</body></html>")
    came = documents.came_out(page)
    words = documents.words_of(came.text)
    assert "river" in words and "p" not in words
    row.add(page, [*words, "lost"], came)
    assert row.facts()["found"] == round(len(words) / (len(words) + 1), 5) == row.facts()["least"]
    row.add(page, words[1:], documents.Came(came.text + "<p> &amp; \\par endobj x < y"))
    facts = row.facts()
    assert facts["markup"] == {"<p>": 1, "&amp;": 1, "\\par": 1, "endobj": 1} and facts["more"]
    row.add(page, words, documents.came_out(tmp_path / "missing"))
    assert row.facts()["refused"] and row.facts()["least"] == 0.0
    assert "| tool | html | en | 3 |" in documents.known_table([row.facts()])


def test_real_documents_are_found_and_paired(tmp_path: Path) -> None:
    text = "Words of a manual that go on and on. " * 100
    (tmp_path / "manual.txt.gz").write_bytes(gzip.compress(random.Random(0).randbytes(4000) + text.encode()))
    (tmp_path / "manual.html").write_text(f"<html><body><p>{text}</p></body></html>")
    (tmp_path / "short.html").write_text("<p>x</p>")
    (tmp_path / "manual.bin").write_bytes(b"\0" * 5000)
    found = list(documents.documents_of(tmp_path, 5))
    assert [(kind, path.name) for kind, path in found] == [("html", "manual.html"), ("txt", "manual.txt.gz")]
    assert [(first, second) for first, second, *_ in documents.pairs(found)] == [("txt", "html")]
    assert list(documents.documents_of(tmp_path, 0)) == []


def test_a_pdf_of_columns_has_its_words(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("reportlab")
    pytest.importorskip("pypdfium2")
    (made,) = documents.known(data, "en", 1, 0)
    for _, name, path in documents.by_reportlab(made, tmp_path):
        row = documents.Row("reportlab", name, "en")
        row.add(path, made.words, documents.came_out(path))
        assert row.facts()["least"] >= 0.97, name
