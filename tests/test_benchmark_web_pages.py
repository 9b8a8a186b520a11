"""benchmarks/web_pages.py: marked pages, and the shares of their text and of what is around it that come out."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import lxml.html
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import web_pages as pages

PAGE = """<html><body><div class="menu x">Home News</div><div id="text"><h1>Title<a class="link">#</a></h1>
<p>Some <b>wo</b>rds of <code>&lt;b&gt;</code></p><p>and more words</p></div><script>var x;</script>
<div role="main">the rest</div></body></html>"""


def mark(**changed: object) -> pages.Mark:
    facts = {"package": "deb:a-doc", "version": "1", "file": "doc/a.html", "kind": "", "body": ("div#text",)}
    digest = hashlib.sha256(PAGE.encode()).hexdigest()
    return pages.Mark(**facts | {"sha256": digest, "neither": ("a.link",)} | changed)  # type: ignore[arg-type]


def test_marks_name_elements_of_thirty_pages_and_more_in_english_and_chinese() -> None:
    every = pages.marks()
    assert len(every) >= 30 and len({one.kind for one in every}) >= 20
    assert sum("Chinese" in one.kind for one in every) >= 5
    assert len({one.name for one in every}) == len(every) and len({one.package for one in every}) >= 20
    assert all(one.body and len(one.sha256) == 64 and one.package[:4] in ("deb:", "pip:") for one in every)


@pytest.mark.parametrize(
    ("selector", "count"),
    [("div", 3), ("div#text", 1), ("div.menu", 1), ("*[role=main]", 1), ("p.menu", 0), ("*#text", 1)],
)
def test_selectors(selector: str, count: int) -> None:
    assert len(pages.selected(lxml.html.document_fromstring(PAGE), selector)) == count


def test_words_of_the_text_and_around_it() -> None:
    text, body, around = pages.marked(mark(), PAGE)
    assert body == pages.words_of("Title Some words of b and more words") and "#" not in text
    assert around == pages.words_of("Home News the rest")
    with pytest.raises(ValueError, match="no element"):
        pages.marked(mark(body=("div#none",)), PAGE)


def test_scores_count_what_is_lost_what_is_around_and_markup() -> None:
    text, body, around = pages.marked(mark(), PAGE)
    assert pages.score(text, text, body, around) == pages.Score(kept=1.0, around=0.0, markup=0)
    half = pages.score("Title Some words of Home", text, body, around)
    assert (half.kept, half.around) == (0.5, 0.2)
    assert pages.score(f"{text} <p> &nbsp; <b>", text, body, around).markup == 3
    assert pages.words_of("中文 word") == {"中": 1, "文": 1, "word": 1}


def test_a_page_of_other_bytes_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a-doc/doc/a.html"
    assert pages.page_of(mark(), tmp_path) is None
    path.parent.mkdir(parents=True)
    path.write_text(PAGE)
    assert pages.page_of(mark(), tmp_path) == PAGE
    path.write_text(PAGE + " ")
    assert pages.page_of(mark(), tmp_path) is None


def test_daybreak_is_scored_on_the_pages_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a-doc/doc/a.html"
    path.parent.mkdir(parents=True)
    path.write_text(PAGE)
    monkeypatch.setattr(pages, "marks", lambda: [mark(), mark(package="deb:b-doc")])
    facts = pages.compare(tmp_path, "daybreak")
    assert facts["pages"] == 1 and facts["missing"] == ["b-doc/a.html"]
    assert facts["kept"] == 1.0 and facts["markup"] == 0 and facts["each"]["a-doc/a.html"][0] == 1.0
