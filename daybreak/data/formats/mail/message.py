"""Message: one mail as a document: its subject and its text, decoded (RFC 5322, RFC 2045 to 2047)."""

import email
import email.header
import re
from collections.abc import Iterator
from email.message import Message

from daybreak.data.cleaning import Document
from daybreak.data.formats import charsets, encodings
from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.formats.mail.html_text import html_text
from daybreak.data.formats.mail.own_words import own_words
from daybreak.data.formats.texts import text_documents

_ATTACHED = "attachments of messages"
NO_WORDS = "messages without words of their own"
_PASSED_ON = re.compile(r"\s*(?:Fwd?|WG|TR|RV|Enc|I|VS|转发|轉寄|轉發|回复转发)\s?[:：]", re.I)
_INTERNAL = ("DON'T DELETE THIS MESSAGE", "DO NOT DELETE THIS MESSAGE")
_FROM_LINE = re.compile(rb"(?m)^>(>*From )")


def message_documents(data: bytes, name: str, findings: Findings) -> Iterator[Document]:
    """The message's document; a page that a browser has saved as mail (MHTML) is that page."""
    findings.bytes += len(data)
    message = email.message_from_bytes(data)
    if "Snapshot-Content-Location" in message or str(message.get("From", "")).startswith("<Saved by"):
        page = next((part for part in message.walk() if part.get_content_type() == "text/html"), None)
        if page is not None:
            findings.rows_seen += 1
            yield Document(_decoded(page, name, findings), True, "page")
            return
    subject = header(message.get("Subject"))
    if subject.startswith(_INTERNAL):
        findings.skip_row("a mailbox's message to programs", len(data))
        return
    forwards = _PASSED_ON.match(subject) is not None
    text = own_words("\n\n".join(_texts(message, name, findings)), findings, forwards=forwards)
    if not text:
        findings.skip_row(NO_WORDS, len(data))
        return
    findings.rows_seen += 1
    yield from text_documents(f"{subject}\n\n{text}" if subject else text, "text", name, findings)


def unescaped(data: bytes) -> bytes:
    """Lines that a mailbox has marked because they begin like the first line of a message."""
    return _FROM_LINE.sub(rb"\1", data) if b"\n>From " in data or b"\n>>From " in data else data


def header(value: object) -> str:
    """A header's text in one line, its encoded words decoded."""
    if value is None:
        return ""
    shown = []
    try:
        parts = email.header.decode_header(value if isinstance(value, email.header.Header) else str(value))
    except (ValueError, email.errors.HeaderParseError):
        return " ".join(str(value).split())
    for part, label in parts:
        if isinstance(part, str):
            shown.append(part)
            continue
        shown.append(_text_of(part, "" if label == "unknown-8bit" else label or "", "", Findings()))
    return " ".join("".join(shown).split())


def _texts(message: Message, name: str, findings: Findings) -> Iterator[str]:
    """Of the parts that are shown; of alternatives the plain one."""
    kind = message.get_content_type()
    attached = message.get_content_disposition() == "attachment"
    if kind == "message/rfc822" or (kind.startswith("message/") and message.is_multipart()):
        for inner in message.get_payload():  # type: ignore[union-attr]
            if isinstance(inner, Message) and kind == "message/rfc822":
                subject = header(inner.get("Subject"))
                yield "\n\n".join(filter(None, [subject, *_texts(inner, name, findings)]))
    elif message.is_multipart():
        parts = [part for part in message.get_payload() if isinstance(part, Message)]  # type: ignore[union-attr]
        if kind == "multipart/alternative":
            parts = _chosen(parts, findings)
        elif kind == "multipart/signed":
            parts = parts[:1]
        for part in parts:
            yield from _texts(part, name, findings)
    elif attached or message.get_filename() or not kind.startswith("text/") or kind == "text/calendar":
        payload = message.get_payload()
        findings.leave_part(_ATTACHED, len(payload) if isinstance(payload, str) else 0)
    else:
        text = _decoded(message, name, findings)
        text = html_text(text, findings) if kind == "text/html" or _is_page(text) else _unfolded(text, message)
        if text.strip():
            yield text


def _chosen(parts: list[Message], findings: Findings) -> list[Message]:
    """Plain text, where it says something; else the last part that holds text."""
    plain = [part for part in parts if part.get_content_type() == "text/plain" and str(part.get_payload()).strip()]
    if not plain:
        held = [
            part for part in parts if part.get_content_type() in ("text/html", "text/enriched") or part.is_multipart()
        ]
        return held[-1:]
    return plain[:1]


def _is_page(text: str) -> bool:
    return text[:200].lstrip().lower().startswith(("<!doctype html", "<html"))


def _decoded(part: Message, name: str, findings: Findings) -> str:
    """The text of a part by its label, or as it looks where the label is wrong, unknown or missing."""
    try:
        payload = part.get_payload(decode=True)
    except (ValueError, AssertionError):
        payload = str(part.get_payload()).encode("utf-8", "surrogateescape")
    data = payload if isinstance(payload, bytes) else b""
    label = str(part.get_content_charset() or "")
    return _text_of(data, label, name, findings).replace("\r\n", "\n")


def _text_of(data: bytes, label: str, name: str, findings: Findings) -> str:
    """As the label says, where that fits; else as the text looks. A line of its own for each message says too much."""
    codec = "utf-7" if label.lower() == "utf-7" else charsets.of_label(label) if label else None
    if codec and not (codec in _WESTERN and _is_utf8(data)):
        try:
            return data.decode(codec)
        except (UnicodeDecodeError, LookupError):
            pass
    aside = Findings(replaced=findings.replaced)
    try:
        return encodings.text_of(data, label or None, name, aside)
    except Unsuitable:
        return data.decode(_WESTERN[0], "replace")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return not data.isascii()


_WESTERN = tuple(dict.fromkeys((charsets.of_label("windows-1252") or "cp1252", "cp1252")))


def _unfolded(text: str, part: Message) -> str:
    """Lines that a sender has broken only to send them are whole again (RFC 3676)."""
    if str(part.get_param("format", "")).lower() != "flowed":
        return text
    between = "" if str(part.get_param("delsp", "")).lower() == "yes" else " "
    lines: list[str] = []
    flows = False
    for line in text.split("\n"):
        stuffed = line[1:] if line.startswith(" ") else line
        soft = stuffed.endswith(" ") and stuffed != "-- "
        body = stuffed[:-1] if soft else stuffed
        if flows and not stuffed.startswith(">") and stuffed != "-- ":
            lines[-1] += between + body
        else:
            lines.append(body if not stuffed.startswith(">") else stuffed)
        flows = soft and not stuffed.startswith(">")
    return "\n".join(lines)
