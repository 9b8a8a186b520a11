"""Mirrors: processes that show a run elsewhere while it goes on; none of them is waited for."""

from pathlib import Path

from daybreak.core import process
from daybreak.core.process import lower_priority
from daybreak.core.records import Event
from daybreak.core.run import Run
from daybreak.views.destinations import opening

_children: list[process.Child[bytes]] = []  # held, so that nothing is told about them when they are forgotten


def started(run: Run, names: tuple[str, ...], used_seconds: float) -> list[Event]:
    """Starts a process for each name and says so; none of them is waited for. Never raises: a failure is a warning."""
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
        except Exception as error:  # whatever it is, the run goes on
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
