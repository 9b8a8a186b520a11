"""Units: durations, moments, sizes and counts, from what people write to numbers and back."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.core import units
from daybreak.core.errors import UsageError

NOW = datetime.datetime(2030, 1, 31, 22, 30, 15, tzinfo=datetime.timezone(datetime.timedelta(hours=8)))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("144", 144.0),
        ("144s", 144.0),
        ("90m", 5400.0),
        ("8h", 28800.0),
        ("1d", 86400.0),
        ("1h30m", 5400.0),
        ("1H 30M", 5400.0),
        (" 20 m ", 1200.0),
        ("0.5h", 1800.0),
        ("2d12h30m5s", 217805.0),
        ("366d", units.LONGEST_SECONDS),
    ],
)
def test_a_length_of_time_in_seconds(text: str, seconds: float) -> None:
    assert units.seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "0", "0h", "-5", "-1h", "tomorrow", "8 hours", "8x", "h", "1e3", "07:00", "nan", "inf", "367d", "1,5h"],
)
def test_what_is_not_a_length_of_time_is_an_error_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as error:
        units.seconds_of(text)
    assert error.value.received == f"--for {text}" and "--for 20m" in error.value.attempt


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("23:00", NOW.replace(hour=23, minute=0, second=0)),
        ("22:30:16", NOW.replace(second=16)),
        ("07:00", NOW.replace(month=2, day=1, hour=7, minute=0, second=0)),
        ("7:00", NOW.replace(month=2, day=1, hour=7, minute=0, second=0)),
        ("22:30:15", NOW.replace(month=2, day=1)),
        ("22:30", NOW.replace(month=2, day=1, second=0)),
        ("2030-02-03T07:00", NOW.replace(month=2, day=3, hour=7, minute=0, second=0)),
        ("2030-02-03 07:00", NOW.replace(month=2, day=3, hour=7, minute=0, second=0)),
        ("2030-01-31T14:31+00:00", NOW.replace(minute=31, second=0)),
    ],
)
def test_the_next_such_moment(text: str, moment: datetime.datetime) -> None:
    assert units.moment_of(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "25:00", "7:60", "tomorrow", "7", "2030-02-30T07:00", "-1:00"])
def test_what_is_not_a_moment_is_an_error_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="not a time of day") as error:
        units.moment_of(text, NOW)
    assert error.value.received == f"--until {text}" and "--until 07:00" in error.value.attempt


def test_a_moment_that_has_passed_is_an_error() -> None:
    with pytest.raises(UsageError, match="passed"):
        units.moment_of("2030-01-31T22:30", NOW)


@given(hour=st.integers(0, 23), minute=st.integers(0, 59))
def test_a_time_of_day_is_always_within_the_next_24_hours(hour: int, minute: int) -> None:
    wait = units.moment_of(f"{hour:02d}:{minute:02d}", NOW) - NOW
    assert datetime.timedelta(0) < wait <= datetime.timedelta(days=1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.1234, "0.123 s"),
        (9.5, "9.5 s"),
        (12.3, "12 s"),
        (60, "1 min 00 s"),
        (119.6, "2 min 00 s"),
        (3599.7, "1 h 00 min"),
        (5400, "1 h 30 min"),
        (86400, "24 h 00 min"),
        (3 * 86400 + 7200, "3 d 2 h"),
    ],
)
def test_a_duration_for_people(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (12_345, "12.3 thousand"), (1_500_000, "1.5 million"), (2e9, "2 billion")],
)
def test_a_count_for_people(number: float, text: str) -> None:
    assert units.count(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 bytes"), (1000, "1 KB"), (1_234_567, "1.23 MB"), (8e9, "8 GB"), (2e12, "2 TB")]
)
def test_a_size_for_people(number: float, text: str) -> None:
    assert units.size(number) == text


@pytest.mark.parametrize("number", [999.6, 999_499, 999_500, 999_999, 999_999_999, 999_999_999_999])
def test_no_figure_for_people_has_an_exponent(number: float) -> None:
    assert "e+" not in units.count(number) and "e+" not in units.size(number)
