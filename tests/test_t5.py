"""T5: the numbers of transformers' T5, in every way that a module is run, and its config and weights both ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo
from safetensors.torch import load_file
from torch._dynamo.testing import CompileCounter
from torch.utils.flop_counter import FlopCounterMode

from daybreak.core.errors import DataError, UsageError
from daybreak.core.shapes import T5Shape
from daybreak.core.types import Specials
from daybreak.data.batches import Batch
from daybreak.data.tokenizers import train_tokenizer
from daybreak.data.tokenizers.base import END_OF_TEXT, Tokenizer
from daybreak.engine import optimizers
from daybreak.engine.optimizers import Rates
from daybreak.models import distances
from daybreak.models.checkpoints import write
from daybreak.models.checkpoints.read import read_model
from daybreak.models.inference import infill
from daybreak.models.layouts import t5 as layout
from daybreak.models.t5 import T5
from daybreak.tasks import span_corruption

pytestmark = pytest.mark.usefixtures("one_thread")

VOCABULARY, END = 280, 279  # of the text; then come the special tokens
SPECIALS = Specials(pad=VOCABULARY, sentinels=tuple(range(VOCABULARY + 1, VOCABULARY + 21)))
SPECIAL: dict[str, Any] = {"specials": SPECIALS, "end_of_text": END}
KINDS: dict[str, dict[str, Any]] = {
    "v1.1": {},
    "tied": {"tied": True},
    "the first": {"tied": True, "activation": "relu"},
    "narrow heads": {"heads": 3, "head_dim": 8, "decoder_layers": 1},
    "few buckets": {"buckets": 8, "longest_distance": 20, "layers": 1, "decoder_layers": 3},
}


def shape(**changes: Any) -> T5Shape:
    tiny = T5Shape(
        vocabulary=384,
        layers=2,
        decoder_layers=2,
        width=32,
        heads=2,
        head_dim=16,
        mlp_width=64,
        context_length=64,
    )
    return tiny.replace(**changes)


def made(*, seed: int = 0, **changes: Any) -> T5:
    """Every weight is random, output projections and gains included."""
    module = T5(shape(**changes))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if weight.ndim == 1:
                weight.uniform_(0.5, 1.5, generator=generator)
            else:
                size = 0.5 if "bias" in name or name == "shared.weight" else weight.shape[1] ** -0.5
                if name.endswith("q.weight"):
                    size *= module.shape.head_dim**-0.5
                weight.normal_(0.0, size, generator=generator)
    return module


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def module(request: pytest.FixtureRequest) -> T5:
    return made(**request.param).eval()


def tokens(rows: int, length: int, seed: int = 7) -> torch.Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    found = train_tokenizer(
        ["the quick brown fox, the lazy dog; 春眠不觉晓 " * 5 + "in the end it is quick"], VOCABULARY
    )
    assert (found.vocabulary, found.end_of_text) == (VOCABULARY, END)
    return found


def saved(module: T5, tokenizer: Tokenizer, folder: Path) -> Path:
    tokenizer.save(folder / "tokenizer.json")
    write.save(
        folder / "model",
        module.shape,
        dict(module.named_parameters()),
        tokenizer_file=folder / "tokenizer.json",
        end_of_text=END,
        token=END_OF_TEXT,
        specials=SPECIALS,
    )
    return folder / "model"


def opened(folder: Path) -> T5:
    """A folder that another tool wrote."""
    config = json.loads((folder / "config.json").read_text())
    found, weights = layout.with_weights(config, load_file(folder / "model.safetensors"))
    module = T5(found)
    if found.tied:
        weights["lm_head.weight"] = weights["shared.weight"]
    module.load_state_dict(weights)
    return module.eval()


@pytest.fixture(scope="module")
def theirs() -> Any:
    return pytest.importorskip("transformers").T5ForConditionalGeneration


# Beside transformers


@torch.inference_mode()
def test_transformers_opens_the_folder_with_equal_logits_and_equal_text(
    module: T5, tokenizer: Tokenizer, theirs: Any, tmp_path: Path
) -> None:
    other = theirs.from_pretrained(saved(module, tokenizer, tmp_path), dtype=torch.float32).eval()
    assert other.num_parameters() == module.shape.parameters()
    assert (other.lm_head.weight is other.shared.weight) == module.shape.tied
    inputs, decoder_inputs, mask = tokens(3, 150), tokens(3, 140, 8), torch.ones(3, 150, dtype=torch.long)
    mask[0, 40:], mask[1, :30] = 0, 0
    for padding in (None, mask):
        expected = other(input_ids=inputs, attention_mask=padding, decoder_input_ids=decoder_inputs).logits
        torch.testing.assert_close(module(inputs, decoder_inputs, padding), expected, atol=1e-4, rtol=1e-4)

    # No end, which a network of random weights may write at once.
    never = [END, SPECIALS.pad, *range(SPECIALS.sentinels[-1] + 1, module.shape.vocabulary)]
    # Its cache has as many layers as the encoder, and ends in an error where the decoder has more.
    how = {"use_cache": module.shape.decoder_layers <= module.shape.layers, "suppress_tokens": never}
    ours, expected = [], []
    for row in tokens(4, 20).tolist():
        row += [SPECIALS.sentinels[0], END]
        ours.append([*infill.written(module, row, max_tokens=15, known_tokens=END, **SPECIAL)])
        wrote = other.generate(torch.tensor([row]), max_new_tokens=15, do_sample=False, **how)
        expected.append(wrote[0, 1:].tolist())
    assert ours == expected and all(len(each) == 15 for each in ours)


@torch.inference_mode()
@pytest.mark.parametrize("feed_forward", ["gated-gelu", "relu"])
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("head", ["shared", "its own"])
def test_a_folder_of_transformers_opens_with_equal_logits(
    theirs: Any, tmp_path: Path, feed_forward: str, scaled: bool, head: str
) -> None:
    from transformers import T5Config

    config = layout.config_of(shape(), END, SPECIALS)
    config = {**config, "feed_forward_proj": feed_forward, "tie_word_embeddings": scaled}
    torch.manual_seed(0)
    other = theirs(T5Config(**config)).eval()
    if head == "its own":
        other.lm_head.weight = torch.nn.Parameter(torch.randn(384, 32))
    other.save_pretrained(tmp_path / "theirs")
    module = opened(tmp_path / "theirs")
    inputs, decoder_inputs = tokens(2, 30), tokens(2, 20, 8)
    expected = other(input_ids=inputs, decoder_input_ids=decoder_inputs).logits
    torch.testing.assert_close(module(inputs, decoder_inputs), expected, atol=1e-4, rtol=1e-4)
    assert module.shape.tied == (scaled and head == "shared")


@torch.inference_mode()
def test_a_folder_gives_back_the_module(module: T5, tokenizer: Tokenizer, tmp_path: Path) -> None:
    read = read_model(saved(module, tokenizer, tmp_path), torch.device("cpu"))
    assert read.shape == module.shape and (read.lm_head.weight is read.shared.weight) == module.shape.tied
    assert torch.equal(read(tokens(2, 20), tokens(2, 9, 8)), module(tokens(2, 20), tokens(2, 9, 8)))


def test_transformers_reads_gaps_and_closes_texts_as_they_were_trained(tokenizer: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    other = transformers.AutoTokenizer.from_pretrained(saved(made(), tokenizer, tmp_path))
    found = other("the quick <extra_id_0>in the end<extra_id_1>")["input_ids"]
    one, two = SPECIALS.sentinels[:2]
    assert found == [*tokenizer.encode("the quick "), one, *tokenizer.encode("in the end"), two, END]
    assert (other.pad_token_id, other.eos_token_id) == (SPECIALS.pad, END)


# The config and the names


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_config_gives_back_its_shape(kind: dict[str, Any]) -> None:
    config = json.loads(json.dumps(layout.config_of(shape(**kind), END, SPECIALS)))
    assert layout.shape_of(config) == shape(**kind)


def test_the_config_of_a_released_model_is_read() -> None:
    released = {
        "model_type": "t5",
        "d_ff": 1024,
        "d_kv": 64,
        "d_model": 512,
        "feed_forward_proj": "gated-gelu",
        "is_encoder_decoder": True,
        "layer_norm_epsilon": 1e-06,
        "num_decoder_layers": 8,
        "num_heads": 6,
        "num_layers": 8,
        "relative_attention_num_buckets": 32,
        "tie_word_embeddings": False,
        "vocab_size": 32128,
    }
    small = layout.shape_of(released)
    assert (small.width, small.heads, small.head_dim, small.tied, small.context_length) == (512, 6, 64, False, 512)
    assert small.parameters() == 76_961_152  # as the model's card has it
    del released["feed_forward_proj"], released["num_decoder_layers"], released["tie_word_embeddings"]
    first = layout.shape_of({**released, "num_layers": 6, "num_heads": 8, "d_ff": 2048})
    assert (first.activation, first.decoder_layers, first.tied) == ("relu", 6, True)
    assert first.parameters() == 60_506_624


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model_type": "umt5"}, "umt5"),
        ({"feed_forward_proj": "gated-silu"}, "gated-silu"),
        ({"layer_norm_epsilon": 1e-5}, "1e-05"),
        ({"is_encoder_decoder": False}, "alone"),
        ({"d_model": None}, "d_model"),
    ],
)
def test_what_is_not_supported_is_named(changes: dict[str, Any], told: str) -> None:
    config = {**layout.config_of(shape(), END, SPECIALS), **changes}
    with pytest.raises(DataError) as raised:
        layout.shape_of({name: value for name, value in config.items() if value is not None})
    assert told in raised.value.received


def test_tables_beside_the_shared_one_are_left_out_where_they_are_the_same(tmp_path: Path) -> None:
    module = made()
    config, weights = layout.config_of(module.shape, END, SPECIALS), dict(module.state_dict())
    doubled = {**weights, "decoder.embed_tokens.weight": weights["shared.weight"].clone(), layout.UNUSED: torch.ones(1)}
    assert layout.with_weights(config, doubled)[1].keys() == weights.keys()
    without = {name: weight for name, weight in doubled.items() if name != "shared.weight"}
    assert torch.equal(layout.with_weights(config, without)[1]["shared.weight"], weights["shared.weight"])
    doubled["decoder.embed_tokens.weight"] += 1
    with pytest.raises(DataError, match="separate embeddings"):
        layout.with_weights(config, doubled)
    with pytest.raises(DataError, match="no embeddings"):
        layout.with_weights(config, {"lm_head.weight": torch.ones(2, 2)})


# Every way to run it gives the same numbers


@torch.no_grad()
def test_explicit_attention_in_training_gives_what_the_fused_one_gives(module: T5) -> None:
    inputs, decoder_inputs = tokens(2, 40), tokens(2, 16, 8)
    mask = torch.ones(2, 40, dtype=torch.long)
    mask[0, 30:] = 0
    fused = module(inputs, decoder_inputs, mask)
    torch.testing.assert_close(module.train()(inputs, decoder_inputs, mask), fused, atol=1e-5, rtol=1e-5)


def test_explicit_attention_has_the_gradients_of_the_fused_one() -> None:
    module, gradients = made(), []
    for training in (True, False):
        module.train(training)
        module.zero_grad()
        module(tokens(2, 40), tokens(2, 16, 8)).square().mean().backward()
        gradients.append({name: weight.grad.clone() for name, weight in module.named_parameters()})
    explicit, fused = gradients
    for name, gradient in explicit.items():
        torch.testing.assert_close(gradient, fused[name], atol=1e-5, rtol=1e-4, msg=name)
        assert gradient.abs().sum() > 0, name


@torch.inference_mode()
@pytest.mark.parametrize("parts", [(1,) * 12, (12,), (5, 7), (5, 1, 3, 1, 2), (11, 1)])
def test_decoding_with_cached_keys_gives_the_states_of_the_whole(module: T5, parts: tuple[int, ...]) -> None:
    encoded, decoder_inputs = module.encode(tokens(2, 30)), tokens(2, 12, 8)
    whole = module.decode(decoder_inputs, encoded)
    caches = module.new_caches(encoded, 12)
    states = torch.cat([module.decode(part, None, caches=caches) for part in decoder_inputs.split(parts, 1)], 1)
    torch.testing.assert_close(states, whole, atol=1e-5, rtol=1e-5)
    assert all(cache.written.length == 12 and cache.read.length == 30 for cache in caches)


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
def test_a_later_token_changes_no_earlier_state_and_what_is_padded_none(module: T5, training: bool) -> None:
    module.train(training)
    inputs, decoder_inputs, mask = tokens(1, 20), tokens(1, 16, 8), torch.ones(1, 20)
    mask[0, 15:] = 0
    before = module(inputs, decoder_inputs, mask)
    changed, padded = decoder_inputs.clone(), inputs.clone()
    changed[0, 10] += 1
    after = module(inputs, changed, mask)
    assert torch.equal(before[:, :10], after[:, :10]) and (before[:, 10:] != after[:, 10:]).any(-1).all()
    padded[0, 17] += 1
    assert torch.equal(module(padded, decoder_inputs, mask), before)
    assert module(inputs, decoder_inputs, torch.zeros(1, 20)).isfinite().all()


@torch.no_grad()
def test_in_bfloat16_it_gives_about_the_same(module: T5) -> None:
    full = module(tokens(2, 40), tokens(2, 16, 8))
    module.compute_dtype = torch.bfloat16
    narrow = module(tokens(2, 40), tokens(2, 16, 8))
    assert narrow.dtype == torch.float32 and (narrow - full).norm() / full.norm() < 0.05


def test_gradients_are_the_same_to_the_last_bit_on_two_threads(two_threads: None) -> None:
    module, rows, decoder_rows = made(context_length=128).train(), tokens(8, 128), tokens(8, 32, 8)
    found = []
    for _ in range(3):
        module.zero_grad()
        module(rows, decoder_rows).square().mean().backward()
        found.append([weight.grad.clone() for weight in module.parameters()])
    for again in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], again, strict=True))


def test_one_graph_serves_the_encoder_and_one_the_decoder() -> None:
    torch._dynamo.reset()
    plain, compiled = (made(layers=4, decoder_layers=4).train() for _ in range(2))
    counter = CompileCounter()
    for block in compiled.blocks():
        block.compile(backend=counter, dynamic=False)
    for _ in range(2):
        losses = [module(tokens(2, 30), tokens(2, 10, 8)).square().mean() for module in (plain, compiled)]
        torch.testing.assert_close(*losses)
        for loss in losses:
            loss.backward()
    assert counter.frame_count == 2
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-4)


def test_what_is_around_a_layer_calls_each_in_training_alone() -> None:
    module, called = made(), []

    def around(layer: Callable[..., torch.Tensor], *inputs: Any) -> torch.Tensor:
        called.append(layer)
        return layer(*inputs)

    expected = module.train()(tokens(1, 8), tokens(1, 4))
    module.layer_wrapper = around
    assert torch.equal(module(tokens(1, 8), tokens(1, 4)), expected) and called == module.blocks()
    module.eval()(tokens(1, 8), tokens(1, 4))
    assert called == module.blocks()


# The parts


@pytest.mark.parametrize("both_ways", [True, False])
@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 2), (0, 9), (3, 4), (5, 9), (8, 200)])
def test_the_bias_is_that_of_each_distance(both_ways: bool, start: int, stop: int) -> None:
    bias_NH = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    device = torch.device("cpu")
    chosen = distances.chosen_buckets(start, stop, 8, 20, device, both_ways=both_ways)
    ahead = torch.arange(stop)[None] - torch.arange(start, stop)[:, None]
    expected = bias_NH[distances.buckets_of(ahead, 8, 20, both_ways=both_ways)].permute(2, 0, 1)[None]
    assert torch.equal(distances.spread(chosen @ bias_NH, start, stop), expected)


def test_buckets_by_hand() -> None:
    # Of 16 one way, 8 are for the distances 0 to 7; the others share 8 to 31 in equal steps of the logarithm.
    ahead = torch.tensor([3, 0, -1, -7, -8, -9, -10, -22, -31, -32, -1000])
    buckets = distances.buckets_of(ahead, 16, 32, both_ways=False)
    assert buckets.tolist() == [0, 0, 1, 7, 8, 8, 9, 13, 15, 15, 15]
    both = distances.buckets_of(torch.tensor([-1, 0, 1, 3, -3]), 16, 32, both_ways=True)
    assert both.tolist() == [1, 0, 9, 11, 3]


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_the_counts_are_those_of_the_module(kind: dict[str, Any]) -> None:
    module = made(**kind)
    assert sum(weight.numel() for weight in module.parameters()) == module.shape.parameters()
    hidden = sum(weight.numel() for weight in module.matrices())
    assert hidden + module.lm_head.weight.numel() == module.shape.matmul_parameters()
    split = [*module.matrices(), *module.embeddings_and_norms()]
    assert len({id(weight) for weight in split}) == len(split) == len(list(module.parameters()))


def test_the_operations_of_a_token_are_those_that_are_done() -> None:
    module = made(context_length=256, width=64).train()
    read, written = span_corruption.sizes(256)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        module(tokens(1, read), tokens(1, written))
    bias = sum(2 * 2 * length * module.shape.buckets * module.shape.heads for length in (read, written))
    assert (counted.get_total_flops() - bias) * 3 / 256 == pytest.approx(module.shape.flops_per_token(), rel=0.02)


def test_shapes_that_cannot_be_are_told() -> None:
    for changes, told in (({"buckets": 6}, "buckets=6"), ({"layers": 0}, "layers=0"), ({"activation": "rel"}, "rel")):
        with pytest.raises(UsageError) as raised:
            T5(shape(**changes))
        assert told in raised.value.received
    assert T5Shape.from_json(shape(activation="relu").to_json()) == shape(activation="relu")
    assert shape().key() != shape(activation="relu").key() != shape(activation="relu", tied=True).key()


def test_a_seed_gives_its_weights_and_without_a_place_none_are_drawn() -> None:
    one, same, other = T5(shape()), T5(shape()), T5(shape())
    for module, seed in ((one, 3), (same, 3), (other, 4)):
        module.initialize(seed)
    assert all(torch.equal(*pair) for pair in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.lm_head.weight, other.lm_head.weight)
    with torch.device("meta"):
        assert all(weight.is_meta for weight in T5(shape()).parameters())


@torch.no_grad()
def test_heads_begin_by_attending_to_neighbours_and_to_the_same_token() -> None:
    module = T5(shape(heads=4, head_dim=64, width=64))
    module.initialize(0)
    encoder, decoder = (
        module._bias(module.encoder, 0, 12, both_ways=True),
        module._bias(module.decoder, 0, 12, both_ways=False),
    )
    for head, ahead in enumerate((-1, 1, -2, 2)):
        assert (encoder[0, head, 6].argmax() - 6, decoder[0, head, 6].argmax() - 6) == (ahead, -1 - head)
    rows = torch.randperm(100, generator=torch.Generator().manual_seed(0))[None, :20]
    attention, x_BTD = module.decoder.block[0].layer[1].EncDecAttention, module.shared(rows)
    x_BTD = module.decoder.block[0].layer[1].layer_norm(x_BTD)
    scores = attention._projected(x_BTD, attention.q)[0] @ attention.keys_and_values(x_BTD)[0].mT
    assert torch.equal(scores.argmax(-1)[0], torch.arange(20).expand(4, 20))
    assert torch.equal(module.encode(rows), module.encoder.final_layer_norm(module.shared(rows)))  # the identity
    deep = T5(shape(heads=9, head_dim=4, buckets=8, longest_distance=20))
    deep.initialize(0)
    assert ((deep.encoder.bias() > 0).sum(), (deep.decoder.bias() > 0).sum()) == (2, 3)  # with a bucket of their own


# Learning


def test_a_small_text_is_learnt_and_its_gaps_are_filled(optimizer_choice) -> None:
    module = T5(shape())
    module.initialize(0)
    text = tokens(8, 33)
    loss = span_corruption.SpanCorruption(SPECIALS, end_of_text=END, drawn=lambda text: _fixed(text))
    optimizer = optimizers.make(optimizer_choice(), module.matrices(), module.embeddings_and_norms())
    for step in range(80):
        total = loss(module.train(), Batch(text)) / loss.targets(Batch(text))
        total.backward()
        optimizer.step(Rates(learning_rate=1 - step / 80))
        optimizer.clear()
    nats, hits, _ = loss.scored(module.eval(), Batch(text))
    assert nats.mean() < 0.3 and hits.float().mean() > 0.95
    read = loss.examples(Batch(text))[0][0].tolist()
    wrote = list(infill.written(module, read, max_tokens=30, **SPECIAL))
    assert infill.filled(read, wrote, SPECIALS.sentinels) == [*text[0, :-1].tolist(), END]


def _fixed(text: torch.Tensor) -> torch.Tensor:
    return torch.rand(text.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
