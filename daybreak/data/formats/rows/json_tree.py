"""Trees: JSON that is one value, however long, as rows: the elements of its lists, its objects, or itself."""

from collections.abc import Iterable, Iterator
from itertools import chain

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.findings import BROKEN_ROW, LONG_ROW, Findings, Stopped, Unsuitable
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.rows import frames, lenient, settings
from daybreak.data.formats.rows.around import before_value, without_tail
from daybreak.data.formats.rows.documents import looked_at, row_documents
from daybreak.data.formats.rows.finite import finite
from daybreak.data.formats.rows.json_kind import is_json, kind_of_json
from daybreak.data.formats.rows.layout import Layout, has_prose, is_like, layout_of, rows_of, unrolled
from daybreak.data.formats.rows.partial import END, START, beginning
from daybreak.data.formats.rows.shape import Row

_DEEPEST = 100  # most nesting in a row; deeper ones hold no text
_READ_BYTES = 1 << 16
_PRINTED_BYTES = 64_000_000  # of a list that is no JSON: as text it takes up to four times that
_WHOLE_BYTES = 1 << 23  # a file up to here is read at once, longer ones as a stream


class Fed:
    """The blocks as a file; it knows how much went in since something came out."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, b""
        self.offset = self.heard = 0

    def read(self, size: int = -1) -> bytes:
        if not size:
            return b""  # ijson asks for nothing to learn whether it gets bytes
        if not self._rest:
            self._rest = next(self._blocks, b"")
        data, self._rest = self._rest[:_READ_BYTES], self._rest[_READ_BYTES:]
        self.offset += len(data)
        if self.offset - self.heard > limits.ROW_BYTES:
            raise Stopped(f"a value over {limits.ROW_BYTES // 1_000_000} MB")
        return data


def tree_rows(blocks: Iterator[bytes], name: str, findings: Findings) -> Iterator[Row]:
    """The rows of one JSON value, or of several after one another, where the first levels of the tree say they lie.

    A short file is read at once, and may be what Python or JavaScript write in place of JSON. A long one is a stream;
    columns one after another must be held to become rows, and are up to a limit.

    Raises Unsuitable: broken from the start, or settings and no text; Stopped: broken further on, or a value that is
    too long.
    """
    held, ended = _held(blocks, _WHOLE_BYTES)
    start = b"".join(held)
    start = start[before_value(start) :]
    if ended and _values_in(start) <= limits.ROW_VALUES and (values := whole_values(start, name, findings)):
        yield from _of_values(values, name, findings)
        return
    first = beginning(start[: limits.LOOKED_AT_BYTES])
    if start[:1] in (b"[", b"(") and not is_json(start[: limits.SNIFFED_BYTES], whole=False):  # as Python prints it
        yield from _printed(start, blocks, name, findings)
        return
    if isinstance(first, dict) and frames.is_begun(first) and frames.split_names(first) is None:
        more, ended = _held(blocks, limits.HELD_BYTES - len(start))
        start = b"".join([start, *more])
        if not ended:
            raise Unsuitable(
                f"columns one after another that take over {limits.HELD_BYTES // 1_000_000} MB; write a row a line "
                "instead, as pandas does with to_json(orient='records', lines=True)"
            )
        yield from _of_values(whole_values(start, name, findings), name, findings)
        return
    layout = layout_of(first)
    if layout.said:
        findings.say(name, layout.said)
    yield from _streamed(chain([start], blocks), layout, name, findings)


def _printed(start: bytes, blocks: Iterator[bytes], name: str, findings: Findings) -> Iterator[Row]:
    """The elements of a list that is no JSON, which is held for that."""
    more, ended = _held(blocks, _PRINTED_BYTES - len(start))
    if not ended or len(start) > _PRINTED_BYTES:
        raise Unsuitable(
            f"a list that is no JSON and takes over {_PRINTED_BYTES // 1_000_000} MB; write a row a line instead"
        )
    text = decoded(b"".join([start, *more]), name, findings)
    given = False
    try:
        for row in unrolled(lenient.elements(text)):
            given = True
            if isinstance(row, str | dict | list):
                yield row
            else:
                findings.skip_row(BROKEN_ROW)
    except lenient.Broken as error:
        line = text.count("\n", 0, error.position) + 1
        if not given:
            raise Unsuitable(f"broken JSON at line {line}: {error}") from None
        raise Stopped(f"broken JSON at line {line}: {error}") from None


def _held(blocks: Iterable[bytes], most: int) -> tuple[list[bytes], bool]:
    """Blocks up to a size, and whether these are all."""
    held: list[bytes] = []
    size = 0
    for block in blocks:
        held.append(block)
        size += len(block)
        if size > most:
            return held, False
    return held, True


def _values_in(data: bytes) -> int:
    """About how many values there are; commas in texts count, too."""
    return sum(data.count(sign) for sign in (b",", b"[", b"{")) - data.count(b", ")


def whole_values(data: bytes, name: str, findings: Findings) -> list[object]:
    """The values of a text that is held whole; none where it breaks amid the rows of the first, which can be read.

    Raises Unsuitable: broken, and no rows before that.
    """
    import orjson

    try:
        return [orjson.loads(data)]
    except ValueError:
        pass
    values: list[object] = []
    text = decoded(data, name, findings)
    try:
        for value in lenient.values(text):
            values.append(value)
    except ValueError as error:
        place = getattr(error, "position", 0)
        line = text.count("\n", 0, place) + 1
        if not values and isinstance(error, lenient.Unfinished) and layout_of(beginning(data)).steps:
            return []
        if not values:
            raise Unsuitable(f"broken JSON at line {line}: {error}") from None
        findings.stop(name, "broken JSON", f"at line {line}: {error}", len(text[place:].encode(errors="replace")))
    return values


def _of_values(values: list[object], name: str, findings: Findings) -> Iterator[Row]:
    for value in values:
        if (what := settings.what_it_is(value)) and len(values) == 1:
            raise Unsuitable(what)
        if (rows := frames.frame_rows(value)) is not None:
            yield from rows
            continue
        layout = layout_of(value)
        if None not in layout.steps and len(values) == 1:
            (row,) = rows_of(value, layout)
            if isinstance(row, dict) and settings.are_scattered(row):
                raise Unsuitable("an object of many short texts and no row of one")
        _say(layout, name, findings)
        for row in unrolled(rows_of(value, layout)):
            if isinstance(row, str | dict | list):
                yield row
            else:
                findings.skip_row(BROKEN_ROW)


def _say(layout: Layout, name: str, findings: Findings) -> None:
    if layout.said:
        findings.say(name, layout.said)
    if layout.beside:
        listed = ", ".join(map(repr, layout.beside[:5])) + (" and more" if len(layout.beside) > 5 else "")
        findings.say(name, f"the lists {listed} beside its rows are not read")


def _streamed(blocks: Iterator[bytes], layout: Layout, name: str, findings: Findings) -> Iterator[Row]:
    import ijson

    fed = Fed(finite(without_tail(blocks)))
    rows = 0
    try:
        for row in _rows(fed, layout, name, findings):
            rows += 1
            yield row
    except ijson.JSONError as error:
        reason = str(error).splitlines()[0].strip()
        if rows:
            raise Stopped(f"broken JSON after byte {fed.heard}: {reason}") from None
        raise Unsuitable(f"broken JSON: {reason}") from None


def _rows(fed: Fed, layout: Layout, name: str, findings: Findings) -> Iterator[Row]:
    import ijson

    steps, deep = layout.steps, len(layout.steps)
    keys: list[str | None] = []  # of each open object the key whose value comes, None of each open list
    decided, beside, header = layout.like is None, False, layout.header
    events = ijson.basic_parse(fed, multiple_values=True, use_float=True, buf_size=_READ_BYTES)
    for event, value in events:
        fed.heard = fed.offset
        if event == "map_key":
            keys[-1] = value
        elif event in END:
            keys.pop()
        elif keys and steps[len(keys) - 1] not in (None, keys[-1]):
            _pass(event, events, fed)
        elif len(keys) < deep:  # on the way to the rows
            if event == "start_map" and layout.like is not None and len(keys) == deep - 1:
                _pass(event, events, fed)
            elif event in START:
                keys.append(None)
                decided, beside = layout.like is None or len(keys) < deep, False
        elif beside:
            _pass(event, events, fed)
        else:
            start = fed.offset
            row = built(event, events, fed) if event in START else value
            if not decided:  # the first element tells whether the list has rows
                decided, beside = True, not is_like([row], layout.like)
                if beside:
                    if has_prose(row):
                        _say(Layout(beside=(str(keys[-2]),)), name, findings)
                    continue
            if row is None and event in START:
                findings.skip_row(LONG_ROW, fed.offset - start)
            elif header:
                header = False
            elif isinstance(row, str | dict | list):
                yield from unrolled([layout.row(row, keys[-1] if keys else None)])
            else:
                findings.skip_row(BROKEN_ROW)


def _pass(event: str, events: Iterator[tuple[str, object]], fed: Fed) -> None:
    """Goes to the end of the value that has begun."""
    depth = int(event in START)
    while depth:
        event, _ = next(events)
        fed.heard = fed.offset
        depth += (event in START) - (event in END)


def built(first: str, events: Iterator[tuple[str, object]], fed: Fed) -> Row | None:
    """The row that begins with the event; None where it is too large or too deep, and then it is passed over."""
    import ijson

    builder: ijson.ObjectBuilder | None = ijson.ObjectBuilder()
    depth, start = 0, fed.offset
    for values, (event, value) in enumerate(chain([(first, None)], events), -1):
        fed.heard = fed.offset
        depth += (event in START) - (event in END)
        if builder and (values > limits.ROW_VALUES or depth > _DEEPEST or fed.offset - start > limits.ROW_BYTES):
            builder = None
        if builder:
            builder.event(event, value)
        if not depth:
            break
    return builder.value if builder else None


def _documents(text: Text) -> Iterator[Document]:
    rows = tree_rows(text.blocks, text.name, text.findings)
    broken: list[Exception] = []
    first = looked_at(rows, broken)
    if first and settings.are_names(first):
        raise Unsuitable("names and codes, no text")
    return row_documents(chain(first, _ended(rows, broken)), text.name, text.findings)


def _ended(rows: Iterator[Row], broken: list[Exception]) -> Iterator[Row]:
    """The other rows, or the error that the look at the first has met."""
    if broken:
        raise broken[0]
    yield from rows


def _recognize(sample: Sample) -> str | None:
    return "" if kind_of_json(sample) == "json" else None


JSON = TextFormat(name="json", recognize=_recognize, documents=_documents)
