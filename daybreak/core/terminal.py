"""Terminal: standard input, output and error, also where they are closed or can show few characters."""

import codecs
import contextlib
import io
import json
import os
import re
import sys
import unicodedata


def open_streams() -> None:
    """Makes the three streams usable: what is closed leads nowhere, and no character ends a command.

    A descriptor that is closed would be given to the next file that is opened, and what is printed would go into it.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        with contextlib.suppress(OSError):
            if not _is_open(descriptor):
                os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)  # takes the lowest number, this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=AS_IT_GOES)
    if isinstance(sys.stderr, io.TextIOWrapper):
        encoding = sys.stderr.encoding
        sys.stderr = Messages(sys.stderr.detach(), encoding=encoding, errors=AS_IT_GOES, line_buffering=True)


class Messages(io.TextIOWrapper):
    """Standard error: what cannot be written to it, because a disk is full, ends no work."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError:
            return


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _as_it_goes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Bytes that came in as no characters go out as they were; other characters as an escape, such as \\\\u4e2d."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bad = error.object[error.start : error.end]
    if all("\\udc80" <= sign <= "\\udcff" for sign in bad):
        return bytes(ord(sign) - 0xDC00 for sign in bad), error.end
    return codecs.backslashreplace_errors(error)


AS_IT_GOES = "daybreak.as_it_goes"
codecs.register_error(AS_IT_GOES, _as_it_goes)


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Text filled up with blanks to a number of a terminal's columns; a Chinese character takes two."""
    blanks = " " * (width - sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text))
    return blanks + text if right else text + blanks


def as_json(value: object, *, indent: int | None = None) -> str:
    """JSON in the characters that standard output can show; the others, and halves of characters, as escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return json.dumps(value, indent=indent)
    return text


_NOT_FIRST = "，。；：、！？）》」』…"  # signs that begin no line of Chinese
_PIECES = re.compile(rf"\s+|[\u2e80-\uffef][{_NOT_FIRST}]*|[^\s\u2e80-\uffef]+[{_NOT_FIRST}]*")


def columns(text: str) -> int:
    """How many of a terminal's columns a text takes: a Chinese character two, a combining accent none."""
    wide = sum(unicodedata.east_asian_width(sign) in "WF" for sign in text)
    return len(text) + wide - sum(unicodedata.combining(sign) > 0 for sign in text)


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken at blanks and between Chinese characters; a longer word stays whole."""
    lines, line = [], ""
    for piece in _PIECES.findall(text):
        if line and columns(line + piece.rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += piece if line else piece.lstrip()
    return [*lines, line.rstrip()] if line.strip() or not lines else lines
