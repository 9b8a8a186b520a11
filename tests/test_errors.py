"""Errors: three parts, an exit code, and the nearest name."""

from __future__ import annotations

import pytest

from daybreak.core import errors
from daybreak.core.errors import DaybreakError, nearest

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DaybreakError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_says_what_is_wrong_what_was_received_and_what_to_try(kind: type[DaybreakError]) -> None:
    error = kind("the text is empty", received="a.txt, 0 bytes", attempt="use a file with text in it")
    assert (error.what, error.received, error.attempt) == (
        "the text is empty",
        "a.txt, 0 bytes",
        "use a file with text in it",
    )
    assert str(error).splitlines() == [
        "the text is empty",
        "  received: a.txt, 0 bytes",
        "  try: use a file with text in it",
    ]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.DaybreakError, 4),
        (errors.UsageError, 2),
        (errors.BudgetTooShort, 2),
        (errors.DataError, 3),
        (errors.ResourceError, 4),
        (errors.NotRepeatable, 5),
        (errors.Saved, 75),
        (errors.Interrupted, 130),
    ],
)
def test_exit_codes_are_those_of_the_drawing_in_the_file(kind: type[DaybreakError], code: int) -> None:
    assert kind.exit_code == code
    drawn = [line.split() for line in (errors.__doc__ or "").splitlines() if kind.__name__ in line.split()]
    drawn = drawn or [
        line.replace("─", " ").split() for line in (errors.__doc__ or "").splitlines() if kind.__name__ in line
    ]
    assert str(code) in drawn[0]


def test_every_error_stands_in_the_drawing() -> None:
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in KINDS)


def test_a_part_of_blanks_is_quoted_and_what_a_terminal_would_obey_is_escaped() -> None:
    told = str(DaybreakError("what", received="\n", attempt="\x1b[31mred\udcff 中"))
    assert told == "what\n  received: '\\n'\n  try: \\x1b[31mred\\udcff 中"


def test_parts_must_be_given_by_name() -> None:
    with pytest.raises(TypeError):
        DaybreakError("what")  # type: ignore[call-arg]


def test_the_nearest_name_or_all_of_them() -> None:
    assert nearest("layer", ["width", "layers", "heads"]) == "did you mean 'layers'?"
    assert nearest("zzz", ["width", "layers"]) == "one of: layers, width"
    assert nearest("", {"b", "a"}) == "one of: a, b"
