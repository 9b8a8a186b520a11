"""Process: the one place that starts processes, so that no file of the folder that the user works in is executed.

Python puts the working folder on its module search path for `-c` and `-m`, and for an empty entry in PYTHONPATH: a
`json.py` that lies there, as in a cloned repository, would be imported in the place of the library's. Every process of
ours is started without it. The folders that the user's environment names otherwise stay.
"""

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NICENESS = 19  # the lowest priority that a process may have

_ROOT = str(Path(__file__).resolve().parents[2])  # the folder that holds the package
_BEGIN = "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
_COMMAND = "sys.argv[0] = 'daybreak'; from daybreak.cli import main; main()"

Child = subprocess.Popen
Ended = subprocess.CompletedProcess
TimeoutExpired = subprocess.TimeoutExpired
ProcessError = subprocess.SubprocessError
PIPE, DEVNULL, STDOUT = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT


def leave_working_folder() -> None:
    """Takes the working folder off this process's module search path, and off that of every process it leads to.

    For the command line alone: in a program of the user's, the search path is the user's.
    """
    sys.path[:] = search_path()
    found = environment()
    os.environ.update(found)
    if "PYTHONPATH" not in found:
        os.environ.pop("PYTHONPATH", None)


def search_path() -> list[str]:
    """This process's module search path without the working folder; the folder of this package is always on it.

    Behind the standard library an entry that is the working folder stays: there it comes from a package that was
    installed from this very folder, and is in the place of nothing.
    """
    entries = [entry for entry in sys.path if isinstance(entry, str)]
    library = sysconfig.get_path("stdlib")
    first = entries.index(library) if library in entries else len(entries)
    kept = [
        entry
        for index, entry in enumerate(entries)
        if Path(entry).is_absolute() and not (index < first and _is_working_folder(entry))
    ]
    return kept if _ROOT in kept else [*kept, _ROOT]


def environment(**more: str) -> dict[str, str]:
    """The user's, in which no Python takes the working folder for a place of modules; `more` of it is ours."""
    found = {**os.environ, "PYTHONSAFEPATH": "1"}
    named = found.pop("PYTHONPATH", "").split(os.pathsep)
    # An empty entry, and one such as `src`, name another folder wherever a process works.
    if kept := [entry for entry in named if Path(entry).is_absolute() and not _is_working_folder(entry)]:
        found["PYTHONPATH"] = os.pathsep.join(kept)
    # With what torch's own processes, which compile, find modules.
    found["TORCH_CUSTOM_PYTHONPATH"] = os.pathsep.join(search_path())
    return found | more


def _is_working_folder(entry: str) -> bool:
    try:
        return Path(entry).samefile(os.curdir)
    except OSError:  # an entry that is not there; or the working folder is gone
        return False


def python(code: str, *words: str) -> list[str]:
    """The words that start this Python with `code`, which finds the words from sys.argv[1] on."""
    return [sys.executable, "-P", "-c", _BEGIN + code, *words, json.dumps(search_path())]


def daybreak(*words: str) -> list[str]:
    """The words that start a command of daybreak's."""
    return python(_COMMAND, *words)


def start(words: Sequence[str], *, more: Mapping[str, str] | None = None, **options: Any) -> "Child[Any]":
    """A process that goes on by itself. more: for its environment; options: of subprocess.Popen. Raises OSError."""
    return Child(list(words), env=environment(**(more or {})), **options)


def run(words: Sequence[str], *, more: Mapping[str, str] | None = None, **options: Any) -> "Ended[Any]":
    """A process until its end. options: of subprocess.run. Raises OSError, ProcessError."""
    return subprocess.run(list(words), env=environment(**(more or {})), **{"check": False, **options})


def open_browser(address: str) -> None:
    """Shows a page in the user's browser, which works in a folder that holds nothing of the user's."""
    import tempfile

    with contextlib.suppress(OSError):
        code = "import webbrowser; webbrowser.open(sys.argv[1])"
        start(
            python(code, address),
            cwd=tempfile.gettempdir(),
            start_new_session=True,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )


def lower_priority(pid: int = 0) -> None:
    """Gives a process (0: this one), and those it starts, the lowest priority, as far as the system knows priorities.

    Linux' idle class runs where nothing else wants to and is put off at once, where a nice process keeps a core for
    some milliseconds. Where sessions share the processor as groups, whatever the niceness of their processes (sched(7),
    "The autogroup feature"), the group of a process that leads its own session gives way too.
    """
    with contextlib.suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(AttributeError, OSError):
        if os.getsid(pid) == (pid or os.getpid()):
            Path(f"/proc/{pid or 'self'}/autogroup").write_text(str(NICENESS))
