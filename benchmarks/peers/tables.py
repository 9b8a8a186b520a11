"""What a reader of tables finds in files: asked in JSON on standard input, answered in JSON on standard output.

The question: a list of [path, whether there is a row of names]. The answer: for each file {"columns": [...]}, every
column as a list of strings, or {"error": ...}; and in the end {"version": ...} of the reader.
"""

import json
import sys
from pathlib import Path


def by_csv(path, header):
    import csv

    csv.field_size_limit(1 << 30)
    data = Path(path).read_bytes()
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    try:
        dialect = csv.Sniffer().sniff(text[:10_000])
    except csv.Error:
        dialect = csv.excel_tab if str(path).endswith(".tsv") else csv.excel
    import io

    rows = list(csv.reader(io.StringIO(text, newline=""), dialect))
    return columns(rows[1:] if header else rows)


def columns(rows):
    width = max(map(len, rows), default=0)
    return [[row[i] for row in rows if i < len(row)] for i in range(width)]


def by_pandas(path, header, **how):
    import pandas

    wide = Path(path).read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff")
    frame = pandas.read_csv(
        path,
        header=0 if header else None,
        dtype=str,
        keep_default_na=False,
        encoding="utf-16" if wide else "utf-8",
        **how,
    )
    return [[str(value) for value in frame.iloc[:, i]] for i in range(frame.shape[1])]


def separator(path):
    return "\t" if str(path).endswith(".tsv") else ","


def by_polars(path, header):
    import polars

    frame = polars.read_csv(path, has_header=header, infer_schema=False, separator=separator(path))
    return [["" if value is None else value for value in frame[:, i].to_list()] for i in range(frame.width)]


def by_pyarrow(path, header):
    from pyarrow import csv

    table = csv.read_csv(
        path,
        read_options=csv.ReadOptions(autogenerate_column_names=not header),
        parse_options=csv.ParseOptions(delimiter=separator(path), newlines_in_values=True),
    )
    return [[str(value) for value in column.to_pylist()] for column in table.columns]


def by_clevercsv(path, header):
    import clevercsv

    rows = clevercsv.read_table(path)
    return columns(rows[1:] if header else rows)


READERS = {
    "csv": by_csv,
    "pandas": lambda path, header: by_pandas(path, header, sep=separator(path)),
    "pandas, sep=None": lambda path, header: by_pandas(path, header, sep=None, engine="python"),
    "polars": by_polars,
    "pyarrow": by_pyarrow,
    "clevercsv": by_clevercsv,
}


def main(reader):
    answers = []
    for path, header in json.load(sys.stdin):
        try:
            answers.append({"columns": READERS[reader](path, header)})
        except Exception as error:  # whatever it says is its answer
            answers.append({"error": f"{type(error).__name__}: {error}"[:200]})
    name = reader.partition(",")[0]
    version = sys.version.split()[0] if name == "csv" else __import__(name).__version__
    print(json.dumps([*answers, {"version": version}]))


if __name__ == "__main__":
    main(sys.argv[1])
