"""Dialect: how a table is written and what its columns are called, told by its first lines."""

import contextlib
import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from daybreak.data.formats.rows.delimited import ONE_COLUMN, Form, Rows, Signs, cells_of, is_number

SEPARATOR = re.compile(r"\ufeff?\"?sep=(.)\"?\r?", re.IGNORECASE)  # Excel's line above the names
_ABOVE = 20  # lines above the names of the columns, at most
_LOOKED_AT_NAMES = 400  # characters of a line of names
_LOOKED_AT = 1 << 18  # characters of the first lines
_HEADER_CHARACTERS = 60  # most in the name of a column
_WORDS = re.compile(r"[^\W\d_]+")
_CHINESE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_IDENTIFIER = re.compile(r"[^\W\d][\w .:/()#%&?+-]*")
_SENTENCE_END = (".", "!", "?", "\u3002", "\uff01", "\uff1f", "...", "\u2026")
_USUAL = """
    id index idx no nr num number row uid uuid guid key text texts content contents body title headline subject
    name label labels class category categories topic topics tag tags type kind sentiment score scores rating
    ratings stars value sentence sentences sentence1 sentence2 document documents doc article articles review
    reviews comment comments message messages tweet tweets post posts quote quotes lyrics abstract summary
    description desc passage paragraph story context question questions answer answers instruction input output
    prompt completion response source target premise hypothesis translation english french german spanish
    chinese en fr de es zh language lang date time datetime timestamp created created_at year month day author
    authors user username user_id speaker role url uri link path file filename length count words country city
    location email phone price transcript utterance dialogue caption notes note texte titre auteur inhalt titel
    autor texto contenido titulo testo \u6587\u672c \u5185\u5bb9 \u6807\u9898 \u6807\u7b7e \u7c7b\u522b
    \u8bc4\u8bba \u53e5\u5b50 \u6b63\u6587 \u7f16\u53f7 \u5e8f\u53f7 \u4f5c\u8005 \u65e5\u671f \u95ee\u9898
    \u7b54\u6848 \u6458\u8981 \u6765\u6e90 \u672c\u6587 \u540d\u524d kommentar klasse bewertung nachricht frage
    antwort beschreibung datum satz commentaire avis phrase contenu comentario opinion etiqueta clase frase
    fecha recensione commento etichetta tekst etykieta \u0442\u0435\u043a\u0441\u0442
    \u043c\u0435\u0442\u043a\u0430 \u043a\u043b\u0430\u0441\u0441 \u043e\u0442\u0437\u044b\u0432
    \u043a\u043e\u043c\u043c\u0435\u043d\u0442\u0430\u0440\u0438\u0439 \u30e9\u30d9\u30eb
    \u30c6\u30ad\u30b9\u30c8 \u30ec\u30d3\u30e5\u30fc \u611f\u60f3 \ud14d\uc2a4\ud2b8 \ub77c\ubca8 \ub9ac\ubdf0
    \ubb38\uc7a5 \u5206\u7c7b \u60c5\u611f \u56de\u7b54 \u63d0\u95ee
"""
USUAL_NAMES = frozenset(_USUAL.split())
_TEXTS = """
    text texts content body sentence document article review comment message tweet post quote lyrics abstract
    passage paragraph story answer output completion response description transcript utterance caption
"""
_OF_TEXT = frozenset(_TEXTS.split())


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a table is written."""

    signs: Signs
    form: Form
    names: tuple[str, ...]  # of the columns
    header: tuple[str, ...] = ()  # the row of names as it stands in the table; empty: there is none
    above: int = 0  # rows above the data, the one of names included
    fitting: float = 0.0  # share of the rows with as many cells as there are columns
    sure: bool = False  # the names are those of columns
    rows: int = 0  # of data, among those looked at
    numbered: bool = False  # a column holds numbers
    labelled: bool = False  # a column holds the same few words
    indented: bool = False  # nothing is in the first column


def dialect_of(lines: Sequence[str], delimiter: str, *, whole: bool = True) -> Dialect:
    """The dialect of a table of lines without their line feeds, from its first on; whole: there are no more of them."""
    signs = signs_of(lines, delimiter)
    rows = _rows(lines, signs, Form(columns=0), whole=whole)
    usual = _usual_columns(lines, rows, signs)
    above, header = _header(rows, usual)
    data = rows[above:]
    columns = len(header) or usual
    names = header
    if header and _has_row_numbers(header, data):
        names, columns = ["", *header], columns + 1
    number_first = bool(data) and sum(bool(row) and is_number(row[0]) for row in data) >= 0.9 * len(data)
    form = Form(columns=columns, number_first=number_first and columns > 1)
    if len(signs.quote) and columns > 1:  # once more, now that it is known what a row is
        data = _rows(lines, signs, form, whole=whole)[above:]
    exact = [row for row in data if len(row) == columns]
    form = Form(columns=columns, wide=_wide(exact or data, names, columns), number_first=form.number_first)
    return Dialect(
        signs=signs,
        form=form,
        names=tuple(_named(names, columns)),
        header=tuple(header),
        above=above,
        fitting=sum(len(row) == columns for row in data) / max(1, len(data)),
        sure=any(_usual(name) for name in header),
        rows=len(data),
        numbered=any(_has_numbers(exact, column) for column in range(columns)),
        labelled=_has_labels(exact),
        indented=not any(row[0].strip() for row in data if row),
    )


def _has_numbers(data: Sequence[Sequence[str]], column: int) -> bool:
    filled = [row[column] for row in data if column < len(row) and row[column].strip()]
    return bool(filled) and sum(map(is_number, filled)) >= 0.9 * len(filled)


def _has_labels(data: Sequence[Sequence[str]]) -> bool:
    """One column has few values again and again, and another has a different one in most rows."""
    shares = [len(set(column)) / len(data) for column in zip(*data, strict=True)] if len(data) > 4 else []
    return bool(shares) and min(shares) <= 0.2 and max(shares) >= 0.5


def _rows(lines: Sequence[str], signs: Signs, form: Form, *, whole: bool) -> list[list[str]]:
    return list(Rows(iter(lines), signs, form, lambda _: None, lambda _: None, whole=whole))


def signs_of(lines: Sequence[str], delimiter: str) -> Signs:
    """How the lines use quotes."""
    if delimiter == "\x01":
        return Signs(delimiter=delimiter, quote="")
    text = "\n".join(lines)[:_LOOKED_AT]
    sign = re.escape(delimiter)
    if delimiter == "\t":
        return Signs(delimiter=delimiter, bare=not (_are_quoted(lines) or _need_quotes(lines)))
    inside = len(re.findall(rf'\\"(?!{sign}|\r?\n|$)', text))
    escaped = inside > len(re.findall(rf'(?<!{sign})(?<![\n"])""(?![,"\n])', text))
    if '"' not in text and len(re.findall(rf"(?:^|{sign})'[^\n]*?'(?={sign}|$)", text, re.M)) >= 0.8 * len(lines) > 1:
        return Signs(delimiter=delimiter, quote="'", escaped="\\'" in text)
    return Signs(delimiter=delimiter, escaped=escaped)


def _are_quoted(lines: Sequence[str]) -> bool:
    """In a table with tabs: all cells of a column are in quotes, with those inside doubled."""
    rows = [line.removesuffix("\r").split("\t") for line in lines if line.strip()]
    columns, _ = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
    rows = [row for row in rows if len(row) == columns][1:] or rows
    return any(
        rows and all(re.fullmatch(r'"(?:[^"]|"")*"', row[i]) for row in rows if i < len(row)) for i in range(columns)
    )


def _need_quotes(lines: Sequence[str]) -> bool:
    """In a table with tabs: read with quotes as signs it is without fault, and some cells could not be without them."""
    cells: list[str] = []
    counts: set[int] = set()
    with contextlib.suppress(csv.Error):  # the lines may end inside of a cell, which ends the rows that are whole
        for row in csv.reader((line + "\n" for line in lines), delimiter="\t", strict=True):
            counts.add(len(row))
            cells += row
            if len(counts - {0}) > 1:
                return False
        return any(sign in cell for cell in cells for sign in '\t\n"')
    return False


def _usual_columns(lines: Sequence[str], rows: Sequence[Sequence[str]], signs: Signs) -> int:
    """How many cells most rows have; where nothing quotes delimiters in the text, those before a blank do not count."""
    counts = Counter(len(row) for row in rows if row)
    if not counts:
        return 1
    columns, often = counts.most_common(1)[0]
    if signs.delimiter in ",;":
        close = Counter(len(re.split(rf"{signs.delimiter}(?!\s)", line)) for line in lines if line.strip())
        other, as_often = close.most_common(1)[0]
        plain = len(close) == 1 and not any(signs.quote in line for line in lines)
        if other > 1 and ((often < 0.9 * len(rows) and as_often > often) or (plain and other < columns)):
            return other
    return columns


def _header(rows: Sequence[list[str]], usual: int) -> tuple[int, list[str]]:
    """How many rows are above the data, and the row of names, which is the last of them; empty: there is none."""
    for number, row in enumerate(islice(rows, _ABOVE)):  # names that nobody can take for anything else
        cells = clean(row)
        if len(cells) == usual > 1 and all(map(_usual, cells)):
            return number + 1, cells
        if len(cells) == usual and not _is_remark(row):
            break
    first = next((number for number, row in enumerate(rows) if not _is_remark(row)), 0)
    for number, row in enumerate(islice(rows, _ABOVE)):
        cells = clean(row)
        if number >= first or (usual > 1 and len(cells) == usual):
            while len(cells) > 1 and not cells[-1]:
                cells.pop()
            marked = _is_remark(row)
            if marked:
                cells[0] = cells[0].lstrip("# ")
            wide = usual == 1 or len(cells) > 1
            if wide and _names(cells, rows[number + 1 :], sure=marked or number > first):
                return number + 1, cells
        if number >= first and not (usual > 1 and sum(map(bool, map(str.strip, row))) <= 1):
            break
    above = next((n for n, row in enumerate(rows) if not (_is_remark(row) and len(row) < usual)), 0) if usual > 1 else 0
    return above, []


def _is_remark(row: Sequence[str]) -> bool:
    return bool(row) and row[0].lstrip().startswith("#")


def clean(row: Sequence[str]) -> list[str]:
    """The cells as names of columns."""
    return [cell.strip().removeprefix("\ufeff").strip("\"' ") for cell in row]


def _usual(name: str) -> bool:
    """It is a name that columns have, or one put together with one: review_text, Customer Review."""
    parts = re.split(r"[\s_-]+|(?<=[a-z])(?=[A-Z])", name.strip())
    lowered = [part.lower() for part in parts if part]
    if "_".join(lowered) in USUAL_NAMES or "".join(lowered) in USUAL_NAMES:
        return True
    if not 1 < len(lowered) <= 4 or not name.replace(" ", "").isidentifier():
        return False
    as_one = "_" in name or all(part[:1].isupper() for part in parts) or " " not in name
    return as_one and (lowered[0] in _OF_TEXT or lowered[-1] in _OF_TEXT or lowered[-1] in ("id", "name", "date"))


def _names(cells: Sequence[str], data: Sequence[Sequence[str]], *, sure: bool) -> bool:
    """The cells are names of columns: told by their words, and by what is below them."""
    filled = [cell for cell in cells if cell]
    if not filled or (len(filled) < len(cells) - 1 and not any(map(_usual, filled))):
        return False
    if any(len(cell) > _HEADER_CHARACTERS or cell.endswith(_SENTENCE_END) or cell.count(" ") > 4 for cell in filled):
        return False
    score = sum(3 for cell in filled if _usual(cell))
    for index, cell in enumerate(cells):
        values = [row[index].strip() for row in islice(data, 100) if index < len(row) and row[index].strip()]
        if not cell:
            continue
        if is_number(cell):
            score -= 3
            continue
        if cell in values and not _usual(cell):
            score -= 3
        numbers = sum(map(is_number, values))
        if values and numbers >= 0.8 * len(values):
            score += 2
        elif values and _IDENTIFIER.fullmatch(cell) and _words(cell) <= 3:
            usual = sorted(map(_words, values))[len(values) // 2]
            if usual >= 4 * _words(cell) and " " not in cell and not cell[:1].isupper():
                score += 2 if "_" in cell else 1
            if len(values) >= 10 and len(set(values)) <= 0.2 * len(values) and cell not in values and " " not in cell:
                score += 1  # the name of a few labels
    return score > (1 if sure or len(cells) > 1 else 0) or (sure and score > 0)


def _words(cell: str) -> int:
    cell = cell[: _HEADER_CHARACTERS * 10]
    return len(_WORDS.findall(cell)) + len(_CHINESE.findall(cell)) // 2


def _has_row_numbers(header: Sequence[str], data: Sequence[Sequence[str]]) -> bool:
    """Each row has a number in front that the names do not count, as R writes them."""
    if not data or any(len(row) != len(header) + 1 for row in data) or header[0].lower() in ("id", "index", "no", "nr"):
        return False
    numbers = [int(row[0]) for row in data if row[0].isdecimal()]
    return len(numbers) == len(data) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _wide(data: Sequence[Sequence[str]], names: Sequence[str], columns: int) -> int:
    """The last column of text."""
    lowered = [name.lower() for name in names]
    for index in reversed(range(min(len(lowered), columns))):
        if lowered[index] in _OF_TEXT:
            return index
    for index in reversed(range(columns)):
        values = [row[index] for row in data if index < len(row)]
        if values and 2 * sum(_words(value) >= 3 for value in values) >= len(values):
            return index
    return max(0, columns - 1)


def _named(names: Sequence[str], columns: int) -> list[str]:
    """A name for each column, no two the same."""
    told: list[str] = []
    for index in range(columns):
        name = names[index] if index < len(names) and names[index] else f"column {index + 1}"
        same = sum(one == name or one.startswith(f"{name} (") for one in told)
        told.append(f"{name} ({same + 1})" if same else name)
    return told


# Whether it is a table


def delimiter_of(lines: Sequence[str], *, named: str = "", whole: bool = True) -> str:
    """The delimiter of a table; empty: it is none.

    named: csv or tsv by its file name, which needs less proof; whole: there are no more lines.
    """
    filled = [line for line in lines if line.strip()]
    if not filled:
        return ""
    if told := SEPARATOR.fullmatch(filled[0]):
        return told[1]
    usual = "\t" if named in ("tsv", "tab") else "|" if named == "psv" else ","
    best, most = "", (0.0, 0.0, 0.0, 0)
    for delimiter in ("\x01", "\t", ",", ";", "|"):
        if not _may_part(filled[:_ABOVE], delimiter, named=bool(named)):
            continue
        found = dialect_of(lines, delimiter, whole=whole)
        if not _is_table(found, lines, named):
            continue
        score = (float(found.sure), float(found.fitting > 0.9), float(delimiter == usual), found.form.columns)
        if score > most:
            best, most = delimiter, score
    return best or (ONE_COLUMN if _is_one_column(filled, named=bool(named)) else "")


def _may_part(lines: Sequence[str], delimiter: str, *, named: bool) -> bool:
    """A quick look: most lines have the delimiter, or one of them has nothing but names of columns."""
    having = [line for line in lines if delimiter in line]
    if named or not having or (len(having) >= 0.9 * len(lines) and delimiter not in ",;"):
        return bool(having)
    if any(len(line) < _LOOKED_AT_NAMES and all(map(_usual, clean(line.split(delimiter)))) for line in having):
        return True
    spaced = sum(line.count(f"{delimiter} ") for line in having) * 2 > sum(line.count(delimiter) for line in having)
    return len(having) >= 0.9 * len(lines) and not spaced


def _is_table(found: Dialect, lines: Sequence[str], named: str) -> bool:
    delimiter, columns = found.signs.delimiter, found.form.columns
    if columns < 2 or not (found.rows or all(map(_usual, found.header))):
        return False
    if not found.rows:
        return bool(found.header)
    text = "\n".join(lines)
    spaced = 2 * len(re.findall(rf"{re.escape(delimiter)}\s", text)) > text.count(delimiter)
    if delimiter == "|" and any(re.match(r"\s*\|?[\s|:+-]*--[\s|:+-]*$", line) for line in lines):
        return False
    least = sum(len(cells_of(line, found.signs)[0]) >= columns for line in lines if line.strip())
    wide = least / max(1, sum(bool(line.strip()) for line in lines))  # share of lines with all columns
    if delimiter == "\x01":
        return found.fitting >= 0.9
    if found.sure:
        close = not re.search(rf"{re.escape(delimiter)} \S+ \S", ",".join(found.header)) and (not spaced or bool(named))
        edged = lines[0].startswith("|")
        if (delimiter == "\t" or close) and not edged and max(found.fitting, wide) >= (0.5 if named else 0.9):
            return True
        if not spaced and found.fitting >= 0.9:
            return True
        if not spaced and all(map(_usual, found.header)):  # of rows without their last cells
            return sum(delimiter in line for line in lines) >= 0.9 * sum(bool(line.strip()) for line in lines)
    if named:
        if delimiter == "\t" and named in ("tsv", "tab"):
            return True
        regular = max(found.fitting, wide if not spaced else 0) >= 0.8
        close = sum(bool(line.strip()) for line in lines) <= len(re.findall(rf"{re.escape(delimiter)}(?!\s)", text))
        return regular and (not spaced or (found.fitting == 1 and (found.numbered or (close and found.labelled))))
    least_rows, least_columns = (3, 2) if delimiter == "\t" else (6, 3)
    rows = found.rows + bool(found.header)
    return not spaced and not found.indented and rows >= least_rows and columns >= least_columns and found.fitting == 1


def _is_one_column(lines: Sequence[str], *, named: bool) -> bool:
    """A name, and lines of text below it; or nothing but quoted texts."""
    head, *rest = lines
    name = head.strip().strip("\"'\ufeff ")
    quoted = all(re.fullmatch(r'"(?:[^"]|"")*"\r*', line) for line in rest)
    if not named:  # such as lines of a dialogue, if there is no name
        return bool(rest) and quoted and _usual(name)
    if rest and _usual(name):
        return True
    if len(rest) > 1 and name.isidentifier() and name.islower() and not rest[0][:1].islower():
        return sorted(map(_words, rest))[len(rest) // 2] >= 4 * _words(name)
    return quoted and re.fullmatch(r'"(?:[^"]|"")*"\r*', head) is not None
