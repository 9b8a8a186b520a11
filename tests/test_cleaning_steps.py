"""The steps of cleaning: what each takes away and leaves, that twice is once, and that no string makes one fail."""

from __future__ import annotations

import base64
import json
import lzma
import random
import string
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.types import Request
from daybreak.data.cleaning import Cleaning, Document
from daybreak.data.language import LanguageFilter
from daybreak.data.pages import HtmlText
from daybreak.data.quality import Quality
from daybreak.data.stop_words import StopWords, listed
from daybreak.data.unicode import ControlCharacters, Normalization, UnicodeRepair
from daybreak.techniques import TextContext, class_of

DATA = Path(__file__).resolve().parents[2] / "shared/data"
NAMES = (
    "html_text",
    "unicode_repair",
    "normalization",
    "control_characters",
    "stop_words",
    "language_filter",
    "quality",
)
ORDINARY = (HtmlText(), UnicodeRepair(), Normalization(), ControlCharacters(), LanguageFilter(), Quality())
PIECES = (
    "<p>",
    "</p>",
    "<br />",
    "&nbsp;",
    "&amp;",
    "&lt;b&gt;",
    "<b>",
    "</b>",
    "`",
    "\r\n",
    " \n",
    "\n\n\n\n\n",
    "\u200d",
)
PIECES += (
    "\u200c",
    "Ã©",
    "â€™",
    "\u00a0",
    "e\u0301",
    "漢",
    "ｶﾞ",
    "Ａ",
    "\ud800",
    "\0",
    "\ufffd",
    "\U0001f3f4",
    "the ",
    "的",
)
ANY = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=20).map("".join))


def done(step: Any, text: str, kind: str = "text") -> tuple[str | None, Counter[str]]:
    counts: Counter[str] = Counter()
    after = step(Document(text, kind=kind), lambda what: counts.update([what]))
    return None if after is None else after.text, counts


@pytest.mark.parametrize("name", NAMES)
def test_a_technique_switches_its_step_on(name: str) -> None:
    kind = class_of(name)
    cleaning, places = kind().documents(Cleaning(), TextContext(request=Request(sources=(), seconds=0.0)))  # type: ignore[attr-defined]
    assert [step.name for step in cleaning.steps] == [name] and places == 1
    assert kind.default is (name not in ("stop_words", "language_filter"))


@settings(max_examples=150, deadline=None)
@given(ANY)
def test_twice_is_once_and_nothing_raises(text: str) -> None:
    for step in (*ORDINARY, Normalization(width=True, punctuation=True)):
        once, _ = done(step, text)
        assert once is None or done(step, once)[0] == once, step.name


@pytest.mark.parametrize("part", ["a", "\0", "<", "a\u0301\u0316", " "])
def test_a_hostile_text_ends_soon(part: str) -> None:
    text = part * 300_000
    start = time.process_time()
    for step in ORDINARY:
        done(step, text)
    assert time.process_time() - start < 8


# Pages

PARAGRAPH = "The harbour was quiet that morning, and the boats lay still in the water while the men talked of rain. "
CHINESE = "港口那天早晨很安静，船停在水面上一动不动，人们一边修补渔网一边谈论着将要到来的雨季。"


def page(paragraphs: list[str]) -> str:
    menu = "".join(f'<li><a href="/{i}">Menu entry {i}</a></li>' for i in range(12))
    text = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    return (
        f"<!DOCTYPE html><html><head><title>T</title><script>var x = 1;</script></head><body><nav><ul>{menu}</ul></nav>"
        f"<article><h1>Title</h1>{text}</article><div class='cookie-banner'>We use cookies here.</div>"
        f"<footer>All rights reserved.</footer></body></html>"
    )


@pytest.mark.parametrize("paragraph", [PARAGRAPH * 3, CHINESE * 3])
@pytest.mark.parametrize("kind", ["page", "text"])
def test_a_page_becomes_its_main_text(paragraph: str, kind: str) -> None:
    text, counts = done(HtmlText(), page([f"{i} {paragraph}" for i in range(6)]), kind)
    assert text and text.count(paragraph.strip()) == 6 and counts["pages"] == 1
    assert "Menu entry" not in text and "cookies" not in text and "var x" not in text and "<p>" not in text


def test_paragraphs_of_a_page_are_apart_and_lines_of_a_list_a_table_or_a_poem_are_not() -> None:
    rows = "".join(f"<tr><td>{name}</td><td>{age}</td></tr>" for name, age in (("Ann", 12), ("Bob", 14)))
    parts = f"<p>{PARAGRAPH}</p><p>A<br>B</p><ul><li>one</li><li>two</li></ul><table>{rows}</table><p>{PARAGRAPH}</p>"
    text, _ = done(HtmlText(), f"<html><body><article>{parts}</article></body></html>", "page")
    assert text is not None
    paragraph = PARAGRAPH.strip()
    blocks = [paragraph, "A\nB", "- one\n- two", "| Ann | 12 |", paragraph]
    assert [block.split("\n| Bob")[0].rstrip() for block in text.split("\n\n")] == blocks


def test_a_table_that_places_things_is_no_table() -> None:
    menu = "".join(f"<td><a href='/{n}'>A place {n}</a></td>" for n in range(9))
    text = "".join(f"<p>{n} {PARAGRAPH}</p>" for n in range(5))
    page = f"<html><body><table><tr>{menu}</tr></table><table><tr><td>{text}</td><td><p>Aside</p></td></tr></table>"
    found, _ = done(HtmlText(), f"{page}</body></html>", "page")
    assert found is not None and "|" not in found and "A place" not in found
    assert found.count("\n\n") >= 4 and all(f"{n} {PARAGRAPH.strip()}" in found.split("\n\n") for n in range(5))


def test_a_page_without_a_main_text_keeps_what_it_says() -> None:
    text, counts = done(HtmlText(), "<html><body>" + "<div>" * 100_000 + "a short line<script>no()</script>", "page")
    assert text == "a short line" and counts["pages without a main text"] == 1


def test_a_page_of_ten_megabytes_ends_soon() -> None:
    start = time.process_time()
    text, _ = done(HtmlText(), "<html><body>" + "<p>some words in a paragraph</p>" * 300_000, "page")
    assert text and text.startswith("some words") and time.process_time() - start < 15


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("one<br /><br />two &amp; three", "one\n\ntwo & three"),
        ("<b>bold</b> and <i>slanted</i>&nbsp;text", "bold and slanted text"),
        ("if a < b and c > d: x &= y", None),
        ("vector<a> of list<b> and map<i>", None),
        ("write `<b>x</b>&nbsp;` for bold", None),
        ("| a<br/>b | c<br/>d |", "| a b | c d |"),
    ],
)
def test_stray_markup_goes_and_code_stays(before: str, after: str | None) -> None:
    assert done(HtmlText(), before)[0] == (before if after is None else after)
    assert done(HtmlText(), before, "code")[0] == before


# Characters


def test_misread_characters_are_repaired_and_french_is_left_alone() -> None:
    assert done(UnicodeRepair(), "It doesnâ€™t, in schÃ¶n")[0] == "It doesn’t, in schön"
    misread = "，你，好".encode().decode("gb18030")
    assert done(UnicodeRepair(), misread)[0] == "，你，好"
    for text in ("voilà\u00a0» dit-il, à\u00a0l’été", "Ångström, naïve, Ærø", "这把锛子很好用"):
        assert done(UnicodeRepair(), text)[0] == text
    assert done(UnicodeRepair(), "e\u0301")[0] == "é"


def test_line_ends_and_blanks_have_one_spelling() -> None:
    assert done(Normalization(), "a \r\nb\u3000\n\n\n\n\nc\u2028d")[0] == "a\nb\n\n\nc\nd"
    clean = "def f():\n    return 1\n\n\nx = 2\n"
    assert done(Normalization(), clean)[0] == clean
    assert done(Normalization(width=True), "ＡＢ１！ ｶﾞ")[0] == "AB1! ガ"
    assert done(Normalization(punctuation=True), "“a” — b…")[0] == '"a" - b...'
    pytest.importorskip("opencc")
    assert done(Normalization(simplified=True), "漢語學習\0\ud800")[0] == "汉语学习\0\ud800"


def test_invisible_characters_go_where_nothing_needs_them() -> None:
    assert done(ControlCharacters(), "\ufeffa\u200bb\x00c\u00add\u202ee\ufffd\ue000\x1b[31mf\t\n")[0] == "abcdef\t\n"
    for kept in ("👩\u200d💻", "می\u200cخواهم", "क्\u200dष", "\U0001f3f4\U000e0067\U000e0062\U000e007f", "❤️"):
        assert done(ControlCharacters(), kept)[0] == kept
    assert done(ControlCharacters(), "a\u200cb\u200dc")[0] == "abc"


def test_stop_words_go() -> None:
    assert done(StopWords(), "The cat isn't on the mat")[0] == "cat mat"
    assert len(listed("en")) > 150 and len(listed("zh")) > 150
    pytest.importorskip("jieba")
    text, _ = done(StopWords(), "我们的老师在北京")
    assert text == "老师北京" and done(StopWords(), text)[0] == text


# Quality


def noise() -> dict[str, str]:
    draw = random.Random(1)
    hexadecimal = " ".join(f"{draw.randrange(256):02x}" for _ in range(1500))
    return {
        "printable": "".join(draw.choice(string.printable[:95]) for _ in range(3000)),
        "base64": base64.encodebytes(draw.randbytes(3000)).decode(),
        "hexadecimal": hexadecimal,
        "mash": " ".join("".join(draw.choices(string.ascii_lowercase + ";", k=8)) for _ in range(300)),
        "home row": " ".join("".join(draw.choices("asdfjkl", k=7)) for _ in range(300)),
        "one line": "Click here to read more about this.\n" * 1000,
        "one Chinese line": "点击这里阅读更多内容。\n" * 1000,
        "one phrase": "buy it now " * 500,
        "numbers": "\n".join(" ".join(str(draw.randrange(99999)) for _ in range(8)) for _ in range(60)),
        "symbols": "".join(draw.choice("*-=+#~_|<>[]{} ") for _ in range(2000)),
        "stars": "★☆■□▲△●○" * 100,
        "menu": "Home\nAbout us\nContact\nLogin\nRegister\nProducts\nShop\nPrivacy policy\nTerms of use\nHelp\nSitemap",
        "Chinese menu": "首页\n新闻\n体育\n财经\n国际\n文化\n旅游\n天气\n商城\n登录\n注册\n帮助",
        "Chinese at random": "".join(chr(draw.randrange(0x4E00, 0x9FFF)) for _ in range(1000)),
        "too short": "Hi!",
    }


@pytest.mark.parametrize("name", noise())
def test_what_is_no_text_goes_with_a_reason(name: str) -> None:
    text, counts = done(Quality(), noise()[name])
    assert text is None and counts.total() == 1


def test_prose_verse_and_code_stay() -> None:
    verse = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。"
    for text in (PARAGRAPH, CHINESE, verse, "\n".join(f"ROMEO:\nLine {i} of a play, my lord." for i in range(40))):
        assert done(Quality(), text)[0] == text
    assert done(Quality(), "x = 1\n" * 500, "code")[0] is not None


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("lm_zh_techdocs", "tidb-docs-cn.jsonl.xz"),
        ("lm_zh_laws", "laws.jsonl.xz"),
        ("lm_zh_poetry", "poetry-song-ci.jsonl.xz"),
        ("lm_en_techdocs", "cpp-docs.jsonl.xz"),
        ("lm_en_textbooks", "openstax.jsonl.xz"),
    ],
)
def test_of_clean_text_hardly_anything_goes(folder: str, file: str) -> None:
    path = DATA / folder / file
    if not path.exists():
        pytest.skip(f"{path} is not here")
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for _, line in zip(range(600), lines, strict=False)]
    gone = [text[:80] for text in texts if Quality().reason(Document(text))]
    assert len(gone) < 0.01 * len(texts), gone
