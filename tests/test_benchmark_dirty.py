"""Tests of benchmarks/dirty.py: its shares, that a seed gives the same bytes, and that clean text is in every form."""

from __future__ import annotations

import hashlib
import json
import random
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import dirty  # noqa: E402
from page_templates import page  # noqa: E402

WORDS = "river stone the of light in evening a market she walked and < & station history".split()  # noqa: SIM905
HAN = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏"


def document(number: int) -> str:
    chance = random.Random(number)
    if number % 3 == 0:
        return "\n\n".join("".join(chance.choices(HAN, k=80)) + "。" for _ in range(3)) + f"第{number}篇"
    return "\n\n".join(" ".join(chance.choices(WORDS, k=60)) + "." for _ in range(3)) + f" Number {number}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("dirty")
    rows = "".join(json.dumps({"text": document(number), "title": "x"}) + "\n" for number in range(800))
    (folder / "clean.jsonl").write_text(rows)
    counts = dirty.make([folder / "clean.jsonl"], folder / "out", seed=0)
    manifest = [json.loads(line) for line in (folder / "out/manifest.jsonl").read_text().splitlines()]
    return folder, counts, manifest


def texts(file: Path) -> list[str]:
    return [json.loads(line)["text"] for line in file.read_text().splitlines()]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.blake2b(file.read_bytes()).hexdigest() for file in files}


class Visible(HTMLParser):
    """The text of a page without scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.parts = 0, list[str]()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data)


def visible(markup: str) -> str:
    parser = Visible()
    parser.feed(markup)
    return " ".join("".join(parser.parts).split())


def test_shares(made: tuple[Path, dict[str, Any], list[dict[str, Any]]]) -> None:
    folder, counts, manifest = made
    documents = counts["documents"]
    assert documents + counts["heldout"] == 800 and 0.01 <= counts["heldout"] / 800 <= 0.03
    count = {what: sum(fact["what"] == what for fact in manifest) for what in ("clean", "copy", "noise")}
    assert count["clean"] == documents
    assert count["copy"] / documents == pytest.approx(0.20, abs=0.01)
    assert count["noise"] / documents == pytest.approx(0.05, abs=0.01)
    text = [fact for fact in manifest if fact["what"] != "noise"]
    assert sum(fact["form"] == "page" for fact in text) / len(text) == pytest.approx(0.30, abs=0.01)
    files = {fact["file"]: fact["encoding"] for fact in manifest}
    found = {str(file.relative_to(folder / "out/dirty")) for file in (folder / "out/dirty").rglob("*.*")}
    assert set(files) == found and len(files) == counts["files"]
    assert sum(e != "utf-8" for e in files.values()) / len(files) == pytest.approx(0.10, abs=0.01)
    assert {"gb18030", "utf-16"} < set(files.values())
    assert counts["bytes"] == sum((folder / "out/dirty" / name).stat().st_size for name in files)


def test_a_seed_gives_the_same_bytes(made: tuple[Path, dict[str, Any], list[dict[str, Any]]]) -> None:
    folder, _, _ = made
    once = digests(folder / "out")
    dirty.main([str(folder / "clean.jsonl"), str(folder / "out"), "--seed", "0"])  # over what is there
    assert digests(folder / "out") == once
    dirty.make([folder / "clean.jsonl"], folder / "other", seed=1)
    other = digests(folder / "other")
    assert {name for name in once if once[name] == other.get(name)} == {"clean.jsonl", "heldout.jsonl"}


def test_every_document_is_in_its_file(made: tuple[Path, dict[str, Any], list[dict[str, Any]]]) -> None:
    folder, _, manifest = made
    clean = texts(folder / "out/clean.jsonl")
    for fact in (fact for fact in manifest if fact["what"] == "clean"):
        file = folder / "out/dirty" / fact["file"]
        text = clean[fact["of"]]
        if fact["form"] == "row":
            assert text in texts(file)
            continue
        read = file.read_bytes().decode(fact["encoding"])
        if fact["form"] == "text":
            assert read == text + "\n"
        else:
            assert " ".join(text.split()) in visible(read)
            assert len(visible(read)) > len(" ".join(text.split())) + 100


def test_held_out_text_is_apart(made: tuple[Path, dict[str, Any], list[dict[str, Any]]]) -> None:
    folder, _, _ = made
    held = texts(folder / "out/heldout.jsonl")
    known = set(texts(folder / "out/clean.jsonl"))
    assert held and not known & set(held)
    assert known | set(held) == {document(number) for number in range(800)}


def test_copies_are_near(made: tuple[Path, dict[str, Any], list[dict[str, Any]]]) -> None:
    for number in range(1, 30):
        text = document(number)
        copy = dirty.edited(text, random.Random(number))
        before, after = (re.findall(r"[\u3400-\u9fff]|[^\s\u3400-\u9fff]+", t) for t in (text, copy))
        kept = len(before) + len(after) - 2 * _common(before, after)
        assert copy != text and 0 < kept <= 2 * 2 * 0.05 * len(before) + 2


def _common(one: list[str], other: list[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for a in one:
        last = 0
        for j, b in enumerate(other):
            last, row[j + 1] = row[j + 1], last + 1 if a == b else max(row[j], row[j + 1])
    return row[-1]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")) | st.just("\n"), min_size=1), st.integers(0, 99))
def test_any_text_is_whole_in_its_page(text: str, seed: int) -> None:
    for chinese in (False, True):
        markup = page(text, random.Random(seed), "utf-8", chinese=chinese)
        lines = (line.strip().lstrip("#").strip() for line in text.split("\n"))
        for line in filter(None, lines):
            assert " ".join(line.split()) in visible(markup)


def test_noise_is_of_four_kinds() -> None:
    for noise in dirty.NOISES:
        one, other = (noise(random.Random(seed), 1000) for seed in (0, 1))
        assert one == noise(random.Random(0), 1000) != other
        assert 700 <= len(one) <= 1300
