"""Mirrors: starts processes that copy a run's metrics to experiment trackers while it goes on."""

from pathlib import Path

from daybreak.core import process
from daybreak.core.process import lower_priority
from daybreak.core.records import Event
from daybreak.core.run import Run
from daybreak.views.destinations import opening

_children: list[process.Child[bytes]] = []  # kept: Python warns about a child that is garbage-collected while it runs


def started(run: Run, names: tuple[str, ...], used_seconds: float) -> list[Event]:
    """Starts a process for each tracker, without waiting for it; an event for each. A failure is a warning."""
    events = []
    for name in names:
        try:
            run.mirrors_folder.mkdir(exist_ok=True)
            log_file = run.mirrors_folder / f"{name}.log"
            child = _process(run, name, log_file)
            detail = {"name": name, "pid": child.pid, "log": str(log_file)}
            if command := opening(name, run.mirrors_folder / name):
                detail["open"] = command
            events.append(Event(name="mirror", used_seconds=used_seconds, detail=detail))
        except Exception as error:  # whatever it is, training goes on
            what = f"the mirror {name} could not be started: {error}"
            events.append(Event(name="warning", used_seconds=used_seconds, detail={"what": what}))
    return events


def _process(run: Run, name: str, log_file: Path) -> process.Child[bytes]:
    with log_file.open("ab") as log:
        child = process.start(
            process.daybreak("mirror", str(run.path.resolve()), "--to", name, "--follow"),
            more={"OPENBLAS_NUM_THREADS": "1"},
            stdin=process.DEVNULL,
            stdout=log,
            stderr=process.STDOUT,
            start_new_session=True,  # a Ctrl-C is for the run
        )
    lower_priority(child.pid)
    _children.append(child)
    return child
