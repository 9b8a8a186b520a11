"""Chats: rows with turns of a conversation, and rows of instructions, as lines of speakers."""

from collections.abc import Mapping, Sequence

from daybreak.data.formats.rows.shape import MOST, SAID, Row, Shape, first, joined, listed, plain, share

_NAMES = {
    "human": "User",
    "user": "User",
    "usr": "User",
    "prompter": "User",
    "customer": "User",
    "gpt": "Assistant",
    "chatgpt": "Assistant",
    "bot": "Assistant",
    "assistant": "Assistant",
    "model": "Assistant",
    "sys": "Assistant",  # in dialogue corpora "sys" is the answering side, not a system prompt
    "agent": "Assistant",
    "system": "System",
    "tool": "Tool",
    "function": "Tool",
    "observation": "Tool",
}
_TURNS = ("messages", "conversations", "conversation", "turns", "dialogue", "dialog", "chat")
_SPEAKER = ("role", "from", "speaker", "author", "user")


def spoken(speaker: object, text: object) -> str:
    """A line of one speaker: the usual names become User, Assistant, System and Tool, others stay."""
    name = str(speaker or "").strip()
    return f"{_NAMES.get(name.lower(), name or 'Speaker')}: {plain(text)}"


def exchange(asked: object, answer: object, row: Mapping[str, object]) -> str | None:
    asked, answer = plain(asked), plain(answer)
    if not asked and not answer:
        return None
    system = row.get("system") or row.get("system_prompt")
    lines = [spoken("system", system)] if isinstance(system, str) and system.strip() else []
    return "\n".join([*lines, f"User: {asked}", f"Assistant: {answer}"])


# Turns


def turns(rows: Sequence[Row]) -> Shape | None:
    column = first(rows, _TURNS, list)
    if column:
        turns = [turn for row in rows if isinstance(row, dict) for turn in listed(row.get(column))]
        if turns and sum(_turn(turn) is not None for turn in turns) >= MOST * len(turns):
            named = sum(isinstance(turn, dict) and "from" in turn for turn in turns) >= MOST * len(turns)
            style = "sharegpt conversations" if named else f"dialogues, in the column {column!r}"
            if column == "messages":
                style = "conversations of messages"
            return Shape(f"rows are {style}", lambda row: _conversation(row, column), "dialogue")
    if sum(isinstance(row, list) and bool(row) and all(_turn(turn) for turn in row) for row in rows) > MOST * len(rows):
        return Shape("rows are lists of turns", lambda row: _conversation({"": row}, ""), "dialogue")
    return None


def _turn(turn: object) -> str | None:
    """A turn as one line: the speaker and the text."""
    if isinstance(turn, list) and len(turn) == 2 and all(isinstance(part, str) for part in turn):
        speaker = "sys" if turn[0].lower() == "system" else turn[0]  # in pairs it is the side that answers
        return spoken(speaker, turn[1])
    if isinstance(turn, dict):
        said = next((turn[name] for name in SAID if isinstance(turn.get(name), str)), None)
        if said is None and isinstance(turn.get("content"), list):  # parts of a message, of which some are text
            said = " ".join(plain(part) for part in turn["content"])
        speaker = next((turn[name] for name in _SPEAKER if isinstance(turn.get(name), str)), None)
        if said and said.strip() and (speaker is not None or len(turn) <= 3):
            return spoken(speaker, said)
    if isinstance(turn, str) and turn.strip():
        return turn.strip()
    return None


def _conversation(row: Row, column: str) -> str | None:
    if not isinstance(row, dict):
        return None
    lines = [line for turn in listed(row.get(column)) if (line := _turn(turn))]
    if isinstance(row.get("system"), str) and row["system"].strip():
        lines.insert(0, spoken("system", row["system"]))
    if "rejected" in row and isinstance(row.get("chosen"), dict):  # preferences: the answer that was preferred
        lines += [line] if (line := _turn(row["chosen"])) else []
    return "\n".join(lines) or None


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
