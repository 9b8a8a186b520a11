"""Small sound files of every format that is read, for fuzzing: words of their text and of their markup are marked.

A marked word of the text is `w00042x`, one of markup, names and settings is `m00042x`. Each seed is made in memory;
one of a format whose library is missing is left out.
"""

import base64
import bz2
import gzip
import io
import json
import lzma
import sqlite3
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Seed:
    """name: also the file's. strict: text of it that its bytes still hold is read, or its loss is counted; otherwise a
    change can put text where the format shows none (a comment, a template, a header)."""

    name: str
    data: bytes
    strict: bool = True


_SAID = "the harbour of the town was built of oak and stone and nobody knew by whom or when it had been begun"
_WORDS = _SAID.split(" ")


class _Marks:
    """Sentences and names, each with a mark of its own."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def text(self, words: int = 12) -> str:
        number = next(self._numbers)
        said = " ".join(_WORDS[(number + i) % len(_WORDS)] for i in range(words))
        return f"Here w{number:05}x {said}."

    def name(self) -> str:
        return f"m{next(self._numbers):05}x"


def seeds() -> list[Seed]:
    return [*_plain(), *_rows(), *_markup(), *_conversations(), *_packed(), *_columnar(), *_documents()]


def _plain() -> Iterator[Seed]:
    mark = _Marks()
    paragraphs = [mark.text(30) for _ in range(12)]
    text = "\n\n".join(paragraphs) + "\n"
    yield Seed(name="text.txt", data=text.encode())
    yield Seed(name="windows.txt", data=text.replace("\n", "\r\n").replace("oak", "chêne “old”").encode("cp1252"))
    for encoding in ("utf-16", "utf-16-le", "utf-32", "gb18030", "shift_jis", "big5", "koi8-r", "iso-8859-2"):
        said = {"gb18030": "港口是用橡木建成的", "shift_jis": "港はオークで造られた", "big5": "港口是用橡木建成的"}
        said |= {
            "koi8-r": "гавань города",
            "iso-8859-2": "přístav města byl postaven z dubu a kamene a nikdo nevěděl kdy začal růst",
        }
        data = text.replace("oak", said.get(encoding, "chêne")).encode(encoding)
        yield Seed(name=f"{encoding}.txt", data=b"\xff\xfe" + data if encoding == "utf-16-le" else data)
    lines = "".join(f"- {mark.text()}\n" for _ in range(10))
    yield Seed(name="notes.md", data=f"# {mark.text(4)}\n\n{lines}\n```python\nprint('{mark.text(3)}')\n```\n".encode())
    code = "".join(f"def f{i}(x):\n    # {mark.text(5)}\n    return x + {i}\n\n\n" for i in range(8))
    yield Seed(name="code.py", data=code.encode())
    yield Seed(name="borders.txt", data="\n<|endoftext|>\n".join(paragraphs).encode())
    tagged = "".join(f"{word} B-X\n" for p in paragraphs[:5] for word in [*p.split(), ""] if word) + "\n"
    yield Seed(name="tags.conll", data=tagged.replace("begun. B-X\n", "begun. O\n\n").encode(), strict=False)


def _rows() -> Iterator[Seed]:
    mark = _Marks()
    rows = [{"id": mark.name(), "text": mark.text(15)} for _ in range(15)]
    lines = [json.dumps(row) for row in rows]
    yield Seed(name="rows.jsonl", data="\n".join(lines).encode() + b"\n")
    yield Seed(name="commas.jsonl", data=",\n".join(lines).encode() + b"\n")
    yield Seed(name="python.jsonl", data="\n".join(map(repr, rows)).encode() + b"\n")
    yield Seed(name="line.jsonl", data=" ".join(lines).encode())
    yield Seed(name="sequence.json", data=b"".join(b"\x1e" + line.encode() + b"\n" for line in lines))
    yield Seed(name="list.json", data=json.dumps(rows, indent=1).encode())
    yield Seed(name="tree.json", data=json.dumps({"meta": {"name": mark.name()}, "data": rows}).encode())
    yield Seed(name="strings.json", data=json.dumps([row["text"] for row in rows]).encode())
    frame = {"index": list(range(15)), "columns": ["id", "text"], "data": [list(row.values()) for row in rows]}
    yield Seed(name="split.json", data=json.dumps(frame).encode())
    columns = {key: {str(i): row[key] for i, row in enumerate(rows)} for key in ("id", "text")}
    yield Seed(name="columns.json", data=json.dumps(columns).encode())
    chats = [{"messages": [{"role": r, "content": mark.text(8)} for r in ("user", "assistant")]} for _ in range(8)]
    yield Seed(name="messages.jsonl", data="".join(json.dumps(chat) + "\n" for chat in chats).encode())
    asked = [{"instruction": mark.text(6), "input": "", "output": mark.text(9)} for _ in range(8)]
    yield Seed(name="alpaca.json", data=json.dumps(asked).encode())
    both = [{"translation": {"en": mark.text(6), "fr": mark.text(6)}} for _ in range(8)]
    yield Seed(name="translation.jsonl", data="".join(json.dumps(row) + "\n" for row in both).encode())
    for name, sign in (("rows.csv", ","), ("rows.tsv", "\t"), ("semicolons.csv", ";")):
        body = "".join(f'{row["id"]}{sign}"{row["text"]}"\n' for row in rows)
        yield Seed(name=name, data=f"id{sign}text\n{body}".encode())
    plain = "".join(f"{row['id']},{row['text']}\r" for row in rows)
    yield Seed(name="returns.csv", data=f"id,text\r{plain}".encode())
    yield Seed(name="column.csv", data=("text\n" + "".join(f"{row['text']}\n" for row in rows)).encode())


def _markup() -> Iterator[Seed]:
    mark = _Marks()

    def items(form: str, number: int = 8) -> str:
        return "".join(form.format(text=mark.text(10), name=mark.name()) for _ in range(number))

    head = '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>A page</title><script>var {0};</script>'
    page = head.format(mark.name()) + "<style>." + mark.name() + "{color:red}</style></head><body>"
    page += items('<p class="{name}">{text} <b>bold</b></p>\n') + "<table>"
    page += items("<tr><td>{text}</td><td>2</td></tr>", 3) + "</table><pre>\n" + items("{text}\n", 3) + "</pre>"
    yield Seed(name="page.html", data=(page + f"<!-- {mark.name()} --></body></html>").encode())
    old = page.replace("utf-8", "iso-8859-1").replace("oak", "ch\u00eane \u201cold\u201d")
    yield Seed(name="old.html", data=old.encode("cp1252"))
    xml = "<?xml version='1.0' encoding='utf-8'?>\n"
    named = items('<p id="{name}">{text}</p>')
    yield Seed(name="any.xml", data=f"{xml}<r>{named}</r>".encode(), strict=False)
    wiki = items(
        "<page><title>T</title><id>1</id><revision><text>{text} [[Oak|oaks]] '''b'''</text></revision></page>\n"
    )
    yield Seed(name="wiki.xml", data=f"<mediawiki xml:lang='en'><siteinfo/>{wiki}</mediawiki>".encode(), strict=False)
    posts = items('<row Id="1" PostTypeId="1" Title="A" Body="&lt;p&gt;{text}&lt;/p&gt;" />\n')
    yield Seed(name="Posts.xml", data=f"{xml}<posts>\n{posts}</posts>".encode(), strict=False)
    book = items("<p>{text}</p>")
    fb2 = f"{xml}<FictionBook><description/><body><section>{book}</section></body><binary id='c'>AAAA</binary>"
    fb2 += "</FictionBook>"
    yield Seed(name="book.fb2", data=fb2.encode(), strict=False)
    sections = items("<p>{text} <italic>x</italic></p>")
    jats = f"{xml}<article><front/><body><sec><title>One</title>{sections}</sec></body></article>"
    yield Seed(name="jats.xml", data=jats.encode(), strict=False)
    tei = f"{xml}<TEI xmlns='http://www.tei-c.org/ns/1.0'><teiHeader/><text><body>{book}</body></text></TEI>"
    yield Seed(name="tei.xml", data=tei.encode(), strict=False)
    rtf = "{\\rtf1\\ansi\\ansicpg1252{\\fonttbl{\\f0 Arial;}}{\\info{\\title A}}\\f0\\fs24 " + "".join(
        f"{mark.text(10)} \\'e9\\u8217?\\par\n" for _ in range(8)
    )
    yield Seed(name="text.rtf", data=(rtf + "}").encode(), strict=False)
    latex = "\\documentclass{article}\n\\begin{document}\n" + items("{text} \\emph{{x}}\n\n") + "\\end{document}\n"
    yield Seed(name="paper.tex", data=latex.encode(), strict=False)
    yield Seed(name="crawl.warc", data=_warc(f"<html><body>{items('<p>{text}</p>')}</body></html>"), strict=False)


def _warc(page: str) -> bytes:
    http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{page}".encode()
    head = (
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a/\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
    )
    return (head.encode() + http + b"\r\n\r\n") * 2


def _conversations() -> Iterator[Seed]:
    mark = _Marks()

    def lines(form: str, number: int = 10) -> str:
        return "".join(form.format(i=i % 60, text=mark.text(8)) for i in range(number))

    yield Seed(
        name="film.srt", data=lines("{i}\n00:00:{i:02},000 --> 00:00:{i:02},900\n{text}\n\n").encode(), strict=False
    )
    vtt = "WEBVTT\n\n" + lines("00:00:{i:02}.000 --> 00:00:{i:02}.900\n{text}\n\n")
    yield Seed(name="film.vtt", data=vtt.encode(), strict=False)
    yield Seed(name="chat.txt", data=lines("[12/31/20, 10:{i:02}:00 PM] Ann: {text}\n").encode(), strict=False)
    mail = "From: Ann <ann@example.org>\nTo: bob@example.org\nSubject: {i}\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n"
    mail += "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n{text}\n\n"
    yield Seed(name="letter.eml", data=lines(mail, 1).encode(), strict=False)
    box = "From ann@example.org Mon Jan  1 00:00:00 2024\n" + mail
    yield Seed(name="letters.mbox", data=lines(box, 6).encode(), strict=False)
    cells: list[dict[str, object]] = [{"cell_type": "markdown", "metadata": {}, "source": [mark.text(8)]}] * 2
    cells += [{"cell_type": "code", "metadata": {}, "source": [f"x = '{mark.text(3)}'"], "outputs": []}]
    yield Seed(name="book.ipynb", data=json.dumps({"cells": cells, "nbformat": 4}).encode(), strict=False)
    told = [{"type": "message", "from": "Ann", "text": mark.text(7)} for _ in range(8)]
    telegram = {"chats": {"list": [{"name": "Bob", "messages": told}]}}
    yield Seed(name="result.json", data=json.dumps(telegram).encode(), strict=False)
    nodes: dict[str, object] = {"0": {"id": "0", "message": None, "parent": None, "children": ["1"]}}
    for i in range(1, 7):
        author = {"role": ("assistant", "user")[i % 2]}
        message = {"author": author, "content": {"content_type": "text", "parts": [mark.text(7)]}}
        nodes[str(i)] = {
            "id": str(i),
            "message": message,
            "parent": str(i - 1),
            "children": [str(i + 1)] if i < 6 else [],
        }
    chat = [{"title": mark.name(), "mapping": nodes, "current_node": "6"}]
    yield Seed(name="conversations.json", data=json.dumps(chat).encode(), strict=False)


def _packed() -> Iterator[Seed]:
    mark = _Marks()
    text = "\n\n".join(mark.text(30) for _ in range(12)).encode()
    rows = "".join(json.dumps({"text": mark.text(12)}) + "\n" for _ in range(10)).encode()
    yield Seed(name="a.txt.gz", data=gzip.compress(text, mtime=0))
    yield Seed(name="b.jsonl.bz2", data=bz2.compress(rows))
    yield Seed(name="c.txt.xz", data=lzma.compress(text))
    yield Seed(name="d.txt.lzma", data=lzma.compress(text, format=lzma.FORMAT_ALONE))
    try:
        import zstandard

        yield Seed(name="e.jsonl.zst", data=zstandard.ZstdCompressor(write_checksum=True).compress(rows))
    except ImportError:
        pass
    files = {"one.txt": text, "two.jsonl": rows, "three/four.md": text[:400]}
    for name, method in (("stored.zip", zipfile.ZIP_STORED), ("deflated.zip", zipfile.ZIP_DEFLATED)):
        yield Seed(name=name, data=_zip(files, method))
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    yield Seed(name="plain.tar", data=held.getvalue(), strict=False)
    yield Seed(name="packed.tar.gz", data=gzip.compress(held.getvalue(), mtime=0), strict=False)


def _zip(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return held.getvalue()


def _columnar() -> Iterator[Seed]:
    mark = _Marks()
    columns = {"id": [mark.name() for _ in range(12)], "text": [mark.text(12) for _ in range(12)]}
    try:
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.table(columns)
        held = io.BytesIO()
        parquet.write_table(table, held, compression="none", use_dictionary=False)
        yield Seed(name="rows.parquet", data=held.getvalue(), strict=False)
        for name, writer in (("rows.arrow", pyarrow.ipc.new_file), ("stream.arrow", pyarrow.ipc.new_stream)):
            held = io.BytesIO()
            with writer(held, table.schema) as written:
                written.write_table(table)
            yield Seed(name=name, data=held.getvalue(), strict=False)
    except ImportError:
        pass
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.db"
        connection = sqlite3.connect(path)
        connection.execute("create table posts (id text, text text)")
        connection.executemany("insert into posts values (?, ?)", zip(columns["id"], columns["text"], strict=True))
        connection.commit()
        connection.close()
        yield Seed(name="rows.sqlite", data=path.read_bytes(), strict=False)


def _documents() -> Iterator[Seed]:
    mark = _Marks()
    xml = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    w = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    body = "".join(f"<w:p><w:r><w:t>{mark.text(9)}</w:t></w:r></w:p>" for _ in range(8))
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    docx = {
        "[Content_Types].xml": f'{xml}<Types xmlns="{package}/content-types"/>',
        "_rels/.rels": f'{xml}<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{office}"'
        ' Target="word/document.xml"/></Relationships>',
        "word/document.xml": f"{xml}<w:document {w}><w:body>{body}</w:body></w:document>",
    }
    paragraphs = "".join(f"<text:p>{mark.text(9)}</text:p>" for _ in range(8))
    oasis = "urn:oasis:names:tc:opendocument:xmlns"
    odt = {
        "mimetype": "application/vnd.oasis.opendocument.text",
        "content.xml": f'{xml}<office:document-content xmlns:office="{oasis}:office:1.0" xmlns:text="{oasis}:text:1.0">'
        f"<office:body><office:text>{paragraphs}</office:text></office:body></office:document-content>",
    }
    chapters = {f"c{i}.xhtml": "".join(f"<p>{mark.text(9)}</p>" for _ in range(4)) for i in range(3)}
    items = "".join(f'<item id="{n[:2]}" href="{n}" media-type="application/xhtml+xml"/>' for n in chapters)
    refs = "".join(f'<itemref idref="{n[:2]}"/>' for n in chapters)
    epub = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": f'{xml}<container xmlns="{oasis}:container" version="1.0">'
        '<rootfiles><rootfile full-path="b.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        "b.opf": f'{xml}<package xmlns="http://www.idpf.org/2007/opf" version="2.0"><metadata/>'
        f"<manifest>{items}</manifest><spine>{refs}</spine></package>",
        **{name: f"<html><head><title>C</title></head><body>{text}</body></html>" for name, text in chapters.items()},
    }
    for name, parts in (("text.docx", docx), ("text.odt", odt), ("text.epub", epub)):
        files = {part: text.encode() for part, text in parts.items()}
        yield Seed(name=name, data=_zip(files), strict=False)
        yield Seed(name=f"deflated-{name}", data=_zip(files, zipfile.ZIP_DEFLATED), strict=False)
    yield Seed(name="text.pdf", data=_pdf([mark.text(8) for _ in range(8)]), strict=False)
    letter = base64.encodebytes(mark.text(20).encode()).decode()
    mail = "MIME-Version: 1.0\nFrom: a@example.org\nSubject: x\nContent-Type: multipart/alternative; boundary=B\n\n"
    mail += f"--B\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n{letter}\n--B--\n"
    yield Seed(name="parts.eml", data=mail.encode(), strict=False)


def _pdf(lines: Iterable[str]) -> bytes:
    shown = "BT /F1 10 Tf 14 TL 40 760 Td " + " ".join(f"({line}) Tj T*" for line in lines) + " ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        " /Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(shown)} >>\nstream\n{shown}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    data, places = b"%PDF-1.4\n", []
    for number, held in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{held}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    start = len(data)
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode()
    return data + f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
