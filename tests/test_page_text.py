"""Page text: lines, words and preformatted text as a browser shows them."""

from __future__ import annotations

import lxml.html
import pytest

from daybreak.data.page_text import blocks_of, text_of


def shown(markup: str) -> str:
    return text_of(blocks_of(lxml.html.document_fromstring(markup)))


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p><b>wor</b>ld and <i>w</i>ord</p>", "world and word"),
        ("<p>one<br>two<br/> three</p>", "one\ntwo\nthree"),
        ("<div>one<p>two</p>three</div>", "one\n\ntwo\n\nthree"),
        ("<p>one<p>two", "one\n\ntwo"),
        ("one<div>two</div>three", "one\n\ntwo\n\nthree"),
        ("<p>a\n   b\t c&nbsp;d</p>", "a b c d"),
        ("<p>so<wbr>ft, so&shy;ft, so&#8203;ft</p>", "soft, soft, soft"),
        ("<p>&lt;p&gt; &amp;amp; &#x4e2d;&#25991; &eacute;</p>", "<p> &amp; 中文 é"),
        ("<ul><li>one</li><li>two<ul><li>three</li></ul></li></ul><p>four", "- one\n- two\n\n- three\n\nfour"),
        ("<dl><dt>name</dt><dd>what it is</dd><dt>other</dt><dd>another</dd></dl>", "name\nwhat it is\nother\nanother"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d<br>e</td></tr></table>", "| a | b |\n| c | d e |"),
        ("<table><tr><td><p>one</p><table><tr><td>x</td></tr></table></td></tr></table>", "one\n\nx"),
        ("<p>He said <q>yes</q></p>", "He said “yes”"),
    ],
)
def test_words_and_lines_are_those_of_a_browser(markup: str, text: str) -> None:
    assert shown(f"<body>{markup}</body>") == text


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "<br>"])
def test_preformatted_text_keeps_its_lines_and_its_indentation(line_end: str) -> None:
    code = ["def <b>f</b>(x):", "    if x &lt; 1:", "        return&nbsp;[1]", "", "    return 2"]
    expected = "def f(x):\n    if x < 1:\n        return [1]\n\n    return 2"
    assert shown(f"<p>Say:</p><pre>\n{line_end.join(code)}\n</pre><p>so.</p>") == f"Say:\n\n{expected}\n\nso."


def test_the_numbers_of_lines_beside_a_program_are_no_text() -> None:
    numbers = "\n".join(map(str, range(1, 4)))
    page = f"<table><tr><td><pre>{numbers}</pre></td><td><pre>a = 1\nb = 2\n  c</pre></td></tr></table>"
    assert shown(page) == "a = 1\nb = 2\n  c"


def test_markup_that_was_escaped_twice_is_undone_and_code_that_shows_markup_is_not() -> None:
    page = "<p>&amp;lt;b&amp;gt;</p><p>Write <code>&lt;b&gt;</code>.</p><pre>&lt;b&gt;</pre>"
    blocks = blocks_of(lxml.html.document_fromstring(page))
    assert text_of(blocks, lambda part: part.replace("&lt;b&gt;", "")) == "\n\nWrite <b>.\n\n<b>"
