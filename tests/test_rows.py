"""Rows: many texts continued together say what each says alone, whenever they join and leave."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from daybreak.core.shapes import LstmShape
from daybreak.engine.machine import compiler
from daybreak.models import families
from daybreak.models.inference import decode_step
from daybreak.models.inference.cache_ngrams import History
from daybreak.models.inference.decoder import Decoder, Plain
from daybreak.models.inference.fast import Fast
from daybreak.models.inference.mixture import Mixture, Weights
from daybreak.models.inference.predictors import Counts, Network, Predictor
from daybreak.models.inference.rows import OneByOne, rows_of
from daybreak.models.inference.sampling import Sampling
from daybreak.models.lstm import Lstm
from daybreak.models.ngram.kneser_ney import KneserNey

pytestmark = pytest.mark.usefixtures("one_thread")

V, END, CONTEXT = 64, 63, 24
GPTS: dict[str, dict[str, Any]] = {
    "stock": {},
    "grouped": {"heads": 4, "key_value_heads": 2, "layers": 2},
    "learned": {"positions": "learned"},
    "sinusoidal": {"positions": "sinusoidal"},
    "alibi": {"positions": "alibi"},
    "no positions": {"positions": "none"},
    "with more": {"layers": 4, "skips": True, "value_embeddings": True, "layer_repeats": 2, "logit_cap": 15.0},
}
LSTMS = {"lstm": "lstm", "rnn": "rnn"}
GREEDY = {"temperature": 0.0}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL | None:
    return decode_step.library(tmp_path_factory.mktemp("native"), compiler())


@pytest.fixture(params=[*GPTS, *LSTMS, "passes", "compiled", "one by one"])
def decoder(request: pytest.FixtureRequest, network: Callable[..., Any], library: ctypes.CDLL | None) -> Decoder:
    if request.param in LSTMS:
        module: Any = Lstm(
            LstmShape(cell=LSTMS[request.param], layers=2, width=24, vocabulary=V, context_length=CONTEXT, tied=False)
        )
        module.initialize(1)
        with torch.no_grad():
            module.lm_head.weight.normal_(generator=torch.Generator().manual_seed(2))
        return families.decoder_of(module.eval())
    module = network(context_length=CONTEXT, vocabulary=V, **GPTS.get(request.param, {})).eval()
    if request.param == "one by one":
        return Plain(module)
    if request.param == "passes":
        return Fast(module)
    if request.param == "compiled":
        return Fast(module, library or pytest.skip("there is no C++ compiler on this machine"))
    return families.decoder_of(module)


def tokens(length: int, seed: int) -> list[int]:
    return torch.randint(END, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def alone(decoder: Decoder, text: list[int]) -> Iterator[torch.Tensor]:
    """Logits after each token from the second on."""
    with decoder.state() as state:
        yield state.begin(text[:2]).clone()
        for token in text[2:]:
            yield state.step(token).clone()


@torch.inference_mode()
def test_rows_join_and_leave_and_each_has_the_logits_that_it_has_alone(decoder: Decoder) -> None:
    texts = [tokens(CONTEXT, seed) for seed in range(5)]
    expected = [dict(enumerate(alone(decoder, text), 2)) for text in texts]
    told, at = 0, dict[int, int]()

    def same(row: int, logits_V: torch.Tensor) -> None:
        nonlocal told
        told += 1
        torch.testing.assert_close(logits_V, expected[row][at[row]], atol=2e-4, rtol=2e-4)

    def joins(row: int, length: int) -> None:
        at[row] = length
        same(row, rows.begin(row, texts[row][:length]))

    def steps(*named: int) -> None:
        said = {row: texts[row][at[row]] for row in named}
        for row, logits_V in zip(named, rows.step(said).clone(), strict=True):
            assert rows.length(row) == at[row] + 1
            at[row] += 1
            same(row, logits_V)

    with rows_of(decoder) as rows:
        joins(0, 5)
        steps(0)
        joins(1, 2)
        joins(2, 11)
        steps(0, 1, 2)
        steps(2, 0)  # in another order, and one of them waits
        rows.leave(0)  # the last one takes its place
        joins(3, CONTEXT)  # a row without room for another token waits beside the others
        steps(1, 2)
        steps(1)
        rows.leave(3)
        rows.leave(1)
        steps(2)  # alone, as a single text
        joins(4, 7)
        joins(2, 4)  # begins again
        steps(4, 2)
    assert told == 18 and isinstance(rows, OneByOne) == (type(decoder) is Plain)


def test_a_step_beyond_the_context_is_refused(network: Callable[..., Any]) -> None:
    module = network(context_length=CONTEXT, vocabulary=V).eval()
    for decoder in (families.decoder_of(module), Fast(module)):
        with rows_of(decoder) as rows, torch.inference_mode():
            rows.begin(0, tokens(CONTEXT, 0))
            rows.begin(1, tokens(3, 0))
            with pytest.raises(IndexError):
                rows.step({0: 1, 1: 1})


@pytest.fixture(params=["network", "counts", "mixture", "mixture of a mixture"])
def predictor(request: pytest.FixtureRequest, network: Callable[..., Any]) -> Predictor:
    drawn = (END * np.random.default_rng(0).random(500) ** 2).astype(np.uint16)
    counts = Counts(KneserNey.fit(drawn, order=3, vocabulary=V, starts=np.array([0])), end_of_text=END)
    module = network(context_length=CONTEXT, vocabulary=V, layers=2).eval()
    net = Network(module, end_of_text=END, known_tokens=V)
    mixture = Mixture(net, counts, Weights(edges=(0.5,), values=(0.6, 0.2)))
    twice = Mixture(mixture, History(vocabulary=V, end_of_text=END), Weights(edges=(), values=(0.3,)))
    return {"network": net, "counts": counts, "mixture": mixture, "mixture of a mixture": twice}[request.param]


@pytest.mark.parametrize("how", [GREEDY, {"temperature": 1.0, "top_p": 0.9, "min_tokens": 0}], ids=["greedy", "drawn"])
def test_texts_together_are_the_texts_alone(predictor: Predictor, how: dict[str, Any]) -> None:
    prompts = [tokens(length, length) for length in (0, 3, 9, 30, 5, 1)]
    asked = [Sampling(max_tokens=most, seed=seed, **how) for seed, most in enumerate((12, 1, 40, 8, 0, 20))]
    expected = [list(predictor.continuation(*one)) for one in zip(prompts, asked, strict=True)]
    assert [len(text) for text in expected][1] <= 1 and max(map(len, expected)) > 10
    waiting = list(enumerate(zip(prompts, asked, strict=True)))
    found: dict[int, list[int]] = {index: [] for index, _ in waiting}
    named: dict[int, int] = {}
    with predictor.texts() as texts:
        while waiting or len(texts):
            for _ in range(min(len(waiting), 3 - len(texts))):  # three at once, and the next joins where one has left
                index, one = waiting.pop(0)
                named[texts.join(*one)] = index
            for row, token in texts.step().items():
                found[named[row]] += [] if token is None else [token]
    assert list(found.values()) == expected


def test_a_text_that_is_no_longer_wanted_leaves_and_the_others_go_on(predictor: Predictor) -> None:
    asked = Sampling(max_tokens=10, temperature=0.0, min_tokens=10)
    expected = list(predictor.continuation([4, 2], asked))
    with predictor.texts() as texts:
        first, second = texts.join([9, 8, 7], asked), texts.join([4, 2], asked)
        told = [texts.step()[second] for _ in range(4)]
        texts.leave(first)
        assert first not in texts and second in texts and len(texts) == 1
        told += [texts.step()[second] for _ in range(6)]
        assert len(texts) == 0 and texts.step() == {}
    assert told == expected


def test_distributions_of_many_contexts_are_those_of_each() -> None:
    drawn = (END * np.random.default_rng(3).random(2000) ** 3).astype(np.uint16)
    ngram = KneserNey.fit(drawn, order=4, vocabulary=V, starts=np.array([0, 700]))
    contexts = [[], [5], [1, 2, 3, 4, 5, 6], drawn[40:43].tolist(), drawn[9:11].tolist(), [END, END, END, END]]
    together = ngram.distributions(contexts)
    np.testing.assert_allclose(together.sum(1), 1.0, atol=1e-5)
    for context, row in zip(contexts, together, strict=True):
        for token in (0, 3, 17, END):
            tail = np.array([*context[-3:], token])
            assert row[token] == pytest.approx(ngram.probabilities(tail)[min(len(tail), 4) - 1, -1], rel=1e-6), context
    masses = ngram.backoff_mass_after(contexts)
    for context, mass in zip(contexts, masses, strict=True):
        assert mass == ngram.backoff_mass(np.array([*context[-4:], 1]))[-1]
    assert ngram.distributions([]).shape == (0, V)
