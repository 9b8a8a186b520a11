"""Predictors, decoding and generation: distributions, scores by hand, and text that ends where it should."""

from __future__ import annotations

import contextlib
import itertools
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.errors import UsageError
from daybreak.data.batches import windows
from daybreak.data.tokenizers import byte_tokenizer, train_tokenizer
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.evaluation.generation import continuations, nth, pieces
from daybreak.models.gpt import Gpt
from daybreak.models.inference import sampling
from daybreak.models.inference.mixture import Mixture, Weights, fitted_weight, fitted_weights, mixed_nats
from daybreak.models.inference.predictors import Counts, Network
from daybreak.models.inference.sampling import Sampling
from daybreak.models.inference.scores import nats_of, summed
from daybreak.models.ngram.kneser_ney import KneserNey
from daybreak.models.objectives import token_nats

pytestmark = pytest.mark.usefixtures("one_thread")

END = 56  # of a vocabulary of 57, padded to 64


@pytest.fixture(scope="module")
def module(network) -> Gpt:
    return network().eval()


@pytest.fixture(scope="module")
def net(module: Gpt) -> Network:
    return Network(module, end_of_text=END, known_tokens=END + 1)


@pytest.fixture(scope="module")
def stream() -> np.ndarray:
    drawn = (57 * np.random.default_rng(0).random(333) ** 2).astype(np.uint16)
    drawn[0] = END
    return drawn


@pytest.fixture(scope="module")
def counts(stream: np.ndarray) -> Counts:
    return Counts(KneserNey.fit(stream, order=3, vocabulary=57, starts=np.flatnonzero(stream == END)), end_of_text=END)


# Scores


def test_a_score_by_hand() -> None:
    # Tokens: the end of a text (no bytes), "the" (3), " fox" (4), the end again, "a" (1).
    sizes = np.array([3, 4, 1, 0], dtype=np.uint16)
    stream = np.array([3, 0, 1, 3, 2], dtype=np.uint16)
    nats = np.array([9.0, math.log(2), math.log(4), 7.0, math.log(8)], dtype=np.float32)
    score = summed(nats, stream, sizes)
    assert (score.bytes, score.tokens) == (8, 3)
    assert score.nats == pytest.approx(6 * math.log(2))
    assert score.bits_per_byte == pytest.approx(6 / 8)  # 1, 2 and 3 bits over 8 bytes
    assert score.perplexity == pytest.approx(4.0)  # 2 bits a token


def test_a_score_of_a_part_counts_that_part_only() -> None:
    sizes, stream = np.array([3, 4, 1, 0]), np.array([3, 0, 1, 3, 2])
    score = summed(np.array([9.0, math.log(2)], dtype=np.float32), stream, sizes)
    assert (score.bytes, score.tokens) == (3, 1) and score.bits_per_byte == pytest.approx(1 / 3)


def test_a_score_of_nothing_is_not_a_number() -> None:
    for nats in ([], [1.0]):
        score = summed(np.array(nats, dtype=np.float32), np.array([0]), np.array([0]))
        assert math.isnan(score.bits_per_byte) and math.isnan(score.perplexity)


def test_a_long_sum_keeps_its_digits() -> None:
    nats = np.full(2_000_000, 0.1, dtype=np.float32)
    score = summed(nats, np.zeros(2_000_000, dtype=np.uint16), np.array([1]))
    assert score.nats == pytest.approx(2_000_000 * float(np.float32(0.1)), rel=1e-12)


@pytest.mark.parametrize(("length", "rows"), [(333, 4), (320, 4), (5, 4), (16, 1), (17, 32)])
def test_every_token_is_scored_once_whatever_the_windows(
    net: Network, module: Gpt, stream: np.ndarray, length: int, rows: int
) -> None:
    part = stream[:length]
    nats = nats_of(net, windows(part, 16, end_of_text=END, rows=rows), part)
    assert nats.shape == (length,) and nats.dtype == np.float32
    before = np.concatenate([[END], part[:-1]]).astype(np.int64)
    by_hand = []
    for start in range(0, length, 16):
        stop = min(start + 16, length)
        inputs = torch.from_numpy(before[start:stop])[None]
        by_hand.append(token_nats(module, inputs, torch.from_numpy(part[start:stop].astype(np.int64))[None])[0])
    np.testing.assert_allclose(nats, torch.cat(by_hand).numpy(), rtol=1e-4, atol=1e-5)


def test_a_time_limit_stops_early_but_scores_a_batch_at_least(net: Network, stream: np.ndarray) -> None:
    everything = nats_of(net, windows(stream, 16, end_of_text=END, rows=2), stream)
    stopped = nats_of(net, windows(stream, 16, end_of_text=END, rows=2), stream, seconds=0.0)
    assert stopped.shape == (32,)
    np.testing.assert_array_equal(stopped, everything[:32])
    assert nats_of(net, iter(()), stream[:0]).shape == (0,)


def test_counts_score_the_stream_as_they_do_in_one_piece(counts: Counts, stream: np.ndarray) -> None:
    nats = nats_of(counts, windows(stream, 16, end_of_text=END, rows=4), stream)
    np.testing.assert_allclose(nats, counts.stream(stream)[0], rtol=1e-6)


# The mixture


def captured(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The probabilities of every choice that decoding makes with a mixture."""
    seen: list[torch.Tensor] = []
    choose = sampling.chosen

    def watched(logits_V: torch.Tensor, *rest: Any, **named: Any) -> int:
        seen.append(logits_V.double().exp())
        return choose(logits_V, *rest, **named)

    monkeypatch.setattr(sampling, "chosen", watched)
    return seen


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_mixture_is_a_distribution_at_every_token(
    net: Network, counts: Counts, monkeypatch: pytest.MonkeyPatch, weight: float
) -> None:
    seen = captured(monkeypatch)
    list(
        Mixture(net, counts, Weights(edges=(), values=(weight,))).continuation(
            [1, 2, 3], Sampling(max_tokens=10, temperature=1.0, top_p=1.0, min_tokens=0)
        )
    )
    assert seen
    for probabilities in seen:
        assert float(probabilities.sum()) == pytest.approx(1.0, abs=1e-5)
        assert probabilities.min() >= 0 and not probabilities[END + 1 :].any()


def test_the_mixture_decodes_with_the_probabilities_of_both(
    net: Network, counts: Counts, module: Gpt, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = captured(monkeypatch)
    taken = list(
        Mixture(net, counts, Weights(edges=(), values=(0.25,))).continuation(
            [5, 7], Sampling(max_tokens=3, temperature=1.0, top_p=1.0, min_tokens=0)
        )
    )
    for index, probabilities in enumerate(seen):
        tokens = [END, 5, 7, *taken[:index]]
        with torch.no_grad():
            alone = torch.softmax(module(torch.tensor([tokens]))[0, -1, : END + 1], -1).numpy()
        counted = counts.ngram.distribution(tokens[-counts.ngram.order :])
        np.testing.assert_allclose(probabilities[: END + 1].numpy(), 0.75 * alone + 0.25 * counted, atol=1e-5)


def test_the_mixture_gives_a_token_while_decoding_the_nats_that_it_scores(
    module: Gpt, stream: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = 63  # without padded ids, of which decoding knows and scoring does not
    counts = Counts(KneserNey.fit(stream, order=3, vocabulary=64, starts=np.array([0])), end_of_text=end)
    net = Network(module, end_of_text=end, known_tokens=end + 1)
    seen = captured(monkeypatch)
    mixture = Mixture(net, counts, Weights(edges=(), values=(0.25,)))
    taken = list(mixture.continuation([5, 7], Sampling(max_tokens=5, temperature=1.0, top_p=1.0)))
    text = np.array([end, 5, 7, *taken], dtype=np.uint16)
    nats = nats_of(net, windows(text[1:], 16, end_of_text=end), text[1:])
    scored = mixture.mixed(np.concatenate([[0.0], nats]), text)[3:]
    decoded = [-math.log(float(seen[index][token])) for index, token in enumerate(taken)]
    assert taken
    np.testing.assert_allclose(scored, decoded, atol=1e-4)


def test_mixed_nats_by_hand() -> None:
    nats = mixed_nats(np.array([math.log(2)], np.float32), np.array([math.log(10)]), 0.25)
    assert nats == pytest.approx(-math.log(0.75 * 0.5 + 0.25 * 0.1), rel=1e-6)
    assert mixed_nats(np.array([200.0]), np.array([1.0]), 0.5) == pytest.approx(1.0 + math.log(2))


@pytest.mark.parametrize("better", ["network", "counts", "neither", "nearly alike"])
def test_the_fitted_weight_is_the_best_on_a_grid(better: str) -> None:
    generator = np.random.default_rng(1)
    network, counted = generator.gamma(2.0, 1.0, 2000), generator.gamma(2.0, 1.0, 2000)
    if better == "network":
        network *= 0.5
    elif better == "counts":
        counted *= 0.5
    elif better == "nearly alike":
        counted = network + 0.2 * generator.standard_normal(2000)
    best = min(mixed_nats(network, counted, weight).mean() for weight in np.linspace(0, 1, 201))
    found = fitted_weight(network, counted)
    assert 0.0 <= found <= 1.0
    assert mixed_nats(network, counted, found).mean() <= best + 1e-4


def test_the_fitted_weight_of_nothing_is_a_half() -> None:
    assert fitted_weight(np.zeros(0), np.zeros(0)) == 0.5


def test_cross_fitting_scores_each_half_with_the_weight_of_the_other(
    net: Network, counts: Counts, stream: np.ndarray
) -> None:
    nats = nats_of(net, windows(stream, 16, end_of_text=END), stream)
    counted, unsure = counts.stream(stream)
    mixture = Mixture(net, counts, fitted_weights(nats, counted, unsure))
    crossed, own = mixture.cross_fitted(nats, stream), mixture.mixed(nats, stream)
    middle = len(nats) // 2
    weights = fitted_weights(nats[middle:], counted[middle:], unsure[middle:]).of(unsure[:middle])
    np.testing.assert_allclose(crossed[:middle], mixed_nats(nats[:middle], counted[:middle], weights))
    assert len(crossed) == len(nats) and own.mean() <= crossed.mean() + 1e-3


# Choosing tokens


def texts(net: Network, **sampling: Any) -> list[int]:
    return list(net.continuation([3, 1, 4], Sampling(**{"max_tokens": 12, **sampling})))


def test_temperature_0_is_the_same_whatever_the_seed(net: Network) -> None:
    greedy = texts(net, temperature=0.0)
    assert greedy and greedy == texts(net, temperature=0.0, seed=9, top_p=0.5, top_k=3)


def test_one_of_the_likeliest_is_the_likeliest(net: Network) -> None:
    greedy = texts(net, temperature=0.0)
    for seed in range(4):
        assert texts(net, temperature=2.0, top_k=1, top_p=1.0, seed=seed) == greedy
        assert texts(net, temperature=2.0, top_p=1e-6, seed=seed) == greedy
        assert texts(net, temperature=0.001, top_p=1.0, seed=seed) == greedy


def test_a_top_p_of_0_takes_the_likeliest(net: Network) -> None:
    # The command allows it: --top-p 0.
    assert texts(net, temperature=1.0, top_p=0.0) == texts(net, temperature=0.0)


def test_a_seed_repeats_and_another_differs(net: Network, counts: Counts) -> None:
    for predictor in (net, counts, Mixture(net, counts, Weights(edges=(), values=(0.4,)))):
        runs = {
            seed: [
                list(predictor.continuation([3], Sampling(max_tokens=12, temperature=1.0, seed=seed))) for _ in range(2)
            ]
            for seed in range(4)
        }
        assert all(one == other for one, other in runs.values())
        assert len({tuple(one) for one, _ in runs.values()}) > 1


def test_top_k_and_top_p_leave_the_tokens_that_they_should() -> None:
    logits = torch.log(torch.tensor([0.1, 0.4, 0.2, 0.3]))
    generator = torch.Generator().manual_seed(0)

    def drawn(**settings: Any) -> set[int]:
        settings = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, **settings}
        return {sampling.chosen(logits.clone(), generator, **settings) for _ in range(150)}

    assert drawn() == {0, 1, 2, 3} == drawn(top_k=4) == drawn(top_k=99)
    assert drawn(top_k=2) == {1, 3} == drawn(top_p=0.6) and drawn(top_p=0.75) == {1, 2, 3}
    assert drawn(top_k=2, top_p=0.4) == {1} == drawn(temperature=0.0)


def test_probabilities_are_met() -> None:
    logits = torch.log(torch.tensor([0.1, 0.4, 0.2, 0.3]))
    generator = torch.Generator().manual_seed(0)
    drawn = [sampling.chosen(logits, generator, temperature=1.0, top_p=1.0, top_k=0) for _ in range(3000)]
    np.testing.assert_allclose(np.bincount(drawn) / 3000, [0.1, 0.4, 0.2, 0.3], atol=0.03)


def test_padded_ids_are_never_chosen(network) -> None:
    module = network(seed=2).eval()
    with torch.no_grad():
        # Whatever comes in, one of the padded rows has by far the highest logit.
        module.lm_head.weight[END + 1 :] *= 50.0
    net = Network(module, end_of_text=END, known_tokens=END + 1)
    for temperature, seed in itertools.product((0.0, 1.0, 3.0), range(3)):
        chosen = texts(net, temperature=temperature, top_p=1.0, seed=seed, max_tokens=40)
        assert all(token < END for token in chosen)


def test_the_end_of_the_text_ends_it(network) -> None:
    module = network().eval()
    ended = 0
    for seed in range(20):
        found = texts(
            Network(module, end_of_text=END, known_tokens=END + 1), temperature=3.0, top_p=1.0, seed=seed, max_tokens=60
        )
        assert END not in found
        ended += len(found) < 60
    assert ended


def test_a_text_longer_than_the_context_goes_on(net: Network, module: Gpt) -> None:
    # The end of the text is made impossible, so that the length alone ends it.
    weight = module.lm_head.weight.detach().clone()
    try:
        with torch.no_grad():
            module.lm_head.weight[END] = 0.0
        for length in (0, 14, 15, 16, 17, 40):
            prompt = [index % 50 for index in range(length)]
            taken = list(net.continuation(prompt, Sampling(max_tokens=40, temperature=0.0)))
            first = torch.tensor([[END, *prompt][-16:]])
            with torch.inference_mode():
                assert taken[0] == int(module(first)[0, -1, : END + 1].argmax())
            assert len(taken) == 40 or taken
    finally:
        with torch.no_grad():
            module.lm_head.weight.copy_(weight)


def test_no_tokens_asked_for_are_none(net: Network) -> None:
    assert texts(net, max_tokens=0) == []


# Text from tokens


def loaded(text: str) -> Any:
    """A run whose model says this text, byte by byte."""
    tokenizer = byte_tokenizer()
    predictor = SimpleNamespace(continuation=lambda prompt, sampling: iter(tokenizer.encode(text)))
    return SimpleNamespace(tokenizer=tokenizer, predictor=predictor)


def ends_rightly(text: str, stop: tuple[str, ...], given_out: str) -> None:
    assert not any(word in given_out for word in stop)
    assert text.startswith(given_out)
    if any(word in text for word in stop):
        assert any(text[len(given_out) :].startswith(word) for word in stop)
    else:
        assert given_out == text


@settings(max_examples=150, deadline=None)
@given(
    text=st.text("abé春", max_size=14),
    stop=st.lists(st.text("abé春", min_size=1, max_size=4), max_size=3).map(tuple),
)
def test_a_stop_string_never_appears_and_what_stands_before_it_is_whole(text: str, stop: tuple[str, ...]) -> None:
    given_out = "".join(pieces(loaded(text), "", Sampling(), stop=stop))
    ends_rightly(text, stop, given_out)


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("one\n\ntwo", ("\n\n",), "one"),
        ("one\ntwo", ("\n\n",), "one\ntwo"),
        ("aab", ("ab",), "a"),
        ("aaab", ("aab",), "a"),
        ("abab", ("abc",), "abab"),
        ("stop", ("stop",), ""),
        ("春眠不觉晓", ("不觉",), "春眠"),
        ("the End. more", ("End.", "more"), "the "),
        ("ab", ("b", "ab"), ""),
    ],
)
def test_a_text_ends_before_its_stop_string(text: str, stop: tuple[str, ...], expected: str) -> None:
    assert "".join(pieces(loaded(text), "", Sampling(), stop=stop)) == expected


def test_a_stop_string_across_tokens_of_several_characters_is_found() -> None:
    tokenizer = train_tokenizer(["the fox and the dog and the cat " * 20], 290)
    text = "the dog and the fox and the cat"
    assert max(tokenizer.token_bytes[tokenizer.encode(text)]) > 2
    said = SimpleNamespace(
        tokenizer=tokenizer,
        predictor=SimpleNamespace(continuation=lambda prompt, sampling: iter(tokenizer.encode(text))),
    )
    for start, stop in itertools.combinations(range(len(text) + 1), 2):
        word = text[start:stop]
        assert "".join(pieces(said, "", Sampling(), stop=(word,))) == text[: text.index(word)]


def test_text_is_given_out_as_soon_as_it_is_decided() -> None:
    assert list(pieces(loaded("abc春"), "", Sampling())) == ["a", "b", "c", "春"]
    assert list(pieces(loaded("a\nb"), "", Sampling(), stop=("\n\n",))) == ["a", "\nb"]


def test_half_a_character_at_the_end_is_left_out() -> None:
    tokenizer = byte_tokenizer()
    said = SimpleNamespace(
        tokenizer=tokenizer,
        predictor=SimpleNamespace(continuation=lambda prompt, sampling: iter([97, 0xE6, 0x98])),
    )
    assert "".join(pieces(said, "", Sampling())) == "a"


def test_an_empty_stop_string_is_an_error() -> None:
    with pytest.raises(UsageError, match="a stop string is empty"):
        pieces(loaded("abc"), "", Sampling(), stop=("c", ""))


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"top_p": 1.5},
        {"top_p": math.nan},
        {"top_k": -1},
        {"max_tokens": -1},
        {"min_tokens": -1},
        {"min_tokens": 11, "max_tokens": 10},
    ],
)
def test_numbers_that_cannot_be_are_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="sampling settings"):
        Sampling(**wrong)


# The end of the text


class Lover:
    """A decoder whose every distribution is almost all end of text; then white space, then half a character."""

    context = 32

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.logits = torch.zeros(tokenizer.vocabulary)
        self.logits[tokenizer.end_of_text] = 40.0
        self.logits[ord("\n")] = self.logits[0xE6] = 4.0
        self.length = 0

    @contextlib.contextmanager
    def state(self) -> Any:
        yield self

    def begin(self, tokens: Any) -> torch.Tensor:
        self.length = len(tokens)
        return self.logits.clone()

    def step(self, token: int) -> torch.Tensor:
        self.length += 1
        return self.logits.clone()


@pytest.fixture(scope="module")
def lovers(network) -> dict[str, Any]:
    """Predictors that end every text at once where they may: a network, counts, and both mixed."""
    tokenizer = byte_tokenizer()
    end, shows = tokenizer.end_of_text, tokenizer.shows_text
    module: Any = SimpleNamespace(lm_head=SimpleNamespace(weight=torch.zeros(1)), eval=lambda: None)
    net = Network(module, end_of_text=end, known_tokens=257, shows_text=shows, prepare=lambda _: Lover(tokenizer))
    stream = np.array([*[end] * 4000, *b"x\n\n\xe6"], np.uint16)
    ngram = KneserNey.fit(stream, order=1, vocabulary=257, starts=np.flatnonzero(stream == end))
    counts = Counts(ngram, end_of_text=end, shows_text=shows)
    return {"network": net, "counts": counts, "mixture": Mixture(net, counts, Weights(edges=(), values=(0.5,)))}


@pytest.mark.parametrize("kind", ["network", "counts", "mixture"])
def test_a_prompt_is_never_answered_by_nothing(lovers: dict[str, Any], kind: str) -> None:
    tokenizer, predictor = byte_tokenizer(), lovers[kind]
    said: Any = SimpleNamespace(tokenizer=tokenizer, predictor=predictor)
    empty = 0
    for seed in range(60):
        sampling = Sampling(max_tokens=200, temperature=1.0, top_p=1.0, seed=seed)
        text = "".join(pieces(said, "", sampling))
        assert text.replace("\ufffd", "").strip()
        empty += "".join(pieces(said, "", replace(sampling, min_tokens=0))) == ""
    assert empty > 50  # where that is asked for


@pytest.mark.parametrize("kind", ["network", "counts", "mixture"])
def test_the_likeliest_text_may_end_at_once_unless_more_is_asked_for(lovers: dict[str, Any], kind: str) -> None:
    greedy = Sampling(max_tokens=50, temperature=0.0)
    assert list(lovers[kind].continuation([], greedy)) == []
    assert len(list(lovers[kind].continuation([], replace(greedy, min_tokens=7)))) == 7
    assert len(list(lovers[kind].continuation([], replace(greedy, temperature=1.0, min_tokens=7)))) >= 7


@pytest.mark.parametrize("stop", [(), ("e",), ("th", "qu")])
def test_each_of_several_continuations_has_a_seed_of_its_own(network: Any, stop: tuple[str, ...]) -> None:
    tokenizer = byte_tokenizer()
    module = network(vocabulary=320).eval()
    predictor = Network(module, end_of_text=tokenizer.end_of_text, known_tokens=tokenizer.vocabulary)
    said: Any = SimpleNamespace(tokenizer=tokenizer, predictor=predictor)
    asked = Sampling(seed=5, max_tokens=30, min_tokens=0)
    together = continuations(said, "a text", asked, n=20, stop=stop)
    assert together == ["".join(pieces(said, "a text", nth(asked, index), stop=stop)) for index in range(20)]
    assert len(set(together)) > 10
