"""Members: the files in an archive one by one, whatever packs them; none is ever written anywhere."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, BinaryIO

from daybreak.core import outputs
from daybreak.core.errors import UsageError
from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.findings import HIDDEN, Findings, Stopped, Unsuitable
from daybreak.data.formats.format import Read
from daybreak.data.formats.streams import Stream, expected_errors

ENDS_EARLY = "the archive ends too early"
_IN_PART = "cannot be read, or only in part"
MARK_BYTES = 1 << 20  # read from a file that may identify the kind of its folder
_SYSTEM = frozenset(("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"))
_CHINESE = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")


@dataclass(frozen=True, kw_only=True)
class Member:
    """A regular file in an archive. open: raises Unsuitable, Stopped, UsageError and the errors of unpacking."""

    name: str
    size: int
    open: Callable[[], BinaryIO]


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is one that a system keeps for itself, such as .git or Thumbs.db."""
    return (name.startswith(".") and name not in (".", "..")) or name.lower() in _SYSTEM


def shown_name(raw: bytes, otherwise: str) -> str:
    """A member's name, for which archives tell no encoding: UTF-8, or GB18030 where that makes Chinese of it."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    try:
        name = raw.decode("gb18030")
    except UnicodeDecodeError:
        return otherwise
    beyond = [c for c in name if c > "~"]
    return name if len(_CHINESE.findall(name)) == len(beyond) else otherwise


def member_documents(
    stream: Stream, members: Iterator[Member], findings: Findings, read: Read, ours: Mapping[str, str]
) -> Iterator[Document]:
    """One that cannot be read is named, and the others go on. Raises Unsuitable: none could be read.

    ours: folders and files in it that are no text of the user's, and what they are.
    """
    expected = expected_errors()
    good, reason = 0, ""
    told = set[str]()
    for member in members:
        place, what = _not_text(member.name, ours)
        if what:
            if place not in told:
                findings.leave_out(f"{stream.name}/{place}", what)
            told.add(place)
            reason = reason if what == HIDDEN else what
            continue
        shown = f"{stream.name}/{member.name}"
        try:
            file: IO[bytes] = member.open()
            with file:
                inner = stream.inside(shown, file)  # type: ignore[arg-type]
                if member.name.lower().endswith(outputs.PAGES) and outputs.is_page(
                    inner.peek(outputs.HEAD_BYTES), member.name
                ):
                    findings.leave_out(shown, outputs.PAGE)
                    reason = outputs.PAGE
                    continue
                yield from read(inner)
            good += 1
        except Unsuitable as error:
            reason = str(error)
            findings.skip(shown, reason, size=member.size)
        except UsageError as error:  # a library is missing
            reason = f"{error.what}: {error.attempt}"
            findings.skip(shown, reason, size=member.size)
        except Stopped:
            raise
        except expected as error:
            reason = _IN_PART
            findings.skip(shown, reason, str(error) or type(error).__name__, member.size)
    if not good and reason:
        raise Unsuitable(reason)


def _not_text(name: str, ours: Mapping[str, str]) -> tuple[str, str]:
    """The folder that a member lies in, or the member itself, where that is no text of the user's, and what it is."""
    folder, what = outputs.kind_in_archive(name, ours)
    if what:
        return folder, what
    parts = name.split("/")
    for place, part in enumerate(parts):
        if is_hidden(part):
            return "/".join(parts[: place + 1]), HIDDEN
    return "", ""


def check_count(number: int) -> None:
    """Raises Stopped: an archive has too many files."""
    if number > limits.MEMBERS:
        raise Stopped(f"an archive of more than {limits.MEMBERS} files")
