"""Rows of attributes: dumps of Stack Exchange and other XML whose text stands in attributes alone."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from daybreak.data.formats.documents import attribute_rows
from daybreak.data.formats.findings import Findings
from daybreak.data.sources import Reading, find


def read(path: Path) -> tuple[list[str], Findings]:
    reading = Reading([path])
    return [document.text for document in reading], reading.findings


def read_bytes(folder: Path, data: bytes, name: str = "Posts.xml") -> tuple[list[str], Findings]:
    path = folder / name
    path.write_bytes(data)
    return read(path)


def table(name: str, *rows: dict[str, str]) -> bytes:
    lines = ['\ufeff<?xml version="1.0" encoding="utf-8"?>', f"<{name}>"]
    for row in rows:
        told = [key + '="' + html.escape(value).replace("\n", "&#xA;") + '"' for key, value in row.items()]
        lines.append(f"  <row {' '.join(told)} />")
    return "\n".join([*lines, f"</{name}>"]).encode()


QUESTION = {
    "Id": "4",
    "PostTypeId": "1",
    "Score": "573",
    "Body": "<p>I want to use a <code>Track-Bar</code> to change a form's opacity.</p>\n\n<pre><code>decimal trans = "
    "trackBar1.Value / 5000;\n  this.Opacity = trans;\n</code></pre>\n\n<p>When I build it, I get &quot;this&quot;:</p>"
    "\n<blockquote>\n  <p>Cannot convert</p>\n</blockquote>\n<ul><li>one</li><li>two</li></ul>",
    "Title": "How to convert Decimal to Double in C#?",
    "Tags": "<c#><floating-point>",
    "ContentLicense": "CC BY-SA 4.0",
}
ANSWER = {"Id": "7", "PostTypeId": "2", "ParentId": "4", "Body": "<p>An <b>explicit</b> cast isn't necessary.</p>"}


def test_posts_of_stack_exchange(tmp_path: Path) -> None:
    found, findings = read_bytes(tmp_path, table("posts", QUESTION, ANSWER, {"Id": "9", "PostTypeId": "2", "Body": ""}))
    assert [re.sub("\n+", "\n", text) for text in found] == [
        "How to convert Decimal to Double in C#?\nI want to use a Track-Bar to change a form's opacity.\n"
        "decimal trans = trackBar1.Value / 5000;\n  this.Opacity = trans;\n"
        'When I build it, I get "this":\nCannot convert\none\ntwo',
        "An explicit cast isn't necessary.",
    ]
    assert findings.licences == {"CC BY-SA 4.0": 1} and findings.skipped_rows == 1
    find([str(tmp_path / "Posts.xml")])


@pytest.mark.parametrize(
    ("name", "row", "text"),
    [
        ("comments", {"Id": "1", "PostId": "2", "Text": "It's a > b & c.", "UserId": "3"}, "It's a > b & c."),
        ("users", {"Id": "1", "DisplayName": "A", "AboutMe": "<p>I like <i>words</i>.</p>"}, "I like words."),
        ("posthistory", {"Id": "1", "PostHistoryTypeId": "2", "Text": "A first version."}, "A first version."),
    ],
)
def test_other_tables_of_stack_exchange(tmp_path: Path, name: str, row: dict[str, str], text: str) -> None:
    assert read_bytes(tmp_path, table(name, row, row))[0] == [text, text]


@pytest.mark.parametrize("name", ["votes", "badges", "postlinks", "tags"])
def test_tables_without_text_are_said(tmp_path: Path, name: str) -> None:
    _, findings = read_bytes(tmp_path, table(name, {"Id": "1", "Name": "Good Teacher", "TagName": "c"}))
    assert findings.passed_over()[0].startswith(f"1 file skipped: {attribute_rows.NO_POSTS} (")


def test_a_dump_that_ends_too_early(tmp_path: Path) -> None:
    whole = table("posts", *(QUESTION | {"Title": f"Question {n}?"} for n in range(300)))
    found, findings = read_bytes(tmp_path, whole[: len(whole) * 2 // 3])
    assert 190 <= len(found) <= 201 and findings.stopped.total() == 1


def test_text_in_attributes_of_any_xml(tmp_path: Path) -> None:
    rows = "".join(f'<note author="A. Writer" date="{n}" body="This is note {n}, dear friend."/>' for n in range(40))
    found, _ = read_bytes(tmp_path, f"<?xml version='1.0'?><notes count='40'>{rows}</notes>".encode(), "notes.xml")
    assert found == [f"This is note {n}, dear friend." for n in range(40)]
    deep = "".join(
        f'<c id="{n}"><u name="x"><say words="Words that somebody said, number {n}."/></u></c>' for n in range(9)
    )
    found, _ = read_bytes(tmp_path, f"<a>{deep}</a>".encode(), "a.xml")
    assert found == [f"Words that somebody said, number {n}." for n in range(9)]


def test_text_between_tags_is_read_as_before(tmp_path: Path) -> None:
    strings = '<resources><string name="a">Some words.</string><string name="b">Others.</string></resources>'
    assert "".join(read_bytes(tmp_path, strings.encode(), "strings.xml")[0]) == "Some words.\nOthers.\n"
    posts = "<posts><post>Some words.</post><post>Others.</post></posts>"
    assert "".join(read_bytes(tmp_path, posts.encode(), "posts.xml")[0]) == "Some words.\nOthers.\n"


def test_text_that_comes_after_attributes_is_counted(tmp_path: Path) -> None:
    head = "".join(f'<meta name="n" about="A long line about the file, number {n}."/>' for n in range(2000))
    _, findings = read_bytes(tmp_path, f"<a>{head}<p>The text itself.</p></a>".encode(), "a.xml")
    assert findings.parts[attribute_rows.BETWEEN] == 1 and findings.lost[attribute_rows.BETWEEN] == 16


def test_drawings_hold_no_text(tmp_path: Path) -> None:
    path = '<path d="M 10 10 L 20 20"/><rect x="1" y="2"/>' * 9
    (tmp_path / "a.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg">{path}</svg>')
    assert read(tmp_path / "a.svg")[1].passed_over() == ("1 file skipped: empty or blank (a.svg)",)
