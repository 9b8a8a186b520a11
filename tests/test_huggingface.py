"""Checkpoints of others: the numbers and the texts of transformers, in every way that they are run here, in and out."""

from __future__ import annotations

import contextlib
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import hubs
import pytest
import torch
import torch._dynamo
from torch._dynamo.testing import CompileCounter
from torch.utils.checkpoint import checkpoint

from daybreak.core.errors import DataError, MissingPackage, UsageError
from daybreak.core.shapes import ForeignShape
from daybreak.core.types import Plan
from daybreak.data.batches import Batch
from daybreak.data.tokenizers import load_tokenizer
from daybreak.data.tokenizers.growth import grown
from daybreak.models import families, huggingface
from daybreak.models.checkpoints import kept_files, source, vocabulary_growth
from daybreak.models.checkpoints.read import read_foreign
from daybreak.models.gpt import tensors_of
from daybreak.models.inference.predictors import Network
from daybreak.models.inference.sampling import Sampling
from daybreak.models.ladder import padded
from daybreak.models.objectives import token_nats
from daybreak.tasks.next_token import NextToken

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")
OWN = ("qwen3", "qwen3, tied", "modernbert", "t5", "t5 v1.1")  # computed by modules of our own
FOREIGN = [name for name in hubs.CHECKPOINTS if name not in OWN]
EXACTLY = {"atol": 1e-4, "rtol": 1e-4}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """Of every class: the folder, and the model that was saved there."""
    made = {}
    for index, name in enumerate(hubs.CHECKPOINTS):
        folder = tmp_path_factory.mktemp("hub") / str(index)
        made[name] = folder, hubs.publish(folder, name)
    return made


def started(shape: Any, weights: dict[str, torch.Tensor]) -> Any:
    if isinstance(shape, ForeignShape):
        return huggingface.foreign(shape, weights)
    module = families.of(shape).module(shape)
    named = dict(module.named_parameters())
    assert named.keys() == weights.keys()
    with torch.no_grad():
        for name, weight in weights.items():
            named[name].copy_(weight)
    return module


def tokens(rows: int, length: int, seed: int = 7) -> torch.Tensor:
    return torch.randint(hubs.ROWS, (rows, length), generator=torch.Generator().manual_seed(seed))


def written(folder: Path, shape: ForeignShape, weights: dict[str, Any], kept: Path) -> Path:
    folder.mkdir()
    kept_files.fill(folder, shape, weights, kept=kept)
    return folder


@pytest.mark.parametrize("name", hubs.CHECKPOINTS)
@torch.no_grad()
def test_logits_are_those_of_the_class(name: str, published: Any) -> None:
    folder, theirs = published[name]
    parent = source.peek(folder)
    module = started(parent.shape, parent.weights())
    assert isinstance(parent.shape, ForeignShape) == (name in FOREIGN)
    assert parent.shape.parameters() == theirs.num_parameters() == sum(w.numel() for w in module.parameters())
    rows = (tokens(2, hubs.CONTEXT), tokens(2, 20, seed=8))[: 1 + name.startswith("t5")]
    told = theirs(rows[0], **({"decoder_input_ids": rows[1]} if len(rows) > 1 else {})).logits
    for ours in (module.train()(*rows), module.eval()(*rows)):  # no dropout of the class' own
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, told, **EXACTLY)


@pytest.mark.parametrize("name", FOREIGN)
@torch.no_grad()
def test_what_is_saved_is_opened_by_transformers_and_by_us_with_equal_logits(
    name: str, published: Any, tmp_path: Path
) -> None:
    folder, theirs = published[name]
    parent = source.peek(folder)
    module = huggingface.foreign(parent.shape, parent.weights())
    for weight in module.parameters():
        weight.mul_(1.01)
    out = written(tmp_path / "model", parent.shape, tensors_of(module), folder)
    with contextlib.redirect_stderr(io.StringIO()):
        opened = type(theirs).from_pretrained(out).eval()
        again = read_foreign(out, torch.device("cpu"))
    rows = tokens(2, 20)
    torch.testing.assert_close(opened(rows).logits, module.eval()(rows), **EXACTLY)
    torch.testing.assert_close(again(rows), module(rows), **EXACTLY)
    assert not torch.allclose(theirs(rows).logits, module(rows), **EXACTLY)
    assert (out / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    assert not any(weight.requires_grad for weight in again.parameters())
    auto = transformers.AutoTokenizer.from_pretrained(out)
    tokenizer = load_tokenizer(out / "tokenizer.json")
    assert auto(hubs.ENGLISH, add_special_tokens=False)["input_ids"] == tokenizer.encode(hubs.ENGLISH)


@pytest.mark.parametrize("name", hubs.DECODERS)
def test_greedy_text_is_that_of_generate(name: str, published: Any) -> None:
    folder, theirs = published[name]
    parent = source.peek(folder)
    module = started(parent.shape, parent.weights())
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    prompt = tokenizer.encode("the quick fox")
    end = hubs.ROWS - 1  # an id above those of the text, so that a `Network` bans none of them
    sampling = Sampling(max_tokens=40, temperature=0)
    ours = list(Network(module, end_of_text=end, known_tokens=end + 1).continuation(prompt, sampling))
    asked = torch.tensor([[end, *prompt]])
    with contextlib.redirect_stderr(io.StringIO()):
        told = theirs.generate(
            asked,
            attention_mask=torch.ones_like(asked),
            max_new_tokens=40,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
        )
    generated = told[0, asked.shape[1] :].tolist()
    assert ours == generated[: len(generated) - (generated[-1] == end)] and len(ours) > 3


@pytest.mark.parametrize("name", [name for name in FOREIGN if name != "bert"])
@torch.inference_mode()
def test_decoding_with_cached_keys_gives_the_logits_of_the_whole(name: str, published: Any) -> None:
    parent = source.peek(published[name][0])
    module = huggingface.foreign(parent.shape, parent.weights()).eval()
    rows = tokens(2, 12)
    caches = module.new_caches(2, 12)
    logits = torch.cat([module(part, caches) for part in rows.split((5, 1, 4, 2), 1)], 1)
    torch.testing.assert_close(logits, module(rows), atol=1e-5, rtol=1e-5)
    assert caches[0].length == 12


# The public part


@pytest.mark.parametrize("name", FOREIGN)
def test_weights_are_divided_once_and_all_learn(name: str, published: Any) -> None:
    parent = source.peek(published[name][0])
    module = huggingface.foreign(parent.shape, parent.weights())
    split = [*module.matrices(), *module.embeddings_and_norms()]
    assert (
        len({id(weight) for weight in split}) == len(split) == len(list(module.parameters())) == len(parent.weights())
    )
    assert all(weight.ndim == 2 for weight in module.matrices()) and len(module.blocks()) == 2
    matmul = sum(weight.numel() for weight in module.matrices()) + module.lm_head.weight.numel()
    head = 64 * 64 if name == "bert" else 0  # the one layer before BERT's table is no part of a block
    assert parent.shape.matmul_parameters() == matmul + head
    assert parent.shape.flops_per_token() > 6 * matmul
    assert set(tensors_of(module)) == set(parent.weights())
    assert {id(t) for t in module.parameters()} == {id(t) for t in module.inside.parameters()}
    module(tokens(2, 16)).square().mean().backward()
    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in module.matrices())


@pytest.mark.parametrize("name", [name for name in FOREIGN if name != "bert"])
def test_the_objective_is_that_of_our_own_modules(name: str, published: Any) -> None:
    """A cap on the logits counts in the loss, in training as in scoring."""
    parent = source.peek(published[name][0])
    module = huggingface.foreign(parent.shape, parent.weights())
    assert (parent.shape.logit_cap > 0) == (name == "nanochat")
    rows = tokens(2, 33)
    summed = NextToken()(module, Batch(rows))
    torch.testing.assert_close(summed, token_nats(module.eval(), rows[:, :-1], rows[:, 1:]).sum(), atol=1e-2, rtol=1e-5)


def test_an_encoder_has_the_public_part_of_bert(published: Any) -> None:
    folder, theirs = published["bert"]
    parent = source.peek(folder)
    module = huggingface.foreign(parent.shape, parent.weights()).eval()
    rows, where = tokens(2, 20), torch.tensor([[1, 5, 19], [0, 2, 3]])
    mask = torch.ones(2, 20, dtype=torch.long)
    mask[1, 12:] = 0
    with torch.no_grad():
        whole = module(rows)
        asked = module.predicting(module.hidden(rows, where))
        logits = torch.nn.functional.linear(asked, module.lm_head.weight, module.lm_head.bias)
        torch.testing.assert_close(logits, whole.gather(1, where[..., None].expand(-1, -1, hubs.ROWS)), **EXACTLY)
        torch.testing.assert_close(module(rows, where_BP=where), logits, **EXACTLY)
        torch.testing.assert_close(
            module(rows, mask)[1, :12], theirs(rows, attention_mask=mask).logits[1, :12], **EXACTLY
        )
    assert parent.specials is not None and (parent.specials.pad, parent.specials.mask) == (0, 4)


@pytest.mark.parametrize("name", ["llama", "gpt2", "nanochat", "bert"])
@torch.no_grad()
def test_in_bfloat16_it_gives_about_the_same(name: str, published: Any) -> None:
    parent = source.peek(published[name][0])
    module = huggingface.foreign(parent.shape, parent.weights())
    rows = tokens(1, 16)
    full = module(rows)
    module.compute_dtype = torch.bfloat16
    assert module.hidden(rows).dtype == torch.bfloat16 and next(module.parameters()).dtype == torch.float32
    narrow = module(rows)
    assert narrow.dtype == torch.float32 and 0 < (narrow - full).norm() / full.norm() < 0.03
    module.compute_dtype = torch.float32
    assert torch.equal(module(rows), full)


@pytest.mark.parametrize("name", ["qwen2", "gpt2", "nanochat", "bert"])
def test_layers_can_be_called_around(name: str, published: Any) -> None:
    """As the technique that computes activations again does."""
    parent = source.peek(published[name][0])
    module = huggingface.foreign(parent.shape, parent.weights())
    called: list[int] = []

    def around(layer: Any, *inputs: Any) -> Any:
        called.append(len(inputs))
        return checkpoint(layer, *inputs, use_reentrant=False, preserve_rng_state=False)

    gradients = []
    for call in (None, around):
        module.layer_wrapper = call
        module.zero_grad()
        module(tokens(2, 16)).square().mean().backward()
        gradients.append([weight.grad.clone() for weight in module.parameters()])
    assert len(called) == 2 and all(torch.equal(*pair) for pair in zip(*gradients, strict=True))
    with torch.no_grad():
        module.eval()(tokens(1, 4))
    assert len(called) == 2


def test_compiled_layers_serve_training_only(published: Any) -> None:
    parent = source.peek(published["llama"][0])
    module = huggingface.foreign(parent.shape, parent.weights())
    counted = CompileCounter()
    for block in module.blocks():
        block.compile(backend=counted, dynamic=False)
    whole = module.train()(tokens(2, 16))
    assert counted.frame_count == 1  # one graph serves all layers
    with torch.inference_mode():
        caches = module.eval().new_caches(2, 16)
        parts = torch.cat([module(part, caches) for part in tokens(2, 16).split((3, 1, 12), 1)], 1)
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-5)
    module.train()(tokens(2, 16))
    assert counted.frame_count == 1
    torch._dynamo.reset()


def test_a_shape_alone_gives_what_the_class_begins_with(published: Any) -> None:
    shape = source.peek(published["llama"][0]).shape
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, same, other = (huggingface.foreign(shape, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.lm_head.weight, same.lm_head.weight)
    assert not torch.equal(one.lm_head.weight, other.lm_head.weight)


def test_a_plan_holds_the_shape_and_gives_it_back(published: Any, plan: Any) -> None:
    shape = source.peek(published["nanochat"][0]).shape
    kept = plan(shape=shape)
    again = Plan.from_json(json.loads(json.dumps(kept.to_json())))
    assert again == kept and again.identity() == kept.identity() and again.shape.key() == shape.key()
    wider = shape.replace(config={**shape.config, "rms_norm_eps": 1e-3})
    assert wider.key() != shape.key() and plan(shape=wider).identity() != kept.identity()


# Growing


@pytest.mark.parametrize("name", ["qwen2", "llama", "gpt2", "nanochat", "bert", "qwen3", "modernbert", "t5 v1.1"])
@torch.no_grad()
def test_a_grown_checkpoint_is_opened_by_transformers_with_its_grown_tokenizer(
    name: str, published: Any, tmp_path: Path
) -> None:
    folder, theirs = published[name]
    parent = source.peek(folder)
    data = json.loads(parent.tokenizer_file.read_text())
    new = grown(data, [hubs.CHINESE], 120, first=parent.tokens)
    weights = vocabulary_growth.grow(parent.weights(), new.pieces, first=new.first)
    shape = vocabulary_growth.grown_shape(parent.shape, parent.layout.tensors, tokens=new.first + len(new.pieces))
    assert shape.vocabulary == max(hubs.ROWS, padded(new.first + len(new.pieces))) and shape.parameters() == sum(
        weight.numel() for weight in weights.values()
    )
    rows = torch.randint(new.first, (2, 20))
    if not isinstance(shape, ForeignShape):
        if name.startswith("t5"):
            assert vocabulary_growth.tables_of(weights) == ["shared.weight", "lm_head.weight"]
            return
        module = started(shape, weights)
        torch.testing.assert_close(
            module.eval()(rows)[..., : new.first], theirs(rows).logits[..., : new.first], **EXACTLY
        )
        return
    kept_files.keep(folder, tmp_path / "kept", tokenizer=new.data)
    out = written(tmp_path / "model", shape, weights, tmp_path / "kept")
    with contextlib.redirect_stderr(io.StringIO()):
        opened = type(theirs).from_pretrained(out).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    torch.testing.assert_close(opened(rows).logits[..., : new.first], theirs(rows).logits[..., : new.first], **EXACTLY)
    ours = load_tokenizer(out / "tokenizer.json")
    told = tokenizer(hubs.CHINESE, add_special_tokens=False)["input_ids"]
    assert told == ours.encode(hubs.CHINESE) and max(told) >= new.first
    again = source.peek(out)
    assert again.shape.parameters() == shape.parameters() and again.shape.vocabulary == shape.vocabulary


# What goes wrong


def test_without_transformers_the_command_that_brings_it_is_named(
    published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = source.peek(published["llama"][0])
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingPackage, match=r"pip install '\.\[hf\]'"):
        huggingface.foreign(parent.shape, parent.weights())


def test_a_config_that_the_class_does_not_take_is_an_error_in_words(published: Any) -> None:
    parent = source.peek(published["llama"][0])
    shape = parent.shape.replace(config={**parent.shape.config, "hidden_act": "evil"})
    with pytest.raises(DataError, match="cannot build"):
        huggingface.foreign(shape, parent.weights())
    with pytest.raises(MissingPackage, match="does not have the class"):
        huggingface.foreign(parent.shape.replace(architecture="NoSuchModel"), parent.weights())
    positions = source.peek(published["gpt2"][0]).shape
    with pytest.raises(UsageError, match="longer than the checkpoint"):
        huggingface.foreign(positions.replace(context_length=hubs.CONTEXT + 1))
    lacking = partial(huggingface.foreign, parent.shape)
    with pytest.raises(DataError, match="unchanged"):
        lacking({name: weight for name, weight in parent.weights().items() if "layers.1.mlp" not in name})
