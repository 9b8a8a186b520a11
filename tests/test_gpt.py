"""GPT: the numbers of transformers' Qwen3, in every way that a module is run, and model/ as a folder for both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from daybreak.core.errors import DataError, ResourceError
from daybreak.data.tokenizers import train_tokenizer
from daybreak.data.tokenizers.base import END_OF_TEXT, Tokenizer
from daybreak.models.checkpoints import write
from daybreak.models.checkpoints.read import read_model
from daybreak.models.gpt import Gpt
from daybreak.models.inference.predictors import Network
from daybreak.models.inference.sampling import Sampling

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS: dict[str, dict[str, Any]] = {
    "untied": {"tied": False},
    "tied": {"tied": True, "rope_base": 100000.0},
    "grouped": {"heads": 4, "key_value_heads": 2, "layers": 2},
    "grouped and tied": {"heads": 4, "key_value_heads": 1, "tied": True, "head_dim": 16},
    "wide heads": {"head_dim": 64, "heads": 2, "key_value_heads": 1},
}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def module(request: pytest.FixtureRequest, network) -> Gpt:
    return network(**{"vocabulary": 320, "context_length": 64, "layers": 2, **request.param}).eval()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["the quick brown fox, the lazy dog; 春眠不觉晓 " * 5 + "in the end the fox is quick"], 300)


def saved(module: Gpt, tokenizer: Tokenizer, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    tokenizer.save(folder / "tokenizer.json")
    model = folder / "model"
    write.save(
        model,
        module.shape,
        dict(module.named_parameters()),
        tokenizer_file=folder / "tokenizer.json",
        end_of_text=tokenizer.end_of_text,
        token=END_OF_TEXT,
    )
    return model


def tokens(rows: int, length: int, vocabulary: int = 320) -> torch.Tensor:
    return torch.randint(vocabulary, (rows, length), generator=torch.Generator().manual_seed(7))


# Beside transformers


def test_transformers_opens_the_folder_with_equal_logits_and_equal_text(
    module: Gpt, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    folder = saved(module, tokenizer, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert type(theirs).__name__ == "Qwen3ForCausalLM"
    assert theirs.num_parameters() == module.shape.parameters()
    rows = tokens(2, 64)
    with torch.inference_mode():
        torch.testing.assert_close(module(rows), theirs(rows).logits, atol=1e-4, rtol=1e-4)

    prompt = tokenizer.encode("the quick")
    ours = list(
        Network(module, end_of_text=tokenizer.end_of_text, known_tokens=tokenizer.vocabulary).continuation(
            prompt, Sampling(max_tokens=30, temperature=0)
        )
    )
    # daybreak opens every text by its end-of-text token, and never takes an id that has no bytes.
    generated = theirs.generate(
        torch.tensor([[tokenizer.end_of_text, *prompt]]),
        attention_mask=torch.ones(1, 1 + len(prompt), dtype=torch.long),
        max_new_tokens=30,
        do_sample=False,
        suppress_tokens=list(range(tokenizer.end_of_text + 1, module.shape.vocabulary)),
    )[0, 1 + len(prompt) :].tolist()
    ended = generated[-1] == tokenizer.end_of_text
    assert ours == generated[: len(generated) - ended] and len(ours) > 3


def test_transformers_encodes_with_the_folder_as_we_do(network, tokenizer: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = saved(network(vocabulary=320), tokenizer, tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    for text in ("the quick brown fox", "  doesn't  end\n\n", "春眠不觉晓 12 é", ""):
        # As in training, the end of the text before opens the next one.
        assert theirs(text)["input_ids"] == [tokenizer.end_of_text, *tokenizer.encode(text)]
        assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text)
        assert theirs.decode(tokenizer.encode(text)) == text
    assert theirs.eos_token_id == theirs.pad_token_id == theirs.bos_token_id == tokenizer.end_of_text
    assert theirs.decode([tokenizer.end_of_text], skip_special_tokens=True) == ""


# The folder


def test_a_folder_gives_back_the_shape_and_the_weights(module: Gpt, tokenizer: Tokenizer, tmp_path: Path) -> None:
    read = read_model(saved(module, tokenizer, tmp_path), torch.device("cpu"))
    assert read.shape == module.shape
    ours, theirs = dict(module.named_parameters()), dict(read.named_parameters())
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (read.lm_head.weight is read.model.embed_tokens.weight) == module.shape.tied
    assert not read.training and not any(weight.requires_grad for weight in read.parameters())
    rows = tokens(1, 20)
    assert torch.equal(read(rows), module(rows))


def test_a_folder_is_written_anew_over_an_older_one(network, tokenizer: Tokenizer, tmp_path: Path) -> None:
    saved(network(vocabulary=320, layers=2), tokenizer, tmp_path)
    folder = saved(network(vocabulary=320, seed=5), tokenizer, tmp_path)
    assert read_model(folder, torch.device("cpu")).shape.layers == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "tokenizer.json"]


def test_a_full_disk_leaves_the_older_folder(
    network, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(network(vocabulary=320), tokenizer, tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "save_file", full)
    with pytest.raises(ResourceError, match="No space left"):
        saved(network(vocabulary=320, seed=5), tokenizer, tmp_path)
    read = read_model(folder, torch.device("cpu"))
    assert torch.equal(read.lm_head.weight, network(vocabulary=320).lm_head.weight)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "tokenizer.json"]


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9]),
        lambda folder: (folder / "model.safetensors").write_bytes(b""),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "config.json").write_text('{"model_type": "qw'),
        lambda folder: (folder / "config.json").write_text("{}"),
        lambda folder: (folder / "config.json").write_text("[]"),
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "config.json").write_text('{"model_type": "qwen3"}'),
        lambda folder: change_config(folder, model_type="llama"),
        lambda folder: change_config(folder, num_hidden_layers=2),
        lambda folder: change_config(folder, num_hidden_layers=0),
        lambda folder: change_config(folder, hidden_size=128),
    ],
    ids=["cut", "empty", "gone", "torn", "{}", "[]", "no config", "bare", "llama", "deeper", "no layers", "wider"],
)
def test_a_damaged_folder_is_an_error_of_ours(network, tokenizer: Tokenizer, tmp_path: Path, damage: Any) -> None:
    folder = saved(network(vocabulary=320), tokenizer, tmp_path)
    damage(folder)
    with pytest.raises(DataError):
        read_model(folder, torch.device("cpu"))


# Every way to run it gives the same numbers


@torch.no_grad()
def test_explicit_attention_in_training_gives_what_the_fused_one_gives(module: Gpt) -> None:
    rows = tokens(3, 64)
    fused = module.eval()(rows)
    torch.testing.assert_close(module.train()(rows), fused, atol=1e-5, rtol=1e-5)


def test_explicit_attention_has_the_gradients_of_the_fused_one(network) -> None:
    module = network(heads=4, key_value_heads=2, context_length=32)
    rows = tokens(2, 32, 64)
    gradients = []
    for training in (True, False):
        module.train(training)
        module.zero_grad()
        module(rows).square().mean().backward()
        gradients.append([weight.grad.clone() for weight in module.parameters()])
    for explicit, fused in zip(*gradients, strict=True):
        torch.testing.assert_close(explicit, fused, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("parts", [(1,) * 12, (12,), (5, 7), (5, 1, 3, 1, 2), (11, 1)])
def test_decoding_with_cached_keys_gives_the_logits_of_the_whole(module: Gpt, parts: tuple[int, ...]) -> None:
    rows = tokens(2, 12)
    whole = module(rows)
    caches = module.new_caches(2, 12)
    logits = torch.cat([module(part, caches) for part in rows.split(parts, 1)], 1)
    torch.testing.assert_close(logits, whole, atol=1e-5, rtol=1e-5)
    assert all(cache.length == 12 for cache in caches)


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
def test_a_later_token_changes_no_earlier_logits(module: Gpt, training: bool) -> None:
    module.train(training)
    rows = tokens(1, 32)
    changed = rows.clone()
    changed[0, 20] = (changed[0, 20] + 1) % 320
    before, after = module(rows), module(changed)
    assert torch.equal(before[:, :20], after[:, :20])
    assert (before[:, 20:] != after[:, 20:]).any(-1).all()


@torch.no_grad()
def test_rows_do_not_see_each_other(module: Gpt) -> None:
    rows = tokens(3, 16)
    torch.testing.assert_close(module(rows)[1:2], module(rows[1:2]), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_in_bfloat16_it_gives_about_the_same(network) -> None:
    module = network(layers=2).eval()
    rows = tokens(1, 16, 64)
    full = module(rows)
    module.compute_dtype = torch.bfloat16
    narrow = module(rows)
    assert narrow.dtype == torch.float32
    assert (narrow - full).norm() / full.norm() < 0.05
    module.compute_dtype = torch.float32
    assert torch.equal(module(rows), full)


def test_a_seed_gives_its_weights_and_layers_that_begin_as_the_identity(shape) -> None:
    one, same, other = Gpt(shape()), Gpt(shape()), Gpt(shape())
    one.initialize(3)
    same.initialize(3)
    other.initialize(4)
    for (name, weight), again in zip(one.named_parameters(), same.parameters(), strict=True):
        assert torch.equal(weight, again), name
    assert not torch.equal(one.lm_head.weight, other.lm_head.weight)
    x = torch.randn(1, 4, 64)
    cos, sin = one._rotation(0, 4, x.device)
    assert all(torch.equal(layer(x, cos, sin), x) for layer in one.blocks())


@pytest.mark.parametrize("tied", [False, True])
def test_matrices_and_the_rest_are_all_weights_once(network, tied: bool) -> None:
    module = network(tied=tied, layers=2)
    split = [*module.matrices(), *module.embeddings_and_norms()]
    assert len({id(weight) for weight in split}) == len(split) == len(list(module.parameters()))
    assert all(weight.ndim == 2 for weight in module.matrices()) and len(module.matrices()) == 2 * 7
