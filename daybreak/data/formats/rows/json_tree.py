"""Trees: JSON that is one value, however long, read as a stream of rows: elements of its lists, or its objects."""

from collections.abc import Iterator
from itertools import chain

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.findings import BROKEN_ROW, LONG_ROW, Findings, Stopped, Unsuitable
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.rows.documents import row_documents
from daybreak.data.formats.rows.json_kind import kind_of_json
from daybreak.data.formats.rows.shape import Row

_DEEPEST = 100  # most nesting in a row; deeper ones hold no text
_READ_BYTES = 1 << 16
_START, _END = ("start_map", "start_array"), ("end_map", "end_array")


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
    """The elements of a list, or of the lists and objects in an object; an object without any is itself a row.

    Raises Unsuitable: broken from the start; Stopped: broken further on, or a value that is too long.
    """
    import ijson

    fed = Fed(blocks)
    rows = 0
    try:
        for row in _rows(fed, findings):
            rows += 1
            yield row
    except ijson.JSONError as error:
        reason = str(error).splitlines()[0].strip()
        if rows:
            raise Stopped(f"broken JSON after byte {fed.heard}: {reason}") from None
        raise Unsuitable(f"broken JSON: {reason}") from None


def _rows(fed: Fed, findings: Findings) -> Iterator[Row]:
    import ijson

    path: list[str] = []  # the open objects and lists around a row: 'map' or 'array'
    own: dict[str, object] = {}  # values of an object that are neither list nor object
    key, lists = "", False
    events = ijson.basic_parse(fed, multiple_values=True, use_float=True, buf_size=_READ_BYTES)
    for event, value in events:
        fed.heard = fed.offset
        if event == "map_key":
            key = value
        elif event in _END:
            ended = path.pop()
            if not path and ended == "map":
                if own and not lists:
                    yield own
                own, lists = {}, False
        elif event in _START and (not path or (len(path) == 1 and path[0] == "map" and event == "start_array")):
            path.append("map" if event == "start_map" else "array")
            lists = lists or len(path) == 2
        elif event in _START:
            start = fed.offset
            row = built(event, events, fed)
            if row is None:
                findings.skip_row(LONG_ROW, fed.offset - start)
                continue
            lists = lists or path == ["map"]
            yield row
        elif path == ["map"]:
            own[key] = value
        elif event == "string":
            yield value
        else:
            findings.skip_row(BROKEN_ROW)


def built(first: str, events: Iterator[tuple[str, object]], fed: Fed) -> Row | None:
    """The row that begins with the event; None where it is too large or too deep, and then it is passed over."""
    import ijson

    builder: ijson.ObjectBuilder | None = ijson.ObjectBuilder()
    depth, start = 0, fed.offset
    for values, (event, value) in enumerate(chain([(first, None)], events), -1):
        fed.heard = fed.offset
        depth += (event in _START) - (event in _END)
        if builder and (values > limits.ROW_VALUES or depth > _DEEPEST or fed.offset - start > limits.ROW_BYTES):
            builder = None
        if builder:
            builder.event(event, value)
        if not depth:
            break
    return builder.value if builder else None


def _documents(text: Text) -> Iterator[Document]:
    return row_documents(tree_rows(text.blocks, text.name, text.findings), text.name, text.findings)


def _recognize(sample: Sample) -> str | None:
    return "" if kind_of_json(sample) == "json" else None


JSON = TextFormat(name="json", recognize=_recognize, documents=_documents)
