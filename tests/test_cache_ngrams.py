"""N-grams of the text at hand: counted by their definition, in a stream and while a text is continued."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from daybreak.core.run import Run
from daybreak.core.types import TechniqueChoice
from daybreak.data.batches import windows
from daybreak.models import ladder
from daybreak.models.gpt import Gpt
from daybreak.models.inference import sampling
from daybreak.models.inference.cache_ngrams import PRIOR, History
from daybreak.models.inference.mixture import Mixture, Weights
from daybreak.models.inference.predictors import Counts, Network
from daybreak.models.inference.sampling import Sampling
from daybreak.models.inference.scores import nats_of
from daybreak.models.ngram.kneser_ney import KneserNey
from daybreak.techniques import Context, make
from daybreak.techniques.history_mix import UNFITTED, weights_file

V, END = 12, 11


@pytest.fixture
def stream() -> np.ndarray:
    drawn = np.random.default_rng(0).integers(0, END, 300)
    drawn[[0, 40, 41, 170]] = END
    return drawn.astype(np.uint16)


@pytest.fixture
def net() -> Network:
    module = Gpt(ladder.gpt(1, 32, vocabulary=V, context_length=16, changes={"head_dim": 16}))
    module.initialize(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 0.2)
    return Network(module, end_of_text=END, known_tokens=END + 1)


def by_definition(text: list[int], order: int) -> tuple[np.ndarray, float]:
    """What follows the text, by counting all of it again."""
    single = Counter(text)
    probabilities = np.array([(single[token] + PRIOR / V) / (len(text) + PRIOR) for token in range(V)])
    unsure = 1.0
    for k in range(2, order + 1):
        context = tuple(text[len(text) - k + 1 :]) if len(text) >= k - 1 else None
        followed = Counter(text[i + k - 1] for i in range(len(text) - k + 1) if tuple(text[i : i + k - 1]) == context)
        if not followed:
            break
        total, types = sum(followed.values()), len(followed)
        probabilities = np.array([(followed[t] + types * probabilities[t]) / (total + types) for t in range(V)])
        unsure *= types / (total + types)
    return probabilities, unsure


@pytest.mark.parametrize("order", [1, 2, 4])
def test_a_stream_is_scored_by_what_its_document_has_shown_so_far(stream, order) -> None:
    nats, unsure = History(vocabulary=V, end_of_text=END, order=order).stream(stream)
    begin = 0
    for index, token in enumerate(stream.tolist()):
        begin = index if token == END else begin
        probabilities, left = by_definition(stream[begin:index].tolist(), order)
        assert nats[index] == pytest.approx(-np.log(probabilities[token])), index
        assert unsure[index] == pytest.approx(left), index


def test_a_stream_without_a_document_or_a_token_is_no_error() -> None:
    history = History(vocabulary=V, end_of_text=END)
    nats, _ = history.stream(np.array([3, 3, 3], np.uint16))
    assert nats[0] == pytest.approx(np.log(V)) and nats[2] < nats[1] < nats[0]
    assert len(history.stream(np.zeros(0, np.uint16))[0]) == 0


def test_a_text_is_continued_with_what_it_is_scored_with(stream) -> None:
    history = History(vocabulary=V, end_of_text=END)
    text = stream[41:150].tolist()
    read = history.reader(text)
    for end in (1, 3, len(text)):
        probabilities, unsure = history.reader(text[:end])(text[:end])
        expected, left = by_definition(text[:end], history.order)
        np.testing.assert_allclose(probabilities, expected)
        assert unsure == pytest.approx(left)
    assert read([*text, 5])[0].sum() == pytest.approx(1.0)
    assert read([]) == (pytest.approx(by_definition(text, 1)[0]), 1.0)


def test_a_mixture_of_a_mixture_is_the_product_of_what_each_leaves(net, stream, monkeypatch) -> None:
    counts = Counts(KneserNey.fit(stream, order=3, vocabulary=V, starts=np.array([0])), end_of_text=END)
    inner = Mixture(net, counts, Weights(edges=(), values=(0.25,)))
    whole = Mixture(inner, History(vocabulary=V, end_of_text=END), Weights(edges=(), values=(0.5,)))
    assert whole.mean_weight(stream) == pytest.approx(1 - 0.75 * 0.5)
    nats = nats_of(net, windows(stream, 16, end_of_text=END), stream)
    history, _ = whole.counts.stream(stream)
    expected = 0.5 * np.exp(-inner.mixed(nats, stream)) + 0.5 * np.exp(-history)
    np.testing.assert_allclose(np.exp(-whole.mixed(nats, stream)), expected)
    seen: list[np.ndarray] = []
    choose = sampling.chosen
    monkeypatch.setattr(
        sampling,
        "chosen",
        lambda logits, *rest, **named: seen.append(logits.exp().numpy()) or choose(logits, *rest, **named),
    )
    taken = list(whole.continuation([5, 7], Sampling(max_tokens=3, temperature=1.0, top_p=1.0, min_tokens=0)))
    inside = seen[:]
    seen.clear()
    assert taken == list(whole.continuation([5, 7], Sampling(max_tokens=3, temperature=1.0, top_p=1.0, min_tokens=0)))
    for index, probabilities in enumerate(inside):
        text = [END, 5, 7, *taken[:index]]
        with torch.no_grad():
            alone = torch.softmax(net.module(torch.tensor([text]))[0, -1, :V], -1).numpy()
        counted = counts.ngram.distribution(text[-3:])
        so_far, _ = whole.counts.reader(text[:3])(text)
        np.testing.assert_allclose(probabilities[:V], 0.5 * (0.75 * alone + 0.25 * counted) + 0.5 * so_far, atol=1e-5)


def test_halves_choose_no_weight_for_themselves(net, stream) -> None:
    nats = nats_of(net, windows(stream, 16, end_of_text=END), stream)
    elsewhere = np.random.default_rng(5).integers(0, END, 300).astype(np.uint16)
    counts = Counts(KneserNey.fit(elsewhere, order=3, vocabulary=V, starts=np.array([0])), end_of_text=END)
    other = nats.copy()
    other[:150] *= 0.2  # a network that is good at the first half alone
    any_weights = Weights(edges=(), values=(0.3,))
    history = History(vocabulary=V, end_of_text=END)
    one, two = (
        Mixture(Mixture(net, counts, any_weights), history, any_weights).cross_fitted(n, stream) for n in (nats, other)
    )
    assert not np.allclose(one[150:], two[150:]), "the second half's weights come from the first"
    assert len(one) == len(stream)


def test_its_weights_are_fitted_kept_and_read_back(net, stream, plan, machine, tmp_path) -> None:
    run = Run(tmp_path / "run")
    run.make()
    plan = plan().replace(tokenizer=plan().tokenizer.replace(vocabulary=V))
    technique = make(TechniqueChoice(name="history_mix"))
    nats = nats_of(net, windows(stream, 16, end_of_text=END), stream)
    asked = Context(plan=plan, machine=machine(), run=run)
    assert technique.decode(net, asked)[0].weights == UNFITTED
    fitted, places = technique.decode(net, Context(plan=plan, machine=machine(), run=run, scored=(stream, nats)))
    assert places == 1 and weights_file(run).exists()
    assert technique.decode(net, asked)[0].weights == fitted.weights != UNFITTED
