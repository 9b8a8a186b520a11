"""Layout: where in a JSON value its rows lie, chosen by a look at the first levels of the tree."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from daybreak.data.formats.rows.frames import split_names
from daybreak.data.formats.rows.shape import SAID, Row

_LOOKED_AT = 50  # elements of a list, or values of an object, that stand for all of them
_DEEPEST = 24  # levels that are looked at
_MOST = 0.8  # share of the text below a key that the search goes on into
TEXTS = ("text", "content", "body", "article", "document", "full_text", "raw_content", "markdown", "selftext", "story")
# Lists under these keys are parts of one text, or turns of one conversation: what holds them is the row.
TURNS = ("messages", "conversations", "conversation", "turns", "dialogue", "dialog", "chat_messages", "mapping")
SPEAKERS = ("role", "from", "speaker", "author", "user", "sender", "name", "is_user")
_PARTS = (
    *("paragraphs", "sentences", "lines", "sections", "chapters", "pages", "segments", "body_text", "abstract"),
    *("blocks", "utterances", "tokens", "words", "tags", "keywords", "authors", *TEXTS),
)
# What fields of one record are called; a dictionary of texts has other keys.
_CONTAINERS = ("data", "rows", "records", "items", "results", "docs", "documents", "hits", "posts", "entries")
_FIELDS = frozenset(
    (
        *TEXTS,
        *("title", "name", "id", "url", "link", "author", "date", "description", "summary", "label", "category"),
        *("source", "target", "lang", "language", "license", "type", "version", "question", "answer", "prompt"),
        *("completion", "response", "instruction", "input", "output", "query", "context", "premise", "hypothesis"),
        *("message", "error", "status", "code", "key", "value", "subject", "created", "updated", "homepage"),
    )
)
_NAME = re.compile(r"[^\W\d][\w .-]{0,40}")
LANGUAGE = re.compile(r"[a-z]{2,3}(?:[_-][A-Za-z]{2,8}){0,2}")  # BCP 47, and zho_Hans as FLORES has it
_DIGITS = re.compile(r"\d+")
_WORDS = re.compile(r"\w[,;:.!?]?\s+\W?\w|[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]{2}")
_LONG = 150  # characters of a text that is more than a field
_LEAST_PROSE = 20  # characters of a sentence
_OPENING = 2000  # characters of a text that tell whether it is prose


@dataclass(frozen=True)
class Layout:
    """The way from the root to the rows: a key a level, None for every element of a list and every value of an object.

    `like`: the columns of the rows, where lists of something else can lie beside theirs; None: all are rows.
    `beside`: the keys of such lists that hold text. `columns`: names for rows that are lists of cells; `header`: the
    first of them has the names. `keyed`: the keys of texts are text, too. `said`: what else is worth a word.
    """

    steps: tuple[str | None, ...] = ()
    like: frozenset[str] | None = None
    beside: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    header: bool = False
    keyed: bool = False
    said: str = ""

    def row(self, row: Row, key: object = None) -> Row:
        """The row, with its cells under their names; a text with its key where that belongs to it."""
        if self.keyed and isinstance(row, str):
            return f"{key}\n{row}"
        if self.columns and isinstance(row, list):
            return dict(zip(self.columns, row, strict=False))
        return row


def layout_of(value: object) -> Layout:
    """The layout of one JSON value, which may be the beginning of a longer one."""
    steps: list[str | None] = []
    for _ in range(_DEEPEST):
        if isinstance(value, list):
            return _of_list(value, (*steps, None))
        if not isinstance(value, dict):
            break
        if (split := split_names(value)) is not None:
            return Layout((*steps, split[1], None), columns=split[0])
        if is_dictionary(value):
            return _of_dictionary(value, (*steps, None))
        if is_row(value):
            break
        below = {key: characters(child) for key, child in value.items() if isinstance(child, dict | list)}
        if not any(below.values()):  # values of numbers, or nothing but its own strings
            below = dict.fromkeys(below, 1.0)
        key = max(below, key=lambda name: below[name], default="")
        child = value.get(key)
        if isinstance(child, list):
            return _lists(value, key, steps)
        if not isinstance(child, dict):
            break
        if _are_alike([part for part in value.values() if isinstance(part, dict)]):
            if all(_holds_rows(part) for part in value.values() if isinstance(part, dict)):  # {"a": {"data": [...]}}
                steps.append(None)
                value = child
                continue
            return Layout((*steps, None))
        if below[key] < _MOST * sum(below.values()) and not _holds_rows(child):
            break
        steps.append(key)
        value = child
    return Layout(tuple(steps))


def _lists(value: Mapping[str, object], key: str, steps: Sequence[str | None]) -> Layout:
    """Of an object with lists of rows: all that are like the one with the most text."""
    rows = value[key]
    assert isinstance(rows, list)
    like = _columns(rows)
    lists = {name: child for name, child in value.items() if isinstance(child, list) and child}
    if rows and isinstance(rows[0], list):
        found = _of_list(rows, (*steps, key, None))
        return found if found.columns or len(lists) < 2 else Layout((*steps, None, None))
    others = [name for name, child in lists.items() if not is_like(child, like) and has_prose(child)]
    return Layout((*steps, None, None), like, tuple(others))


def _columns(rows: object) -> frozenset[str]:
    first = [row for row in rows[:_LOOKED_AT] if isinstance(row, dict)] if isinstance(rows, list) else []
    return frozenset(name for row in first for name in row)


def _of_list(rows: Sequence[object], steps: tuple[str | None, ...]) -> Layout:
    """Rows that are lists of cells get names: those in the first of them, or numbers as a table without a header."""
    if len(steps) < _DEEPEST and (inner := _container(rows)):
        first = next(row[inner] for row in rows if isinstance(row, dict) and row.get(inner))
        return _of_list(first, (*steps, inner, None))
    lists = [row for row in rows[:_LOOKED_AT] if isinstance(row, list)]
    cells = [cell for row in lists for cell in row]
    # Lists of texts alone are turns of conversations; with numbers among them, or below names, they are a table.
    if not lists or len(lists) < len(rows[:_LOOKED_AT]) or any(isinstance(cell, list | dict) for cell in cells):
        return Layout(steps)
    header = len(lists) > 1 and _is_header(lists[0], lists[1:])
    if header:
        return Layout(steps, columns=tuple(map(str, lists[0])), header=True)
    if all(isinstance(cell, str) for cell in cells):
        return Layout(steps)
    return Layout(steps, columns=tuple(f"column {number + 1}" for number in range(max(map(len, lists)))))


def _container(rows: Sequence[object]) -> str:
    """The key under which objects of a list hold nearly all text as rows of their own, as exports of tables have it."""
    looked = [row for row in rows[:_LOOKED_AT] if isinstance(row, dict)]
    for name in _CONTAINERS:
        inner = [row[name] for row in looked if isinstance(row.get(name), list) and row[name]]
        if inner and all(isinstance(row[0], dict) for row in inner):
            total = sum(map(characters, looked))
            if sum(map(characters, inner)) >= _MOST * total > 0:
                return name
    return ""


def _is_header(names: Sequence[object], rows: Sequence[Sequence[object]]) -> bool:
    """Names of columns above cells: short words, each once, of which one at least is usual."""
    if len(names) < 2 or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        return False
    usual = any(str(name).lower() in _FIELDS for name in names)
    return len(set(names)) == len(names) and usual and all(len(row) <= len(names) for row in rows)


def is_like(rows: object, like: frozenset[str] | None) -> bool:
    """A list whose first element is a row with such columns. Without columns: a list of anything but objects."""
    if like is None or not isinstance(rows, list):
        return like is None
    first = rows[0] if rows else None
    if isinstance(first, dict):
        return 2 * len(like & first.keys()) >= min(len(first), len(like)) and bool(like)
    return not like


def _of_dictionary(value: Mapping[str, object], steps: tuple[str | None, ...]) -> Layout:
    """Texts by their keys: a question or a title of several words belongs to its text, a word alone is said."""
    keys = list(value)[:_LOOKED_AT]
    if sum(_WORDS.search(key) is not None for key in keys) >= _MOST * len(keys):
        return Layout(steps, keyed=True)
    words = len({_DIGITS.sub("0", key) for key in keys}) > 1
    return Layout(steps, said="texts by their keys, which are not read" if words else "")


def is_page(row: Sequence[object]) -> bool:
    """A list of rows in a row's place, as answers come in pages; turns of a conversation have speakers."""
    of = [part for part in row[:_LOOKED_AT] if isinstance(part, dict)]
    if not of or len(of) < len(row[:_LOOKED_AT]) or any(name in part for part in of for name in SPEAKERS):
        return False
    return all(any(isinstance(part.get(name), str) for name in (*TEXTS, *SAID)) for part in of)


def unrolled(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, with those of pages one by one."""
    for row in rows:
        if isinstance(row, list) and is_page(row):
            yield from row
        else:
            yield row


def is_row(value: Mapping[str, object]) -> bool:
    """The object is itself a row: its own strings are its text, or it holds one conversation."""
    own = {name: child for name, child in value.items() if isinstance(child, str) and child.strip()}
    if any(name in TEXTS for name in own):
        return True
    held = {name: child for name, child in value.items() if isinstance(child, dict | list) and child}
    if any(_are_turns(held.get(name)) for name in TURNS):
        return True
    if not held:
        return True
    below = {name: characters(child) for name, child in held.items()}
    most = max(below, key=lambda name: below[name])
    if sum(map(prose_characters, own.values())) >= below[most] > 0:
        return True
    return most in _PARTS and isinstance(held[most], list) and bool(own)


def is_dictionary(value: Mapping[str, object]) -> bool:
    """Texts by their keys: {"id 1": "a long text", "id 2": "another"}; a record names what its strings are."""
    texts = [text for text in value.values() if isinstance(text, str)]
    if len(texts) < 2 or len(texts) < 0.9 * len(value):
        return False
    fields = sum(key.lower() in _FIELDS for key in value)
    if fields > (0 if len(value) < 4 else 0.25 * len(value)):
        return False
    keys = {_DIGITS.sub("0", key) for key in list(value)[:_LOOKED_AT]}
    prose = [text for text in texts[:_LOOKED_AT] if prose_characters(text) == len(text)]
    many = len(keys) == 1 or len(value) >= 4 or all(len(text) >= _LONG for text in texts)
    languages = all(LANGUAGE.fullmatch(key) for key in list(value)[:_LOOKED_AT])
    return many and not languages and len(prose) >= _MOST * min(len(texts), _LOOKED_AT)


def _are_turns(value: object) -> bool:
    """What is under the key of a conversation: a tree of messages, or a list of things said."""
    if isinstance(value, dict):
        return any(isinstance(node, dict) and "message" in node for node in list(value.values())[:_LOOKED_AT])
    if not isinstance(value, list) or not value:
        return False
    said = [turn for turn in value[:_LOOKED_AT] if isinstance(turn, dict) and any(name in turn for name in SAID)]
    return 2 * len(said) >= min(len(value), _LOOKED_AT)


def _are_alike(parts: Sequence[Mapping[str, object]]) -> bool:
    """Two objects or more with mostly the same keys: records under their names."""
    if len(parts) < 2:
        return False
    first = parts[0].keys()
    counts = Counter(name for part in parts[:_LOOKED_AT] for name in part)
    if len(parts) > 3 and counts and counts.most_common(1)[0][1] >= _MOST * len(parts[:_LOOKED_AT]):
        return True
    return bool(first) and all(2 * len(first & part.keys()) >= max(len(first), len(part)) for part in parts[1:20])


def _holds_rows(value: object) -> bool:
    """On the way of the most text lies a list of rows."""
    for _ in range(_DEEPEST):
        if not isinstance(value, dict) or is_row(value):
            return False
        below = {key: characters(child) for key, child in value.items() if isinstance(child, dict | list)}
        if not below:
            return False
        key = max(below, key=lambda name: below[name])
        if isinstance(value[key], list):
            return key not in _PARTS
        value = value[key]
    return False


def prose_characters(text: str) -> float:
    """How many characters of prose the text has; words that stand alone count for little."""
    return float(len(text)) if _WORDS.search(text[:_OPENING]) else 0.1 * len(text)


def characters(value: object, depth: int = 0) -> float:
    """How many characters of prose are below: an estimate from the first elements, in time that does not grow."""
    if isinstance(value, str):
        return prose_characters(value)
    if depth == _DEEPEST or not isinstance(value, dict | list):
        return 0
    parts = list(value.values()) if isinstance(value, dict) else value
    if not parts:
        return 0
    looked = parts[: max(2, _LOOKED_AT >> (2 * depth))]
    return sum(characters(part, depth + 1) for part in looked) * len(parts) / len(looked)


def has_prose(value: object, depth: int = 0) -> bool:
    """There is a sentence in the first of what is below."""
    if isinstance(value, str):
        return len(value) >= _LEAST_PROSE and prose_characters(value) == len(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < _DEEPEST and any(has_prose(part, depth + 1) for part in list(parts)[: _LOOKED_AT >> depth])


def rows_of(value: object, layout: Layout) -> Iterator[Row]:
    """The rows of a value that is held whole."""
    found: list[object] = [value]
    if layout.keyed:
        *steps, _ = layout.steps
        for texts in rows_of(value, Layout(tuple(steps))):
            yield from (layout.row(text, key) for key, text in texts.items()) if isinstance(texts, dict) else ()
        return
    for level, step in enumerate(layout.steps):
        found = [child for part in found for child in _below(part, step)]
        if layout.like is not None and level == len(layout.steps) - 2:
            found = [child for child in found if is_like(child, layout.like)]
    for row in found[layout.header :]:
        yield layout.row(row)


def _below(value: object, step: str | None) -> list[object]:
    if step is None:
        return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value[step]] if isinstance(value, dict) and step in value else []
