"""Columns: rows with the text in one column or in two, named so or guessed by their content."""

import re
from collections import Counter
from collections.abc import Sequence

from daybreak.data.formats.rows.shape import MOST, Row, Shape, joined, plain, share

_PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text_a", "text_b"),
    ("source", "target"),
)
_ABOUT = frozenset(("bad", "rejected", "keywords", "tags", "label", "labels", "category", "author", "path", "file"))
_PROSE = ("sentence", "content", "body", "article", "document", "review", "story", "passage", "good", "markdown")
_NO_PROSE = re.compile(r"https?://\S+|[\w.+-]+@[\w.-]+|[\w./\\-]*\d[\w./\\:+-]*|\S*[_/\\]\S*")
_WORDS = re.compile(r"\w\s+\w|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]{2}|\w[,;:]?\s+\W?\w")


def code(rows: Sequence[Row]) -> Shape | None:
    for asked, answer in (("prompt", "canonical_solution"), ("text", "code")):
        if share(rows, asked) >= MOST and share(rows, answer) >= MOST:
            by = "" if asked == "prompt" else "\n\n"

            def text(row: Row, asked: str = asked, answer: str = answer, by: str = by) -> str | None:
                parts = [row.get(asked), row.get(answer)] if isinstance(row, dict) else []
                return by.join(part for part in parts if isinstance(part, str)) or None

            return Shape(f"rows are programming tasks, in the columns {asked!r} and {answer!r}", text, "code")
    return None


def text(rows: Sequence[Row]) -> Shape | None:
    if any(isinstance(row, dict) and isinstance(row.get("text"), str) for row in rows):
        return Shape("", lambda row: _column(row, "text"), column="text")
    return None


def _column(row: Row, name: str) -> str | None:
    value = row.get(name) if isinstance(row, dict) else row
    return value if isinstance(value, str) else plain(value) if isinstance(value, list) else None


def pairs(rows: Sequence[Row]) -> Shape | None:
    for one, other in _PAIRS:
        if share(rows, one, (str, list)) >= MOST and share(rows, other, (str, list)) >= MOST:
            said = f"the columns {one!r} and {other!r} hold the text"
            return Shape(said, lambda row, one=one, other=other: _both(row, one, other))  # type: ignore[misc]
    return None


def _both(row: Row, one: str, other: str) -> str | None:
    return joined(row.get(one), row.get(other)) or None if isinstance(row, dict) else None


def notebook(rows: Sequence[Row]) -> Shape | None:
    if share(rows, "cell_type") < MOST or share(rows, "source", (str, list)) < MOST:
        return None
    return Shape("rows are cells of a notebook", _cell, "code")


def _cell(row: Row) -> str | None:
    source = row.get("source") if isinstance(row, dict) else None
    return "".join(part for part in source if isinstance(part, str)) if isinstance(source, list) else source


def prose(rows: Sequence[Row]) -> Shape | None:
    """The column with the most prose: much text, in words, and different in every row."""
    values: dict[str, list[str]] = {}
    for row in rows:
        if isinstance(row, dict):
            for name, value in row.items():
                text = value if isinstance(value, str) else plain(value) if isinstance(value, list) else ""
                if text.strip():
                    values.setdefault(name, []).append(text)
    if not values:
        return None
    scores = Counter({name: _score(name, texts) for name, texts in values.items()})
    ranked = scores.most_common(2)
    (column, most) = ranked[0]
    if not most:
        return None
    if len(ranked) > 1 and ranked[1][1] >= 0.4 * most and column.lower() not in _PROSE:
        one, other = [name for name in values if name in (column, ranked[1][0])]
        said = f"{_named(one)} and {_named(other)} hold the text"
        return Shape(said, lambda row: _both(row, one, other))
    return Shape(f"{_named(column)} holds the text", lambda row: _column(row, column), column=column)


def _score(name: str, texts: Sequence[str]) -> float:
    """Characters of prose in the column: none where values are numbers, addresses, names of files or few."""
    prose = [text for text in texts if not _NO_PROSE.fullmatch(text)]
    wordy = sum(len(text) for text in prose if _WORDS.search(text[:2000]))
    distinct = len(set(texts)) / len(texts)
    size = wordy + 0.1 * (sum(map(len, prose)) - wordy)
    return size * distinct**2 * (4 if name.lower() in _PROSE else 0.1 if name.lower() in _ABOUT else 1)


def _named(column: str) -> str:
    return column if column.startswith("column ") else f"the column {column!r}"
