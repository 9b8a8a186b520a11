"""Cluster: the same work on the machines of a Ray cluster, by Ray Data, which schedules it and does it again on a node
that is left where one is lost. The run folder must be one that every machine sees under the same path.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from daybreak.core import errors, process
from daybreak.core.errors import MissingPackage, ResourceError, UsageError

if TYPE_CHECKING:
    import ray

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
    with _connected(address):
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


class _Doing(Generic[Item]):
    """Called by Ray Data with a row that names a place."""

    def __init__(self, work: Callable[[Item], object], items: Sequence[Item]) -> None:
        self._work, self._items = work, items

    def __call__(self, row: Mapping[str, int]) -> dict[str, int | str]:
        place = int(row["id"])
        outcome: dict[str, int | str] = {"id": place, "kind": "", "what": "", "received": "", "attempt": ""}
        try:
            self._work(self._items[place])
        except errors.DaybreakError as error:  # passed on by its name: Ray wraps exceptions
            kind = type(error).__name__
            outcome |= {"kind": kind, "what": error.what, "received": error.received, "attempt": error.attempt}
        return outcome


def _job_config() -> "ray.job_config.JobConfig":
    """A job with a folder of its own: for others, Ray puts the driver's folder on its workers' module search path."""
    import ray

    class JobConfig(ray.job_config.JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            return True

    return JobConfig()


@contextlib.contextmanager
def _connected(address: str) -> Iterator[None]:
    """Connected to the cluster; a connection that was there before stays."""
    import ray

    if ray.is_initialized():
        yield
        return
    # Workers of a local Ray import daybreak from where this process has it.
    environment = process.environment()
    paths = [str(Path(__file__).parents[2]), *filter(None, [environment.get("PYTHONPATH")])]
    variables = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": environment["PYTHONSAFEPATH"]}
    try:
        ray.init(
            address=address,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": variables},
            # None is its default.
            job_config=None  # type: ignore[arg-type]
            if address.startswith("ray://")
            else _job_config(),
            include_dashboard=False if address == "local" else None,
        )
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
