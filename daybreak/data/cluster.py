"""Cluster: the same work on the machines of a Ray cluster, by Ray Data, which schedules it and does it again on a node
that is left where one is lost. The run folder must be one that every machine sees under the same path.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from daybreak.core import errors, process
from daybreak.core.errors import MissingPackage, ResourceError, UsageError

Item = TypeVar("Item")


def ordered(work: Callable[[Item], object], items: Sequence[Item], *, address: str) -> Iterator[None]:
    """Does `work` on every item, wherever; yields once for each, in their order, when it is done.

    address: "local" (a Ray of this machine, for this command), "auto" (the cluster that this machine is of), or one
    such as "ray://HOST:10001". Raises MissingPackage: Ray is not installed; UsageError: it cannot be
    reached; ResourceError: an item cannot be done; and what `work` raises.
    """
    if not items:
        return
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingPackage(
            "Ray is not installed",
            received=f"--cluster {address}",
            attempt="run pip install '.[cluster]' in the checkout",
        ) from None
    with _connected(ray, address):
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_options.preserve_order = True
        places = ray.data.range(len(items), override_num_blocks=len(items))
        done = places.map(_Doing(work, tuple(items)), num_cpus=1)
        try:
            for row in done.iter_rows():
                if row["kind"]:
                    kind = getattr(errors, row["kind"])
                    raise kind(row["what"], received=row["received"], attempt=row["attempt"])
                yield None
        except ray.exceptions.RayError as error:
            raise ResourceError(
                "the Ray cluster failed on a part of the text",
                received=str(error).strip().splitlines()[0],
                attempt="repeat the command: finished parts are kept",
            ) from None


class _Doing:
    """Called by Ray Data with a row that names a place."""

    def __init__(self, work: Callable[[Any], object], items: tuple[Any, ...]) -> None:
        self._work, self._items = work, items

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = {"id": int(row["id"]), "kind": "", "what": "", "received": "", "attempt": ""}
        try:
            self._work(self._items[told["id"]])
        except errors.DaybreakError as error:  # told by name: Ray wraps what it carries
            kind = type(error).__name__
            told |= {"kind": kind, "what": error.what, "received": error.received, "attempt": error.attempt}
        return told


def _job_config(ray: Any) -> Any:
    """Of a job that has a folder of its own: for others Ray puts the driver's on its workers' module search path."""

    class JobConfig(ray.job_config.JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            return True

    return JobConfig()


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """A connection that was there before stays."""
    if ray.is_initialized():
        yield
        return
    # Workers of a local Ray import daybreak from where this process has it.
    environment = process.environment()
    paths = [str(Path(__file__).parents[2]), *filter(None, [environment.get("PYTHONPATH")])]
    variables = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": environment["PYTHONSAFEPATH"]}
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    options["runtime_env"] = {"env_vars": variables}
    if not address.startswith("ray://"):
        options["job_config"] = _job_config(ray)
    if address == "local":
        options["include_dashboard"] = False
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(
            "the Ray cluster cannot be reached",
            received=f"--cluster {address}: {str(error).strip().splitlines()[0]}",
            attempt="check `ray status` on a machine of the cluster, or use --cluster local",
        ) from None
    try:
        yield
    finally:
        ray.shutdown()
