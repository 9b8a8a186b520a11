"""Nested: rows whose text is in an object of theirs: wrapped rows, translations, trees of messages, cells in lists."""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from daybreak.data.formats.rows import chats, columns
from daybreak.data.formats.rows.chats import spoken
from daybreak.data.formats.rows.layout import LANGUAGE, characters, prose_characters
from daybreak.data.formats.rows.shape import MOST, SAID, Row, Shape, listed

_MOST = 0.6  # share of a row's text that is in its one object
_DEEPEST = 6  # levels of objects that become dotted columns
_DEEPEST_LEAF = 40
_LEAST_REACHED = 0.4  # share of a row's text that is in its columns themselves
_HEADINGS = frozenset(("title", "heading", "header", "headline"))
_TRANSLATIONS = ("translation", "translations")
_LANGUAGES = ("lang", "language", "locale", "lang_code", "language_code")
_REPLIES = ("replies", "children")
_TURNS = 1000  # most along a tree
_SPEAKERS = ("role", "from", "speaker", "author")
_BARE_LANGUAGE = re.compile(r"[a-z]{2}|[a-z]{2,3}[_-][A-Za-z]{2,8}")  # longer names are those of columns, too


# Wrapped rows


def wrapped(rows: Sequence[Row], shape_of: Callable[[Sequence[Row]], Shape], none: Shape) -> Shape | None:
    """The rows are in one column, as searches and viewers answer: {"_source": {"text": ..}}, {"row": {"text": ..}}.

    shape_of: guesses the shape of what is in it; none: what it gives where it finds none.
    """
    column = _wrapping(rows)
    if not column:
        return None
    inner = [row[column] for row in rows if isinstance(row, dict) and isinstance(row.get(column), dict)]
    found = shape_of(inner)
    if found is none:
        return None
    said = f"in {column!r}, {found.said}" if found.said else ""
    name = f"{column}.{found.column}" if found.column else ""
    if name:
        said = f"the column {name!r} holds the text"

    def text(row: Row) -> str | None:
        value = row.get(column) if isinstance(row, dict) else None
        return found.text(value) if isinstance(value, dict) else None

    other = found.left_out

    def left_out(row: Row) -> Iterable[str]:
        value = row.get(column) if isinstance(row, dict) else None
        return other(value) if other and isinstance(value, dict) else ()

    return Shape(
        said,
        text,
        found.kind,
        column=name,
        named=found.named,
        left_out=left_out if other else None,
        left=found.left,
    )


def _wrapping(rows: Sequence[Row]) -> str:
    """The column of objects that has most of the rows' text; empty: there is none."""
    sizes: Counter[str] = Counter()
    objects: Counter[str] = Counter()
    for row in rows:
        for name, value in row.items() if isinstance(row, dict) else ():
            sizes[name] += int(characters(value))
            objects[name] += isinstance(value, dict) and bool(value)
    if not objects or _has_named(rows):
        return ""
    name = max(objects, key=lambda column: (objects[column] >= MOST * len(rows), sizes[column]))
    return name if objects[name] >= MOST * len(rows) and sizes[name] >= _MOST * sizes.total() > 0 else ""


def _has_named(rows: Sequence[Row]) -> bool:
    """A column of the rows themselves has a name of text and prose in it."""
    has = sum(isinstance(row, dict) and any(_is_prose(row.get(name)) for name in columns.NAMES) for row in rows)
    return has >= MOST * len(rows)


def _is_prose(value: object) -> bool:
    return isinstance(value, str) and prose_characters(value) == len(value) > 0


# Dotted columns


def dotted(rows: Sequence[Row]) -> Shape | None:
    """The text is some levels down, beside other objects: {"question": {"body": ..}, "answer": {"body": ..}}."""
    if _has_named(rows):
        return None
    own = nested = 0.0
    for row in rows:
        for value in row.values() if isinstance(row, dict) else ():
            if isinstance(value, dict):
                nested += characters(value)
            else:
                own += characters(value)
    if nested <= own:
        return None
    found = columns.prose([dict(_flat(row)) for row in rows if isinstance(row, dict)])
    if found is None:
        return None
    text = found.text
    return dataclasses.replace(found, text=lambda row: text(dict(_flat(row))) if isinstance(row, dict) else None)


def _flat(row: Mapping[str, object], before: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    """Columns of the row and of the objects in it, named with dots."""
    for name, value in row.items():
        if isinstance(value, dict) and depth < _DEEPEST:
            yield from _flat(value, f"{before}{name}.", depth + 1)
        else:
            yield f"{before}{name}", value


# Texts deep below


def deep(rows: Sequence[Row]) -> Shape | None:
    """Texts in lists of objects in lists, such as the paragraphs of chapters: those that hold the most, in order."""
    if _has_named(rows):
        return None
    reached = total = 0.0
    for row in rows:
        for name, value in row.items() if isinstance(row, dict) else ():
            total += characters(value)
            reached += prose_characters(columns.column(row, name) or "")
    if not total or reached >= _LEAST_REACHED * total:
        return None
    sizes: Counter[str] = Counter()
    prose: Counter[str] = Counter()
    for row in rows:
        for path, text in _leaves(row):
            sizes[path] += len(text)
            prose[path] += int(prose_characters(text))
    if not sizes:
        return None
    most = max(sizes, key=lambda path: sizes[path])
    wordy = 2 * prose[most] >= sizes[most]
    headings = [path for path in sizes if path.rpartition(".")[2].lower() in _HEADINGS and wordy]
    kept = frozenset(path for path in sizes if path == most or path in headings or prose[path] >= 0.3 * prose[most] > 0)
    by = "\n" if wordy else " "
    listing = " and ".join(f"the column {path!r}" for path in sizes if path in kept)
    said = f"{listing} {'holds' if len(kept) == 1 else 'hold'} the text"
    return Shape(said, lambda row: by.join(text for path, text in _leaves(row) if path in kept) or None, named=False)


def _leaves(value: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """The texts below, in order, each with the names that lead to it; names of files, numbers and so on are none."""
    if isinstance(value, str):
        if (text := value.strip()) and not columns.NO_PROSE.fullmatch(text):
            yield path, text
    elif depth < _DEEPEST_LEAF:
        if isinstance(value, dict):
            for name, part in value.items():
                yield from _leaves(part, f"{path}.{name}" if path else str(name), depth + 1)
        for part in listed(value):
            yield from _leaves(part, path, depth + 1)


# Translations


def translations(rows: Sequence[Row]) -> Shape | None:
    """A text in several languages, as corpora of translations have it: {"translation": {"en": .., "fr": ..}}."""
    for column in (*_TRANSLATIONS, ""):
        sides = [_sides(row, column) for row in rows]
        if 2 * sum(len(side) > 1 for side in sides) > len(rows):
            languages = " and ".join(dict.fromkeys(name for side in sides for name in side))
            said = f"rows are translations ({languages}); a document has all of a row's"
            return Shape(said, lambda row, column=column: "\n".join(_sides(row, column).values()) or None)  # type: ignore[misc]
    return None


def _sides(row: Row, column: str) -> dict[str, str]:
    """The texts by their languages."""
    of = row.get(column) if column and isinstance(row, dict) else row
    if isinstance(of, list) and column:  # of objects, each with a language and a text
        of = {str(_first(side, _LANGUAGES)): _first(side, SAID) for side in of if isinstance(side, dict)}
    if not isinstance(of, dict):
        return {}
    form = LANGUAGE if column else _BARE_LANGUAGE
    names = [name for name in of if isinstance(name, str) and form.fullmatch(name)]
    if not column and 2 * len(names) < len(of):
        return {}
    texts = {name: value.strip() for name in names if isinstance(value := of[name], str) and value.strip()}
    return {name: text for name, text in texts.items() if column or name != "id" or _is_prose(text)}


def _first(of: Mapping[str, object], names: Sequence[str]) -> object:
    return next((of[name] for name in names if name in of), None)


# Trees of messages


def trees(rows: Sequence[Row]) -> Shape | None:
    """A message with replies to replies, as OpenAssistant has them (arXiv:2304.07327): the best-ranked are read."""
    if 2 * sum(_root(row) is not None for row in rows) <= len(rows):
        return None
    said = "rows are trees of messages; at each message the best-ranked reply is read"
    left = "replies beside the best-ranked ones"
    return Shape(said, _branch, "dialogue", left_out=_other_replies, left=left)


def _root(row: Row) -> Mapping[str, object] | None:
    if not isinstance(row, dict):
        return None
    for root in (row.get("prompt"), row):
        if isinstance(root, dict) and _said(root) and _replies(root):
            return root
    return None


def _said(message: Mapping[str, object]) -> str:
    return next((text for name in (*SAID, "body") if isinstance(text := message.get(name), str) and text.strip()), "")


def _replies(message: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The replies that say something, the best-ranked first; without ranks in their order."""
    of = next((message[name] for name in _REPLIES if isinstance(message.get(name), list)), [])
    replies = [reply for reply in listed(of) if isinstance(reply, dict) and _said(reply)]
    return sorted(replies, key=lambda reply: rank if isinstance(rank := reply.get("rank"), int) else len(replies))


def _branch(row: Row) -> str | None:
    message = _root(row) or (row.get("prompt", row) if isinstance(row, dict) else None)
    lines: list[str] = []
    while isinstance(message, dict) and _said(message) and len(lines) < _TURNS:
        speaker = next((message[name] for name in (*_SPEAKERS, "user") if message.get(name)), "")
        lines.append(spoken(speaker if isinstance(speaker, str) else "", _said(message)))
        message = next(iter(_replies(message)), None)
    return "\n".join(lines) or None


def _other_replies(row: Row) -> Iterator[str]:
    """What the replies say that the branch passes by, and the replies to them."""
    waiting: list[Mapping[str, object]] = []
    message = _root(row)
    while message is not None:
        replies = _replies(message)
        waiting += replies[1:]
        message = replies[0] if replies else None
    while waiting:
        message = waiting.pop()
        yield _said(message)
        waiting += _replies(message)


# Conversations in a column of any name


def turns(rows: Sequence[Row]) -> Shape | None:
    """A column of any name whose lists are turns: each with a speaker and something said."""
    counts = Counter(
        name
        for row in rows
        for name, value in (row.items() if isinstance(row, dict) else ())
        if isinstance(value, list) and value and all(_is_turn(turn) for turn in value)
    )
    column, count = counts.most_common(1)[0] if counts else ("", 0)
    if 2 * count <= len(rows):
        return None
    found = chats.turns([{"messages": row.get(column)} for row in rows if isinstance(row, dict)])
    if found is None:
        return None
    text = found.text
    return dataclasses.replace(
        found,
        said=f"rows are dialogues, in the column {column!r}",
        text=lambda row: text({**row, "messages": row.get(column)}) if isinstance(row, dict) else None,
    )


def _is_turn(turn: object) -> bool:
    return (
        isinstance(turn, dict)
        and any(isinstance(turn.get(name), str) for name in _SPEAKERS)
        and any(turn.get(name) is not None for name in SAID)
    )


# Rows that are lists of cells


def cells(rows: Sequence[Row]) -> Shape | None:
    """Rows that are lists: ["the text", {"label": 1}]. The cell with the most prose is the text."""
    if 2 * sum(isinstance(row, list) for row in rows) <= len(rows):
        return None
    found = columns.prose([_named(row) for row in rows if isinstance(row, list)])
    if found is None:
        return None
    text = found.text
    return dataclasses.replace(found, text=lambda row: text(_named(row)) if isinstance(row, list) else None)


def _named(row: Sequence[object]) -> dict[str, object]:
    return {f"column {number}": cell for number, cell in enumerate(row, 1)}
