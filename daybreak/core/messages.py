"""Messages: sentences for the terminal in the user's language, from one table keyed by the English template.

The program makes every sentence in English, which files and --json keep. `localized` turns one into the user's language
where it is shown: it finds the template that the sentence is made from, and fills the other language's line with the
same fields. What has no line in the table is shown in English.
"""

import functools
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from daybreak.core.errors import DaybreakError

LANGUAGES = ("en", "zh")
VARIABLE = "DAYBREAK_LANGUAGE"
LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")  # the first that is set counts, as for all programs
TABLE = Path(__file__).parent.parent / "web" / "messages.json"
SENTENCE_WORDS = 4  # of English, one behind the other: fewer may be names
_WORDS = re.compile(r"(?<![\w.\-_/`])[A-Za-z]?[a-z]+(?![\w_=/(\[`])")
_FIELD = re.compile(r"\{(\w+)(!?)\}")  # {name!} in the other language's line: what it holds is translated, too
_LITERAL = re.compile(r"\{\w+!?\}")  # what stands between literal parts
_NUMBERS = ("number", "value", "half", "progress", "days", "hours", "minutes", "seconds")  # fields that hold a number
_JOINTS = ((". ", "\u3002"), ("; ", "\uff1b"), (", ", "\uff0c"))  # between the parts of a longer text, coarse to fine


def language() -> str:
    """The language of the terminal: DAYBREAK_LANGUAGE, else that of the locale; English where it is none of ours."""
    told = os.environ.get(VARIABLE) or next((os.environ[name] for name in LOCALE if os.environ.get(name)), "")
    return next((known for known in LANGUAGES if told.lower().startswith(known)), "en")


def localized(text: str, to: str | None = None) -> str:
    """Lines of text in a language (None: the user's); a line that no template makes stays as it is.

    A longer text is put together from templates: its sentences, their parts between semicolons, and those between
    commas, where there is one for each part.
    """
    if (to or language()) == "en":
        return text
    return "\n".join(map(_line, text.split("\n")))


def error_text(error: DaybreakError, to: str | None = None) -> str:
    """An error in its three parts, in a language (None: the user's)."""
    if (to or language()) == "en":
        return f"error: {error}"
    what, *rest = str(error).split("\n  received: ")
    received, _, attempt = "\n  received: ".join(rest).rpartition("\n  try: ")
    return f"错误：{localized(what, 'zh')}\n  收到：{_told_as_received(received)}\n  建议：{localized(attempt, 'zh')}"


def _told_as_received(received: str) -> str:
    """What was received: a sentence of ours in Chinese; words and lines of the user's as they are."""
    return localized(received, "zh") if " " in received.strip() and "\n" not in received else received


def _line(line: str) -> str:
    bare = line.strip()
    if not bare:
        return line
    at = line.index(bare)
    found = _joined(bare, _JOINTS) or _behind_a_name(bare)
    return line if found is None else f"{line[:at]}{found}{line[at + len(bare) :]}"


def _joined(text: str, joints: Sequence[tuple[str, str]]) -> str | None:
    """The text by its template, or by those of its parts; None where one has none."""
    found = _sentence(text)
    if found is not None or not joints:
        return found
    (sign, ours), *finer = joints
    stop = sign == ". " and text.endswith(".")
    parts = text.removesuffix(".").split(sign) if stop else text.split(sign)
    if len(parts) == 1 and not stop:
        return _joined(text, finer)
    translated = [_joined(part, finer) for part in parts]
    return None if None in translated else ours.join(map(str, translated)) + (ours if stop else "")


def _behind_a_name(line: str) -> str | None:
    """What a file, a run or a setting is said to be: the name stays, the rest has its template; None where not."""
    for colon in re.finditer(": ", line):
        found = _joined(line[colon.end() :], _JOINTS)
        if found is not None:
            head = line[: colon.start()]
            return f"{_joined(head, _JOINTS) or head}\uff1a{found}"
    return None


def _sentence(sentence: str) -> str | None:
    exact, patterns = _table()
    if sentence in exact:
        return exact[sentence]
    for literal, template, line in patterns:
        if literal in sentence and (found := _pattern(template, line).fullmatch(sentence)):
            filled = _filled(line, found.groupdict())
            if filled is not None:
                return filled
    return None


def _filled(line: str, fields: dict[str, str]) -> str | None:
    """The line with its fields; None where one that is to be translated holds a sentence that has no line."""
    translated = {}
    for name in {match[1] for match in _FIELD.finditer(line) if match[2]}:
        value = fields[name]
        translated[name] = _line(value) if value else ""
        if translated[name] == value and len(_WORDS.findall(value)) >= SENTENCE_WORDS:
            return None
    return _FIELD.sub(lambda match: translated[match[1]] if match[2] else fields[match[1]], line)


@functools.cache
def _table() -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    """Lines without fields; and the longest literal part, the template and the line of those with some, in order."""
    lines: dict[str, str] = json.loads(TABLE.read_text(encoding="utf-8"))
    exact = {template: line for template, line in lines.items() if not _FIELD.search(template)}
    others = sorted(lines.keys() - exact.keys(), key=_closeness)
    return exact, [(max(_LITERAL.split(one), key=len), one, lines[one]) for one in others]


def _closeness(template: str) -> tuple[bool, int, str]:
    """Orders templates: those that begin with literal text, then those with the most of it."""
    return template.startswith("{"), -len(_FIELD.sub("", template)), template


@functools.cache
def _pattern(template: str, line: str) -> re.Pattern[str]:
    """What matches every sentence that the template makes, with its fields by name.

    Only a field that is translated itself may hold several parts of a text.
    """
    whole = {match[1] for match in _FIELD.finditer(line) if match[2]}
    pattern, end = "", 0
    for match in _FIELD.finditer(template):
        name = match[1]
        held = r"[\d.,e+-]+" if name in _NUMBERS else ".+?" if name in whole else "(?:(?!; ).)+?"
        pattern += re.escape(template[end : match.start()])
        pattern += f"(?P={name})" if f"(?P<{name}>" in pattern else f"(?P<{name}>{held})"
        end = match.end()
    return re.compile(pattern + re.escape(template[end:]))
