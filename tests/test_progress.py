"""Progress: a line now and then, a forecast that comes down to what is seen, and nothing that moves a terminal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from daybreak.core.records import Event, Sample, Step, Validation
from daybreak.core.types import Machine, Plan
from daybreak.views.progress import PLAIN_EVERY, Progress, expected_final, harmless, plain


def step(number: int, of: int, nats: float = 2.0) -> Step:
    return Step(
        step=number,
        progress=number / of,
        used_seconds=100.0 * number / of,
        tokens=number * 128,
        cursor=number * 8,
        nats=nats,
        gradient_norm=1.0,
        learning_rate_factor=1.0,
        micro_batch=8,
        accumulation=1,
        seconds=0.5,
        skipped=False,
    )


def test_a_pipe_gets_a_line_at_every_twentieth_of_the_run(
    plan: Callable[..., Plan], machine: Callable[..., Machine]
) -> None:
    lines: list[str] = []
    shown = Progress(write=lines.append, live=False)
    shown.planned(plan(), machine())
    before = len(lines)
    for number in range(1, 1001):
        shown.record(step(number, 1000))
    told = lines[before:]
    assert len(told) == round(1 / PLAIN_EVERY)
    assert told[-1].startswith(" 95%") or told[-1].startswith(" 96%")
    assert "256 tokens/s" in told[0] and "expected end" in told[0]  # 8 rows of 16 tokens in half a second
    assert "8 min" in told[-1]  # of a budget of 600 s


def test_a_reader_that_goes_away_ends_no_run(plan: Callable[..., Plan], machine: Callable[..., Machine]) -> None:
    asked = []

    def gone(text: str) -> None:
        asked.append(text)
        raise BrokenPipeError

    shown = Progress(write=gone, live=False)
    shown.planned(plan(), machine())
    shown.record(step(1, 10))
    shown.close()
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (Event(name="warning", used_seconds=1.0, detail={"what": "the disk is full"}), "warning: the disk is full"),
        (Event(name="resumed", used_seconds=61.0, detail={"step": 7}), "continued at step 7, 1 min 01 s used"),
        (Sample(progress=0.5, used_seconds=1.0, prompt="Once\x1b[2J", text="up\non"), " 50%  sample: Once [2J│up↵on"),
        (
            Validation(step=5, progress=0.5, used_seconds=35, tokens=1, figure=2, perplexity=4, bytes=9, weights="ema"),
            " 50%  held out: 2.000 bits per byte with the weights of ema  (perplexity 4.00, 9 bytes)",
        ),
    ],
    ids=["warning", "resumed", "sample", "validation"],
)
def test_what_is_told_of_a_record(record: Event | Sample | Validation, told: str) -> None:
    lines: list[str] = []
    Progress(write=lines.append, live=False).record(record)
    assert lines == [told]


def test_the_forecast_goes_from_the_plan_to_what_is_seen() -> None:
    assert expected_final(3.0, 0.0, 2.0) == 2.0
    assert expected_final(3.0, 1.0, 2.0) == 3.0
    halfway = expected_final(3.0, 0.3, 2.0)
    assert 2.0 < halfway < 3.0


def test_text_of_a_model_commands_no_terminal() -> None:
    assert harmless("a\x1b]0;title\x07b\n\tc") == "a ]0;title b\n\tc"
    assert plain("a\nb\tc\rd") == "a↵b c d"
