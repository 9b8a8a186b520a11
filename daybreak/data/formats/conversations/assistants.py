"""Assistants: conversations as ChatGPT and Claude export them, a row each, and what in their archives is none."""

import re
from collections.abc import Iterator, Mapping, Sequence

from daybreak.data.formats.rows.messages import contents, spoken
from daybreak.data.formats.rows.shape import MOST, Row, Shape, joined, listed, share

# Signs that ChatGPT writes for a source in a text: they say nothing without the page that shows them.
_CITED = re.compile("\ue200.*?\ue201|【\\d+[:†][^】]{0,80}】", re.S)
_HIDDEN = ("user_editable_context", "model_editable_context", "thoughts", "reasoning_recap", "tether_browsing_display")
_TITLES = frozenset(("id", "conversation_id", "title", "is_anonymous", "create_time", "update_time"))
_LISTS = ({"team_id", "profile", "name"}, {"creator", "members", "name"}, {"uuid", "full_name", "email_address"})
_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)[^<>]{0,500}>", re.I)


def chatgpt(rows: Sequence[Row]) -> Shape | None:
    """Conversations that are trees of messages, of which the branch is read that was shown last."""
    if share(rows, "mapping", dict) < MOST:
        return None
    said = "rows are conversations of ChatGPT; of each the branch that was shown last is read, without hidden messages"
    return Shape(said, _conversation, "dialogue", left_out=_other_branches, left="other branches of conversations")


def _conversation(row: Row) -> str | None:
    if not isinstance(row, dict) or not isinstance(mapping := row.get("mapping"), dict):
        return None
    lines = [line for node in _branch(mapping, row.get("current_node")) if (line := _line(node.get("message")))]
    return "\n".join(lines) or None


def _other_branches(row: Row) -> Iterator[str]:
    """What the messages say that the branch passes by."""
    if isinstance(row, dict) and isinstance(mapping := row.get("mapping"), dict):
        shown = {id(node) for node in _branch(mapping, row.get("current_node"))}
        for node in mapping.values():
            if isinstance(node, dict) and id(node) not in shown and (line := _line(node.get("message"))):
                yield line


def _branch(mapping: Mapping[str, object], last: object) -> Iterator[Mapping[str, object]]:
    """From the root to the message that was shown last, or to the last child of the last child."""
    nodes = {key: node for key, node in mapping.items() if isinstance(node, dict)}
    if last not in nodes:
        last = next((key for key, node in nodes.items() if node.get("parent") not in nodes), None)
        seen: set[object] = set()
        while last in nodes and last not in seen:
            seen.add(last)
            below = [child for child in listed(nodes[str(last)].get("children")) if child in nodes]
            last = below[-1] if below else last
    path: list[Mapping[str, object]] = []
    while isinstance(last, str) and (node := nodes.pop(last, None)):
        path.append(node)
        last = node.get("parent")
    return reversed(path)


def _line(message: object) -> str | None:
    if not isinstance(message, dict):
        return None
    author, content, about = (message.get(name) for name in ("author", "content", "metadata"))
    role = author.get("role") if isinstance(author, dict) else author
    if isinstance(about, dict) and about.get("is_visually_hidden_from_conversation"):
        return None
    if not isinstance(content, dict) or role == "system" or content.get("content_type") in _HIDDEN:
        return None
    text = contents(content.get("parts")) or contents(content.get("text")) or contents(content.get("result"))
    text = _CITED.sub("", text).strip()
    if not text:
        return None
    to = message.get("recipient")
    return spoken(role, f"{to}({text})" if role == "assistant" and isinstance(to, str) and to != "all" else text)


def gemini_activity(rows: Sequence[Row]) -> Shape | None:
    """Gemini's entries in what Google's Takeout writes of somebody's activity: the prompt in a title, HTML below it."""
    if share(rows, "safeHtmlItem", list) < MOST or share(rows, "title") < MOST:
        return None
    return Shape("rows are prompts and answers of Gemini", _activity, "dialogue")


def _activity(row: Row) -> str | None:
    if not isinstance(row, dict) or not isinstance(row.get("title"), str):
        return None
    answers = [part.get("html") for part in listed(row.get("safeHtmlItem")) if isinstance(part, dict)]
    answer = joined(*(plain_html(part) for part in answers if isinstance(part, str)))
    return (
        f"{spoken('user', row['title'].removeprefix('Prompted '))}\n{spoken('assistant', answer)}" if answer else None
    )


def plain_html(text: str) -> str:
    """A few elements of HTML as text."""
    import html

    inline = ("a", "b", "i", "em", "strong", "code", "span", "u", "s", "sub", "sup")
    broken = _TAG.sub(lambda found: "" if found[2].lower() in inline else "\n", text)
    return re.sub(r"\s*\n\s*", "\n", html.unescape(broken)).strip()


def titles(rows: Sequence[Row]) -> Shape | None:
    """Lists of conversations without their messages, as archives of exports have them: nothing of them is text."""
    if all(isinstance(row, dict) and {"conversation_id", "title"} <= row.keys() <= _TITLES for row in rows):
        return Shape("rows are titles of conversations, without their messages", lambda row: None, nothing=True)
    return None


def lists_of_users(rows: Sequence[Row]) -> Shape | None:
    """Users and channels, as exports list them beside the messages: nothing of them is text."""
    if all(isinstance(row, dict) and any(names <= row.keys() for names in _LISTS) for row in rows):
        return Shape("rows are users or channels of a messenger, and no messages", lambda row: None, nothing=True)
    return None
