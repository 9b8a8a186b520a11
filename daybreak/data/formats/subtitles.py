"""Subtitles and lyrics: the words of SubRip, WebVTT, SBV, SSA, MicroDVD and LRC files, without times and styles."""

import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.findings import Findings
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.pieces import lines
from daybreak.data.formats.texts import plain_documents

_CLOCK = r"(?:\d{1,3}:)?\d{1,2}:\d{1,2}[.,]\d{1,3}"
_SPAN = re.compile(rf"\s*({_CLOCK})\s*-->\s*({_CLOCK})(?:\s.*)?$|({_CLOCK}),({_CLOCK})\s*$")
_LAST = "0:00.0 --> 0:00.0"  # stands behind the last cue
_BLOCK = re.compile(r"(?:WEBVTT|NOTE|STYLE|REGION)(?:\s|$)")
_VOICE = re.compile(r"<v(?:\.[\w.-]+)?\s+([^<>]{1,80})>")
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]{0,200}>|<\d[\d:.]+>|\{\\[^{}]*\}|\{[a-zA-Z]:[^{}]*\}")
_DRAWN = re.compile(r"\{[^{}]*\\p[1-9][^{}]*\}")
_MICRO = re.compile(r"\{\d+\}\{\d*\}(.*)")
_LYRIC = re.compile(r"\s*(?:\[\d{1,3}:\d{2}(?:[.:]\d{1,3})?\]\s*)+")
_EXACT_LYRIC = re.compile(r"\s*\[\d{1,3}:\d{2}[.:]\d{1,3}\](?!\s*(?:<\S|\*|-!-))")  # no line of a chat
_ABOUT_LYRICS = re.compile(r"\s*\[(?:ti|ar|al|au|by|offset|length|re|ve|la|tool|id):.*\]\s*$", re.I)
_WORD_TIME = re.compile(r"<\d{1,3}:\d{2}[.:]\d{1,3}>\s?")
_INSTANT = 0.2  # seconds; a cue as short as this only holds what rolls up from one cue to the next
_ROLLS_WITHIN = 0.06  # seconds between cues of which one takes over lines of the other
_ROLLED = "captions that come once more while they roll up the screen"


@dataclass(frozen=True)
class _Cue:
    start: float
    end: float
    lines: tuple[str, ...]


def _seconds(clock: str) -> float:
    parts = clock.replace(",", ".").split(":")
    return sum(float(part) * 60**place for place, part in enumerate(reversed(parts)))


def timed_text(rows: Iterable[str], findings: Findings) -> Iterator[str]:
    """The text of cues of SubRip, WebVTT (https://www.w3.org/TR/webvtt1) and SBV; lines that roll up come once."""
    before = _Cue(0.0, 0.0, ())
    for cue in _cues(rows):
        kept = cue.lines
        if abs(cue.start - before.end) <= _ROLLS_WITHIN:
            again = _taken_over(before.lines, kept)
            if again and (again < len(kept) or cue.end - cue.start <= _INSTANT):
                findings.leave_part(_ROLLED, sum(len(line.encode()) for line in kept[:again]))
                kept = kept[again:]
        yield from kept
        before = cue if cue.lines else before


def _taken_over(before: tuple[str, ...], lines: tuple[str, ...]) -> int:
    """How many of the first lines are the last ones of the cue before."""
    most = min(len(before), len(lines))
    return next((count for count in range(most, 0, -1) if before[-count:] == lines[:count]), 0)


def _cues(rows: Iterable[str]) -> Iterator[_Cue]:
    span: tuple[float, float] | None = None
    held: list[str] = []
    passing = False
    named = False  # cues have names: WebVTT
    for row in chain(rows, [_LAST]):
        named = named or row.startswith("WEBVTT")
        found = _SPAN.match(row) if "-->" in row or "," in row else None
        if found is None:
            stripped = row.strip()
            if passing or (_BLOCK.match(row) and (not held or not held[-1])):
                passing = bool(stripped)
            else:
                held.append(stripped)
            continue
        if held and row is not _LAST and (held[-1].isdigit() or (named and len(held) > 1 and not held[-2])):
            held.pop()  # the number or the name of the cue that begins here
        if span is not None:
            yield _Cue(*span, tuple(text for line in held if (text := _plain(line))))
        one, other = (found[1], found[2]) if found[1] else (found[3], found[4])
        span, held, passing = (_seconds(one), _seconds(other)), [], False


def _plain(line: str) -> str:
    """Without tags and positions; who speaks stays, as do the marks of sounds."""
    if "<" in line or "{" in line:
        line = _TAG.sub("", _VOICE.sub(r"\1: ", line))
    return (html.unescape(line) if "&" in line else line).replace("\u200e", "").strip()


def _styled_text(rows: Iterable[str], findings: Findings) -> Iterator[str]:
    """What is said in Sub Station Alpha's events; drawings and comments are left out."""
    place = 9
    for row in rows:
        kind, _, rest = row.partition(":")
        if kind.strip() == "Format":
            names = [name.strip() for name in rest.split(",")]
            place = names.index("Text") if "Text" in names else place
        elif kind.strip() == "Dialogue":
            text = rest.split(",", place)[-1]
            if _DRAWN.search(text):
                findings.leave_part("drawings in subtitles", len(text))
                continue
            text = re.sub(r"\\[Nn]", "\n", text).replace("\\h", " ")
            yield from (plain for line in text.split("\n") if (plain := _plain(line)))


def _micro_text(rows: Iterable[str], _: Findings) -> Iterator[str]:
    for row in rows:
        found = _MICRO.match(row)
        text = found[1] if found else row
        yield from (plain for line in text.split("|") if (plain := _plain(line.lstrip("/"))))


def _lyrics(rows: Iterable[str], _: Findings) -> Iterator[str]:
    for row in rows:
        if not _ABOUT_LYRICS.match(row):
            yield _WORD_TIME.sub("", _LYRIC.sub("", row)).strip()


_READERS: dict[str, Callable[[Iterable[str], Findings], Iterator[str]]] = {
    "subtitles": timed_text,
    "styled subtitles": _styled_text,
    "subtitles by frames": _micro_text,
    "lyrics": _lyrics,
}


def _recognize(sample: Sample) -> str | None:
    start = sample.data[:400].lstrip()
    if re.match(rb"WEBVTT(?:[ \t\r\n]|$)", start):
        return "subtitles"
    if start[:13].lower() == b"[script info]":
        return "styled subtitles"
    if not start[:1].isdigit() and start[:1] not in (b"[", b"{"):
        return None
    rows = [row for row in sample.lines.splitlines()[:200] if row.strip()]
    if any(_SPAN.match(row) for row in rows[:1]) or (rows[0].strip().isdigit() and _SPAN.match([*rows, ""][1])):
        return "subtitles"
    if start[:1] == b"{" and sum(_MICRO.match(row) is not None for row in rows) >= 0.8 * len(rows):
        return "subtitles by frames"
    timed = sum(_LYRIC.match(row) is not None or _ABOUT_LYRICS.match(row) is not None for row in rows)
    exact = sum(_EXACT_LYRIC.match(row) is not None for row in rows)
    named = sample.ending == "lrc"
    return "lyrics" if timed >= 0.6 * len(rows) and (exact >= 2 or (named and timed)) else None


def _documents(text: Text) -> Iterator[Document]:
    text.findings.say(text.name, f"{text.detail}; the words are read, without times and styles")
    rows = (
        decoded(line, text.name, text.findings).rstrip("\r\n") for line in lines(text.blocks, limits.ROW_BYTES) if line
    )
    said = _READERS[text.detail](rows, text.findings)
    return plain_documents((f"{line}\n".encode() for line in said), "text", text.name, text.findings)


SUBTITLES = TextFormat(name="subtitles", recognize=_recognize, documents=_documents)
