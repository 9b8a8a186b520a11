"""Subtitles: the words of cues, each once, without times, numbers, tags and positions."""

from __future__ import annotations

from pathlib import Path

import pytest

from daybreak.data.formats import reader
from daybreak.data.formats.format import Sample
from daybreak.data.sources import Reading


def read(folder: Path, text: str, name: str = "film.txt") -> tuple[str, tuple[str, ...]]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    reading = Reading([path], named=[path])
    return "".join(document.text for document in reading), reading.notes


SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hello</i> there,
{\\an8}my friend.

2
00:00:03,000 --> 00:00:04,000 X1:40 X2:600 Y1:20 Y2:50
[door closes]
- 42

3
00:00:05,000 --> 00:00:06,000
42 &amp; more
"""
WORDS = "Hello there,\nmy friend.\n[door closes]\n- 42\n42 & more\n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_subrip(tmp_path: Path, end: str) -> None:
    text, notes = read(tmp_path, SRT.replace("\n", end))
    assert text == WORDS and "without times and styles" in notes[0]


def test_subrip_without_numbers_without_a_last_line_end_and_with_a_blank_line_in_a_cue(tmp_path: Path) -> None:
    bare = "00:00:01,000 --> 00:00:02,500\nHello\n\n00:00:03,000 --> 00:00:04,000\nOne\n\nTwo"
    assert read(tmp_path, bare)[0] == "Hello\nOne\nTwo\n"


def test_webvtt(tmp_path: Path) -> None:
    text = (
        "WEBVTT - A title\nKind: captions\nLanguage: en\n\nSTYLE\n::cue { color: red }\n\nNOTE\na note\n\nintro\n"
        "00:01.000 --> 00:02.000 align:start position:0%\n<v.loud Ann Lee>Hello <b>there</b></v>\n\n"
        "2\n00:00:03.000 --> 00:00:04.000\n- a &lt; b\n- yes&nbsp;no\n"
    )
    assert read(tmp_path, text)[0] == "Ann Lee: Hello there\n- a < b\n- yes\xa0no\n"


def test_captions_that_roll_come_once(tmp_path: Path) -> None:
    text = (
        "WEBVTT\nKind: captions\nLanguage: en\n\n"
        "00:00:00.160 --> 00:00:02.310 align:start position:0%\n \n"
        "so<00:00:00.400><c> this</c><00:00:00.600><c> is</c>\n\n"
        "00:00:02.310 --> 00:00:02.320 align:start position:0%\nso this is\n \n\n"
        "00:00:02.320 --> 00:00:04.150 align:start position:0%\nso this is\nthe<00:00:02.500><c> second</c>\n\n"
        "00:00:04.150 --> 00:00:04.160 align:start position:0%\nthe second\n \n"
    )
    words, notes = read(tmp_path, text)
    assert words == "so this is\nthe second\n"
    assert any("3 parts left out: captions that come once more" in note for note in notes)


def test_lines_that_are_said_twice_stay(tmp_path: Path) -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nYeah\n\n2\n00:00:02,000 --> 00:00:03,000\nYeah\n\n"
    assert read(tmp_path, text)[0] == "Yeah\nYeah\n"


def test_sbv_styled_subtitles_and_frames(tmp_path: Path) -> None:
    sbv = "0:00:00.599,0:00:04.160\nHello there,\nmy friend.\n\n0:00:04.160,0:00:06.770\n[door closes]\n"
    assert read(tmp_path, sbv)[0] == "Hello there,\nmy friend.\n[door closes]\n"
    styled = (
        "[Script Info]\nTitle: Words of a title\n\n[V4+ Styles]\nStyle: Default,Arial,20\n\n[Events]\n"
        "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        "Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,no words\n"
        "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\i1}Hello{\\i0} there,\\Nmy friend.\n"
        "Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0{\\p0}\n"
    )
    words, notes = read(tmp_path, styled)
    assert words == "Hello there,\nmy friend.\n" and any("drawings" in note for note in notes)
    assert read(tmp_path, "{1}{25}{y:i}Hello|there\n{30}{60}/Bye\n")[0] == "Hello\nthere\nBye\n"


def test_lyrics(tmp_path: Path) -> None:
    text = "[ti:A title]\n[ar:Somebody]\n[00:12.00]Line <00:12.50>one\n[00:15.30][01:20.00]Line two\n[00:18.00]\n"
    assert read(tmp_path, text, "song.lrc")[0] == "Line one\nLine two\n\n"


@pytest.mark.parametrize(
    "text",
    [
        "1\nChapter one\n\nIt was 00:00:01,000 --> no time.\n",
        "[1] A reference.\n[2] Another.\n",
        "[10:00] <ann> hi\n[10:01] <bob> yes\n",
        "{1} one\n{2} two\n",
        "The file says:\n1\n00:00:01,000 --> 00:00:02,000\nHello\n",
        "12:30, we went.\n13:00, we came.\n",
    ],
)
def test_texts_with_times_are_no_subtitles(text: str) -> None:
    assert reader.recognized(Sample(text.encode(), "f.txt", True))[0].name != "subtitles"
