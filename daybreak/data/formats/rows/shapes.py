"""Shapes: the guesses of a file's rows, in the order in which they are tried."""

from collections.abc import Callable, Sequence

from daybreak.data.formats.findings import Unsuitable
from daybreak.data.formats.rows import chats, columns, questions
from daybreak.data.formats.rows.shape import Row, Shape

GUESSES: tuple[Callable[[Sequence[Row]], Shape | None], ...] = (
    columns.code,
    columns.text,
    chats.turns,
    chats.instructions,
    questions.squad,
    questions.c3,
    questions.answers,
    columns.pairs,
    columns.notebook,
    columns.prose,
)


def shape_of(rows: Sequence[Row]) -> Shape:
    """The shape of a file's rows, guessed from the first ones. Raises Unsuitable: they hold no text."""
    if not rows or all(isinstance(row, str) for row in rows):
        return Shape("", lambda row: row if isinstance(row, str) else None)
    for guess in GUESSES:
        if found := guess(rows):
            return found
    raise Unsuitable("it has no column of text")
