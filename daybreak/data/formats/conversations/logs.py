"""Logs of chats in plain text: what messengers, IRC and meetings write out, a line or a few lines a message."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.code import CODE_ENDINGS
from daybreak.data.formats.conversations.log_kinds import LOGS, Log
from daybreak.data.formats.conversations.transcript import NO_WORDS, SYSTEM, transcript
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.pieces import lines
from daybreak.data.formats.rows.messages import spoken

_LOOKED_AT = 300  # lines
_PREFACE = 14  # most lines in front of the first message
_NO_LOGS = CODE_ENDINGS | {"csv", "jsonl", "json", "html", "htm", "xml"}
# Whose lines look like those of a chat: levels of a program's log.
_LEVELS = re.compile(r"(?:[\w.]*\.)?(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL|ALERT)\b", re.I)
_MARKS = str.maketrans("\u202f\u00a0", "  ", "\ufeff\u200e\u200f\u202a\u202b\u202c\u2068\u2069\r")
_PREFACES = "lines in front of the messages of a chat"


def _recognize(sample: Sample) -> str | None:
    """The name of the log's kind."""
    if sample.ending in _NO_LOGS:
        return None
    shown = [line.translate(_MARKS) for line in sample.lines.splitlines()[:_LOOKED_AT]]
    filled = [line for line in shown if line.strip()]
    return next((log.name for log in LOGS if _is(log, filled)), None)


def _is(log: Log, filled: list[str]) -> bool:
    """Its messages begin near the top, are no rare lines, have speakers, and text."""
    if log.title and not any(log.title.search(line) for line in filled[:3]):
        return False
    if not any(log.header.match(line) for line in filled[:_PREFACE]):
        return False
    heads = [log.header.match(line) for line in filled]
    names = [found["name"].strip() for found in heads if found and found["name"] is not None]
    if any(_LEVELS.fullmatch(name) for name in names):
        return False
    if log.title:
        return bool(names)
    if len(names) == 1 and heads[0] is None:
        return False
    if len(names) < log.least_messages or len(names) < log.least_share * len(filled):
        return False
    if len(set(names)) > 0.8 * len(names) + 2 or (log.least_speakers > len(set(names))):
        return False
    if log.text_below:  # a line that only begins like a head has no text under it
        below = sum(found is not None and after is None for found, after in pairwise(heads))
        return below >= 0.6 * len(names)
    return True


def _documents(text: Text) -> Iterator[Document]:
    log = next(log for log in LOGS if log.name == text.detail)
    text.findings.say(text.name, f"a chat of {log.name}; it is one document, without times")
    messages = _spoken(log, text)
    while (first := next(messages, None)) is not None:
        yield from transcript(_until_border(first, messages), text.name, text.findings)


_BORDER = "\0"  # in the place of a message, where the next conversation begins


def _until_border(first: str, messages: Iterator[str]) -> Iterator[str]:
    for line in chain([first], messages):
        if line == _BORDER:
            return
        yield line


def _spoken(log: Log, text: Text) -> Iterator[str]:
    findings, begun = text.findings, False
    for name, held, marked in _messages(log, text):
        said = "\n".join(held).strip()
        if log.edited:
            said = log.edited.sub("", said).rstrip()
        if log.quoted and "\n" in said and said[0] == said[-1] == '"':
            said = said[1:-1]
        size = sum(len(line.encode()) + 1 for line in held)
        if name is None:
            if said == _BORDER:
                if begun:
                    yield _BORDER
            elif said:
                findings.skip_row(SYSTEM if begun else _PREFACES, size)
            continue
        begun = True
        if not said or marked or (log.wordless and log.wordless.fullmatch(said)):
            findings.skip_row(NO_WORDS, size)
            continue
        yield spoken(log.plain_name(name), said)


def _messages(log: Log, text: Text) -> Iterator[tuple[str | None, list[str], bool]]:
    """Speaker (None: the system), lines, and whether a mark in front of its text says that it is no text."""
    name: str | None = None
    held: list[str] = []
    size, marked, passing, named = 0, False, False, True
    for raw in _lines(text):
        line = raw if raw.isascii() else raw.translate(_MARKS)
        if not named:  # the line below the time is the speaker
            name, named = line.strip(), True
            continue
        found = log.header.match(line)
        if found is None and log.border and log.border.match(line):
            yield name, held, marked
            yield None, [_BORDER], False
            name, held, size, marked = None, [], 0, False
            continue
        if found is None and log.system and log.system.match(line):
            yield name, held, marked
            yield None, [line], False
            name, held, size, marked = None, [], 0, False
            continue
        if found is None:
            passing = bool(line.strip()) and (passing or bool(log.aside and log.aside.match(line)))
            if passing:
                text.findings.leave_part(_ASIDE, len(line))
                continue
            held.append(line.removeprefix("\t") if log.indented else line)
            size += len(line)
            if size > limits.ROW_BYTES:
                yield name, held, marked
                held, size = [], 0
            continue
        if held or name is not None:
            yield name, held, marked
        passing = False
        groups = found.groupdict()
        name, named = groups["name"], not log.name_below
        said = groups.get("text") or groups.get("system") or ""
        held, size, marked = [said] if said else [], len(said), _is_marked(raw, said)
    yield name, held, marked


_ASIDE = "attachments and reactions in a chat"


def _is_marked(raw: str, said: str) -> bool:
    """WhatsApp puts a left-to-right mark in front of what it says itself in the place of a text."""
    at = raw.find(said) if said else -1
    return at > 0 and raw[at - 1] == "\u200e" and not raw.startswith("\u200e" + said)


def _lines(text: Text) -> Iterable[str]:
    for line in lines(text.blocks, limits.ROW_BYTES):
        yield decoded(line, text.name, text.findings).rstrip("\r\n")


CHAT_LOG = TextFormat(name="chat log", recognize=_recognize, documents=_documents)
