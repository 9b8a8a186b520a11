"""Shapes beyond the stock one: counted right, decoded as trained, compiled once, and honest on disk."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import nn
from torch._dynamo.testing import CompileCounter

from daybreak.core.errors import DataError, UsageError
from daybreak.core.shapes import GptShape
from daybreak.core.types import Plan, Request
from daybreak.data.batches import Batch
from daybreak.data.tokenizers import train_tokenizer
from daybreak.data.tokenizers.base import END_OF_TEXT, Tokenizer
from daybreak.engine import optimizers
from daybreak.engine.optimizers import Rates
from daybreak.models import positions
from daybreak.models.checkpoints import write
from daybreak.models.checkpoints.read import read_model
from daybreak.models.gpt import Gpt, tensors_of
from daybreak.models.inference.predictors import Network
from daybreak.models.inference.sampling import Sampling
from daybreak.models.norms import BatchNorm, LayerNorm, norm_of
from daybreak.models.objectives import capped
from daybreak.tasks.next_token import NextToken

pytestmark = pytest.mark.usefixtures("one_thread")

NORMS, POSITIONS = GptShape.CHOICES["norm"], GptShape.CHOICES["positions"]
EVERYTHING = {
    "norm": "layer",
    "positions": "alibi",
    "layer_repeats": 2,
    "activation": "squared_relu",
    "logit_cap": 15.0,
    "value_embeddings": True,
    "skips": True,
    "key_value_heads": 1,
}
KINDS: dict[str, dict[str, Any]] = {
    **{f"norm {kind}": {"norm": kind} for kind in NORMS},
    **{f"positions {kind}": {"positions": kind} for kind in POSITIONS[1:]},
    "tied sinusoids": {"positions": "sinusoidal", "tied": True},
    "shared in pairs": {"layer_repeats": 2},
    "all shared": {"layer_repeats": 4},
    "squared relu": {"activation": "squared_relu"},
    "capped": {"logit_cap": 5.0},
    "values": {"value_embeddings": True},
    "values of groups": {"value_embeddings": True, "heads": 4, "key_value_heads": 2, "layers": 3},
    "skips": {"skips": True},
    "skips over a middle": {"skips": True, "layers": 3},
    "everything": EVERYTHING,
    "everything, batch norm": {**EVERYTHING, "norm": "batch", "positions": "learned", "layer_repeats": 1},
}
# The look ahead of batch norm in training is told apart below.
CAUSAL_IN_TRAINING = {name: kind for name, kind in KINDS.items() if kind.get("norm") != "batch"}
BEYOND = {name: kind for name, kind in KINDS.items() if kind.keys() - {"layer_repeats"} and kind != {"norm": "rms"}}


def made(network, **changes: Any) -> Gpt:
    """Random in every weight, and in the running means where it keeps any."""
    module = network(**{"vocabulary": 320, "context_length": 32, "layers": 4, **changes})
    with torch.no_grad():
        for seed in range(40 if changes.get("norm") == "batch" else 0):
            module.train()(tokens(4, 32, seed=seed))
    return module.eval()


def tokens(rows: int, length: int, vocabulary: int = 320, seed: int = 7) -> torch.Tensor:
    return torch.randint(vocabulary, (rows, length), generator=torch.Generator().manual_seed(seed))


# Counting


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("layers", [1, 3, 4])
def test_parameters_are_those_of_the_module_for_every_combination(shape, layers: int, tied: bool) -> None:
    axes = (NORMS, POSITIONS, sorted({1, layers}), ("swiglu", "squared_relu"), (False, True), (False, True))
    for norm, told, repeats, activation, values, skips in itertools.product(*axes):
        if norm == "batch" and repeats > 1:
            continue
        some = shape(
            layers=layers,
            tied=tied,
            key_value_heads=1,
            norm=norm,
            positions=told,
            layer_repeats=repeats,
            activation=activation,
            value_embeddings=values,
            skips=skips,
        )
        with torch.device("meta"):
            module = Gpt(some)
        if tied:
            module.lm_head.weight = module.model.embed_tokens.weight
        assert some.parameters() == sum(weight.numel() for weight in module.parameters()), some.key()
        multiplied = sum(weight.numel() for weight in module.matrices()) + module.lm_head.weight.numel()
        assert some.matmul_parameters() == multiplied, some.key()


def test_a_shared_layer_costs_arithmetic_each_time_and_memory_once(shape) -> None:
    plain, shared = shape(layers=4), shape(layers=4, layer_repeats=4)
    assert shared.flops_per_token() == plain.flops_per_token()
    head = plain.vocabulary * plain.width
    assert shared.matmul_parameters() - head == (plain.matmul_parameters() - head) // 4
    wide = shape(layers=4, layer_repeats=4, value_embeddings=True)
    assert wide.flops_per_token() - shared.flops_per_token() == 6 * 4 * 2 * 12  # a gate of 2 heads and 12 inputs


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_weights_are_sorted_into_matrices_and_the_rest_once_each(network, kind: dict[str, Any]) -> None:
    module = made(network, **kind)
    names = {id(weight): name for name, weight in module.named_parameters()}
    split = [*module.matrices(), *module.embeddings_and_norms()]
    assert len({id(weight) for weight in split}) == len(split) == len(names)
    assert all(weight.ndim == 2 and "layers" in names[id(weight)] for weight in module.matrices())
    rest = {names[id(weight)] for weight in module.embeddings_and_norms()}
    assert {n for n in names.values() if "embed" in n or "norm" in n or "skip" in n or "mixing" in n} <= rest
    assert all(weight.ndim in (1, 2) for weight in module.embeddings_and_norms()), "an optimizer would leave it out"


# The stock shape is what it was


def test_the_key_of_the_stock_shape_is_the_one_that_older_caches_hold(shape) -> None:
    assert shape().key() == "gpt-L1-d64-2x32k2m64u-V64-T16"
    assert shape(norm="layer", skips=True).key() == "gpt-L1-d64-2x32k2m64u-V64-T16+norm=layer+skips=True"


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_key_tells_shapes_apart(shape, kind: dict[str, Any]) -> None:
    some = shape(**{"layers": 4, **kind})
    assert len({some.key(), shape(layers=4).key()}) == 1 + (some != shape(layers=4))


def test_plans_and_identities_of_before_stay_valid(plan, shape) -> None:
    data = plan().to_json()
    for name in GptShape.OPTIONS:
        del data["shape"][name]
    assert Plan.from_json(data) == plan()
    assert plan().identity() == "d9968c44f627a3f6"  # as it was without these options
    others = {plan(shape=shape(vocabulary=320, layers=2, **kind)).identity() for kind in ({}, {"skips": True})}
    assert len(others) == 2
    assert Request.from_json({"sources": ["a.txt"], "seconds": 60.0}).native


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_what_the_stock_class_holds_is_native(shape, kind: dict[str, Any]) -> None:
    some = shape(**{"layers": 4, **kind})
    assert some.native() == (kind not in BEYOND.values())
    assert some.not_in_transformers().keys() <= some.non_default().keys()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"norm": "btach"}, "did you mean 'batch'"),
        ({"positions": "rotory"}, "did you mean 'rotary'"),
        ({"activation": "relu"}, "squared_relu"),
        ({"layers": 4, "layer_repeats": 3}, "not a multiple of layer_repeats=3"),
        ({"layer_repeats": 0}, "layer_repeats=0"),
        ({"layers": 2, "layer_repeats": 2, "norm": "batch"}, "one running mean"),
        ({"logit_cap": -1.0}, "logit_cap=-1.0"),
        ({"logit_cap": float("inf")}, "logit_cap=inf"),
    ],
    ids=str,
)
def test_a_shape_that_cannot_be_is_an_error_of_three_parts(shape, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as error:
        Gpt(shape(**wrong))
    assert told in str(error.value)


# Every way to run it gives the same numbers


@torch.inference_mode()
@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_decoding_with_cached_keys_gives_the_logits_of_the_whole(network, kind: dict[str, Any]) -> None:
    module, rows = made(network, **kind), tokens(2, 12)
    whole = module(rows)
    rounding = 1e-5 * max(1.0, float(whole.abs().max()) / 5)  # of float32, for logits of this size
    for parts in ((1,) * 12, (12,), (5, 1, 3, 1, 2)):
        caches = module.new_caches(2, 12)
        logits = torch.cat([module(part, caches) for part in rows.split(parts, 1)], 1)
        torch.testing.assert_close(logits, whole, atol=rounding, rtol=1e-5)
        assert len(caches) == module.shape.layers and all(cache.length == 12 for cache in caches)


@torch.no_grad()
@pytest.mark.parametrize("kind", CAUSAL_IN_TRAINING.values(), ids=list(CAUSAL_IN_TRAINING))
def test_training_gives_what_evaluation_gives(network, kind: dict[str, Any]) -> None:
    module, rows = made(network, **kind), tokens(3, 32)
    evaluated = module(rows)
    torch.testing.assert_close(module.train()(rows), evaluated, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_later_token_changes_no_earlier_logits(network, kind: dict[str, Any]) -> None:
    rows = tokens(1, 32)
    changed = rows.clone()
    changed[0, 20] = (changed[0, 20] + 1) % 320
    for training in (False, True):
        module = made(network, **kind).train(training)
        before, after = module(rows), module(changed)
        assert (before[:, 20:] != after[:, 20:]).any(-1).all() or kind == {"positions": "none"}
        if training and kind.get("norm") == "batch":  # the look ahead that its docstring speaks of
            assert not torch.allclose(before[:, :20], after[:, :20], atol=1e-4)
        else:
            assert torch.equal(before[:, :20], after[:, :20])


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_weight_learns_and_the_loss_falls(network, optimizer_choice, kind: dict[str, Any]) -> None:
    module = made(network, **kind).train()
    module.initialize(0)
    loss, rows = NextToken(), tokens(4, 33, 64)
    made_of = optimizers.make(optimizer_choice(), module.matrices(), module.embeddings_and_norms(), dtype=torch.float32)
    nats = []
    for _ in range(12):
        total = loss(module, Batch(rows)) / loss.targets(Batch(rows))
        total.backward()
        nats.append(float(total.detach()))
        touched = {name for name, weight in module.named_parameters() if weight.grad is not None}
        assert touched == dict(module.named_parameters()).keys()
        made_of.step(Rates(learning_rate=1.0))
        if len(nats) < 12:
            made_of.clear()
    assert nats[-1] < nats[0] - 0.2, nats
    unmoved = [name for name, weight in module.named_parameters() if not weight.grad.abs().max() > 0]
    assert not unmoved


@torch.no_grad()
def test_in_bfloat16_it_gives_about_the_same(network) -> None:
    for kind in (EVERYTHING, KINDS["everything, batch norm"], KINDS["tied sinusoids"]):
        module, rows = made(network, **kind), tokens(1, 16)
        full = module(rows)
        module.compute_dtype = torch.bfloat16
        assert module.hidden(rows).dtype == torch.bfloat16
        assert (module(rows) - full).norm() / full.norm() < 0.06
        module.compute_dtype = torch.float32
        assert torch.equal(module(rows), full)


@pytest.mark.parametrize(
    ("kind", "graphs"),
    [({}, 1), ({"norm": "batch"}, 1), (EVERYTHING | {"value_embeddings": False}, 1), (EVERYTHING, 2)],
    ids=["stock", "batch", "all but values", "everything"],
)
def test_one_graph_serves_all_layers_and_two_where_some_have_values(network, kind: dict[str, Any], graphs: int) -> None:
    torch._dynamo.reset()
    plain, compiled = (made(network, **{**kind, "layers": 8}).train() for _ in range(2))
    counter = CompileCounter()
    for block in compiled.blocks():
        block.compile(backend=counter, dynamic=False)
    rows = tokens(2, 33)
    for _ in range(2):
        losses = [NextToken()(module, Batch(rows)) for module in (plain, compiled)]
        torch.testing.assert_close(*losses)
        for total in losses:
            (total / 64).backward()
    assert counter.frame_count == graphs
    for one, other in zip(tensors_of(plain).values(), tensors_of(compiled).values(), strict=True):
        torch.testing.assert_close(one, other)
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-4)


# The parts, by hand


def test_a_shared_layer_is_the_same_layer_several_times(network) -> None:
    shared = made(network, layer_repeats=2)
    plain = made(network)
    for index, layer in enumerate(plain.model.layers):
        layer.load_state_dict(shared.model.layers[index // 2].state_dict())
    with torch.no_grad():
        for name in ("embed_tokens", "norm"):
            getattr(plain.model, name).load_state_dict(getattr(shared.model, name).state_dict())
        plain.lm_head.load_state_dict(shared.lm_head.state_dict())
        assert torch.equal(plain(tokens(2, 8)), shared(tokens(2, 8)))


@torch.no_grad()
def test_norms_are_those_of_torch() -> None:
    x = torch.randn(4, 6, 16, generator=torch.Generator().manual_seed(0)) * 3 + 1
    ours, theirs = LayerNorm(16), nn.LayerNorm(16, eps=1e-6)
    torch.testing.assert_close(ours(x), theirs(x))
    batch, reference = BatchNorm(16), nn.BatchNorm1d(16, eps=1e-6, momentum=0.1)
    torch.testing.assert_close(batch(x), reference(x.flatten(0, 1)).view_as(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(batch.running_mean, reference.running_mean)
    batch.eval()
    by_hand = (x - batch.running_mean) / (batch.running_variance + 1e-6).sqrt()
    torch.testing.assert_close(batch(x), by_hand)
    assert torch.equal(batch(x)[:1], batch(x[:1]))  # nothing of the other rows
    assert all(norm_of(kind, 16)(x.bfloat16()).dtype == torch.bfloat16 for kind in NORMS)


def test_alibi_takes_a_slope_for_each_step_back_and_hides_what_comes(shape) -> None:
    (bias,) = positions.distances(shape(heads=4), 2, 4, torch.device("cpu"))
    assert bias.shape == (4, 2, 4)
    slopes = [0.25, 0.0625, 2**-6, 2**-8]
    for head, slope in zip(bias.tolist(), slopes, strict=True):
        assert head[0] == pytest.approx([-2 * slope, -slope, 0.0, -torch.inf])
        assert head[1] == pytest.approx([-3 * slope, -2 * slope, -slope, 0.0])


def test_sinusoids_are_as_large_as_the_embeddings_begin(shape) -> None:
    for tied, size in ((False, 1.0), (True, 0.02)):
        some = shape(tied=tied)
        (waves,) = positions.sinusoids(some, 0, 16, torch.device("cpu"))
        assert float(waves.square().mean().sqrt()) == pytest.approx(size)
        torch.testing.assert_close(positions.sinusoids(some, 5, 6, torch.device("cpu"))[0], waves[5:6])


def test_a_cap_bounds_logits_and_leaves_small_ones(network) -> None:
    assert float(capped(torch.tensor(1e9), 15.0)) == 15.0
    assert float(capped(torch.tensor(0.1), 15.0)) == pytest.approx(0.1, rel=1e-4)
    plain, bounded = made(network), made(network, logit_cap=2.0)
    with torch.no_grad():
        torch.testing.assert_close(bounded(tokens(1, 8)), 2.0 * torch.tanh(plain(tokens(1, 8)) / 2.0))


def test_a_run_with_skips_starts_with_a_tenth_of_the_embedding_and_no_way_across(shape) -> None:
    module = Gpt(shape(layers=4, skips=True))
    module.initialize(0)
    assert all(layer.mixing.tolist() == pytest.approx([1.0, 0.1]) for layer in module.model.layers)
    assert module.model.skip_weights.tolist() == [0.0, 0.0]


def test_value_embeddings_are_in_the_last_layer_and_every_second_before() -> None:
    one = GptShape.value_layers
    stock = {"vocabulary": 64, "width": 64, "heads": 1, "key_value_heads": 1, "head_dim": 64, "mlp_width": 64}
    shapes = [
        GptShape(**stock, layers=n, context_length=16, tied=False, value_embeddings=True)  # type: ignore[arg-type]
        for n in (1, 4, 5)
    ]
    assert [one(some) for some in shapes] == [(0,), (1, 3), (0, 2, 4)]


# On disk


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["the quick brown fox, the lazy dog " * 5 + "in the end the fox is quick"], 300)


def saved(module: Gpt, tokenizer: Tokenizer, folder: Path) -> Path:
    tokenizer.save(folder / "tokenizer.json")
    write.save(
        folder / "model",
        module.shape,
        tensors_of(module),
        tokenizer_file=folder / "tokenizer.json",
        end_of_text=tokenizer.end_of_text,
        token=END_OF_TEXT,
    )
    return folder / "model"


@pytest.mark.parametrize("kind", BEYOND.values(), ids=list(BEYOND))
def test_a_class_of_our_own_comes_back_whole(network, tokenizer, tmp_path: Path, kind: dict[str, Any]) -> None:
    module = made(network, **kind)
    folder = saved(module, tokenizer, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "daybreak-gpt" and config["architectures"] == ["DaybreakGpt"]
    read = read_model(folder, torch.device("cpu"))
    assert read.shape == module.shape
    with torch.no_grad():
        assert torch.equal(read(tokens(2, 20)), module(tokens(2, 20)))
    texts = [
        list(
            Network(some, end_of_text=tokenizer.end_of_text, known_tokens=tokenizer.vocabulary).continuation(
                [5, 9], Sampling(max_tokens=40, seed=3)
            )
        )
        for some in (module, read)  # 40: beyond the trained context of 32
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("changes", [{"layer_repeats": 2}, {"layer_repeats": 4, "tied": True}], ids=str)
def test_shared_layers_are_written_out_one_by_one(network, tokenizer, tmp_path: Path, changes: dict[str, Any]) -> None:
    module, rows = made(network, **changes), tokens(2, 20)
    folder = saved(module, tokenizer, tmp_path)
    read = read_model(folder, torch.device("cpu"))
    assert read.shape == module.shape.replace(layer_repeats=1)
    with torch.no_grad():
        assert torch.equal(read(rows), module(rows))
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert type(theirs).__name__ == "Qwen3ForCausalLM"
    with torch.no_grad():
        torch.testing.assert_close(module(rows), theirs(rows).logits, atol=1e-4, rtol=1e-4)


def test_transformers_refuses_a_class_of_our_own(network, tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = saved(made(network, skips=True), tokenizer, tmp_path)
    with pytest.raises((ValueError, KeyError), match="daybreak-gpt"):
        transformers.AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("change", [{"norm": "nrom"}, {"layers": "four"}, {"skips": False}, {"model_type": "llama"}])
def test_a_damaged_folder_of_our_own_is_an_error_of_ours(network, tokenizer, tmp_path: Path, change: Any) -> None:
    folder = saved(made(network, skips=True), tokenizer, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(DataError):
        read_model(folder, torch.device("cpu"))
