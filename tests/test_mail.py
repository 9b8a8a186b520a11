"""Mail: a message is a document of its subject and its own text, decoded, without headers, quotes and signatures."""

from __future__ import annotations

import base64
import quopri
from email.header import Header
from email.message import EmailMessage
from pathlib import Path

import pytest

from daybreak.data.formats.findings import Findings
from daybreak.data.formats.mail.html_text import html_text
from daybreak.data.formats.mail.mailboxes import MAILBOX, MESSAGE
from daybreak.data.formats.mail.own_words import own_words
from daybreak.data.sources import Document, Reading

HEAD = b"Return-Path: <a@x.org>\nFrom: Ann <a@x.org>\nTo: b@x.org\nSubject: Lunch\n"
HEAD += b"Date: Fri, 1 Jan 2021 10:00:00 +0000\n"


def read(folder: Path, data: bytes, name: str = "m.eml") -> tuple[list[Document], tuple[str, ...]]:
    path = folder / name
    path.write_bytes(data)
    reading = Reading([path], named=[path])
    return list(reading), reading.notes


def text_of(folder: Path, data: bytes) -> str:
    (document,), _ = read(folder, data)
    return document.text


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("name", ["m.eml", "1609495200.M1P2.host:2,S", "m.txt"])
def test_a_message_is_its_subject_and_text(tmp_path: Path, end: bytes, name: str) -> None:
    (document,), notes = read(tmp_path, (HEAD + b"\nHello Bob,\nsee you.\n").replace(b"\n", end), name)
    assert document == Document("Lunch\n\nHello Bob,\nsee you.") and "without headers" in notes[0]


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("iso-8859-1", "cp1252", "It’s a café — really"),
        ("us-ascii", "utf-8", "It’s a café"),
        ("gb2312", "gb18030", "你好，世界"),
        ("iso-2022-jp", "iso2022_jp", "こんにちは世界"),
        ("koi8-r", "koi8_r", "Привет, мир"),
        ("windows-1255", "cp1255", "שלום עולם"),
        ("utf-7", "utf-7", "Zoë says hi"),
        ("x-unknown", "utf-8", "naïve"),
    ],
)
@pytest.mark.parametrize("packed", ["8bit", "base64", "quoted-printable"])
def test_charsets_and_packings(tmp_path: Path, label: str, codec: str, text: str, packed: str) -> None:
    data = text.encode(codec)
    data = {"8bit": data, "base64": base64.encodebytes(data), "quoted-printable": quopri.encodestring(data)}[packed]
    head = f"Content-Type: text/plain; charset={label}\nContent-Transfer-Encoding: {packed}\n\n"
    assert text_of(tmp_path, HEAD + head.encode() + data) == f"Lunch\n\n{text}"


def test_subjects_are_decoded(tmp_path: Path) -> None:
    subject = Header("Привет, мир и всё остальное на свете, и ещё немного", "koi8-r").encode()
    message = f"Received: by x\nSubject: {subject}\n\nHi\n".encode()
    assert text_of(tmp_path, message) == "Привет, мир и всё остальное на свете, и ещё немного\n\nHi"
    message = b"Received: by x\nSubject: =?gb2312?B?xOO6ww==?=\n =?utf-8?q?=E4=B8=96?=\n\nHi\n"
    assert text_of(tmp_path, message) == "你好世\n\nHi"


def test_plain_is_chosen_and_attachments_are_counted(tmp_path: Path) -> None:
    message = EmailMessage()
    message["From"], message["Subject"], message["Message-ID"] = "a@x.org", "Lunch", "<1@x.org>"
    message.set_content("Plain words")
    message.add_alternative("<p>HTML <b>words</b></p>", subtype="html")
    message.add_attachment(b"\x89PNG" * 90, maintype="image", subtype="png", filename="a.png")
    message.add_attachment("Words of a file", filename="a.txt")
    (document,), notes = read(tmp_path, message.as_bytes())
    assert document.text == "Lunch\n\nPlain words"
    assert any("2 parts left out: attachments of messages" in note for note in notes)


def test_html_alone_and_a_message_in_a_message(tmp_path: Path) -> None:
    page = b"Content-Type: text/html; charset=utf-8\n\n"
    page += b"<html><head><style>p {}</style></head><p>Hi &amp; bye<br>now</p><p>X</p>"
    assert text_of(tmp_path, HEAD + page) == "Lunch\n\nHi & bye\nnow\nX"
    inner = EmailMessage()
    inner["Subject"] = "Inner"
    inner.set_content("Inner words")
    message = EmailMessage()
    message["From"], message["Subject"], message["Message-ID"] = "a@x.org", "Outer", "<1@x.org>"
    message.set_content("Outer words")
    message.add_attachment(inner)
    assert text_of(tmp_path, message.as_bytes()) == "Outer\n\nOuter words\n\nInner\n\nInner words"


def test_flowed_lines_are_whole_again(tmp_path: Path) -> None:
    head = HEAD + b"Content-Type: text/plain; format=flowed\n\n"
    text = text_of(tmp_path, head + b"One line \nthat goes on.\nTwo.\n From here\n")
    assert text == "Lunch\n\nOne line that goes on.\nTwo.\nFrom here"


OWN = "Yes, at noon.\n\nAnn"


@pytest.mark.parametrize(
    "quoted",
    [
        "Yes, at noon.\n\nAnn\n\nOn Fri, Jan 1, 2021 at 10:00 AM Bob <b@x.org> wrote:\n> Lunch?\n>\n> Bob\n",
        "Yes, at noon.\n\nAnn\n\nOn Fri, Jan 1, 2021 at 10:00 AM Bob Bobson the Second of that Name\n"
        "<b@x.org> wrote:\n\n> Lunch?\n",
        "Yes, at noon.\n\nAnn\n\n-----Original Message-----\nFrom: Bob\nSent: Friday\nTo: Ann\nSubject: Lunch\n"
        "\nLunch?\n",
        "Yes, at noon.\n\nAnn\n\n________________________________\nFrom: Bob\nSent: Friday\nTo: Ann\n"
        "Subject: Lunch\n\nLunch?\n",
        "Yes, at noon.\n\nAnn\n\nVon: Bob\nGesendet: Freitag\nAn: Ann\nBetreff: Lunch\n\nLunch?\n",
        "Yes, at noon.\n\nAnn\n\n"
        "------------------ 原始邮件 ------------------\n发件人: Bob\n发送时间: 2021\n\nLunch?\n",
        "Yes, at noon.\n\nAnn\n\nAm 01.01.2021 um 10:00 schrieb Bob:\n> Lunch?\n",
        '在 2021-01-01 10:00:00，"Bob" <b@x.org> 写道：\n> Lunch?\n\nYes, at noon.\n\nAnn\n',
        "> Lunch?\nYes, at noon.\n\nAnn\n",
        "Yes, at noon.\n\nAnn\n-- \nAnn Lee\nphone 555\n",
        "Yes, at noon.\n\nAnn\n\nSent from my iPhone\n\nOn 1 Jan 2021, at 10:00, Bob <b@x.org> wrote:\n\n> Lunch?\n",
        "Yes, at noon.\n\nAnn\n_______________________________________________\nlist mailing list\n"
        "https://x.org/listinfo\n",
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nYes, at noon.\n\nAnn\n"
        "-----BEGIN PGP SIGNATURE-----\n\niQ==\n=x\n-----END PGP SIGNATURE-----\n",
    ],
)
def test_what_others_wrote_is_left_out_and_counted(quoted: str) -> None:
    findings = Findings()
    assert own_words(quoted, findings, forwards=False) == OWN
    assert findings.parts.total() >= 1 and sum(findings.lost.values()) >= 5


@pytest.mark.parametrize(
    "text",
    [
        "As the poet wrote:\n\nA rose is a rose.",
        "From: a place\nwe know well.",
        "We met; the list:\n- one\n- two\n--\nand more, much more\n" + "and more\n" * 20 + "end",
        "Dear all,\nTo: be or not to be.\n\nBye",
    ],
)
def test_own_words_stay(text: str) -> None:
    findings = Findings()
    assert own_words(text, findings, forwards=False) == text and not findings.parts


def test_what_is_passed_on_stays_without_its_headers() -> None:
    text = "See below.\n\n---------- Forwarded message ----------\nFrom: Bob\nDate: Friday\nSubject: Lunch\n\nLunch?"
    assert own_words(text, Findings(), forwards=True) == "See below.\n\nLunch?"
    outlook = "See below.\n\nFrom: Bob\nSent: Friday\nTo: Ann\nSubject: Lunch\n\nLunch?"
    assert own_words(outlook, Findings(), forwards=True) == "See below.\n\nLunch?"


def test_quotes_in_html_are_left_out() -> None:
    findings = Findings()
    page = '<div>Yes.</div><div class="gmail_quote"><div>Bob wrote:</div><blockquote>Lunch?</blockquote></div>after'
    assert html_text(page, findings) == "Yes.\nafter" and findings.parts.total() == 1
    assert html_text("", findings) == ""


BOX = (
    b"From a@x.org Fri Jan  1 10:00:00 2021\n" + HEAD + b"\nOne.\n>From here on.\n\nFrom us all, Bob\n\n"
    b"From - Sat Jan  2 10:00:00 2021\n" + HEAD.replace(b"Lunch", b"Re: Lunch") + b"\n> One.\nTwo.\n\n"
    b"From MAILER-DAEMON Sat Jan  2 10:00:00 2021\n" + HEAD + b"\n> One.\n\n"
)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_mailbox(tmp_path: Path, end: bytes) -> None:
    documents, notes = read(tmp_path, BOX.replace(b"\n", end), "inbox")
    assert [d.text for d in documents] == ["Lunch\n\nOne.\nFrom here on.\n\nFrom us all, Bob", "Re: Lunch\n\nTwo."]
    assert any("1 of 3 rows skipped: messages without words" in note for note in notes)
    assert any("2 parts left out: quoted parts" in note for note in notes)


def test_emlx_and_a_page_saved_as_mail(tmp_path: Path) -> None:
    message = HEAD + b"\nHello\n"
    emlx = f"{len(message)}      \n".encode() + message + b'<?xml version="1.0"?><plist><dict/></plist>\n'
    assert text_of(tmp_path, emlx) == "Lunch\n\nHello"
    page = (
        b"From: <Saved by Blink>\nSnapshot-Content-Location: https://x.org/\nSubject: A page\nMIME-Version: 1.0\n"
        b'Content-Type: multipart/related; type="text/html"; boundary="b"\n\n'
        b"--b\nContent-Type: text/html; charset=utf-8\n"
        b"Content-Transfer-Encoding: quoted-printable\n\n<html><p>W=C3=B6rds</p></html>\n--b--\n"
    )
    (document,), _ = read(tmp_path, page, "a.mhtml")
    assert document.kind == "page" and "<p>Wörds</p>" in document.text


@pytest.mark.parametrize(
    "head",
    [
        b"Package: bash\nVersion: 5\nMaintainer: a@x.org\nDescription: shell\n",
        b"From here to there: a tale\nTo: be or not\n",
        b"From the desk of Ann\n\nFrom: nowhere\n",
        b"PEP: 8\nTitle: Style\nAuthor: A <a@x.org>\nStatus: Active\n\nText",
        b"ROMEO: But soft\nJULIET: O Romeo\n",
        b"Metadata-Version: 2.1\nName: x\nVersion: 1\n",
        b"1\n00:00:01,000 --> 00:00:02,000\nHi\n",
    ],
)
def test_texts_with_colons_are_no_mail(head: bytes) -> None:
    assert not MAILBOX.recognize(head) and not MESSAGE.recognize(head)
