"""Partial: the beginning of a JSON value whose end is not in sight, as far as it goes."""

from contextlib import suppress

from daybreak.data.formats.rows.finite import finite

START, END = ("start_map", "start_array"), ("end_map", "end_array")


def has_end(data: bytes) -> bool:
    """The first value of JSON ends in what is there of the text."""
    import ijson

    events: list[tuple[str, object]] = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, multiple_values=True, use_float=True)
    with suppress(ijson.JSONError, ValueError):
        for block in finite([data]):
            parser.send(block)
    depth = 0
    for event, _ in events:
        depth += (event in START) - (event in END)
        if not depth:
            return True
    return False


def beginning(data: bytes) -> object:
    """The first value of JSON, with what is there of it; None: there is none."""
    import ijson

    builder = ijson.ObjectBuilder()
    depth = 0
    events: list[tuple[str, object]] = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, multiple_values=True, use_float=True)
    with suppress(ijson.JSONError, ValueError):
        for block in finite([data]):
            parser.send(block)
    for event, value in events:
        depth += (event in START) - (event in END)
        builder.event(event, value)
        if not depth:
            break
    return builder.value if events else None
