"""Documents: texts with a layout, office files, books and vocabularies of XML; nothing lost in silence, no markup."""

from __future__ import annotations

import base64
import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from daybreak.core.errors import DataError, UsageError
from daybreak.data.formats.documents import page_lines
from daybreak.data.formats.findings import Findings
from daybreak.data.sources import Reading

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
TYPES = (
    '<Types><Override PartName="/{}" ContentType="application/vnd.openxmlformats-officedocument.{}.main+xml"/></Types>'
)


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def read(folder: Path, data: str | bytes | Mapping[str, str | bytes], name: str = "f") -> tuple[str, tuple[str, ...]]:
    """The texts of a file, with a line between them, and what is told of it."""
    path = folder / name
    if not isinstance(data, str | bytes):
        data = zipped(data)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    reading = Reading([path], named=[path])
    texts = [document.text for document in reading]
    return "---\n".join(texts), reading.notes


def relations(*of: tuple[str, str]) -> str:
    listed = "".join(f'<Relationship Id="r{i}" Type="x/{kind}" Target="{to}"/>' for i, (kind, to) in enumerate(of))
    return f"<Relationships>{listed}</Relationships>"


def docx(body: str, *, main: str = "word/document.xml", **parts: str) -> dict[str, str | bytes]:
    folder, _, name = main.rpartition("/")
    kinds = {"footnotes": "footnotes", "endnotes": "endnotes", "comments": "comments", "header1": "header"}
    named = [(kinds[part], f"{part}.xml") for part in parts]
    return {
        "[Content_Types].xml": TYPES.format(main, "wordprocessingml.document"),
        "_rels/.rels": relations(("officeDocument", main)),
        f"{folder}/_rels/{name}.rels": relations(*named),
        main: f"<w:document {W}><w:body>{body}</w:body></w:document>",
        **{f"{folder}/{part}.xml": f"<w:{part} {W}>{xml}</w:{part}>" for part, xml in parts.items()},
    }


def run(text: str, properties: str = "") -> str:
    return f'<w:r>{properties}<w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(*runs: str) -> str:
    return f"<w:p>{''.join(runs)}</w:p>"


BOX = "<w:txbxContent><w:p><w:r><w:t>In a box</w:t></w:r></w:p></w:txbxContent>"
WORD = {
    "a main part of another name": (docx(paragraph(run("Hello")), main="word/document2.xml"), "Hello\n"),
    "a main part in another folder": (docx(paragraph(run("Hello")), main="content/main.xml"), "Hello\n"),
    "notes": (
        docx(
            paragraph(run("Body"), '<w:r><w:footnoteReference w:id="1"/></w:r>', run(" goes on.")),
            footnotes=f"<w:footnote>{paragraph(run('At the foot.'))}</w:footnote>",
            endnotes=f"<w:endnote>{paragraph(run('At the end.'))}</w:endnote>",
        ),
        "Body goes on.\nAt the foot.\nAt the end.\n",
    ),
    "a box, twice": (
        docx(
            paragraph(
                run("Before"),
                f"<w:r><mc:AlternateContent xmlns:mc='m'><mc:Choice>{BOX}</mc:Choice>"
                f"<mc:Fallback>{BOX}</mc:Fallback></mc:AlternateContent></w:r>",
                run(" and after."),
            )
        ),
        "Before and after.\nIn a box\n",
    ),
    "a box for older programs alone": (
        docx(
            paragraph(
                "<w:r><mc:AlternateContent xmlns:mc='m'><mc:Choice><w:drawing/></mc:Choice>"
                f"<mc:Fallback>{BOX}</mc:Fallback></mc:AlternateContent></w:r>"
            )
        ),
        "In a box\n",
    ),
    "hyphens": (
        docx("<w:p><w:r><w:t>well</w:t><w:noBreakHyphen/><w:t>known co</w:t><w:softHyphen/><w:t>op</w:t></w:r></w:p>"),
        "well-known coop\n",
    ),
    "tabs, breaks and stops": (
        docx(
            "<w:p><w:pPr><w:tabs><w:tab w:val='left'/></w:tabs></w:pPr>"
            "<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:cr/><w:t>d</w:t></w:r></w:p>"
        ),
        "a\tb\nc\nd\n",
    ),
    "symbols": (
        docx('<w:p><w:r><w:sym w:font="Symbol" w:char="F061"/><w:sym w:font="Wingdings" w:char="F0FC"/></w:r></w:p>'),
        "α✓\n",
    ),
    "fields": (
        docx(
            paragraph(
                '<w:r><w:fldChar w:fldCharType="begin"/><w:instrText> HYPERLINK "http://a" </w:instrText></w:r>',
                run("a link"),
            )
        ),
        "a link\n",
    ),
    "a table": (
        docx(
            f"{paragraph(run('Above'))}<w:tbl><w:tr><w:tc>{paragraph(run('a'))}</w:tc><w:tc>{paragraph(run('b'))}"
            f"{paragraph(run('c'))}</w:tc></w:tr><w:tr><w:tc><w:p/></w:tc><w:tc>{paragraph(run('d'))}</w:tc></w:tr>"
            f"</w:tbl>{paragraph(run('Below'))}"
        ),
        "Above\na\tb\nc\n\td\nBelow\n",
    ),
    "blanks": (docx(paragraph(run("a  "), run(" b"), run("\u3000c"))), "a   b\u3000c\n"),
}


@pytest.mark.parametrize("case", WORD)
def test_docx(tmp_path: Path, case: str) -> None:
    data, text = WORD[case]
    assert read(tmp_path, data) == (text, ())


def test_what_a_docx_holds_beside_its_text_is_counted(tmp_path: Path) -> None:
    body = paragraph(
        run("Kept"),
        '<w:ins w:id="1"><w:r><w:t>, put in</w:t></w:r></w:ins>',
        '<w:del w:id="2"><w:r><w:delText>, taken out</w:delText></w:r></w:del>',
        '<w:moveFrom w:id="3"><w:r><w:t>moved</w:t></w:r></w:moveFrom>',
        run("hidden", "<w:rPr><w:vanish/></w:rPr>"),
        run(".", '<w:rPr><w:vanish w:val="0"/></w:rPr>'),
    )
    note = f"<w:comment>{paragraph(run('Really?'))}</w:comment>"
    text, notes = read(tmp_path, docx(body, comments=note, header1=paragraph(run("Page of a paper"))))
    assert text == "Kept, put in.\n"
    told = " ".join(notes)
    for what, size in (("tracked changes have deleted", 16), ("hides", 6), ("comments", 7), ("headers", 15)):
        assert f"{what}" in told and f"({size} bytes" in told, told


def test_the_table_of_contents_of_a_docx_is_counted(tmp_path: Path) -> None:
    def field(kind: str, told: str = "") -> str:
        return f'<w:r><w:fldChar w:fldCharType="{kind}"/><w:instrText>{told}</w:instrText></w:r>'

    listed = field("begin", " TOC \\o ") + field("separate") + run("Intro") + run("3")
    page = field("begin", "PAGEREF x") + field("separate") + run("4") + field("end")
    body = paragraph(listed) + paragraph(page, field("end"), run("Body "), field("begin", " TOCX"), run("goes on."))
    text, notes = read(tmp_path, docx(body))
    assert text == "Body goes on.\n" and "3 parts left out: tables of contents (7 bytes" in notes[0]


@pytest.mark.parametrize("kind", ["ms-word.document.macroEnabled", "ms-word.template.macroEnabledTemplate"])
def test_a_docx_with_macros(tmp_path: Path, kind: str) -> None:
    types = f'<Types><Override PartName="/word/document.xml" ContentType="application/vnd.{kind}.main+xml"/></Types>'
    assert read(tmp_path, docx(paragraph(run("Hello"))) | {"[Content_Types].xml": types}) == ("Hello\n", ())


def test_a_docx_in_one_file_of_xml(tmp_path: Path) -> None:
    flat = f"""<?xml version="1.0"?><?mso-application progid="Word.Document"?>
        <pkg:package xmlns:pkg="http://schemas.microsoft.com/office/2006/xmlPackage">
        <pkg:part pkg:name="/word/document.xml"><pkg:xmlData><w:document {W}><w:body>{paragraph(run("Hel"), run("lo"))}
        </w:body></w:document></pkg:xmlData></pkg:part>
        <pkg:part pkg:name="/docProps/app.xml"><pkg:xmlData><Pages>1</Pages></pkg:xmlData></pkg:part></pkg:package>"""
    assert read(tmp_path, flat, "f.xml") == ("Hello\n", ())


ODF = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:text="t" xmlns:table="b" xmlns:draw="d" '
    'xmlns:dc="c"'
)


def odt(body: str) -> dict[str, str | bytes]:
    content = f"<office:document-content {ODF}><office:body><office:text>{body}</office:text></office:body>"
    return {
        "mimetype": "application/vnd.oasis.opendocument.text",
        "content.xml": f"{content}</office:document-content>",
    }


OPEN = {
    "spaces": ('<text:p>a<text:s text:c="3"/>b<text:s/>c\n  d</text:p>', "a   b c d\n"),
    "tabs and breaks": ("<text:p>a<text:tab/>b<text:line-break/>c</text:p>", "a\tb\nc\n"),
    "words in styles": (
        "<text:h>Ti<text:span>tle</text:span></text:h><text:p><text:a>x</text:a>y</text:p>",
        "Title\nxy\n",
    ),
    "a note": (
        "<text:p>Body<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>At the foot.</text:p>"
        "</text:note-body></text:note> goes on.</text:p><text:p>More.</text:p>",
        "Body goes on.\nAt the foot.\nMore.\n",
    ),
    "a box": (
        "<text:p>Be<draw:frame><draw:text-box><text:p>In a box</text:p></draw:text-box></draw:frame>fore</text:p>",
        "Before\nIn a box\n",
    ),
    "a table": (
        "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell><table:table-cell>"
        "<text:p>b</text:p></table:table-cell></table:table-row></table:table>",
        "a\tb\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OPEN)
def test_odt(tmp_path: Path, case: str) -> None:
    body, text = OPEN[case]
    assert read(tmp_path, odt(body)) == (text, ())
    flat = (
        f'<?xml version="1.0"?><office:document {ODF}><office:meta><dc:title>No</dc:title></office:meta><office:body>'
    )
    assert read(tmp_path, f"{flat}<office:text>{body}</office:text></office:body></office:document>") == (text, ())


def test_what_an_odt_holds_beside_its_text_is_counted(tmp_path: Path) -> None:
    body = (
        "<text:tracked-changes><text:changed-region><text:deletion><office:change-info><dc:creator>A</dc:creator>"
        "</office:change-info><text:p>taken out</text:p></text:deletion></text:changed-region></text:tracked-changes>"
        "<text:p>Ke<office:annotation><dc:creator>A B</dc:creator><text:p>Really?</text:p></office:annotation>pt"
        "</text:p>"
    )
    text, notes = read(tmp_path, odt(body))
    assert text == "Kept\n" and "deleted" in " ".join(notes) and "comments" in " ".join(notes)


def test_an_encrypted_odt_is_no_text(tmp_path: Path) -> None:
    manifest = '<m:manifest xmlns:m="m"><m:file-entry><m:encryption-data/></m:file-entry></m:manifest>'
    with pytest.raises(DataError) as caught:
        read(tmp_path, odt("") | {"content.xml": b"\x93\x01\xfe" * 50, "META-INF/manifest.xml": manifest})
    assert "encrypted" in caught.value.received


def test_slides_in_the_order_of_the_presentation_with_their_notes(tmp_path: Path) -> None:
    def slide(*lines: str) -> str:
        number = '<a:p><a:fld type="slidenum"><a:t>7</a:t></a:fld></a:p>'
        shown = "".join(f"<a:p><a:r><a:t>{line}</a:t></a:r></a:p>" for line in lines)
        return f"<p:sld xmlns:a='a' xmlns:p='p'>{shown}{number}</p:sld>"

    text, _ = read(
        tmp_path,
        {
            "[Content_Types].xml": TYPES.format("ppt/presentation.xml", "presentationml.presentation"),
            "_rels/.rels": relations(("officeDocument", "/ppt/presentation.xml")),
            "ppt/presentation.xml": '<p:p xmlns:p="p" xmlns:r="r"><p:sldId r:id="r1"/><p:sldId r:id="r0"/></p:p>',
            "ppt/_rels/presentation.xml.rels": relations(
                ("slide", "slides/slide1.xml"), ("slide", "slides/slide2.xml")
            ),
            "ppt/slides/slide1.xml": slide("Second"),
            "ppt/slides/slide2.xml": slide("First", "of all"),
            "ppt/slides/_rels/slide2.xml.rels": relations(("notesSlide", "../notesSlides/n.xml")),
            "ppt/notesSlides/n.xml": slide("Say hello."),
        },
    )
    assert text.split("\n") == ["First", "of all", "Say hello.", "", "Second", ""]


def test_sheets_are_read_as_tables(tmp_path: Path) -> None:
    def row(*cells: str) -> str:
        return f"<row>{''.join(cells)}</row>"

    shared = "<sst><si><t>text</t></si><si><r><t>Said </t></r><r><t>twice, here.</t></r></si></sst>"
    rows = [row('<c r="A1" t="inlineStr"><is><t>id</t></is></c>', '<c r="C1" t="s"><v>0</v></c>')]
    rows += [row(f'<c r="A{i}"><v>{i}</v></c>', f'<c r="C{i}" t="s"><v>1</v></c>') for i in (2, 3)]
    text, _ = read(
        tmp_path,
        {
            "[Content_Types].xml": TYPES.format("xl/workbook.xml", "spreadsheetml.sheet"),
            "_rels/.rels": relations(("officeDocument", "xl/workbook.xml")),
            "xl/workbook.xml": '<w xmlns="s" xmlns:r="r"><sheet name="One" r:id="r0"/></w>',
            "xl/_rels/workbook.xml.rels": relations(
                ("worksheet", "sheet1.xml"), ("sharedStrings", "sharedStrings.xml")
            ),
            "xl/sharedStrings.xml": shared,
            "xl/sheet1.xml": f"<worksheet><sheetData>{''.join(rows)}</sheetData></worksheet>",
        },
    )
    assert text == "Said twice, here.---\nSaid twice, here."
    cells = "".join(
        f"<table:table-row><table:table-cell><text:p>{a}</text:p></table:table-cell><table:table-cell>"
        f"<text:p>{b}</text:p></table:table-cell></table:table-row>"
        for a, b in (("id", "text"), ("1", "Said once, here."), ("2", "Said again, there."))
    )
    sheet = odt(f'<table:table table:name="One">{cells}</table:table>')
    text, _ = read(tmp_path, sheet | {"mimetype": "application/vnd.oasis.opendocument.spreadsheet"})
    assert text == "Said once, here.---\nSaid again, there."


# Books

CONTAINER = '<container><rootfiles><rootfile full-path="OEBPS/b.opf"/></rootfiles></container>'


def book(
    items: str, spine: str, *, start: str = '<package xmlns="http://www.idpf.org/2007/opf">'
) -> dict[str, str | bytes]:
    return {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "OEBPS/b.opf": f"{start}<manifest>{items}</manifest><spine>{spine}</spine></package>",
        "OEBPS/1.xhtml": "<html xmlns='h'><head><title>No</title></head><body><h1>One</h1><p>The <i>fi</i>rst.</p>"
        "</body></html>",
        "OEBPS/two b.xhtml": "<html><body><p>Two<br>lines&nbsp;here<p>unclosed</body></html>",
    }


ITEMS = '<item id="one" href="1.xhtml"/><item id="two" href="two%20b.xhtml"/>'
SPINE = '<itemref idref="two"/><itemref idref="one"/>'
ONE, TWO = "One\nThe first.\n", "Two\nlines\u00a0here\nunclosed\n"


@pytest.mark.parametrize("start", ['<package xmlns="o">', "<package>", '<opf:package xmlns:opf="o">'])
def test_books_have_their_chapters_in_reading_order(tmp_path: Path, start: str) -> None:
    data = book(ITEMS, SPINE, start=start)
    if "opf:" in start:
        data["OEBPS/b.opf"] = str(data["OEBPS/b.opf"]).replace("</package", "</opf:package")
    assert read(tmp_path, data) == (f"{TWO}---\n{ONE}", ())


def test_a_chapter_with_a_bad_checksum_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    data = bytearray(zipped(book(ITEMS, SPINE)))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        crc = archive.getinfo("OEBPS/1.xhtml").CRC
    place = data.rindex(struct.pack("<I", crc))
    data[place : place + 4] = struct.pack("<I", crc ^ 1)
    text, notes = read(tmp_path, bytes(data))
    assert text == TWO and "OEBPS/1.xhtml" in notes[0] and "1 file skipped" in notes[0]


def encryption(*of: tuple[str, str]) -> str:
    listed = "".join(
        f'<e:EncryptedData><e:EncryptionMethod Algorithm="{way}"/><e:CipherData><e:CipherReference URI="{uri}"/>'
        "</e:CipherData></e:EncryptedData>"
        for uri, way in of
    )
    return f'<encryption xmlns:e="http://www.w3.org/2001/04/xmlenc#">{listed}</encryption>'


def test_encrypted_chapters_are_told_and_fonts_are_none(tmp_path: Path) -> None:
    aes = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
    locked = encryption(("OEBPS/1.xhtml", aes), ("OEBPS/f.otf", "http://www.idpf.org/2008/embedding"))
    text, notes = read(tmp_path, book(ITEMS, SPINE) | {"META-INF/encryption.xml": locked})
    assert text == TWO and "encrypted" in notes[0] and "1.xhtml" in notes[0]
    fonts = encryption(("OEBPS/1.xhtml", "http://ns.adobe.com/pdf/enc#RC"))
    assert read(tmp_path, book(ITEMS, SPINE) | {"META-INF/encryption.xml": fonts})[1] == ()
    whole = encryption(("OEBPS/1.xhtml", aes), ("OEBPS/two%20b.xhtml", aes))
    with pytest.raises(DataError) as caught:
        read(tmp_path, book(ITEMS, SPINE) | {"META-INF/encryption.xml": whole})
    assert "encrypted" in caught.value.received


def test_chapters_and_parts_are_in_the_encoding_that_they_declare(tmp_path: Path) -> None:
    chinese = '<?xml version="1.0" encoding="gb2312"?><html><body><p>你好，世界</p></body></html>'.encode("gb18030")
    data = book(ITEMS, '<itemref idref="one"/>') | {"OEBPS/1.xhtml": chinese}
    assert read(tmp_path, data) == ("你好，世界\n", ())
    word = f'<?xml version="1.0" encoding="UTF-16"?><w:document {W}>{paragraph(run("你好"))}</w:document>'
    assert read(tmp_path, docx("") | {"word/document.xml": word.encode("utf-16")}) == ("你好\n", ())


def test_a_table_of_contents_is_no_text(tmp_path: Path) -> None:
    nav = '<html xmlns:epub="e"><body><nav epub:type="toc"><ol><li>Listed</li></ol></nav></body></html>'
    for items in ('<item id="n" href="nav.xhtml" properties="nav"/>', '<item id="n" href="nav.xhtml"/>'):
        text, notes = read(tmp_path, book(items + ITEMS, '<itemref idref="n"/>' + SPINE) | {"OEBPS/nav.xhtml": nav})
        assert text == f"{TWO}---\n{ONE}" and "1 part left out: tables of contents" in notes[0]


def test_a_book_without_a_list_is_read_by_the_names_of_its_pages(tmp_path: Path) -> None:
    data = {
        "mimetype": "application/epub+zip",
        "c10.xhtml": "<html><p>Ten</p></html>",
        "c9.html": "<html><p>Nine</p></html>",
    }
    text, notes = read(tmp_path, data)
    assert text == "Nine\n---\nTen\n" and "order of their names" in notes[0]


def test_chapters_are_blocks_cells_and_preserved_lines(tmp_path: Path) -> None:
    page = (
        "<html xmlns:epub='e'><body><p>Split <span epub:type='pagebreak'>12</span>word <b>bo</b>ld</p><pre>a\n  b</pre>"
        "<table><tr><td>x</td><td><p>y</p></td></tr></table><ruby>漢<rt>かん</rt></ruby><script>no()</script>"
        "</body></html>"
    )
    text, _ = read(tmp_path, book(ITEMS, '<itemref idref="one"/>') | {"OEBPS/1.xhtml": page})
    assert text == "Split word bold\na\n  b\nx\ty\n漢\n"


# Vocabularies of XML

JATS = (
    '<article article-type="x"><front><journal-meta><journal-id>No</journal-id></journal-meta>'
    "<article-meta><title-group>"
    "<article-title>On <italic>x</italic>-rays</article-title></title-group><contrib-group><name><surname>No</surname>"
    "</name></contrib-group><abstract><p>Short.</p></abstract></article-meta></front><body><sec>"
    "<title>Me<sub>t</sub>hod"
    '</title><p>We <bold>s</bold>aw <xref rid="a">1</xref>,\n  <italic>in vivo</italic> <sup>2</sup>,'
    "<fn><p>At the foot."
    "</p></fn> that.</p></sec></body><back><ref-list><ref>No</ref></ref-list></back></article>"
)
VOCABULARIES = {
    "fb2": (
        '<?xml version="1.0"?><FictionBook xmlns="f"><description><title-info><genre>No</genre></title-info>'
        "</description><body><section><title><p>One</p></title><p>She <emphasis>had</emphasis>\n gone.</p>"
        "<poem><stanza>"
        '<v>a</v><v>b</v></stanza></poem></section></body><binary id="c.jpg">aGVsbG8=</binary></FictionBook>',
        "One\nShe had gone.\na\nb\n",
    ),
    "jats": (JATS, "On x-rays\nShort.\nMethod\nWe saw 1, in vivo 2, that.\nAt the foot.\n"),
    "jats in a set": (
        f"<pmc-articleset>{JATS}{JATS}</pmc-articleset>",
        "---\n".join(["On x-rays\nShort.\nMethod\nWe saw 1, in vivo 2, that.\nAt the foot.\n"] * 2),
    ),
    "docbook 5": (
        '<book xmlns="http://docbook.org/ns/docbook"><info><author><personname>No</personname></author>'
        "</info><title>T</title>"
        "<chapter><title>One</title><para>Use <command>ls</command>,<footnote><para>Or dir.</para></footnote>\n with"
        " <option>-l</option>.</para><programlisting>a =\n  1</programlisting><itemizedlist><listitem><para>x</para>"
        "</listitem></itemizedlist></chapter></book>",
        "T\nOne\nUse ls, with -l.\nOr dir.\na =\n  1\nx\n",
    ),
    "docbook 4": (
        '<!DOCTYPE article PUBLIC "-//OASIS//DTD DocBook XML V4.5//EN" "d.dtd"><article><title>A &mdash; B'
        "</title><para>See"
        ' <filename>x</filename><superscript>2</superscript>.</para><para><ulink url="u">A link</ulink>'
        "</para></article>",
        "A — B\nSee x2.\nA link\n",
    ),
    "tei": (
        '<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><fileDesc><p>No</p></fileDesc></teiHeader>'
        "<text><body><div>"
        '<head>One</head><p>A <hi rend="i">w</hi>ord<note>At the foot.</note> bro<lb break="no"/>ken,'
        "<lb/>and <choice><sic>"
        "teh</sic><corr>the</corr></choice> rest.</p><lg><l>a</l><l>b</l></lg></div></body></text></TEI>",
        "One\nA word broken, and teh rest.\nAt the foot.\na\nb\n",
    ),
    "tei in a corpus": (
        "<teiCorpus><teiHeader><p>No</p></teiHeader><TEI><text><p>a</p></text></TEI><TEI><text><p>b</p></text></TEI>"
        "</teiCorpus>",
        "a\n---\nb\n",
    ),
    "rss": (
        '<rss xmlns:content="c"><channel><title>T</title><item><title>One &amp; all</title><link>No</link>'
        "<description>Short</description><content:encoded><![CDATA[<p>Long <b>te</b>xt.</p><p>&amp; more</p>]]>"
        "</content:encoded></item><item><description>a\nb</description></item></channel></rss>",
        "One & all\nLong text.\n& more---\na\nb",
    ),
    "atom": (
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>T</title><entry><title type="html">A'
        " &lt;i&gt;t&lt;/i&gt;</title>"
        '<content type="xhtml"><div xmlns="x"><p>a &lt; b</p><p>c</p></div></content></entry></feed>',
        "A t\na < b\nc",
    ),
    "notes of evernote": (
        "<en-export><note><title>N</title><content><![CDATA[<?xml version='1.0'?><!DOCTYPE en-note SYSTEM 'x'><en-note>"
        "<div>a</div><div>b</div></en-note>]]></content><created>No</created></note></en-export>",
        "N\na\nb",
    ),
    "pubmed": (
        "<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>1</PMID><Article><Journal><Title>No</Title></Journal>"
        "<ArticleTitle>On <i>x</i>.</ArticleTitle><Abstract><AbstractText>Text.</AbstractText></Abstract></Article>"
        "</MedlineCitation></PubmedArticle></PubmedArticleSet>",
        "On x.\nText.\n",
    ),
    "text that was recognised in pictures": (
        '<alto xmlns="http://www.loc.gov/standards/alto/ns-v3#"><Layout><Page><PrintSpace><TextBlock><TextLine><String'
        ' CONTENT="Two"/><SP/><String CONTENT="words"/></TextLine><TextLine><String CONTENT="More"/>'
        "</TextLine></TextBlock>"
        "</PrintSpace></Page></Layout></alto>",
        "Two words\nMore\n",
    ),
    "messages of telephones": (
        '<smses count="2"><sms address="1" body="Hi there"/><mms><parts><part ct="text/plain" text="Hello"/>'
        "</parts></mms>"
        "</smses>",
        "Hi there\nHello\n",
    ),
    "HTML in XML": (
        "<posts><post><title>T</title><body><![CDATA[<p>One <b>b</b>old</p><p>&amp; two</p>]]></body></post></posts>",
        "T\nOne bold\n& two\n",
    ),
    "none that is known": (
        "<r><m><b>Note</b> <i>x</i> this <foo>b</foo>ar, <baz>c</baz>.</m>\n  <m>Two</m><row><id>1</id><n>A"
        "</n></row></r>",
        "Note x this bar, c.\nTwo\n1\nA\n",
    ),
    "several roots": (
        '<doc id="1">\nOne\n\nand &amp; on.\n</doc>\n<doc id="2">\nTwo\n</doc>\n',
        "One\n\nand & on.\n---\nTwo\n",
    ),
    "entities without a definition": ('<?xml version="1.0"?><a>caf&eacute;&nbsp;&mdash; x</a>', "café\u00a0— x\n"),
    "entities of its own": ('<!DOCTYPE a [<!ENTITY x "y &amp; z">]><a>x, &x;</a>', "x, y & z\n"),
}


@pytest.mark.parametrize("case", VOCABULARIES)
def test_vocabularies(tmp_path: Path, case: str) -> None:
    data, text = VOCABULARIES[case]
    found, notes = read(tmp_path, data, "f.xml")
    assert found == text
    assert (">No<" in data) == bool(notes)


def test_what_is_read_does_not_depend_on_how_it_comes_in_pieces(tmp_path: Path) -> None:
    many = "".join(f"<m><b>Note {i}</b> is <i>of</i> it.</m><row><id>{i}</id><name>A</name></row>" for i in range(3000))
    text, notes = read(tmp_path, f"<r>{many}</r>", "f.xml")
    assert text.replace("---\n", "") == "".join(f"Note {i} is of it.\n{i}\nA\n" for i in range(3000)) and notes == ()


def test_files_that_xml_names_are_not_opened_and_counted(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret")
    text, notes = read(tmp_path, f'<!DOCTYPE a [<!ENTITY x SYSTEM "{secret.as_uri()}">]><a>one &x; two</a>', "f.xml")
    assert text == "one two\n" and "another file" in notes[0]
    text, notes = read(tmp_path, '<a xmlns:i="i"><b>one</b><i:include href="b.xml"/></a>', "f.xml")
    assert text == "one\n" and "another file" in notes[0]


@pytest.mark.parametrize("where", ["f.xml", "word"])
def test_entities_that_multiply_are_no_text(tmp_path: Path, where: str) -> None:
    named = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 20}">' for i in range(1, 9))
    bomb = f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a0 "lol">{named}]><a>&a8;</a>'
    data = bomb if where == "f.xml" else docx("") | {"word/document.xml": bomb}
    with pytest.raises(DataError) as caught:
        read(tmp_path, data, where)
    assert "XML" in caught.value.received and "line 1" in caught.value.received


def test_xml_that_is_cut_off_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "f.xml"
    path.write_text(f"<a>{'<p>one</p>' * 9000}<p>tw")
    reading = Reading([path])
    assert "".join(document.text for document in reading).startswith("one\none\n")
    assert "1 file read in part: not well-formed XML at line 1" in reading.notes[0]


@pytest.mark.parametrize(
    ("data", "text", "line"),
    [
        ("<a>\n<p>one</p>\n<p>two</a>", "one\ntwo\n", 3),
        ("<a>\n<p>A & B</p>\n<p>AT&T said x < y &nbsp;&eacute; &#2;.</p></a>", "A & B\nAT&T said x < y é .\n", 2),
        ("<a><p>one<br>two</p>\n<p>I <3 you</p></a>", "one\ntwo\nI <3 you\n", 1),
        ("<D>\n<I>1</I>\n<T>A & B</T></D>\n<D>\n<I>2</I><T>C</T></D>", "1\nA & B\n---\n2\nC\n", 3),
        ("<a>" + "<p>one</p>\n" * 9000 + "<p>A & B</p></a>", "one\n" * 9000 + "A & B\n", 9001),
    ],
)  # fmt: skip
def test_xml_that_is_not_well_formed_is_read_between_its_tags(tmp_path: Path, data: str, text: str, line: int) -> None:
    path = tmp_path / "f.xml"
    path.write_text(data)
    reading = Reading([path])
    parts: list[str] = []
    for document in reading:
        parts += ["---\n"] * (document.starts and len(parts) > 0) + [document.text]
    assert " ".join("".join(parts).split(" ")).replace("\xa0", "") == text
    assert "not well-formed XML, of which the text between tags is read (f.xml: line " + str(line) in reading.notes[0]


def test_a_text_that_begins_with_a_tag_is_no_xml(tmp_path: Path) -> None:
    told = "<toctree> is the directive that makes a list of pages; it ends with </p> nowhere.\n"
    assert read(tmp_path, told, "f.txt")[0].startswith("<toctree> is")


# RTF


def rtf(body: str, fonts: str = "") -> str:
    table = f"{{\\fonttbl{{\\f0\\froman\\fcharset0 Times;}}{fonts}}}"
    return f"{{\\rtf1\\ansi\\ansicpg1252\\deff0{table}{{\\colortbl;\\red0;}}{{\\info{{\\title No}}}}\n{body}}}"


RTF = {
    "paragraphs": (r"\pard One {\b b}old.\par\pard Two\line three\par", "One bold.\nTwo\nthree\n"),
    "bytes of the code page": (r"caf\'e9 \'93so\'94 \emdash\ldblquote x\rdblquote\par", "café “so” —“x”\n"),
    "bytes of a font": (
        r"{\f1 \'cf\'f0\'e8\'e2\'e5\'f2} {\f2 \'c4\'e3\'ba\'c3} {\f3 a\'b7}\par",
        "Привет 你好 α•\n",
    ),
    "characters of Unicode": (r"\u8217? \uc2\u20320\'c4\'e3\u-10179??\u-8704??\uc0\u233 x\par", "’ 你😀éx\n"),
    "a character without a fallback": (r"\u8217\b0 text\par", "’text\n"),
    "a table": (r"\trowd\intbl a\cell b\cell\row\trowd\intbl c\cell\cell\row\pard d\par", "a\tb\nc\nd\n"),
    "a note": (
        r"Body{\super 1}{\footnote\pard At the foot.} goes on.\par More.\par",
        "Body1 goes on.\nAt the foot.\nMore.\n",
    ),
    "a field": (r'{\field{\*\fldinst{HYPERLINK "http://a"}}{\fldrslt{a link}}}\par', "a link\n"),
    "pictures and data": (r"a{\pict\pngblip 89504e47}{\*\unknown no}\bin3 {}xb\par", "ab\n"),
    "twice, as bytes and as Unicode": (r"{\upr{?}{\*\ud{\u960 ?}}}\par", "π\n"),
    "signs": (r"a\~b co\-op well\_known \{x\} \\\par", "a\u00a0b coop well-known {x} \\\n"),
}  # fmt: skip
FONTS = r"{\f1\fcharset204 Arial Cyr;}{\f2\fcharset134 SimSun;}{\f3\fcharset2 Symbol;}"


@pytest.mark.parametrize("case", RTF)
def test_rtf(tmp_path: Path, case: str) -> None:
    body, text = RTF[case]
    assert read(tmp_path, rtf(body, FONTS)) == (text, ())


def test_rtf_that_is_joined_or_cut(tmp_path: Path) -> None:
    assert read(tmp_path, rtf(r"One\par") + "\0\0" + rtf(r"Two\par")) == ("One\nTwo\n", ())
    cut = tmp_path / "cut"
    cut.write_text(rtf(r"One\par Two {\footnote At the foot.")[:-1])
    reading = Reading([cut])
    assert "".join(document.text for document in reading) == "One\nTwo At the foot."
    assert "1 file read in part: an RTF file whose groups are not closed" in reading.notes[0]


def test_what_an_rtf_holds_beside_its_text_is_counted(tmp_path: Path) -> None:
    body = r"{\header A head\par}Kept{\deleted  gone}{\v hidden}{\*\annotation Really?}.\par"
    text, notes = read(tmp_path, rtf(body))
    assert text == "Kept.\n"
    told = " ".join(notes)
    assert "headers" in told and "deleted (5 bytes" in told and "hides (6 bytes" in told
    with pytest.raises(DataError) as caught:
        read(tmp_path, rtf(""))
    assert "without text" in caught.value.received


# PDF


def pdf(*pages: list[str]) -> bytes:
    """A file with these lines on its pages, in Windows-1252."""
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Kids[%s]/Count %d>>"
        % (b" ".join(b"%d 0 R" % (4 + 2 * i) for i in range(len(pages))), len(pages)),
        3: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    }
    for place, lines in enumerate(pages):
        number = 4 + 2 * place
        shown = b" ".join(b"(%s) Tj 0 -14 Td" % line.encode("cp1252") for line in lines)
        content = b"BT /F1 9 Tf 72 720 Td " + shown + b" ET"
        objects[number] = (
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents %d 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
            % (number + 1)
        )
        objects[number + 1] = b"<</Length %d>>stream\n%s\nendstream" % (len(content), content)
    data, places = b"%PDF-1.4\n", []
    for number, body in sorted(objects.items()):
        places.append(len(data))
        data += b"%d 0 obj%s endobj\n" % (number, body)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % place for place in places)
    return data + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start)


# "Hello from a page." in AES-256, by pypdf; the first has a password of its owner alone.
OWNED = (
    "c-oCr%ZnUE7(aNjh$wjVP?x<W*82s+z-D)bhzYyQnD`=xdVIBM+3j9?dP6qkBzWD6LM|eLco7lvF9;D2f=JXHL;~tX@GgR&)iblZ1LMK&K2-g_"
    "Uww~XfAwwbZjUdq7X{k*<=1Z?A%-b#!dqxCK;)I<L%?LqcYeRwLuA+Q!3^_4n4sYhL7jRcUpp}8A@XvSX827kdOp61$X0VycbKgl75{m(57a`T"
    "E+Ua@kSc$<xl?@6@@mGhaeU#i?h0{+<$^hZS##9Jl4S33T&#-)!|F8Y#kY(vSK?oVdat{ME$!{It_6R9aDMiMr$5^M<CFKld2syacNecbAaDQk"
    ";c)Wk-M{Vl;mK!TKXdZ)_;LHr>pxz6NbY_5+XuhjpM3H0d-tExPcHa-pFjEj`8WRh^6~W_p8M+3Pp_R!FZ6Mju9q38H3j;t5t$x^Zoch7hR9_<"
    "gLysV3hdv8u8JO!Q5~C9)q9w{TGgBNtU3i&O4KU>ZeUe3!uqUOuF85BOYWr8hC5!gs`fi*F`0J0PQFcu?BD^lRx{8%2P0^*LFpJRcn6kxXRH+g"
    "lFz*S8Kpc^E^9%BkDeN@J(EfZZF2ISIVzI{9;MdCXXaHD(s?~Z<a&uBZ15thLN!rGL!Aa{fTy6GG+OFRg%nKZEDViWD+wWimxAW#qToEq45bdk"
    "c(4$)1090%ks1L4QYcZj#`A`lc4@iVJnC+ZZuiYbwwt(f2z5`ohRNn=dPAHECHS&&%F%-{UO4DC?fGVBga-~X<HiRQL{c;;8%!zBbHOAJnTg<~"
    "l~M?RU_dbDd{G5JP!^bp()L0WH#!-qjkbYnVH_B1m@|O|!z0Voa46MUoib1du_(%&&A|zliav@ZRov`Cdr+=H`NKZ=l2S1;om4JPm}Zemksv9t"
    "dK>PvkP*cO(X$6@rG&y6pJA+Y?A%hHV_L3ZjEgmlE4GFSyN*d?&#|uc)jqWI{+(8Lp`=G9O;hH`;>y3YUB<$|>X4K#D%xZevndB~uJnRVsgxbq"
    "@c&S5&TmwEeAr=qIxc3NZ@alLjEXWMH%2>S^e;m_bxQ"
)
LOCKED = (
    "c-oCrJ%}Vl6prn{P)w8(oaj!wUcLH-VPtQ221U<Vc63$bg8F&AH^*-G($l-%U2I@xW};|nD2Ir#D42;H3Z`nH9C9WH8VFX;%>KX_*xf<ZSKoWz"
    "tFK?xV0UNo96XQ3;OAeyyI%m~tO>V@;jk!QyK_ve-1eP6Yz~TY*B{V=iA>llMx%o2)Dy)<z>-&#FVEA0z0I)avl~UZ-JH}NgG-_KpP{`_OPRV-"
    "Dz8(T`)keZoQvmIgJ8yqRmQr@#08Tp<{mAYlQ!le`;3#kx*7meXGO2RwZ6Qh{|eOy-A!hBzrN^N@<+w!v!CAiOMiL#^p&gP@jpL$_xtxA`~BY6"
    "gGV&{@aV^J_~hQlU%d6tr2Gxu{M%i5^z6g0{`l5D_<a9|U!QtmF#R-rFq__Op8Vzsxc|(ptM9-1@IkM;PQ9)`Z8*?ZU6iwv&@HDu2t|3#FKD@+"
    "@<lp4rEVU5QI6}_q<MY7$~WfqR=t>?0hhL@FA3~3l|5qme6vF3@h+3XNvDl)B6~GI?5Jhstn+p9Z7Rws8%n{W;L?MOK_sfs1tWsyIl^0=5Q%_{"
    "p^!Kxh{h>ntB@?{q?EP*6c9)`s)PZJPJ&Q53&bcBmuN;s`Fd9IA^%(H1%L=SL;`W`BKj!EIRQa%ffi9En-o!s6$O`|@<~O&XcS1VBS@^0cGg*~"
    "g|>>M7RK_dmQ}VV%Z8YBX+7FH>28is`(`V5nm9eCx+h&{<<@w%kLO0AST{}%J({ppf_~CoOr~Qt#JmAxd_ZrqQ(Q`bN+8E7Caw^r@eV5?JXobH"
    "aEs)OmX(k~0s{BF5jhQb%|SWKz0`?_2dOHKKDpo}`4F;zL0%~^CUBG@a4lt2pe1;oP0ML^sXfZazzW2Qkc3eZHCMf5AS;YMsLC33`83>asVX=#"
    "1wVh7RtgoX*f|EdW0x!S1*YW&1_C!Qp<n|;yNO9-FR-rl^FwNv{X3iArCeUQ*EIPaSsnS8cJj3_)KYVD6i6$nBI+u6=bYA_0IWkb`ahH#%M;b!"
    "IqsM~yDk=;Z@Z;2z%gHugYk4y{0sK*Z;A"
)


def packed(data: str) -> bytes:
    return zlib.decompress(base64.b85decode(data))


LONG = "The committee has considered the matter at length and in good time"
PDF = {
    "a paragraph": (
        pdf([f"{LONG}, and so it", "went on.", "Another line."]),
        f"{LONG}, and so it went on.\nAnother line.\n",
    ),
    "a word that is divided": (
        pdf([f"{LONG} and they consid-", "ered it again.", "End."]),
        f"{LONG} and they considered it again.\nEnd.\n",
    ),
    "a word that has a hyphen": (
        pdf([f"{LONG} that a well-", "known person said.", "So well-known."]),
        f"{LONG} that a well-known person said.\nSo well-known.\n",
    ),
    "over the end of a page": (pdf([f"{LONG} and they", "1"], ["went on.", "2"]), f"{LONG} and they went on.\n"),
}


@pytest.mark.parametrize("case", PDF)
def test_pdf_lines_are_paragraphs(tmp_path: Path, case: str) -> None:
    pytest.importorskip("pypdfium2")
    data, text = PDF[case]
    assert read(tmp_path, data)[0] == text


def test_what_pages_repeat_and_their_contents_are_counted(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    pages = [[f"Annual report {i}", f"Text {i} of {'abcdef'[i]} page.", f"- {i} -"] for i in range(5)]
    text, notes = read(tmp_path, pdf(["Introduction . . . . . . . . 3"], *pages))
    assert text == "".join(f"Text {i} of {'abcdef'[i]} page.\n" for i in range(5))
    assert "5 parts left out: headers and footers" in " ".join(notes) and "tables of contents" in " ".join(notes)


def test_lines_that_only_look_alike_stay(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    assert read(tmp_path, pdf(["One", "two"], ["One", "three"])) == ("One\ntwo\nOne\nthree\n", ())


def test_pages_without_text_are_counted(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    text, notes = read(tmp_path, pdf(["One"], [], ["Two"]))
    assert text == "One\nTwo\n" and "1 part left out: pages of PDF files without text" in notes[0]
    with pytest.raises(DataError) as caught:
        read(tmp_path, pdf([], []))
    assert "scan" in caught.value.received


def test_an_encrypted_pdf_is_read_without_the_password_of_its_owner(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    assert read(tmp_path, packed(OWNED))[0] == "Hello from a page.\n"
    with pytest.raises(DataError) as caught:
        read(tmp_path, packed(LOCKED))
    assert "password" in caught.value.received


def test_pypdf_is_read_with_where_pdfium_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pypdf = pytest.importorskip("pypdf")
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    assert read(tmp_path, pdf(["Hello from a page."]))[0] == "Hello from a page.\n"

    def without(*_: object) -> None:
        raise pypdf.errors.DependencyError("cryptography>=3.1 is required for AES algorithm")

    monkeypatch.setattr(pypdf, "PdfReader", without)
    with pytest.raises(UsageError) as caught:
        read(tmp_path, packed(OWNED))
    assert "cryptography" in caught.value.what and "pip install cryptography" in caught.value.attempt
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(UsageError) as caught:
        read(tmp_path, pdf(["One"]))
    assert "pypdfium2" in caught.value.what


def test_ligatures_are_letters_and_pages_without_letters_are_told() -> None:
    findings = Findings()
    assert page_lines.joined(["e\ufb03cient \ufb02ow co\xadop"], findings) == ["efficient flow co-op\n"]
    assert page_lines.is_garbled("\x01\x02\x03 \ue001\ue002") and not page_lines.is_garbled(
        "Text, 漢字 and\r\nmore\x02"
    )


# Manuals

MAN = r"""'\" t
.\" A comment
.TH LS 1 "May 2024" GNU "User's Manual"
.de Sp
.br
..
.if n \{\
. nop
.\}
.SH NAME
ls \- list directory \fIcontents\fR
.SH "SYNOPSIS"
.B ls
[\fI\,OPTION\/\fR]...
.SH DESCRIPTION
List
.BR files (5),
\(lqnot\(rq caf\('e \[bu] \*(Aq all.  \" a remark
.PP
More of it.
.TP
\fB\-a\fR, \fB\-\-all\fR
do not ignore
entries
.IP \(bu 2
an item
.nf
  a = 1
    b
.fi
"""
MDOC = r""".Dd $Mdocdate$
.Dt CAT 1
.Os
.Sh NAME
.Nm cat
.Nd concatenate files
.Sh SYNOPSIS
.Nm
.Op Fl bn
.Op Ar
.Sh DESCRIPTION
The
.Nm
utility reads
.Pa /dev/null ,
see
.Xr head 1 .
.Bl -tag
.It Fl b
Number
.Dq lines .
.El
"""


def test_pages_of_manuals(tmp_path: Path) -> None:
    assert read(tmp_path, MAN, "ls.1") == (
        "NAME\nls - list directory contents\n\nSYNOPSIS\nls [OPTION]...\n\nDESCRIPTION\nList files(5), “not”"
        " café • ' all."
        "\nMore of it.\n-a, --all\ndo not ignore entries\n• an item\n  a = 1\n    b\n",
        (),
    )
    assert read(tmp_path, MDOC, "cat.1") == (
        "NAME\ncat — concatenate files\n\nSYNOPSIS\ncat [-bn] []\n\nDESCRIPTION\nThe cat utility reads /dev/null, see"
        " head(1).\n-b\nNumber “lines”.\n",
        (),
    )


@pytest.mark.parametrize("text", [".TH is how a page begins, he said.\n", ".hidden {\n}\n.SH x\n", "'\\''So'\\''\n"])
def test_texts_with_dots_are_no_manuals(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text * 9, "f.txt")[0] == text * 9
