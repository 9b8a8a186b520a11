"""The cache: one folder of this user for what is measured, compiled and fetched once."""

import contextlib
import functools
import os
import stat
import tempfile
from pathlib import Path

TAG_FILE, TAG = "CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55"  # by which backups know caches


def folder() -> Path:
    """Where things are kept between runs: it exists and can be written."""
    named = os.environ.get("DAYBREAK_CACHE")
    if named:
        return _writable(Path(named))
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no HOME, and a user that the system does not know
        base = Path(tempfile.gettempdir()) / f"daybreak-{os.getuid()}"
    return _writable(base / "daybreak")


@functools.cache
def _writable(folder: Path) -> Path:
    """The folder; where it cannot be written, as in a read-only home, one of this user's among the temporary files."""
    with contextlib.suppress(OSError):
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        if new:  # one that was there may hold what else its user keeps
            (folder / TAG_FILE).write_bytes(
                TAG + b"\n# This folder is daybreak's cache. See https://bford.info/cachedir/\n"
            )
    if os.access(folder, os.W_OK | os.X_OK):
        return folder
    with contextlib.suppress(OSError, AttributeError):  # Windows knows no user numbers
        own = Path(tempfile.gettempdir()) / f"daybreak-{os.getuid()}"
        own.mkdir(mode=0o700, exist_ok=True)
        status = own.lstat()
        # Kernels are code: a folder that somebody else has put there, or may write, is not used.
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022:
            return own
    return Path(tempfile.mkdtemp(prefix="daybreak-"))
