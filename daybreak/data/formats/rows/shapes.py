"""Shapes: the guesses of a file's rows, in the order in which they are tried."""

import dataclasses
from collections.abc import Callable, Sequence

from daybreak.data.formats.conversations import assistants
from daybreak.data.formats.rows import cells, chats, columns, nested, posts, questions
from daybreak.data.formats.rows.shape import Row, Shape


def _wrapped(rows: Sequence[Row]) -> Shape | None:
    return nested.wrapped(rows, shape_of, NONE)


GUESSES: tuple[Callable[[Sequence[Row]], Shape | None], ...] = (
    nested.trees,
    columns.code,
    columns.text,
    nested.translations,
    assistants.chatgpt,
    assistants.gemini_activity,
    posts.reddit,
    assistants.titles,
    assistants.lists_of_users,
    chats.arena,
    chats.turns,
    chats.instructions,
    questions.squad,
    questions.c3,
    questions.answers,
    columns.pairs,
    columns.notebook,
    nested.turns,
    _wrapped,
    nested.dotted,
    nested.deep,
    columns.prose,
    nested.cells,
)
PLAIN = Shape("", lambda row: row if isinstance(row, str) else None)
NONE = Shape("", lambda row: None, named=False)  # the first rows hold no text: each chooses for itself


def shape_of(rows: Sequence[Row]) -> Shape:
    """The shape of a file's rows, guessed from the first ones, and what they tell of others; NONE: no text in them."""
    if not rows or all(isinstance(row, str) for row in rows):
        return cells.shape_in_cells(rows, PLAIN, shape_of, NONE) or PLAIN
    found = next((found for guess in GUESSES if (found := guess(rows))), None)
    blank = columns.blank(rows)
    if found is None or columns.only_titles(found):
        found = columns.instead_of_titles(rows, blank) or found
    if (in_cells := cells.shape_in_cells(rows, found, shape_of, NONE)) is not None:
        return in_cells
    if found is None:
        return NONE
    kept = [row for row in rows if isinstance(row, dict)]
    read = [row for row in kept if (found.text(row) or "").strip()]
    usual = frozenset(tuple(row) for row in read)
    beside = frozenset(
        name
        for row in read
        for name, value in row.items()
        if name != found.column and isinstance(value, str) and value.strip()
    )
    said = found.said
    if found.column and (unread := columns.unread(read, found.column)):
        said = f"{said or f'the column {found.column!r} holds the text'}; {unread}"
    return dataclasses.replace(found, said=said, usual=usual, beside=beside, blank=frozenset(blank))


class Choices:
    """Where a row has its text that has none where the first rows of its file have it: by itself and them alone, so
    that a part of a file gives what the whole gives.
    """

    def __init__(self, first: Shape) -> None:
        self._first = first
        self._known: dict[object, Shape | None] = {}  # by what the names and kinds of values tell

    def of(self, row: Row) -> Shape | None:
        """The shape that gives the row a text; None: it has none."""
        if isinstance(row, str):
            return PLAIN if row.strip() else None
        if self._first.nothing:
            return None
        form = _form(row)
        if form not in self._known:
            self._known[form] = _by_name(row)
        found = self._known[form]
        if found and (found.text(row) or "").strip():
            return found
        if not isinstance(row, dict) or self._first.column in row or tuple(row) in self._first.usual:
            return None  # its text is missing; what else it holds is not that
        return columns.own_prose(row, self._first)


def _by_name(row: Row) -> Shape | None:
    for guess in GUESSES:
        found = guess([row]) if guess is not columns.prose else columns.named(row)
        if found and found.nothing:
            return None
        if found and found.named and (found.text(row) or "").strip():
            return found
    return None


def _form(value: object, depth: int = 2) -> object:
    """Names and kinds of a row's values, as far as they tell the shape of it."""
    if isinstance(value, str):
        return len(value) > 1 and not value.isspace()
    if isinstance(value, dict) and depth:
        return tuple((name, _form(inner, depth - 1)) for name, inner in value.items())
    if isinstance(value, list):
        return list, len(value) > 0, _form(value[0], depth - 1) if value and depth else None
    return type(value)
