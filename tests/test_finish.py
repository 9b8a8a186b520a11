"""Finish: which part of the held-out text a figure on the way is taken from."""

import numpy as np
import pytest

from daybreak.stages.finish import spread


class Numbered:
    """Tokens that say where they stand."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def slice(self, start: int, stop: int) -> np.ndarray:
        return np.arange(start, stop)


@pytest.mark.parametrize(("length", "count", "context"), [(1000, 100, 10), (1000, 985, 10), (1003, 64, 16), (50, 7, 5)])
def test_a_part_isspread_over_the_whole_and_takes_nothing_twice(length, count, context):
    part = spread(Numbered(length), count, context)
    assert len(set(part)) == len(part) <= count
    assert len(part) > count - context
    if count >= 2 * context:
        assert part[0] == 0
        assert part[-1] == length - 1


def test_all_of_a_text_is_the_text():
    assert list(spread(Numbered(40), 40, 16)) == list(range(40))
