"""Roff: pages of manuals (man(7) and mdoc(7) of groff, https://man7.org/linux/man-pages/man7/groff_man.7.html)."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.documents.elements import one_text
from daybreak.data.formats.documents.events import OTHER_FILE
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.pieces import lines

_BEGINNING = re.compile(rb"\s*(?:['.]\s*\\[\"#]|'\\\"|\.\s*(?:TH|Dd|SH|so|ds|de|if|nh|mso)\b)")
_TITLE = re.compile(rb"^[.']\s*(?:TH|Dd)\s|^\.so\s+\S+\s*\Z", re.M)
_MORE = re.compile(rb"^[.']\s*(?:SH|Sh|SS|PP|LP|TP|IP|B|so)\b", re.M)
_REQUEST = re.compile(r"[.']\s*(\S*)\s*(.*)", re.S)
_ESCAPE = re.compile(
    r"\\(?:f(?:\(..|\[[^\]]*\]|.)|s(?:[+-]?\d|\([+-]?\d\d|\[[^\]]*\])|\((..)|\[([^\]]*)\]|\*(?:\((..)|\[([^\]]*)\]|(.))"
    r"|[hvwXZDlLobN]'[^']*'|[mMFnkgVY](?:\(..|\[[^\]]*\]|[+-]?.)|(.)|$)",
    re.S,
)
_SIGNS = {
    **{
        "em": "—",
        "en": "–",
        "hy": "-",
        "bu": "•",
        "lq": "“",
        "rq": "”",
        "oq": "‘",
        "cq": "’",
        "aq": "'",
        "Aq": "'",
        "dq": '"',
    },
    **{"co": "©", "rg": "®", "tm": "™", "mu": "×", "+-": "±", "<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "<-": "←"},
    **{"ha": "^", "ti": "~", "rs": "\\", "ga": "`", "aa": "´", "ul": "_", "ba": "|", "sl": "/", "lB": "[", "rB": "]"},
    **{"lC": "{", "rC": "}", "la": "⟨", "ra": "⟩", "de": "°", "ss": "ß", "oe": "œ", "ae": "æ", "AE": "Æ", "/o": "ø"},
    **{"/O": "Ø", "at": "@", "sh": "#", "Do": "$", "eu": "€", "Eu": "€", "Fo": "«", "Fc": "»", "di": "÷", "sc": "§"},
    **{"R": "®", "Tm": "™", 'L"': "“", 'R"': "”", "C`": "", "C'": "", "mi": "−", "eq": "=", "pl": "+", "**": "*"},
}
_ACCENTS = {":": "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", ",": "\u0327", "v": "\u030c"}
_CHARACTERS = {"-": "-", "e": "\\", "\\": "\\", " ": " ", "~": " ", "0": " ", "'": "'", "`": "`", ".": ".", "t": "\t"}
_FONTS = frozenset(("B", "I", "SM", "SB", "R"))
_ALTERNATE = frozenset(("BR", "BI", "RB", "RI", "IR", "IB"))
_HEADINGS = frozenset(("SH", "SS", "Sh", "Ss"))
_BREAKS = frozenset(
    ("PP", "P", "LP", "br", "sp", "RS", "RE", "HP", "Pp", "Bl", "El", "Bd", "Ed", "TQ", "bp", "Rs", "Re", "D1", "Dl")
)
_AS_IT_IS = {"nf": True, "EX": True, "Vb": True, "fi": False, "EE": False, "Ve": False}
# Macros of mdoc whose words are text.
_WORDS = frozenset(
    [
        "Ad",
        "An",
        "Ar",
        "Cd",
        "Cm",
        "Dv",
        "Em",
        "Er",
        "Ev",
        "Fa",
        "Fd",
        "Fn",
        "Ft",
        "Ic",
        "In",
        "Li",
        "Lk",
        "Ms",
        "Mt",
        "Nd",
        "No",
        "Pa",
        "St",
        "Sx",
        "Sy",
        "Tn",
        "Va",
        "Vt",
        "Ql",
        "D1",
        "Dl",
        "Bx",
        "Nx",
        "Fx",
        "Ox",
        "At",
        "Ux",
        "Lb",
    ]
)
_AROUND = {
    **{"Op": "[]", "Oo": "[", "Oc": "]", "Dq": "“”", "Sq": "‘’", "Pq": "()", "Bq": "[]", "Aq": "⟨⟩", "Brq": "{}"},
    **{"Qq": '""', "Po": "(", "Pc": ")", "Qo": '"', "Qc": '"', "Do": "“", "Dc": "”", "So": "‘", "Sc": "’", "Bo": "["},
    "Bc": "]",
}
_CLOSING = (".", ",", ";", ":", ")", "]", "?", "!")


def _recognize(sample: Sample) -> str | None:
    data = sample.data
    return "" if _BEGINNING.match(data) and _TITLE.search(data) and _MORE.search(data) else None


def _documents(text: Text) -> Iterator[Document]:
    """One text: a paragraph a line, and programs as they are."""
    return one_text(_Page(text).texts())


def _spelled(found: re.Match[str]) -> str:
    sign = found[1] or found[2] or found[3] or found[4] or found[5]
    if sign:
        if sign in _SIGNS:
            return _SIGNS[sign]
        if sign[0] == "u" and re.fullmatch(r"u[0-9A-F]{4,6}", sign):
            return chr(int(sign[1:], 16)) if int(sign[1:], 16) < 0x110000 else ""
        if len(sign) == 2 and sign[0] in _ACCENTS:
            return unicodedata.normalize("NFC", sign[1] + _ACCENTS[sign[0]])
        return ""
    return _CHARACTERS.get(found[6] or "", "")


def plain(line: str) -> str:
    """Text without its escapes and comments."""
    if "\\" not in line:
        return line
    line = re.sub(r"\\[\"#].*", "", line, flags=re.S)
    return _ESCAPE.sub(_spelled, line)


def arguments(line: str) -> list[str]:
    """Of a macro: parted by blanks, but in quotes."""
    found = re.findall(
        r'"((?:[^"]|"")*)"?|((?:\\.|[^\s"\\])(?:\\ |[^\s])*)', re.sub(r"\s*\\[\"#].*", "", line, flags=re.S)
    )
    return [plain(quoted.replace('""', '"') if quoted or not bare else bare) for quoted, bare in found]


class _Page:
    """Takes a page line by line."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._paragraph: list[str] = []
        self._name = ""  # of what the page is about, for mdoc
        self._as_it_is = self._tag = False
        self._until = ""  # the line that ends what is passed over
        self._given = False
        self._braces = 0
        self._table = 0  # 1: in the description of a table, 2: in its rows

    def texts(self) -> Iterator[str]:
        for raw in lines(self._text.blocks, limits.ROW_BYTES):
            yield from self._line(decoded(raw, self._text.name, self._text.findings).rstrip("\r\n"))
        yield from self._ended()

    def _line(self, line: str) -> Iterator[str]:
        if self._until:
            self._until = "" if line.strip() == self._until else self._until
            return
        if self._braces:
            self._braces += line.count("\\{") - line.count("\\}")
            return
        request = _REQUEST.match(line)
        if self._table:
            yield from self._row(line)
        elif request:
            yield from self._request(request[1], request[2])
        elif self._as_it_is:
            yield plain(line) + "\n"
        elif not line.strip():
            yield from self._ended()
        else:
            if line[0] in " \t":
                yield from self._ended()
            yield from self._said(plain(line).strip())

    def _said(self, words: str) -> Iterator[str]:
        if self._as_it_is:
            yield f"{words}\n"
        elif words:
            self._paragraph.append(words)
        if self._tag and words:
            self._tag = False
            yield from self._ended()

    def _ended(self) -> Iterable[str]:
        told, self._paragraph = " ".join(self._paragraph).strip(), []
        return (f"{told}\n",) if told else ()

    def _row(self, line: str) -> Iterator[str]:
        if line.startswith(".TE"):
            self._table = 0
        elif self._table == 1:
            self._table = 1 + line.rstrip().endswith(".")
        elif not line.startswith(".") and line.strip(" \t_="):
            yield plain(line.replace("T{", "").replace("T}", "")) + "\n"

    def _request(self, name: str, rest: str) -> Iterator[str]:
        if name.startswith('\\"') or not name:
            return
        if name in ("de", "de1", "am", "ig"):
            words = rest.split()
            self._until = f".{words[1]}" if len(words) > 1 else ".."
        elif name in ("if", "ie", "el", "while"):
            self._braces = max(0, rest.count("\\{") - rest.count("\\}"))
        elif name == "so":
            self._text.findings.leave_part(OTHER_FILE)
        elif name == "TS":
            yield from self._ended()
            self._table = 1
        elif name in _AS_IT_IS:
            yield from self._ended()
            self._as_it_is = _AS_IT_IS[name]
        elif name in _HEADINGS:
            yield from self._ended()
            self._as_it_is = False
            if heading := " ".join(arguments(rest)).strip():
                yield f"\n{heading}\n" if self._given else f"{heading}\n"
                self._given = True
            else:
                self._tag = True
        elif name in _BREAKS:
            yield from self._ended()
            if name == "Bd":
                self._as_it_is = "-literal" in rest or "-unfilled" in rest
            elif name == "Ed":
                self._as_it_is = False
        elif name == "TP":
            yield from self._ended()
            self._tag = True
        elif name == "IP":
            yield from self._ended()
            if given := arguments(rest):
                self._paragraph.append(given[0])
        elif name in _FONTS:
            yield from self._said(" ".join(arguments(rest)))
        elif name in _ALTERNATE:
            yield from self._said("".join(arguments(rest)))
        elif name == "It":
            yield from self._ended()
            yield from self._said(self._of_mdoc(arguments(rest)))
            yield from self._ended()
        elif name == "Nm" or name in _WORDS or name in _AROUND or name in ("Fl", "Xr", "Ns"):
            words = arguments(rest)
            if name == "Nm":
                self._name = self._name or (words[0] if words else "")
            yield from self._said(self._of_mdoc([name, *words]))

    def _of_mdoc(self, words: list[str]) -> str:
        """The text of words among which there are macros."""
        text, glue, closing = "", False, list[str]()
        place = 0
        while place < len(words):
            word = words[place]
            place += 1
            before = "" if not text or glue or text[-1] in "([{“‘" else " "
            glue = False
            if closing and all(one in _CLOSING for one in words[place - 1 :]):
                text += "".join(reversed(closing))
                closing = []
            if word in _AROUND:
                text += before + _AROUND[word][0]
                glue = True
                closing += _AROUND[word][1:]
            elif word == "Ns":
                glue = True
            elif word == "Fl":
                text += before + "-"
                glue = place < len(words) and words[place] not in _WORDS and words[place] not in _AROUND
            elif word == "Nm":
                if place >= len(words) or words[place] in _WORDS | {"Fl"} or words[place] in _CLOSING:
                    text += before + self._name
            elif word == "Xr" and place < len(words):
                section = words[place + 1] if place + 1 < len(words) and words[place + 1][:1].isdigit() else ""
                text += before + words[place] + (f"({section})" if section else "")
                place += 1 + bool(section)
            elif word in _WORDS:
                text += before + "— " if word == "Nd" else ""
                glue = word == "Nd" or not before
            else:
                text += word if word in _CLOSING else before + word
        return text + "".join(reversed(closing))


ROFF = TextFormat(name="roff", recognize=_recognize, documents=_documents)
