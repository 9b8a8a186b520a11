"""Kinds of JSON: whether a text is JSON lines, one JSON value, what is written in the place of either, or neither."""

import re
from functools import lru_cache

from daybreak.data.formats.code import CODE_ENDINGS
from daybreak.data.formats.format import Sample
from daybreak.data.formats.rows import frames, lenient
from daybreak.data.formats.rows.around import before_value, is_wrapped
from daybreak.data.formats.rows.finite import finite
from daybreak.data.formats.rows.layout import layout_of
from daybreak.data.formats.rows.partial import beginning, has_end

LINES_NAMED = ("jsonl", "ndjson", "jsonlines", "ldjson", "jsonseq")
_TREES_NAMED = ("json", "json5", "geojson", "jsonld", "jsonc")
# A line that begins a row and cannot go on with one from the line before: a quote that opens a string and closes none.
BEGINS = re.compile(rb"""(?:\xef\xbb\xbf|[\x1e\0,])*(?:\{|\[[ \t]*["'\[{]|"(?=[^\s,:}\]"]))""")
_LIKE_ROW = re.compile(rb"(?:\xef\xbb\xbf|[\x1e\0,])*(?:\[[ \t]*)?[{\[(\"']")
_BRACKETS = (b"[", b"{", b"(", b"")
# How JSON goes on behind its first bracket, and a name with its value: what broken JSON has, too.
_OPENS = re.compile(rb"""[\[({]\s*["'{\[(}\]]|\{\s*[A-Za-z_]\w*\s*:""")
_NAMED_VALUE = re.compile(rb"""["'][^"'\n]{1,80}["']\s*(?::|=>)|[{,]\s*[A-Za-z_]\w{0,60}\s*:\s*["'\[{\d]""")
_FIELD = re.compile(rb"""[\[({\s]*\{\s*(?:"[^"\n]{1,80}"|'[^'\n]{1,80}')\s*(?::|=>)""")  # no text begins so
_DENSE = 400  # bytes for each of which text of JSON has a named value
_PREFIX = 300  # bytes of a log's own before the row
_LOOKED_AT = 50  # lines


def kind_of_json(sample: Sample) -> str:
    """jsonl, json, or nothing: neither."""
    return _kind(sample.data, sample.ending, sample.whole)


@lru_cache(maxsize=1)  # both of the formats ask
def _kind(data: bytes, named: str, whole: bool) -> str:
    """As the content has it; what has a name of JSON and is full of named values is it, too, however it begins."""
    kind = _by_content(data, named, whole)
    if kind or named not in (*LINES_NAMED, *_TREES_NAMED) or len(_NAMED_VALUE.findall(data)) < 2 + len(data) // _DENSE:
        return kind
    lines = [line for line in data.splitlines()[:_LOOKED_AT] if line.strip()]
    behind = sum(b'{"' in line[:_PREFIX] and line.rstrip().endswith((b"}", b"},")) for line in lines)
    return "jsonl" if len(lines) > 1 and 2 * behind > len(lines) else "json"


def _by_content(data: bytes, named: str, whole: bool) -> str:
    lines_named, trees_named = named in LINES_NAMED, named in _TREES_NAMED
    text = data[before_value(data) :]
    if data.lstrip().startswith(b"```"):
        if not (lines_named or trees_named):
            return ""  # a text that begins with an example
        text = text.rstrip(b"`\r\n\t ")
    if text[:1] == b'"' and trees_named:  # one string, or one after another
        return "json" if is_json(text, whole=whole) else ""
    if text[:1] not in (b"{", b"[", b"(") and not lines_named:
        return _behind_others(text)
    if text[:1] == b"<":
        return _behind_others(text)
    if is_wrapped(data):
        return _wrapped(text, named, whole)
    if named in CODE_ENDINGS and len(data.lstrip()) > len(text):
        return ""  # a program's comment, and an expression below it
    lines = [line for line in text.splitlines()[:_LOOKED_AT] if line.strip()]
    if not whole and len(lines) > 1 and len(lines) < _LOOKED_AT:
        lines.pop()  # its end is missing
        if len(lines) == 1 and _is_row(_inner(lines[0])) and lines[0][:1] != b"[":
            return "jsonl"
    if len(lines) < 2 and (whole or not lines_named):
        return _one_line(text, named, whole)
    if _has_strict_rows(lines, named, text, whole):
        return "jsonl"
    if is_json(text, whole=whole):
        return "jsonl" if lines_named and len(lines) < 2 and _is_long_row(text) else "json"
    return _not_quite(text, lines, named, whole)


def _behind_others(text: bytes) -> str:
    """Objects on lines of their own below something else: a header, or a page of a server's error."""
    if b'\n{"' not in text:
        return ""
    lines = [line for line in text.splitlines() if line.strip()]
    if text[:1] == b"<":
        if not (ended := [at for at, line in enumerate(lines[:_LOOKED_AT]) if b"</html>" in line.lower()]):
            return ""
        lines = lines[ended[-1] + 1 :]
    lines = lines[:_LOOKED_AT]
    rows = [line for line in lines if line[:1] == b"{" and _is_row(_inner(line))]
    return "jsonl" if len(rows) > 1 and len(rows) >= 0.6 * len(lines) else ""


def _wrapped(text: bytes, named: str, whole: bool) -> str:
    """The value of an assignment or a call: in a program's file only rows, for programs assign lists and settings."""
    value = beginning(text)
    if not isinstance(value, dict | list) or not is_json(text.rstrip(b"\r\n\t ;)"), whole=whole):
        return "json" if _FIELD.match(text) and named not in CODE_ENDINGS else ""
    first = value
    while isinstance(first, list) and first:
        first = first[0]
    if not isinstance(first, dict) or (named in CODE_ENDINGS and isinstance(value, dict)):
        return ""
    return "json"


def _one_line(text: bytes, named: str, whole: bool) -> str:
    """One line, which is one value, or as many as follow one another."""
    if is_json(text, whole=whole) or (named in LINES_NAMED and whole and _OPENS.match(text)):
        return "json"
    return _not_quite(text, [text], named, whole)


def _has_strict_rows(lines: list[bytes], named: str, text: bytes, whole: bool) -> bool:
    """Lines of JSON, as they should be, perhaps with commas between them and in one pair of brackets."""
    if named in LINES_NAMED:  # a row that is broken is passed over
        if lines[0].strip() in (b"{", b"[") and is_json(text, whole=whole) and not _is_row(_inner(lines[1])):
            return False
        return any(_is_row(line) or _is_row(_inner(line)) for line in lines) and not (len(lines) < 2)
    first = next((at for at, line in enumerate(lines) if line.strip() != b"["), 0)
    lines = lines[first : first + 2]
    if first and not all(line[:1] == b"{" for line in lines):
        return False  # elements of a list that are indented, or are no objects
    return len(lines) > 1 and all(_is_row(_inner(line)) for line in lines)


def _inner(line: bytes) -> bytes:
    """The row of a line, without the mark in front and the comma or bracket behind."""
    line = line.strip(b" \t\r\n,\x1e\0").removeprefix(b"\xef\xbb\xbf")
    if line.startswith(b"[{") and not line.endswith(b"]"):
        return line[1:]
    return line[:-1] if line.endswith(b"}]") and line.startswith(b"{") else line


def _is_long_row(text: bytes) -> bool:
    """One line without an end in sight is a row, not several of them, or a list or a frame with rows in it."""
    if has_end(text):
        return False
    value = beginning(text)
    return isinstance(value, dict) and not frames.is_begun(value) and not layout_of(value).steps


def _not_quite(text: bytes, lines: list[bytes], named: str, whole: bool) -> str:
    """What Python or JavaScript write in JSON's place, and JSON that is broken: that is never read as plain text."""
    if named in CODE_ENDINGS:
        return ""
    by_name = named in LINES_NAMED or named in _TREES_NAMED
    opens = _OPENS.match(text) is not None
    if named in LINES_NAMED:
        looked = [
            line
            for line in lines
            if _OPENS.match(line.strip()) or _NAMED_VALUE.search(line) or not line.strip(b" \t\r\n[]{}(),;`")
        ]
        if 2 * len(looked) >= len(lines) or any(_is_loose_row(line) for line in lines):
            return "jsonl" if _begin_rows(lines) or not opens else "json"
        return ""
    if not opens:
        return ""
    rows = [line for line in lines if _is_loose_row(line)]
    if len(rows) > 1 and 2 * len(rows) >= len(lines):
        return "jsonl"
    if by_name or _FIELD.match(text) or _is_loose_value(text, whole):
        return "jsonl" if len(lines) > 1 and _begin_rows(lines) else "json"
    pairs = sum(_NAMED_VALUE.search(line) is not None for line in lines)
    if len(lines) > 1 and pairs >= 0.8 * len(lines):
        return "jsonl" if _begin_rows(lines) else "json"
    return ""


def _begin_rows(lines: list[bytes]) -> bool:
    """Most lines begin a row."""
    return 2 * sum(_LIKE_ROW.match(line) is not None and line.strip() not in _BRACKETS for line in lines) > len(lines)


def _is_row(line: bytes) -> bool:
    import orjson

    if line.strip()[:1] not in (b"{", b"[", b'"'):
        return False
    try:
        orjson.loads(line)
    except ValueError:
        return False
    return True


def _is_loose_row(line: bytes) -> bool:
    """A line that holds an object, or several, in whatever spelling."""
    if not _LIKE_ROW.match(line.lstrip(b" \t")):
        return False
    text = line.decode("utf-8", "replace").strip(" \t\r\n,\ufeff\x1e\0")
    try:
        return any(_has_fields(value) for value in lenient.values(text))
    except ValueError:
        return False


def _is_loose_value(text: bytes, whole: bool) -> bool:
    """All of the text is objects, or the sample of it breaks nowhere before its end."""
    found = False
    try:
        for value in lenient.values(text.decode("utf-8", "replace")):
            if not _has_fields(value):
                return False
            found = True
    except lenient.Unfinished:
        return not whole and (found or _NAMED_VALUE.search(text[:4096]) is not None)
    except ValueError:
        return False
    return found


def _has_fields(value: object) -> bool:
    """An object with a field, or a list of such."""
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, dict) and bool(first)


def is_json(sample: bytes, *, whole: bool) -> bool:
    """The sample begins like JSON and breaks nowhere."""
    import ijson

    events: list[tuple[str, object]] = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, multiple_values=True, use_float=True)
    try:
        for block in finite([sample]):
            parser.send(block)
        if whole:
            parser.close()
    except (ijson.JSONError, ValueError):
        return False
    return bool(events)
