"""Elements: the text of XML by what each element is: a block, words within a line, a cell, a note, or no text."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from daybreak.data.cleaning import Document
from daybreak.data.formats.documents.events import OTHER_FILE, parsed
from daybreak.data.formats.findings import Findings, Stopped
from daybreak.data.formats.format import Text
from daybreak.data.formats.pieces import WHOLE, pieces
from daybreak.data.formats.texts import text_documents

SPACE, LINE, TAB, _PARAGRAPH, _CELL, _ROW = "\1\2\3\4\5\6"  # as no XML holds them: to be told from its own blanks
_BLANKS = re.compile(r"[ \t\r\n]+")
_BLANK_LINE = re.compile(r"[ \t\r]*\n[ \t\r]*\n\s*")
_PARAGRAPHS = re.compile(rf"[ \t\n]*{_PARAGRAPH}[ \t\n{_PARAGRAPH}]*")
_CELLS = re.compile(rf"[ \n]*{_CELL}[ \n]*")
_ROWS = re.compile(rf"[ \n{TAB}]*{_ROW}\s*")
_LINES = re.compile(r"[ \t]*\n\s*")
_SEVERAL = re.compile(r" {2,}")
_MOST_WAITING = 1 << 20  # parts of a line that wait for what decides whether it is one
_MOST_CHILDREN = 64  # without text between them: then they are blocks


def kept(text: str) -> str:
    """Text whose blanks and line breaks are to stay as they are."""
    return text.replace(" ", SPACE).replace("\n", LINE).replace("\t", TAB)


def names(words: str) -> frozenset[str]:
    """Names of elements, with spaces between them."""
    return frozenset(words.split())


class Blanks(Enum):
    """What blanks in the text mean."""

    COLLAPSED = auto()  # any run of them is one space
    KEPT = auto()  # each is itself, and a line break is a space
    LINES = auto()  # line breaks are the text's own, blanks that indent are none


Attributes = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Elements:
    """What the elements of a vocabulary are, by their names without prefixes. Others are guessed: an element beside
    which there is text is within a line, and any other is a block.
    """

    blocks: frozenset[str] = frozenset()  # a line or more of their own
    inline: frozenset[str] = frozenset()  # within a line
    rows: frozenset[str] = frozenset()  # of tables: a line
    cells: frozenset[str] = frozenset()  # in rows: a tab after each but the last
    apart: frozenset[str] = frozenset()  # notes and boxes, whose text comes after the block that they stand in
    preserved: frozenset[str] = frozenset()  # their blanks and line breaks are as they are written
    skipped: frozenset[str] = frozenset()  # no text
    left_out: Mapping[str, str] = field(default_factory=dict)  # text that is not the document's, and what it is
    left_out_where: Mapping[str, Callable[[Attributes], str]] = field(default_factory=dict)  # by attributes; empty: not
    first_of: frozenset[str] = frozenset()  # of what is in these only the first that has text
    separated: frozenset[str] = frozenset()  # within a line, with a blank before and after
    stands_for: Mapping[str, Callable[[Attributes], str]] = field(
        default_factory=dict
    )  # text that one is, with SPACE..
    text_in: frozenset[str] = frozenset()  # only in these is text; empty: in all
    each: frozenset[str] = frozenset()  # a document each; empty: all is one
    blanks: Blanks = Blanks.COLLAPSED
    guessed: bool = True  # False: elements that are not named are within a line


class _Gap:
    """A place where a line may end."""

    __slots__ = ("breaks", "name", "safe")

    def __init__(self, name: str, breaks: bool | None, safe: bool) -> None:
        self.name, self.breaks, self.safe = name, breaks, safe  # None: not known yet; safe: text may be given up to it


class _Open:
    """An element whose end has not come."""

    __slots__ = ("action", "before", "children", "gaps", "mixed", "name", "texts")

    def __init__(self, name: str, action: int, texts: int, before: _Gap | None) -> None:
        self.name, self.action, self.texts, self.before = name, action, texts, before
        self.mixed: bool | None = None  # there is text beside its elements; None: none so far
        self.gaps: list[_Gap] = []  # around its elements, undecided
        self.children = 0


_GUESS, _BLOCK, _INLINE, _ROW_OF, _CELL_OF, _APART, _PRESERVED, _SKIP, _SEPARATED = range(9)


class ElementText:
    """Takes the events of XML and keeps the text until it is asked for."""

    def __init__(self, elements: Elements, findings: Findings) -> None:
        self.elements, self.findings = elements, findings
        self.done: list[str] = []  # texts of elements that are documents, or the last of a root element
        self._other = _GUESS if elements.guessed else _INLINE
        self._actions: dict[str, int] = {}
        for action, names in (
            (_BLOCK, elements.blocks),
            (_INLINE, elements.inline),
            (_SEPARATED, elements.separated),
            (_ROW_OF, elements.rows),
            (_CELL_OF, elements.cells),
            (_APART, elements.apart),
            (_PRESERVED, elements.preserved),
            (_SKIP, elements.skipped | set(elements.left_out)),
        ):
            self._actions.update(dict.fromkeys(names, action))
        self._open = [_Open("", _BLOCK, 0, None)]
        self._parts: list[str | _Gap] = []
        self._outer: list[list[str | _Gap]] = []  # those of the texts that a note stands in
        self._notes: list[list[str | _Gap]] = []  # complete, to come after the block that they stand in
        self._texts = 0  # with something in them, so far
        self._skipping = 0  # elements that are open and skipped
        self._what, self._lost = "", 0  # left out
        self._preserving = self._rows = self._inside = self._document = 0  # elements of the kind that are open
        self._within_lines = set[str]()  # names that were guessed to be so
        self._given = False

    def given(self) -> bool:
        return self._given or self._texts > 0

    def start(self, name: str, attributes: Attributes) -> None:
        if self._skipping:
            self._skipping += 1
            return
        elements, parent = self.elements, self._open[-1]
        if name == "include" and "href" in attributes:  # of XInclude
            self.findings.leave_part(OTHER_FILE)
        action = self._actions.get(name, self._other)
        what = elements.left_out.get(name, "")
        if name in elements.left_out_where:
            what = elements.left_out_where[name](attributes)
        if what or action == _SKIP or (parent.name in elements.first_of and self._texts > parent.texts):
            self._skipping, self._what, self._lost = 1, what, 0
            return
        before = None
        if action == _GUESS:
            before = self._gap(name, None)
        elif action == _SEPARATED:
            self._parts.append(" ")
        elif action != _INLINE:
            if action == _APART:
                self._outer.append(self._parts)
                self._parts = []
            self._gap(name, True)
        if action == _ROW_OF:
            self._rows += 1
        elif action == _PRESERVED:
            self._preserving += 1
        if name in elements.text_in:
            self._inside += 1
        if name in elements.each:
            if not self._document:
                self._parts, self._outer, self._notes = [], [], []
            self._document += 1
        if stands_for := elements.stands_for.get(name):
            self._keep(stands_for(attributes))
        self._open.append(_Open(name, action, self._texts, before))

    def end(self, name: str) -> None:
        if self._skipping:
            self._skipping -= 1
            if not self._skipping and self._what and self._lost:
                self.findings.leave_part(self._what, self._lost)
            return
        elements, closed = self.elements, self._open.pop()
        parent, action = self._open[-1], closed.action
        for gap in closed.gaps:  # no text beside them
            gap.breaks = gap.name not in self._within_lines
        if action == _GUESS:
            holds = closed.mixed is not True and closed.children > 1  # blocks, or at least columns
            assert closed.before is not None
            if holds or parent.mixed is False:
                closed.before.breaks = True
                self._gap(name, True)
            elif parent.mixed:
                closed.before.breaks = False
                self._within_lines.add(name)
            else:
                parent.gaps += (closed.before, self._gap(name, None))
        elif action == _CELL_OF and self._rows:
            self._parts.append(_CELL)
        elif action == _ROW_OF:
            self._rows -= 1
            self._parts.append(_ROW)
            self._gap(name, True)
        elif action == _APART:
            self._gap(name, True)
            self._notes.append(self._parts)
            self._parts = self._outer.pop()
        elif action == _SEPARATED:
            self._parts.append(" ")
        elif action != _INLINE:
            self._preserving -= action == _PRESERVED
            self._gap(name, True)
        if self._notes and action in (_BLOCK, _PRESERVED, _ROW_OF) and not (self._outer or self._rows):
            for note in self._notes:
                self._parts += note
            self._notes = []
        if name in elements.text_in:
            self._inside -= 1
        parent.children += 1
        if parent.mixed is None and parent.children > _MOST_CHILDREN:
            parent.mixed = False
            for gap in parent.gaps:
                gap.breaks = gap.name not in self._within_lines
            parent.gaps = []
        if name in elements.each:
            self._document -= 1
            if not self._document:
                self.done.append(self.take(last=True))
        elif len(self._open) == 1 and not elements.each:
            self.done.append(self.take(last=True))

    def text(self, text: str) -> None:
        elements = self.elements
        if self._skipping:
            self._lost += len(text.encode("utf-8", "replace")) if self._what and not text.isspace() else 0
            return
        if (elements.text_in and not self._inside) or (elements.each and not self._document):
            return
        if not text.isspace():
            parent = self._open[-1]
            if parent.mixed is None:
                parent.mixed = True
                for gap in parent.gaps:
                    gap.breaks = False
                    self._within_lines.add(gap.name)
                parent.gaps = []
            self._texts += 1
        if self._preserving:
            text = kept(text)
        elif elements.blanks is Blanks.COLLAPSED:
            text = _BLANKS.sub(" ", text)
        elif elements.blanks is Blanks.KEPT:
            text = kept(text.replace("\n", " "))
        elif not text.isspace():
            text = _BLANK_LINE.sub(_PARAGRAPH, text)
        self._keep(text)

    def is_text(self) -> bool:
        """Whether text at this place is the document's."""
        return not self._skipping and (not self.elements.text_in or self._inside > 0)

    def add(self, text: str) -> None:
        """Text that an element stands for, with its own blanks."""
        if not self._skipping:
            self._texts += 1
            self._keep(kept(text))

    def _keep(self, text: str) -> None:
        self._parts.append(text)
        if len(self._parts) > _MOST_WAITING and self._outer:
            raise Stopped("a note or a box with more than a million pieces of text")

    def _gap(self, name: str, breaks: bool | None) -> _Gap:
        gap = _Gap(name, breaks, not (self._rows or self._outer))
        self._parts.append(gap)
        return gap

    def take(self, *, last: bool = False) -> str:
        """All since the last call that is decided; last: all, with the end of its line."""
        parts = self._parts
        if last:
            for note in self._notes:
                parts += note
            self._notes = []
            cut = len(parts)
        elif self._outer or self.elements.each:
            return ""
        elif len(parts) > _MOST_WAITING:
            cut = len(parts)
        else:
            cut = 0
            for index, part in enumerate(parts):
                if isinstance(part, _Gap):
                    if part.breaks is None:
                        break
                    if part.breaks and part.safe:
                        cut = index + 1
        text = "".join(
            part if isinstance(part, str) else "\n" if part.breaks is not False else "" for part in parts[:cut]
        )
        for part in parts[:cut]:
            if isinstance(part, _Gap) and part.breaks is None:
                part.breaks = True
        del parts[:cut]
        text = _cleaned(text)
        self._given = self._given or bool(text)
        return text if not last or not text or text.endswith("\n") else text + "\n"


def _cleaned(text: str) -> str:
    """Blanks and line breaks as they are to be: those that were told apart by marks, and the file's own."""
    if _CELL in text:
        text = _CELLS.sub(TAB, text)
    if _ROW in text:
        text = _ROWS.sub("\n", text)
    if _PARAGRAPH in text:
        text = _PARAGRAPHS.sub(LINE + "\n", text)
    text = _LINES.sub("\n", _SEVERAL.sub(" ", text))
    return text.lstrip(" \n").replace(SPACE, " ").replace(LINE, "\n").replace(TAB, "\t")


def element_texts(kept: ElementText, text: Text, encoding: str | None, *, mended: bool = True) -> Iterator[str]:
    """The text of all elements, a few lines at a time."""
    for _ in parsed(text.blocks, kept, text.name, text.findings, encoding, mended=mended):
        yield from kept.done
        kept.done = []
        yield kept.take()


def element_documents(elements: Elements, text: Text, kept: ElementText | None = None) -> Iterator[Document]:
    """Of a text in UTF-8: all elements as one text, of each root; or a document for each element that is one."""
    kept = kept or ElementText(elements, text.findings)
    events = parsed(text.blocks, kept, text.name, text.findings)
    if elements.each:
        for _ in events:
            done, kept.done = kept.done, []
            for one in done:
                if one.strip():
                    text.findings.rows_seen += 1
                    yield from text_documents(one, "text", text.name, text.findings)
        return
    for _, texts in itertools.groupby(_numbered(kept, events), key=lambda taken: taken[0]):
        yield from one_text(one for _, one in texts)


def _numbered(kept: ElementText, events: Iterator[None]) -> Iterator[tuple[int, str]]:
    """Texts in turn, each with the number of the root that it is of."""
    root = 0
    for _ in events:
        done, kept.done = kept.done, []
        for one in done:
            yield root, one
            root += 1
        yield root, kept.take()


def one_text(texts: Iterable[str]) -> Iterator[Document]:
    """Texts that follow one another as one document, in pieces where it is long; all there is before an error."""
    failed: list[Exception] = []

    def parts() -> Iterator[bytes]:
        try:
            yield from (text.encode("utf-8", "replace") for text in texts if text)
        except Exception as error:  # to be raised when what has come before it is given
            failed.append(error)

    for index, piece in enumerate(pieces(parts(), WHOLE)):
        if index or piece.strip():
            yield Document(piece.decode(), index == 0)
    for error in failed:
        raise error
