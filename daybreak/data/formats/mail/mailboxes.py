"""Mailboxes: files with many messages (mbox, RFC 4155) and with one (eml, emlx, MHTML, Maildir), told by headers."""

import re
from collections.abc import Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.findings import LONG_ROW, Findings
from daybreak.data.formats.format import BinaryFormat, Read
from daybreak.data.formats.mail.message import message_documents, unescaped
from daybreak.data.formats.pieces import lines
from daybreak.data.formats.streams import Stream

_MESSAGE_BYTES = 64_000_000  # most in one: twice what servers let pass
_BORDER = re.compile(rb"From .{0,200}\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b.{0,40}\d{1,2}:\d{2}.{0,60}$")
_NAME = re.compile(rb"([A-Za-z][A-Za-z0-9-]{0,60}):(?:[ \t]|\r?$)")
_SURE = frozenset(
    (
        b"received", b"return-path", b"delivered-to", b"dkim-signature", b"message-id", b"mime-version", b"newsgroups",
        b"x-received", b"x-gm-thrid", b"arc-seal", b"arc-authentication-results", b"authentication-results",
        b"x-original-to", b"envelope-to", b"x-apparently-to", b"x-mozilla-status", b"x-from-line", b"received-spf",
    )
)  # fmt: skip
_USUAL = frozenset((b"from", b"to", b"subject", b"date", b"organization", b"lines", b"reply-to", b"sender", b"cc"))
_MARK = b"\xef\xbb\xbf"


def _has_headers(head: bytes) -> bool:
    """The lines are headers of a mail up to a blank line, or to the end of what is there."""
    rows = head.removeprefix(_MARK).split(b"\n")
    names: list[bytes] = []
    for at, row in enumerate(rows):
        if not row.strip():
            break
        if names and row[:1] in b" \t":
            continue
        found = _NAME.match(row.rstrip(b"\r"))
        if found is None:
            if at == len(rows) - 1 and names:
                break
            return False
        names.append(found[1].lower())
    told = set(names)
    if told & _SURE:
        return len(names) >= 2 or (len(names) == 1 and len(head) > 400)
    return b"from" in told and len(told & _USUAL) >= 3


def _is_mailbox(head: bytes) -> bool:
    first, _, rest = head.removeprefix(_MARK).partition(b"\n")
    return _BORDER.match(first.rstrip(b"\r")) is not None and (_has_headers(rest) or rest[:1] == b">")


def _is_message(head: bytes) -> bool:
    first, _, rest = head.partition(b"\n")
    return _has_headers(rest if first.strip().isdigit() else head)


def _mailbox(stream: Stream, findings: Findings, _: Read) -> Iterator[Document]:
    findings.say(stream.name, _SAID)
    held: list[bytes] = []
    size, blank = 0, True
    for line in lines(stream.blocks(), _MESSAGE_BYTES):
        if blank and line.startswith(b"From ") and _BORDER.match(line.rstrip()):
            yield from _message(held, size, stream.name, findings)
            held, size = [], 0
            continue
        size += len(line)
        if size > _MESSAGE_BYTES:
            held = []
        else:
            held.append(line)
        blank = not line.strip()
    yield from _message(held, size, stream.name, findings)


def _message(held: list[bytes], size: int, name: str, findings: Findings) -> Iterator[Document]:
    if size > _MESSAGE_BYTES:
        findings.skip_row(LONG_ROW, size)
    elif size:
        yield from message_documents(unescaped(b"".join(held)), name, findings)


def _one(stream: Stream, findings: Findings, _: Read) -> Iterator[Document]:
    findings.say(stream.name, _SAID)
    data = stream.whole(limits.HELD_BYTES).removeprefix(_MARK)
    first = data[:40].partition(b"\n")[0]
    if first.strip().isdigit():  # Apple's emlx: the bytes of the message, the message, a list of properties
        start = data.index(b"\n") + 1
        data = data[start : start + int(first)]
    yield from message_documents(data, stream.name, findings)


_SAID = "mail; of a message its subject and text are read, without headers, quoted parts and signatures"
MAILBOX = BinaryFormat(name="mailbox", recognize=_is_mailbox, documents=_mailbox)
MESSAGE = BinaryFormat(name="message", recognize=_is_message, documents=_one)
