"""Files of runs and models with bytes exchanged, cut and doubled: they are read, or what is wrong is said in words.

Files of text are in test_benchmark_fuzz_readers.py.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from daybreak.core import records
from daybreak.core.errors import DaybreakError
from daybreak.core.records import Event, Log
from daybreak.core.run import Run, read_json
from daybreak.core.types import Plan
from daybreak.data import shards
from daybreak.data.sources import Document
from daybreak.data.tokenizers import byte_tokenizer, load_tokenizer, train_tokenizer
from daybreak.engine import checkpoints
from daybreak.models.checkpoints import write
from daybreak.models.checkpoints.read import read_model

FUZZED = "a file with bytes exchanged, cut or doubled is read or refused in words"
ODD = (b"\0", b"\xff", b"{", b"}", b"[", b'"', b",", b"-", b"1e999", b"NaN", b"null", b"\x80\x02", b"\n", b"9" * 40)


def changed(data: bytes, chance: random.Random) -> bytes:
    """One to four accidents."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(out) + 1) if chance.random() < 0.5 else chance.randrange(min(len(out), 200) + 1)
        stop = min(len(out), place + chance.choice((0, 1, 1, 4, 30, 500)))
        kind = chance.randrange(4)
        if kind == 0:
            out[place:stop] = chance.randbytes(stop - place)
        elif kind == 1:
            out[place:stop] = b""
        elif kind == 2:
            out[place:place] = chance.choice(ODD)
        else:
            out[place:place] = out[place:stop]
    return bytes(out)


# What reads a file, and a sound one for it to read


def weights(folder: Path, network, shape, plan) -> Callable[[], object]:
    return _model(folder, network, shape)


def _model(folder: Path, network, shape) -> Callable[[], object]:
    tokenizer = folder / "given.json"
    byte_tokenizer().save(tokenizer)
    parts = dict(network(vocabulary=257).named_parameters())
    write.save(folder / "model", shape(vocabulary=257), parts, tokenizer_file=tokenizer, end_of_text=256, token="end")
    return lambda: read_model(folder / "model", torch.device("cpu"))


def learnt(folder: Path, network, shape, plan) -> Callable[[], object]:
    train_tokenizer(["a text of some words, and some more of them"] * 50, 300).save(folder / "tokenizer.json")
    return lambda: load_tokenizer(folder / "tokenizer.json").encode("some words")


def foreign(folder: Path, network, shape, plan) -> Callable[[], object]:
    train_tokenizer(["a text of some words, and some more of them"] * 50, 300, kind="unigram").save(
        folder / "tokenizer.json"
    )
    return lambda: load_tokenizer(folder / "tokenizer.json").encode("some words")


def planned(folder: Path, network, shape, plan) -> Callable[[], object]:
    (folder / "plan.json").write_text(json.dumps(plan().to_json()))
    return lambda: Plan.from_json(read_json(folder / "plan.json", "another"), "plan.json")


def logged(folder: Path, network, shape, plan) -> Callable[[], object]:
    run = Run(folder)
    log = Log(run.log_file)
    for number in range(5):
        log.append(Event(name="a", used_seconds=float(number)))
    log.close()
    return lambda: (list(records.read(run.log_file)), records.new_lines(run.log_file, 0))


def saved(folder: Path, network, shape, plan) -> Callable[[], object]:
    for step in (1, 2):
        checkpoints.save(folder, step, {"a": torch.zeros(8)}, {"step": step})
    return lambda: checkpoints.newest(folder)


def sharded(folder: Path, network, shape, plan) -> Callable[[], object]:
    shards.write(folder, "train", [Document("some text", True), Document("more", True)], byte_tokenizer())

    def read() -> object:
        tokens = shards.Tokens(folder, "train")
        return tokens.slice(0, len(tokens))

    return read


READERS = {
    "weights and config": (weights, "model/*"),
    "a tokenizer of ours": (learnt, "tokenizer.json"),
    "a tokenizer of others": (foreign, "tokenizer.json"),
    "a plan": (planned, "plan.json"),
    "a log": (logged, "log.jsonl"),
    "checkpoints": (saved, "step-*/*"),
    "shards": (sharded, "train*"),
}


def accidents(seconds: float, least: int) -> Iterator[random.Random]:
    begun, number = time.monotonic(), 0
    while number < least or time.monotonic() - begun < seconds:
        yield random.Random(number)
        number += 1


def fuzz(tmp_path: Path, name: str, fixtures: tuple, seconds: float, least: int) -> int:
    make, pattern = READERS[name]
    read = make(tmp_path, *fixtures)
    read()
    sound = {path: path.read_bytes() for path in sorted(tmp_path.glob(pattern)) if path.is_file()}
    tried = 0
    for tried, chance in enumerate(accidents(seconds, least), 1):
        path = chance.choice(list(sound))
        path.write_bytes(changed(sound[path], chance))
        try:
            read()
        except DaybreakError as error:
            assert str(error)
        except BaseException as error:
            raise AssertionError(
                f"{path.name}, changed by random.Random({tried - 1}): {type(error).__name__}: {error}"
            ) from error
        path.write_bytes(sound[path])
    return tried


@pytest.mark.promise(FUZZED)
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_was_changed_is_read_or_refused(tmp_path, network, shape, plan, record_property, name) -> None:
    record_property("tried", fuzz(tmp_path, name, (network, shape, plan), 0.0, 150))


@pytest.mark.promise(FUZZED)
@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
def test_more_files_that_were_changed(tmp_path, network, shape, plan, record_property, name) -> None:
    record_property("tried", fuzz(tmp_path, name, (network, shape, plan), 20.0, 150))
