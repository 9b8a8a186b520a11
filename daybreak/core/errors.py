"""Every error a user can cause, in three parts, with the exit code of the command.

DaybreakError            4
├── UsageError           2   the command or a setting is wrong
│   ├── BudgetTooShort   2   this machine needs longer
│   ├── MissingPackage   2   what was asked for needs a package that is not installed
│   └── UnknownKeyword   2   a function of Python's face has no such keyword; a TypeError too
├── DataError            3   the text is missing, empty or unreadable
├── ResourceError        4   memory, disk or a damaged file
├── NotRepeatable        5   a run with --reproducible left its plan; its model is there and can be used
├── Saved               75   a terminated run that continues with the same command
└── Interrupted        130   Ctrl-C; the run was saved first
"""

import difflib
from collections.abc import Iterable


class DaybreakError(Exception):
    """What is wrong, what was received, what to try."""

    exit_code = 4

    def __init__(self, what: str, *, received: str, attempt: str) -> None:
        super().__init__(what)
        self.what, self.received, self.attempt = what, received, attempt

    def __str__(self) -> str:
        return f"{_shown(self.what)}\n  received: {_shown(self.received)}\n  try: {_shown(self.attempt)}"


def _shown(part: str) -> str:
    """With signs that a terminal would obey, or not show, written as escapes; a part of blanks is quoted."""
    if not part.strip():
        return repr(part)
    return "".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in part)


class UsageError(DaybreakError):
    exit_code = 2


class BudgetTooShort(UsageError):
    """seconds: the shortest budget that is expected to do; 0 where that is not known."""

    def __init__(self, what: str, *, received: str, attempt: str, seconds: float = 0.0) -> None:
        super().__init__(what, received=received, attempt=attempt)
        self.seconds = seconds


class MissingPackage(UsageError):
    pass


class UnknownKeyword(UsageError, TypeError):
    pass


class DataError(DaybreakError):
    exit_code = 3


class ResourceError(DaybreakError):
    exit_code = 4


class NotRepeatable(DaybreakError):
    exit_code = 5


class Saved(DaybreakError):
    exit_code = 75


class Interrupted(DaybreakError):
    exit_code = 130


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the closest known word, or lists the known ones."""
    known = sorted(known)
    if not known:
        return "there is nothing to choose from"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"one of: {', '.join(known)}"
