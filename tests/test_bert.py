"""BERT: the numbers of transformers' ModernBERT both ways, the masks that it is trained on, and what it fills in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from daybreak.core.errors import DataError, UsageError
from daybreak.core.shapes import BertShape
from daybreak.core.types import OptimizerChoice, Specials
from daybreak.data.augmentation import uniform_of
from daybreak.data.batches import Batch
from daybreak.engine import optimizers
from daybreak.models.bert import Bert
from daybreak.models.fused_loss import chunked
from daybreak.models.inference.pseudo_likelihood import fills, pseudo_nats
from daybreak.models.layouts import modernbert
from daybreak.models.objectives import full_logits
from daybreak.tasks.masked_tokens import MaskedTokens, count, places
from daybreak.techniques.packing import within_documents

pytestmark = pytest.mark.usefixtures("one_thread")

END, PAD, MASK = 99, 100, 101
SPECIALS = Specials(pad=PAD, mask=MASK)
KINDS: dict[str, dict[str, Any]] = {
    "tied": {},
    "untied": {"tied": False},
    "all global": {"global_every": 1, "rope_base": 10000.0},
    "one layer": {"layers": 1},
    "rarely global": {"global_every": 2, "layers": 5, "window": 8, "local_rope_base": 5000.0},
}


def shape_of(**changes: Any) -> BertShape:
    tiny = BertShape(vocabulary=128, layers=4, width=64, heads=4, mlp_width=96, context_length=64, window=16)
    return tiny.replace(**changes)


def bert(*, seed: int = 0, **changes: Any) -> Bert:
    """Every weight is random, output projections, gains and the bias included."""
    module = Bert(shape_of(**changes))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim == 1:
                weight.uniform_(0.5, 1.5, generator=generator)
            else:
                weight.normal_(0.0, 1.5 / weight.shape[1] ** 0.5, generator=generator)
    return module


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def module(request: pytest.FixtureRequest) -> Bert:
    return bert(**request.param).eval()


def tokens(rows: int, length: int, below: int = END, seed: int = 7) -> Tensor:
    return torch.randint(below, (rows, length), generator=torch.Generator().manual_seed(seed))


def padded_rows(length: int) -> tuple[Tensor, Tensor]:
    """Texts of three lengths, one of which stands at the end of its row, and their attention mask."""
    rows, mask = tokens(3, length), torch.ones(3, length, dtype=torch.long)
    mask[1, length - 5 :] = 0
    mask[2, : length // 2 + 3] = 0
    return rows.masked_fill(mask == 0, PAD), mask


def objective(**changes: Any) -> MaskedTokens:
    settings = {"seed": 1, "specials": SPECIALS, "end_of_text": END, "known_tokens": END, **changes}
    return MaskedTokens(uniform_of, **settings)


# Beside transformers


def theirs(config: dict[str, Any]) -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    return transformers.ModernBertForMaskedLM(transformers.ModernBertConfig(**config)).eval()


def assert_equal_logits(ours: Bert, other: Any, length: int) -> None:
    rows, mask = padded_rows(length)
    with torch.inference_mode():
        torch.testing.assert_close(ours(rows), other(rows).logits, atol=1e-4, rtol=1e-4)
        here, there = ours(rows, mask), other(rows, attention_mask=mask).logits
    torch.testing.assert_close(here[mask == 1], there[mask == 1], atol=1e-4, rtol=1e-4)
    assert here.isfinite().all()


@pytest.mark.parametrize("length", [8, 40])
def test_transformers_has_our_logits(module: Bert, length: int) -> None:
    other = theirs(modernbert.config_of(module.shape, END, SPECIALS))
    assert not any(other.load_state_dict(module.state_dict(), strict=True))
    assert other.num_parameters() == module.shape.parameters()
    assert_equal_logits(module, other, length)


@pytest.mark.parametrize("length", [8, 40])
def test_we_have_the_logits_of_transformers(length: int) -> None:
    other = theirs(
        {
            "vocab_size": 128,
            "hidden_size": 48,
            "intermediate_size": 72,
            "num_hidden_layers": 5,
            "num_attention_heads": 3,
            "max_position_embeddings": 64,
            "local_attention": 10,
            "initializer_range": 0.3,
            "pad_token_id": PAD,
        }
    )
    with torch.device("meta"):
        module = Bert(modernbert.shape_of(other.config.to_dict()))
    module.load_state_dict(other.state_dict(), assign=True)
    module.tie()
    assert not any(weight.is_meta for weight in module.parameters())
    assert_equal_logits(module.eval(), other, length)


def test_configs_of_transformers_before_and_after_the_new_names_give_the_same_shape() -> None:
    old = {
        "model_type": "modernbert",
        "vocab_size": 50368,
        "hidden_size": 768,
        "intermediate_size": 1152,
        "num_hidden_layers": 22,
        "num_attention_heads": 12,
        "max_position_embeddings": 8192,
        "local_attention": 128,
        "global_attn_every_n_layers": 3,
        "global_rope_theta": 160000.0,
        "local_rope_theta": 10000.0,
        "norm_eps": 1e-05,
        "norm_bias": False,
        "hidden_activation": "gelu",
    }
    shape = modernbert.shape_of(old)
    assert (shape.layers, shape.global_every, shape.window, shape.rope_base) == (22, 3, 128, 160000.0)
    assert shape.parameters() == 149_655_232  # of answerdotai/ModernBERT-base, whose table is also its head
    transformers = pytest.importorskip("transformers")
    assert modernbert.shape_of(transformers.ModernBertConfig(**old).to_dict()) == shape
    assert modernbert.shape_of({**old, "local_rope_theta": None}).local_rope_base == 160000.0
    assert modernbert.shape_of(modernbert.config_of(shape, END, SPECIALS)) == shape


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "bert"},
        {"hidden_activation": "relu"},
        {"norm_bias": True},
        {"decoder_bias": False},
        {"layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"] * 5},
        {"layer_types": ["sliding_attention"] * 4},
        {"layer_types": ["full_attention"] * 3},
        {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
        {"rope_parameters": {"full_attention": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}},
        {"hidden_size": None},
    ],
    ids=str,
)
def test_what_the_module_does_not_compute_is_refused(change: dict[str, Any]) -> None:
    config = {**modernbert.config_of(shape_of(), END, SPECIALS), **change}
    if None in change.values():
        config = {name: value for name, value in config.items() if value is not None}
    with pytest.raises(DataError):
        modernbert.shape_of(config)


# The module


def test_positions_that_are_asked_for_are_those_of_the_whole(module: Bert) -> None:
    rows, mask = padded_rows(40)
    where = torch.stack([torch.randperm(40, generator=torch.Generator().manual_seed(row))[:7] for row in range(3)])
    for training in (False, True):
        module.train(training)
        for attention_mask in (None, mask):
            some = module(rows, attention_mask, where_BP=where)
            whole = module(rows, attention_mask)
            torch.testing.assert_close(some, whole.gather(1, where[..., None].expand(-1, -1, 128)))


@pytest.mark.parametrize("length", [8, 40, 300])
def test_training_computes_what_inference_does(length: int) -> None:
    module, rows = bert(), tokens(2, length)
    torch.testing.assert_close(module.train()(rows), module.eval()(rows), atol=1e-4, rtol=1e-4)


def test_a_local_layer_sees_no_farther_than_half_its_window() -> None:
    module, rows = bert(layers=2, global_every=2, window=8).eval(), tokens(1, 40)
    module.shape = module.shape.replace(global_every=1)
    everything = module(rows)
    module.shape = shape_of(layers=2, global_every=2, window=8)
    assert not torch.allclose(module(rows), everything)
    changed = rows.clone()
    changed[0, 30] = (changed[0, 30] + 1) % END
    places, _ = module._places(rows, None)
    near, far = module.model.layers[1], torch.ones(40, dtype=torch.bool)
    far[26:35] = False
    with torch.no_grad():
        states = [near(module.model.embeddings.tok_embeddings(each), places) for each in (rows, changed)]
    assert torch.equal(states[0][0, far], states[1][0, far])
    assert all(not torch.equal(states[0][0, place], states[1][0, place]) for place in (26, 30, 34))


def test_weights_and_operations_are_as_many_as_the_shape_says() -> None:
    for changes in KINDS.values():
        module = Bert(shape_of(**changes))
        assert sum(weight.numel() for weight in module.parameters()) == module.shape.parameters()
        assert len(module.matrices()) == 4 * module.shape.layers + 1
        ids = [id(weight) for weight in (*module.matrices(), *module.embeddings_and_norms())]
        assert len(ids) == len(set(ids)) == len(list(module.parameters()))
    module, rows = bert(window=64), tokens(4, 33)
    loss = objective()
    with FlopCounterMode(display=False) as counter:
        loss(module, Batch(rows)).backward()
    counted = counter.get_total_flops() / (4 * 32)
    said = module.shape.replace(context_length=32).flops_per_token(loss.targets(Batch(rows)) / (4 * 32))
    assert counted == pytest.approx(said, rel=0.02)


def test_a_module_without_a_place_draws_no_numbers_and_has_no_weights_in_memory() -> None:
    with torch.device("meta"):
        module = Bert(shape_of(vocabulary=1 << 20, width=4096, heads=64))
    assert all(weight.is_meta for weight in module.parameters())


def test_first_weights_follow_from_the_seed_and_every_layer_begins_as_the_identity() -> None:
    one, same, other = (Bert(shape_of()) for _ in range(3))
    for module, seed in ((one, 1), (same, 1), (other, 2)):
        module.initialize(seed)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.decoder.weight, other.decoder.weight)
    rows = tokens(2, 12)
    embeddings = one.model.embeddings
    torch.testing.assert_close(one.hidden(rows), one.model.final_norm(embeddings.norm(embeddings.tok_embeddings(rows))))
    nats = objective()(one, Batch(tokens(8, 33))) / objective().targets(Batch(tokens(8, 33)))
    assert 4.5 < float(nats.detach()) < 5.2  # ln 128 is 4.85


def test_gradients_flow_to_every_weight() -> None:
    module = bert().train()
    objective()(module, Batch(tokens(4, 33))).backward()
    for name, weight in module.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all() and weight.grad.any(), name


def test_products_are_in_the_compute_dtype_and_logits_in_float32() -> None:
    module, rows = bert(), tokens(2, 20)
    exact = module(rows)
    module.compute_dtype = torch.bfloat16
    rough = module(rows)
    assert module.hidden(rows).dtype == torch.bfloat16 and rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, atol=0.2, rtol=0.1)


def test_techniques_hide_positions_leave_out_residuals_and_call_the_layers() -> None:
    module, rows = bert().train(), tokens(2, 20)
    plain = module(rows)
    calls: list[Any] = []

    def around(layer: Any, *inputs: Any) -> Tensor:
        calls.append(layer)
        return layer(*inputs)

    module.layer_wrapper = around
    assert torch.equal(module(rows), plain) and calls == module.blocks()
    module.dropout_fn = lambda x: torch.ones(1 + len(module.blocks()), x.shape[0], 1, x.shape[2])
    assert torch.equal(module(rows), plain)
    module.dropout_fn = None
    rows[:, 8] = END
    module.attention_mask_fn = lambda x: within_documents(x, END, causal=module.causal)
    packed = module(rows)
    # The second document begins at another position, but positions are relative.
    torch.testing.assert_close(packed[:, :8], module(rows[:, :8]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(packed[:, 8:], module(rows[:, 8:]), atol=1e-4, rtol=1e-4)
    module.attention_mask_fn = None
    assert not torch.allclose(module(rows), packed, atol=1e-2)


# The objective


def test_a_share_of_every_row_is_masked_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, seen = tokens(50, 41), {}
    module = bert()

    def hidden(inputs: Tensor, where: Tensor) -> Tensor:
        seen.update(inputs=inputs, where=where)
        return torch.zeros(*where.shape, 64)

    monkeypatch.setattr(module, "hidden", hidden)
    loss = objective()
    loss(module, Batch(rows))
    inputs, text = seen["inputs"], rows[:, :-1]
    assert ((inputs == MASK).sum(1) == 12).all() and loss.targets(Batch(rows)) == 50 * 12
    assert (inputs[inputs != MASK] == text[inputs != MASK]).all()
    assert (inputs.gather(1, seen["where"]) == MASK).all()
    # Every place is as likely as any other.
    assert (inputs == MASK).sum(0).min() > 3

    objective(random=0.25, kept=0.25)(module, Batch(rows))
    shown, targets = seen["inputs"].gather(1, seen["where"]), text.gather(1, seen["where"])
    masks, same = (shown == MASK).float().mean(), (shown == targets).float().mean()
    assert 0.43 < masks < 0.57 and 0.19 < same < 0.32
    assert (shown[shown != MASK] < END).all() and len(shown.unique()) > 80


def test_special_tokens_are_no_targets_while_there_are_others() -> None:
    text = tokens(20, 40)
    text[:, ::2] = END
    text[0] = PAD
    where = places(uniform_of(text, 0, "a"), text, 0.3, (END, PAD, MASK))
    assert where.shape == (20, 12) and (where.diff(dim=1) > 0).all()
    assert (text.gather(1, where)[1:] < END).all()
    assert count(3, 0.01) == 1


def test_targets_do_not_depend_on_how_a_batch_is_split_and_follow_from_the_seed() -> None:
    module, rows = bert().train(), tokens(6, 33)
    loss = objective(random=0.1, kept=0.1)
    whole = loss(module, Batch(rows))
    parts = torch.stack([loss(module, Batch(part)) for part in rows.split([1, 3, 2])])
    torch.testing.assert_close(whole, parts.sum())
    assert torch.equal(whole, loss(module, Batch(rows)))
    assert not torch.equal(whole, objective(seed=2, random=0.1, kept=0.1)(module, Batch(rows)))
    assert loss.targets(Batch(rows)) == sum(loss.targets(Batch(part)) for part in rows.split([1, 3, 2]))


def test_the_fused_loss_adds_the_bias_as_the_plain_one_does() -> None:
    results = []
    for head in (full_logits, chunked):
        module = bert(vocabulary=512).train()
        total = objective(head=head)(module, Batch(tokens(9, 65)))
        (total * 0.5).backward()
        results.append([total.detach(), *(weight.grad for weight in module.parameters())])
    for plain, fused in zip(*results, strict=True):
        torch.testing.assert_close(fused, plain, atol=1e-4, rtol=1e-4)


def test_scores_are_of_a_fixed_part_of_the_text_whatever_the_seed() -> None:
    module, rows = bert().eval(), tokens(6, 41)
    nats, hits, targets = objective().scored(module, Batch(rows))
    assert nats.shape == hits.shape == targets.shape == (6 * 6,) and (targets < END).all()
    assert nats.dtype == torch.float32 and hits.dtype == torch.bool
    assert not nats.requires_grad and nats.isfinite().all()
    again = objective(seed=5, rate=0.5).scored(module, Batch(rows))
    assert all(torch.equal(*pair) for pair in zip((nats, hits, targets), again, strict=True))
    torch.testing.assert_close(nats[:18], objective().scored(module, Batch(rows[:3]))[0])


@pytest.mark.parametrize("rates", [{"rate": 0.0}, {"rate": 1.0}, {"random": 0.6, "kept": 0.5}, {"random": -0.1}])
def test_rates_that_are_no_shares_are_refused(rates: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="shares"):
        objective(**rates)


# Learning a text, and what is read out of it


@pytest.fixture(scope="module")
def learnt() -> Bert:
    """A module that has read one row of 32 tokens, over and over, from every place in it."""
    module = Bert(shape_of(layers=2))
    module.initialize(0)
    choice = OptimizerChoice(
        name="muon",
        learning_rate=0.02,
        table_learning_rate=0.01,
        weight_decay=0.0,
        momentum=0.95,
        orthogonalize_steps=5,
    )
    optimizer = optimizers.make(choice, module.matrices(), module.embeddings_and_norms(), dtype=torch.float32)
    loss, text = objective(), TEXT.repeat(3)
    module.train()
    for step in range(120):
        loss.seed = step  # the same rows come again and again, and would have the same targets
        starts = [(5 * step + 8 * row) % 32 for row in range(8)]
        rows = torch.stack([text[start : start + 33] for start in starts])
        (loss(module, Batch(rows)) / loss.targets(Batch(rows))).backward()
        optimizer.step(optimizers.Rates(learning_rate=1.0 - step / 120))
        optimizer.clear()
    return module.eval()


TEXT = torch.randperm(END, generator=torch.Generator().manual_seed(0))[:32]


def test_a_text_is_learnt_by_heart(learnt: Bert) -> None:
    rows = torch.cat((TEXT, TEXT))[None, :33]
    nats, hits, _ = objective().scored(learnt, Batch(rows))
    assert hits.all() and nats.mean() < 0.2


def test_masks_are_filled_with_the_likeliest_tokens(learnt: Bert) -> None:
    text = TEXT.tolist()
    hidden = [MASK if place in (3, 20) else token for place, token in enumerate(text)]
    found = fills(learnt, hidden, MASK, known_tokens=END, count=4)
    assert [len(candidates) for candidates in found] == [4, 4]
    assert [candidates[0].token for candidates in found] == [text[3], text[20]]
    for candidates in found:
        shares = [candidate.probability for candidate in candidates]
        assert shares == sorted(shares, reverse=True) and shares[0] > 0.5 and sum(shares) <= 1.0001
        assert all(candidate.token < END for candidate in candidates)
    with torch.no_grad():
        plain = learnt(torch.tensor([hidden]))[0, 3, :END].softmax(-1)
    assert found[0][0].probability == pytest.approx(float(plain.max()), abs=1e-5)
    assert fills(learnt, text, MASK, known_tokens=END) == []
    assert sum(c.probability for c in fills(learnt, hidden, MASK, known_tokens=END, count=500)[0]) == pytest.approx(1)


def test_tokens_that_stand_for_no_text_are_not_offered(learnt: Bert) -> None:
    text = TEXT.tolist()
    hidden = [MASK if place == 3 else token for place, token in enumerate(text)]
    best, second = fills(learnt, hidden, MASK, known_tokens=END, count=2)[0]
    found = fills(learnt, hidden, MASK, known_tokens=END, never=[best.token], count=500)[0]
    assert len(found) == END - 1 and best.token not in [one.token for one in found]
    assert found[0].token == second.token
    assert found[0].probability == pytest.approx(second.probability / (1 - best.probability), rel=1e-3)


def test_pseudo_likelihood_masks_each_token_in_turn(learnt: Bert) -> None:
    text = TEXT.tolist()
    nats = pseudo_nats(learnt, text, MASK, batch=5)
    assert nats.shape == (32,) and nats.dtype == torch.float32 and nats.mean() < 0.2
    for place in (0, 17, 31):
        hidden = torch.tensor([[*text[:place], MASK, *text[place + 1 :]]])
        with torch.no_grad():
            alone = -learnt(hidden)[0, place].log_softmax(-1)[text[place]]
        torch.testing.assert_close(nats[place], alone, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(pseudo_nats(learnt, text, MASK, places=[4, 9]), nats[[4, 9]], atol=1e-4, rtol=1e-3)
    assert pseudo_nats(learnt, [], MASK).shape == (0,)
    wrong = [*text[:8], (text[8] + 1) % END, *text[9:]]
    assert pseudo_nats(learnt, wrong, MASK, places=[8])[0] > 2


def test_with_words_the_rest_of_a_word_is_masked_too(learnt: Bert, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    forward: Callable[..., Tensor] = learnt.forward

    def watched(rows: Tensor, **more: Any) -> Tensor:
        seen.extend(rows.tolist())
        return forward(rows, **more)

    monkeypatch.setattr(learnt, "forward", watched)
    pseudo_nats(learnt, [1, 2, 3, 4], MASK, words=[0, 1, 1, 2])
    assert seen == [[MASK, 2, 3, 4], [1, MASK, MASK, 4], [1, 2, MASK, 4], [1, 2, 3, MASK]]


def test_a_text_longer_than_the_context_is_read_through_windows() -> None:
    module = bert(context_length=16).eval()
    text = tokens(1, 50)[0].tolist()
    nats = pseudo_nats(module, text, MASK)
    assert nats.shape == (50,)
    with torch.no_grad():
        middle = -module(torch.tensor([[*text[17:25], MASK, *text[26:33]]]))[0, 8].log_softmax(-1)[text[25]]
    torch.testing.assert_close(nats[25], middle, atol=1e-4, rtol=1e-3)
    hidden = [*text[:49], MASK]
    assert len(fills(module, hidden, MASK, known_tokens=END)[0]) == 5
