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
# Columns whose lists are of lines, not of sentences.
_LINED = frozenset(("lines", "paragraphs", "pages", "sections", "chapters", "verses", "body_text", "blocks", "content"))
_ABOUT = frozenset(("bad", "rejected", "keywords", "tags", "label", "labels", "category", "author", "path", "file"))
_PROSE = ("sentence", "content", "body", "article", "document", "review", "story", "passage", "good", "markdown")
NAMES = ("text", *_PROSE)  # of a column that holds the text, whatever else there is
_TITLES = frozenset(("title", "name", "subject", "headline", "heading", "summary", "id", "url"))  # never in its place
_LEAST_OWN = 12  # characters of prose in a row that alone tells where its text is; of Chinese half as many
_UNREAD_NAMED = 3  # columns of prose that are not read, named
NO_PROSE = re.compile(r"https?://\S+|[\w.+-]+@[\w.-]+|[\w./\\-]*\d[\w./\\:+-]*|\S*[_/\\]\S*")
_LETTER = re.compile(r"[^\W\d_]")
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
    """The column 'text', where most rows have it: in few of them it is no more than in those."""
    of = [row for row in rows if isinstance(row, dict)]
    values = [row["text"] for row in of if "text" in row]
    fitting = sum(value is None or isinstance(value, str) for value in values)
    if fitting >= MOST * len(of) and any(isinstance(value, str) and value.strip() for value in values):
        return _in_column("text", "")
    return None


def _in_column(name: str, said: str, *, named: bool = True) -> Shape:
    return Shape(said, lambda row: column(row, name), column=name, named=named)


def named(row: Row) -> Shape | None:
    """The first column of a row with a name of text and something in it."""
    if not isinstance(row, dict):
        return None
    lowered = {name.lower(): name for name in row if isinstance(name, str)}
    for name in NAMES:
        if name not in lowered:
            continue
        value = (column(row, lowered[name]) or "").strip()
        if len(value) > 1 and (name == "text" or _LETTER.search(value)):
            return _in_column(lowered[name], "")
    return None


def blank(rows: Sequence[Row]) -> list[str]:
    """Columns with a name of text that most rows have, and none with something in it."""
    of = [row for row in rows if isinstance(row, dict)]
    common = Counter(name for row in of for name in row if isinstance(name, str) and name.lower() in NAMES)
    names = [name for name, count in common.items() if count >= MOST * len(of)]
    return [name for name in names if not any((column(row, name) or "").strip() for row in of)]


def only_titles(found: Shape) -> bool:
    """Nothing but titles was found, which are no text in the place of one."""
    return not found.named and found.column.lower() in _TITLES


def instead_of_titles(rows: Sequence[Row], blank: Sequence[str]) -> Shape | None:
    """The column with a name of text that some rows have, filled in some or blank in all of the first."""
    filled = Counter(found.column for row in rows if (found := named(row)))
    name = filled.most_common(1)[0][0] if filled else next(iter(blank), "")
    return _in_column(name, f"{_named(name)} holds the text") if name else None


def own_prose(row: Row, first: Shape) -> Shape | None:
    """A column of a row that is prose, was not beside the text in the first rows, and is no title."""
    if not isinstance(row, dict):
        return None
    others = {
        name: value for name, value in row.items() if name not in first.beside and str(name).lower() not in _TITLES
    }
    found = prose([others])
    if found is None:
        return None
    text = found.text(others) or ""
    least = _LEAST_OWN if text.isascii() else _LEAST_OWN // 2
    return found if len(text.strip()) >= least and _WORDS.search(text[:2000]) else None


def unread(rows: Sequence[Row], column: str) -> str:
    """Columns of prose beside the one that is read, in a few words; empty: there is none."""
    texts: dict[str, list[str]] = {}
    for row in rows:
        for name, value in row.items() if isinstance(row, dict) else ():
            if name != column and isinstance(value, str) and value.strip():
                texts.setdefault(name, []).append(value)
    wordy = [
        name for name, of in texts.items() if 2 * sum(_is_wordy(value) for value in of) > len(of) and _score(name, of)
    ]
    if not wordy:
        return ""
    more = len(wordy) - _UNREAD_NAMED
    listing = ", ".join(map(repr, wordy[:_UNREAD_NAMED])) + (f" and {more} more" if more > 0 else "")
    return f"not read: {listing}"


def _is_wordy(value: str) -> bool:
    return len(value) >= _LEAST_OWN and not NO_PROSE.fullmatch(value) and _WORDS.search(value[:2000]) is not None


def column(row: Row, name: str) -> str | None:
    value = row.get(name) if isinstance(row, dict) else row
    if isinstance(value, str):
        return value
    by = "\n" if name.rpartition(".")[2].lower() in _LINED else " "
    return plain(value, by) if isinstance(value, list | dict) else None


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
    if len(ranked) > 1 and ranked[1][1] >= 0.4 * most and column.lower() not in NAMES:
        one, other = [name for name in values if name in (column, ranked[1][0])]
        said = f"{_named(one)} and {_named(other)} hold the text"
        return Shape(said, lambda row: _both(row, one, other), named=False)
    return _in_column(column, f"{_named(column)} holds the text", named=column.lower() in NAMES)


def _score(name: str, texts: Sequence[str]) -> float:
    """Characters of prose in the column: none where values are numbers, addresses, names of files or few."""
    prose = [text for text in texts if not NO_PROSE.fullmatch(text)]
    wordy = sum(_size(text) for text in prose if _WORDS.search(text[:2000]))
    distinct = len(set(texts)) / len(texts)
    size = wordy + 0.1 * (sum(map(_size, prose)) - wordy)
    return size * distinct**2 * (4 if name.lower() in NAMES else 0.1 if name.lower() in _ABOUT else 1)


def _size(text: str) -> int:
    """Bytes: a Chinese character says about as much as three letters."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _named(column: str) -> str:
    return column if column.startswith("column ") else f"the column {column!r}"
