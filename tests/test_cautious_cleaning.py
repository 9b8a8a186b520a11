"""Cautious cleaning: by default no step takes what a text is: forms that are filled in, numbers, logs, lists, verse."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from daybreak.core.run import Run
from daybreak.core.types import Request
from daybreak.data import store
from daybreak.data.cleaning import Document
from daybreak.data.quality import Quality
from daybreak.data.scan import Whole
from daybreak.planning import reading
from daybreak.planning.text_facts import large_removals

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import planted

CITIES = ["Berlin", "Paris", "London", "Madrid", "Rome", "Vienna", "Oslo", "Prague", "Lisbon", "Dublin"]
GOODS = ["chairs", "lamps", "tables", "beds", "desks", "shelves", "mirrors", "carpets", "sofas", "clocks"]
ZH = "北京上海广州深圳杭州成都武汉西安南京重庆"


def rows(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def prose(count: int = 150, seed: int = 0) -> list[str]:
    """Different documents of a few hundred words."""
    return planted.made_texts(random.Random(seed), count, "en", 220)


def orders(draw: random.Random) -> str:
    lines = [
        f"Order {draw.randrange(10_000)} of {draw.randrange(1, 20)} {draw.choice(GOODS)} was shipped to "
        f"{draw.choice(CITIES)} on {draw.randrange(1, 29)} May and will be there within {draw.randrange(2, 9)} days. ",
        "Thank you for your order. You can follow it on our site with the number that is given above. If anything is ",
        "wrong with it, send it back to us within two weeks and you will have your money back at once. ",
    ]
    return "".join(lines)


def forms(draw: random.Random) -> str:
    """The same in more words than are compared: the text around the facts is long."""
    return orders(draw) + planted.made_texts(random.Random(99), 1, "en", 150)[0]


def numbers(draw: random.Random) -> str:
    return "\n".join(" ".join(str(draw.randrange(10_000)) for _ in range(9)) for _ in range(9))


def log(draw: random.Random) -> str:
    said = ("GET /index.html 200", "GET /style.css 304", "POST /login 302", "connection reset by peer")
    return "\n".join(
        f"2024-03-{draw.randrange(1, 29):02} 10:{draw.randrange(60):02}:{draw.randrange(60)} INFO {draw.choice(said)}"
        for _ in range(30)
    )


def table(draw: random.Random) -> str:
    return "\n".join(f"| {draw.choice(GOODS)} | {draw.randrange(99)} | {draw.random():.4f} |" for _ in range(20))


def words(draw: random.Random) -> str:
    return "\n".join(draw.choices(CITIES + GOODS, k=12))


def chinese_orders(draw: random.Random) -> str:
    city = "".join(draw.choices(ZH, k=2))
    return f"订单{draw.randrange(10_000)}已于{draw.randrange(1, 13)}月发往{city}，感谢您的购买，如有问题请与我们联系。"


def code(draw: random.Random) -> str:
    return f"x[{draw.randrange(99)}] = {draw.randrange(10**9):#010x}; y[{draw.randrange(99)}] += {draw.random()};\n" * 9


KINDS: dict[str, Callable[[random.Random], str]] = {
    f.__name__: f for f in (orders, forms, numbers, log, table, words, chinese_orders, code)
}


@dataclass
class Cleaned:
    removed: dict[str, int]
    said: tuple[str, ...]
    documents: int
    bytes: int


def cleaned(folder: Path, *sources: Path, include: tuple[str, ...] = ()) -> Cleaned:
    run, request = Run(folder / "run"), Request(sources=tuple(map(str, sources)), seconds=0.0, include=include)
    cleaning, _ = reading.cleaning_of(request)
    made, _ = reading.cleaned_parts(reading.parts_of(run, request, cleaning), request)
    whole = Whole(run.documents_folder, list(made.values()))
    accounts = store.total([*(part.facts.accounts for part in whole.parts), whole.judge(cleaning)])
    removed = {account.name: account.removed_documents for account in accounts if account.removed_documents}
    return Cleaned(
        removed,
        (*whole.stood_back, *large_removals(accounts)),
        int(whole.kept.sum()),
        int(whole.sizes[whole.kept].sum()),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_of_one_kind_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    draw = random.Random(kind)
    texts = list(dict.fromkeys(KINDS[kind](draw) for _ in range(800)))
    corpus = cleaned(tmp_path, rows(tmp_path / "a.jsonl", texts))
    assert corpus.documents >= 0.95 * len(texts), corpus.removed


@pytest.mark.parametrize("kind", ["forms", "numbers", "log"])
def test_a_file_of_one_kind_stays_among_others_and_it_is_said(tmp_path: Path, kind: str) -> None:
    draw = random.Random(kind)
    texts = list(dict.fromkeys(KINDS[kind](draw) for _ in range(60)))
    folder = tmp_path / "texts"
    folder.mkdir()
    rows(folder / "prose.jsonl", prose())
    rows(folder / f"{kind}.jsonl", texts)
    corpus = cleaned(tmp_path, folder)
    assert not corpus.removed
    (said,) = corpus.said
    step = "near_duplicates" if kind == "forms" else "quality"
    assert said.startswith(f"{step} would take ") and said.endswith(
        f"most of {kind}.jsonl; they stay. --with {step} takes them"
    )
    certain = cleaned(tmp_path / "asked", folder, include=(step,))
    assert certain.removed[step] > 0.5 * len(texts)
    assert all("would take" not in sentence for sentence in certain.said)


def test_copies_and_noise_go_all_the_same(tmp_path: Path) -> None:
    texts, copies = planted.with_near_copies(prose(), 30, random.Random(7))
    noise = ["qwrt xzvbn plkjh " * 40 + str(i) for i in range(4)] + [f"{i} " * 200 for i in range(4)]
    corpus = cleaned(tmp_path, rows(tmp_path / "a.jsonl", [*texts, *noise]))
    assert corpus.removed["near_duplicates"] >= 0.9 * len(copies) and corpus.removed["quality"] == len(noise)
    assert not corpus.said  # less than a fifth


def test_a_copy_goes_although_the_other_is_cut(tmp_path: Path) -> None:
    """A text file of more than 8 KB is stored in pieces, a row and a page are not."""
    draw = random.Random(3)
    texts = planted.made_texts(draw, 24, "en", 3000)
    folder = tmp_path / "texts"
    folder.mkdir()
    for index, text in enumerate(texts):
        (folder / f"{index:02}.txt").write_text(text)
    rows(folder / "rows.jsonl", [planted.edited(text, draw, 0.05) for text in texts[:9]])
    for index in range(9, 12):
        (folder / f"{index:02}-again.txt").write_text(planted.edited(texts[index], draw, 0.05))
    corpus = cleaned(tmp_path, folder)
    alone = cleaned(tmp_path / "first", *sorted(folder.glob("??.txt")))
    assert alone.documents > 2 * len(texts) and corpus.removed["near_duplicates"] >= 12
    assert 0.95 * alone.bytes <= corpus.bytes <= 1.05 * alone.bytes
    (folder / "long.txt").write_text(" ".join(planted.made_texts(draw, 8, "en", 3000)) + texts[0])
    within = cleaned(tmp_path / "within", folder)  # a text that has another in it is no copy of that
    assert within.bytes > corpus.bytes + 7 * len(texts[0])


def test_characters_of_all_scripts_are_noise_and_languages_side_by_side_are_not() -> None:
    draw = random.Random(1)
    ranges = ((0x21, 0x7E), (0xA1, 0x24F), (0x4E00, 0x9FFF), (0x2500, 0x257F))
    noise = "".join(chr(draw.randint(*draw.choice(ranges))) for _ in range(2000))
    assert Quality().reason(Document(noise)) == "characters at random"
    for text in (
        "中文 and English, side by side → 混合文本，each with its own words ✓ 并且没有问题。" * 9,
        "Tiếng Việt có dấu trên hầu hết các chữ cái, và đây là một câu bình thường như bao câu khác. " * 9,
        "日本語の文章はかなと漢字とLatin文字が混ざる。★ ここにも。" * 9,
    ):
        assert Quality(most_repeated_runs=1.0).reason(Document(text)) == ""


def test_a_copy_of_a_file_goes_although_it_is_most_of_it(tmp_path: Path) -> None:
    texts = prose(60)
    draw = random.Random(5)
    first = rows(tmp_path / "first.jsonl", [*texts, *prose(40, 1)])
    second = rows(tmp_path / "second.jsonl", [planted.edited(text, draw, 0.03) for text in texts])
    corpus = cleaned(tmp_path, first, second)
    assert corpus.removed["near_duplicates"] >= 0.9 * len(texts)
    (said,) = corpus.said
    assert "near_duplicates removed" in said and said.endswith("; --without near_duplicates keeps them")
