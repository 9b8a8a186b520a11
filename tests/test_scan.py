"""Scan: cleaned text on disk, its facts, its two parts, and a preparation that goes on where it was stopped."""

from __future__ import annotations

import lzma
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from daybreak.core.errors import DataError, ResourceError
from daybreak.data import scan as scanning
from daybreak.data import shards, sources, store
from daybreak.data.cleaning import Cleaning, Document
from daybreak.data.formats.findings import Findings
from daybreak.data.scan import Scan, Whole
from daybreak.data.sources import find
from daybreak.data.tokenizers import byte_tokenizer


def prose(size: int, seed: int = 0) -> str:
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcdefgh", k=draw.randint(1, 9))) for _ in range(500)]
    text = ""
    while len(text) < size:
        text += " ".join(draw.choices(words, k=draw.randint(3, 12))) + draw.choice([". ", ".\n", ".\n\n"])
    return text[:size]


def stored(folder: Path, paths: list[Path], cleaning: Cleaning | None = None) -> Whole:
    cleaning = cleaning or Cleaning()
    work = [store.Work(folder=folder, part=part, cleaning=cleaning) for part in sources.parts(paths)]
    return Whole(folder, [store.make(one).key for one in work])


def scanned(folder: Path, paths: list[Path], heldout: Path | None = None, **changes: int) -> Scan:
    return scanning.scan(stored(folder, scanning.training_paths(paths, heldout)), heldout=heldout, **changes)


def sides(whole: Whole, threshold: float) -> tuple[list[Document], list[Document]]:
    masks = scanning.places_of(whole, threshold)
    training, unseen = (
        [document for part in range(len(whole.parts)) for document in scanning.documents(whole, mask, part)]
        for mask in masks
    )
    return training, unseen


def test_scan_tells_facts(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    text = prose(300_000) + "中文12"
    path.write_text(text)
    whole = stored(tmp_path / "store", [path])
    facts = scanning.scan(whole)
    assert facts.bytes + facts.heldout_bytes == len(text.encode())
    assert 20_000 <= facts.heldout_bytes <= 30_000 and facts.files == 1
    assert sum(facts.languages.values()) == pytest.approx(1) and facts.languages["cjk"] > 0
    assert 1 < scanning.xz_bits_per_byte(facts.sample) < 8
    training, heldout = sides(whole, facts.threshold)
    assert tuple(document.text for document in training) == facts.sample
    assert (len(training), len(heldout)) == (facts.documents, facts.heldout_documents)
    assert sum(len(d.text.encode()) for d in heldout) == facts.heldout_bytes
    assert sum(d.starts for d in training) > 1 and heldout[0].starts
    smaller = scanning.scan(whole, sample_bytes=50_000)
    assert 50_000 <= sum(map(len, smaller.sample)) < 60_000 and set(smaller.sample) < set(facts.sample)


def test_digest_is_of_the_text(tmp_path: Path) -> None:
    text = prose(100_000)
    (tmp_path / "a.txt").write_text(text)
    (tmp_path / "b").write_bytes(lzma.compress(text.encode()))
    (tmp_path / "c.txt").write_text(text + "!")
    digests = [scanned(tmp_path / "store", [tmp_path / name]).digest for name in ("a.txt", "b", "c.txt")]
    assert digests[0] == digests[1] != digests[2]
    given = [scanned(tmp_path / "store", [tmp_path / "a.txt"], tmp_path / name).digest for name in ("b", "c.txt")]
    assert len({*digests, *given}) == 4


def test_a_heldout_file(tmp_path: Path) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "train.txt").write_text(prose(50_000, 1))
    test = folder / "test.txt"
    test.write_text("test me")
    facts = scanned(tmp_path / "store", find([str(folder)]), test)
    assert (facts.bytes, facts.heldout_bytes, facts.threshold) == (50_000, 7, 0.0)
    assert facts.heldout_sample == ("test me",) and "".join(facts.sample) == prose(50_000, 1)
    test.write_text(" ")
    with pytest.raises(DataError):
        scanned(tmp_path / "store", find([str(folder)]), test)


@dataclass(frozen=True)
class NoVowel:
    """Stays where its first letter is no vowel."""

    name: str = "no_vowel"
    width: int = 1

    def signatures(self, texts: list[str]) -> np.ndarray:
        return np.array([[text[:1] in "aeiou"] for text in texts], np.uint64)

    def kept(self, signatures: np.ndarray) -> np.ndarray:
        return signatures[:, 0] == 0


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Whole:
    """Documents a to f, of which b, c, d continue a; the shares of b, c and e are small."""
    documents = [Document(letter, letter in "aef") for letter in "abcdef"]

    class Reading:
        findings = Findings(files=1, bytes=6)
        file = Path("any")

        def __init__(self, parts: object, named: object) -> None: ...

        def __iter__(self):
            return iter(documents)

    monkeypatch.setattr(store, "Reading", Reading)
    whole = stored(tmp_path, [tmp_path / "any"])
    whole.shares = np.array([0.5, 0.0, 0.0, 0.5, 0.0, 0.5])
    return whole


def test_streams_keep_neighbours_joined(pieces: Whole) -> None:
    training, unseen = sides(pieces, 0.1)
    assert training == [Document("a"), Document("d"), Document("f")]
    assert unseen == [Document("b"), Document("c", False), Document("e")]


def test_what_is_taken_away_across_documents_breaks_the_text_there(pieces: Whole, tmp_path: Path) -> None:
    whole = stored(tmp_path / "again", [tmp_path / "any"], Cleaning().with_across(NoVowel()))
    whole.shares = pieces.shares
    (account,) = whole.judge(Cleaning(across=(NoVowel(),)))
    assert (account.documents, account.removed_documents, account.removed_bytes) == (6, 2, 2)
    assert {before for _, before, _ in account.examples} == {"a", "e"}
    training, unseen = sides(whole, 0.1)
    assert training == [Document("d"), Document("f")]
    assert unseen == [Document("b"), Document("c", False)]
    assert whole.judge(Cleaning(across=(NoVowel(),)))[0].removed_documents == 0


def test_a_beginning_in_hash_order_is_from_all_over() -> None:
    documents = [Document(f"{i:04d} {part}", part == 0) for i in range(400) for part in range(1 + i % 3)]
    ordered = scanning.in_hash_order(documents)
    assert sorted(d.text for d in ordered) == [d.text for d in documents]
    first = [int(d.text[:4]) for d in ordered[:200]]
    assert 150 < sum(first) / len(first) < 250  # of 0 to 399, not of the first hundred
    places = {d.text: place for place, d in enumerate(ordered)}
    assert all(places[f"{i:04d} 1"] == places[f"{i:04d} 0"] + 1 for i in range(1, 400, 3))
    assert scanning.in_hash_order(documents[::-1][:0]) == []


def test_too_little_text_says_why(tmp_path: Path) -> None:
    (tmp_path / "small.txt").write_text("small")
    whole = stored(tmp_path / "store", [tmp_path / "small.txt"])
    with pytest.raises(DataError) as caught:
        scanning.scan(whole, notes=("1 file skipped: binary",))
    assert "binary" in caught.value.received and "--heldout" in caught.value.attempt


# The store


def test_a_part_is_made_once_and_again_when_its_file_or_the_steps_change(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(prose(30_000))

    def work(cleaning: Cleaning) -> store.Work:
        (part,) = sources.parts([path])
        return store.Work(folder=tmp_path / "store", part=part, cleaning=cleaning)

    one = work(Cleaning())
    assert not store.readable(one)
    facts = store.make(one)
    assert store.readable(one) and store.Stored(one.folder, one.key).facts == facts
    assert not store.readable(work(Cleaning().with_across(NoVowel())))
    path.write_text(prose(30_001))
    assert not store.readable(work(Cleaning()))


def test_a_damaged_part_is_told_and_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(prose(30_000))
    (part,) = sources.parts([path])
    work = store.Work(folder=tmp_path / "store", part=part, cleaning=Cleaning())
    store.make(work)
    text = work.folder / f"{work.key}.text"
    text.write_bytes(text.read_bytes()[:-10])
    found = store.Stored(work.folder, work.key)
    with pytest.raises(ResourceError, match="damaged"):
        list(found.texts(range(len(found.sizes))))
    assert not store.readable(work)
    store.make(work)
    assert "".join(store.Stored(work.folder, work.key).texts(range(len(found.sizes)))) == prose(30_000)


def test_shards_of_parts_join_to_the_tokens_of_the_whole(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    documents = [Document(prose(500, seed), seed % 3 == 0) for seed in range(30)]
    shards.write(tmp_path, "whole", documents, tokenizer)
    names = []
    for start in range(0, 30, 7):
        names.append(f"part-{start}")
        shards.write(tmp_path, names[-1], documents[start : start + 7], tokenizer)
        assert shards.written(tmp_path, names[-1])
    shards.join(tmp_path, "joined", names, tokenizer)
    whole, joined = (shards.Tokens(tmp_path, name) for name in ("whole", "joined"))
    assert np.array_equal(whole.slice(0, len(whole)), joined.slice(0, len(joined)))
    assert np.array_equal(whole.starts, joined.starts) and whole.bytes == joined.bytes
    joined.verify()
