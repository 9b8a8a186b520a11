"""Conversations: exports of messengers and assistants, and logs of chats; a conversation is one document."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from daybreak.data.formats.conversations.exports import mended
from daybreak.data.formats.conversations.slack_text import plain_slack
from daybreak.data.sources import Document, Reading


def read(folder: Path, name: str, content: object) -> tuple[list[str], tuple[str, ...]]:
    """Texts of the documents, a long one joined, and the notes; content: text, bytes, or a value as JSON."""
    path = folder / name
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    path.write_bytes(content)
    reading = Reading([path], named=[path])
    texts: list[str] = []
    documents: list[Document] = list(reading)
    assert all(document.kind == "dialogue" for document in documents)
    for document in documents:
        if document.starts:
            texts.append(document.text)
        else:
            texts[-1] += document.text
    return texts, reading.notes


# Messengers

TELEGRAM = [
    {"id": 1, "type": "service", "date": "2021-01-01T10:00:00", "actor": "Ann", "action": "create_group", "text": ""},
    {"id": 2, "type": "message", "date": "2021-01-01T10:01:00", "from": "Ann", "from_id": "user1", "text": "Hello!"},
    {
        "id": 3,
        "type": "message",
        "date": "2021-01-01T10:02:00",
        "date_unixtime": "1609495320",
        "from": "Bob",
        "from_id": "user2",
        "text": ["See ", {"type": "link", "text": "https://x.org"}, " and\n", {"type": "bold", "text": "wait"}, "."],
    },
    {"id": 4, "type": "message", "date": "2021-01-01T10:03:00", "from": "Bob", "photo": "photos/1.jpg", "text": ""},
]
SPOKEN = "Ann: Hello!\nBob: See https://x.org and\nwait."


def test_telegram_of_one_chat(tmp_path: Path) -> None:
    chat = {"name": "Ann", "type": "personal_chat", "id": 9, "messages": TELEGRAM}
    texts, notes = read(tmp_path, "result.json", chat)
    assert texts == [SPOKEN]
    assert "an export of Telegram" in notes[0] and "2 of 4 rows skipped: messages without words" in notes[1]


@pytest.mark.parametrize("indent", [None, 1])
def test_telegram_of_everything(tmp_path: Path, indent: int | None) -> None:
    whole = {
        "about": "Here is the data you requested.",
        "personal_information": {"first_name": "Ann", "bio": "words that are no message at all"},
        "contacts": {"about": "words", "list": [{"first_name": "Bob", "last_name": "of contacts"}]},
        "chats": {
            "about": "This page lists all chats.",
            "list": [
                {"name": "Bob", "type": "personal_chat", "id": 1, "messages": TELEGRAM},
                {"type": "saved_messages", "id": 2, "messages": [TELEGRAM[1]]},
                {"type": "private_group", "id": 3, "messages": []},
            ],
        },
        "left_chats": {"about": "", "list": [{"name": "Old", "id": 4, "messages": TELEGRAM[1:2]}]},
    }
    texts, _ = read(tmp_path, "result.json", json.dumps(whole, indent=indent))
    assert texts == [SPOKEN, "Ann: Hello!", "Ann: Hello!"]


def test_the_least_of_telegram_and_slack(tmp_path: Path) -> None:
    messages = [{"id": 1, "type": "message", "from": "Ann", "text": ["Hi ", {"type": "bold", "text": "you"}]}]
    for whole in ({"chats": {"list": [{"name": "A", "messages": messages}]}}, {"name": "A", "messages": messages}):
        assert read(tmp_path, "result.json", whole)[0] == ["Ann: Hi you"]
    day = [{"user": "U1", "type": "message", "text": "Hi"}, {"user": "U2", "type": "message", "text": "Yo"}]
    assert read(tmp_path, "day.json", day)[0] == ["U1: Hi\nU2: Yo"]


def test_telegram_is_told_where_its_chats_begin_after_the_sample(tmp_path: Path) -> None:
    people = [{"first_name": f"Name {n}", "phone_number": "0"} for n in range(3000)]
    whole = {
        "about": "Here is the data.",
        "personal_information": {},
        "contacts": {"list": people},
        "chats": {"list": [{"messages": TELEGRAM}]},
    }
    assert read(tmp_path, "result.json", whole)[0] == [SPOKEN]


def test_a_chat_that_is_cut_off_is_read_up_to_there_and_said(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    data = json.dumps({"id": 9, "messages": TELEGRAM[:2] * 50})
    path.write_text(data[:-60])
    reading = Reading([path])
    assert "".join(document.text for document in reading).count("Ann: Hello!") == 49
    assert any("read in part: broken JSON" in note for note in reading.notes)


def test_a_long_chat_comes_in_pieces_that_join_up_to_it(tmp_path: Path) -> None:
    message = {"id": 1, "type": "message", "from": "Ann", "from_id": "user1", "date": "", "text": "words " * 40}
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"messages": [message] * 3000}))
    documents = list(Reading([path]))
    assert len(documents) > 10 and [d.starts for d in documents] == [True] + [False] * (len(documents) - 1)
    assert "".join(d.text for d in documents) == "\n".join(["Ann: " + ("words " * 40).strip()] * 3000)


def test_discord(tmp_path: Path) -> None:
    def message(text: str, kind: str = "Default") -> object:
        author = {"id": "5", "name": "ann#1", "nickname": "Ann", "isBot": False}
        return {"id": "7", "type": kind, "timestamp": "2021", "content": text, "author": author, "attachments": []}

    export = {
        "guild": {"id": "1", "name": "A server of words"},
        "channel": {"id": "2", "topic": "Talk about all and everything"},
        "messages": [message("Hi all"), message("Joined the server.", "GuildMemberJoin"), message("Yes", "Reply")],
        "messageCount": 3,
    }
    texts, notes = read(tmp_path, "general.json", export)
    assert texts == ["Ann: Hi all\nAnn: Yes"] and "1 of 3 rows skipped" in notes[1]


def test_facebook_and_instagram_are_turned_around_and_their_letters_mended(tmp_path: Path) -> None:
    old = {
        "participants": [{"name": "Ren\u00c3\u00a9"}, {"name": "Bob"}],
        "messages": [
            {"sender_name": "Bob", "timestamp_ms": 3, "content": "Na klar \u00f0\u009f\u0098\u0082", "type": "Generic"},
            {"sender_name": "Bob", "timestamp_ms": 2, "photos": [{"uri": "x.jpg"}], "type": "Generic"},
            {"sender_name": "Ren\u00c3\u00a9", "timestamp_ms": 1, "content": "Caf\u00c3\u00a9?", "type": "Generic"},
        ],
        "title": "Words of a title",
    }
    assert read(tmp_path, "message_1.json", old)[0] == ["René: Café?\nBob: Na klar 😂"]
    assert mended("Ω and é") == "Ω and é" and mended("déjà vu") == "déjà vu"
    new = {
        "participants": ["René", "Bob"],
        "threadName": "Bob",
        "messages": [
            {"senderName": "Bob", "text": "Oui", "timestamp": 2, "type": "text", "isUnsent": False},
            {"senderName": "René", "text": "Café?", "timestamp": 1, "type": "text", "isUnsent": False},
        ],
    }
    assert read(tmp_path, "Bob_1.json", new)[0] == ["René: Café?\nBob: Oui"]


def test_skype_google_chat_and_matrix(tmp_path: Path) -> None:
    skype = {
        "userId": "8:ann",
        "conversations": [
            {
                "id": "8:bob",
                "displayName": "Bob",
                "MessageList": [
                    {
                        "from": "8:ann",
                        "displayName": None,
                        "messagetype": "ThreadActivity/AddMember",
                        "content": "<a/>",
                    },
                    {"from": "8:ann", "messagetype": "RichText", "content": "it&apos;s <b>late</b>"},
                    {"from": "8:live:bob", "messagetype": "Text", "content": "Hi"},
                ],
            },
            {"id": "8:eve", "MessageList": [{"from": "8:eve", "messagetype": "Text", "content": "Yo"}]},
        ],
    }
    assert read(tmp_path, "messages.json", skype)[0] == ["bob: Hi\nann: it's late", "eve: Yo"]
    google = {
        "messages": [
            {"creator": {"name": "Ann", "email": "a@x.org"}, "created_date": "Monday", "text": "Hi", "topic_id": "1"},
            {"creator": {"name": "Bob"}, "created_date": "Monday", "attached_files": [], "topic_id": "1"},
        ]
    }
    assert read(tmp_path, "messages.json", google)[0] == ["Ann: Hi"]
    matrix = {
        "room_name": "Room of words",
        "messages": [
            {"type": "m.room.member", "sender": "@ann:x.org", "content": {"membership": "join"}},
            {"type": "m.room.message", "sender": "@ann:x.org", "content": {"msgtype": "m.text", "body": "Hi"}},
        ],
    }
    assert read(tmp_path, "export.json", matrix)[0] == ["ann: Hi"]


SLACK_DAY = [
    {"type": "message", "subtype": "channel_join", "user": "U1", "text": "<@U1> has joined", "ts": "1.0"},
    {"type": "message", "user": "U1", "text": "Ask <@U2>: R&amp;D, see <https://x.org|the page>", "ts": "2.0"},
    {"type": "message", "user": "U2", "user_profile": {"real_name": "Bob B"}, "text": "OK", "ts": "3.0"},
]


def test_a_day_of_slack(tmp_path: Path) -> None:
    texts, _ = read(tmp_path, "2021-01-01.json", SLACK_DAY)
    assert texts == ["U1: Ask @U2: R&D, see the page\nBob B: OK"]
    assert plain_slack("<!here> <#C1|general> <mailto:a@x.org|a@x.org> a &lt; b <https://x.org>", {}) == (
        "@here #general a@x.org a < b https://x.org"
    )


def test_an_export_of_slack_has_the_names_of_its_users(tmp_path: Path) -> None:
    users = [{"id": "U1", "team_id": "T", "name": "ann", "profile": {"real_name": "Ann A", "display_name": "Ann"}}]
    users.append({"id": "U2", "team_id": "T", "name": "bob", "real_name": "Bob B", "profile": {}})
    later = [{"type": "message", "user": "U2", "text": "Bye", "ts": "9.0"}]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("general/2021-01-02.json", json.dumps(later))
        archive.writestr("users.json", json.dumps(users))
        archive.writestr("channels.json", json.dumps([{"id": "C1", "name": "general", "creator": "U1", "members": []}]))
        archive.writestr("general/2021-01-01.json", json.dumps(SLACK_DAY))
        archive.writestr("random/2021-01-01.json", json.dumps(later))
        archive.writestr("random/2021-01-02.json", "[{")
    texts, notes = read(tmp_path, "slack.zip", buffer.getvalue())
    assert texts == ["Ann: Ask @Bob B: R&D, see the page\nBob B: OK\nBob B: Bye", "Bob B: Bye"]
    assert any("1 file skipped: broken JSON (slack.zip/random/2021-01-02.json" in note for note in notes)
    people = [{"uuid": "1", "full_name": "Ann Lee of Words", "email_address": "a@x.org"}]
    for listed in (users, people):
        (tmp_path / "users.json").write_text(json.dumps(listed))
        assert list(Reading([tmp_path / "users.json"])) == []


def test_signal(tmp_path: Path) -> None:
    rows = [{"date": "2021", "sender": "Ann", "body": "Hello", "quote": "", "reactions": []}]
    rows.append({"date": "2021", "sender": "Me", "body": "Yes", "quote": "", "reactions": []})
    assert read(tmp_path, "data.json", rows)[0] == ["Ann: Hello\nMe: Yes"]


# Assistants


def node(name: str, parent: str | None, role: str, content: object, **more: object) -> dict[str, object]:
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    message = None if content is None else {"author": {"role": role}, "content": content, "recipient": "all", **more}
    return {name: {"id": name, "message": message, "parent": parent, "children": []}}


def chatgpt(last: str | None = "d") -> dict[str, object]:
    hidden = {"is_visually_hidden_from_conversation": True}
    image = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://1"}
    mapping = {
        **node("r", None, "", None),
        **node("s", "r", "system", "You are ChatGPT.", metadata=hidden),
        **node("u", "s", "user", {"content_type": "user_editable_context", "user_profile": "I am Ann"}),
        **node("a", "u", "user", {"content_type": "multimodal_text", "parts": [image, "What is it?"]}),
        **node("b", "a", "assistant", "A cat."),
        **node("c", "a", "assistant", {"content_type": "code", "text": "print(2)"}, recipient="python"),
        **node("o", "c", "tool", {"content_type": "execution_output", "text": "2"}),
        **node("d", "o", "assistant", "A dog \ue200cite\ue202turn0\ue201of two【3†source】."),
    }
    for name, one in mapping.items():
        if one["parent"]:
            mapping[str(one["parent"])]["children"].append(name)  # type: ignore[attr-defined]
    return {"title": "A title of words", "create_time": 1.0, "mapping": mapping, "current_node": last}


TOLD = "User: What is it?\nAssistant: python(print(2))\nTool: 2\nAssistant: A dog of two."


def test_chatgpt_follows_the_branch_that_was_shown_last(tmp_path: Path) -> None:
    texts, notes = read(tmp_path, "conversations.json", [chatgpt(), chatgpt("b"), chatgpt(None)])
    assert texts == [TOLD, "User: What is it?\nAssistant: A cat.", TOLD]
    assert "conversations of ChatGPT" in notes[0]
    assert any(note.startswith("5 parts left out: other branches of conversations (") for note in notes), notes


@pytest.mark.parametrize("packed", ["one", "lines", "object"])
def test_chatgpt_in_other_packings(tmp_path: Path, packed: str) -> None:
    rows = [chatgpt()] if packed == "one" else [chatgpt(), chatgpt()]
    if packed == "lines":
        content: object = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        content = chatgpt() if packed == "object" else rows
    assert read(tmp_path, "chat.json", content)[0] == [TOLD] * (2 if packed == "lines" else 1)


def test_a_circle_of_messages_ends(tmp_path: Path) -> None:
    row = chatgpt("d")
    row["mapping"]["a"]["parent"] = "d"  # type: ignore[index]
    assert read(tmp_path, "c.json", [row])[0] == [TOLD]


def test_titles_are_never_taken_in_place_of_messages(tmp_path: Path) -> None:
    rows = [{"id": str(n), "conversation_id": "c", "title": f"Words of a title {n}"} for n in range(9)]
    path = tmp_path / "shared_conversations.json"
    path.write_text(json.dumps(rows))
    (tmp_path / "conversations.json").write_text(json.dumps([chatgpt()]))
    reading = Reading([path, tmp_path / "conversations.json"])
    assert [document.text for document in reading] == [TOLD]
    assert any("titles of conversations, without their messages" in note for note in reading.notes)
    assert any("9 of 10 rows skipped" in note for note in reading.notes)


CLAUDE = {
    "uuid": "1",
    "name": "A name of words",
    "chat_messages": [
        {"uuid": "2", "text": "Hello", "content": [{"type": "text", "text": "Hello"}], "sender": "human"},
        {
            "uuid": "3",
            "text": "Hi",
            "content": [
                {"type": "text", "text": "Hi"},
                {"type": "tool_use", "name": "search", "input": {"q": "cats"}},
                {"type": "tool_result", "content": [{"type": "text", "text": "9 cats"}]},
            ],
            "sender": "assistant",
            "attachments": [],
        },
        {
            "uuid": "4",
            "text": "Read it",
            "sender": "human",
            "attachments": [{"file_name": "a.txt", "extracted_content": "Text of the file."}],
        },
    ],
}
CLAUDE_TOLD = 'User: Hello\nAssistant: Hi\nsearch({"q": "cats"})\n9 cats\nUser: Read it\nText of the file.'


@pytest.mark.parametrize("content", [[CLAUDE], CLAUDE, json.dumps(CLAUDE) + "\n" + json.dumps(CLAUDE)])
def test_claude(tmp_path: Path, content: object) -> None:
    assert set(read(tmp_path, "conversations.json", content)[0]) == {CLAUDE_TOLD}


CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
OPENAI = {
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "1", "content": "Rain"},
        {"role": "assistant", "content": "It rains."},
    ],
    "tools": [],
}
OPENAI_TOLD = 'System: Be brief.\nUser: Look\nAssistant: weather({"city": "Rome"})\nTool: Rain\nAssistant: It rains.'
GEMINI = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "Look"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Rome"}}}]},
        {"role": "tool", "parts": [{"functionResponse": {"name": "weather", "response": "Rain"}}]},
        {"role": "model", "parts": [{"text": "It rains."}]},
    ],
}
ANTHROPIC = {
    "system": [{"type": "text", "text": "Be brief."}],
    "messages": [
        {"role": "user", "content": "Look"},
        {"role": "assistant", "content": [{"type": "tool_use", "name": "weather", "input": {"city": "Rome"}}]},
        {"role": "tool", "content": [{"type": "tool_result", "content": "Rain"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "It rains."}]},
    ],
}


@pytest.mark.parametrize("row", [OPENAI, GEMINI, ANTHROPIC, {"body": OPENAI, "custom_id": "words of an id"}])
@pytest.mark.parametrize("packed", ["lines", "list", "object"])
def test_shapes_of_apis(tmp_path: Path, row: object, packed: str) -> None:
    content = {"lines": (json.dumps(row) + "\n") * 3, "list": [row] * 3, "object": row}[packed]
    assert read(tmp_path, "a.json", content)[0] == [OPENAI_TOLD] * (1 if packed == "object" else 3)


def test_one_conversation_as_a_bare_list_and_as_a_message_a_line(tmp_path: Path) -> None:
    messages = OPENAI["messages"]
    assert isinstance(messages, list)
    assert read(tmp_path, "a.json", messages)[0] == [OPENAI_TOLD]
    assert read(tmp_path, "a.jsonl", "".join(json.dumps(one) + "\n" for one in messages))[0] == [OPENAI_TOLD]


def test_logs_of_programs_that_talk_with_models(tmp_path: Path) -> None:
    call = {"type": "tool_use", "name": "Bash", "input": {"command": "ls"}}
    rows = [
        {"type": "summary", "summary": "A summary of words"},
        {"type": "user", "message": {"role": "user", "content": "Fix it"}, "uuid": "1"},
        {"type": "assistant", "message": {"role": "assistant", "content": [{"type": "text", "text": "Done."}, call]}},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    assert read(tmp_path, "session.jsonl", lines)[0] == ['User: Fix it\nAssistant: Done.\nBash({"command": "ls"})']
    tavern = [{"user_name": "You", "character_name": "Bot"}, {"name": "You", "is_user": True, "mes": "Hi"}]
    tavern.append({"name": "Botty", "is_user": False, "mes": "Yo"})
    assert read(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in tavern))[0] == ["You: Hi\nBotty: Yo"]


TURNS = [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "B."}]


@pytest.mark.parametrize(
    "row",
    [
        {"id": "x", "conversations": [{"from": "human", "value": "A?"}, {"from": "gpt", "value": "B."}]},
        {"conversation_id": "x", "model": "vicuna-13b", "conversation": TURNS, "turn": 1},
        {"prompt": "A?", "chosen": TURNS, "rejected": TURNS[:1]},
        {"prompt": TURNS[:1], "completion": TURNS[1:]},
        {"prompt": TURNS[:1], "chosen": TURNS[1:], "rejected": TURNS[:1]},
        {"chunkedPrompt": {"chunks": [{"role": "user", "text": "A?"}, {"role": "model", "text": "B."}]}},
        {"instruction": "A?", "output": "B.", "history": []},
        {"question_id": 1, "winner": "model_b", "conversation_a": TURNS[:1], "conversation_b": TURNS},
    ],
)
def test_rows_of_conversations(tmp_path: Path, row: object) -> None:
    assert read(tmp_path, "a.jsonl", (json.dumps(row) + "\n") * 3)[0] == ["User: A?\nAssistant: B."] * 3


def test_rounds_before_an_instruction_are_kept(tmp_path: Path) -> None:
    row = {"instruction": "C?", "input": "", "output": "D.", "history": [["A?", "B."]]}
    told = "User: A?\nAssistant: B.\nUser: C?\nAssistant: D."
    assert read(tmp_path, "a.jsonl", (json.dumps(row) + "\n") * 3)[0] == [told] * 3


def test_activity_of_gemini(tmp_path: Path) -> None:
    row = {
        "header": "Gemini Apps",
        "title": "Prompted What is it?",
        "time": "2025",
        "safeHtmlItem": [{"html": "<p>A <b>cat</b> &amp; a dog.</p><p>Yes.</p>"}],
    }
    assert read(tmp_path, "MyActivity.json", [row])[0] == ["User: What is it?\nAssistant: A cat & a dog.\nYes."]


# Forums


def texts_of(path: Path) -> list[str]:
    return [document.text for document in Reading([path])]


def test_reddit(tmp_path: Path) -> None:
    rows = [
        {"author": "a", "subreddit": "x", "body": "I think so &gt; you", "link_id": "t3_1", "score": 3},
        {"author": "[deleted]", "subreddit": "x", "body": "[deleted]", "score": 1},
        {"author": "b", "subreddit": "x", "body": "[removed]", "score": 1},
    ]
    posts = [
        {"author": "a", "subreddit": "x", "title": "A question", "selftext": "Why is it so?", "url": "u"},
        {"author": "a", "subreddit": "x", "title": "A title of a link", "selftext": "", "url": "u"},
        {"author": "a", "subreddit": "x", "title": "A title", "selftext": "[removed]", "url": "u"},
    ]
    path = tmp_path / "RC.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert texts_of(path) == ["I think so > you"]
    path.write_text("".join(json.dumps(row) + "\n" for row in posts))
    assert texts_of(path) == ["A question\n\nWhy is it so?"]


def test_an_archive_of_twitter(tmp_path: Path) -> None:
    path = tmp_path / "tweets.js"
    tweets = [
        {"tweet": {"id": "1", "full_text": "Hello &amp; bye https://t.co/abc"}},
        {"tweet": {"full_text": "RT @x: no"}},
    ]
    path.write_text(f"window.YTD.tweets.part0 = {json.dumps(tweets, indent=2)}")
    assert texts_of(path) == ["Hello & bye"]
    messages = [
        {"messageCreate": {"senderId": "2", "text": "Two", "createdAt": "2021-01-02"}},
        {"messageCreate": {"senderId": "1", "text": "One", "createdAt": "2021-01-01"}},
    ]
    talk = [{"dmConversation": {"conversationId": "1-2", "messages": messages}}]
    path.write_text(f"window.YTD.direct_messages.part0 = {json.dumps(talk)}")
    assert texts_of(path) == ["1: One\n2: Two"]
