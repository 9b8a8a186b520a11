"""Exports of messengers in JSON: Telegram, Discord, Facebook, Instagram, Skype, Teams, Google Chat, Matrix, Slack."""

import html
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from daybreak.data.cleaning import Document
from daybreak.data.formats.conversations.outline import ELEMENT, Outline, Path, outline
from daybreak.data.formats.conversations.slack_text import plain_slack
from daybreak.data.formats.conversations.transcript import NO_WORDS, transcript
from daybreak.data.formats.findings import LONG_ROW, Findings, Stopped, Unsuitable
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.rows.json_kind import kind_of_json
from daybreak.data.formats.rows.json_tree import Fed, built
from daybreak.data.formats.rows.messages import speaker_of, spoken, turn

Message = Mapping[str, object]
_MESSAGES = ("messages",)
_TAG = re.compile(r"<[^<>]{0,2000}>")


@dataclass(frozen=True, kw_only=True)
class Export:
    """A messenger's export: how it is told, where its messages are, and how one becomes a line."""

    name: str
    told: Callable[[Outline], bool]
    lists: tuple[Path, ...]  # where lists of messages are; each list is a conversation
    line: Callable[[Message], str | None]  # None: nothing was said in it
    newest_first: bool = False


def _documents(text: Text, export: Export) -> Iterator[Document]:
    said = f"an export of {export.name}; a chat is one document, without ids, times and members"
    text.findings.say(text.name, said)
    for messages in conversations(text.blocks, export.lists, text.findings):
        lines = _lines(messages, export, text.findings)
        yield from transcript(lines, text.name, text.findings, newest_first=export.newest_first)


def _lines(messages: Iterator[Message], export: Export, findings: Findings) -> Iterator[str]:
    for message in messages:
        if line := export.line(message):
            yield line
        else:
            findings.skip_row(NO_WORDS)


def conversations(blocks: Iterator[bytes], lists: tuple[Path, ...], findings: Findings) -> Iterator[Iterator[Message]]:
    """The objects of each of the lists, as they stream by: one conversation is read to its end before the next.

    Raises Unsuitable: broken from the start; Stopped: broken further on, or a message that is too long.
    """
    import ijson

    fed = Fed(blocks)
    path: list[str] = []
    read = 0

    def parsed() -> Iterator[tuple[str, object]]:
        try:
            for event in ijson.basic_parse(fed, multiple_values=True, use_float=True, buf_size=1 << 16):
                fed.heard = fed.offset
                yield event
        except ijson.JSONError as error:
            reason = str(error).splitlines()[0].strip()
            if read:
                raise Stopped(f"broken JSON after byte {fed.heard}: {reason}") from None
            raise Unsuitable(f"broken JSON: {reason}") from None

    events = parsed()
    wanted = frozenset((*path, ELEMENT) for path in lists)

    def messages() -> Iterator[Message]:
        nonlocal read
        for event, _ in events:
            if event == "end_array":
                break
            if event != "start_map":
                if event == "start_array":
                    built(event, events, fed)
                continue
            start = fed.offset
            message = built(event, events, fed)
            if isinstance(message, dict):
                read += 1
                yield message
            else:
                findings.skip_row(LONG_ROW, fed.offset - start)
        path.pop()

    for event, value in events:
        if event == "map_key":
            path[-1] = str(value)
        elif event in ("start_map", "start_array"):
            path.append(ELEMENT if event == "start_array" else "")
            if event == "start_array" and tuple(path) in wanted:
                given = messages()
                yield given
                for _ in given:
                    pass
        elif event in ("end_map", "end_array"):
            path.pop()


# What one message says


def _telegram(message: Message) -> str | None:
    if message.get("type", "message") != "message":
        return None
    text = message.get("text")
    if isinstance(text, list):  # pieces, of which some are links, bold, code
        parts = [part.get("text") if isinstance(part, dict) else part for part in text]
        text = "".join(part for part in parts if isinstance(part, str))
    poll = message.get("poll")
    if not text and isinstance(poll, dict):
        text = poll.get("question")
    return spoken(message.get("from"), text) if isinstance(text, str) and text.strip() else None


def _discord(message: Message) -> str | None:
    if message.get("type", "Default") not in ("Default", "Reply", "ThreadStarterMessage", 0, 19, "0", "19"):
        return None
    content = message.get("content")
    return spoken(speaker_of(message), content) if isinstance(content, str) and content.strip() else None


def mended(text: str) -> str:
    """UTF-8 that was written out byte by byte, as Facebook and Instagram export it (\\u00c3\\u00a9 for an e acute)."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _facebook(message: Message) -> str | None:
    kept = message.get("type", "Generic") in ("Generic", "Share", "text", "link") and not message.get("is_unsent")
    text = message.get("content", message.get("text"))
    if not kept or "call_duration" in message or not isinstance(text, str) or not text.strip():
        return None
    return spoken(mended(str(message.get("sender_name", message.get("senderName", "")))), mended(text))


def _skype(message: Message) -> str | None:
    content = message.get("content")
    kinds = ("RichText", "Text", "RichText/Html")
    if message.get("messagetype", "Text") not in kinds or not isinstance(content, str):
        return None
    who = message.get("displayName") or message.get("imdisplayname") or str(message.get("from", "")).rpartition(":")[2]
    text = html.unescape(_TAG.sub("", content.replace("<br>", "\n").replace("</p>", "\n"))).strip()
    return spoken(who, text) if text else None


def _google_chat(message: Message) -> str | None:
    creator, text = message.get("creator"), message.get("text")
    who = creator.get("name") if isinstance(creator, dict) else ""
    return spoken(who, text) if isinstance(text, str) and text.strip() else None


def _matrix(message: Message) -> str | None:
    content = message.get("content")
    text = content.get("body") if isinstance(content, dict) else None
    kinds = ("m.text", "m.notice", "m.emote")
    if message.get("type") != "m.room.message" or not isinstance(content, dict) or content.get("msgtype") not in kinds:
        return None
    who = str(message.get("sender", "")).lstrip("@").partition(":")[0]
    return spoken(who, text) if isinstance(text, str) and text.strip() else None


def slack_line(message: Message, names: Mapping[str, str]) -> str | None:
    """A message of Slack; names: of its users, by their ids. None: one who joined, a file, a topic that was set."""
    if message.get("type", "message") != "message" or message.get("subtype") not in (None, *_SLACK_SPOKEN):
        return None
    text = message.get("text")
    if not isinstance(text, str) or not text.strip():
        return None
    profile = message.get("user_profile")
    own = profile if isinstance(profile, dict) else {}
    user = str(message.get("user") or "")
    who = own.get("display_name") or own.get("real_name") or names.get(user) or message.get("username") or user
    return spoken(who, plain_slack(text, names))


_SLACK_SPOKEN = ("bot_message", "me_message", "thread_broadcast", "file_comment", "file_share", "reply_broadcast")


# What the beginning of a file tells


def _of(outlined: Outline, *path: str) -> Message:
    return outlined.merged(*path, ELEMENT)


def _is_telegram(outlined: Outline) -> bool:
    if "personal_information" in outlined.keys or ({"about", "chats"} <= outlined.keys.keys()):
        return True
    if "text" in _of(outlined, "chats", "list", ELEMENT, "messages"):
        return True
    message = _of(outlined, "messages")
    return message.get("type") in ("message", "service") and {"id", "text"} <= message.keys()


def _is_discord(outlined: Outline) -> bool:
    return {"guild", "channel"} <= outlined.keys.keys() or {"timestamp", "author", "content", "type"} <= _of(
        outlined, "messages"
    ).keys()


def _is_facebook(outlined: Outline) -> bool:
    message = _of(outlined, "messages")
    old, new = {"sender_name", "timestamp_ms"}, {"senderName", "timestamp", "type"}
    return old <= message.keys() or new <= message.keys()


def _is_skype(outlined: Outline) -> bool:
    return "MessageList" in _of(outlined, "conversations")


def _is_google_chat(outlined: Outline) -> bool:
    return {"creator", "created_date"} <= _of(outlined, "messages").keys()


def _is_matrix(outlined: Outline) -> bool:
    message = _of(outlined, "messages")
    return {"sender", "content", "type"} <= message.keys() and str(message["type"]).startswith("m.")


def _is_slack(outlined: Outline) -> bool:
    message = _of(outlined)
    return message.get("type") == "message" and "text" in message and bool({"user", "bot_id"} & message.keys())


def _is_signal(outlined: Outline) -> bool:
    message = _of(outlined)
    return {"sender", "body", "date"} <= message.keys() and bool({"quote", "reactions", "sticker"} & message.keys())


EXPORTS = (
    Export(name="Signal", told=_is_signal, lists=((),), line=turn),
    Export(
        name="Telegram",
        told=_is_telegram,
        lists=(_MESSAGES, *((kind, "list", ELEMENT, "messages") for kind in ("chats", "left_chats"))),
        line=_telegram,
    ),
    Export(name="Discord", told=_is_discord, lists=(_MESSAGES,), line=_discord),
    Export(name="Facebook or Instagram", told=_is_facebook, lists=(_MESSAGES,), line=_facebook, newest_first=True),
    Export(
        name="Skype or Teams",
        told=_is_skype,
        lists=(("conversations", ELEMENT, "MessageList"),),
        line=_skype,
        newest_first=True,
    ),
    Export(name="Google Chat", told=_is_google_chat, lists=(_MESSAGES,), line=_google_chat),
    Export(name="Matrix", told=_is_matrix, lists=(_MESSAGES,), line=_matrix),
    Export(name="Slack", told=_is_slack, lists=((),), line=lambda message: slack_line(message, {})),
)


def _recognize(sample: Sample) -> str | None:
    """The export's name."""
    if sample.start not in (b"{", b"[") or not any(mark in sample.data for mark in _MARKS):
        return None
    if kind_of_json(sample) == "jsonl":
        return None
    outlined = outline(sample.data)
    return next((export.name for export in EXPORTS if export.told(outlined)), None)


_MARKS = (
    b'"messages"',
    b'"body"',
    b'"MessageList"',
    b'"conversations"',
    b'"chats"',
    b'"personal_information"',
    b'"message"',
)


def _read(text: Text) -> Iterator[Document]:
    return _documents(text, next(export for export in EXPORTS if export.name == text.detail))


MESSENGER = TextFormat(name="messenger", recognize=_recognize, documents=_read)
