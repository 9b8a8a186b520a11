"""Cells: strings in rows that are JSON, or what Python prints of lists and dictionaries, read as what they are."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from daybreak.data.formats.rows import lenient
from daybreak.data.formats.rows.shape import Row, Shape

_MOST = 0.8  # share of a column's cells that must be such values
_LEAST_CELL = 2


def opened(value: object) -> object:
    """The object or list that a string holds; the value itself where it holds none."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] not in ("{", "[") or text[-1:] not in ("}", "]"):
        return value
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        try:
            found, *others = lenient.values(text)
        except ValueError:
            return value
        if others:
            return value
    return found if isinstance(found, dict | list) else value


def shape_in_cells(
    rows: Sequence[Row], found: Shape | None, shape_of: Callable[[Sequence[Row]], Shape], none: Shape
) -> Shape | None:
    """The shape of rows whose text, as `found` has it, is in cells that hold JSON; None: it is not.

    shape_of: guesses the shape of the rows with those cells opened; none: what it gives where it finds none.
    """
    if all(isinstance(row, str) for row in rows):
        return _of_strings([row for row in rows if isinstance(row, str)], shape_of, none)
    names = frozenset(name for name in _columns(rows) if _is_packed(rows, name) and _is_read(rows, name, found))
    if not names:
        return None
    inner = shape_of([_open(row, names) for row in rows])
    listing = ", ".join(map(repr, sorted(names)))
    said = f"cells of {listing} hold JSON" + (f"; {inner.said}" if inner.said else "")
    if inner is none:  # numbers and the like: the text is in another column, if anywhere
        inner = shape_of([{name: cell for name, cell in row.items() if name not in names} for row in rows
                          if isinstance(row, dict)])  # fmt: skip
        return replace(inner, said=inner.said) if inner is not none else none
    text = inner.text
    return replace(inner, said=said, text=lambda row: text(_open(row, names)))


def _of_strings(rows: Sequence[str], shape_of: Callable[[Sequence[Row]], Shape], none: Shape) -> Shape | None:
    """Rows that were written as JSON twice."""
    values = [opened(row) for row in rows]
    if not rows or sum(isinstance(value, dict) for value in values) < _MOST * len(rows):
        return None
    inner = shape_of([value for value in values if isinstance(value, dict)])
    text = inner.text
    said = "rows are strings of JSON" + (f"; {inner.said}" if inner.said else "")
    return replace(inner, said=said, text=lambda row: text(opened(row))) if inner is not none else none


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))


def _is_packed(rows: Sequence[Row], name: str) -> bool:
    """The column's cells are JSON, most of them."""
    filled = [row[name] for row in rows if isinstance(row, dict) and row.get(name) not in (None, "")]
    cells = [cell for cell in filled if isinstance(cell, str) and len(cell.strip()) >= _LEAST_CELL]
    begin = [cell for cell in cells if cell.lstrip()[:1] in ("{", "[")]
    if not begin or len(begin) < _MOST * len(filled):
        return False
    return sum(not isinstance(opened(cell), str) for cell in begin) >= _MOST * len(filled)


def _is_read(rows: Sequence[Row], name: str, found: Shape | None) -> bool:
    """The text that was found has the cell as it stands; so has none, where no text was found.

    An answer to a prompt that is JSON stays as it is: it was asked for so.
    """
    if found is None:
        return True
    if found.named and found.column != name:
        return False
    cells = [(row, cell) for row in rows if isinstance(row, dict) and isinstance(cell := row.get(name), str) and cell]
    return 2 * sum(cell.strip() in (found.text(row) or "") for row, cell in cells) > len(cells)


def _open(row: Row, names: frozenset[str]) -> Row:
    if not isinstance(row, dict):
        return row
    return {name: opened(cell) if name in names else cell for name, cell in row.items()}
