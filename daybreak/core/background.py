"""Background: how a process that only looks on lets training go first."""

import contextlib
import os
from pathlib import Path

NICENESS = 19


def give_way(pid: int = 0) -> None:
    """The lowest priority for a process (0: this one) and what it starts; what the system does not offer is left out.

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
