"""Process priority: a process that only watches gives way to training, in every way that the system has for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.core.process import NICENESS, lower_priority

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture(params=[True, False], ids=["own session", "same session"])
def process(request):
    with subprocess.Popen(SLEEPER, start_new_session=request.param) as process:
        process.own_session = request.param
        yield process
        process.kill()


def autogroup(pid: int) -> int | None:
    """The niceness of a process's group; none where the kernel forms no groups, or has put this process in none."""
    file = Path(f"/proc/{pid}/autogroup")
    words = file.read_text().split() if file.exists() else []
    return int(words[-1]) if words else None


@pytest.mark.skipif(sys.platform != "linux", reason="the idle class and groups of sessions are Linux' own")
def test_a_process_gives_way_and_its_neighbours_stay_as_they_are(process) -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0), autogroup(os.getpid())
    lower_priority(process.pid)
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == NICENESS
    assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
    if autogroup(process.pid) is not None:
        # A session shared with others is not put back: they have not asked for it.
        assert autogroup(process.pid) == (NICENESS if process.own_session else before[2])
    assert (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0), autogroup(os.getpid())) == before


def test_a_system_without_priorities_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("setpriority", "sched_setscheduler", "getsid"):
        monkeypatch.delattr(os, name, raising=False)
    lower_priority()
