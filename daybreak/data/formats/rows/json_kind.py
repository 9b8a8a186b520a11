"""Kinds of JSON: whether a text is JSON lines, one JSON value, or neither."""

from daybreak.data.formats.format import Sample


def kind_of_json(sample: Sample) -> str:
    """jsonl, json, or nothing: neither."""
    named, whole = sample.ending, sample.whole
    if sample.start not in (b"{", b"[") and named not in ("jsonl", "ndjson"):
        return ""
    first_lines = [line for line in sample.data.splitlines()[:50] if line.strip()]
    first = first_lines[0] if first_lines else b""
    if named in ("jsonl", "ndjson"):
        # Rows, unless one value goes over many lines; a row that is broken is passed over.
        over = first.strip() in (b"{", b"[") and is_json(sample.data, whole=whole)
        return "json" if over else "jsonl" if _has_rows(first_lines, sample.data, whole) else ""
    if len(first_lines) > 1 and _is_row(first) and _is_row(first_lines[1] if len(first_lines) > 2 or whole else b"{}"):
        return "jsonl"
    return "json" if is_json(sample.data, whole=whole) else ""


def _has_rows(lines: list[bytes], sample: bytes, whole: bool) -> bool:
    """One of the first lines is a row, or the first is longer than the sample and begins like one."""
    if any(_is_row(line) for line in lines):
        return True
    return len(lines) == 1 and not whole and is_json(sample, whole=False)


def _is_row(line: bytes) -> bool:
    import orjson

    if line.strip()[:1] not in (b"{", b"[", b'"'):
        return False
    try:
        orjson.loads(line)
    except ValueError:
        return False
    return True


def is_json(sample: bytes, *, whole: bool) -> bool:
    """The sample begins like JSON and breaks nowhere."""
    import ijson

    events: list[tuple[str, object]] = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, multiple_values=True)
    try:
        parser.send(sample)
        if whole:
            parser.close()
    except (ijson.JSONError, ValueError):
        return False
    return bool(events)
