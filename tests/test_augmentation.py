"""Augmentation: how much is changed, what is predicted, and that the same window is changed in the same way again."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from arrays import InMemory
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.clock import Stopwatch, TokensClock
from daybreak.core.errors import UsageError
from daybreak.core.types import Plan, Request, TechniqueChoice
from daybreak.data import augmentation
from daybreak.data.augmentation import uniform, uniform_of
from daybreak.data.batches import Batch, Batches
from daybreak.data.word_hashes import mixed
from daybreak.engine import loop
from daybreak.engine.losses import Around
from daybreak.models.objectives import following
from daybreak.tasks.next_token import NextToken
from daybreak.techniques import Context, class_of, fold, make
from daybreak.techniques.augmentation import BAG_OF_TOKENS, MASK, RATES, Augmentation
from daybreak.techniques.fill_in_the_middle import MIDDLE, PREFIX, SUFFIX
from daybreak.training.build import build
from daybreak.training.train import training_steps

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("noise", "masking")  # those that change inputs alone
TOKENS = InMemory([60, 7, 200, 33] * 20, first=100, vocabulary=7000)
T = 64


def batches(**changes: Any) -> Batches:
    return Batches(TOKENS, context_length=T, seed=0, **changes)


def folded(plan: Any, machine: Any, *choices: tuple[str, dict[str, Any]], **changes: Any) -> tuple[Any, Any]:
    """Batches and the loss with techniques on."""
    on = [(name, make(TechniqueChoice(name=name, settings=setting))) for name, setting in choices]
    tiny = plan()
    context = Context(plan=plan(tokenizer=tiny.tokenizer.replace(vocabulary=TOKENS.vocabulary)), machine=machine())
    loss, _ = fold(on, "loss", NextToken(), context)
    read, _ = fold(on, "batches", batches(**changes), context)
    return read, loss


# What they share

ON = {
    "noise": ("augmentation", {"kind": "noise"}),
    "masking": ("augmentation", {"kind": "masking"}),
    "swap": ("augmentation", {"kind": "swap"}),
    "fill_in_the_middle": ("fill_in_the_middle", {}),
}


def test_augmentation_is_off_and_refuses_what_it_cannot_do(plan, machine) -> None:
    assert not Augmentation.default
    for kind in ("swap", *KINDS):
        assert Augmentation(kind=kind).refuses(plan(), machine()) is None
        assert "rate" in (Augmentation(kind=kind, rate=1.5).refuses(plan(), machine()) or "")
        once = Augmentation(kind=kind).refuses(plan(tokens=plan().predicted.corpus_tokens), machine())
        assert "1.0 times" in (once or "")
    pieces = plan(tokenizer=plan().tokenizer.replace(kind="unigram"))
    assert Augmentation(kind="noise").refuses(pieces, machine()) is None
    for technique in (Augmentation(kind="masking"), class_of("fill_in_the_middle")()):
        assert "unigram" in (technique.refuses(pieces, machine()) or "")
    with pytest.raises(UsageError, match="unknown kind") as error:
        Augmentation(kind="noize").refuses(plan(), machine())
    assert "'noise'" in error.value.attempt


def test_the_middle_is_put_last_the_same_wherever_a_run_resumes_and_on_any_number_of_processes(plan, machine) -> None:
    on = ("fill_in_the_middle", {})
    read, _ = folded(plan, machine, on)
    whole = read.take(0, 200).tokens
    assert whole.shape == (200, T + 1) and whole.dtype == torch.int64
    for cursor, rows in ((199, 1), (60, 5), (0, 7), (90, 100)):
        assert torch.equal(folded(plan, machine, on)[0].take(cursor, rows).tokens, whole[cursor : cursor + rows])
    for rank in range(3):
        part, _ = folded(plan, machine, on, rank=rank, world=3)
        assert torch.equal(part.take(0, 200).tokens, whole[rank::3])
        assert part.take(0, 1).tokens.shape == (int(rank == 0), T + 1)  # too few for all
    assert not torch.equal(whole, batches().take(0, 200).tokens)
    assert read.tokens is TOKENS and read.context_length == T


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_are_changed_the_same_however_a_batch_is_split_and_targets_never(kind: str, plan, machine) -> None:
    read, loss = folded(plan, machine, ON[kind])
    rows = read.take(0, 40).tokens
    assert torch.equal(rows, batches().take(0, 40).tokens) and torch.equal(loss.labels(rows), following(rows))
    inputs = loss.inputs(rows)
    assert inputs.shape == (40, T) and not torch.equal(inputs, rows[:, :-1])
    assert torch.equal(inputs, torch.cat([loss.inputs(part) for part in rows.split(7)]))
    assert torch.equal(inputs, folded(plan, machine, ON[kind])[1].inputs(rows))
    assert torch.equal(inputs == TOKENS.end_of_text, rows[:, :-1] == TOKENS.end_of_text)
    assert loss.targets(Batch(rows)) == 40 * T


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_of_the_inputs_is_replaced_by_default_or_as_set(kind: str, plan, machine) -> None:
    for rate, share in ((0.0, RATES[kind]), (0.3, 0.3)):
        read, loss = folded(plan, machine, ("augmentation", {"kind": kind, "rate": rate}))
        rows = read.take(0, 400).tokens
        before = rows[:, :-1]
        changed = float((loss.inputs(rows) != before)[before != TOKENS.end_of_text].float().mean())
        assert changed == pytest.approx(share, rel=0.06)


def test_a_swap_changes_inputs_and_targets_together_and_the_same_however_a_batch_is_split(plan, machine) -> None:
    read, loss = folded(plan, machine, ON["swap"])
    rows = read.take(0, 40).tokens
    inputs, labels = loss.inputs(rows), loss.labels(rows)
    assert not torch.equal(inputs, rows[:, :-1]) and torch.equal(inputs[:, 1:], labels[:, :-1])
    assert torch.equal(inputs, torch.cat([loss.inputs(part) for part in rows.split(7)]))
    assert torch.equal(labels, torch.cat([loss.labels(part) for part in rows.split(7)]))
    assert torch.equal(torch.sort(torch.cat([inputs, labels[:, -1:]], 1)).values, torch.sort(rows).values)


@pytest.mark.parametrize("rate", [0.02, 0.2, 0.5])
def test_swapped_tokens_are_neighbours_and_as_many_as_asked(rate: float) -> None:
    rows = torch.arange(1000, 2000).tile(200, 1)
    rows[:, ::100] = 9
    drawn = torch.from_numpy(uniform(0, "one", np.arange(200), 1000))
    moved = augmentation.swapped(rows, drawn, rate, end_of_text=9)
    assert torch.equal(moved.sort(1).values, rows.sort(1).values) and torch.equal(moved == 9, rows == 9)
    distance = (moved - rows).abs()
    assert int(distance.max()) == 1
    assert float(distance.float().mean()) == pytest.approx(0.98 * rate, rel=0.05)  # borders of texts stay


def test_targets_beside_a_teacher_are_of_the_swapped_text(plan, machine) -> None:
    """Else an input that was swapped would be the target itself."""
    on = [("augmentation", Augmentation()), ("ngram_teacher", class_of("ngram_teacher")())]
    loss, _ = fold(on, "loss", NextToken(), Context(plan=plan(), machine=machine()))
    rows = batches().take(0, 20).tokens
    assert torch.equal(loss.inputs(rows)[:, 1:], loss.labels(rows)[:, :-1])


def test_older_plans_go_on_with_the_same_inputs(plan, machine) -> None:
    """As `token_noise` and `span_masking` drew them: the same rows, digested with that version."""
    for name, kind, digest in (
        ("token_noise", "noise", "3ab64c0c909205f4"),
        ("span_masking", "masking", "efd657a706723f35"),
    ):
        old = plan().to_json() | {"techniques": [{"name": name, "settings": {"rate": 0.2}}]}
        (choice,) = Plan.from_json(old).techniques
        assert choice == TechniqueChoice(name="augmentation", settings={"kind": kind, "rate": 0.2})
        read, loss = folded(plan, machine, (choice.name, choice.settings))
        inputs = loss.inputs(read.take(0, 40).tokens)
        assert hashlib.sha256(inputs.numpy().tobytes()).hexdigest()[:16] == digest
    asked = {"include": [name, "ema"], "technique_settings": {name: {"rate": "0.2"}}}
    request = Request.from_json(Request(sources=("-",), seconds=60.0).to_json() | asked)
    assert request.include == ("augmentation", "ema")
    assert request.technique_settings == {"augmentation": {"kind": kind, "rate": "0.2"}}


@pytest.mark.parametrize(
    ("name", "attempt"),
    [
        ("token_noise", "--with augmentation:kind=noise,"),
        ("span_masking", "--with augmentation:kind=masking,"),
        ("token_swap", "--with augmentation:kind=swap,"),
        ("token_deletion", "--with augmentation,"),
    ],
)
def test_the_names_that_are_gone_say_what_to_use(name: str, attempt: str) -> None:
    with pytest.raises(UsageError, match="no longer exists") as error:
        class_of(name)
    assert error.value.received == name and attempt in error.value.attempt


@pytest.mark.parametrize("name", ["token_swap", "token_deletion"])
def test_an_old_run_that_nothing_does_the_same_as_is_refused_by_the_name_of_its_technique(name, plan, machine) -> None:
    old = plan().to_json() | {"techniques": [{"name": name, "settings": {}}]}
    with pytest.raises(UsageError, match="no longer exists") as error:
        build(Plan.from_json(old), machine(), torch.device("cpu"))
    assert error.value.received == name


def test_a_loss_around_another_changes_the_inputs_of_the_one_inside(plan, machine) -> None:
    read, loss = folded(plan, machine, ON["masking"])
    around = Around(loss)
    assert around.inputs is loss.inputs
    around.inputs = lambda rows: rows[:, :-1] * 0
    assert int(loss.inputs(read.take(0, 2).tokens).sum()) == 0


def test_together_each_does_its_part(plan, machine) -> None:
    read, loss = folded(plan, machine, *(ON[on] for on in ("noise", "masking", "fill_in_the_middle")))
    rows = read.take(3, 50).tokens
    assert rows.shape == (50, T + 1) and torch.equal(rows, read.take(0, 53).tokens[3:])
    inputs = loss.inputs(rows)
    assert {PREFIX, SUFFIX, MIDDLE} <= set(rows.flatten().tolist())
    assert 0.03 < float((inputs == MASK).float().mean()) < 0.2
    noise = (inputs != rows[:, :-1]) & (inputs != MASK)
    assert 0.01 < float(noise.float().mean()) < 0.1


@pytest.mark.parametrize("on", ON)
def test_a_run_that_resumes_is_the_same_to_the_last_bit(on: str, plan, machine, shape) -> None:
    """Four steps at once, and two with the weights handed over to a newly built run for two more."""
    name, setting = ON[on]
    tokens = InMemory([20, 50] * 20, first=40, vocabulary=1600)
    chosen = plan(
        tokenizer=plan().tokenizer.replace(vocabulary=1600),
        shape=shape(vocabulary=1600),
        techniques=(TechniqueChoice(name=name, settings={**setting, "rate": 0.3}),),
        tokens=4 * 64,
        batch_tokens=64,
        micro_batch=2,
    )

    def run(position: loop.Position, steps: int, before: Any = None) -> Any:
        built = build(chosen, machine(), torch.device("cpu"))
        if before is not None:
            built.module.load_state_dict(before.module.state_dict())
            built.optimizer.load(before.optimizer.state())
        read, _ = fold(built.techniques, "batches", Batches(tokens, context_length=16, seed=0), built.context)
        clock = TokensClock(Stopwatch(start=0.0), tokens=chosen.tokens)
        clock.resume(position.tokens)
        taken = training_steps(chosen, built, read, clock, position)
        losses = [step.nats for step in itertools.islice(taken, steps)]
        return built, losses

    whole, losses = run(loop.Position(), 4)
    position = loop.Position()
    first, begun = run(position, 2)
    second, ended = run(position, 2, first)
    assert begun + ended == losses and len(losses) == 4
    for one, other in zip(whole.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(one, other)


# Random numbers


def test_numbers_are_even_and_apart() -> None:
    drawn = uniform(1, "one", np.arange(3000), 30)
    assert drawn.min() >= 0 and drawn.max() < 1 and drawn.mean() == pytest.approx(0.5, abs=0.005)
    assert np.abs(np.corrcoef(drawn[:, :5].T) - np.eye(5)).max() < 0.08
    assert np.array_equal(drawn[7:9, :20], uniform(1, "one", np.array([7, 8]), 20))
    for seed, name in ((2, "one"), (1, "other"), (-1, "one")):
        other = uniform(seed, name, np.arange(3000), 30)
        assert abs(np.corrcoef(drawn.ravel(), other.ravel())[0, 1]) < 0.02


def test_numbers_of_rows_are_even_and_of_their_row() -> None:
    rows = torch.from_numpy(np.random.default_rng(0).integers(0, 5000, (300, 65)))
    drawn = uniform_of(rows, 1, "token_noise")
    assert drawn.shape == rows.shape and drawn.min() >= 0 and drawn.max() < 1
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.01)
    assert torch.equal(drawn[5:6], uniform_of(rows[5:6], 1, "token_noise"))
    changed = rows.clone()
    changed[0, 64] += 1
    assert float((uniform_of(changed, 1, "token_noise")[0] == drawn[0]).float().mean()) < 0.05
    moved = rows[:1].roll(1, 1)
    assert not torch.equal(uniform_of(moved, 1, "token_noise"), drawn[:1])


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
def test_torch_mixes_as_numpy_does(values: list[int]) -> None:
    array = np.array(values, dtype=np.uint64)
    assert augmentation._mixed(torch.from_numpy(array.view(np.int64))).numpy().view(np.uint64).tolist() == (
        mixed(array).tolist()
    )


# One by one


def test_noise_is_drawn_as_tokens_are_frequent() -> None:
    tokens = InMemory([1000] * 10)
    tokens.ids[:] = np.random.default_rng(0).choice([3, 4, 5], len(tokens), p=[0.7, 0.2, 0.1])
    tokens.ids[tokens.starts] = tokens.end_of_text
    bag = augmentation.bag_of(tokens, 0, 1 << 14)
    assert np.bincount(bag)[3:] / len(bag) == pytest.approx([0.7, 0.2, 0.1], abs=0.02)
    assert np.array_equal(bag, augmentation.bag_of(tokens, 0, 1 << 14)) and tokens.end_of_text not in bag
    rows = torch.arange(64_000).reshape(1000, 64) + 100
    drawn = uniform_of(rows, 0, "token_noise")
    inputs = augmentation.noised(rows, drawn, 0.1, torch.from_numpy(bag), end_of_text=tokens.end_of_text)
    changed = inputs[inputs != rows].numpy()
    assert len(changed) / rows.numel() == pytest.approx(0.1, abs=0.006)
    assert np.bincount(changed)[3:] / len(changed) == pytest.approx([0.7, 0.2, 0.1], abs=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_a_text_stays_where_its_token_is_not_the_last(kind: str, plan, machine) -> None:
    """As in checkpoints of Llama, BERT and T5, whose `</s>` or `[SEP]` is one of the first tokens."""
    tokenizer = plan().tokenizer.replace(vocabulary=7000, end_of_text=2)
    on = [("augmentation", Augmentation(kind=kind, rate=0.9))]
    context = Context(plan=plan(tokenizer=tokenizer), machine=machine())
    loss, _ = fold(on, "loss", NextToken(), context)
    context.leave(BAG_OF_TOKENS, torch.full((64,), 5))
    rows = torch.from_numpy(np.random.default_rng(0).integers(100, 7000, (64, 65)))
    ends = torch.from_numpy(np.random.default_rng(1).random((64, 65)) < 0.2)
    rows[ends], rows[~ends & (rows % 5 == 0)] = 2, 6999
    inputs = loss.inputs(rows)
    before = rows[:, :-1]
    assert (inputs[before == 2] == 2).all()
    assert float((inputs[before == 6999] != 6999).float().mean()) > 0.5  # a token as any other


def test_without_a_sample_there_is_no_noise(plan, machine) -> None:
    """While a probe times steps, there is no text."""
    context = Context(plan=plan(), machine=machine())
    loss, _ = fold([("augmentation", Augmentation(kind="noise"))], "loss", NextToken(), context)
    rows = torch.arange(34).reshape(2, 17)
    assert torch.equal(loss.inputs(rows), rows[:, :-1])


@pytest.mark.parametrize(("rate", "longest"), [(0.1, 5), (0.1, 1), (0.4, 3), (0.3, 40)])
def test_spans_cover_the_share_and_are_no_longer_than_asked(rate: float, longest: int) -> None:
    rows = torch.from_numpy(np.random.default_rng(1).integers(10, 500, (800, 256)))
    drawn = uniform_of(rows, 0, "span_masking")
    inputs = augmentation.masked(rows, drawn, rate, longest, MASK, end_of_text=9)
    share = float((inputs == MASK)[:, longest:].float().mean())
    assert share == pytest.approx(rate, rel=0.04)
    assert torch.equal(inputs[inputs != MASK], rows[inputs != MASK])
    by_hand = augmentation.masked(
        rows[:1, :8], torch.tensor([[0.9, 0.9, 0.0, 0.9, 0.9, 0.9, 0.9, 0.9]]), 0.1, 3, MASK, end_of_text=9
    )
    assert (by_hand == MASK).tolist() == [[False, False, True, False, False, False, False, False]]


def test_a_span_as_long_as_it_gets_and_one_over_an_end_of_text() -> None:
    rows = torch.tensor([[5, 6, 9, 7, 8, 5]])
    chance = augmentation.chance_of_a_span(0.1, 3)
    assert (1 - chance) * (1 - chance * 2 / 3) * (1 - chance / 3) == pytest.approx(0.9)
    drawn = torch.tensor([[0.9, chance * 0.99, 0.9, 0.9, 0.9, 0.9]], dtype=torch.float64)
    assert augmentation.masked(rows, drawn, 0.1, 3, MASK, end_of_text=9).tolist() == [[5, MASK, 9, MASK, 8, 5]]


# Fill in the middle

END = 99


def put_back(document: list[int]) -> list[int]:
    """A document as it was before its middle was put last."""
    if PREFIX not in document:
        return document
    if document[document.index(PREFIX) + 1] == SUFFIX:
        _, _, rest = document[0], document[1], document[2:]
        suffix, last = rest[: rest.index(MIDDLE)], rest[rest.index(MIDDLE) + 1 :]
        return last + suffix
    inside = document[1:]
    prefix, rest = inside[: inside.index(SUFFIX)], inside[inside.index(SUFFIX) + 1 :]
    return prefix + rest[rest.index(MIDDLE) + 1 :] + rest[: rest.index(MIDDLE)]


def split_at(row: list[int]) -> list[list[int]]:
    documents: list[list[int]] = [[]]
    for token in row:
        if token == END:
            documents.append([])
        else:
            documents[-1].append(token)
    return documents


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(1, 25), min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 10**6),
)
def test_the_middle_comes_last_and_the_text_is_the_same(lengths, begins, suffix_first, number) -> None:
    row: list[int] = []
    for index, length in enumerate(lengths):
        row += [END] * (index > 0 or begins) + list(range(100 + 30 * index, 100 + 30 * index + length))
    rows = np.array([row])
    drawn = uniform(0, "fill_in_the_middle", np.array([number]), 4 * len(row))
    marks = (PREFIX, SUFFIX, MIDDLE)
    for rate in (0.0, 0.5, 1.0):
        changed = augmentation.infilled(
            rows, drawn, rate=rate, suffix_first=suffix_first, end_of_text=END, sentinels=marks
        )
        assert changed.shape == rows.shape
        if rate == 0.0:
            assert changed.tolist() == rows.tolist()
        before, after = split_at(row), split_at(changed[0].tolist())
        for original, document in zip(before, after[: len(before)], strict=False):
            restored = put_back(document)
            assert restored == original[: len(restored)], "a beginning of the document"
            assert document.count(PREFIX) == document.count(SUFFIX) == document.count(MIDDLE) <= 1
            if suffix_first == 1.0 and PREFIX in document:
                assert document[:2] == [PREFIX, SUFFIX]


def test_a_row_inside_a_long_document_ends_its_middle() -> None:
    row = np.arange(100, 140)[None]
    drawn = np.array([[0.0, 0.25, 0.5, 0.9] + [0.0] * 156])
    changed = augmentation.infilled(
        row, drawn, rate=0.5, suffix_first=0.5, end_of_text=END, sentinels=(PREFIX, SUFFIX, MIDDLE)
    )
    low, high = int(0.25 * 37), int(0.5 * 37)  # of the 36 tokens that leave room for three marks and an end
    body = list(range(100, 136))
    assert changed[0].tolist() == [
        PREFIX, *body[:low], SUFFIX, *body[high:], MIDDLE, *body[low:high], END,
    ]  # fmt: skip
