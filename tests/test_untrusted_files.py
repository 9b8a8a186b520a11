"""Files of unknown origin: nothing in them is run, none leads out of its folder, and each is refused in words."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from daybreak.core import records
from daybreak.core.errors import DataError, DaybreakError, ResourceError
from daybreak.core.run import Run, inside, read_json
from daybreak.data.shards import Tokens
from daybreak.data.sources import Document, Reading
from daybreak.data.store import Stored
from daybreak.data.tokenizers import byte_tokenizer, load_tokenizer
from daybreak.engine import checkpoints
from daybreak.models.checkpoints import write
from daybreak.models.checkpoints.read import read_model

CPU = torch.device("cpu")
DEEP = "[" * 200_000


REFUSED = "a hostile file is refused in words, and nothing in it is run"


class Canary:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def canary(tmp_path: Path):
    path = tmp_path / "canary"
    yield Canary(path)
    assert not path.exists(), "a file from a stranger was run"


@pytest.fixture
def model(tmp_path: Path, network, shape) -> Path:
    """A whole model/ folder."""
    tokenizer = tmp_path / "tokenizer.json"
    byte_tokenizer().save(tokenizer)
    tiny = shape(vocabulary=257)
    module = network(vocabulary=257)
    folder = tmp_path / "model"
    write.save(folder, tiny, dict(module.named_parameters()), tokenizer_file=tokenizer, end_of_text=256, token="end")
    read_model(folder, CPU)
    return folder


def config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def header(size: int, text: bytes = b"{}") -> bytes:
    return struct.pack("<Q", size) + text


def tensors(**entries: Any) -> bytes:
    text = json.dumps(entries).encode()
    return header(len(text), text) + bytes(64)


def entry(start: int, end: int, size: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": size, "data_offsets": [start, end]}


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "a header of 2^63 bytes": header(1 << 63),
    "a header of 100 MB that is not there": header(100_000_000),
    "not JSON": header(4, b"{{{{"),
    "deep JSON": header(len(DEEP), DEEP.encode()),
    "overlapping": tensors(a=entry(0, 16, [4]), b=entry(8, 24, [4])),
    "out of the file": tensors(a=entry(0, 1 << 40, [1 << 38])),
    "a shape that is too large": tensors(a=entry(0, 16, [1 << 62, 1 << 62])),
    "another type": tensors(a=entry(0, 16, [4], "F99")),
    "a shape that lies": tensors(a=entry(0, 16, [400])),
}


@pytest.mark.promise(REFUSED, 1)
@pytest.mark.parametrize("what", HOSTILE, ids=str)
def test_weights_that_are_none_are_refused(model: Path, what: str) -> None:
    (model / "model.safetensors").write_bytes(HOSTILE[what])
    with pytest.raises(DataError):
        read_model(model, CPU)


def pickled(path: Path, canary: Canary) -> None:
    path.write_bytes(pickle.dumps(canary))


def zipped(path: Path, canary: Canary) -> None:
    """As torch.save packs it."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(canary))
        file.writestr("archive/version", "3\n")


@pytest.mark.promise(REFUSED, 6)
@pytest.mark.parametrize("packed", [pickled, zipped])
def test_a_pickle_is_never_opened(model: Path, canary: Canary, packed: Callable[[Path, Canary], None]) -> None:
    for name in ("pytorch_model.bin", "model.pt", "optimizer.pkl", "training_args.bin"):
        packed(model / name, canary)
    read_model(model, CPU)  # what lies beside the weights is not looked at
    packed(model / "model.safetensors", canary)
    with pytest.raises(DataError):
        read_model(model, CPU)
    (model / "model.safetensors").unlink()
    with pytest.raises(DataError):
        read_model(model, CPU)


@pytest.mark.promise(REFUSED, 3)
@pytest.mark.parametrize("name", ["text.txt", "text.jsonl", "text.parquet", "text.pkl", "text.pt", "text.npy"])
def test_a_pickle_is_no_text(tmp_path: Path, canary: Canary, name: str) -> None:
    for packed in (pickled, zipped):
        packed(tmp_path / name, canary)
        assert not [d for d in Reading([tmp_path / name]) if "canary" in d.text and "mkdir" in d.text]
    np.save(tmp_path / "objects.npy", np.array([canary], dtype=object), allow_pickle=True)
    assert not list(Reading([tmp_path / "objects.npy"]))


@pytest.mark.promise(REFUSED, 2)
def test_code_that_a_model_names_is_not_run(model: Path, canary: Canary) -> None:
    (model / "modeling_evil.py").write_text(f"import os\nos.mkdir({str(canary.path)!r})\n")
    config(model, auto_map={"AutoModelForCausalLM": "modeling_evil.Evil"}, trust_remote_code=True)
    read_model(model, CPU)
    config(model, model_type="evil")
    with pytest.raises(DataError, match="not supported"):
        read_model(model, CPU)


@pytest.mark.promise(REFUSED, 1)
@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 10**9},
        {"vocab_size": 10**15},
        {"hidden_size": -1},
        {"head_dim": "x"},
        {"rope_theta": None},
    ],
    ids=str,
)
def test_a_shape_that_the_weights_are_not_of_is_refused_at_once(model: Path, changes: dict[str, Any]) -> None:
    config(model, **changes)
    with pytest.raises(DataError):
        read_model(model, CPU)


@pytest.mark.promise(REFUSED, 1)
def test_weights_that_are_no_numbers_are_refused(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    name = next(iter(weights))
    weights[name].view(-1)[3] = float("nan")
    save_file(weights, model / "model.safetensors")
    with pytest.raises(DataError, match=r"NaN|cannot be read|whole"):
        read_model(model, CPU)


@pytest.mark.promise(REFUSED, 1)
@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(\w+\s?)+$", r"^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_a_tokenizer_that_tries_too_many_ways_is_refused(tmp_path: Path, pattern: str) -> None:
    told = {
        "version": "1.0",
        "added_tokens": [{"id": 2, "content": "</s>", "special": True}],
        "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1, "</s>": 2}, "unk_token": "[UNK]"},
    }
    for token in told["added_tokens"]:  # type: ignore[union-attr]
        token |= {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(told))
    with pytest.raises(ResourceError, match="cannot split a text"):
        load_tokenizer(path)
    told["pre_tokenizer"] = {"type": "Whitespace"}
    path.write_text(json.dumps(told))
    assert load_tokenizer(path).encode("a a") == [0, 0]


# Names


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "a\0b"])
def test_a_name_does_not_lead_out_of_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="leads out of"):
        inside(tmp_path, name)


@pytest.mark.promise(REFUSED, 2)
def test_an_index_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    from daybreak.data import shards

    (tmp_path / "secret.bin").write_bytes(b"secret")
    folder = tmp_path / "corpus"
    shards.write(folder, "train", [Document("some text", True)], byte_tokenizer())
    index = json.loads((folder / "train.json").read_text())
    (folder / "train.json").write_text(json.dumps({**index, "files": ["../secret.bin"]}))
    with pytest.raises(DataError, match="leads out of"):
        Tokens(folder, "train")
    with pytest.raises(DataError, match="leads out of"):
        Stored(folder, "../corpus/train")


@pytest.mark.promise(REFUSED, 1)
def test_a_manifest_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, 1, {"a": torch.zeros(4)}, {})
    path = tmp_path / "step-00000001" / "manifest.json"
    told = json.loads(path.read_text())
    told["files"]["../../elsewhere"] = told["files"]["facts.json"]
    del told["xxh3_128"]
    path.write_text(json.dumps({**told, "xxh3_128": checkpoints._digest(told)}))
    tensors_, _, warnings = checkpoints.newest(tmp_path)
    assert not tensors_ and "step-00000001" in warnings[0]


# JSON


@pytest.mark.promise(REFUSED, 4)
def test_json_that_is_too_deep_is_an_error_in_words(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(DEEP)
    with pytest.raises(DaybreakError):
        read_json(path, "another")
    run = Run(tmp_path)
    run.request_file.write_text(DEEP)
    run.heartbeat_file.write_text(DEEP)
    run.log_file.write_text(DEEP + "\n" + json.dumps({"record": "event", "name": "a", "used_seconds": 1.0}) + "\n")
    assert run.request() is None and run.used_seconds() == 0.0 and not run.worked_on()
    assert [record.name for record in records.read(run.log_file)] == ["a"]
    lines, _ = records.new_lines(run.log_file, 0)
    assert [line["name"] for line in lines] == ["a"]


# Secrets


def test_what_an_address_keeps_to_itself_is_written_nowhere() -> None:
    from daybreak.core import units
    from daybreak.core.types import Request

    address = "https://me:word@host:8080/data/text.jsonl?key=SECRET&X-Amz-Signature=SIGNED"
    shown = "https://host:8080/data/text.jsonl?..."
    assert units.address(address) == shown == units.address(shown)
    for plain in ("novel.txt", "-", "hf://owner/name@main", "https://host/file.gz", "a folder/*.txt"):
        assert units.address(plain) == plain
    request = Request(sources=(address, "novel.txt"), seconds=60.0, weights={address: 0.5, "novel.txt": 0.5})
    written = json.dumps(request.shown().to_json())
    assert not any(secret in written for secret in ("SECRET", "SIGNED", "word"))
    assert request.shown().continues(request.shown()) and request.shown().weights == {shown: 0.5, "novel.txt": 0.5}


def test_what_a_model_says_moves_no_cursor() -> None:
    from daybreak.views.progress import harmless, plain

    said = "\x1b[2J\x1b]0;title\x07a\tb\r\nc\u202e\x9b1m 中文 é"
    for shown in (harmless(said), plain(said)):
        assert not any(sign in shown for sign in "\x1b\x07\r\u202e\x9b") and "中文 é" in shown
    assert "a\tb" in harmless(said) and "\n" in harmless(said) and "\n" not in plain(said)
