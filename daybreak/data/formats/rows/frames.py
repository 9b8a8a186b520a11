"""Frames: tables that JSON holds column by column, or with the names apart from the cells, as pandas writes them."""

from collections.abc import Iterator, Mapping, Sequence

from daybreak.data.formats.rows.shape import Row

_COLUMNS = ("columns", "header", "headers", "fields", "column_names", "cols")
_CELLS = ("data", "rows", "values", "records")
_NAMES = frozenset(
    (
        *("text", "texts", "content", "body", "title", "label", "labels", "prompt", "completion", "response", "answer"),
        *("question", "instruction", "output", "input", "source", "target", "summary", "document", "article", "id"),
        *("review", "sentence", "messages", "url", "name", "category", "date", "author", "score", "index"),
    )
)


def frame_rows(value: object) -> Iterator[Row] | None:
    """Rows of a frame: {"text": {"0": ..}}, {"text": [..]}, or {"columns": [..], "data": [[..]]}. None: it is none."""
    if not isinstance(value, dict):
        return None
    if (split := split_names(value)) is not None:
        names, cells = split
        return (dict(zip(names, row, strict=False)) if isinstance(row, list) else row for row in value[cells])
    if is_indexed(value):
        return _indexed(value)
    return _listed(value) if _is_listed(value) else None


def split_names(value: Mapping[str, object]) -> tuple[tuple[str, ...], str] | None:
    """The names of the columns and the key of the cells, where the two lie apart (`orient="split"`)."""
    for columns in _COLUMNS:
        names = value.get(columns)
        if not isinstance(names, list) or not names:
            continue
        for cells in _CELLS:
            rows = value.get(cells)
            if isinstance(rows, list) and rows and all(isinstance(row, list) for row in rows[:20]):
                return tuple(map(_name, names)), cells
    return None


def _name(of: object) -> str:
    """A column's name; pandas has lists of several levels, and interfaces of databases have objects."""
    if isinstance(of, dict):
        return next((value for key in ("name", "label", "id", "title") if isinstance(value := of.get(key), str)), "")
    return ".".join(map(str, of)) if isinstance(of, list) else str(of)


def is_indexed(value: Mapping[str, object]) -> bool:
    """Columns of cells by the index of their row, which is the same in all (`orient="columns"`, pandas' default)."""
    columns = list(value.values())
    if not columns or not all(isinstance(column, dict) and column for column in columns):
        return False
    first = columns[0]
    assert isinstance(first, dict)
    if any(isinstance(cell, dict) for column in columns for cell in list(column.values())[:20]):  # type: ignore[attr-defined]
        return False
    counted = all(key.lstrip("-").isdigit() for key in list(first)[:100])
    if len(columns) == 1 and not counted:
        return False
    # Records under their names have one set of keys, too: those of a frame count, or are more than its columns.
    return (counted or len(first) > 4 * len(columns)) and all(column.keys() == first.keys() for column in columns)  # type: ignore[attr-defined]


def _indexed(value: Mapping[str, Mapping[str, object]]) -> Iterator[Row]:
    for index in next(iter(value.values())):
        yield {name: cells.get(index) for name, cells in value.items()}


def _is_listed(value: Mapping[str, object]) -> bool:
    """Columns of as many cells each, as `datasets` and notebooks write them."""
    columns = [column for column in value.values() if isinstance(column, list)]
    if len(columns) < 2 or len(columns) < len(value) or not columns[0]:
        return False
    if len({len(column) for column in columns}) > 1:
        return False
    texts = [all(isinstance(cell, str | None) for cell in column[:100]) for column in columns]
    cells = any(isinstance(cell, dict) and len(columns[0]) > 1 for column in columns for cell in column[:20])
    named = any(str(name).lower() in _NAMES for name in value)
    return any(texts) and (named or (not all(texts) and not cells))


def _listed(value: Mapping[str, Sequence[object]]) -> Iterator[Row]:
    for cells in zip(*value.values(), strict=True):
        yield dict(zip(value, cells, strict=True))


def is_begun(value: Mapping[str, object]) -> bool:
    """What may be the beginning of a frame in columns that is too long to see how it ends."""
    if not value:
        return False
    first = next(iter(value.values()))
    if isinstance(first, dict):
        keys = list(first)[:100]
        cells = list(first.values())[:100]
        return all(key.isdigit() for key in keys) and not any(isinstance(cell, dict) for cell in cells)
    cells = first[:100] if isinstance(first, list) else []
    named = next(iter(value)).lower() in _NAMES
    return bool(cells) and (named or len(value) > 1) and not any(isinstance(cell, dict | list) for cell in cells)
