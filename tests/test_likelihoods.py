"""Likelihoods: those of continuations against plain sums, whatever the batch, the padding and the length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from daybreak.core.shapes import LstmShape
from daybreak.core.types import Specials
from daybreak.models.gpt import Gpt
from daybreak.models.inference.cloze import Infilled, Masked
from daybreak.models.inference.likelihood import STEP, Causal, Counted, Likelihood, Pair, Window, batches, windows
from daybreak.models.inference.predictors import Counts, Network
from daybreak.models.inference.sampling import Sampling
from daybreak.models.lstm import Lstm
from daybreak.models.ngram.kneser_ney import KneserNey
from daybreak.models.objectives import token_nats

END = 40
EQUAL = {"abs": 2e-5, "rel": 1e-5}  # what sums in another order may differ by

pytestmark = pytest.mark.usefixtures("one_thread", "no_gradients")


@pytest.fixture
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def drawn(count: int, *, longest: int = 30, seed: int = 0) -> list[Pair]:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, longest, (count, 2))
    return [Pair(*(generator.integers(0, END, n).tolist() for n in (before, after + 1))) for before, after in lengths]


def values(found: Sequence[Likelihood]) -> list[float]:
    return [one.log_likelihood for one in found]


# Windows


def test_what_fits_is_one_window_from_the_beginning_of_a_document() -> None:
    assert windows(Pair([1, 2], [3, 4]), END, 4) == ([Window((END, 1, 2, 3, 4), 2)], False)
    assert windows(Pair([], [3]), END, 4) == ([Window((END, 3), 1)], False)


def test_a_long_context_loses_its_beginning() -> None:
    assert windows(Pair([1, 2, 3], [4, 5]), END, 4) == ([Window((1, 2, 3, 4, 5), 2)], True)
    assert windows(Pair([1, 2, 3, 4, 5], [6]), END, 4) == ([Window((2, 3, 4, 5, 6), 1)], True)


def test_a_continuation_longer_than_the_context_is_predicted_in_parts_and_each_token_once() -> None:
    found, cut = windows(Pair([], range(10)), END, 4)
    # As lm-eval documents rolling windows: the last has as much before it as fits.
    assert found == [Window((END, 0, 1, 2, 3), 4), Window((3, 4, 5, 6, 7), 4), Window((5, 6, 7, 8, 9), 2)]
    assert cut


def test_rows_of_a_batch_are_of_one_length_in_steps_and_the_longest_come_first() -> None:
    made = [Window(tuple(range(length)), 1) for length in (3, 40, 17, 18, 2, 90, 17)]
    found = list(batches(made, 2, 64))
    assert [[len(window.tokens) for window in batch] for batch in found] == [[90], [40], [18], [3, 17], [2, 17]]
    assert STEP == 16


# Networks


@pytest.fixture
def causal(network: Callable[..., Gpt]) -> Callable[..., Causal]:
    def made(batch: int = 16, **changes: object) -> Causal:
        return Causal(
            Network(network(context_length=64, layers=2, **changes), end_of_text=END, known_tokens=END + 1), batch=batch
        )

    return made


def test_a_likelihood_is_the_sum_over_the_continuation(causal: Callable[..., Causal]) -> None:
    scorer = causal()
    for pair, found in zip(drawn(8), scorer.log_likelihoods(drawn(8)), strict=True):
        row = torch.tensor([[END, *pair.context, *pair.continuation]])
        nats = token_nats(scorer.module, row[:, :-1], row[:, 1:])[0, -len(pair.continuation) :]
        assert found.log_likelihood == pytest.approx(-float(nats.sum()), **EQUAL)
        assert not found.cut


@pytest.mark.parametrize("changes", [{}, {"positions": "alibi"}, {"logit_cap": 10.0}], ids=str)
def test_no_batch_changes_a_likelihood(causal: Callable[..., Causal], changes: dict[str, object]) -> None:
    pairs = drawn(30, longest=60)
    whole = causal(16, **changes).log_likelihoods(pairs)
    for batch in (1, 3):
        found = causal(batch, **changes).log_likelihoods(pairs)
        assert values(found) == pytest.approx(values(whole), **EQUAL)
        assert [one[1:] for one in found] == [one[1:] for one in whole]
    alone = [causal(**changes).log_likelihoods([pair])[0] for pair in pairs]
    assert values(alone) == pytest.approx(values(whole), **EQUAL)


def test_equal_options_are_equally_likely_to_the_last_bit(causal: Callable[..., Causal]) -> None:
    pairs = drawn(5)
    found = causal(2).log_likelihoods([*pairs, *reversed(pairs)])
    assert found[:5] == found[:4:-1]


def test_a_long_text_is_the_sum_of_its_windows(causal: Callable[..., Causal]) -> None:
    scorer = causal()
    text = np.random.default_rng(0).integers(0, END, 150).tolist()
    (found,) = scorer.log_likelihoods([Pair([], text)])
    stream = torch.tensor([END, *text])
    expected = sum(
        float(token_nats(scorer.module, stream[None, a:b], stream[None, a + 1 : b + 1])[0, -count:].sum())
        for a, b, count in ((0, 64, 64), (64, 128, 64), (86, 150, 22))
    )
    assert found.log_likelihood == pytest.approx(-expected, **EQUAL) and found.cut


def test_what_greedy_decoding_writes_is_greedy_and_else_it_is_not(causal: Callable[..., Causal]) -> None:
    scorer = causal()
    network = Network(scorer.module, end_of_text=END, known_tokens=END + 1)
    written = list(network.continuation([1, 2, 3], Sampling(max_tokens=6, temperature=0.0)))
    other = [*written[:-1], (written[-1] + 1) % END]
    assert written
    found = scorer.log_likelihoods([Pair([1, 2, 3], written), Pair([1, 2, 3], other)])
    assert [one.greedy for one in found] == [True, False]


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_a_recurrent_network_is_scored_alike(cell: str) -> None:
    module = Lstm(LstmShape(vocabulary=64, layers=1, width=32, context_length=64, cell=cell))
    module.initialize(0)
    pairs = drawn(6)
    found = Causal(Network(module, end_of_text=END, known_tokens=END + 1)).log_likelihoods(pairs)
    for pair, one in zip(pairs, found, strict=True):
        row = torch.tensor([[END, *pair.context, *pair.continuation]])
        nats = token_nats(module, row[:, :-1], row[:, 1:])[0, -len(pair.continuation) :]
        assert one.log_likelihood == pytest.approx(-float(nats.sum()), **EQUAL)


# Counts


@pytest.fixture
def counts() -> Counts:
    generator = np.random.default_rng(1)
    stream = generator.integers(0, 6, 3000)
    stream[::50] = END
    model = KneserNey.fit(stream, order=3, vocabulary=END + 1, starts=np.flatnonzero(stream == END))
    return Counts(model, end_of_text=END)


def test_counts_give_the_sum_too(counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [Pair([token % 6 for token in context], [token % 6 for token in rest]) for context, rest in drawn(20)]
    found = Counted(counts).log_likelihoods(pairs)
    for pair, one in zip(pairs, found, strict=True):
        nats, _ = counts.stream(np.array([END, *pair.context, *pair.continuation]))
        assert one.log_likelihood == pytest.approx(-nats[1 + len(pair.context) :].sum(), rel=1e-12)
    monkeypatch.setattr("daybreak.models.inference.likelihood.COUNTED_AT_ONCE", 20)
    assert Counted(counts).log_likelihoods(pairs) == found


def test_counts_cannot_tell_what_is_beyond_their_order(counts: Counts) -> None:
    far, near = Counted(counts), Pair([5, 1, 2, 3], [4])
    assert far.log_likelihoods([near, Pair([0, 1, 2, 3], [4])])[0] == far.log_likelihoods([near])[0]


def test_counts_tell_what_is_greedy_where_they_are_asked(counts: Counts) -> None:
    likeliest = int(counts.ngram.distribution([1, 2]).argmax())
    pairs = [Pair([1, 2], [likeliest]), Pair([1, 2], [(likeliest + 1) % 6])]
    assert [one.greedy for one in Counted(counts).log_likelihoods(pairs, greedy=True)] == [True, False]
    assert [one.greedy for one in Counted(counts).log_likelihoods(pairs)] == [False, False]


# Models that read both sides: anything with their calls, small enough to be summed by hand


class Both(torch.nn.Module):
    """Logits of a place from the mean of all tokens that may be seen, and from those beside it."""

    def __init__(self, context_length: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.shape = SimpleNamespace(context_length=context_length)
        self.table = torch.randn(64, 8, generator=generator)
        self.lm_head = torch.nn.Linear(8, 64, bias=False)
        with torch.no_grad():
            self.lm_head.weight.normal_(generator=generator)

    def forward(
        self, tokens_BT: torch.Tensor, attention_mask: torch.Tensor | None = None, where_BP: torch.Tensor | None = None
    ) -> torch.Tensor:
        seen = torch.ones_like(tokens_BT) if attention_mask is None else attention_mask
        x_BTD = self.table[tokens_BT] * seen[..., None]
        x_BTD = x_BTD.sum(1, keepdim=True) / seen.sum(1)[:, None, None] + x_BTD.roll(1, 1) + 0.5 * x_BTD.roll(-1, 1)
        if where_BP is not None:
            x_BTD = x_BTD.gather(1, where_BP[..., None].expand(-1, -1, 8))
        return self.lm_head(x_BTD)


class Gap(Both):
    """Written tokens from those before them and from what was read."""

    def forward(  # type: ignore[override]
        self, inputs_BS: torch.Tensor, begun_BT: torch.Tensor, mask_BS: torch.Tensor | None = None
    ) -> torch.Tensor:
        seen = torch.ones_like(inputs_BS) if mask_BS is None else mask_BS
        read_B1D = (self.table[inputs_BS] * seen[..., None]).sum(1, keepdim=True) / seen.sum(1)[:, None, None]
        return self.lm_head(read_B1D + self.table[begun_BT].cumsum(1))


SPECIALS = Specials(pad=END + 1, mask=END + 2, sentinels=(END + 3, END + 4))
KNOWN = {"specials": SPECIALS, "end_of_text": END, "known_tokens": END + 1}


def test_a_masked_model_tells_each_token_from_all_others() -> None:
    module, pairs = Both(64), drawn(6, longest=20)
    found = Masked(module, **KNOWN, batch=4).log_likelihoods(pairs)
    for pair, one in zip(pairs, found, strict=True):
        text, total = [END, *pair.context, *pair.continuation, END], 0.0
        for place in range(1 + len(pair.context), len(text) - 1):
            row = torch.tensor([[*text[:place], SPECIALS.mask, *text[place + 1 :]]])
            total += float(torch.log_softmax(module(row)[0, place], -1)[text[place]])
        assert one.log_likelihood == pytest.approx(total, **EQUAL) and not one.cut
    alone = [Masked(module, **KNOWN, batch=1).log_likelihoods([pair])[0] for pair in pairs]
    assert values(alone) == pytest.approx(values(found), **EQUAL)


def test_a_masked_model_reads_a_long_text_through_a_window() -> None:
    module = Both(8)
    text = [END, *range(20), END]
    (found,) = Masked(module, **KNOWN).log_likelihoods([Pair(list(range(18)), [18, 19])])
    total = 0.0
    for place in (19, 20):
        row = [*text[:place], SPECIALS.mask, *text[place + 1 :]][14:]
        total += float(torch.log_softmax(module(torch.tensor([row]))[0, place - 14], -1)[text[place]])
    assert found.cut and found.log_likelihood == pytest.approx(total, **EQUAL)


def test_an_encoder_decoder_writes_what_fills_the_gap() -> None:
    module, pairs = Gap(64), drawn(6, longest=20)
    found = Infilled(module, **KNOWN, batch=4).log_likelihoods(pairs)
    for pair, one in zip(pairs, found, strict=True):
        read = torch.tensor([[*pair.context, SPECIALS.sentinels[0], END]])
        begun = torch.tensor([[SPECIALS.pad, SPECIALS.sentinels[0], *pair.continuation[:-1]]])
        logs = torch.log_softmax(module(read, begun)[0, 1:], -1)
        total = sum(float(row[token]) for row, token in zip(logs, pair.continuation, strict=True))
        assert one.log_likelihood == pytest.approx(total, **EQUAL) and not one.cut
    short = Infilled(Gap(8), **KNOWN).log_likelihoods([Pair(range(10), [1]), Pair(range(4, 10), [1])])
    assert short[0].cut and not short[1].cut and short[0].log_likelihood == short[1].log_likelihood
    assert Infilled(module, **KNOWN).log_likelihoods([Pair([1], [])])[0].log_likelihood == 0
