"""Questions: zero-shot tests in JSON lines, of four kinds told by their fields, as texts for a model to score."""

import codecs
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from daybreak.core.errors import DataError
from daybreak.core.values import Json
from daybreak.data.formats.files import Watched
from daybreak.data.formats.findings import Findings, Stopped, Unsuitable
from daybreak.data.formats.format import HEAD_BYTES
from daybreak.data.formats.packings import packing, unpacked
from daybreak.data.formats.rows.json_lines import json_rows
from daybreak.data.formats.rows.shape import Row
from daybreak.data.formats.streams import Budget, Stream, expected_errors

# What a kind's rows hold; the first kind whose fields a row has is the row's.
KINDS = {
    "pairs": ("good", "bad"),
    "choices": ("query", "choices", "gold"),
    "schema": ("context_options", "continuation", "gold"),
    "last_words": ("context", "continuation"),
}
_PARTS = ("part", "UID", "category")  # fields by which scores are told apart, the first that a row has
# Where no space stands between words: Han, kana, and the punctuation that goes with them.
_UNSPACED = re.compile(
    "[\u2e80-\u30ff\u31c0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U000323af]"
)


@dataclass(frozen=True, slots=True)
class Question:
    """Options of (context, continuation); the likeliest continuation should be that of `gold`.

    A last word has one option, and is right where the continuation is the likeliest of all.
    """

    options: tuple[tuple[str, str], ...]
    sizes: tuple[int, ...]  # UTF-8 bytes of what the file calls the choice, without what joins it to its context
    gold: int
    cluster: str = ""  # questions of one cluster (about one passage) are drawn together; empty: it stands alone
    part: str = ""


@dataclass(frozen=True, kw_only=True)
class Task:
    """The questions of a file, or some of them."""

    name: str  # the file name up to its first dot
    path: Path
    kind: str  # one of KINDS
    questions: tuple[Question, ...]
    items: int  # in the file

    @property
    def chance(self) -> float:
        """The accuracy that guessing reaches; nothing guesses a last word."""
        if self.kind == "last_words":
            return 0.0
        return sum(1 / len(question.options) for question in self.questions) / len(self.questions)

    @property
    def digest(self) -> str:
        """Equal for the same questions in the same order."""
        digest = hashlib.blake2b(digest_size=8)
        for question in self.questions:
            digest.update(repr((question.options, question.gold)).encode("utf-8", "backslashreplace"))
        return digest.hexdigest()

    def limited(self, most: int) -> "Task":
        """At most so many questions, evenly spread over the file, whose parts often stand one behind the other."""
        if not 0 < most < len(self.questions):
            return self
        count = len(self.questions)
        return replace(self, questions=tuple(self.questions[index * count // most] for index in range(most)))


def read(path: str | Path) -> Task:
    """The questions of a file of JSON lines, packed (gz, xz, bz2, zst) or not.

    Raises DataError: no such file, or a row that is no question or of another kind than the first. None is passed
    over, because a score over fewer questions than the file has would be another score.
    """
    path = Path(path)
    kind, found = "", []
    for number, row in enumerate(_rows(path), 1):
        if not isinstance(row, dict):
            raise _wrong(path, number, "it is not a JSON object")
        if not kind:
            kind = next((name for name, fields in KINDS.items() if all(field in row for field in fields)), "")
        if not kind or any(field not in row for field in KINDS[kind]):
            raise _wrong(path, number, f"it has the fields {', '.join(map(str, row)) or 'none'}", kind)
        try:
            found.append(_question(kind, row))
        except ValueError as error:
            raise _wrong(path, number, str(error), kind) from None
    if not found:
        raise DataError("the task file has no questions", received=str(path), attempt=_fields())
    return Task(
        name=path.name.split(".")[0] or path.name, path=path, kind=kind, questions=tuple(found), items=len(found)
    )


def joint(before: str, after: str) -> str:
    """The text between a question and its answer where the file does not say: a space, where words are spaced.

    Nothing where one of both is empty, where there is white space already, or beside a Chinese or Japanese character.
    """
    if not before or not after or before[-1].isspace() or after[0].isspace():
        return ""
    return "" if _UNSPACED.match(before[-1]) or _UNSPACED.match(after[0]) else " "


def _question(kind: str, row: Json) -> Question:
    """Raises ValueError: a field does not hold what it should; the message says which."""
    if kind == "pairs":
        texts = [_text(row, "good"), _text(row, "bad")]
        options, choices, gold = [("", text) for text in texts], texts, 0
    elif kind == "choices":
        choices, gold = _texts(row, "choices"), _index(row, "choices")
        query = _text(row, "query", empty=True)
        options = [(query, _joined(row, query, choice)) for choice in choices]
    elif kind == "schema":
        contexts, gold = _texts(row, "context_options"), _index(row, "context_options")
        choices = [_text(row, "continuation")] * len(contexts)
        options = [(context, _joined(row, context, choices[0])) for context in contexts]
    else:
        context, choices, gold = _text(row, "context", empty=True), [_text(row, "continuation")], 0
        options = [(context, _joined(row, context, choices[0]))]
    cluster, part = row.get("cluster", ""), next((row[name] for name in _PARTS if name in row), "")
    return Question(
        options=tuple(options),
        sizes=tuple(len(choice.encode("utf-8", "replace")) for choice in choices),
        gold=gold,
        cluster=str(cluster),
        part=str(part),
    )


def _joined(row: Json, before: str, after: str) -> str:
    delimiter = row.get("delimiter")
    if delimiter is not None and not isinstance(delimiter, str):
        raise ValueError("`delimiter` is not a string")
    return (joint(before, after) if delimiter is None else delimiter) + after


def _text(row: Json, field: str, *, empty: bool = False) -> str:
    value = row[field]
    if not isinstance(value, str) or not (value or empty):
        raise ValueError(f"`{field}` is not a string" if not isinstance(value, str) else f"`{field}` is empty")
    return value


def _texts(row: Json, field: str) -> list[str]:
    values = row[field]
    if not isinstance(values, list) or len(values) < 2 or not all(isinstance(v, str) and v for v in values):
        raise ValueError(f"`{field}` is not a list of two or more non-empty strings")
    return values


def _index(row: Json, among: str) -> int:
    gold = row["gold"]
    if type(gold) is not int or not 0 <= gold < len(row[among]):
        raise ValueError(
            f"`gold` is {gold!r}, which is not the index of one of {len(row[among])} `{among}`, counted from 0"
        )
    return gold


def _rows(path: Path) -> Iterator[Row]:
    findings = Findings()
    try:
        with Watched(path) as file:
            stream = Stream(path.name, file, Budget(file.size))  # type: ignore[arg-type]
            while kind := packing(stream.peek(HEAD_BYTES), stream.name):
                stream = unpacked(stream, kind, findings)
            if stream.peek(3) == codecs.BOM_UTF8:
                stream.read(3)
            for row in json_rows(stream.blocks(), path.name, findings):
                yield row
                _whole(path, findings)
            _whole(path, findings)
    except (Unsuitable, Stopped) as error:
        raise _unread(path, str(error)) from None
    except expected_errors() as error:
        raise _unread(path, getattr(error, "strerror", None) or str(error) or type(error).__name__) from None


def _whole(path: Path, findings: Findings) -> None:
    if findings.stopped:
        raise Stopped(next(iter(findings.stopped)))
    if findings.rows:
        raise DataError(
            "a line of the task file is not JSON", received=f"{path}: {next(iter(findings.rows))}", attempt=_fields()
        )


def _unread(path: Path, reason: str) -> DataError:
    return DataError(
        "the task file cannot be read", received=f"{path}: {reason}", attempt="name a file of JSON lines with --task"
    )


def _wrong(path: Path, number: int, why: str, kind: str = "") -> DataError:
    what = f"a line is not a question of the kind {kind}" if kind else "a line is not a question of any known kind"
    return DataError(what, received=f"{path}, row {number}: {why}", attempt=_fields(kind))


def _fields(kind: str = "") -> str:
    listed: Callable[[str], str] = lambda name: " and ".join(f"`{field}`" for field in KINDS[name])  # noqa: E731
    return "write one JSON object on each line, with the fields " + (
        "; or ".join(map(listed, KINDS)) if not kind else listed(kind)
    )
