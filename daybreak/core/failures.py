"""Failures: turns exceptions of Python and the operating system with a known cause into DaybreakErrors."""

import errno
import os
import tempfile
import traceback
from collections.abc import Callable
from typing import TypeVar

from daybreak.core.errors import DaybreakError, ResourceError, UsageError

T = TypeVar("T")

# What the system has run out of, by the number of its error.
_USED_UP = {
    errno.ENOSPC: ("the disk is full", "free some disk space; the same command then continues from what was saved"),
    errno.EDQUOT: (
        "the disk quota is used up",
        "free some disk space; the same command then continues from what was saved",
    ),
    errno.EFBIG: (
        "a file would be larger than the system allows",
        "raise the limit on file sizes (`ulimit -f` shows it)",
    ),
    errno.EMFILE: ("too many files are open", "raise the limit on open files: ulimit -n 1024"),
    errno.ENFILE: ("too many files are open on this machine", "close other programs, then repeat the command"),
    errno.ENOMEM: ("the memory is used up", "--set micro_batch=8, or a smaller model"),
    errno.EAGAIN: (
        "no further process or thread may be started",
        "raise the limit on processes (`ulimit -u` shows it)",
    ),
    errno.EIO: ("the disk cannot be read or written", "use another disk, and check this one for errors"),
}
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_PLACE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EEXIST, errno.EINVAL)
_MEMORY = (
    "cannot allocate memory",
    "can't allocate memory",
    "failed to map segment",
    "not enough memory",
    "out of memory",
    "bad allocation",
    "std::bad_alloc",
)
_THREADS = ("can't start new thread", "resource temporarily unavailable")


def named(error: BaseException) -> DaybreakError | None:
    """The error in three parts; None where its cause is not known."""
    if isinstance(error, DaybreakError):
        return error
    if isinstance(error, MemoryError):
        return _of_memory(str(error) or type(error).__name__)
    told = str(error).strip()
    line = told.splitlines()[0] if told else type(error).__name__
    if isinstance(error, RuntimeError | ImportError | OSError) and any(sign in told.lower() for sign in _MEMORY):
        return _of_memory(line)
    if isinstance(error, RuntimeError) and any(sign in told.lower() for sign in _THREADS):
        what, attempt = _USED_UP[errno.EAGAIN]
        return ResourceError(what, received=line, attempt=attempt)
    if isinstance(error, ModuleNotFoundError):
        return ResourceError(
            "a library that daybreak needs is missing",
            received=line,
            attempt="run `pip install -e .` in the checkout again",
        )
    if isinstance(error, OSError):
        return of_system(error)
    if isinstance(error, ValueError) and ("null byte" in told or "null character" in told):
        return UsageError(
            "a name contains a null character", received=line, attempt="remove the null character from the name"
        )
    return None


def _of_memory(received: str) -> ResourceError:
    what, attempt = _USED_UP[errno.ENOMEM]
    return ResourceError(what, received=received, attempt=attempt)


def of_system(error: OSError, *, what: str = "", place: object = "", attempt: str = "") -> DaybreakError:
    """An OSError as ours: ResourceError where something is used up or broken, UsageError for an impossible path.

    what, attempt: the parts for a place that cannot be used; place: where, if the error does not say it.
    """
    where = error.filename if error.filename is not None else place
    received = f"{os.fspath(where) if isinstance(where, os.PathLike) else where}: " if where else ""
    received += error.strerror or str(error) or type(error).__name__
    if error.errno in _USED_UP:
        used_up, free = _USED_UP[error.errno]
        return ResourceError(f"{what}: {used_up}" if what else used_up, received=received, attempt=free)
    if error.errno in _NOT_ALLOWED:
        return UsageError(
            what or "a file or folder may not be used",
            received=received,
            attempt=attempt or "use a folder that you may read and write",
        )
    if error.errno in _NO_PLACE:
        return UsageError(
            what or "a file or folder cannot be used", received=received, attempt=attempt or "check the path"
        )
    return ResourceError(
        what or "the system has refused", received=received, attempt=attempt or "the same command again"
    )


def unknown(error: BaseException) -> DaybreakError:
    """The error for an unknown exception; its traceback is written to a file, where one can be."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="daybreak-", suffix=".log", delete=False) as file:
            traceback.print_exception(error, file=file)
        where = f"Details: {file.name}"
    except OSError:
        frames = traceback.extract_tb(error.__traceback__)
        where = f"The error came from {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
    return DaybreakError(
        "internal error (please report it)",
        received=f"{type(error).__name__}: {error}",
        attempt=f"repeat the command; what was saved is kept. {where}",
    )


def translate_errors(work: Callable[[], T]) -> T:
    """Does the work, and turns errors of memory and of libraries into those in three parts. Raises DaybreakError."""
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        known = named(error)
        if known is None:
            raise
        raise known from None
