"""Messages: who says one message of a conversation and what it says, in the shapes of APIs and of exports."""

import json
from collections.abc import Iterable, Mapping
from typing import cast

from daybreak.data.formats.rows.shape import SAID, Row, plain

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
    "developer": "System",
    "tool": "Tool",
    "function": "Tool",
    "observation": "Tool",
}
_SPEAKER = ("role", "from", "sender", "speaker", "author", "user", "name", "username")
_NAMED = ("role", "nickname", "displayName", "display_name", "global_name", "name", "username", "login")
_SAID = (*SAID, "parts", "mes", "body", "chunks")
_CALLS = ("tool_calls", "toolCalls")
_BEFORE = ("reasoning_content", "thinking")  # what a model thought in front of its answer


def spoken(speaker: object, text: object) -> str:
    """A line of one speaker: the usual names become User, Assistant, System and Tool, others stay."""
    name = str(speaker or "").strip()
    return f"{_NAMES.get(name.lower(), name or 'Speaker')}: {plain(text)}"


def turn(message: object) -> str | None:
    """A message as one line: the speaker and the text, with the calls of tools; None: it is no message, or empty."""
    if isinstance(message, list) and len(message) == 2 and all(isinstance(part, str) for part in message):
        speaker = "sys" if message[0].lower() == "system" else message[0]  # in pairs it is the side that answers
        return spoken(speaker, message[1])
    if isinstance(message, str) and message.strip():
        return message.strip()
    if not isinstance(message, dict):
        return None
    text, who = said(message), speaker_of(message)
    if text and (who is not None or len(message) <= 3):
        return spoken(who, text)
    return _round(message)


def _round(message: Mapping[str, object]) -> str | None:
    """A question and its answer in one, by who says them: {"human": ..., "assistant": ...}."""
    sides = [(name, value) for name, value in message.items() if isinstance(name, str) and name.lower() in _NAMES]
    if len(sides) < 2 or not all(isinstance(value, str) for _, value in sides):
        return None
    return "\n".join(spoken(name, value) for name, value in sides if plain(value)) or None


def speaker_of(message: Mapping[str, object]) -> str | None:
    for name in _SPEAKER:
        value = message.get(name)
        if isinstance(value, dict):
            value = next((value[key] for key in _NAMED if isinstance(value.get(key), str) and value[key]), None)
        if isinstance(value, str):
            return value
    return None


def said(message: Mapping[str, object]) -> str:
    """The text of a message: of its parts those that are text, then the tools that it calls, with their arguments."""
    before = [message[name] for name in _BEFORE if isinstance(message.get(name), str)]
    text = ""
    for name in _SAID:
        value = message.get(name)
        if isinstance(value, str | list | dict) and (text := contents(value)):
            break
    files = [one.get("extracted_content") for one in _listed(message.get("attachments")) if isinstance(one, dict)]
    calls = [call for name in _CALLS for call in _listed(message.get(name))]
    calls.append(message.get("function_call"))
    return "\n".join(filter(None, [*(plain(part) for part in before), text, *map(plain, files), *map(_called, calls)]))


def contents(value: object) -> str:
    """What a message holds: a text, or parts of which some are text."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        if all(isinstance(part, str) for part in value):
            return plain(value)
        if any(isinstance(part, str) for part in value):  # pieces of one text, some of them marked
            pieces = (part.get("text") if isinstance(part, dict) else part for part in value)
            return "".join(piece for piece in pieces if isinstance(piece, str)).strip()
        return "\n".join(filter(None, map(contents, value)))
    return _part(value) if isinstance(value, dict) else ""


def _part(part: Mapping[str, object]) -> str:
    kind = part.get("type")
    if kind == "tool_use" or "functionCall" in part or "function_call" in part:
        return _called(part if kind == "tool_use" else part.get("functionCall") or part.get("function_call"))
    if kind == "tool_result":
        return contents(part.get("content"))
    for name in ("functionResponse", "function_response"):
        if isinstance(answered := part.get(name), dict):
            return as_text(answered.get("response"))
    for name in ("executableCode", "executable_code", "codeExecutionResult", "code_execution_result"):
        if isinstance(ran := part.get(name), dict):
            return plain(ran.get("code") or ran.get("output"))
    for name in ("text", "thinking", "content", "value", "body", "message", "output", "parts"):
        if isinstance(inner := part.get(name), str | list | dict):
            return contents(inner)
    return ""


def _called(call: object) -> str:
    """A tool that is called, as programs write it: its name and the arguments."""
    if not isinstance(call, dict):
        return ""
    inner = call.get("function")
    call = inner if isinstance(inner, dict) else call
    given = next((call[name] for name in ("arguments", "input", "args", "parameters") if name in call), "")
    return f"{plain(call.get('name'))}({as_text(given)})" if call.get("name") else ""


def as_text(value: object) -> str:
    """A value as it stands if it is a text, else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) if value is not None else ""


def _listed(value: object) -> Iterable[object]:
    return cast("list[Row]", value) if isinstance(value, list) else ()
