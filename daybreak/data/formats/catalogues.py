"""Catalogues: translations of messages (gettext's .po), calendars and contacts: what of them people have written."""

import re
from collections.abc import Iterable, Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.pieces import lines
from daybreak.data.formats.texts import plain_documents

_STRING = re.compile(r'\s*(?:(msgctxt|msgid|msgid_plural|msgstr(?:\[\d+\])?)\s+)?"((?:[^"\\]|\\.)*)"\s*$')
_ESCAPE = re.compile(r'\\([nt"\\r])')
_ESCAPED = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "r": ""}
_UNTRANSLATED = "messages without a translation"
_WRITTEN = ("SUMMARY", "DESCRIPTION", "COMMENT")  # of entries of a calendar


def pairs(rows: Iterable[str], findings: Findings) -> Iterator[str]:
    """A message and its translation, a line each. Source: https://www.gnu.org/software/gettext/manual"""
    entry: dict[str, str] = {}
    key = ""
    for row in rows:
        found = _STRING.match(row)
        if found is None:
            if not row.startswith("#"):
                key = ""
            if not row.strip() and entry:
                yield from _told(entry, findings)
                entry = {}
            continue
        starts = found[1]
        if starts and (starts == "msgctxt" or (starts == "msgid" and "msgid" in entry)) and entry:
            yield from _told(entry, findings)
            entry = {}
        key = starts or key
        if key:
            entry[key] = entry.get(key, "") + found[2]
    yield from _told(entry, findings)


def _told(entry: dict[str, str], findings: Findings) -> Iterator[str]:
    message = _unescaped(entry.get("msgid", ""))
    translations = [_unescaped(text) for name, text in entry.items() if name.startswith("msgstr")]
    if not message.strip():
        return  # the catalogue's own header
    findings.rows_seen += 1
    translated = [text for text in dict.fromkeys(translations) if text.strip()]
    if not translated:
        findings.leave_part(_UNTRANSLATED, len(message.encode()))
        return
    yield "\n".join([message.strip("\n"), *(text.strip("\n") for text in translated)]) + "\n\n"


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPED[found[1]], text) if "\\" in text else text


def written(rows: Iterable[str]) -> Iterator[str]:
    """What entries of a calendar are called and say (RFC 5545)."""
    held = ""
    for row in (*rows, ""):
        if row[:1] in (" ", "\t") and row.strip():
            held += row[1:]
            continue
        name, _, value = held.partition(":")
        if name.partition(";")[0].upper() in _WRITTEN and value.strip():
            yield re.sub(r"\\([,;\\])", r"\1", re.sub(r"\\[nN]", "\n", value)).strip() + "\n"
        if name == "END" and value.strip() in ("VEVENT", "VTODO", "VJOURNAL"):
            yield "\n"
        held = row


def _rows(text: Text) -> Iterator[str]:
    for line in lines(text.blocks, limits.ROW_BYTES):
        yield decoded(line, text.name, text.findings).rstrip("\r\n")


def _recognize_catalogue(sample: Sample) -> str | None:
    if b"msgid" not in sample.data or b"msgstr" not in sample.data:
        return None
    rows = [row for row in sample.lines.splitlines()[:400] if row.strip() and not row.startswith("#")]
    told = sum(_STRING.match(row) is not None for row in rows)
    return "" if rows and told >= 0.9 * len(rows) and rows[0].startswith(("msgid", "msgctxt")) else None


def _read_catalogue(text: Text) -> Iterator[Document]:
    text.findings.say(text.name, "a catalogue of translations; messages and their translations are read")
    told = (one.encode("utf-8", "replace") for one in pairs(_rows(text), text.findings))
    return plain_documents(told, "text", text.name, text.findings)


def _recognize_card(sample: Sample) -> str | None:
    """BEGIN:VCARD, BEGIN:VCALENDAR."""
    start = sample.data.lstrip()[:20].upper()
    return next((kind for kind in ("VCARD", "VCALENDAR") if start.startswith(f"BEGIN:{kind}".encode())), None)


def _read_card(text: Text) -> Iterator[Document]:
    if text.detail == "VCARD":
        raise Unsuitable("contacts, and no text")
    text.findings.say(text.name, "a calendar; what its entries are called and say is read")
    told = (one.encode("utf-8", "replace") for one in written(_rows(text)))
    yield from plain_documents(told, "text", text.name, text.findings)


CATALOGUE = TextFormat(name="catalogue", recognize=_recognize_catalogue, documents=_read_catalogue)
CARD = TextFormat(name="card", recognize=_recognize_card, documents=_read_card)
