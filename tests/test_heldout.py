"""The held-out part: the same on every machine, of the size that was promised, and never too much of a small text."""

import random

import pytest

from daybreak.core.errors import DataError
from daybreak.data import heldout
from daybreak.data.heldout import Draw, digest, share


def drawn(sizes: list[int], seed: int = 0) -> tuple[Draw, list[tuple[float, int]]]:
    shares = random.Random(seed)
    documents = [(shares.random(), size) for size in sizes]
    draw = Draw()
    for place, size in documents:
        draw.add(place, size)
    return draw, documents


def test_the_hash_is_the_same_everywhere() -> None:
    assert digest(b"daybreak").hex() == "3747b1dc77121af242628655f4f9c5ca"
    assert share(bytes(16)) == 0.0
    assert share(b"\xff" * 16) < 1.0
    shares = [share(digest(str(i).encode())) for i in range(2000)]
    in_tenths = [sum(k / 10 <= s < (k + 1) / 10 for s in shares) for k in range(10)]
    assert min(in_tenths) > 140 and max(in_tenths) < 260  # 200, give or take 4.5 standard deviations


@pytest.mark.parametrize(
    ("documents", "size", "least", "most"),
    [
        (100, 1000, 20_000, 21_000),  # small: the minimum
        (5000, 1000, 100_000, 101_000),  # 2%
        (100_000, 4000, 4_990_000, 5_000_000),  # large: the maximum
        (300_000, 1500, 4_990_000, 5_000_000),
    ],
)
def test_sizes(documents: int, size: int, least: int, most: int) -> None:
    draw, known = drawn([size] * documents)
    threshold = draw.threshold()
    chosen = [size for place, size in known if place < threshold]
    assert least <= sum(chosen) <= most
    assert draw.heldout(threshold) == (len(chosen), sum(chosen))


def test_only_what_could_be_chosen_is_kept() -> None:
    draw, _ = drawn([4000] * 20_000)
    assert len(draw._waiting) == len(draw._sizes) <= heldout.MOST_BYTES // 4000 + 1


def test_uneven_sizes_and_duplicates() -> None:
    sizes = random.Random(1)
    draw, known = drawn([sizes.randint(1, 30_000) for _ in range(3000)])
    for place, size in known[:50]:
        draw.add(place, size)
    known += known[:50]
    threshold = draw.threshold()
    chosen = [size for place, size in known if place < threshold]
    assert 0.02 * draw.bytes <= sum(chosen) <= 0.02 * draw.bytes + 60_000
    assert draw.heldout(threshold) == (len(chosen), sum(chosen))


@pytest.mark.parametrize("sizes", [[], [30_000], [1000] * 39, [500_000], [45_000, 1000]])
def test_too_little_text(sizes: list[int]) -> None:
    draw, _ = drawn(sizes)
    with pytest.raises(DataError) as caught:
        draw.threshold()
    assert "--heldout" in caught.value.attempt


def test_one_text_many_times() -> None:
    draw = Draw()
    for _ in range(100):
        draw.add(0.01, 1000)
    draw.add(0.5, 30_000)
    with pytest.raises(DataError, match="different documents"):
        draw.threshold()
