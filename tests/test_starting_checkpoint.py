"""Starting checkpoints: runs that go on from a checkpoint, ours or another tool's, end to end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import hubs
import pytest
import torch
from reading import reads_of

import daybreak
from daybreak.core.errors import DataError, UsageError
from daybreak.core.run import Run
from daybreak.evaluation.loaded import load
from daybreak.models.checkpoints.source import peek
from daybreak.models.gpt import tensors_of
from daybreak.planning.starting_checkpoint import weights_of

TOKENS = 12_000


def carried_out(text: Path, out: Path, **asked: Any) -> Any:
    settings = {"tokens": TOKENS, "batch_tokens": 1024, "evaluation_bytes": 4000, **asked.pop("settings", {})}
    return daybreak.run(
        str(text),
        budget="10m",
        out=str(out),
        reproducible=True,
        settings=settings,
        exclude=["compiled", "quality"],
        **asked,
    )


@pytest.fixture(scope="module")
def parent(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("parent") / "run"
    settings = {"layers": 1, "width": 64, "vocabulary": 512, "context_length": 128}
    return carried_out(small_text, out, settings=settings).run


def test_a_run_goes_on_from_another_with_its_tokenizer_and_its_weights(
    parent: Run, small_text: Path, tmp_path: Path
) -> None:
    finished = carried_out(small_text, tmp_path / "run", parent=str(parent.path))
    plan, before = finished.run.plan(), parent.plan()
    assert plan.origin.path == str(parent.path) and plan.parent == plan.origin.digest
    assert plan.shape == before.shape and plan.identity() != before.identity()
    assert plan.optimizer.learning_rate < before.optimizer.learning_rate
    assert plan.origin.seen > 0 and plan.predicted.figure < before.predicted.figure
    mine, theirs = (load(run.path).tokenizer for run in (finished.run, parent))
    assert mine.encode("the end of it") == theirs.encode("the end of it")
    told = [json.loads(run.report_data_file.read_text()) for run in (parent, finished.run)]
    assert told[1]["result"]["model"]["value"] < told[0]["result"]["model"]["value"] - 0.05
    with reads_of(parent.model_folder / "model.safetensors") as reads:
        again = carried_out(small_text, tmp_path / "again", parent=str(parent.path))
    assert again.figures["weights_digest"] == finished.figures["weights_digest"]
    assert reads == ["header", "bytes", "tensors"]  # the sizes, the digest, and the weights when the module is built


def test_a_parent_that_changed_after_the_plan_is_refused(parent: Run, small_text: Path, tmp_path: Path) -> None:
    copy = tmp_path / "parent"
    shutil.copytree(parent.model_folder, copy)
    made = daybreak.plan(
        str(small_text), budget="10m", reproducible=True, settings={"tokens": TOKENS}, parent=str(copy)
    )
    assert made.origin is not None
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "note": "changed"}))
    with pytest.raises(DataError, match="changed since the plan"):
        weights_of(made, Run(tmp_path / "run"))


def test_a_grown_vocabulary_is_trained_and_written(parent: Run, tmp_path: Path) -> None:
    text = tmp_path / "laws.txt"
    lines = [f"第{i}条 国家依法保护公民的合法权利，任何组织和个人不得侵犯第{i}条规定。" for i in range(3000)]
    text.write_text("\n".join(lines), encoding="utf-8")
    finished = carried_out(text, tmp_path / "run", parent=str(parent.path), grow=64)
    plan = finished.run.plan()
    assert plan.origin.grown == 64 and plan.shape.vocabulary == 576 and plan.tokenizer.vocabulary == 512 + 64
    loaded = load(finished.run.path)
    sentence = "国家依法保护公民的合法权利"
    assert len(loaded.tokenizer.encode(sentence)) < len(load(parent.path).tokenizer.encode(sentence))
    assert loaded.tokenizer.decode(loaded.tokenizer.encode(sentence)) == sentence


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_a_checkpoint_of_transformers_goes_on_and_is_opened_by_it_again(
    name: str, small_text: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "theirs"
    hubs.publish(folder, name)
    settings = {"batch_tokens": 256, "tokens": 3000, "evaluation_bytes": 2000}
    finished = carried_out(small_text, tmp_path / "run", parent=str(folder), settings=settings)
    assert finished.run.plan().shape.family == "foreign"
    before, after = (peek(place).weights() for place in (folder, finished.run.model_folder))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[key], after[key]) for key in before)
    kind = transformers.AutoModelForCausalLM if name == "gpt2" else transformers.AutoModelForMaskedLM
    theirs = kind.from_pretrained(finished.run.model_folder).eval()
    ours = load(finished.run.path).alone.module
    ids = torch.randint(20, (1, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-4, rtol=1e-4)
    assert tensors_of(ours).keys() >= before.keys() - {"lm_head.weight"}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"parent": "no-such-folder"}, "the checkpoint does not exist"),
        ({"grow": 100}, "needs a pretrained checkpoint"),
        ({"parent": "PARENT", "tokenizer": "bpe"}, "brings its own tokenizer"),
        ({"parent": "PARENT", "settings": {"layers": 3}}, "fixes the model's shape"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    parent: Run, small_text: Path, tmp_path: Path, asked: dict[str, Any], told: str
) -> None:
    asked = {name: str(parent.path) if value == "PARENT" else value for name, value in asked.items()}
    with pytest.raises(UsageError, match=told):
        carried_out(small_text, tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()
