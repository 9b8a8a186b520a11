"""Formats: what a file is and where its text is, told by content; packings, encodings, ranges and addresses."""

from __future__ import annotations

import bz2
import csv
import gzip
import hashlib
import http.server
import io
import itertools
import json
import lzma
import pickle
import random
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.errors import DataError, UsageError
from daybreak.data import remote
from daybreak.data.formats import reader
from daybreak.data.formats.findings import Findings
from daybreak.data.formats.format import Sample
from daybreak.data.sources import Document, Part, Reading, find, parts
from daybreak.data.store import PartFacts

PROSE = "The café is open. It has seats, and it has tables; nobody sits there today.\n" * 4
CHINESE = "今天天气很好，我们去公园散步。孩子们在草地上玩，老人在树下喝茶。\n" * 4
ROWS = [{"id": f"row-{i}", "body": f"This is the text of the row number {i}, in words."} for i in range(30)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def written(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def read(path: Path) -> tuple[list[Document], tuple[str, ...]]:
    reading = Reading([path], named=[path])
    return list(reading), reading.notes


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


# What a file is

HTML = "<!DOCTYPE html><html><head><title>t</title></head><body><p>Hello</p></body></html>"


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (HTML, "f", "page"),
        (f"<!-- saved -->\n{HTML}", "f.txt", "page"),
        (f'<?xml version="1.0"?>\n{HTML}', "f.xml", "page"),
        ('<?xml version="1.0"?><a>b</a>', "f", "xml"),
        ("<TEI><p>a</p></TEI>", "f.txt", "xml"),
        ("<pad> is the token for it\nand <unk> too\n", "f.txt", "text"),
        ('{"a": 1}\n{"a": 2}\n', "f.txt", "jsonl"),
        ('[{"a": "b"}, {"a": "c"}]', "f.txt", "json"),
        ('{\n "a": [1,\n 2]\n}\n', "f.jsonl", "json"),
        ("[Verse 1]\nLa la la\n", "f", "text"),
        ("[1] A reference, and more.\n[2] Another one.\n", "f", "text"),
        ("{curly} words\nare text\n", "f.jsonl", "text"),
        ("a\tb\nc d\te\nf\tg\n", "f.txt", "table"),
        ("name,age,text\n" + "".join(f'n{i},{i},"some text, with a comma"\n' for i in range(9)), "f", "table"),
        ("Dear Sir, I write,\nas you know, to you,\nand all, and more,\nwell, so, it goes\n" * 3, "f", "text"),
        ("It was late, and cold.\n" * 9, "f", "text"),
        ("EU B-ORG\nrejects O\nGerman B-MISC\ncall O\n\nPeter B-PER\nBlackburn I-PER\n", "f", "tagged"),
        ("#!/usr/bin/env python\nprint(1)\n", "f", "code"),
        ("def f(x):\n    return x\n\nclass A:\n    def g(self):\n        return f(2)\n", "f", "code"),
        ("To be; or not;\nto be;\nThat is {the} question;\nwhether\n'tis nobler\nin the mind\n", "f", "text"),
        ("plain\n", "f.py", "code"),
        ("# Title\n\n| a | b |\n| - | - |\n", "f.md", "text"),
    ],
)
def test_kinds_are_told_by_content(data: str, name: str, kind: str) -> None:
    assert reader.recognized(Sample(data.encode(), name, True))[0].name == kind


@pytest.mark.parametrize("name", ["f.txt", "f.jsonl", "f.csv", "f", "f.html"])
def test_names_do_not_mislead(tmp_path: Path, name: str) -> None:
    documents, notes = read(written(tmp_path, name, LINES))
    assert [d.text for d in documents] == [row["body"] for row in ROWS] and "'body'" in notes[0]
    assert read(written(tmp_path, name, HTML))[0] == [Document(HTML, True, "page")]
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / name, row_group_size=7)
    assert [d.text for d in read(tmp_path / name)[0]] == [row["body"] for row in ROWS]


PACKS = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": zstandard.compress,
    "zip": lambda data: zipped({"inside.jsonl": data}),
    "tar": lambda data: tarred({"folder/inside.jsonl": data}),
}


@pytest.mark.parametrize("way", [*((a,) for a in PACKS), *itertools.product(PACKS, PACKS)], ids="-".join)
def test_packings_and_packed_packings(tmp_path: Path, way: tuple[str, ...]) -> None:
    data = LINES
    for pack in way:
        data = PACKS[pack](data)
    documents, _ = read(written(tmp_path, "packed", data))
    assert [d.text for d in documents] == [row["body"] for row in ROWS]


def test_streams_of_several_packed_parts(tmp_path: Path) -> None:
    for pack in (gzip.compress, lzma.compress, bz2.compress, zstandard.compress):
        documents, _ = read(written(tmp_path, "two", pack(LINES[:500]) + pack(LINES[500:])))
        assert len(documents) == len(ROWS)


def test_archives_name_what_they_pass_over(tmp_path: Path) -> None:
    members = {"a.txt": PROSE.encode(), "p.png": b"\x89PNG\0\0\0", ".git/x": b"no", "b.html": HTML.encode()}
    for pack in (zipped, tarred):
        documents, notes = read(written(tmp_path, "many", pack(members)))
        assert [(d.text, d.kind) for d in documents] == [(PROSE, "text"), (HTML, "page")]
        assert notes == (
            "1 left out: hidden (many/.git)",
            "1 file skipped: binary, not text (many/p.png; 7 bytes, 1.8% of the bytes)",
        )


def test_books_and_word_files(tmp_path: Path) -> None:
    container = b'<container><rootfiles><rootfile full-path="OEBPS/b.opf"/></rootfiles></container>'
    opf = b"""<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="one" href="1.xhtml"/>
        <item id="two" href="two%20b.xhtml"/></manifest><spine><itemref idref="two"/><itemref idref="one"/></spine>
        </package>"""
    book = {"mimetype": b"application/epub+zip", "META-INF/container.xml": container, "OEBPS/b.opf": opf}
    book |= {"OEBPS/1.xhtml": b"<html>one</html>", "OEBPS/two b.xhtml": b"<html>two</html>"}
    documents, _ = read(written(tmp_path, "book.epub", zipped(book)))
    assert [(d.text, d.kind) for d in documents] == [("two\n", "text"), ("one\n", "text")]
    xml = b'<w:document xmlns:w="w"><w:body><w:p><w:r><w:rPr><w:b/></w:rPr><w:t>He</w:t></w:r><w:r><w:t>llo</w:t>'
    xml += b"</w:r></w:p><w:p><w:r><w:t>a</w:t><w:tab/><w:t>b &amp; c</w:t></w:r></w:p></w:body></w:document>"
    word = {"[Content_Types].xml": b"<Types/>", "word/document.xml": xml}
    assert [d.text for d in read(written(tmp_path, "a.docx", zipped(word)))[0]] == ["Hello\na\tb & c\n"]
    word = {"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<x/>"}
    with pytest.raises(DataError):
        read(written(tmp_path, "a.xlsx", zipped(word)))


def test_pdf(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    content = b"BT /F1 12 Tf 72 720 Td (Hello from a page.) Tj ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj%s endobj\n" % (number, body)
    start = len(data)
    data += b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    data += b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % start
    assert [d.text for d in read(written(tmp_path, "f", data))[0]] == ["Hello from a page.\n"]
    with pytest.raises(DataError) as caught:
        read(written(tmp_path, "torn.pdf", data[:60]))
    assert "PDF" in caught.value.received


def test_xml(tmp_path: Path) -> None:
    tei = "<?xml version='1.0' encoding='gb2312'?><t><p>一 &lt; <hi>二</hi></p>\n  <p>三</p></t>"
    assert "".join(d.text for d in read(written(tmp_path, "t.xml", tei.encode("gb2312")))[0]) == "一 < 二\n三\n"
    wiki = "<mediawiki><page><title>A</title><revision><text>First\n\npage</text></revision></page>"
    wiki += "<page><revision><text>#REDIRECT [[A]]</text></revision></page>"
    wiki += "<page><revision><text>Second</text></revision></page></mediawiki>"
    documents, notes = read(written(tmp_path, "dump.xml.bz2", bz2.compress(wiki.encode())))
    assert [d.text for d in documents] == ["A\n\nFirst\n\npage", "Second"] and "MediaWiki" in notes[0]
    with pytest.raises(DataError) as caught:
        read(written(tmp_path, "s.xml", "<?xml version='1.0'?><urlset><url><loc>http://a</loc></url></urlset>"))
    assert "sitemap" in caught.value.received


def test_crawls(tmp_path: Path) -> None:
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    buffer = io.BytesIO()
    writer = WARCWriter(buffer, gzip=True)

    def add(body: bytes, kind: str, status: str = "200 OK") -> None:
        headers = StatusAndHeaders(status, [("Content-Type", kind)], protocol="HTTP/1.0")
        response = writer.create_warc_record("http://a/", "response", payload=io.BytesIO(body), http_headers=headers)
        writer.write_record(response)

    add(HTML.encode(), "text/html; charset=utf-8")
    add(b"GIF89a\0\0", "image/gif")
    add(b"<html>gone</html>", "text/html", "404 Not Found")
    add(f"<html>{CHINESE}</html>".encode("gb18030"), "text/html; charset=gb18030")
    add(b"plain words", "text/plain")
    documents, _ = read(written(tmp_path, "crawl.warc.gz", buffer.getvalue()))
    assert [(d.text, d.kind) for d in documents] == [
        (HTML, "page"),
        (f"<html>{CHINESE}</html>", "page"),
        ("plain words", "text"),
    ]


# Where the text is

CHATS = {
    "alpaca": ({"instruction": "Add.", "input": "1 2", "output": "3"}, "User: Add.\n1 2\nAssistant: 3"),
    "sharegpt": (
        {"id": "1", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]},
        "User: Hi\nAssistant: Hello!",
    ),
    "messages": (
        {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]},
        "System: Be kind.\nUser: Hi",
    ),
    "'prompt' and 'completion'": ({"prompt": "Name one.", "completion": "This."}, "User: Name one.\nAssistant: This."),
    "'query' and 'response'": ({"query": "Where?", "response": "Here."}, "User: Where?\nAssistant: Here."),
    "'question' and 'answer'": ({"question": "Why?", "answer": "So.", "source": "x"}, "User: Why?\nAssistant: So."),
    "'turns'": (
        {"type": "much longer than turns", "turns": [["usr", "你好"], ["sys", "好"]]},
        "User: 你好\nAssistant: 好",
    ),
}


@pytest.mark.parametrize("style", CHATS)
def test_chats_become_lines_of_speakers(tmp_path: Path, style: str) -> None:
    row, text = CHATS[style]
    for data in (json.dumps(row) + "\n" + json.dumps(row), json.dumps([row, row]), json.dumps({"data": [row, row]})):
        documents, notes = read(written(tmp_path, "chat.json", data))
        assert documents == [Document(text, True, "dialogue")] * 2
        assert "rows are" in notes[0] and style in notes[0]


def test_prose_is_preferred(tmp_path: Path) -> None:
    address = "https://example.org/a/very/long/address/that/goes/on/and/on/and/on/and/on/and/on/and/on/index.html?q={}"
    rows = [{"url": address.format(i), "kind": "always the same long words in this column " * 4} for i in range(20)]
    rows = [row | {"note": f"Row {i} says a thing."} for i, row in enumerate(rows)]
    documents, notes = read(written(tmp_path, "r.jsonl", "\n".join(map(json.dumps, rows))))
    assert documents[3].text == "Row 3 says a thing." and "'note'" in notes[0]
    squad = {"version": "1", "data": [{"title": "t", "paragraphs": [{"context": "C.", "qas": [
        {"question": "Q?", "answers": [{"text": "A", "answer_start": 0}]}]}]}]}  # fmt: skip
    documents, _ = read(written(tmp_path, "s.json", json.dumps(squad, indent=1)))
    assert [d.text for d in documents] == ["C.\nQuestion: Q?\nAnswer: A"]
    people = {f"key {i}": {"text": f"person {i}"} for i in range(5)}
    assert [d.text for d in read(written(tmp_path, "o.json", json.dumps(people)))[0]] == [
        f"person {i}" for i in range(5)
    ]
    assert [d.text for d in read(written(tmp_path, "one.json", '{"text": "alone"}'))[0]] == ["alone"]
    table = "".join(f'"{i}"\t"He said ""no"" to the {i}th."\n' for i in range(9))
    assert read(written(tmp_path, "q", table))[0][2].text == 'He said "no" to the 2th.'
    tabs = "".join(f'{i}\tThe "open quote of row {i}\n' if i % 2 else f"{i}\tRow {i} in words\n" for i in range(9))
    assert len(read(written(tmp_path, "t.tsv", tabs))[0]) == 9


EXPECTED = {
    "dialogue_zh_crosswoz": ("dialogue", "User: "),
    "dialogue_en_sgd": ("dialogue", "User: "),
    "code_humaneval": ("code", "from "),
    "faq_en_medquad": ("dialogue", "User: "),
    "instruct_en_alpaca_seed": ("dialogue", "User: "),
    "instruct_small_demo": ("dialogue", ""),
    "instruct_zh_alpaca": ("dialogue", "User: "),
    "qa_xquad": ("dialogue", ""),
    "qa_zh_c3": ("dialogue", ""),
    "ner_zh_msra": ("text", "当希望工程"),
    "cls_zh_waimai": ("text", "很快"),
    "eval_en_glue_part": ("text", ""),
    "lm_en_tinyshakespeare": ("text", "First Citizen"),
}


@pytest.mark.parametrize("folder", EXPECTED)
def test_data_sets(data_folder: Path, folder: str) -> None:
    kind, start = EXPECTED[folder]
    for path in find([str(data_folder / folder)]):
        first = list(itertools.islice(Reading([path]), 5))
        assert {d.kind for d in first} == {kind}, path
        assert first[0].text.startswith(start) and all(d.text[0] not in "{[" for d in first), path


# Encodings

WIDE = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


@pytest.mark.parametrize("encoding", [*WIDE, "utf-8", "gb18030", "big5", "cp1252"])
@pytest.mark.parametrize("text", [PROSE, CHINESE], ids=["French", "Chinese"])
def test_encodings(tmp_path: Path, encoding: str, text: str) -> None:
    text = text if encoding != "big5" else text.translate(str.maketrans("气们园孩树", "氣們園孩樹"))
    try:
        data = text.encode(encoding)
    except UnicodeEncodeError:
        pytest.skip("not in this encoding")
    if encoding == "gb18030" and text == PROSE:
        pytest.skip("four accents in GB18030 are not to be told from other encodings")
    reading = Reading([written(tmp_path, "text.txt", data)])
    assert "".join(d.text for d in reading) == text and not reading.replaced_bytes


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=300), st.sampled_from(WIDE[:2]))
def test_marked_and_utf8_text_is_never_mistaken(tmp_path_factory: pytest.TempPathFactory, text: str, mark: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    text = "a" + text.replace("\ufeff", "")  # a letter first, so that it does not begin like a file of another kind
    for encoding in ("utf-8", mark):
        path = written(folder, "text.md", text.encode(encoding))
        reading = Reading([path])
        assert "".join(d.text for d in reading) == text and reading.replaced_bytes == 0


def test_damage_is_counted_by_file(tmp_path: Path) -> None:
    a = written(tmp_path, "a.txt", CHINESE.encode() + b"\xff\xfe" + CHINESE.encode())
    b = written(tmp_path, "b.txt", CHINESE.encode("utf-16") + b"\x00\xd8" + "x".encode("utf-16-le"))
    reading = Reading([a, b])
    list(reading)
    assert reading.findings.replaced["a.txt"] == 2 and reading.findings.replaced["b.txt"] >= 2
    assert "a.txt: 2" in reading.notes[-1]


# Parts


def corpus(folder: Path, seed: int) -> list[Path]:
    draw = random.Random(seed)
    rows = [{"n": i, "body": "word " * draw.randint(1, 400) + str(i)} for i in range(draw.randint(1, 60))]
    data = "".join(json.dumps(row) + draw.choice(["\n", "\r\n", "\n\n"]) for row in rows)
    made = [written(folder, "rows.jsonl", data if draw.random() < 0.5 else data.rstrip())]
    made.append(written(folder, "small.txt", PROSE))
    made.append(written(folder, "rows.jsonl.gz", gzip.compress(data.encode())))
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["label", "text"], *([str(i), 'on, "two"\nlines'] for i in range(50))])
    return [*made, folder / "table.csv", written(folder, "gone.txt", "")]


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), part_bytes=st.sampled_from([3000, 20_000, 1 << 25]))
def test_parts_in_order_give_what_the_files_give(
    tmp_path_factory: pytest.TempPathFactory, seed: int, part_bytes: int
) -> None:
    paths = corpus(tmp_path_factory.mktemp("parts"), seed)
    cut = pickle.loads(pickle.dumps(parts(paths, part_bytes=part_bytes)))
    assert cut == parts(paths, part_bytes=part_bytes)
    whole = Reading(paths)
    expected = list(whole)
    assert list(Reading(cut)) == expected
    total, apart = Findings(), []
    for part in cut:
        reading = Reading([part])
        apart += list(reading)
        total.add(pickle.loads(pickle.dumps(reading.findings)))
    assert apart == expected and total.notes() == whole.notes
    assert (total.files, total.bytes) == (whole.findings.files, whole.findings.bytes)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), part_bytes=st.integers(1, 60_000), mark=st.booleans())
def test_parts_of_plain_text_join_up_to_it(
    tmp_path_factory: pytest.TempPathFactory, seed: int, part_bytes: int, mark: bool
) -> None:
    draw = random.Random(seed)
    part_bytes = max(part_bytes, 2000)
    text = "".join(draw.choice(["a line\n", "\n", "中文。\n", "x" * 5000, "longer " * 90 + "\r\n"]) for _ in range(60))
    path = written(tmp_path_factory.mktemp("text"), "a.txt", b"\xef\xbb\xbf" * mark + text.encode())
    cut = parts([path], part_bytes=part_bytes)
    documents = [document for part in cut for document in Reading([part])]
    assert "".join(d.text for d in documents) == text
    assert [d.starts for d in documents] == [True] + [False] * (len(documents) - 1)
    assert len(cut) == 1 or all(part.stop - part.start <= 2 * part_bytes for part in cut)


def test_parts_gather_small_files(tmp_path: Path) -> None:
    paths = [written(tmp_path, f"{i:03d}.txt", "x" * 100) for i in range(100)]
    cut = parts(paths, part_bytes=1000)
    assert [path for part in cut for path in part.paths] == paths and len(cut) == 10
    assert all(part == Part(part.paths) for part in cut)


# Addresses


class Server(http.server.BaseHTTPRequestHandler):
    data = LINES * 500
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        Server.asked.append(f"{self.path} {asked}".strip())
        tries = sum(line.startswith(self.path) for line in Server.asked)
        if self.path.startswith("/to-file"):
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
        elif self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", "/rows.jsonl")
            self.end_headers()
        elif self.path.startswith("/missing"):
            self.send_error(404)
        elif self.path.startswith("/stalls"):
            time.sleep(1.5)
        else:
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("ETag", '"one"')
            self.send_header("Content-Length", str(len(self.data) - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(self.data) - 1}/{len(self.data)}")
            self.end_headers()
            torn = self.path.startswith("/lies") or (self.path.startswith("/torn") and tries < 3)
            self.wfile.write(self.data[start : start + 40_000] if torn else self.data[start:])

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("DAYBREAK_CACHE", str(tmp_path / "cache"))
    Server.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as served:
        threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


def test_web_files(server: str, tmp_path: Path) -> None:
    digest = hashlib.sha256(Server.data).hexdigest()
    (path,) = find([f"{server}/to/rows.jsonl?x=1#sha256={digest}"])
    assert path.read_bytes() == Server.data and path.is_relative_to(tmp_path / "cache")
    asked = len(Server.asked)
    reading = Reading(find([f"{server}/to/rows.jsonl?x=1"]))
    assert len(list(reading)) == 500 * len(ROWS) and len(Server.asked) == asked  # out of the cache
    assert "fetched from" in reading.notes[0] and digest in reading.notes[0]
    waited: list[float] = []
    path = remote.web_file(f"{server}/torn/../../up.jsonl", wait=waited.append)
    assert path.read_bytes() == Server.data and waited == [2.0, 4.0] and path.is_relative_to(tmp_path / "cache")
    assert sum("bytes=40000-" in line for line in Server.asked) == 1  # what had come was kept


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("/to-file", "redirects to file"),
        ("/missing", "404"),
        ("/lies", "at byte 120000, after 3 tries"),
        ("/stalls", "the server did not answer in time"),
        ("/rows.jsonl#sha256=" + "0" * 64, "sha256"),
    ],
)
def test_addresses_that_go_wrong(server: str, page: str, told: str) -> None:
    with pytest.raises(DataError) as caught:
        remote.web_file(server + page, timeout=0.2, wait=lambda seconds: None)
    assert told in caught.value.received and server in caught.value.received
    with pytest.raises(DataError):
        remote.web_file(f"{server}/rows.jsonl", most_bytes=1000)
    for wrong in ("http://", f"{server}/a#sha256=12"):
        with pytest.raises(UsageError):
            remote.web_file(wrong)


class FakeHub:
    listed = (
        "README.md",
        "data/train-00000-of-00001.parquet",
        "data/test-0.parquet",
        "train.jsonl",
        "../train.parquet",
    )

    def __init__(self) -> None:
        self.downloads: list[tuple[str, ...]] = []

    def files(self, name: str, revision: str) -> tuple[str, list[str], str]:
        return f"commit-of-{revision or 'main'}", list(self.listed), "cc0-1.0"

    def download(self, name: str, path: str, commit: str, folder: Path) -> Path:
        self.downloads.append((name, path, commit))
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        return written(folder, path, LINES)


def test_data_sets_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYBREAK_CACHE", str(tmp_path))
    hub = FakeHub()
    paths = remote.data_set("hf://some/books@v1", hub=hub)
    assert hub.downloads == [("some/books", "data/train-00000-of-00001.parquet", "commit-of-v1")]
    reading = Reading(paths)
    assert len(list(reading)) == len(ROWS) and "revision commit-of-v1" in reading.notes[0]
    assert remote.data_set("hf://some/books@v1") == paths  # out of the cache, without a hub
    remote.data_set("hf://some/books:test", hub=hub)
    assert hub.downloads[1:] == [("some/books", "data/test-0.parquet", "commit-of-main")]
    with pytest.raises(DataError) as caught:
        remote.data_set("hf://some/books:tset", hub=hub)
    assert "test" in caught.value.attempt
    with pytest.raises(UsageError):
        remote.data_set("hf://books", hub=hub)


def test_licences_that_rows_name_are_counted(tmp_path: Path) -> None:
    rows = [{"text": "a text of some words", "license": name} for name in ("mit", "mit", ["cc0", "by"], "", None, 3)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    reading = Reading([path])
    assert len(list(reading)) == len(rows)
    assert dict(reading.findings.licences) == {"mit": 2, "by, cc0": 1}


def test_findings_of_parts_add_up() -> None:
    total, apart = Findings(), Findings()
    for number in range(12):
        one = Findings(files=1)
        for findings in (one, apart):
            findings.say(f"{number}.csv", "its column of text is body")
            findings.skip(f"{number}.bin", "no text")
            findings.licence("mit")
        kept = PartFacts(key="k", documents=1, bytes=1, findings=one, accounts=())
        total.add(PartFacts.from_json(json.loads(json.dumps(kept.to_json()))).findings)
    assert total.notes() == apart.notes() and "and 11 more" in total.notes()[0] and "12 files" in total.notes()[1]
    assert total.files == 12 and total.licences == {"mit": 12}


def test_parts_that_are_left_out_of_documents_are_counted_with_their_bytes() -> None:
    total = Findings(files=1, bytes=1000)
    for _ in range(2):
        one = Findings()
        one.leave_part("quoted text", 50)
        total.add(one)
    assert total.told == 2 and total.passed_over() == ("2 parts left out: quoted text (100 bytes, 10.0% of the bytes)",)
