"""Sheets: the rows of .xlsx (ECMA-376, part 1, SpreadsheetML) and .ods files, read as those of a table in CSV."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Protocol

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.documents.events import Handler, parsed
from daybreak.data.formats.documents.opendocument import is_encrypted, is_open_document
from daybreak.data.formats.documents.package import Package, PackageFormat, attribute, is_office
from daybreak.data.formats.findings import Unsuitable
from daybreak.data.formats.format import Text
from daybreak.data.formats.rows.tables import TABLE

_MOST_COLUMNS = 16_384  # as Excel has it
_MOST_SHARED = 128_000_000  # characters of the strings that cells share
_NO_ROWS = "a sheet without rows"


class _Sheet(Handler, Protocol):
    """Takes the events of a sheet and keeps rows until they are asked for."""

    done: list[tuple[str, list[str]]]  # the name of the sheet, if it is told, and the cells


class _Strings:
    """The strings that the cells of a workbook share."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._kept: list[str] = []
        self._size = self._reading = 0
        self._inside = False

    def start(self, name: str, _: Mapping[str, str]) -> None:
        self._inside = name == "t" and not self._reading
        self._reading += name == "rPh"  # how it is pronounced

    def end(self, name: str) -> None:
        self._inside = False
        self._reading -= name == "rPh"
        if name == "si":
            self.found.append("".join(self._kept))
            self._kept = []

    def text(self, text: str) -> None:
        if self._inside:
            self._size += len(text)
            if self._size > _MOST_SHARED:
                raise Unsuitable(f"a workbook of more than {_MOST_SHARED // 1_000_000} MB of text")
            self._kept.append(text)

    def given(self) -> bool:
        return bool(self.found)


class _ExcelRows:
    """The rows of a worksheet."""

    def __init__(self, shared: list[str]) -> None:
        self.done: list[tuple[str, list[str]]] = []
        self._shared = shared
        self._row: list[str] = []
        self._kept: list[str] = []
        self._kind = ""
        self._inside = self._given = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "c":
            self._kind = attributes.get("t", "n")
            self._kept = []
            column = _column(attributes.get("r", ""))
            if len(self._row) < column <= _MOST_COLUMNS:
                self._row += [""] * (column - len(self._row))
        self._inside = name == "v" or (name == "t" and self._kind == "inlineStr")

    def end(self, name: str) -> None:
        self._inside = False
        if name == "c":
            value = "".join(self._kept)
            if self._kind == "s":
                value = self._shared[int(value)] if value.isdigit() and int(value) < len(self._shared) else ""
            self._row.append(value)
        elif name == "row":
            if any(self._row):
                self._given = True
                self.done.append(("", self._row))
            self._row = []

    def text(self, text: str) -> None:
        if self._inside:
            self._kept.append(text)

    def given(self) -> bool:
        return self._given


class _OpenRows:
    """The rows of all tables of an OpenDocument file."""

    def __init__(self) -> None:
        self.done: list[tuple[str, list[str]]] = []
        self._table = ""
        self._row: list[str] = []
        self._kept: list[str] = []
        self._repeated = 1
        self._paragraphs = self._comments = 0
        self._given = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "table":
            self._table = attribute(attributes, "name")
        elif name in ("table-cell", "covered-table-cell"):
            told = attribute(attributes, "number-columns-repeated")
            self._repeated = min(int(told), _MOST_COLUMNS) if told.isascii() and told.isdigit() else 1
            self._kept = []
        elif name == "annotation":
            self._comments += 1
        elif name == "p" and not self._comments:
            if self._kept:
                self._kept.append("\n")
            self._paragraphs += 1
        elif name in ("s", "tab") and self._paragraphs:
            self._kept.append(" ")
        elif name == "line-break" and self._paragraphs:
            self._kept.append("\n")

    def end(self, name: str) -> None:
        if name == "annotation":
            self._comments -= 1
        elif name == "p" and self._paragraphs:
            self._paragraphs -= 1
        elif name in ("table-cell", "covered-table-cell"):
            value = "".join(self._kept)
            room = _MOST_COLUMNS - len(self._row)
            self._row += [value] * min(self._repeated, room if value else min(room, 100))
        elif name == "table-row":
            while self._row and not self._row[-1]:
                self._row.pop()
            if self._row:
                self._given = True
                self.done.append((self._table, self._row))
            self._row = []

    def text(self, text: str) -> None:
        if self._paragraphs and not self._comments:
            self._kept.append(text)

    def given(self) -> bool:
        return self._given


def _column(place: str) -> int:
    """Which column a place such as B3 is in, from 0 on; -1: it is not told."""
    column = 0
    for letter in place[:3]:
        if not ("A" <= letter <= "Z"):
            break
        column = column * 26 + ord(letter) - 64
    return column - 1


def _excel_documents(package: Package) -> Iterator[Document]:
    main = package.office_part
    strings = _Strings()
    for part in package.referred(main, "sharedStrings"):
        for _ in parsed(package.text(part).blocks, strings, package.stream.name, package.findings, None):
            pass
    index, references = package.index(main), package.references(main)
    reason, good = _NO_ROWS, 0
    for sheet in index.iter() if index is not None else ():
        place = next((value for key, value in sheet.attrib.items() if key.endswith("}id")), "")
        if not sheet.tag.endswith("}sheet") or place not in references or references[place].kind != "worksheet":
            continue
        shown = f"{package.stream.name}/{sheet.get('name', '')}"
        text = package.text(references[place].part)
        try:
            yield from _table(package, shown, _rows(text, _ExcelRows(strings.found), package))
            good += 1
        except Unsuitable as error:
            reason = str(error)
            package.findings.skip(shown, reason)
    if not good:
        raise Unsuitable(reason)


def _open_documents(package: Package) -> Iterator[Document]:
    if is_encrypted(package):
        raise Unsuitable("encrypted")
    rows = _rows(package.text("content.xml"), _OpenRows(), package)
    following = next(rows, None)
    reason, good = _NO_ROWS, 0
    while following is not None:
        name, first = following

        def of_one() -> Iterator[tuple[str, list[str]]]:
            nonlocal following
            yield name, first  # noqa: B023
            following = next(rows, None)
            while following is not None and following[0] == name:  # noqa: B023
                yield following
                following = next(rows, None)

        one = of_one()
        shown = f"{package.stream.name}/{name}"
        try:
            yield from _table(package, shown, one)
            good += 1
        except Unsuitable as error:
            reason = str(error)
            package.findings.skip(shown, reason)
        for _ in one:
            pass
    if not good:
        raise Unsuitable(reason)


def _rows(text: Text, sheet: _Sheet, package: Package) -> Iterator[tuple[str, list[str]]]:
    for _ in parsed(text.blocks, sheet, package.stream.name, package.findings, None):
        done, sheet.done = sheet.done, []
        yield from done


def _table(package: Package, name: str, rows: Iterator[tuple[str, list[str]]]) -> Iterator[Document]:
    """The documents of the rows of one sheet."""

    def blocks() -> Iterator[bytes]:
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        for _, row in rows:
            writer.writerow(row)
            if buffer.tell() > limits.BLOCK_BYTES:
                yield buffer.getvalue().encode("utf-8", "replace")
                buffer.seek(0)
                buffer.truncate()
        yield buffer.getvalue().encode("utf-8", "replace")

    stream = package.stream.inside(name, io.BytesIO())
    return TABLE.documents(Text(stream=stream, blocks=blocks(), detail=",", findings=package.findings))


def _is_open(package: Package) -> bool:
    return is_open_document(package) and "spreadsheet" in package.mimetype


def _is_excel(package: Package) -> bool:
    return is_office(package, "spreadsheetml", "ms-excel", "xl/")


XLSX = PackageFormat(name="xlsx", recognize=_is_excel, documents=_excel_documents)
ODS = PackageFormat(name="ods", recognize=_is_open, documents=_open_documents)
