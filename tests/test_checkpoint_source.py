"""Folders of checkpoints: what each may look like, and what a wrong one is refused with, before anything is run."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hubs
import pytest
import torch
from reading import reads_of
from safetensors.torch import load_file, save_file
from test_untrusted_files import DEEP, HOSTILE, REFUSED, Canary, pickled, zipped

from daybreak.core.errors import DataError, DaybreakError, UsageError
from daybreak.core.request import Request
from daybreak.core.run import Run
from daybreak.core.shapes import ForeignShape, GptShape
from daybreak.data.tokenizers import byte_tokenizer
from daybreak.data.tokenizers.base import END_OF_TEXT
from daybreak.models import huggingface
from daybreak.models.checkpoints import source, write
from daybreak.models.layouts import nanogpt
from daybreak.planning import starting_checkpoint

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of every class, a folder as it is published."""
    folder = tmp_path_factory.mktemp("hub")
    for name in ("llama", "gpt2", "bert", "qwen3", "nanochat"):
        hubs.publish(folder / name, name)
    hubs.publish(folder / "shards", "qwen2", shard="60KB")
    return folder


@pytest.fixture
def copied(hub: Path, tmp_path: Path) -> Callable[[str], Path]:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(hub / name, tmp_path / name))

    return copy


@pytest.fixture
def canary(tmp_path: Path):
    path = tmp_path / "canary"
    yield Canary(path)
    assert not path.exists(), "a file from a stranger was run"


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def rewritten(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = weights_of(folder)
    change(weights)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "model.safetensors")


def refused(folder: Path, told: str, error: type[DaybreakError] = DataError) -> DaybreakError:
    before = sorted(folder.rglob("*")) if folder.is_dir() else []
    with pytest.raises(error, match=told) as caught:
        source.peek(folder).weights()
    assert before == (sorted(folder.rglob("*")) if folder.is_dir() else [])
    assert caught.value.received and caught.value.attempt and type(caught.value) is error
    return caught.value


# What is read


def test_reading_needs_no_transformers(hub: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom daybreak.models.checkpoints import source\n"
        f"for name in ('llama', 'gpt2', 'bert', 'qwen3', 'shards', 'nanochat'):\n"
        f"    source.peek(Path({str(hub)!r}, name)).weights()\n"
        "print(*[name for name in ('transformers', 'torch._dynamo') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == []


def test_shards_are_read_as_one(hub: Path) -> None:
    assert len(list((hub / "shards").glob("*.safetensors"))) > 2
    parent = source.peek(hub / "shards")
    theirs = hubs.model("qwen2").state_dict()
    assert all(torch.equal(weight, theirs[name]) for name, weight in parent.weights().items())
    assert parent.shape.parameters() == sum(weight.numel() for weight in parent.weights().values())


def test_a_parent_is_known_from_another(hub: Path, copied: Any) -> None:
    folder = copied("llama")
    first = source.peek(folder)
    assert first.digest == source.peek(hub / "llama").digest and first.folder == folder
    rewritten(folder, lambda weights: weights["model.norm.weight"].mul_(2))
    assert source.peek(folder).digest != first.digest


def test_the_header_is_read_once_and_the_weights_when_they_are_needed(hub: Path, plan: Any, tmp_path: Path) -> None:
    folder, run = hub / "llama", Run(tmp_path / "run")
    with reads_of(folder / "model.safetensors") as reads:
        request, checkpoint = starting_checkpoint.adopted(Request(sources=("a.txt",), seconds=60.0, parent=str(folder)))
        assert request.family == "foreign" and checkpoint is not None and reads == ["header"]
        origin, _ = starting_checkpoint.origin_of(request, run, [], checkpoint=checkpoint)
        assert origin.digest == checkpoint.digest and reads == ["header", "bytes"]
        planned = plan(shape=origin.shape, origin=origin)
        weights = starting_checkpoint.weights_of(planned, run, checkpoint=checkpoint)
        assert reads == ["header", "bytes", "tensors"]
        again = starting_checkpoint.weights_of(planned, run)  # in a process that has not read the header
        assert reads[3:] == ["header", "bytes", "tensors"]
    assert all(torch.equal(weight, again[name]) for name, weight in weights.items())


def test_a_header_of_files_that_have_changed_is_read_again(copied: Any, plan: Any, tmp_path: Path) -> None:
    folder, run = copied("llama"), Run(tmp_path / "run")
    checkpoint = source.peek(folder)
    origin, _ = starting_checkpoint.origin_of(
        Request(sources=(), seconds=60.0, parent=str(folder)), run, [], checkpoint=checkpoint
    )
    rewritten(folder, lambda weights: weights["model.norm.weight"].mul_(2))
    assert not checkpoint.unchanged()
    with pytest.raises(DataError, match="changed since the plan"):
        starting_checkpoint.weights_of(plan(shape=origin.shape, origin=origin), run, checkpoint=checkpoint)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(copied: Any, dtype: torch.dtype) -> None:
    folder = copied("llama")
    before = source.peek(folder).weights()

    def narrow(weights: dict[str, torch.Tensor]) -> None:
        for name in weights:
            weights[name] = weights[name].to(dtype)

    rewritten(folder, narrow)
    after = source.peek(folder).weights()
    assert all(weight.dtype == torch.float32 for weight in after.values())
    assert all(torch.equal(weight, before[name].to(dtype).float()) for name, weight in after.items())


def test_names_that_older_versions_wrote_are_known(copied: Any) -> None:
    """GPT-2's first release has no "transformer." and its masks; BERT's has gamma, beta and heads that are not used."""
    gpt2, bert = copied("gpt2"), copied("bert")
    expected = {folder: source.peek(folder).weights() for folder in (gpt2, bert)}

    def older_gpt2(weights: dict[str, torch.Tensor]) -> None:
        for name in list(weights):
            weights[name.removeprefix("transformer.")] = weights.pop(name)
        weights["h.0.attn.bias"] = torch.ones(1, 1, hubs.CONTEXT, hubs.CONTEXT).tril()
        weights["h.0.attn.masked_bias"] = torch.tensor(-1e4)
        weights["lm_head.weight"] = weights["wte.weight"].clone()

    def older_bert(weights: dict[str, torch.Tensor]) -> None:
        for name in list(weights):
            if "LayerNorm" in name:
                old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
                weights[old] = weights.pop(name)
        weights["bert.pooler.dense.weight"] = torch.ones(64, 64)
        weights["bert.embeddings.position_ids"] = torch.arange(hubs.CONTEXT)[None]
        weights["cls.seq_relationship.bias"] = torch.ones(2)
        weights["cls.predictions.decoder.weight"] = weights["bert.embeddings.word_embeddings.weight"].clone()
        weights["cls.predictions.decoder.bias"] = weights["cls.predictions.bias"].clone()

    rewritten(gpt2, older_gpt2)
    rewritten(bert, older_bert)
    hubs.change(bert / "config.json", architectures=["BertForPreTraining"])
    for folder, weights in expected.items():
        read = source.peek(folder).weights()
        assert read.keys() == weights.keys() and all(torch.equal(read[name], weights[name]) for name in read)
    rewritten(gpt2, lambda weights: weights["lm_head.weight"].add_(1.0))
    refused(gpt2, "config.json ties two weights that differ")


# What files of transformers 2 to 4.30 hold beside the weights, by class: buffers, in the types that they had.
CAUSAL = torch.ones(1, 1, hubs.CONTEXT, hubs.CONTEXT).tril()
PLACES = torch.arange(hubs.CONTEXT)[None]
FREQUENCIES = torch.rand(16)
BUFFERS: dict[str, tuple[str, dict[str, torch.Tensor]]] = {
    "gpt2, bool": ("gpt2", {f"transformer.h.{i}.attn.bias": CAUSAL.bool() for i in range(2)}),
    "gpt2, uint8": (
        "gpt2",
        {f"transformer.h.{i}.attn.bias": CAUSAL.to(torch.uint8) for i in range(2)}
        | {f"transformer.h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(2)},
    ),
    "gpt2, base model": ("gpt2", {"h.0.attn.bias": CAUSAL.to(torch.uint8), "h.0.attn.masked_bias": torch.tensor(-1e4)}),
    "bert": ("bert", {"bert.embeddings.position_ids": PLACES, "bert.embeddings.token_type_ids": 0 * PLACES}),
    "bert, base model": ("bert", {"embeddings.position_ids": PLACES, "pooler.dense.bias": torch.ones(64)}),
    "llama": ("llama", {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": FREQUENCIES for i in range(2)}),
    "llama, base model": (
        "llama",
        {"rotary_emb.inv_freq": FREQUENCIES, "layers.0.self_attn.rotary_emb.inv_freq": PLACES},
    ),
    "qwen3": ("qwen3", {"model.rotary_emb.inv_freq": FREQUENCIES, "model.rotary_emb.original_inv_freq": FREQUENCIES}),
}


@pytest.mark.parametrize("what", BUFFERS)
def test_buffers_beside_the_weights_are_not_read(copied: Any, what: str) -> None:
    name, buffers = BUFFERS[what]
    folder = copied(name)
    expected = source.peek(folder).weights()
    rewritten(folder, lambda weights: weights.update({each: held.clone() for each, held in buffers.items()}))
    read = source.peek(folder).weights()
    assert read.keys() == expected.keys() and all(torch.equal(read[each], expected[each]) for each in read)
    narrow = next(each for each in weights_of(folder) if each not in buffers)  # a weight of such a type is refused
    rewritten(folder, lambda weights: weights.update({narrow: weights[narrow].to(torch.uint8)}))
    refused(folder, "cannot be trained")


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_with_a_wrapper_before_them_are_known(copied: Any, wrapper: str) -> None:
    folder = copied("bert")
    expected = source.peek(folder).weights()

    def wrapped(weights: dict[str, torch.Tensor]) -> None:
        for name in list(weights):
            weights[wrapper + name] = weights.pop(name)

    rewritten(folder, wrapped)
    read = source.peek(folder).weights()
    assert read.keys() == expected.keys() and all(torch.equal(read[name], expected[name]) for name in read)


def test_configs_of_older_versions_are_known(copied: Any) -> None:
    folder = copied("qwen3")
    new = source.peek(folder).shape
    assert isinstance(new, GptShape)
    hubs.change(folder / "config.json", rope_parameters=None, rope_theta=10000.0, layer_types=None, dtype=None)
    assert source.peek(folder).shape == new
    hubs.change(folder / "config.json", rope_scaling={"type": "yarn", "factor": 4.0})
    assert isinstance(source.peek(folder).shape, ForeignShape)  # which transformers computes, and we do not


def test_a_run_gives_its_model(network, tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    ours = byte_tokenizer()
    ours.save(tokenizer)
    for index, changes in enumerate(({"tied": True}, {"positions": "alibi", "layers": 2, "layer_repeats": 2})):
        module = network(vocabulary=320, **changes)
        run = tmp_path / f"run-{index}"
        write.save(
            run / "model",
            module.shape,
            dict(module.named_parameters()),
            tokenizer_file=tokenizer,
            end_of_text=256,
            token=END_OF_TEXT,
        )
        parent = source.peek(run)
        assert parent.shape == module.shape and parent.tokens == 257 and parent.folder == run / "model"
        assert all(
            torch.equal(weight, dict(module.named_parameters())[name]) for name, weight in parent.weights().items()
        )
        rewritten(run / "model", lambda weights: weights.pop("model.norm.weight"))
        refused(run, "model.norm.weight is missing")


# nanoGPT


def of_nanogpt(folder: Path, *, bias: bool, masks: bool = False) -> Any:
    """As nanoGPT's `model` and `model_args`, from a GPT-2 of transformers; and that."""
    theirs = hubs.model("gpt2", activation_function="gelu")
    weights = {}
    for name, tensor in theirs.state_dict().items():
        if name.endswith(".bias") and not bias:
            theirs.state_dict()[name].zero_()
        elif name != "lm_head.weight":
            weights[f"_orig_mod.{name}"] = (tensor.t() if nanogpt.is_turned(name) else tensor).clone().contiguous()
    if masks:
        weights["_orig_mod.transformer.h.0.attn.bias"] = torch.ones(1, 1, 64, 64).tril()
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    arguments = {"n_layer": 2, "n_head": 4, "n_embd": 64, "block_size": 64, "bias": bias, "dropout": 0.0}
    (folder / "config.json").write_text(json.dumps({**arguments, "vocab_size": hubs.ROWS}))
    hubs.byte_level().save(str(folder / "tokenizer.json"))
    return theirs


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_nanogpt_is_read_as_gpt2(tmp_path: Path, bias: bool) -> None:
    theirs = of_nanogpt(tmp_path / "nano", bias=bias, masks=not bias)
    parent = source.peek(tmp_path / "nano")
    assert isinstance(parent.shape, ForeignShape) and parent.shape.architecture == "GPT2LMHeadModel"
    module = huggingface.foreign(parent.shape, parent.weights()).eval()
    rows = torch.randint(hubs.ROWS, (2, 40))
    torch.testing.assert_close(module(rows), theirs(rows).logits, atol=1e-4, rtol=1e-4)
    rewritten(tmp_path / "nano", lambda weights: weights.pop("_orig_mod.transformer.ln_f.weight"))
    refused(tmp_path / "nano", "ln_f.weight is missing")


def test_a_bias_that_should_be_there_is_not_made_up(tmp_path: Path) -> None:
    of_nanogpt(tmp_path / "nano", bias=True)
    rewritten(tmp_path / "nano", lambda weights: weights.pop("_orig_mod.transformer.h.1.mlp.c_fc.bias"))
    refused(tmp_path / "nano", "c_fc.bias is missing")


def test_the_command_for_a_pickle_of_nanogpt_does_what_it_says(tmp_path: Path) -> None:
    of_nanogpt(tmp_path / "made", bias=True)
    folder = tmp_path / "out"
    folder.mkdir()
    arguments = json.loads((tmp_path / "made" / "config.json").read_text())
    torch.save({"model": weights_of(tmp_path / "made"), "model_args": arguments}, folder / "ckpt.pt")
    error = refused(folder, "never opened")
    command = error.attempt.split(": ", 1)[1]
    assert command.startswith("python -c ")
    subprocess.run(command.replace("python", sys.executable, 1), shell=True, check=True, timeout=120)
    shutil.copy(tmp_path / "made" / "tokenizer.json", folder)
    ours, theirs = (source.peek(place).weights() for place in (folder, tmp_path / "made"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


# What is refused


@pytest.mark.promise(REFUSED, 1)
@pytest.mark.parametrize("what", HOSTILE, ids=str)
def test_weights_that_are_none_are_refused(copied: Any, what: str) -> None:
    folder = copied("llama")
    (folder / "model.safetensors").write_bytes(HOSTILE[what])
    refused(folder, "weights")


def test_a_file_that_was_cut_off_is_refused(copied: Any) -> None:
    folder = copied("llama")
    whole = (folder / "model.safetensors").read_bytes()
    for size in (7, 100, len(whole) // 2, len(whole) - 1):
        (folder / "model.safetensors").write_bytes(whole[:size])
        refused(folder, "cannot be read")


def test_shards_that_are_missing_are_named(copied: Any) -> None:
    folder = copied("shards")
    gone = sorted(folder.glob("*.safetensors"))[1:3]
    for path in gone:
        path.unlink()
    error = refused(folder, "files of the weights are missing")
    assert all(path.name in error.received for path in gone)


@pytest.mark.promise(REFUSED, 1)
@pytest.mark.parametrize(
    "index",
    [
        "{",
        "[]",
        "{}",
        DEEP,
        '{"weight_map": {}}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": {"a": "../elsewhere.safetensors"}}',
        '{"weight_map": {"a": "/etc/passwd"}}',
        '{"weight_map": {"a": "FILE"}}',
    ],
    ids=lambda text: text[:60],
)
def test_an_index_that_does_not_hold_together_is_refused(copied: Any, index: str) -> None:
    folder = copied("shards")
    name = sorted(folder.glob("*.safetensors"))[0].name
    (folder / "model.safetensors.index.json").write_text(index.replace("FILE", name))
    with pytest.raises(DataError):
        source.peek(folder)


@pytest.mark.promise(REFUSED, 2)
@pytest.mark.parametrize("packed", [pickled, zipped])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_a_pickle_is_refused_with_the_command_that_converts_it(
    copied: Any, canary: Canary, packed: Any, name: str
) -> None:
    folder = copied("llama")
    packed(folder / name, canary)
    source.peek(folder)  # what lies beside the weights is not looked at
    (folder / "model.safetensors").unlink()
    error = refused(folder, "never opened")
    assert name in error.received and "save_pretrained" in error.attempt
    (folder / "config.json").unlink()
    refused(folder, "never opened")


@pytest.mark.promise(REFUSED, 2)
@pytest.mark.parametrize("named", [{"auto_map": {"AutoModel": "modeling_evil.Evil"}}, {"trust_remote_code": True}])
def test_code_of_its_own_is_never_run(copied: Any, canary: Canary, named: dict[str, Any]) -> None:
    folder = copied("llama")
    (folder / "modeling_evil.py").write_text(f"import os\nos.mkdir({str(canary.path)!r})\n")
    hubs.change(folder / "config.json", **named)
    refused(folder, "never run")
    hubs.change(folder / "config.json", model_type="evil", architectures=["Evil"])
    refused(folder, "never run")


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "mamba", "architectures": ["MambaForCausalLM"]},
        {"architectures": ["LlamaForSequenceClassification"]},
        {"model_type": ["llama"]},
        {"model_type": None},
        {"model_type": "qwen2"},
        {"architectures": "LlamaForCausalLM"},
    ],
    ids=str,
)
def test_a_class_that_is_not_supported_is_told_which_are(copied: Any, changes: dict[str, Any]) -> None:
    folder = copied("llama")
    hubs.change(folder / "config.json", **changes)
    error = refused(folder, "not supported")
    for name in ("Qwen2", "Qwen3", "Llama", "GPT2", "NanoChat", "Bert", "ModernBert", "T5"):
        assert name in error.attempt


@pytest.mark.promise(REFUSED, 1)
@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 3},
        {"num_hidden_layers": 1},
        {"num_hidden_layers": 10**9},
        {"vocab_size": 10**15},
        {"vocab_size": hubs.ROWS + 64},
        {"vocab_size": True},
        {"hidden_size": -1},
        {"hidden_size": 32.0},
        {"num_attention_heads": 0},
        {"num_attention_heads": 10**6, "head_dim": None},
        {"num_key_value_heads": 4},
        {"intermediate_size": None},
        {"tie_word_embeddings": True},
        {"mlp_bias": True},
        {"final_logit_softcapping": "x"},
    ],
    ids=str,
)
def test_sizes_that_the_weights_do_not_have_are_refused(copied: Any, changes: dict[str, Any]) -> None:
    folder = copied("llama")
    hubs.change(folder / "config.json", **changes)
    with pytest.raises(DataError):
        source.peek(folder).weights()


def test_tensors_of_other_sizes_are_named(copied: Any) -> None:
    folder = copied("llama")
    hubs.change(folder / "config.json", vocab_size=hubs.ROWS + 64)
    assert f"lm_head.weight is [{hubs.ROWS}, 64], not [{hubs.ROWS + 64}, 64]" in refused(folder, "not match").received
    hubs.change(folder / "config.json", vocab_size=hubs.ROWS)
    rewritten(folder, lambda weights: weights.update(extra=torch.ones(1)))
    assert "extra does not belong to the class" in refused(folder, "not match").received


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(copied: Any, value: float) -> None:
    folder = copied("gpt2")
    rewritten(folder, lambda weights: weights["transformer.h.1.mlp.c_fc.weight"].view(-1)[7:9].fill_(value))
    assert "transformer.h.1.mlp.c_fc.weight" in refused(folder, "contain NaN").received


def test_quantized_weights_are_refused(copied: Any) -> None:
    folder = copied("llama")
    rewritten(folder, lambda weights: weights.update({"lm_head.weight": weights["lm_head.weight"].to(torch.int8)}))
    refused(folder, "cannot be trained")
    hubs.change(folder / "config.json", quantization_config={"quant_method": "gptq"})
    refused(folder, "quantized")


def test_variants_that_are_no_plain_models_are_refused(copied: Any) -> None:
    folder = copied("bert")
    hubs.change(folder / "config.json", position_embedding_type="relative_key")
    refused(folder, "variant")
    hubs.change(folder / "config.json", position_embedding_type="absolute", is_decoder=True)
    refused(folder, "variant")
    folder = copied("gpt2")
    hubs.change(folder / "config.json", add_cross_attention=True)
    refused(folder, "variant")


# Its tokenizer


def test_a_tokenizer_that_does_not_fit_is_refused(copied: Any) -> None:
    folder = copied("llama")
    told = json.loads((folder / "tokenizer.json").read_text())
    told["added_tokens"].append({**told["added_tokens"][0], "id": hubs.ROWS, "content": "<|more|>"})
    (folder / "tokenizer.json").write_text(json.dumps(told))
    assert f"{hubs.ROWS} rows" in refused(folder, "more tokens than the model has embeddings").received


def test_a_special_token_without_a_row_is_refused(copied: Any) -> None:
    folder = copied("bert")
    hubs.change(folder / "config.json", pad_token_id=10**9)
    refused(folder, "more tokens than the model has embeddings")


@pytest.mark.promise(REFUSED, 1)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "3",
        DEEP,
        '{"model": {"vocab": []}, "added_tokens": []}',
        '{"model": {"vocab": {"a": -1}}, "added_tokens": []}',
        '{"model": {"vocab": {"a": "0"}}, "added_tokens": []}',
        '{"model": {"vocab": {"a": 0}}, "added_tokens": [3]}',
        '{"daybreak": 3}',
    ],
    ids=lambda text: text[:60],
)
def test_a_tokenizer_that_is_none_is_refused(copied: Any, text: str) -> None:
    folder = copied("llama")
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(DataError):
        source.peek(folder)


def test_a_tokenizer_of_older_files_is_refused_with_the_command_that_converts_it(copied: Any) -> None:
    folder = copied("llama")
    (folder / "tokenizer.json").rename(folder / "vocab.json")
    assert "AutoTokenizer" in refused(folder, "no tokenizer.json").attempt


def test_special_tokens_are_found_wherever_they_are_named(copied: Any) -> None:
    folder = copied("bert")
    told = json.loads((folder / "tokenizer.json").read_text())
    for token in told["added_tokens"]:
        if token["content"] == "[MASK]":
            token["content"] = "¿"
    told["model"]["vocab"]["¿"] = told["model"]["vocab"].pop("[MASK]")
    (folder / "tokenizer.json").write_text(json.dumps(told))
    refused(folder, "no token for a mask")
    (folder / "special_tokens_map.json").write_text(json.dumps({"mask_token": {"content": "¿"}}))
    for _ in range(2):
        specials = source.peek(folder).specials
        assert specials is not None and (specials.pad, specials.mask) == (0, 4)
        hubs.change(folder / "config.json", mask_token_id=4)
        (folder / "special_tokens_map.json").unlink(missing_ok=True)


def test_nanochat_begins_documents_by_its_own_token(copied: Any) -> None:
    folder = copied("nanochat")
    assert source.peek(folder).end_of_text == ""
    hubs.byte_level("<|bos|>").save(str(folder / "tokenizer.json"))
    assert source.peek(folder).end_of_text == "<|bos|>"


# No checkpoint at all


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path, copied: Any) -> None:
    refused(tmp_path / "nowhere", "the checkpoint does not exist", UsageError)
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no checkpoint", UsageError)
    folder = copied("llama")
    (folder / "model.safetensors").rename(folder / "model.gguf")
    assert "model.gguf" in refused(folder, "no readable weights").received
    for text in ("", "[]", "3", DEEP):
        (folder / "config.json").write_text(text)
        refused(folder, "cannot be read")


def test_a_header_is_no_reason_to_take_memory(copied: Any) -> None:
    folder = copied("llama")
    told = json.dumps({"lm_head.weight": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(told)) + told)
    refused(folder, "cannot be read")
