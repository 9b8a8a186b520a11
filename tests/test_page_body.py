"""Page body: the text of pages of many kinds stays, what stands around it goes."""

from __future__ import annotations

import pytest

from daybreak.data.page_body import body_of
from daybreak.data.page_text import text_of

TEXT = "The harbour of the town was built of oak and stone, and nobody knew by whom or when it had been begun."
LINKS = "".join(f'<li><a href="/{n}">Page number {n}</a></li>' for n in range(8))
CODE = "<pre>make\n    install</pre>"


def body(markup: str) -> str:
    return text_of(body_of(markup))


@pytest.mark.parametrize(
    "around",
    [
        f"<nav>{LINKS}</nav>",
        f"<div role='navigation'>{LINKS}</div>",
        f"<ul>{LINKS}</ul>",
        f"<table><tr><td>{LINKS.replace('li>', 'span>')}</td></tr></table>",
        "<footer>AROUND 2024</footer>",
        "<div class='site-footer'>AROUND it</div>",
        "<div id='sidebar'><p>AROUND it</p></div>",
        "<div class='navheader'>AROUND <a href='x'>next</a></div>",
        "<div class='cookieConsent'>AROUND: we use cookies</div>",
        "<aside>AROUND</aside>",
        "<script>var AROUND</script><style>.AROUND{}</style><template>AROUND</template><noscript>AROUND</noscript>",
        "<!-- AROUND --><!-- AROUND > --><?php AROUND ?>",
        "<div hidden>AROUND</div><p style='color: red; display:none'>AROUND</p><span aria-hidden='true'>AROUND</span>",
        "<button>AROUND</button><select><option>AROUND</select><textarea>AROUND</textarea>",
        "<svg><text>AROUND</text></svg><iframe>AROUND</iframe><object>AROUND</object>",
    ],
)
def test_what_stands_around_the_text_goes(around: str) -> None:
    text = f"<h1>Title</h1><p>{TEXT}</p>{CODE}<p>{TEXT}</p>"
    expected = f"Title\n\n{TEXT}\n\nmake\n    install\n\n{TEXT}"
    for page in (f"<body>{around}{text}</body>", f"<html><body>{text}{around}</body></html>", around + text):
        assert body(page) == expected


@pytest.mark.parametrize("main", ["main", "article", "div class='body'", "div role='main'", "div id='content'"])
def test_documentation_keeps_its_code_tables_terms_and_short_paragraphs(main: str) -> None:
    parts = (
        f"<h1>Install<a href='#install'>¶</a></h1><p>Do this:</p>{CODE}"
        "<dl><dt>-v</dt><dd>says more</dd></dl><table><tr><th>Key</th><th>Value</th></tr></table>"
        "<ul><li>first</li><li>second</li></ul><p>Done.</p>"
    )
    page = (
        f"<html><body><ul class='menu'>{LINKS}</ul><{main}>{parts}</{main.split()[0]}><div>Imprint</div></body></html>"
    )
    text = "Install\n\nDo this:\n\nmake\n    install\n\n-v\nsays more\n\n| Key | Value |\n\n- first\n- second\n\nDone."
    assert body(page).startswith(text)


def test_names_that_were_made_of_a_heading_hide_nothing() -> None:
    parts = "".join(
        f"<section id='{name}'><h2>{name}</h2><p>{TEXT}</p></section>" for name in ("menu", "related", "toc")
    )
    assert body(f"<html><body>{parts}</body></html>").count(TEXT) == 3


def test_a_page_that_is_hidden_until_a_script_shows_it_is_read() -> None:
    assert body(f"<html><body><div style='display:none'><p>{TEXT}</p></div></body></html>") == TEXT


def test_a_page_of_links_alone_is_its_links() -> None:
    assert body(f"<html><body><ul>{LINKS}</ul></body></html>").count("Page number") == 8


def test_chinese_pages() -> None:
    text = "港口是用橡木和石头建成的，没有人知道是谁在什么时候开始的。"
    main = f"<div class='content'><p>{text}</p><p>{text}</p></div>"
    page = f"<html><body><div class='nav'>首页 | 新闻</div>{main}</body></html>"
    assert body(page) == f"{text}\n\n{text}"


def test_a_page_of_news_keeps_what_the_extractor_leaves_out_within_its_text() -> None:
    rows = "<table><tr><td>1</td><td>2</td></tr></table>"
    head = "<head><meta property='og:type' content='article'></head>"
    page = f"<html>{head}<body><h1>Title</h1><p>{TEXT}</p>{CODE}{rows}<p>{TEXT} Yes.</p><p>{TEXT} So.</p></body></html>"
    found = body(page)
    assert found.count(TEXT) == 3 and "make\n    install" in found and "| 1 | 2 |" in found


def test_a_broken_page_is_read() -> None:
    page = f"<html><body><p>{TEXT}<div><b>{TEXT}</i></p><td>{TEXT}</td></ul><p"
    assert body(page).count(TEXT) == 3


def test_frames_have_no_text_of_their_own() -> None:
    assert body("<frameset><frame src='a.html'><noframes><body>No frames!</body></noframes></frameset>") == ""


@pytest.mark.parametrize("name", ["title", "textarea", "plaintext"])
def test_an_element_that_is_not_closed_does_not_show_the_tags_behind_it(name: str) -> None:
    text = body(f"<html><body><{name}>A page<p class='x'>{TEXT}</p><ul><li>one</li></ul><p>{TEXT}</p></body></html>")
    assert text.count(TEXT) == 2 and "<" not in text
