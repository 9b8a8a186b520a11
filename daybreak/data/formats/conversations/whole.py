"""Whole files that are one conversation: an object with messages in it, a list of messages, or a message a line."""

from collections.abc import Iterator
from itertools import chain

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.conversations.exports import conversations
from daybreak.data.formats.conversations.outline import ELEMENT, outline
from daybreak.data.formats.conversations.transcript import NO_WORDS, transcript
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.rows.chats import TURNS
from daybreak.data.formats.rows.documents import row_documents
from daybreak.data.formats.rows.json_kind import kind_of_json
from daybreak.data.formats.rows.json_lines import json_rows
from daybreak.data.formats.rows.messages import turn
from daybreak.data.formats.rows.shape import Row

_ROLES = frozenset(("system", "developer", "user", "human", "assistant", "model", "gpt", "tool", "function"))
_SAID = frozenset(("content", "parts", "text", "value"))
_OBJECT, _LIST, _LINES = "an object", "a list", "a message a line"
_MARKS = (b'"role"', b'"mapping"', b'"chat_messages"', b'"is_user"', b'"sender"', b'"from"')


def _recognize(sample: Sample) -> str | None:
    if sample.start not in (b"{", b"[") or not any(mark in sample.data for mark in _MARKS):
        return None
    kind = kind_of_json(sample)
    outlined = outline(sample.data)
    if kind == "jsonl":
        every = outlined.objects.get((), [])
        every = every[1:] if every and "character_name" in every[0] else every  # who speaks, in front
        if _speak(every) or (_speak(outlined.objects.get(("message",), [])) and _held(every) >= 0.5 * len(every)):
            return _LINES
        return None
    if kind != "json":
        return None
    if outlined.keys.get("mapping") == "map" and {"title", "current_node"} & outlined.keys.keys():
        return _OBJECT
    if _speak(outlined.objects.get((ELEMENT,), [])):
        return _LIST
    paths = [tuple(column.split(".")) for column in TURNS]
    return _OBJECT if any(_speak(outlined.objects.get((*path, ELEMENT), [])) for path in paths) else None


def _held(every: list[dict[str, object]]) -> int:
    """How many rows of a program's log hold a message."""
    return sum(isinstance(one.get("message"), dict) for one in every)


def _speak(objects: list[dict[str, object]]) -> bool:
    """Objects of a list are messages, all but the last, which may be cut off."""
    every = [one for one in objects if one]
    return bool(every) and all(_is_message(one) for one in every[:-1] or every)


def _is_message(one: dict[str, object]) -> bool:
    """It has a role that APIs have, and says something."""
    role = one.get("role", one.get("sender", one.get("from")))
    if "is_user" in one and "mes" in one:
        return True
    return isinstance(role, str) and role.lower() in _ROLES and bool(_SAID & one.keys() or "tool_calls" in one)


def _documents(text: Text) -> Iterator[Document]:
    if text.detail == _OBJECT:
        return _object(text)
    text.findings.say(text.name, f"one conversation, as {text.detail}")
    if text.detail == _LIST:
        lists = conversations(text.blocks, ((),), text.findings)
        return (d for messages in lists for d in transcript(_lines(messages, text), text.name, text.findings))
    rows = json_rows(text.blocks, text.name, text.findings)
    return transcript(_lines(rows, text), text.name, text.findings)


def _lines(rows: Iterator[Row] | Iterator[dict[str, object]], text: Text) -> Iterator[str]:
    for row in rows:
        inner = row.get("message") if isinstance(row, dict) and "role" not in row else None
        if line := turn(inner if isinstance(inner, dict) else row):
            yield line
        else:
            text.findings.skip_row(NO_WORDS)


def _object(text: Text) -> Iterator[Document]:
    """The object as a row; of one that is too long for that its messages, as they stream by."""
    import orjson

    held, size = [], 0
    for block in text.blocks:
        held.append(block)
        size += len(block)
        if size > limits.ROW_BYTES:
            blocks = chain(held, text.blocks)
            for messages in conversations(blocks, tuple(tuple(c.split(".")) for c in TURNS), text.findings):
                yield from transcript(_lines(messages, text), text.name, text.findings)
            return
    try:
        row = orjson.loads(b"".join(held))
    except ValueError:
        from daybreak.data.formats.rows.json_tree import tree_rows

        yield from row_documents(tree_rows(iter(held), text.name, text.findings), text.name, text.findings)
        return
    yield from row_documents([row], text.name, text.findings)


CONVERSATION = TextFormat(name="conversation", recognize=_recognize, documents=_documents)
