"""Tables as people have them: which of their texts daybreak and other readers get right.

    python benchmarks/tables.py --out OUT --peers-python PEERS/bin/python

Makes one file for each kind of table below, whose texts are known, and reads it with daybreak and with the peers, which
live in an environment of their own, for they are no dependencies of daybreak:

    python -m venv PEERS && PEERS/bin/pip install pandas polars pyarrow clevercsv

A reader is right where the texts come out, each whole and in order. daybreak finds the column of the text itself. The
peers are told more: whether there is a row of names, and any column that holds exactly the texts counts as right; the
worse of their faults is the one that says nothing. `csv` is Python's own with its Sniffer, and with the usual dialect
where that finds none. pandas is called as its documentation has it, and once more with `sep=None`, which looks for the
delimiter. A file that is no table at all has to come out as the text that it is.
"""

import argparse
import csv
import datetime
import io
import json
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
READERS = ("csv", "pandas", "pandas, sep=None", "polars", "pyarrow", "clevercsv")
ROWS = 40
WORDS = ("river", "stone", "light", "evening", "market", "window", "paper", "station", "history", "garden")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file and its texts."""

    data: bytes
    texts: tuple[str, ...]
    name: str = "a.csv"
    header: bool = True  # it has a row of names
    table: bool = True  # it is one


def sentence(i: int) -> str:
    """A text that no other row has, with neither quote nor comma."""
    return f"The {WORDS[i % 10]} number {i} lies beyond the {WORDS[(i // 10 + 3) % 10]} of the town"


def comma(i: int) -> str:
    return f"Hello there, my friend {i}, it is the {WORDS[i % 10]} again" if i % 3 else sentence(i)


def quoted(i: int) -> str:
    return f'He said "no" to the {WORDS[i % 10]}, and number {i} went on'


def lined(i: int) -> str:
    return f"First line of {i}, with more\n\nand the third, about the {WORDS[i % 10]}"


def chinese(i: int) -> str:
    return f"第{i}号公园里有很多人，孩子们在草地上玩，老人在树下喝茶。"


Text = Callable[[int], str]


def texts(make: Text, rows: int = ROWS) -> tuple[str, ...]:
    return tuple(make(i) for i in range(rows))


def rfc(make: Text, *, rows: int = ROWS, header: str = "id,text,label", end: str = "\n", **how: object) -> str:
    """A table as Python's library writes it, but for its row of names."""
    file = io.StringIO()
    settings: dict[str, object] = {"lineterminator": end, **how}
    writer = csv.writer(file, **settings)  # type: ignore[arg-type]
    writer.writerows([i, make(i), ("good", "bad")[i % 2]] for i in range(rows))
    return (header + end if header else "") + file.getvalue()


def joined(make: Text, form: str = "{i},{text}", *, header: str = "id,text", end: str = "\n", rows: int = ROWS) -> str:
    """Rows written by hand."""
    lines = [header] if header else []
    lines += [form.format(i=i, text=make(i), label=("good", "bad")[i % 2]) for i in range(rows)]
    return end.join(lines) + end


def case(data: str | bytes, told: tuple[str, ...], name: str = "a.csv", **more: bool) -> Case:
    return Case(data=data if isinstance(data, bytes) else data.encode(), texts=told, name=name, **more)


def with_line(data: str, row: int, line: str) -> str:
    """The table with another line in the place of one."""
    lines = data.split("\n")
    lines[row] = line
    return "\n".join(lines)


def cases() -> dict[str, Case]:
    """Every kind of table, by its name."""
    plain, commas, quotes, lines = (texts(make) for make in (sentence, comma, quoted, lined))
    loose = texts(lambda i: f"{comma(i)}" if i % 3 else f"{sentence(i)}, and more")
    long = "A very long text, which goes on. " * 150_000
    opened = list(plain)
    opened[5] = "never closed " + plain[5]
    return {
        "comma, quoted where needed": case(rfc(comma), commas),
        "comma, all quoted": case(rfc(comma, quoting=csv.QUOTE_ALL), commas),
        "quotes doubled": case(rfc(quoted), quotes),
        "lines in cells": case(rfc(lined), lines),
        "lines in cells, CRLF": case(rfc(lined, end="\r\n"), lines),
        "ends of CR alone": case(rfc(comma, end="\r"), commas),
        "ends of CR alone, lines in cells": case(rfc(lined, end="\r"), lines),
        "CRLF": case(rfc(comma, end="\r\n"), commas),
        "a CR in an unquoted cell": case(
            with_line(joined(sentence, "{i},{text},{label}", header="id,text,label"), 8, "7,a stray\rreturn in it,bad"),
            (*plain[:7], "a stray\rreturn in it", *plain[8:]),
        ),
        "CR and LF in turns": case(
            joined(sentence, rows=20) + "".join(f"{i},{sentence(i)}\r" for i in range(20, 40)), plain
        ),
        "byte-order mark": case(b"\xef\xbb\xbf" + rfc(comma).encode(), commas),
        "UTF-16": case(rfc(comma).encode("utf-16"), commas),
        "semicolons": case(rfc(comma, delimiter=";", header="id;text;label"), commas),
        "semicolons and decimal commas": case(
            "nummer;wert;text\n" + "".join(f"{i};{i},5;{comma(i)}\n" for i in range(ROWS)), commas
        ),
        "Excel's sep=;": case("sep=;\n" + rfc(comma, delimiter=";", header="id;text;label"), commas),
        "tabs": case(joined(comma, "{i}\t{text}\t{label}", header="id\ttext\tlabel"), commas, "a.tsv"),
        "tabs, quotes of the text": case(
            joined(lambda i: f'"{sentence(i)}" he said', "{i}\t{text}", header="id\ttext"),
            texts(lambda i: f'"{sentence(i)}" he said'),
            "a.tsv",
        ),
        "tabs, one odd quote": case(
            with_line(joined(sentence, "{i}\t{text}", header="id\ttext"), 1, '0\t"an open quote'),
            ('"an open quote', *plain[1:]),
            "a.tsv",
        ),
        "tabs, quotes in the middle": case(
            joined(lambda i: f'a {i}" screen of 5\' and the {WORDS[i % 10]}', "{i}\t{text}", header="id\ttext"),
            texts(lambda i: f'a {i}" screen of 5\' and the {WORDS[i % 10]}'),
            "a.tsv",
        ),
        "tabs, quoted": case(
            rfc(quoted, delimiter="\t", header="id\ttext\tlabel", quoting=csv.QUOTE_ALL), quotes, "a.tsv"
        ),
        "tabs, lines in cells": case(rfc(lined, delimiter="\t", header="id\ttext\tlabel"), lines, "a.tsv"),
        "tabs in a file named .csv": case(joined(comma, "{i}\t{text}", header="id\ttext"), commas),
        "commas in a file named .txt": case(rfc(comma), commas, "a.txt"),
        "bars": case(joined(comma, "{i}|{text}|{label}", header="id|text|label"), commas),
        "Hive's ^A": case(joined(comma, "{i}\x01{text}", header=""), commas, "a.txt", header=False),
        "commas that nobody quoted, last": case(joined(comma), commas),
        "commas that nobody quoted, in each row": case(joined(loose.__getitem__), loose),
        "commas that nobody quoted, in the middle": case(
            joined(comma, "{i},{text},{label}", header="id,text,label"), commas
        ),
        "commas that nobody quoted, no names": case(joined(loose.__getitem__, header=""), loose, header=False),
        "one column, not quoted": case(joined(comma, "{text}", header="text"), commas),
        "one column, quoted where needed": case(
            "text\n" + "".join(f'"{comma(i)}"\n' if "," in comma(i) else f"{comma(i)}\n" for i in range(ROWS)), commas
        ),
        "quotes escaped by a backslash": case(
            rfc(quoted, doublequote=False, escapechar="\\", quoting=csv.QUOTE_ALL), quotes
        ),
        "a backslash before the closing quote": case(
            rfc(lambda i: f"C:\\folder {i}, of the {WORDS[i % 10]}\\"),
            texts(lambda i: f"C:\\folder {i}, of the {WORDS[i % 10]}\\"),
        ),
        "quotes in quotes that nobody doubled": case(
            joined(quoted, '{i},"{text}",{label}', header="id,text,label"), quotes
        ),
        "blanks after commas": case(
            joined(quoted, '{i}, "{text}", {label}', header="id, text, label").replace('"no"', '""no""'), quotes
        ),
        "each line in quotes": case(
            "id,text\n" + "".join(f'"{i},""{comma(i)}"""\n' for i in range(ROWS)),
            commas,
        ),
        "single quotes": case(joined(comma, "'{i}','{text}','{label}'", header="id,text,label"), commas),
        "a quote that never closes": case(
            with_line(joined(sentence), 6, f'5,"{opened[5]}'),
            tuple(opened),
        ),
        "a quote that never closes, others quoted": case(
            with_line(joined(sentence, '{i},"{text}"'), 6, f'5,"{opened[5]}'),
            tuple(opened),
        ),
        "a quote that never closes, in the last row": case(
            with_line(joined(sentence), ROWS, f'39,"never closed {plain[39]}'),
            (*plain[:39], f"never closed {plain[39]}"),
        ),
        "names, a comment above": case("# made by hand\n# 2020\n" + rfc(comma), commas),
        "names, a title above": case("Answers of the survey\n\n" + rfc(comma), commas),
        "names, a title with empty cells above": case("Answers of the survey,,\n,,\n" + rfc(comma), commas),
        "no names, a short first row": case(
            joined(lambda i: "good film" if not i else sentence(i), "{label},{text}", header=""),
            ("good film", *plain[1:]),
            header=False,
        ),
        "no names": case(rfc(comma, header=""), commas, header=False),
        "a column without a name": case(rfc(comma, header=",text,label"), commas),
        "row numbers without a name": case(
            '"text","label"\n' + "".join(f'"{i + 1}","{comma(i)}","good"\n' for i in range(ROWS)), commas
        ),
        "two columns of one name": case(
            "id,text,text\n" + "".join(f"{i},{sentence(i)},{i}\n" for i in range(ROWS)), plain
        ),
        "names in capitals and blanks": case(rfc(comma, header=' Id , Text , "Label" '), commas),
        "a delimiter behind each row": case(joined(sentence, "{i},{text},"), plain),
        "a delimiter behind each line": case(joined(sentence, "{i},{text},", header="id,text,"), plain),
        "rows that are too short": case(
            joined(sentence, "{i},{text},{label}", header="id,text,label,url,date"),
            plain,
        ),
        "rows of two lengths": case(
            "id,text,label\n" + "".join(f"{i},{sentence(i)}{',good' * (i % 2)}\n" for i in range(ROWS)), plain
        ),
        "empty lines between": case(joined(sentence, "{i},{text}\n"), plain),
        "names once more in the middle": case(joined(sentence, rows=20) + "id,text\n" + joined(
            lambda i: sentence(i + 20), header="", rows=20), plain),
        "a cell of 5 MB": case(f'id,text\n0,"{long}"\n' + joined(sentence, header=""), (long, *plain)),
        "one row": case(f"id,text\n1,{sentence(1)}\n", (sentence(1),)),
        "two rows, no names": case(f"1,{sentence(1)}\n2,{sentence(2)}\n", (sentence(1), sentence(2)), header=False),
        "Chinese": case(joined(chinese, header="编号,文本"), texts(chinese)),
        "Chinese, GB18030": case(joined(chinese, header="编号,文本").encode("gb18030"), texts(chinese)),
        "a NUL in a cell": case(
            with_line(joined(sentence), 4, "3,a zero\0 byte in it"), (*plain[:3], "a zero\0 byte in it", *plain[4:])
        ),
        "prose in a file named .csv": case(
            "".join(f"{comma(i)}.\n" for i in range(ROWS)),
            ("".join(f"{comma(i)}.\n" for i in range(ROWS)),),
            header=False,
            table=False,
        ),
        "prose with commas": case(
            "It was late, and cold, and dark.\nNobody came, as ever, that day.\n" * 20,
            ("It was late, and cold, and dark.\nNobody came, as ever, that day.\n" * 20,),
            "a.txt",
            header=False,
            table=False,
        ),
    }  # fmt: skip


# Reading


def by_daybreak(path: Path) -> dict[str, object]:
    """The documents, and what was said to be passed over."""
    from daybreak.core.errors import DaybreakError
    from daybreak.data.sources import Reading

    reading = Reading([path], named=[path])
    found: list[str] = []
    try:
        for document in reading:
            if document.starts or not found:
                found.append(document.text)
            else:  # a piece of a long one
                found[-1] += document.text
    except DaybreakError as error:
        return {"error": str(error)}
    return {"texts": found, "said": list(reading.findings.passed_over())}


def judged(found: dict[str, object], right: tuple[str, ...], *, table: bool) -> str:
    """right, error or silent: what a reader made of a file; said: wrong, and counted in words."""
    if "error" in found:
        return "error"
    texts = found.get("texts")
    if isinstance(texts, list) and (texts == [*right] or (not table and "".join(texts) == "".join(right))):
        return "right"
    columns = found.get("columns")
    if isinstance(columns, list) and table and [*right] in columns:
        return "right"
    return "said" if found.get("said") else "silent"


def by_peers(python: Path, paths: list[tuple[Path, bool]], reader: str) -> list[dict[str, object]]:
    """What a peer finds in each file: its columns, or its error."""
    asked = json.dumps([[str(path), header] for path, header in paths])
    command = [str(python), str(HERE / "peers" / "tables.py"), reader]
    done = subprocess.run(command, input=asked, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{reader}: {done.stderr.strip().splitlines()[-1:]}")
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def table(results: dict[str, dict[str, str]]) -> str:
    """Markdown: how many files each reader gets right, refuses, or gets wrong and says so or says nothing."""
    lines = ["| reader | right | wrong, and says so | wrong, and says nothing |", "| --- | --- | --- | --- |"]
    for reader, told in results.items():
        counts = [sum(one in kinds for one in told.values()) for kinds in (("right",), ("error", "said"), ("silent",))]
        lines.append(f"| {reader} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--peers-python", type=Path, help="without it daybreak alone is asked")
    given = parser.parse_args(words)
    folder = given.out / "files"
    known = cases()
    paths = {}
    for number, (name, one) in enumerate(known.items()):
        paths[name] = folder / f"{number:02}" / one.name
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        paths[name].write_bytes(one.data)
    results = {"daybreak": {n: judged(by_daybreak(paths[n]), c.texts, table=c.table) for n, c in known.items()}}
    versions: dict[str, object] = {}
    if given.peers_python:
        for reader in READERS:
            asked = [(paths[name], one.header) for name, one in known.items()]
            *answers, about = by_peers(given.peers_python, asked, reader)
            versions[reader] = about["version"]
            results[reader] = {
                name: judged(answer, one.texts, table=one.table)
                for (name, one), answer in zip(known.items(), answers, strict=True)
            }
    facts = {"files": len(known), "results": results, "versions": versions, "python": platform.python_version()}
    facts["when"] = datetime.date.today().isoformat()
    (given.out / "tables.json").write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (given.out / "tables.md").write_text(table(results) + "\n")
    for name in known:
        told = {reader: kinds[name] for reader, kinds in results.items()}
        if told["daybreak"] != "right":
            print(f"{name}: {told['daybreak']}")
    print(table(results))


if __name__ == "__main__":
    main()
