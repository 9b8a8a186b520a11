"""MediaWiki: pages of dumps without their markup, a document each, and what is left out of them counted."""

from __future__ import annotations

import bz2
import html
import re
import time
from pathlib import Path

import pytest

from daybreak.data.formats.documents import mediawiki
from daybreak.data.formats.documents.wikitext import NOTES, TEMPLATES, Losses, Wiki, plain
from daybreak.data.formats.findings import Findings
from daybreak.data.sources import Reading, find


def text_of(wikitext: str, title: str = "Page") -> str:
    return plain(wikitext, title, Wiki(), Losses())


CASES = {
    # quotes and links
    "'''Bold''' and ''slanted'' and '''''both'''''.": "Bold and slanted and both.",
    "L''''amour'''' d'un": "L'amour' d'un",
    "A [[cat]], [[dog]]s, a [[House mouse|mouse]] and [[Rat#Wild|rats]].": "A cat, dogs, a mouse and rats.",
    "[[wikt:word|Word]], [[:fr:Chat|chat]] and [[:Category:Cats]].": "Word, chat and Category:Cats.",
    "Text.\n[[Category:Cats|*]]\n[[Kategorie:Katzen]]\n[[分类:猫]]\n[[fr:Chat]]\n[[zh-min-nan:Niau]]": "Text.",
    "[https://a.org/x?y=1 A site], [//b.org], and [mailto:a@b.org me].": "A site, , and me.",
    "A note [1] and [sic] stay.": "A note [1] and [sic] stay.",
    # pictures
    "[[File:A.jpg|thumb|left|200px|alt=A|A cat on a [[mat|rug]].]]\nThe cat.": "A cat on a rug.\n\nThe cat.",
    "[[Image:A.png]]A[[Datei:B.svg|20px|link=]] [[Fichier:C.png|vignette|Un chat noir]]": "A\nUn chat noir",
    "[[文件:猫.jpg|缩略图|一只猫]]猫是动物。": "一只猫\n猫是动物。",
    '<gallery mode="packed">\nFile:A.jpg|The [[first]]\nB.jpg\nFile:C.jpg|alt=x|The third\n</gallery>': (
        "The first\nThe third"
    ),
    # templates
    "{{Infobox\n| name = A\n| image = [[File:A.jpg|thumb|Not this]]\n| list = {{ubl|a|b}}\n}}\nText.": "Text.",
    "The {{lang|de|Wort}} ({{lang-fr|mot}}) is {{nowrap|5 km}}.": "The Wort (mot) is 5 km.",
    "It is {{convert|5|km|mi|abbr=on}} to {{cvt|10|to|12.5|km2}} wide.": "It is 5 km to 10 to 12.5 km² wide.",
    "{{Quote|Words of ''wisdom''.|Somebody}} and {{abbr|Dr.|Doctor}} {{'}}{{!}}": "Words of wisdom. and Dr. '|",
    "Born {{circa|1900}}, {{frac|1|2}} of {{val|5.2|u=kg}}{{ndash}}{{US$|5}}": "Born c. 1900, 1/2 of 5.2 kg–US$5",
    "{{nihongo|Tokyo|東京|Tōkyō}} and {{zh|s=北京|p=Běijīng}}": "Tokyo (東京, Tōkyō) and 北京, Běijīng",
    "{{tsl|en|Linux kernel|Linux内核}}與{{link-en|內核|Kernel}}，{{lang|en|Unix}}": "Linux内核與內核，Unix",
    "'''A''' ({{IPAc-en|eɪ}}; born 1970) ({{audio|A.ogg}}) is": "A (born 1970) is",
    "'''甲'''（{{bd|1879年|3月14日|1955年|4月18日}}，{{拼音|jiǎ}}）": "甲（1879年3月14日—1955年4月18日，）",
    "{{PAGENAME}} has {{formatnum:1000}} and {{#if:x|y|z}}.": "Page has 1000 and .",
    "{{{1|A default}}} of {{{2|}}}a parameter": "A default of a parameter",
    "{{small|1=a = b}} {{a|{{b|{{c}}}}}}{{small|[[x|y]] {{lang|la|[[z|w]]}}}}": "a = b y w",
    # headings, lists, tables
    "Text.\n== One ==\nUnder it.\n===Two===\nMore.\n": "Text.\nOne\nUnder it.\nTwo\nMore.",
    "Text.\n== Left ==\n=== Deep ===\nIt.\n== References ==\n{{reflist}}\n=== None ===\n": "Text.\nLeft\n\nDeep\nIt.",
    "* one\n** two\n# three\n; term : its\n: indented\n----\nEnd": "one\ntwo\nthree\nterm : its\nindented\n\nEnd",
    '{| class="wikitable"\n|+ Title\n! A !! B\n|-\n| 1 || style="x" | [[a|2]]\n|-\n| 3\n| 4\n|}\nText': (
        "Title\nA\tB\n1\t2\n3\t4\n\nText"
    ),
    "{|\n| a\n{|\n| inner\n|}\n| b\n|}": "a\n\ninner\tb",
    # elements, comments, signs
    'A<ref>A note {{cite|x}}.</ref> fact<ref name="a" />.<!-- not\nthis --> End.<references />': "A fact. End.",
    "a\n<!-- a line -->\nb <!-- never closed": "a\nb",
    "x<sup>2</sup>, H<sub>2</sub>O, 1 < 2 and 3 > 2, a<br>b<br />c": "x2, H2O, 1 < 2 and 3 > 2, a\nb\nc",
    '<div style="a">In<span class="b">side</span></div><blockquote>Said.</blockquote>': "Inside\n\nSaid.",
    "<nowiki>[[not]] '''this'''</nowiki> and <code>a[0]</code>": "[[not]] '''this''' and a[0]",
    '<syntaxhighlight lang="c">\nint  a[] = {{1}};\n</syntaxhighlight>': "int  a[] = {{1}};",
    "The mass <math>E = mc^2</math> is.": "The mass E = mc^2 is.",
    "&copy; 2020&nbsp;a &amp; b &lt;ref&gt; &#8212;": "© 2020 a & b <ref> —",
    "__NOTOC__\n__TOC__Text": "Text",
    "<timeline>x</timeline><mapframe latitude=1>y</mapframe>Text<score>z</score>": "Text",
    "<noinclude>a</noinclude><includeonly>b</includeonly><onlyinclude>c</onlyinclude>": "ac",
    "''[[a|b''c]] [[unclosed and {{never closed| too": "bc unclosed and never closed| too",
    "]] a }} b |} c": "a b |} c",
    # Chinese variants
    "-{zh-hans:计算机; zh-hant:電腦}-和-{干}-，-{A|zh-cn:打印; zh-tw:列印}-": "计算机和干，打印",
    "-{H|zh-cn:内存;zh-tw:記憶體}-文字-{T|zh-cn:标题}-": "文字",
}


@pytest.mark.parametrize("wikitext", CASES)
def test_markup_is_taken_out(wikitext: str) -> None:
    assert text_of(wikitext) == CASES[wikitext]


PAGE = """{{Short description|A drum}}{{About|the drum|the bird|Danphe}}
{{Infobox instrument
| name = Damphu {{small|(drum)}}
| image = [[File:Damphu.jpg|250px]]
| range = {| class="x"
| a || b
|}
}}
[[File:Two men.jpg|thumb|right|Two men play the ''damphu''<ref>{{cite web|title=Men|url=http://a}}</ref>]]
The '''damphu''' ({{lang-ne|डम्फू}}) is a [[percussion instrument|drum]] of the [[Tamang people]].<ref name="a">{{cite
book|title=Drums|author=[[A. Writer|Writer]]}} See p.&nbsp;5.</ref> It has {{convert|32|cm|in}} of
skin.{{citation needed}}

== History ==
{{Main|History of drums}}
It was first played by ''Peng Dorje'', a hunter.
* He saw a deer.<!-- which? -->
* He made a drum.

{| class="wikitable sortable"
|-
! scope="col" | Year !! Players
|-
| 1990 || align="right" | [[Ram]] & [[Hari]]
|}

== References ==
{{Reflist|30em}}

== External links ==
* [http://www.a.org/damphu The damphu]
{{Authority control}}
[[Category:Drums]]
[[ne:डम्फू]]
"""
EXPECTED = """Damphu

Two men play the damphu

The damphu (डम्फू) is a drum of the Tamang people. It has 32 cm of
skin.

History

It was first played by Peng Dorje, a hunter.
He saw a deer.
He made a drum.

Year\tPlayers
1990\tRam & Hari

External links
The damphu"""


def dump(*pages: str, spaces: str = "") -> str:
    info = f"<siteinfo><sitename>W</sitename><namespaces>{spaces}</namespaces></siteinfo>"
    return (
        f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="en">{info}{"".join(pages)}</mediawiki>'
    )


def page(title: str, *texts: str, space: str | None = "0", more: str = "", model: str = "wikitext") -> str:
    told = f"<ns>{space}</ns>" if space is not None else ""
    revisions = "".join(
        f"<revision><id>1</id><model>{model}</model><text bytes='1'>{html.escape(text)}</text></revision>"
        for text in texts
    )
    return f"<page><title>{title}</title>{told}<id>1</id>{more}{revisions}</page>"


def read_bytes(folder: Path, data: bytes, name: str = "dump.xml") -> tuple[list[str], Findings]:
    path = folder / name
    path.write_bytes(data)
    reading = Reading([path])
    return [document.text for document in reading], reading.findings


def test_a_page_is_a_document_with_its_title_first(tmp_path: Path) -> None:
    found, findings = read_bytes(tmp_path, dump(page("Damphu", PAGE)).encode())
    assert [re.sub("\n{2,}", "\n\n", text) for text in found] == [EXPECTED]
    assert findings.parts[NOTES] == 2 and findings.parts[TEMPLATES] >= 6 and findings.lost[TEMPLATES] > 100


def test_what_is_no_article_is_counted(tmp_path: Path) -> None:
    pages = [
        page("A", "An old text of A.", "A new text of A."),
        page("B", "#REDIRECT [[A]]", more='<redirect title="A" />'),
        page("C", "#重定向 [[A]]"),
        page("Talk:A", "Much talk.", space="1"),
        page("Template:T", "A {{{1}}} box.", space="10"),
        page("D", "{{T|only}}"),
        page("MediaWiki:Common.css", "a {}", space="0", model="css"),
        page("E", "Text of E."),
    ]
    found, findings = read_bytes(tmp_path, dump(*pages).encode())
    assert found == ["A\n\nA new text of A.", "E\n\nText of E."]
    assert findings.rows == {
        mediawiki.OLDER: 1,
        mediawiki.NO_PAGE: 3,
        mediawiki.OTHER_SPACE: 2,
        mediawiki.OTHER_MODEL: 1,
    }
    assert findings.lost[mediawiki.OLDER] == len("An old text of A.")


def test_old_dumps_tell_namespaces_by_their_names(tmp_path: Path) -> None:
    spaces = '<namespace key="-1">Spezial</namespace><namespace key="0" /><namespace key="1">Diskussion</namespace>'
    spaces += '<namespace key="6">Bildnis</namespace><namespace key="14">Klasse</namespace>'
    film = "[[Bildnis:A.jpg|thumb|Ein Bild.]] Ein Film.\n[[Klasse:Filme]]"
    pages = [page("Diskussion:A", "Ein Gerede.", space=None), page("2001: A Film", film, space=None)]
    found, findings = read_bytes(tmp_path, dump(*pages, spaces=spaces).encode())
    assert found == ["2001: A Film\n\nEin Bild.\n Ein Film."] and findings.rows[mediawiki.OTHER_SPACE] == 1


def test_multistream_dumps(tmp_path: Path) -> None:
    """The head, a hundred pages at a time and the foot are each a stream, as Wikipedia packs them."""
    whole = dump(*(page(f"P{n}", f"Text of page {n}.") for n in range(50)))
    head, *rest = re.split("(?=<page>|</mediawiki>)", whole)
    data = b"".join(bz2.compress(part.encode()) for part in [head, *rest])
    found, findings = read_bytes(tmp_path, data, "pages-articles-multistream.xml.bz2")
    assert found == [f"P{n}\n\nText of page {n}." for n in range(50)] and not findings.passed_over()
    find([str(tmp_path / "pages-articles-multistream.xml.bz2")])


def test_a_dump_that_ends_too_early(tmp_path: Path) -> None:
    whole = dump(*(page(f"P{n}", f"Text of page {n}.") for n in range(50)))
    found, findings = read_bytes(tmp_path, whole[: whole.index("<title>P40")].encode())
    assert len(found) == 40 and findings.stopped.total() == 1
    many = dump(*(page(f"P{n}", f"Text of page {n}. " * 300) for n in range(60)))
    found, findings = read_bytes(tmp_path, many[:200_000].encode())
    assert len(found) > 30 and findings.stopped.total() == 1


@pytest.mark.parametrize(
    "wikitext",
    ["{{" * 30_000, "[[" * 30_000, "{{a|" * 10_000 + "}}" * 10_000, "<ref>" * 20_000, "<!--" * 20_000, "{|\n" * 20_000,
     "'" * 60_000, "=" * 60_000, "\n=a=" * 15_000, "(" * 60_000, "[http://a " * 9000, "<div " * 12_000, "-{" * 30_000,
     "[[File:a|" * 7000, "<math>" * 9000 + "</math>", "{{{" * 9000 + "}}}" * 9000, "( " * 30_000, "\n*" * 30_000,
     "<nowiki>" * 9000, " " * 60_000, "\t" * 60_000, "\n" * 60_000, "{{lang|" * 9000, "&" * 60_000, "_" * 60_000,
     "= " + " " * 60_000 + "x", "[[File:a|" + "1" * 60_000 + "]]", "{{small|" + " " * 60_000 + "}}", "= a " * 15_000],
    ids=lambda text: text[:8].strip() or "blank",
)  # fmt: skip
def test_pages_made_to_take_long_do_not(wikitext: str) -> None:
    start = time.process_time()
    text_of(wikitext)
    assert time.process_time() - start < 1


def test_speed() -> None:
    start = time.process_time()
    for _ in range(100):
        text_of(PAGE)
    assert 100 * len(PAGE) / (time.process_time() - start) > 1_000_000, "bytes a second; a parser of a library: 400,000"
