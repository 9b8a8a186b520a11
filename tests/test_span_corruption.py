"""Span corruption: texts that can be put together again, in fixed sizes, the same however a batch is split."""

from __future__ import annotations

import functools
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.errors import UsageError
from daybreak.core.shapes import T5Shape
from daybreak.core.types import Specials
from daybreak.data.augmentation import uniform_of
from daybreak.data.batches import Batch
from daybreak.models.fused_loss import chunked
from daybreak.models.inference import infill
from daybreak.models.t5 import T5
from daybreak.tasks import span_corruption
from daybreak.tasks.span_corruption import SpanCorruption

pytestmark = pytest.mark.usefixtures("one_thread")

END = 199
SPECIALS = Specials(pad=200, sentinels=tuple(range(300, 200, -1)))  # T5's own are counted downwards


def corruption(seed: int = 0, **how: object) -> SpanCorruption:
    drawn = functools.partial(uniform_of, seed=seed, name="spans")
    return SpanCorruption(SPECIALS, end_of_text=END, drawn=drawn, **how)  # type: ignore[arg-type]


def rows_of(count: int, length: int, seed: int = 0) -> torch.Tensor:
    """Ends of texts are among them."""
    return torch.randint(200, (count, length + 1), generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(2, 300),
    density=st.floats(0.01, 0.99),
    mean_span=st.floats(1.0, 10.0),
    seed=st.integers(0, 2**31),
)
def test_any_text_is_put_together_again(length: int, density: float, mean_span: float, seed: int) -> None:
    rows = rows_of(3, length, seed)
    loss = corruption(seed, density=density, mean_span=mean_span)
    removed, count = span_corruption.counts(length, density, mean_span)
    if count > len(SPECIALS.sentinels):
        with pytest.raises(UsageError, match="more spans"):
            loss.examples(Batch(rows))
        return
    read, decoder_inputs, targets = loss.examples(Batch(rows))
    assert (read.shape[1], targets.shape[1]) == span_corruption.sizes(length, density, mean_span)
    assert loss.targets(Batch(rows)) == targets.numel()
    used = list(SPECIALS.sentinels[:count])
    for row, before, written, shifted in zip(
        rows, read.tolist(), targets.tolist(), decoder_inputs.tolist(), strict=True
    ):
        assert shifted == [SPECIALS.pad, *written[:-1]]
        assert before[-1] == written[-1] == END and written[0] == used[0]
        assert [token for token in before if token > 200] == [token for token in written if token > 200] == used
        # No two spans touch, and none is empty.
        assert all(one <= 200 or other <= 200 for one, other in [*pairwise(before), *pairwise(written)])
        assert infill.filled(before[:-1], written[:-1], SPECIALS.sentinels) == row[:-1].tolist()
        assert len(written) - len(used) - 1 == removed


def test_every_division_is_as_likely() -> None:
    # 2 of 5 tokens in 2 spans: 1 way to divide what goes, 2 to divide what stays; 3 of 6 in 2: 2 ways and 2.
    for length, removed, ways in ((5, 2, 2), (6, 3, 4)):
        drawn = torch.rand(4000, length, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        gone = span_corruption.removed_places(drawn, removed, 2)
        assert not gone[:, 0].any() and gone[:, -1].all() and (gone.sum(1) == removed).all()
        found = gone.unique(dim=0, return_counts=True)[1]
        assert len(found) == ways and (found / 4000 - 1 / ways).abs().max() < 0.04


def test_the_counts_of_the_paper() -> None:
    assert span_corruption.counts(512) == (77, 26) and span_corruption.sizes(512) == (462, 104)
    assert span_corruption.sizes(568) == (
        512,
        114,
    )  # 568 tokens of text fill an encoder of 512 (arXiv:1910.10683's own code)
    assert span_corruption.counts(2) == (1, 1)


def test_spans_follow_from_the_seed_and_the_row_alone() -> None:
    rows = rows_of(6, 64)
    whole = corruption().examples(Batch(rows))
    parts = [corruption().examples(Batch(part)) for part in rows.split((1, 2, 3))]
    for index, together in enumerate(whole):
        assert torch.equal(together, torch.cat([part[index] for part in parts]))
    last = rows.clone()
    last[:, -1] = 0  # the token that is left out
    assert torch.equal(corruption().examples(Batch(last))[0], whole[0])
    assert not torch.equal(corruption(seed=1).examples(Batch(rows))[0], whole[0])
    assert not torch.equal(whole[0] > 200, whole[0][:1].expand_as(whole[0]) > 200)


@pytest.fixture(scope="module")
def module() -> T5:
    module = T5(
        T5Shape(
            vocabulary=320,
            layers=1,
            decoder_layers=1,
            width=32,
            heads=2,
            head_dim=16,
            mlp_width=64,
            context_length=64,
        )
    )
    module.initialize(0)
    torch.nn.init.normal_(module.lm_head.weight, 0.0, 0.1)
    return module


def test_the_loss_is_the_sum_of_its_parts_and_of_what_is_scored(module: T5) -> None:
    loss, rows = corruption(), rows_of(6, 64)
    whole = loss(module.train(), Batch(rows))
    parts = [loss(module, Batch(part)) for part in rows.split((1, 2, 3))]
    torch.testing.assert_close(sum(parts), whole)
    loss.head = chunked
    torch.testing.assert_close(loss(module, Batch(rows)), whole)
    nats, hits, targets = loss.scored(module.eval(), Batch(rows))
    assert torch.equal(targets, loss.examples(Batch(rows))[2].flatten())
    assert nats.shape == hits.shape == (loss.targets(Batch(rows)),) and nats.dtype == torch.float32
    assert hits.dtype == torch.bool and not nats.requires_grad
    torch.testing.assert_close(nats.sum(), whole.detach(), atol=1e-2, rtol=1e-5)
    assert torch.equal(loss.scored(module, Batch(rows))[0], nats)


@pytest.mark.parametrize(
    ("length", "density", "mean_span", "told"),
    [(2048, 0.15, 3.0, "102 spans"), (64, 0.0, 3.0, "0 in spans"), (64, 1.0, 3.0, "of 1 in"), (1, 0.15, 3.0, "of 1")],
)
def test_spans_that_cannot_be_are_told(length: int, density: float, mean_span: float, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        span_corruption.check(length, SPECIALS.sentinels, density, mean_span)
    assert told in str(raised.value)
    span_corruption.check(2000, SPECIALS.sentinels)


# What was written, put back


def test_gaps_are_filled_with_what_is_there() -> None:
    one, two, three = SPECIALS.sentinels[:3]
    assert infill.filled([5, one, 6, two, END], [one, 1, 2, two, 3], SPECIALS.sentinels) == [5, 1, 2, 6, 3, END]
    assert infill.filled([5, one, 6, two], [two, 3], SPECIALS.sentinels) == [5, 6, 3]
    assert infill.filled([one, one], [9, one, 1, one, 2, three, 4], SPECIALS.sentinels) == [1, 1]
    assert infill.spans_of([], SPECIALS.sentinels) == {}


def test_what_is_written_is_text_or_sentinels(module: T5) -> None:
    def written(**how: object) -> list[int]:
        inputs = [*range(20), SPECIALS.sentinels[0], END]
        return list(infill.written(module.eval(), inputs, specials=SPECIALS, end_of_text=END, **how))  # type: ignore[arg-type]

    sampled = written(max_tokens=300, temperature=5.0, known_tokens=100, seed=1)
    assert sampled == written(max_tokens=300, temperature=5.0, known_tokens=100, seed=1)
    assert set(sampled) <= {*range(100), *SPECIALS.sentinels} and len(sampled) == 300  # END is beyond the known ones
    assert sampled != written(max_tokens=300, temperature=5.0, known_tokens=100, seed=2)
    assert written(max_tokens=0) == []
