"""Page text: the blocks of a parsed page, as a browser would show them, and the text that they make up."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lxml.html import HtmlElement as Element


def words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# Elements that begin and end a line, by the rendering section of https://html.spec.whatwg.org/multipage/rendering.html
BLOCKS = words(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure"
    " footer form frameset h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main menu nav ol optgroup option p"
    " plaintext pre search section select summary table tbody td tfoot th thead title tr ul xmp"
)
VERBATIM = words("pre listing plaintext xmp")
HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_CODE = ("code", "kbd", "samp", "tt", "var", "xmp")
_ITEMS = frozenset(("li", "dt", "dd", "option"))
_LISTS = frozenset(("ul", "ol", "dl", "dir", "menu"))
_SPACES = re.compile(r"[ \t\n\r\f\v\u00a0]+")  # of HTML, and the one that does not break; a null is a break of a line
_LINE_SPACES = re.compile(r" ?\n ?")
_SOFT = str.maketrans("", "", "\u00ad\u200b\ufeff")  # where a word may break, and marks that nobody sees
_NUMBERED = re.compile(r"^ *\d+(?: *\n *\d+)+ *$")  # a column of line numbers beside a program


@dataclass(kw_only=True)
class Block:
    """A paragraph, heading, item, row or preformatted text. `element`: the innermost that holds all of it."""

    text: str
    element: Element
    linked: int = 0  # characters inside links
    links: int = 0
    tight: bool = False  # stands right under the block before it
    verbatim: bool = False

    @property
    def is_heading(self) -> bool:
        return self.element.tag in HEADINGS


@dataclass
class _Walk:
    """Gathers what stands on a line until a block begins or ends."""

    blocks: list[Block] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    linked: int = 0
    links: int = 0
    mark: str = ""  # of an item, until its first line is there
    tight: bool = False

    def end(self, element: Element) -> None:
        text = _SPACES.sub(" ", "".join(self.parts)).replace("\0", "\n")
        text = _LINE_SPACES.sub("\n", text).strip()
        if text:
            self.blocks.append(
                Block(
                    text=self.mark + text.translate(_SOFT),
                    element=element,
                    linked=min(self.linked, len(text)),
                    links=self.links,
                    tight=self.tight,
                )
            )
            self.mark, self.tight = "", False
        self.parts, self.linked, self.links = [], 0, 0

    def inside(self, element: Element, in_link: bool, listed: bool) -> None:
        tag = element.tag
        if not isinstance(tag, str):
            return
        if tag == "br":
            self.parts.append("\0")
            return
        if tag in VERBATIM:
            self._verbatim(element)
            return
        if tag == "tr":
            self._row(element)
            return
        if tag == "q":
            self.parts.append("\u201c")
        is_block = tag in BLOCKS
        if is_block:
            self.end(element.getparent() if element.getparent() is not None else element)
            if tag in _ITEMS:
                self.mark = "- " if tag == "li" else ""
                self.tight = listed
        is_link = tag == "a" and element.get("href") is not None
        if is_link:
            self.links += 1
        in_link = in_link or is_link
        self.text(element.text, in_link)
        items = tag in _LISTS
        first = True
        for child in element:
            self.inside(child, in_link, items and not first)
            first = first and child.tag not in _ITEMS
            self.text(child.tail, in_link)
        if tag == "q":
            self.parts.append("\u201d")
        if is_block:
            self.end(element)
            self.mark = "" if tag == "li" else self.mark

    def text(self, text: str | None, in_link: bool) -> None:
        if text:
            self.parts.append(text)
            if in_link:
                self.linked += len(text.strip())

    def _verbatim(self, element: Element) -> None:
        """Preformatted text: its line breaks and its indentation are a part of it."""
        self.end(element.getparent() if element.getparent() is not None else element)
        for br in element.iter("br"):
            br.tail = "\n" + (br.tail or "")
        lines = shown(element).replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ").split("\n")
        text = "\n".join(line.rstrip() for line in lines)
        text = text.strip("\n").translate(_SOFT)
        if text.strip() and not _NUMBERED.match(text):
            linked = sum(len(shown(link)) for link in element.iter("a"))
            self.blocks.append(Block(text=text, element=element, linked=linked, verbatim=True, tight=self.tight))
        self.mark, self.tight = "", False

    def _row(self, row: Element) -> None:
        """A row of a table, a line: `| cell | cell |`; one cell alone, or cells of many blocks, are blocks."""
        self.end(row.getparent() if row.getparent() is not None else row)
        cells = [cell for cell in row if cell.tag in ("td", "th")]
        inner = []
        for cell in cells:
            walk = _Walk()
            walk.inside(cell, in_link=False, listed=False)
            inner.append(walk.blocks)
        filled = [blocks for blocks in inner if blocks]
        if len(filled) < 2 or any(block.verbatim or len(blocks) > 3 for blocks in filled for block in blocks):
            for blocks in filled:
                self.blocks += blocks
            return
        texts = [" ".join(block.text.replace("\n", " ") for block in blocks) for blocks in inner]
        above = row.getprevious()
        self.blocks.append(
            Block(
                text="| " + " | ".join(texts) + " |",
                element=row,
                linked=sum(block.linked for blocks in inner for block in blocks),
                links=sum(block.links for blocks in inner for block in blocks),
                tight=bool(self.blocks) and above is not None and above is self.blocks[-1].element,
            )
        )


def shown(element: Element) -> str:
    return "".join(element.itertext())


def blocks_of(tree: Element) -> list[Block]:
    """All text of the tree, which must not hold what a browser does not show."""
    walk = _Walk()
    walk.inside(tree, in_link=False, listed=False)
    walk.end(tree)
    return walk.blocks


def text_of(blocks: Iterable[Block], plain: Callable[[str], str] = str) -> str:
    """Blocks with an empty line between them; items of one list and rows of one table without one.

    plain: for blocks that show no code, undoes markup that the page shows as text because it was escaped twice.
    """
    parts: list[str] = []
    for block in blocks:
        if parts:
            parts.append("\n" if block.tight else "\n\n")
        has_markup = not block.verbatim and ("<" in block.text or "&" in block.text)
        parts.append(plain(block.text) if has_markup and not _shows_code(block.element) else block.text)
    return "".join(parts)


def _shows_code(element: Element) -> bool:
    return next(element.iter(*_CODE), None) is not None
