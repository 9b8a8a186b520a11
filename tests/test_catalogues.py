"""Catalogues: messages with their translations, calendars' entries; contacts are no text."""

from __future__ import annotations

from pathlib import Path

import pytest

from daybreak.data.formats import reader
from daybreak.data.formats.format import Sample
from daybreak.data.sources import Reading

PO = """# Translators:
msgid ""
msgstr ""
"Project-Id-Version: x\\n"
"Content-Type: text/plain; charset=UTF-8\\n"

#: a.c:1
#, fuzzy
msgid "Open \\"it\\""
msgstr "Öffne „es“"

msgctxt "menu"
msgid ""
"A long "
"message\\n"
msgstr ""
"Eine lange "
"Meldung\\n"
msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d Datei"
msgstr[1] "%d Dateien"

msgid "Untranslated"
msgstr ""

#~ msgid "Old"
#~ msgstr "Alt"
"""


def test_messages_and_translations_are_read_without_syntax(tmp_path: Path) -> None:
    (tmp_path / "de.po").write_text(PO, encoding="utf-8")
    reading = Reading([tmp_path / "de.po"])
    assert "".join(d.text for d in reading) == (
        'Open "it"\nÖffne „es“\n\nA long message\nEine lange Meldung\n\n%d file\n%d Datei\n%d Dateien\n\n'
    )
    assert any("1 part left out: messages without a translation" in note for note in reading.notes)


def test_a_calendar_and_contacts(tmp_path: Path) -> None:
    calendar = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:20210101T100000Z\r\n"
        "SUMMARY:Lunch\\, at noon\r\n"
        "DESCRIPTION;LANGUAGE=en:With Bob\r\n  and Ann.\\nBring food.\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    (tmp_path / "a.ics").write_bytes(calendar.encode())
    (tmp_path / "a.vcf").write_text("BEGIN:VCARD\nFN:Ann Lee\nTEL:555\nEND:VCARD\n")
    reading = Reading([tmp_path / "a.ics", tmp_path / "a.vcf"])
    assert "".join(d.text for d in reading) == "Lunch, at noon\nWith Bob and Ann.\nBring food.\n\n"
    assert any("1 file skipped: contacts, and no text (a.vcf" in note for note in reading.notes)


@pytest.mark.parametrize(
    "text", ['The msgid "x" and the msgstr "y" are keys.\n', "BEGIN: VCARD is a line\n", "msgid\nmsgstr\n"]
)
def test_texts_about_them_stay(text: str) -> None:
    assert reader.recognized(Sample(text.encode(), "f.txt", True))[0].name == "text"
