"""Shape: where in a file's rows the text is and how a row becomes text; what guesses of it share."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from daybreak.data.formats.findings import NO_TEXT

Row = object  # a string, a dictionary of a row's columns, or a list
MOST = 0.5  # share of the sampled rows that must have a shape
SAID = ("content", "value", "text", "utterance", "message")


@dataclass(frozen=True)
class Shape:
    """The kind of a file's rows, how a row becomes text, and how the text may be cleaned."""

    said: str
    text: Callable[[Row], str | None]
    kind: str = "text"
    column: str = ""  # the one column that holds the text
    left_out: Callable[[Row], Iterable[str]] | None = None  # a row's texts that are not read, such as other branches
    left: str = ""  # what they are
    nothing: bool = False  # such rows are known to hold no text, whatever a column of them looks like
    named: bool = True  # by its name or its form; False: by how the values look, which a name in another row outweighs
    # What the first rows of a file have told:
    usual: frozenset[tuple[object, ...]] = frozenset()  # columns of those that have text
    beside: frozenset[object] = frozenset()  # columns with something in them, in rows whose text is elsewhere
    blank: frozenset[object] = frozenset()  # columns with a name of text and nothing in them

    def missing(self, row: Row) -> str:
        """Why the row has no text, in a few words."""
        if not self.column or not isinstance(row, dict):
            return NO_TEXT
        if self.column not in row:
            return f"they have no column {self.column!r}"
        value = row[self.column]
        empty = value is None or value in ("", [], {}) or (isinstance(value, str) and value.isspace())
        return f"the column {self.column!r} is empty" if empty else f"the column {self.column!r} holds no text"

    def unlike(self, first: "Shape") -> str:
        """What rows of this shape are, in a file whose first rows have another."""
        if self.column and first.column:
            return f"have their text in {self.column!r}, not in {first.column!r}"
        if self.column:
            return f"have their text in {self.column!r}, unlike the first rows"
        return f"are read in another way than the first rows: {self.said}" if self.said else "are nothing but a text"


def share(rows: Sequence[Row], name: str, kind: type | tuple[type, ...] = str) -> float:
    """The share of the rows with a value of this kind in the column."""
    return sum(isinstance(row, dict) and isinstance(row.get(name), kind) for row in rows) / len(rows)


def first(rows: Sequence[Row], names: Sequence[str], kind: type | tuple[type, ...] = str) -> str:
    return next((name for name in names if share(rows, name, kind) >= MOST), "")


def joined(*parts: object, by: str = "\n") -> str:
    return by.join(text for part in parts if (text := plain(part)))


def plain(value: object, by: str = " ") -> str:
    """The text of a column: a string, or strings in a list, as sentences of an abstract and answers come."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        parts = (
            part.strip() if isinstance(part, str) else plain(part) for part in value if isinstance(part, str | dict)
        )
        return by.join(part for part in parts if part)
    if isinstance(value, dict):
        return plain(next((value[name] for name in (*SAID, "output") if name in value), ""))
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
