"""RTF (Rich Text Format, Microsoft, version 1.9.1): the text of its groups, in the encodings that its fonts name."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.documents import parts
from daybreak.data.formats.documents.elements import one_text
from daybreak.data.formats.documents.symbols import character
from daybreak.data.formats.findings import Findings, Stopped, Unsuitable
from daybreak.data.formats.format import BinaryFormat, Read, starts_with
from daybreak.data.formats.streams import Stream

# A control word with its number, a byte, a control symbol, a brace, or plain text.
_TOKEN = re.compile(rb"\\([A-Za-z]{1,32})(-?\d{1,10})? ?|\\'([0-9A-Fa-f]{2})|\\(.)|([{}])|([^\\{}\r\n]+)", re.S)
_CHARACTERS = {
    **{"par": "\n", "line": "\n", "sect": "\n", "page": "\n", "column": "\n", "row": "\n"},
    **{"tab": "\t", "cell": "\t", "nestcell": "\t", "emspace": "\u2003", "enspace": "\u2002", "qmspace": "\u2005"},
    **{"emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”"},
    "lbr": "\n",
}
_SYMBOLS = {"~": "\u00a0", "_": "-", "-": "", "\\": "\\", "{": "{", "}": "}", "\n": "\n", "\r": "\n", "|": "", ":": ":"}
# Groups that hold no text of the document, beside those that are marked to be passed over where they are not known.
_NOT_TEXT = frozenset(
    [
        "fonttbl",
        "colortbl",
        "stylesheet",
        "info",
        "pict",
        "object",
        "objdata",
        "fldinst",
        "datafield",
        "listtable",
        "listoverridetable",
        "rsidtbl",
        "generator",
        "xmlnstbl",
        "themedata",
        "colorschememapping",
        "latentstyles",
        "datastore",
        "revtbl",
        "filetbl",
        "listtext",
        "pntext",
        "pntxta",
        "pntxtb",
        "bkmkstart",
        "bkmkend",
        "shpinst",
        "sp",
        "sn",
        "sv",
        "nonshppict",
        "xe",
        "tc",
        "tcn",
        "rxe",
        "txe",
        "operator",
        "author",
        "title",
        "subject",
        "keywords",
        "doccomm",
        "background",
        "private1",
        "pgptbl",
        "mmathPr",
        "wgrffmtfilter",
        "ftnsep",
        "ftnsepc",
        "ftncn",
        "aftnsep",
        "aftnsepc",
        "aftncn",
        "nonesttables",
        "shprslt",
    ]
)
_COUNTED = {
    **dict.fromkeys(("header", "headerl", "headerr", "headerf"), parts.FURNITURE),
    **dict.fromkeys(("footer", "footerl", "footerr", "footerf"), parts.FURNITURE),
    "annotation": parts.COMMENTS,
}
_READ_THOUGH_MARKED = frozenset(("shppict", "ud", "shptxt"))  # and yet text may be in them
_INSIDE_NOT_TEXT = ("result",)  # text, in a group that is none
# Code pages by the numbers that fonts have for character sets.
_CHARSETS = {
    **{
        0: "cp1252",
        77: "mac_roman",
        78: "shift_jis",
        128: "cp932",
        129: "cp949",
        130: "johab",
        134: "gbk",
        136: "cp950",
    },
    **{161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251"},
    **{222: "cp874", 238: "cp1250", 254: "cp437", 255: "cp850"},
}
_PAGES = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850", "ansi": "cp1252"}
_SYMBOL_CHARSET = 2
_LINES = re.compile(r"[ \t]*\n\s*")
_MOST_DEEP = 1000


@dataclass(frozen=True)
class _Group:
    """What holds until its brace is closed."""

    skipped: bool = False
    what: str = ""  # counted, and this in the notes
    hidden: bool = False
    deleted: bool = False
    font: int = -1
    fallback: int = 1  # characters after one of Unicode, for programs that do not know it
    note: bool = False  # its text comes after the paragraph
    name: str = ""


def known_page(number: int | None) -> str:
    """The encoding of a code page; empty: there is none of this number."""
    page = {65001: "utf-8", 0: "cp1252", 10000: "mac_roman"}.get(number or 0, f"cp{number}")
    try:
        return codecs.lookup(page).name
    except LookupError:
        return ""


class _Rtf:
    """The text of one file, token by token."""

    def __init__(self, data: bytes, findings: Findings) -> None:
        self._data, self._findings = data, findings
        self._page = "cp1252"
        self._fonts: dict[int, tuple[str, str]] = {}  # the encoding of each and its name
        self._default = 0
        self._waiting = bytearray()  # bytes of one encoding
        self._kept: list[str] = []
        self._notes: list[str] = []
        self._group = _Group()
        self._stack: list[_Group] = []
        self._high = 0  # the first half of a character of Unicode
        self._lost = dict.fromkeys((parts.DELETED, parts.HIDDEN_TEXT, parts.FURNITURE, parts.COMMENTS), 0)
        self._note: list[str] | None = None
        self._given = False

    def texts(self) -> Iterator[str]:
        position, marked, pass_over = 0, False, 0
        font = -1  # that is defined
        data, size = self._data, len(self._data)
        while position < size:
            found = _TOKEN.match(data, position)
            if not found:
                position += 1
                continue
            position = found.end()
            word, number, byte, symbol, brace, plain = found.groups()
            if plain is not None:
                if pass_over:
                    cut = min(pass_over, len(plain))
                    pass_over -= cut
                    plain = plain[cut:]
                if self._group.name == "fonttbl" and font >= 0:
                    self._named(font, plain)
                self._bytes(plain)
            elif byte is not None:
                if pass_over:
                    pass_over -= 1
                else:
                    self._bytes(bytes((int(byte, 16),)))
            elif brace == b"{":
                pass_over = 0
                self._flush()
                if len(self._stack) > _MOST_DEEP:
                    raise Stopped("groups that are nested too deep")
                self._stack.append(self._group)
                marked = False
            elif brace == b"}":
                pass_over = 0
                self._flush()
                self._close()
            elif symbol is not None:
                if symbol == b"*":
                    marked = True
                elif pass_over:
                    pass_over -= 1
                else:
                    self._add(_SYMBOLS.get(symbol.decode("latin-1"), ""))
            else:
                name = word.decode("ascii")
                value = int(number) if number else None
                pass_over = 0
                if name == "u" and value is not None:
                    self._unicode(value & 0xFFFF)
                    pass_over = self._group.fallback
                elif name == "bin":
                    position += max(0, value or 0)
                elif name == "f" and self._group.name == "fonttbl":
                    font = value or 0
                elif name == "fcharset" and self._group.name == "fonttbl":
                    self._fonts[font] = ("symbol" if value == _SYMBOL_CHARSET else _CHARSETS.get(value or 0, ""), "")
                elif name == "cpg" and self._group.name == "fonttbl":
                    self._fonts[font] = (known_page(value), "")
                else:
                    self._word(name, value, marked)
                marked = False
            if len(self._kept) > 4096 and self._note is None and self._kept[-1] == "\n":
                yield self._taken()
        self._flush()
        if self._note is not None:
            self._notes.append("".join(self._note))
        self._kept += self._notes
        yield self._taken()
        for what, lost in self._lost.items():
            if lost:
                self._findings.leave_part(what, lost)
        if self._stack:
            raise Stopped("an RTF file whose groups are not closed")

    def _taken(self) -> str:
        text = "".join(self._kept)
        self._kept = []
        text = _LINES.sub("\n", text)
        if not self._given:
            text = text.lstrip("\n")
        self._given = self._given or bool(text)
        return text

    def _named(self, font: int, plain: bytes) -> None:
        encoding, name = self._fonts.get(font, ("", ""))
        self._fonts[font] = (encoding, name or plain.decode("latin-1").strip(" ;"))

    def _close(self) -> None:
        closed = self._group
        self._group = self._stack.pop() if self._stack else _Group()
        if closed.note and not self._group.note and self._note is not None:
            self._notes.append("".join(self._note).strip() + "\n")
            self._note = None

    def _word(self, name: str, value: int | None, marked: bool) -> None:
        group = self._group
        on = value != 0
        if name == "nestrow":  # it stands among properties of the row
            self._flush()
            (self._kept if self._note is None else self._note).append("\n")
        elif name in _CHARACTERS:
            self._add(_CHARACTERS[name])
            if name in ("par", "row", "sect") and self._note is None and self._notes and not group.skipped:
                self._kept += self._notes
                self._notes = []
        elif name in ("rtf", "ansicpg", "mac", "pc", "pca", "ansi", "deff"):
            self._declared(name, value)
        elif name == "f":
            self._flush()
            self._group = replace(group, font=value or 0)
        elif name == "uc":
            self._group = replace(group, fallback=max(0, value if value is not None else 1))
        elif name == "v":
            self._flush()
            self._group = replace(group, hidden=on)
        elif name == "deleted":
            self._flush()
            self._group = replace(group, deleted=on)
        elif name == "plain":
            self._flush()
            self._group = replace(group, hidden=False, deleted=False, font=-1)
        elif name in ("footnote", "shptxt"):
            self._flush()
            self._note = [] if self._note is None else self._note
            self._group = replace(group, note=True, skipped=group.skipped and name == "footnote", name=name)
        elif name in _COUNTED:
            self._group = replace(group, what=group.what or _COUNTED[name])
        elif name in _INSIDE_NOT_TEXT:
            self._group = replace(group, skipped=False, name=name)
        elif name in _NOT_TEXT or (marked and name not in _READ_THOUGH_MARKED) or name == "upr":
            self._group = replace(group, skipped=True, name=name)
        elif name == "ud":
            self._group = replace(group, skipped=False, name=name)

    def _declared(self, name: str, value: int | None) -> None:
        if name == "deff":
            self._default = value or 0
        elif name == "ansicpg":
            self._page = known_page(value) or "cp1252"
        elif name in _PAGES:
            self._page = _PAGES[name]

    def _bytes(self, data: bytes) -> None:
        if data:
            self._waiting += data
            self._high = 0

    def _flush(self) -> None:
        if not self._waiting:
            return
        data = bytes(self._waiting)
        self._waiting.clear()
        encoding, name = self._fonts.get(self._group.font if self._group.font >= 0 else self._default, ("", ""))
        if encoding == "symbol":
            self._keep("".join(character(byte, name or "Symbol") or chr(byte) for byte in data))
        else:
            self._keep(data.decode(encoding or self._page, "replace"))

    def _unicode(self, code: int) -> None:
        self._flush()
        if 0xD800 <= code < 0xDC00:
            self._high = code
            return
        if 0xDC00 <= code < 0xE000:
            text = chr(0x10000 + ((self._high - 0xD800) << 10) + code - 0xDC00) if self._high else "\ufffd"
        elif 0xF000 <= code < 0xF100:
            _, name = self._fonts.get(self._group.font if self._group.font >= 0 else self._default, ("", ""))
            text = character(code, name)
        else:
            text = chr(code)
        self._high = 0
        self._keep(text)

    def _add(self, text: str) -> None:
        self._flush()
        self._keep(text)

    def _keep(self, text: str) -> None:
        group = self._group
        text = text.replace("\0", "")  # which fills up behind the end
        if group.skipped or not text:
            return
        what = group.what or (parts.DELETED if group.deleted else parts.HIDDEN_TEXT if group.hidden else "")
        if what:
            self._lost[what] += len(text.encode("utf-8", "replace")) if any(map(str.isalpha, text)) else 0
        elif self._note is not None:
            self._note.append(text)
        else:
            self._kept.append(text)


def rtf_documents(stream: Stream, findings: Findings, _: Read) -> Iterator[Document]:
    """One text in pieces, a paragraph a line, notes after the paragraph that they are of."""
    data = stream.whole(limits.HELD_BYTES)
    findings.bytes += len(data)
    given = False
    for document in one_text(_Rtf(data, findings).texts()):
        given = True
        yield document
    if not given:
        raise Unsuitable("an RTF file without text")


RTF = BinaryFormat(name="rtf", recognize=starts_with(b"{\\rtf"), documents=rtf_documents)
