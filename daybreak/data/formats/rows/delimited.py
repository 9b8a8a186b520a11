"""Delimited: the lines of a table as rows of cells, quoted or not (RFC 4180 and what programs write in its name).

What is regular is split by the library or by `str.split`. Where a row is not, its faults are mended one by one, so
that none reaches beyond its row: a quote that never closes ends with its line, and delimiters that nothing quotes stay
in the text.
"""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from daybreak.data.formats import limits

ONE_COLUMN = "\n"  # the delimiter of a table of one column: it is in no line
END_OF_FILE = "\x1a"  # that old programs write behind the last line
UNQUOTED = "have delimiters in their text that nothing quotes"
UNCLOSED = "have a quote that never closes and is read as text"
_NUMBER = re.compile(r"\s*#?[-+]?[\d.,:/ %-]*\d[\d.,:/ %-]*\s*")  # dates and times, too
_LOOKED_THROUGH = 64  # lines inside of quotes, after which they are looked at: perhaps they are rows
_CAUTIOUS_COLUMNS, _CAUTIOUS_LINES = 3, 3  # at least, before lines inside of quotes count as rows without a number
_MANY_LINES = 50  # as many where there are two columns


@dataclass(frozen=True, kw_only=True)
class Signs:
    """How the cells of a row are parted."""

    delimiter: str
    quote: str = '"'  # empty: there is none
    escaped: bool = False  # a quote inside of quotes has a backslash in front, and is not doubled
    bare: bool = (
        False  # quotes are signs only where a cell needs them: in tables with tabs they are mostly the text's own
    )

    @cached_property
    def runs(self) -> re.Pattern[str]:
        return re.compile(re.escape(self.quote) + "+")


@dataclass(frozen=True, kw_only=True)
class Form:
    """What the first rows have told of all."""

    columns: int  # 0: not known
    wide: int = 0  # the column that takes delimiters that nothing quotes: the last one of text
    number_first: bool = False  # the first cell of each row is a number


def is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def cells_of(line: str, signs: Signs, *, spaced: bool = False, lenient: bool = False) -> tuple[list[str], bool]:
    """The cells of a line, and whether the last one is inside of quotes at its end; then it has its quote still.

    spaced: blanks may be before a quote; lenient: two quotes may be one of the text and the closing one.
    """
    delimiter, quote = signs.delimiter, signs.quote
    if not quote or quote not in line:
        return line.split(delimiter), False
    cells: list[str] = []
    at, step = 0, len(delimiter)
    while True:
        start = at
        if spaced:
            while line.startswith(" ", start):
                start += 1
        if line.startswith(quote, start):
            end = _closing(line, start + 1, signs, lenient=lenient)
            if end < 0:
                cells.append(line[start:])
                return cells, True
            cells.append(_unquoted(line[start + 1 : end], signs))
            at = line.find(delimiter, end + 1)
        else:
            end = at
            at = line.find(delimiter, at)
            cell = line[end:] if at < 0 else line[end:at]
            cells.append(_unquoted(cell, signs) if signs.escaped and "\\" in cell else cell)
        if at < 0:
            return cells, False
        at += step


def _closing(line: str, at: int, signs: Signs, *, lenient: bool = False) -> int:
    """Where the quote is that closes a cell; -1: not in this line. One in the midst of words does not."""
    for run in signs.runs.finditer(line, at):
        start, end = run.span()
        if signs.escaped and _is_escaped(line, start, at):
            start += 1
        size = end - start
        if size and (size % 2 or lenient) and _is_end(line, end, signs):
            return end - 1
    return -1


def _is_escaped(line: str, at: int, least: int) -> bool:
    slashes = 0
    while at - slashes > least and line[at - slashes - 1] == "\\":
        slashes += 1
    return slashes % 2 == 1


def _is_end(line: str, at: int, signs: Signs) -> bool:
    """A cell may end here: the line does, or a delimiter follows, with blanks before it or none."""
    size = len(line)
    if at == size or line.startswith(signs.delimiter, at):
        return True
    while at < size and line[at] in " \r":
        at += 1
    return at == size or line.startswith(signs.delimiter, at)


def _unquoted(cell: str, signs: Signs) -> str:
    quote = signs.quote
    if signs.escaped and "\\" in cell:
        cell = re.sub(rf"\\([{quote}\\])", r"\1", cell)
    return cell.replace(quote * 2, quote) if quote in cell else cell


def _opens(line: str, signs: Signs) -> bool:
    """A quote in the line opens a cell, in a way that no text inside of quotes has."""
    for run in signs.runs.finditer(line):
        start, end = run.span()
        first = not start or line.startswith(signs.delimiter, start - len(signs.delimiter))
        even = (end - start) % 2 == 0
        if first and (
            end == len(line) or line.startswith(signs.delimiter, end) if even else not _is_end(line, end, signs)
        ):
            return True
    return False


@dataclass
class Rows:
    """The rows of cells of a table's lines, which have no line feed at their end.

    say: is told of each row that was mended, in words; lost: of one that is too long, with its characters.
    """

    lines: Iterator[str]
    signs: Signs
    form: Form
    say: Callable[[str], None]
    lost: Callable[[int], None]
    whole: bool = True  # there are no more lines; else a quote that is open at the end may close
    _ahead: deque[str] = field(default_factory=deque)
    _open_lines: int = 0  # of those ahead, that have no quote which closes a cell

    def __iter__(self) -> Iterator[list[str]]:
        signs, columns, ahead, lines = self.signs, self.form.columns, self._ahead, self.lines
        delimiter, quote = signs.delimiter, signs.quote
        reader = {"delimiter": delimiter, "quotechar": quote or '"'}
        quick = bool(quote) and not signs.escaped and not signs.bare and delimiter != ONE_COLUMN
        while True:
            line = self._next() if ahead else next(lines, None)
            if line is None:
                return
            bare = line.rstrip("\r") if line.endswith("\r") else line
            if not bare or bare == END_OF_FILE:
                continue
            if "\r" in bare and self._parted(bare):
                continue
            if not quote or quote not in bare:
                cells = bare.split(delimiter)
                if len(cells) != columns and columns:
                    cells = self._mended(bare, cells)
                yield cells
                continue
            if quick:
                try:
                    cells = next(csv.reader((bare,), strict=True, **reader))  # type: ignore[arg-type]
                except csv.Error:
                    cells = []
                if cells and len(cells) == (columns or len(cells)):
                    yield cells
                    continue
                if bare is line and line.count(quote) % 2 and (cells := self._regular(line, csv.reader, reader)):
                    yield cells
                    continue
            found = self._quoted(line, bare)
            if found is not None:
                yield found

    def _regular(self, line: str, parsed: Callable[..., Iterator[list[str]]], reader: dict[str, str]) -> list[str]:
        """A row over lines that has no fault, by the library; empty: it has one, and the lines are ahead again."""
        taken: list[str] = []
        quote, is_open, size = self.signs.quote, True, len(line)
        while (
            is_open and len(taken) < _LOOKED_THROUGH and size < limits.BLOCK_BYTES and (one := self._next()) is not None
        ):
            taken.append(one)
            size += len(one)
            is_open = quote not in one or one.count(quote) % 2 == 0
        cells: list[str] = []
        if not is_open:
            rows = parsed((f"{one}\n" for one in (line, *taken)), strict=True, **reader)
            try:
                cells = next(rows)
                cells = cells if next(rows, None) is None else []
            except csv.Error:
                cells = []
        if len(cells) == self.form.columns > 1 and not self._are_rows(taken, line.partition(self.signs.delimiter)[0]):
            return cells
        self._ahead.extendleft(reversed(taken))
        return []

    def _next(self) -> str | None:
        if not self._ahead:
            return next(self.lines, None)
        self._open_lines = max(0, self._open_lines - 1)
        return self._ahead.popleft()

    def _parted(self, line: str) -> bool:
        """Rows that end with a carriage return alone, among others: they are taken apart, where each is whole."""
        parts = line.split("\r")
        columns = self.form.columns
        if columns < 2 or any(self._exactly(part) is None for part in parts):
            return False
        self._ahead.extendleft(reversed(parts))
        return True

    def _exactly(self, line: str) -> list[str] | None:
        """The cells of a line that is a row as it should be."""
        cells, opened = cells_of(line, self.signs)
        return cells if not opened and len(cells) == self.form.columns else None

    def _quoted(self, line: str, bare: str) -> list[str] | None:
        """A row with quotes, that may go on over further lines; None: it is too long."""
        signs, columns = self.signs, self.form.columns
        if signs.bare:
            literal = bare.split(signs.delimiter)
            if not columns:
                return literal
            if len(literal) >= columns and not (literal[-1].startswith(signs.quote) and self._goes_on()):
                cells = self._fitted(bare, literal)
                return [_if_quoted(cell, signs) if self._is_doubled(cell) else cell for cell in cells]
        cells, opened = cells_of(bare, signs)
        if opened:
            over = self._over_lines(line, cells)
            if over != []:
                return over
            for spaced in (False, True):
                cells, opened = cells_of(bare, signs, spaced=spaced, lenient=True)
                if not opened and len(cells) == columns:
                    return cells
            self.say(UNCLOSED)
            return self._fitted(bare, [_without_quote(cell, signs) for cell in bare.split(signs.delimiter)])
        if len(cells) == columns or not columns:
            return cells
        spaced_cells, opened = cells_of(bare, signs, spaced=True, lenient=True)
        if not opened and len(spaced_cells) == columns:
            return spaced_cells
        if len(cells) == 1 < columns and signs.quote not in (cells[0][:1], ""):  # all of the row is in quotes
            inner = self._exactly(cells[0])
            if inner:
                return inner
        literal = bare.split(signs.delimiter)
        if len(literal) == columns:  # a quote is closed in the midst of its cell
            return [_if_quoted(cell, signs) for cell in literal]
        return self._mended(bare, cells)

    def _is_doubled(self, cell: str) -> bool:
        """Quotes inside of the cell's own are doubled, and come in pairs."""
        return cell.count(self.signs.quote * 2) > 0 and cell[1:-1].replace('""', '"').count('"') % 2 == 0

    def _goes_on(self) -> bool:
        """The next line is not a row of its own."""
        line = self._next()
        if line is None:
            return False
        self._ahead.appendleft(line)
        return len(line.split(self.signs.delimiter)) < self.form.columns

    def _over_lines(self, line: str, cells: list[str]) -> list[str] | None:
        """The row with cells of several lines; empty: its quote never closes; None: it is too long, and gone."""
        signs, columns = self.signs, self.form.columns
        cells = [*cells[:-1], cells[-1][1:] + ("\r" if line.endswith("\r") else "") + "\n"]
        own = line.partition(signs.delimiter)[0]
        held, size = [cells.pop()], len(line)
        taken: list[str] = []
        barren = False  # none of the lines taken has a quote that closes a cell
        if self._open_lines:
            return []
        while True:
            one = self._next()
            if one is None:
                barren = True
                if not self.whole and not self._are_rows(taken[:_LOOKED_THROUGH], own):
                    return [*cells, _unquoted("".join(held), signs)]
                break
            taken.append(one)
            size += len(one) + 1
            bare = one.rstrip("\r")
            end = _closing(bare, 0, signs) if signs.quote in bare else -1
            if signs.quote in bare and _opens(bare if end < 0 else bare[:end], signs) and self._is_row(bare):
                break
            if end < 0:
                held.append(one + "\n")
                if size > limits.ROW_BYTES:
                    if self._are_rows(taken[:_LOOKED_THROUGH], own):
                        barren = True
                        break
                    self._pass_over(size)
                    return None
                if len(taken) % _LOOKED_THROUGH == 0 and self._are_rows(taken[-_LOOKED_THROUGH:], own):
                    break
                continue
            barren = False
            held.append(bare[:end])
            cells.append(_unquoted("".join(held), signs))
            at = bare.find(signs.delimiter, end + 1)
            opened = False
            if at >= 0:
                more, opened = cells_of(bare[at + len(signs.delimiter) :], signs)
                cells += more
            if opened:
                held = [cells.pop()[1:] + one[len(bare) :] + "\n"]
                continue
            if self._are_rows(taken[:_LOOKED_THROUGH], own):
                break
            if columns and len(cells := _trimmed(cells, columns)) != columns:
                if self._have_all(taken):
                    break
                return cells if len(cells) < columns else self._merged(cells)
            return cells
        self._ahead.extendleft(reversed(taken))
        self._open_lines = len(taken) if barren else 0
        return []

    def _have_all(self, lines: list[str]) -> bool:
        """Half of the lines, or more, have as many cells as there are columns."""
        counts = [len(line.split(self.signs.delimiter)) for line in lines[:_LOOKED_THROUGH] if line.strip()]
        return 2 * sum(count >= self.form.columns for count in counts) >= len(counts)

    def _pass_over(self, size: int) -> None:
        """Passes over the rest of a cell that is too long."""
        while (line := self._next()) is not None:
            size += len(line) + 1
            if self.signs.quote in line and _closing(line.removesuffix("\r"), 0, self.signs) >= 0:
                break
        self.lost(size)

    def _is_row(self, line: str) -> bool:
        cells, opened = cells_of(line, self.signs)
        if self.form.columns <= 1:
            return self.form.columns == 1
        if self.form.number_first and not is_number(cells[0]):
            return False
        return 1 < len(cells) <= self.form.columns if opened else len(cells) == self.form.columns

    def _are_rows(self, lines: list[str], own: str) -> bool:
        """Lines inside of quotes are rows: each has all columns, and in front a number like the row's own, if it is
        one.
        """
        columns, delimiter = self.form.columns, self.signs.delimiter
        lines = [line for line in lines if line.strip()]
        if columns < 2 or not lines:
            return False
        few = len(lines) < (_CAUTIOUS_LINES if columns >= _CAUTIOUS_COLUMNS else _MANY_LINES)
        if few and not self.form.number_first:
            return False
        rows = [line.split(delimiter) for line in lines]
        if not self.form.number_first:
            return sum(len(row) >= columns for row in rows) >= 0.9 * len(rows)
        firsts = [row[0] for row in rows if len(row) >= columns]
        fitting = sum(
            is_number(one) and one.isdecimal() == own.isdecimal() and abs(len(one) - len(own)) <= 1 for one in firsts
        )
        return fitting >= 0.9 * len(rows)

    def _mended(self, line: str, cells: list[str]) -> list[str]:
        """A row with more or fewer cells than the others have."""
        columns = self.form.columns
        if len(cells) > columns:
            cells = _trimmed(cells, columns)
        if len(cells) <= columns:
            return cells
        self.say(UNQUOTED)
        return self._fitted(line, line.split(self.signs.delimiter))

    def _fitted(self, line: str, cells: list[str]) -> list[str]:
        """Cells of a row in which delimiters are text, too: they go to the column of the text."""
        columns, delimiter = self.form.columns, self.signs.delimiter
        if not columns or len(_trimmed(cells, columns)) <= columns:
            return _trimmed(cells, columns)
        for parting in (rf"(?<!\\){re.escape(delimiter)}", rf"{re.escape(delimiter)}(?! )"):
            parts = re.split(parting, line)
            if len(parts) == columns and len(parts) > 1:
                return [part.replace("\\" + delimiter, delimiter) for part in parts]
        return self._merged(cells)

    def _merged(self, cells: list[str]) -> list[str]:
        """Cells beyond the columns are parts of the text."""
        wide, more = self.form.wide, len(cells) - self.form.columns
        return [*cells[:wide], self.signs.delimiter.join(cells[wide : wide + more + 1]), *cells[wide + more + 1 :]]


def _trimmed(cells: list[str], columns: int) -> list[str]:
    """Without empty cells behind the last column, as some programs end each row with a delimiter."""
    while columns and len(cells) > columns and not cells[-1].strip():
        cells = cells[:-1]
    return cells


def _without_quote(cell: str, signs: Signs) -> str:
    """The text of a cell whose quote never closes."""
    if cell.startswith(signs.quote) and cell.count(signs.quote) % 2:
        return _unquoted(cell[1:], signs)
    return _if_quoted(cell, signs)


def _if_quoted(cell: str, signs: Signs) -> str:
    """The text of a cell that is quoted as a whole."""
    quote = signs.quote
    if len(cell) > 1 and cell.startswith(quote) and cell.endswith(quote):
        inner = cell[1:-1]
        if quote not in inner.replace(quote * 2, ""):
            return _unquoted(inner, signs)
    return cell
