"""Tables: every text of a table comes out whole, however the table is written; what is no table stays text."""

from __future__ import annotations

import csv
import io
import random
import sys
from pathlib import Path

import pytest

from daybreak.core.messages import localized
from daybreak.data.formats import limits
from daybreak.data.sources import Reading

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import tables
from tables import ROWS, comma, joined, lined, quoted, rfc, sentence, texts, with_line

CASES = tables.cases()
PLAIN, COMMAS, QUOTES = ([*texts(make)] for make in (sentence, comma, quoted))
FORMS = {
    "plain": ("{i},{text}", "id,text"),
    "quoted": ('{i},"{text}"', "id,text"),
    "three columns": ("{i},{text},{label}", "id,text,label"),
    "three columns, quoted": ('{i},"{text}","{label}"', "id,text,label"),
}


def read(folder: Path, data: str | bytes, name: str = "a.csv") -> tuple[list[str], Reading]:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    reading = Reading([path])
    found: list[str] = []
    for document in reading:
        if document.starts or not found:
            found.append(document.text)
        else:
            found[-1] += document.text
    return found, reading


@pytest.mark.parametrize("case", CASES)
def test_tables_as_people_have_them(tmp_path: Path, case: str) -> None:
    one = CASES[case]
    found, reading = read(tmp_path, one.data, one.name)
    assert found == [*one.texts]
    reading.findings.rows.pop("a line above the names of the columns", None)
    reading.findings.rows.pop("the names of the columns once more", None)
    assert not reading.findings.passed_over()


@pytest.mark.parametrize("row", [0, 19, ROWS - 1])
@pytest.mark.parametrize("fault", ['"never closed {}', 'never "closed {}', 'never closed {}"'])
@pytest.mark.parametrize("form", FORMS)
def test_a_stray_quote_damages_no_other_row(tmp_path: Path, form: str, fault: str, row: int) -> None:
    line, header = FORMS[form]
    broken = fault.format(PLAIN[row])
    label = ",bad" if "label" in header else ""
    table = with_line(joined(sentence, line, header=header), row + 1, f"{row},{broken}{label}")
    found, _ = read(tmp_path, table)
    assert found == [*PLAIN[:row], broken.removeprefix('"'), *PLAIN[row + 1 :]]


def hard(i: int) -> str:
    """Lines that look like rows, and quotes at their beginning."""
    return f'He said, "well {i}"\nand then, yes,\n"Go", said she\n\n1,2,3\nlast of {i}'


def four(i: int) -> str:
    return f"first, of {i}\nsecond, of {i}\nthird, of {i}\nfourth, of {i}"


def numbered(lines: list[str], form: str = "{i},{text}\n", header: str = "id,text\n") -> str:
    return header + "".join(form.format(i=i, text=line) for i, line in enumerate(lines))


SIBLINGS: dict[str, tuple[str | bytes, list[str], str]] = {
    "lines like rows in cells": (rfc(hard), [*texts(hard)], "a.csv"),
    "lines like rows, CRLF": (rfc(hard, end="\r\n"), [t.replace("\n", "\n") for t in texts(hard)], "a.csv"),
    "lines like rows, tabs": (rfc(hard, delimiter="\t", header="id\ttext\tlabel"), [*texts(hard)], "a.tsv"),
    "a comma in each line of cells": (numbered([f'"{four(i)}"' for i in range(ROWS)]), [*texts(four)], "a.csv"),
    "text first, lines in cells": (
        "text,label\n" + "".join(f'"{four(i)}",good\n' for i in range(ROWS)), [*texts(four)], "a.csv"),
    "one column, lines in cells": ("text\n" + "".join(f'"{four(i)}"\n' for i in range(ROWS)), [*texts(four)], "a.csv"),
    "unquoted commas, labels behind": (
        "text,label\n" + "".join(f"{comma(i)},{i % 2}\n" for i in range(ROWS)), COMMAS, "a.csv"),
    "unquoted commas, labels behind, no names": (
        "".join(f"{comma(i)},{i % 2}\n" for i in range(ROWS)), COMMAS, "a.csv"),
    "unquoted commas, labels in front, no names": (
        "".join(f"{('bad', 'good')[i % 2]},{comma(i)}\n" for i in range(ROWS)), COMMAS, "a.csv"),
    "one column of tweets": ("tweet\n" + "".join(f"{t}\n" for t in COMMAS), COMMAS, "a.csv"),
    "one column of two words": ("Review Text\n" + "".join(f"{t}\n" for t in COMMAS), COMMAS, "a.csv"),
    "one column, all quoted": ('"text"\n' + "".join(f'"{t}"\n' for t in COMMAS), COMMAS, "a.csv"),
    "one column, named .txt": ("text\n" + "".join(f'"{t}"\n' for t in COMMAS), COMMAS, "a.txt"),
    "one column, named .tsv": ("text\n" + "".join(f"{t}\n" for t in COMMAS), COMMAS, "a.tsv"),
    "sep= of a tab": ("sep=\t\n" + numbered(COMMAS, "{i}\t{text}\n", "id\ttext\n"), COMMAS, "a.csv"),
    "sep= behind a byte-order mark": (b"\xef\xbb\xbfsep=,\r\n" + rfc(comma, end="\r\n").encode(), COMMAS, "a.csv"),
    "names behind a #": (numbered(COMMAS, "{i}\t{text}\n", "#id\ttext\n"), COMMAS, "a.tsv"),
    "a comment with commas above": ("# a, b, and c\n" + numbered(PLAIN), PLAIN, "a.csv"),
    "years for names": (numbered(PLAIN, "{i},1,2,{text}\n", "id,2020,2021,text\n"), PLAIN, "a.csv"),
    "quoted names behind a byte-order mark": (
        b"\xef\xbb\xbf" + numbered([f'"{t}"' for t in COMMAS], header='"id","text"\n').encode(), COMMAS, "a.csv"),
    "no line feed in the end": (joined(comma).rstrip("\n"), COMMAS, "a.csv"),
    "CR CR LF": (joined(comma, end="\r\r\n"), COMMAS, "a.csv"),
    "commas behind backslashes": (numbered([t.replace(", ", "\\, ") for t in COMMAS]), COMMAS, "a.csv"),
    "semicolons nobody quoted": (
        numbered([f"{t}; and so on" for t in PLAIN], "{i};{text}\n", "id;text\n"),
        [f"{t}; and so on" for t in PLAIN], "a.csv"),
    "tabs nobody quoted": (
        numbered([t + "\tand more" * (i % 4 == 0) for i, t in enumerate(PLAIN)], "{i}\t{text}\n", "id\ttext\n"),
        [t + "\tand more" * (i % 4 == 0) for i, t in enumerate(PLAIN)], "a.tsv"),
    "tabs, an opening quote in each row": (
        numbered([f'"{t}' for t in PLAIN], "{i}\t{text}\tx\n", "id\ttext\tlabel\n"), [f'"{t}' for t in PLAIN], "a.tsv"),
    "tabs, speech": (
        numbered([f'"Hello," she said. "Go {i}!"' for i in range(ROWS)], "{i}\t{text}\n", "id\ttext\n"),
        [f'"Hello," she said. "Go {i}!"' for i in range(ROWS)], "a.tsv"),
    "tabs, a few in quotes of their own": (
        numbered([f'"{t}"' if i % 3 else t for i, t in enumerate(PLAIN)], "{i}\t{text}\n", "id\ttext\n"),
        [f'"{t}"' if i % 3 else t for i, t in enumerate(PLAIN)], "a.tsv"),
    "names of labels and texts that nobody knows": (
        "klasse,satz\n" + "".join(f"{('gut', 'schlecht')[i % 2]},{t}\n" for i, t in enumerate(PLAIN)), PLAIN, "a.csv"),
    "names put together": (numbered(PLAIN, header="row_nr,cleaned_text\n"), PLAIN, "a.csv"),
    "a title with commas above": ("Sales, Q1 2020\n" + rfc(comma), COMMAS, "a.csv"),
    "lines with commas above": ("Export of it\nDate: 2020-01-01, by me\n\n" + rfc(comma), COMMAS, "a.csv"),
    "words behind a quoted cell": (
        with_line(joined(sentence, FORMS["three columns, quoted"][0], header="id,text,label"), 5, '4,"abc" def,"good"'),
        [*PLAIN[:4], '"abc" def', *PLAIN[5:]], "a.csv"),
    "HTML": (
        numbered([f'<a href="http://x/{i}">{t}</a>, and <b class="x">more</b>' for i, t in enumerate(PLAIN)]),
        [f'<a href="http://x/{i}">{t}</a>, and <b class="x">more</b>' for i, t in enumerate(PLAIN)], "a.csv"),
    "files put together, each with its mark": (rfc(sentence) + "\ufeff" + rfc(comma), [*PLAIN, *COMMAS], "a.csv"),
    "the end of a file of DOS": (rfc(sentence) + "\x1a", PLAIN, "a.csv"),
    "quotes behind backslashes, cells not quoted": (
        numbered([t.replace('"', '\\"') for t in QUOTES], "{i};{text}\n", "id;text\n"), QUOTES, "a.csv"),
    "lines in cells of rows without a label": (
        "id,text,label\n" + "".join(f'{i},"{lined(i)}"{",good" * (i % 4 > 0)}\n' for i in range(ROWS)),
        [*texts(lined)], "a.csv"),
    "CR alone, tabs": (joined(comma, "{i}\t{text}", header="id\ttext", end="\r"), COMMAS, "a.tsv"),
    "CR alone, one column": (joined(comma, "{text}", header="text", end="\r"), COMMAS, "a.csv"),
    "CR alone, unquoted commas": (joined(comma, end="\r"), COMMAS, "a.csv"),
    "CR in each cell": (joined(lambda i: f"one\rtwo {i}"), [f"one\rtwo {i}" for i in range(ROWS)], "a.csv"),
    "two rows, named .txt": ("id,text\n1,Hello\n2,World of it\n", ["Hello", "World of it"], "a.txt"),
    "names in German": (
        "Kommentar;Klasse\n" + "".join(f"{t};{('gut', 'schlecht')[i % 2]}\n" for i, t in enumerate(COMMAS)),
        COMMAS, "a.csv"),
    "names in Russian": (
        "текст,метка\n" + "".join(f'"{t}",{i % 2}\n' for i, t in enumerate(COMMAS)), COMMAS, "a.csv"),
    "numbers with commas": (
        "id,text,label\n" + "".join(f"{i},It cost 3,000 dollars or {i},500 in all,pos\n" for i in range(ROWS)),
        [f"It cost 3,000 dollars or {i},500 in all" for i in range(ROWS)], "a.csv"),
    "delimiters behind names and rows": (numbered(PLAIN, "{i},{text},,\n", "id,text,,\n"), PLAIN, "a.csv"),
    "a line feed in the end of cells": (numbered([f'"{t}\n"' for t in PLAIN]), [f"{t}\n" for t in PLAIN], "a.csv"),
    "500 rows below an open quote, tabs": (
        "\n".join([f'"{PLAIN[0]}\tx', *(f"{sentence(i)}\ty" for i in range(1, 500))]),
        [f'"{PLAIN[0]}', *(sentence(i) for i in range(1, 500))], "a.tsv"),
    "500 rows below an open quote": (
        "\n".join(["text,label", f'"{PLAIN[0]},x', *(f"{sentence(i)},y" for i in range(1, 500))]),
        [PLAIN[0], *(sentence(i) for i in range(1, 500))], "a.csv"),
    "500 rows of one column below an open quote": (
        "\n".join(["text", f'"{PLAIN[0]}', *(sentence(i) for i in range(1, 500))]),
        [sentence(i) for i in range(500)], "a.csv"),
    "inches in quoted cells": (
        numbered([f'"A 5" disk, number {i}"' for i in range(ROWS)]),
        [f'A 5" disk, number {i}' for i in range(ROWS)], "a.csv"),
    "apostrophes": (
        numbered([f"'tis the {i} of it's" for i in range(ROWS)]),
        [f"'tis the {i} of it's" for i in range(ROWS)], "a.csv"),
}  # fmt: skip


@pytest.mark.parametrize("case", SIBLINGS)
def test_other_tables_of_these_kinds(tmp_path: Path, case: str) -> None:
    data, expected, name = SIBLINGS[case]
    found, reading = read(tmp_path, data, name)
    assert found == expected
    reading.findings.rows.pop("the names of the columns once more", None)
    reading.findings.rows.pop("a line above the names of the columns", None)
    assert not reading.findings.passed_over()


PROSE = {
    "repeated": ("It was late, and cold.\n" * 30, "a.csv"),
    "verse": ("To be, or not to be, that is the question,\nWhether 'tis nobler, in the mind, to suffer\n" * 9, "a.txt"),
    "Markdown": ("| a | b |\n|---|---|\n| some text | x |\n| other | y |\n", "a.txt"),
    "Markdown with usual names": ("| text | b |\n|---|---|\n| some text | x |\n| other | y |\n", "a.txt"),
    "psql": (" id | text \n----+------\n  1 | Hello there\n  2 | More text\n", "a.txt"),
    "a log": ("".join(f"2030-01-01 12:00:{i:02},123 INFO server {i} started, ok, ready\n" for i in range(40)), "a.log"),
    "a log, named .txt": ("".join(f"2030-01-01 12:00:{i:02},123 INFO at {i}, ok\n" for i in range(40)), "a.txt"),
    "columns of blanks": ("".join(f"{i:<6}{t:<70}good\n" for i, t in enumerate(PLAIN)), "a.txt"),
    "Chinese": ("今天天气很好，我们去公园散步，孩子们玩。\n" * 30, "a.csv"),
    "dialogue": ("".join(f"Anna: Hello, Ben; how is {i}?\nBen: Fine, thanks; and you?\n" for i in range(20)), "a.txt"),
    "lists of three": ("Flour, sugar, salt\nEggs, milk, butter\nHoney, nuts, cream\nTea, water, ice\n" * 2, "a.txt"),
    "paragraphs": ("".join(f"{t}.\n{t}, too.\n\n" for t in COMMAS), "a.csv"),
    "a title and prose": ("Text\n\n" + "".join(f"{t}.\n" for t in COMMAS), "a.txt"),
    "indented by tabs": ("\tOnce upon a time it was\n\tand then they went\n\tto the town of it\n" * 5, "a.txt"),
}  # fmt: skip


@pytest.mark.parametrize("case", PROSE)
def test_prose_never_becomes_a_table(tmp_path: Path, case: str) -> None:
    data, name = PROSE[case]
    found, _ = read(tmp_path, data, name)
    assert "".join(found) == data


@pytest.mark.parametrize("sign", [" ", "\n"], ids=["one line", "lines"])
@pytest.mark.parametrize("size", [300_000, pytest.param(limits.ROW_BYTES, marks=pytest.mark.long)])
def test_a_cell_of_16_mb_is_read_and_a_longer_one_is_counted(tmp_path: Path, monkeypatch, size: int, sign: str) -> None:
    monkeypatch.setattr(limits, "ROW_BYTES", size)
    cell = f"a b, c{sign}" * ((size - 1000) // 7)
    found, reading = read(tmp_path, f'id,text\n1,"{cell}"\n2,short\n')
    assert found == [cell, "short"] and not reading.findings.passed_over()
    found, reading = read(tmp_path, f'id,text\n1,"{cell + cell}"\n2,short\n')
    (note,) = reading.findings.passed_over()
    assert found == ["short"] and note.startswith("1 of 2 rows skipped: over 16 MB")


PARTS = (
    "the",
    "and",
    "Evening,",
    "market;",
    "tab\t",
    '"quoted"',
    "it's",
    '5"',
    "3,000",
    "(a,b)",
    "\\n",
    "|",
    "中文，字",
    '""',
)
WORDS = (*PARTS, "C:\\", ",,", ";")


@pytest.mark.parametrize("seed", range(20))
def test_what_the_library_writes_comes_back(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)

    def text() -> str:
        words = draw.choices(WORDS, k=draw.randint(3, 25))
        for _ in range(draw.randint(0, 3) * (seed % 2)):
            words.insert(draw.randrange(1, len(words)), draw.choice(["\n", "\n\n", '\n"', '"\n', "\n-"]))
        return f"T {' '.join(words)} E"

    delimiter = draw.choice(",,;\t|")
    columns = draw.choice([("id", "text"), ("text", "label"), ("id", "text", "label"), ("text",), ("label", "text")])
    expected = [text() for _ in range(draw.choice([2, 30, 100]))]
    rows = [{"id": str(i), "text": one, "label": draw.choice(["pos", "neg"])} for i, one in enumerate(expected)]
    file = io.StringIO()
    quoting = draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    writer = csv.writer(file, delimiter=delimiter, lineterminator=draw.choice(["\n", "\r\n"]), quoting=quoting)
    writer.writerows([columns, *([row[name] for name in columns] for row in rows)])
    assert read(tmp_path, file.getvalue(), "a.tsv" if delimiter == "\t" else "a.csv")[0] == expected


def test_what_is_mended_is_said(tmp_path: Path) -> None:
    _, reading = read(tmp_path, with_line(joined(comma), 6, '5,"never closed'))
    told = [note for note in reading.notes if "rows" in note or "row " in note]
    assert "a.csv: 25 rows have delimiters in their text that nothing quotes" in told
    assert "a.csv: 1 row has a quote that never closes and is read as text" in told
    assert all("行" in localized(note, "zh") and "that" not in localized(note, "zh") for note in told)


def test_lines_above_the_names_and_names_in_the_middle_are_counted(tmp_path: Path) -> None:
    table = "My table\n\n" + rfc(comma) + "id,text,label\n" + rfc(lined, header="")
    found, reading = read(tmp_path, table)
    assert found == [*COMMAS, *texts(lined)]
    assert reading.findings.rows == {
        "a line above the names of the columns": 1,
        "the names of the columns once more": 1,
    }


DAMAGED = {
    "where needed": (rfc(comma), COMMAS, "a.csv"),
    "all quoted": (rfc(quoted, quoting=csv.QUOTE_ALL), QUOTES, "a.csv"),
    "lines in cells": (rfc(lined), [*texts(lined)], "a.csv"),
    "tabs": (joined(comma, "{i}\t{text}\t{label}", header="id\ttext\tlabel"), COMMAS, "a.tsv"),
    "no numbers": ("text,label\n" + "".join(f'"{lined(i)}",good\n' for i in range(ROWS)), [*texts(lined)], "a.csv"),
    "one column": ("text\n" + "".join(f'"{t}"\n' for t in COMMAS), COMMAS, "a.csv"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_sign_too_many_or_too_few_damages_two_rows_at_most(tmp_path: Path, kind: str) -> None:
    data, expected, name = DAMAGED[kind]
    draw = random.Random(kind)
    for _ in range(12):
        at = draw.randrange(len(data.partition("\n")[0]) + 1, len(data))  # below the names
        sign = draw.choice(["", '"', '""', ",", "\n", "\r", "\t", "\\", '"\n', '\n"'])
        found, _ = read(tmp_path, data[:at] + sign + data[at + (not sign or draw.random() < 0.5) :], name)
        lost = [one for one in expected if one not in set(found)]
        assert len(lost) <= 2 and abs(len(found) - len(expected)) <= 2, (sign, data[at - 20 : at], data[at : at + 20])
