"""Documents of rows: the first rows tell where the text is, and every row becomes a document."""

from collections.abc import Iterable, Iterator
from itertools import chain

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.borders import texts_in
from daybreak.data.formats.findings import NO_COLUMN, NO_TEXT, Findings, Unsuitable
from daybreak.data.formats.pieces import WHOLE_ROW
from daybreak.data.formats.rows.shape import Row, Shape
from daybreak.data.formats.rows.shapes import NONE, Choices, shape_of
from daybreak.data.formats.texts import text_documents

_LICENCES = ("license", "licence", "licenses", "max_stars_repo_licenses", "copyright_license")  # columns
_ARE_LICENCES = frozenset(_LICENCES)
_LICENCE_CHARACTERS = 60
_GONE = frozenset(("[deleted]", "[removed]"))  # what forums leave in the place of a text


def row_documents(rows: Iterable[Row], name: str, findings: Findings, known: Shape | None = None) -> Iterator[Document]:
    """A document a row; only a book in a row is cut. The first rows tell where the text is, unless it is `known`; a row
    that has none there chooses for itself.

    Raises Unsuitable: no text is in them.
    """
    rows = iter(rows)
    broken: list[Exception] = []
    first = [] if known else looked_at(rows, broken)
    found = known or shape_of(first)
    if found.said and not known:
        findings.say(name, found.said)
    choices, text_of, unsure = Choices(found), found.text, not found.named
    waiting: list[tuple[str, int]] | None = [] if found is NONE and not known else None  # reasons, before any text
    for row in chain(first, rows):
        text, shape = text_of(row), found
        if not text or text.isspace() or (unsure and _is_unusual(row, found)):
            other = choices.of(row)
            if other and (other.named or not text):
                text, shape = other.text(row), other
                findings.say_rows(name, other.unlike(found))
            if not text or text.isspace():
                if waiting is None:
                    findings.skip_row(found.missing(row), _size_of(row))
                else:
                    waiting.append((found.missing(row), _size_of(row)))
                continue
        if waiting is not None:
            _skip(findings, waiting)
            waiting = None
        if len(text) < 10 and text in _GONE:
            findings.skip_row(NO_TEXT, _size_of(row))
            continue
        findings.rows_seen += 1
        if shape.left_out is not None:
            for left in shape.left_out(row):
                findings.leave_part(shape.left, len(left.encode(errors="replace")))
        if named := licence(row):
            findings.licence(named)
        for part in texts_in(text, name, findings):
            if len(part) <= WHOLE_ROW // 4 and part.isascii():
                yield Document(part, True, shape.kind)
            else:
                yield from text_documents(part, shape.kind, name, findings)
    if broken:
        raise broken[0]
    if waiting:
        raise Unsuitable(NO_COLUMN)


def _skip(findings: Findings, rows: Iterable[tuple[str, int]]) -> None:
    for reason, size in rows:
        findings.skip_row(reason, size)


def _is_unusual(row: Row, found: Shape) -> bool:
    """It has other columns than the first rows, or something in a column that was empty in them."""
    if not isinstance(row, dict):
        return False
    return tuple(row) not in found.usual or any(row.get(name) for name in found.blank)


def _size_of(row: Row) -> int:
    """About how many bytes the row takes as JSON."""
    import orjson

    try:
        return len(orjson.dumps(row, default=str))
    except (TypeError, ValueError):  # half of a surrogate pair, or deeper than that goes
        return 0


def licence(row: Row) -> str:
    """The licence that a row names; empty where it names none."""
    if not isinstance(row, dict) or _ARE_LICENCES.isdisjoint(row):
        return ""
    for name in _LICENCES:
        if value := row.get(name):
            values = value if isinstance(value, list) else [value]
            return ", ".join(sorted({v.strip() for v in values if isinstance(v, str)}))[:_LICENCE_CHARACTERS]
    return ""


def looked_at(rows: Iterator[Row], broken: list[Exception] | None = None) -> list[Row]:
    """The first rows, enough to guess from.

    broken: is given the error that ends them too early, so that what came before it can be read first.
    """
    first: list[Row] = []
    size = 0
    try:
        for row in rows:
            first.append(row)
            size += len(row) if isinstance(row, str) else sum(len(v) for v in _values(row) if isinstance(v, str))
            if len(first) == limits.LOOKED_AT_ROWS or size > limits.LOOKED_AT_BYTES:
                break
    except Exception as error:
        if broken is None or not first:
            raise
        broken.append(error)
    return first


def _values(row: Row) -> Iterable[object]:
    return row.values() if isinstance(row, dict) else row if isinstance(row, list) else ()
