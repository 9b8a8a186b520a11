"""Small texts: many passes end at the best mark, and more time plans no more than the text is worth."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from daybreak.core import records
from daybreak.core.clock import SecondsClock, Stopwatch
from daybreak.core.records import Event, Step, Validation
from daybreak.engine import scaling

pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.mark.long
def test_a_run_of_many_passes_ends_as_good_as_its_best_mark(small_text: Path, tmp_path: Path) -> None:
    """Thirty passes, as many as the plan would never choose: no step is skipped, and nothing is lost."""
    import daybreak

    text, unseen = tmp_path / "small.txt", tmp_path / "unseen.txt"
    text.write_text(small_text.read_text()[:20_200])
    unseen.write_text(small_text.read_text()[30_000:42_000])
    asked: dict[str, Any] = {"layers": 1, "width": 64, "context_length": 32, "vocabulary": 512, "tokens": 300_000}
    asked["batch_tokens"] = 1024
    done = daybreak.run(
        str(text),
        budget="10m",
        out=str(tmp_path / "run"),
        heldout=str(unseen),
        reproducible=True,
        settings=asked,
        exclude=["ngram_mix", "compiled"],
    )
    log = list(records.read(done.run.log_file))
    scored = [r for r in log if isinstance(r, Validation)]
    marks = [r.figure for r in scored if r.progress < 1]
    steps = [r for r in log if isinstance(r, Step)]
    (chosen,) = [r.detail for r in log if isinstance(r, Event) and r.name == "weights chosen"]
    assert chosen[chosen["weights"]] <= 1.01 * min(marks)
    assert not any(step.skipped for step in steps) and not any(
        a["amendment"] == "went back" for a in done.run.amendments()
    )
    stopped = [r for r in log if isinstance(r, Event) and r.name == "stopped early"]
    assert len(stopped) == 1 and "more time does not" in stopped[0].detail["what"]
    assert steps[-1].tokens < 300_000 and steps[-1].learning_rate_factor < 0.1 * steps[0].learning_rate_factor


def test_more_time_plans_no_more_passes_than_the_text_is_worth() -> None:
    for weights, size in ((450_000, 20_000), (450_000, 62_000), (450_000, 250_000), (2_500_000, 1_000_000)):
        tokens = scaling.most_tokens(weights, size, 2.5)
        assert 5 < tokens * 2.5 / size < 20
        assert tokens <= scaling.most_tokens(weights, 2 * size, 2.5)
    assert scaling.most_tokens(450_000, 100, 2.5) >= 20 * scaling.LEAST_BATCH
    assert [scaling.weight_decay(epochs, 440_000, 62_000) for epochs in (1, 3, 8)] == [0.1, 0.2, 1.4]
    assert scaling.weight_decay(8, 440_000, 10_000_000) == 0.2 and scaling.weight_decay(8, 10**9, 10**6) == 2.0


def test_a_small_text_is_read_in_small_batches() -> None:
    assert [scaling.least_batch(2048, tokens) for tokens in (1e4, 6e4, 2e5, 3e5, 1e9)] == [512, 512, 1024, 2048, 2048]
    assert scaling.least_batch(2048, float("inf")) == 2048 and scaling.least_batch(16384, 1e6) == 8192


def test_a_clock_with_a_most_of_tokens_ends_at_whichever_comes_first() -> None:
    """The schedule follows progress, so its end must be the end of the training, whether tokens or seconds end it."""

    def trained(seconds_a_step: float, *, resumed: int = 0) -> list[float]:
        now = 0.0
        clock = SecondsClock(Stopwatch(start=0.0, now=lambda: now), begin=0.0, end=100.0, most_tokens=1000)
        clock.resume(resumed / 1000, resumed)
        progress = []
        while (tick := clock.tick(seconds_a_step, 10)) is not None:
            progress.append(tick.progress)
            now += seconds_a_step
        return progress

    by_tokens, by_seconds = trained(0.1), trained(4.0)
    assert len(by_tokens) == 100 and by_tokens[0] == 0.005 and by_tokens[-1] == pytest.approx(0.995)
    assert len(by_seconds) == 25 and by_seconds[-1] == pytest.approx(0.98)
    assert len(trained(0.1, resumed=500)) == 50
    assert all(later >= earlier for run in (by_tokens, by_seconds) for earlier, later in itertools.pairwise(run))


def test_the_benchmark_says_which_longer_time_was_worse(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(root / "benchmarks")
    import small_texts

    assert small_texts.worsened({20: 1.0, 60: 1.009, 300: 0.9}) == []
    assert small_texts.worsened({300: 1.02, 20: 1.0, 60: 1.005}) == ["300 s: 1.020, 2.0% worse than with less time"]
    cells = [{"seconds": 20, "bits": value} for value in (1.0, 3.0, 2.0)] + [{"seconds": 60, "bits": None}]
    assert small_texts.medians(cells, "bits") == {20: 2.0}
