"""Pages: extracts the main text of HTML pages, and removes stray tags and entities from plain text."""

import dataclasses
import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daybreak.data.cleaning import Document, Note

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_CHARACTERS = 8 << 20  # the largest page that is parsed: its tree takes some twenty times the memory
_DEEPEST = 200  # nesting, likewise: above it parsers recurse, or take the square of it
_ROUNDS = 8  # entities may hide entities
_LOOKED_AT = 1 << 11  # characters, for the beginning of a page
_PAGE = re.compile(
    r"\s*(?:<\?xml[^<>]{0,200}\?>\s*)?(?:<!--[^<>]{0,1000}-->\s*)*<(?:!doctype\s+html\b|html[\s>])", re.I
)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,15})(?:[\s/][^<>]*)?>|<!--|<![^<>]*>|<\?[^<>]*>")
_ENDLESS = frozenset("area base br col embed hr img input link meta param source track wbr p li td th tr dt dd".split())  # noqa: SIM905
_NOT_READ = frozenset(
    "script style noscript template head nav header footer aside form button select svg math iframe object".split()  # noqa: SIM905
)
_RAW = frozenset(("script", "style"))  # their content is not HTML
_BLOCKS = frozenset(
    "p div br hr li ul ol dl dt dd table tr td th section article main h1 h2 h3 h4 h5 h6 pre blockquote figure".split()  # noqa: SIM905
)
_PLAIN = frozenset(
    "b i em strong u s p br hr span div font center big small sup sub h1 h2 h3 h4 h5 h6 a li ul ol".split()  # noqa: SIM905
)
_ALONE = frozenset(("br", "hr"))
_MARKUP = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,7})(?:\s[^<>]{0,500})?\s?/?>")
_ENTITY = re.compile(
    r"&(?:amp;)*(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|nbsp|amp|lt|gt|quot|apos|mdash|ndash|hellip|[lr][sd]quo|middot|bull"
    r"|copy|reg|trade|deg|times|laquo|raquo|ensp|emsp|thinsp|zwnj|zwj|shy|[aeiouAEIOU](?:acute|grave|circ|uml)"
    r"|[nao]tilde|[cC]cedil|szlig|aring|oslash|aelig|euro|pound|yen|cent|sect|para);"
)
_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`)", re.DOTALL)
_SPACES = re.compile(r"[ \t\r\f\v]*\n\s*\n[ \t\r\f\v]*|[ \t\r\f\v]+|\n")


@dataclass(frozen=True, kw_only=True)
class HtmlText:
    """The main text of pages without menus, banners and footers (data/page_body.py says how it is found); where there
    is next to none, or the page is too large or too deep to be parsed, all text outside of such elements. In text that
    only has stray formatting tags and entities, these are undone; never in code.
    """

    name: str = dataclasses.field(default="html_text", init=False)
    least_marks: int = 2  # stray tags and entities in a text, from which on they are undone

    def __call__(self, document: Document, note: Note) -> Document | None:
        text = document.text
        if document.kind == "code" or ("<" not in text and "&" not in text):
            return document
        if (document.kind == "page" and _TAG.search(text)) or _PAGE.match(text, 0, _LOOKED_AT):
            return dataclasses.replace(
                document, text=_of_page(text, lambda part: self._plain(part, note), note), kind="text"
            )
        plain = self._plain(text, note)
        return document if plain == text else dataclasses.replace(document, text=plain)

    def _plain(self, text: str, note: Note) -> str:
        for _ in range(_ROUNDS):
            before = text
            if "<" in text or "&" in text:
                text = self._once(text, note)
            if text == before:
                break
        return text

    def _once(self, text: str, note: Note) -> str:
        parts = _CODE.split(text) if "`" in text else [text]
        prose = "".join(parts[::2])
        tags = _MARKUP.findall(prose) if "<" in prose else []
        closed = {name.lower() for end, name in tags if end} & _PLAIN | _ALONE  # list<b> of C++ is never closed
        marks = sum(name.lower() in closed for _, name in tags)
        marks += len(_ENTITY.findall(prose)) if "&" in prose else 0
        if marks < self.least_marks:
            return text

        def replaced(found: re.Match[str]) -> str:
            name = found[2].lower()
            if name not in closed:
                return found[0]
            return "\n" if name in _BLOCKS else ""

        for index in range(0, len(parts), 2):
            part = _table_rows(parts[index])
            parts[index] = _ENTITY.sub(_unescaped, _MARKUP.sub(replaced, part))
        note("tags and entities")
        return "".join(parts)


def _table_rows(part: str) -> str:
    """Line breaks within a row of a Markdown table are spaces: the row has to stay one line."""
    if "|" not in part:
        return part
    lines = part.split("\n")
    return "\n".join(re.sub(r"<br\s?/?>", " ", line) if line.lstrip()[:1] == "|" else line for line in lines)


def _unescaped(found: re.Match[str]) -> str:
    entity = "&" + found[0].rpartition("&")[2].split(";")[-2].rpartition("amp;")[2] + ";"
    return html.unescape(entity).replace("\u00a0", " ")


def _of_page(text: str, plain: "Callable[[str], str]", note: Note) -> str:
    if len(text) <= _MOST_CHARACTERS and not _too_deep(text):
        try:
            from daybreak.data import page_body, page_text

            blocks = page_body.body_of(text)
        except Exception:  # a parser failed on a broken page; its text can still be read
            blocks = []
        if blocks:
            note("pages")
            return page_text.text_of(blocks, plain)
    note("pages without a main text")
    return plain(_all_text(text))


def _too_deep(text: str) -> bool:
    depth = 0
    for found in _TAG.finditer(text):
        name = (found[2] or "").lower()
        if name and name not in _ENDLESS:
            depth += -1 if found[1] else 1
            if depth > _DEEPEST:
                return True
            depth = max(0, depth)
    return False


def _all_text(text: str) -> str:
    """All text outside of scripts, menus and the like, in one pass over the tags."""
    parts: list[str] = []
    unread, place = 0, 0
    while found := _TAG.search(text, place):
        if not unread:
            parts.append(text[place : found.start()])
        place = found.end()
        name = (found[2] or "").lower()
        if found[0] == "<!--":
            end = text.find("-->", place)
            place = end + 3 if end >= 0 else place
        elif name in _RAW and not found[1]:
            end = text.lower().find(f"</{name}", place) if len(text) < _LOOKED_AT else _end_of(text, name, place)
            place = end if end >= 0 else place
            unread += end >= 0
        elif name in _NOT_READ:
            unread = max(0, unread - 1) if found[1] else unread + 1
        elif name in _BLOCKS:
            parts.append("\n" if name == "br" else "\n\n")
    if not unread:
        parts.append(text[place:])
    joined = html.unescape("".join(parts))
    return _SPACES.sub(lambda found: "\n\n" if found[0].count("\n") > 1 else found[0][:1], joined).strip()


def _end_of(text: str, name: str, start: int) -> int:
    for spelled in (name, name.upper()):
        end = text.find(f"</{spelled}", start)
        if end >= 0:
            return end
    return -1
