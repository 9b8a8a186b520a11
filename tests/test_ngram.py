"""tests of daybreak/models/ngram: Kneser-Ney by hand, against a slow reference, and on tiny Shakespeare."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load, save

from daybreak.core.errors import DataError, UsageError
from daybreak.models.ngram.characters import CharacterVocabulary
from daybreak.models.ngram.kneser_ney import KneserNey, best_order
from daybreak.training import ngram as count

SHAKESPEARE = Path(__file__).resolve().parents[2] / "shared/data/lm_en_tinyshakespeare/input.txt"


def random_text(length: int, vocabulary: int, seed: int = 0) -> np.ndarray:
    """Skewed tokens with much repetition, so that every count from 1 to 4 turns up."""
    generator = np.random.default_rng(seed)
    return (vocabulary * generator.random(length) ** 4).astype(np.uint32)


def reference(documents: list[list[int]], vocabulary: int, context: tuple[int, ...], order: int) -> list[float]:
    """p(. | context) from the formulas, with dictionaries; `context` must hold less than `order` tokens."""

    def grams(k: int) -> list[tuple[int, ...]]:
        return [tuple(text[i : i + k]) for text in documents for i in range(len(text) - k + 1)]

    def counts(k: int, top: bool) -> dict[tuple[int, ...], int]:
        found: dict[tuple[int, ...], int] = defaultdict(int)
        if top:
            for gram in grams(k):
                found[gram] += 1
        else:
            opening = {(-1, *text[:k]) for text in documents if len(text) >= k}  # the start is one more left token
            for gram in set(grams(k + 1)) | opening:
                found[tuple(gram[1:])] += 1
        return found

    def interpolated(context: tuple[int, ...], top: bool) -> list[float]:
        lower = [1 / vocabulary] * vocabulary if not context else interpolated(context[1:], False)
        count = counts(len(context) + 1, top)
        n1, n2, n3, n4 = (sum(c == n for c in count.values()) for n in (1, 2, 3, 4))
        d = [0.0, 0.5, 1.0, 1.5]
        if n1 and n2 and n3 and n4:
            y = n1 / (n1 + 2 * n2)
            d[1] = 1 - 2 * y * n2 / n1
            d[2] = max(d[1], 2 - 3 * y * n3 / n2)
            d[3] = max(d[2], 3 - 4 * y * n4 / n3)
        here = {gram[-1]: c for gram, c in count.items() if gram[:-1] == context}
        total = sum(here.values())
        if not total:
            return lower
        left = sum(d[min(c, 3)] for c in here.values()) / total
        return [
            left * lower[w] + (max(here[w] - d[min(here[w], 3)], 0) / total if w in here else 0)
            for w in range(vocabulary)
        ]

    assert len(context) < order
    return interpolated(context, True)


def test_by_hand() -> None:
    text = np.array([0, 1, 0, 1, 0, 2], np.uint8)  # too few counts: discounts 0.5, 1 and 1.5
    model = KneserNey.fit(text, order=2, vocabulary=4)
    # Left of 0: token 1 and the start; left of 1 and 2: token 0. So (2 - 1) / 4 + 1/2 * 1/4 = 0.375, 0.25, 0.25, 0.125.
    after_0 = [0.5 * 0.375, 1 / 3 + 0.5 * 0.25, 0.5 / 3 + 0.5 * 0.25, 0.5 * 0.125]
    after_1 = [1 / 2 + 0.5 * 0.375, 0.5 * 0.25, 0.5 * 0.25, 0.5 * 0.125]
    raw = [1.5 / 6 + 0.125, 1 / 6 + 0.125, 0.5 / 6 + 0.125, 0.125]
    np.testing.assert_allclose(model.distribution([0]), after_0, rtol=1e-6)
    np.testing.assert_allclose(model.distribution([3, 1]), after_1, rtol=1e-6)
    np.testing.assert_allclose(model.distribution([2]), [0.375, 0.25, 0.25, 0.125], rtol=1e-6)
    np.testing.assert_allclose(model.distribution([]), raw, rtol=1e-6)
    rows = model.probabilities(np.array([0, 1, 3]))
    np.testing.assert_allclose(rows, [[raw[0], raw[1], raw[3]], [raw[0], after_0[1], after_1[3]]], rtol=1e-6)


def test_estimated_discounts_by_hand() -> None:
    counts = [1] * 8 + [2] * 4 + [3] * 2 + [4]  # Y = 8 / 16, so D = 0.5, 1.25 and 2
    p = KneserNey.fit(np.repeat(np.arange(15), counts), order=1, vocabulary=16).distribution([])
    uniform = (8 * 0.5 + 4 * 1.25 + 2 * 2 + 2) / 26 / 16
    np.testing.assert_allclose(p[[0, 8, 12, 14, 15]] - uniform, np.array([0.5, 0.75, 1, 2, 0]) / 26, atol=1e-7)


@pytest.mark.parametrize("declared", [6, 256, 2**16, 2**22])  # the last two do not fit whole grams into 64 bits
def test_agrees_with_the_formulas(declared: int) -> None:
    text = random_text(400, 6)
    starts = np.array([0, 3, 4, 150, 151, 152, 399])
    documents = [part.tolist() for part in np.split(text, starts[1:])]
    order = 6
    model = KneserNey.fit(text, order=order, vocabulary=declared, starts=starts)
    small = KneserNey.fit(text, order=order, vocabulary=6, starts=starts)
    for context in ((), (0,), (5, 5), (0, 0, 1), (1, 0, 0, 0, 2), tuple(documents[3][:5]), tuple(documents[3][-5:])):
        p = small.distribution(context)
        np.testing.assert_allclose(p, reference(documents, 6, context, order), rtol=1e-5)
        # A larger vocabulary only thins out the uniform distribution at the bottom.
        gap = p - model.distribution(context)[:6]
        np.testing.assert_allclose(gap, gap[0], atol=1e-6)
        assert model.distribution(context).sum() == pytest.approx(1, abs=1e-5)


def test_sums_to_one_and_matches_probabilities() -> None:
    text, vocabulary = random_text(3000, 50), 60
    whole = KneserNey.fit(text, order=5, vocabulary=vocabulary, starts=np.arange(0, 3000, 70))
    generator = np.random.default_rng(1)
    seen = [text[i : i + n].tolist() for i in generator.integers(0, 2900, 20) for n in (0, 1, 3, 4, 9)]
    for context in seen + [generator.integers(0, vocabulary, n).tolist() for n in range(9)]:
        for order in range(1, 6):
            p = whole.at_order(order).distribution(context)
            assert p.sum() == pytest.approx(1, abs=1e-5) and p.min() > 0
            every_next = np.array([[*context, token] for token in range(vocabulary)]).reshape(-1)
            each = np.arange(vocabulary) * (len(context) + 1)
            rows = whole.probabilities(every_next, starts=each)
            np.testing.assert_allclose(rows[order - 1, each + len(context)], p, rtol=1e-6)


@pytest.mark.parametrize("vocabulary", [40, 2**18])
def test_lower_order_equals_its_own_fit(vocabulary: int) -> None:
    text, starts = random_text(2000, 40), np.array([17, 18, 900])
    whole = KneserNey.fit(text, order=7, vocabulary=vocabulary, starts=starts)
    for order in range(1, 8):
        own = KneserNey.fit(text, order=order, vocabulary=vocabulary, starts=starts).tensors()
        cut = whole.at_order(order).tensors()
        assert own.keys() == cut.keys()
        for name in own:
            np.testing.assert_array_equal(own[name], cut[name], err_msg=name)


def test_documents_are_apart() -> None:
    text = np.array([0, 1, 2, 3], np.uint16)
    apart = KneserNey.fit(text, order=3, vocabulary=4, starts=np.array([2]))
    np.testing.assert_allclose(apart.distribution([1]), apart.distribution([3, 1]))  # neither was ever continued
    assert apart.distribution([1])[2] == pytest.approx(apart.distribution([1])[0])
    assert KneserNey.fit(text, order=3, vocabulary=4).distribution([1])[2] > apart.distribution([1])[2]

    model = KneserNey.fit(random_text(500, 9), order=4, vocabulary=9)
    heldout = random_text(60, 9, seed=5)
    parts = [model.probabilities(part) for part in np.split(heldout, [7, 8, 30])]
    rows = model.probabilities(heldout, starts=np.array([0, 7, 8, 30, 60]))
    np.testing.assert_array_equal(rows, np.concatenate(parts, axis=1))
    assert (rows[:, 30] == rows[0, 30]).all() and (rows[2:, 32] == rows[2, 32]).all()


def test_round_trip() -> None:
    model = KneserNey.fit(random_text(900, 30), order=4, vocabulary=30)
    again = KneserNey.from_tensors(load(save(model.tensors())))
    heldout = random_text(100, 30, seed=2)
    np.testing.assert_array_equal(model.probabilities(heldout), again.probabilities(heldout))
    np.testing.assert_array_equal(model.distribution([1, 0, 2]), again.distribution([1, 0, 2]))
    assert (again.order, again.vocabulary, again.bytes_in_memory()) == (4, 30, model.bytes_in_memory())
    with pytest.raises(DataError, match=r"incomplete\n  received: 'level_2\.part'"):
        KneserNey.from_tensors({name: array for name, array in model.tensors().items() if name != "level_2.part"})


def test_every_probability_is_positive() -> None:
    monotonous = KneserNey.fit(np.zeros(100_000, np.uint8), order=12, vocabulary=2**20)
    rows = monotonous.probabilities(np.array([0] * 12 + [2**20 - 1, 5, 0]))
    assert rows.shape == (12, 15) and rows.min() > 0 and np.isfinite(np.log2(rows)).all()


@pytest.mark.parametrize("vocabulary", [1, 2, 256, 100_000])
@pytest.mark.parametrize("length", [0, 1, 2, 3])
@pytest.mark.parametrize("order", [1, 2, 5, 70])
def test_smallest_texts(vocabulary: int, length: int, order: int) -> None:
    text = np.arange(length, dtype=np.uint32) % vocabulary
    for starts in (None, np.arange(length)):
        model = KneserNey.fit(text, order=order, vocabulary=vocabulary, starts=starts)
        rows = model.probabilities(text, starts=starts)
        assert rows.shape == (order, length) and (rows > 0).all() and (rows <= 1 + 1e-6).all()
        p = model.distribution(text.tolist())
        assert p.sum() == pytest.approx(1, abs=1e-5)
        if length == 0:
            np.testing.assert_array_equal(p, np.full(vocabulary, 1 / vocabulary))


def test_best_order_by_hand() -> None:
    model = KneserNey.fit(np.array([0, 1, 0, 1, 0, 2], np.uint8), order=2, vocabulary=4)
    bits = -math.log2(0.375) - math.log2(1 / 3 + 0.125)  # order 1 would pay log2 of 0.375 and 0.2917
    order, bits_per_byte = best_order(model, np.array([0, 1]), bytes_count=4)
    assert order == 2 and bits_per_byte == pytest.approx(bits / 4)
    with pytest.raises(DataError, match="received: 0 bytes"):
        best_order(model, np.array([0]), bytes_count=0)


def test_errors_say_what_was_received() -> None:
    text = np.array([1, 2, 3])
    with pytest.raises(DataError, match="received: ids from 1 to 3 for a vocabulary of 3"):
        KneserNey.fit(text, order=2, vocabulary=3)
    with pytest.raises(DataError, match="received: ids from -1 to 1"):
        KneserNey.fit(text - 2, order=2, vocabulary=3)
    with pytest.raises(UsageError, match="received: order=0"):
        KneserNey.fit(text, order=0, vocabulary=4)
    with pytest.raises(UsageError, match="received: 0"):
        KneserNey.fit(text[:0], order=1, vocabulary=0)
    with pytest.raises(DataError, match="received: starts from 0 to 4 for 3 tokens"):
        KneserNey.fit(text, order=1, vocabulary=4, starts=np.array([1, 4]))
    with pytest.raises(DataError, match="received: float64"):
        KneserNey.fit(text / 2, order=1, vocabulary=4)
    model = KneserNey.fit(text, order=2, vocabulary=4)
    with pytest.raises(DataError, match="received: ids from 4 to 4"):
        model.distribution([4])
    with pytest.raises(UsageError, match="an order from 1 to 2"):
        model.at_order(3)


def test_characters() -> None:
    vocabulary = CharacterVocabulary.learn("山不在高，有仙則名。高😀")
    assert vocabulary.size == 12 and vocabulary.encode("高").tolist() == [1]  # the only one seen twice
    text = "有高山😀"
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert vocabulary.escape_nats(text) == 0
    assert vocabulary.encode("水x").tolist() == [0, 0] and vocabulary.decode(np.array([0, 1])) == "\ufffd高"
    assert vocabulary.escape_nats("水x高") == pytest.approx(2 * math.log(1_112_064))
    again = CharacterVocabulary.from_tensors(load(save(vocabulary.tensors())))
    assert again.size == 12 and again.encode(text).tolist() == vocabulary.encode(text).tolist()
    empty = CharacterVocabulary.learn("")
    assert empty.size == 1 and empty.encode("").tolist() == [] and empty.decode(empty.encode("a")) == "\ufffd"


@pytest.mark.skipif(not SHAKESPEARE.exists(), reason="needs ../shared/data/lm_en_tinyshakespeare, which is not here")
def test_tiny_shakespeare() -> None:
    text = np.fromfile(SHAKESPEARE, np.uint8)
    cut = len(text) * 9 // 10
    model = KneserNey.fit(text[:cut], order=8, vocabulary=256)
    heldout = text[cut:]
    order, bits_per_byte = best_order(model, heldout, bytes_count=len(heldout))
    # With one discount an order (Ney et al. 1994) in place of three, this text gives 2.248 at order 6.
    assert order == 7 and bits_per_byte == pytest.approx(2.1887, abs=0.002)
    for i in range(0, 2000, 100):
        assert model.distribution(heldout[:i].tolist()).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("left", "memory", "faster", "why"),
    [
        (20.0, 1e10, 1.0, ""),
        (2.0, 1e10, 1.0, r"all would take 2.. s, and 1 s are set aside for counting"),
        (2.0, 1e10, 4.0, ""),  # as measured just now
        (20.0, 1e8, 1.0, r"all would take more than 50% of the 100 MB of memory"),
    ],
)
def test_what_is_not_counted_has_its_true_reason(monkeypatch: pytest.MonkeyPatch, left, memory, faster, why) -> None:
    order = 4
    every = round(2.5 / (count.SECONDS_PER_TOKEN_AND_ORDER * order))
    told: list[str] = []
    bench = SimpleNamespace(
        train=range(every),
        machine=SimpleNamespace(memory_bytes=memory),
        remaining=lambda: left,
        timed=lambda: True,
        warn=told.append,
    )
    monkeypatch.setattr(count, "_pace", lambda state, order: 1 / faster)
    most = count._most(bench, order)
    assert (most == every) == (not why) == (not told)
    if why:
        assert re.fullmatch(rf"{most:,} of {every:,} tokens are counted: {why}", told[0])
