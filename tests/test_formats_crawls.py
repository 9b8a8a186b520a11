"""Crawls: records of WARC, ARC and HAR, however their pages were sent, and what is left out of them counted."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zipfile
import zlib
from pathlib import Path

import pytest
import zstandard

from daybreak.data.formats import crawls
from daybreak.data.formats.findings import Findings
from daybreak.data.sources import Document, Reading, find

HTML = "<!DOCTYPE html><html><body><p>A page with some words: Größe.</p></body></html>"


def record(kind: str, body: bytes, version: str = "1.0", **more: str) -> bytes:
    lines = [f"WARC/{version}", f"WARC-Type: {kind}", "WARC-Target-URI: http://a/", "WARC-Date: 2020-01-01T00:00:00Z"]
    lines += ["WARC-Record-ID: <urn:uuid:12345678-1234-1234-1234-123456789012>"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body + b"\r\n\r\n"


def response(body: bytes, status: str = "200 OK", version: str = "1.0", **headers: str) -> bytes:
    headers = {"Content-Type": "text/html; charset=utf-8"} | {k.replace("_", "-"): v for k, v in headers.items()}
    head = "\r\n".join([f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items()), "", ""])
    return record("response", head.encode() + body, version, Content_Type="application/http; msgtype=response")


def read_bytes(folder: Path, data: bytes, name: str = "crawl.warc") -> tuple[list[Document], Findings]:
    path = folder / name
    path.write_bytes(data)
    reading = Reading([path])
    return list(reading), reading.findings


def texts(folder: Path, data: bytes) -> list[str]:
    return [document.text for document in read_bytes(folder, data)[0]]


def chunked(data: bytes) -> bytes:
    parts = [data[start : start + 20] for start in range(0, len(data), 20)]
    return b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def raw_deflate(data: bytes) -> bytes:
    one = zlib.compressobj(wbits=-15)
    return one.compress(data) + one.flush()


CODINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "deflate, identity": raw_deflate,
    "zstd": zstandard.compress,
    "identity": bytes,
    "UTF-8": bytes,
    "gzip, gzip": lambda data: gzip.compress(gzip.compress(data)),
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("version", ["1.0", "1.1", "0.18"])
def test_pages_however_they_were_sent(tmp_path: Path, coding: str, version: str) -> None:
    body = CODINGS[coding](HTML.encode())
    plain = response(body, version=version, Content_Encoding=coding)
    parted = response(chunked(body), version=version, Content_Encoding=coding, Transfer_Encoding="Chunked")
    undone = response(HTML.encode(), version=version, Content_Encoding=coding, Transfer_Encoding="chunked")
    for data in (plain + parted + undone, gzip.compress(plain) + gzip.compress(parted) + gzip.compress(undone)):
        documents, findings = read_bytes(tmp_path, data)
        assert documents == [Document(HTML, True, "page")] * 3 and not findings.passed_over()


def test_pages_compressed_with_brotli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brotli = pytest.importorskip("brotli")
    data = response(brotli.compress(HTML.encode()), Content_Encoding="br")
    assert texts(tmp_path, data) == [HTML]
    monkeypatch.setitem(__import__("sys").modules, "brotli", None)
    _, findings = read_bytes(tmp_path, data)
    assert "pip install brotli" in findings.passed_over()[0]


def test_a_page_that_is_damaged_costs_no_other(tmp_path: Path) -> None:
    packed = gzip.compress(HTML.encode() * 9)
    good = response(HTML.encode())
    bad = response(packed[:20] + b"\xff" * 30, Content_Encoding="gzip") + response(b"\xff\0\1", Content_Encoding="sdch")
    documents, findings = read_bytes(tmp_path, good + bad + good)
    assert [d.text for d in documents] == [HTML] * 2
    assert findings.rows[crawls._DAMAGED] == 1 and findings.rows["pages compressed with sdch, which is not read"] == 1


def test_records_that_are_no_pages_are_counted(tmp_path: Path) -> None:
    data = record("warcinfo", b"software: x\r\n", Content_Type="application/warc-fields")
    data += record("request", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Content_Type="application/http; msgtype=request")
    data += response(HTML.encode()) + response(b"", "301 Moved") + response(b"GIF89a\0", Content_Type="image/gif")
    data += record("revisit", b"HTTP/1.1 200 OK\r\n\r\n", Content_Type="application/http; msgtype=response")
    data += record("resource", HTML.encode(), Content_Type="text/html") + record(
        "resource", b"\0", Content_Type="image/png"
    )
    data += record("conversion", b"Text of a page.", Content_Type="text/plain")
    documents, findings = read_bytes(tmp_path, data)
    assert [(d.text, d.kind) for d in documents] == [(HTML, "page"), (HTML, "page"), ("Text of a page.", "text")]
    assert findings.rows == {crawls._OTHER: 3, crawls._AGAIN: 1}


def test_facts_about_pages_are_no_text(tmp_path: Path) -> None:
    facts = record("metadata", json.dumps({"Envelope": {"Title": "A page"}}).encode(), Content_Type="application/json")
    _, findings = read_bytes(tmp_path, facts * 3)
    assert findings.passed_over()[0].startswith(f"1 file skipped: {crawls._FACTS} (")


def test_a_crawl_that_ends_too_early(tmp_path: Path) -> None:
    whole = response(HTML.encode()) * 3
    documents, findings = read_bytes(tmp_path, whole[:-40])
    assert [d.text for d in documents][:2] == [HTML] * 2 and HTML.startswith(documents[2].text)
    assert findings.passed_over() == ("1 file read in part: the crawl ends too early (crawl.warc)",)
    packed = gzip.compress(response(HTML.encode())) * 3
    documents, findings = read_bytes(tmp_path, packed[:-60])
    assert [d.text for d in documents][:2] == [HTML] * 2 and findings.stopped
    find([str(tmp_path / "crawl.warc")])
    cut = gzip.compress(HTML.encode() * 99)
    for headers, kept in (({}, 0), ({"WARC_Truncated": "length"}, 1)):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n"
        data = record("response", head + cut[: len(cut) * 2 // 3], Content_Type="application/http", **headers)
        assert len(texts(tmp_path, data)) == kept


def test_records_that_lie_about_their_length_are_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good = response(HTML.encode())
    lying = good.replace(b"Content-Length: ", b"Content-Length: 1", 1)
    for data in (good + lying, lying + good, good[:-9] + good, good.replace(b"WARC-Type", b"WARC/Type") + good):
        _, findings = read_bytes(tmp_path, data)
        assert findings.told
    assert capfd.readouterr().err == ""


def test_arc_files(tmp_path: Path) -> None:
    def one(address: str, kind: str, body: bytes) -> bytes:
        return f"{address} 127.0.0.1 20050101000000 {kind} {len(body)}\n".encode() + body + b"\n"

    about = b"1 0 Internet Archive\nURL IP-address Archive-date Content-type Archive-length\n"
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + HTML.encode()
    parts = [one("filedesc://a.arc", "text/plain", about), one("http://a/", "text/html", page)]
    parts.append(one("http://a/x", "image/gif", b"HTTP/1.1 200 OK\r\nContent-Type: image/gif\r\n\r\nGIF89a"))
    for data in (b"".join(parts), b"".join(map(gzip.compress, parts))):
        documents, findings = read_bytes(tmp_path, data, "a.arc")
        assert documents == [Document(HTML, True, "page")] and findings.rows == {crawls._OTHER: 1}


def test_a_web_archive_in_a_zip(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.warc.gz", gzip.compress(response(HTML.encode())))
        archive.writestr("datapackage.json", json.dumps({"profile": "data-package", "resources": []}))
        archive.writestr("pages/pages.jsonl", json.dumps({"title": "A", "text": "A page with some words"}) + "\n")
        archive.writestr("indexes/index.cdx", "a)/ 20200101 {}\n")
    documents, findings = read_bytes(tmp_path, buffer.getvalue(), "a.wacz")
    assert [d.text for d in documents] == [HTML] and findings.left_out.total() == 3


def entry(text: str, kind: str, **more: object) -> dict[str, object]:
    return {
        "request": {"url": "http://a"},
        "response": {"status": 200, "content": {"mimeType": kind, "text": text, **more}},
    }


def test_what_a_browser_has_recorded(tmp_path: Path) -> None:
    entries = [
        entry(HTML, "text/html; charset=utf-8"),
        entry(base64.b64encode(HTML.encode("cp1252")).decode(), "text/html; charset=iso-8859-1", encoding="base64"),
        entry("GIF89a", "image/gif"),
        entry("var a;", "application/javascript"),
        {"request": {}},
        entry("Plain words.", "text/plain"),
    ]
    har = json.dumps({"log": {"version": "1.2", "creator": {"name": "x"}, "pages": [], "entries": entries}}, indent=1)
    documents, findings = read_bytes(tmp_path, har.encode(), "a.har")
    assert [(d.text, d.kind) for d in documents] == [(HTML, "page"), (HTML, "page"), ("Plain words.", "text")]
    assert findings.rows.total() == 3
    documents, findings = read_bytes(tmp_path, har[: har.index("Plain")].encode(), "a.har")
    assert len(documents) == 2 and findings.stopped.total() == 1


def test_json_with_a_log_may_be_text(tmp_path: Path) -> None:
    rows = json.dumps({"log": {"version": "1", "lines": [{"text": "Words of a log that somebody wrote."}]}}, indent=1)
    assert "Words of a log" in texts(tmp_path, rows.encode())[0]


def test_a_damaged_crawl_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_bytes(b"WARC/1.0\r\nnothing\r\n")
    reading = Reading([tmp_path / "a.warc"])
    assert not list(reading) and reading.findings.told


def test_a_length_that_no_number_of_the_machine_holds_is_damage(tmp_path: Path) -> None:
    page = response(HTML.encode())
    odd = page.replace(page.split(b"Content-Length: ")[1].split(b"\r")[0], b"9" * 30, 1)
    found, findings = read_bytes(tmp_path, page + odd)
    assert [document.text for document in found][:1] == [HTML] and findings.told
