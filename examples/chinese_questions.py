"""FewCLUE and C3 as zero-shot questions for `daybreak evaluate --task`, in the format of docs/evaluation.md.

    python examples/chinese_questions.py fewclue/datasets/chid/test_public.json c3/c3-m-test.json --out questions

A file's kind is told by the fields of its first row. Files may be packed (.xz, .gz). For tnews, the names of the
classes are in `label_index2en2zh.json` of its folder. FewCLUE is arXiv:2107.07498, and C3 is arXiv:1904.09679.
"""

import argparse
import gzip
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
OPENERS = {".xz": lzma.open, ".gz": gzip.open}


def chid(row: Row) -> Row:
    """An idiom is missing: which one makes the passage likeliest, what comes behind it included."""
    before, after = row["content"].split("#idiom#", 1)
    choices = [idiom + after.replace("#idiom#", idiom) for idiom in row["candidates"]]
    return {"query": before, "choices": choices, "gold": row["answer"]}


def cluewsc(row: Row) -> Row:
    """Whether a pronoun stands for a noun."""
    target = row["target"]
    query = f"{row['text']}这里的“{target['span2_text']}”指的是“{target['span1_text']}”，这个说法"
    return {"query": query, "choices": ["对", "错"], "gold": 0 if row["label"] == "true" else 1}


def ocnli(row: Row) -> Row:
    """Whether a sentence follows from another, by the word that would stand between them."""
    words = {"entailment": "是的", "neutral": "也许", "contradiction": "不是"}
    choices = [f"？{word}，{row['sentence2']}" for word in words.values()]
    return {"query": row["sentence1"].rstrip("。？！.?!"), "choices": choices, "gold": list(words).index(row["label"])}


def bustm(row: Row) -> Row:
    """Whether two sentences mean the same."""
    query = f"“{row['sentence1']}”和“{row['sentence2']}”，这两句话的意思"
    return {"query": query, "choices": ["相同", "不同"], "gold": 0 if str(row["label"]) == "1" else 1}


def tnews(row: Row, names: dict[str, str]) -> Row:
    """Which class a headline belongs to."""
    choices = [f"这是一条{name}新闻" for name in names.values()]
    return {"query": f"{row['sentence']}。", "choices": choices, "gold": list(names).index(str(row["label"]))}


def c3(passage: list[Any]) -> Iterator[Row]:
    """Questions about a passage; they are drawn together, as they are not independent."""
    sentences, asked, name = passage
    for one in asked:
        query = "\n".join([*sentences, f"问：{one['question']}", "答："])
        gold = one["choice"].index(one["answer"])
        yield {"query": query, "choices": one["choice"], "gold": gold, "delimiter": "", "cluster": str(name)}


def questions(path: Path) -> Iterator[Row]:
    text = read(path)
    if text.lstrip().startswith("["):
        for passage in json.loads(text):
            yield from c3(passage)
        return
    rows = lines(text)
    names = {}
    if "label_desc" in rows[0]:
        named = next(path.parent.glob("label_index2en2zh.json*"))
        names = {str(row["label"]): row["label_zh"] for row in lines(read(named))}
    for row in rows:
        if "candidates" in row:
            yield chid(row)
        elif "target" in row:
            yield cluewsc(row)
        elif "label_desc" in row:
            yield tnews(row, names)
        elif "prem_id" in row or row.get("label") in ("entailment", "neutral", "contradiction"):
            if row["label"] != "-":  # the annotators did not agree
                yield ocnli(row)
        else:
            yield bustm(row)


def lines(text: str) -> list[Row]:
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def read(path: Path) -> str:
    with OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8") as file:
        return file.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="The folder for the .jsonl files.")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for path in asked.files:
        stem = path.name.split(".")[0]
        name = stem if stem.startswith("c3") else f"{path.parent.name}_{stem}"
        out = asked.out / f"{name}.jsonl"
        rows = list(questions(path))
        out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        print(f"{out}: {len(rows):,} questions")


if __name__ == "__main__":
    main()
