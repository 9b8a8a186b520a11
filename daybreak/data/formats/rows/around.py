"""Around: what stands before and behind a JSON value in files that wrap it, as scripts and answers of servers do."""

import re
from collections.abc import Iterable, Iterator

_MARK = re.compile(rb"(?:[\s\x1e\0]|\xef\xbb\xbf)+")
_COMMENT = re.compile(rb"//[^\n]*\n|/\*.*?\*/|#[^\n]*\n|```\w*[ \t]*\r?\n", re.S)  # or the fence of Markdown
# window.YTD.tweets.part0 = [, var data = {, callback({, and what servers put before JSON against other sites' scripts.
_WRAP = re.compile(
    rb"""(?:(?:var|let|const|export\ default|module\.exports\ =)\ )?\s*
    (?:[A-Za-z_$][\w$.]{0,200}(?:\[["']\w{1,100}["']\])*\s*(?:=|\()\s*(?=[\[{])
    |\)\]\}'?,?\s*\n|(?:for|while)\s*\((?:;;|1|true)\);?\s*|&&&START&&&\s*)""",
    re.X,
)
_TAIL = re.compile(rb"[\s;)`]*\Z")
_TAIL_BYTES = 64


def before_value(data: bytes) -> int:
    """How many bytes stand before the value: marks, blanks, comments, and one assignment or call."""
    at, wrapped = 0, False
    while True:
        found = _MARK.match(data, at) or _COMMENT.match(data, at)
        if not found and not wrapped:
            found = _WRAP.match(data, at)
            wrapped = True
        if not found or found.end() == at:
            return at
        at = found.end()


def is_wrapped(data: bytes) -> bool:
    """An assignment or a call stands before the value."""
    at = before_value(data)
    return at > 0 and _WRAP.search(data[:at] + data[at : at + 1]) is not None


def without_tail(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks without what closes an assignment or a call at the end."""
    held = b""
    for block in blocks:
        block = held + block
        held = block[-_TAIL_BYTES:]
        if len(block) > len(held):
            yield block[: len(block) - len(held)]
    if held := _TAIL.sub(b"", held):
        yield held
