"""The last part of a run: which held-out text a figure on the way is taken from, and the time for the last one."""

from types import SimpleNamespace

import numpy as np
import pytest

from daybreak.core.clock import SecondsClock
from daybreak.core.types import Budget
from daybreak.training.finalize import sample_windows
from daybreak.training.state import TrainingState
from daybreak.training.train import _set_end


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
    part = sample_windows(Numbered(length), count, context)
    assert len(set(part)) == len(part) <= count
    assert len(part) > count - context
    if count >= 2 * context:
        assert part[0] == 0
        assert part[-1] == length - 1


def test_all_of_a_text_is_the_text():
    assert list(sample_windows(Numbered(40), 40, 16)) == list(range(40))


# The time for the end


@pytest.mark.parametrize(
    ("heldout", "quick_seconds", "expected"),
    [
        (200_000, 0.1, (2 + 1.3 * 10) * 0.1),  # all of it
        (20_000, 0.1, (2 + 1.3) * 0.1),  # what was scored on the way is all there is
        (5_000_000, 0.1, 0.04 * 100),  # more than may be kept for it: a part
    ],
)
def test_training_ends_early_enough_for_all_heldout_text_or_for_a_part_of_the_time(
    plan, tmp_path, heldout, quick_seconds, expected
):
    def end(**costs) -> float:
        state = TrainingState(
            run=SimpleNamespace(log_file=tmp_path),
            plan=plan(budget=Budget(clock="seconds", seconds=100.0), evaluation_bytes=1000),
            heldout=SimpleNamespace(bytes=heldout),
            machine=SimpleNamespace(disk_bytes_per_second=1e9),
            costs={"model": 0.1, **costs},
            contention=SimpleNamespace(factor=lambda: 1.0),  # whatever else this machine does
            **dict.fromkeys(
                ("corpus", "stopwatch", "ledger", "log", "tokenizer", "train", "show", "signals", "device")
            ),
        )
        clock = SecondsClock(None, begin=0.0)
        _set_end(state, clock)
        return clock.end

    # The last weights and those of the best mark are scored against each other before.
    assert end(validation=0.0) - end(validation=quick_seconds) == pytest.approx(expected)
