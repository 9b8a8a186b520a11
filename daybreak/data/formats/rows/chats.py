"""Chats: rows with turns of a conversation, and rows of instructions, as lines of speakers."""

import functools
from collections.abc import Iterable, Mapping, Sequence

from daybreak.data.formats.rows.messages import contents, spoken, turn
from daybreak.data.formats.rows.shape import MOST, Row, Shape, first, joined, listed, plain, share

TURNS = (  # columns, or where in one they are
    "messages", "conversations", "conversation", "turns", "dialogue", "dialog", "chat", "chat_messages", "contents",
    "chosen", "body.messages", "request.contents", "input.messages", "chat.messages", "chunkedPrompt.chunks",
    "completion", "preferred_output",
)  # fmt: skip
_AFTER = ("completion", "preferred_output")  # columns that go on from those
_SYSTEM = ("system", "system_prompt", "systemPrompt", "system_message", "systemInstruction", "system_instruction")


def exchange(asked: object, answer: object, row: Mapping[str, object]) -> str | None:
    asked, answer = plain(asked), plain(answer)
    if not asked and not answer:
        return None
    system = row.get("system") or row.get("system_prompt")
    lines = [spoken("system", system)] if isinstance(system, str) and system.strip() else []
    for pair in listed(row.get("history")):  # the rounds before
        if isinstance(pair, list) and len(pair) == 2:
            lines += [f"User: {plain(pair[0])}", f"Assistant: {plain(pair[1])}"]
    return "\n".join([*lines, f"User: {asked}", f"Assistant: {answer}"])


# Turns


def arena(rows: Sequence[Row]) -> Shape | None:
    """Two conversations beside each other, of which people chose one (LMSYS, arXiv:2403.04132)."""
    if share(rows, "conversation_a", list) < MOST or share(rows, "conversation_b", list) < MOST:
        return None

    def text(row: Row) -> str | None:
        won = isinstance(row, dict) and row.get("winner") in ("model_b", "b", "B")
        return _conversation(row, "conversation_b" if won else "conversation_a")

    return Shape("rows are pairs of conversations; the one that won is read", text, "dialogue")


def turns(rows: Sequence[Row]) -> Shape | None:
    for column in TURNS:
        found = [turns for row in rows if (turns := _listed(row, column))]
        every = [one for turns in found for one in turns]
        if len(found) < MOST * len(rows) or sum(turn(one) is not None for one in every) < MOST * len(every):
            continue
        named = sum(isinstance(one, dict) and "from" in one for one in every) >= MOST * len(every)
        style = "sharegpt conversations" if named else f"dialogues, in the column {column!r}"
        if column == "messages":
            style = "conversations of messages"
        text = functools.partial(_conversation, column=column)
        return Shape(f"rows are {style}", text, "dialogue")
    if sum(isinstance(row, list) and bool(row) and all(map(turn, row)) for row in rows) > MOST * len(rows):
        return Shape("rows are lists of turns", lambda row: _lines(listed(row)), "dialogue")
    return None


def _listed(row: Row, column: str) -> list[object]:
    """The turns in a column, or in what its path leads to."""
    for name in column.split("."):
        row = row.get(name) if isinstance(row, dict) else None
    return listed(row)


def _lines(turns: Iterable[object]) -> str | None:
    return "\n".join(filter(None, map(turn, turns))) or None


def _conversation(row: Row, column: str) -> str | None:
    if not isinstance(row, dict):
        return None
    before = listed(row.get("prompt"))
    after = [one for name in _AFTER if name != column for one in listed(row.get(name))]
    turns = [*before, *_listed(row, column), *after]
    inner = row.get(column.partition(".")[0])
    of = [row, inner] if isinstance(inner, dict) else [row]
    system = next((text for one in of for name in _SYSTEM if (text := contents(one.get(name)))), "")
    if system:
        turns.insert(0, {"role": "system", "content": system})
    if "rejected" in row and isinstance(row.get("chosen"), dict):  # preferences: the answer that was preferred
        turns.append(row["chosen"])
    return _lines(turns)


# Instructions


def instructions(rows: Sequence[Row]) -> Shape | None:
    if share(rows, "instruction") < MOST:
        return None
    answer = first(rows, ("output", "response", "completion", "answer", "chosen"))
    if answer:

        def text(row: Row) -> str | None:
            if not isinstance(row, dict):
                return None
            return exchange(joined(row.get("instruction"), row.get("input")), row.get(answer), row)

        return Shape("rows are alpaca instructions", text, "dialogue")
    if share(rows, "instances", list) >= MOST:
        return Shape("rows are instructions with instances", _instances, "dialogue")
    return None


def _instances(row: Row) -> str | None:
    if not isinstance(row, dict) or not (asked := row.get("instruction")):
        return None
    found = [i for i in listed(row.get("instances")) if isinstance(i, dict)]
    return "\n\n".join(t for i in found if (t := exchange(joined(asked, i.get("input")), i.get("output"), i))) or None
