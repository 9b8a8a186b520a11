"""Verdicts: whether one of two finished runs is better than the other, or whether that cannot be told."""

from collections.abc import Sequence

from daybreak.core.errors import UsageError
from daybreak.core.run import Run
from daybreak.evaluation import bootstrap

SURE = 1 - bootstrap.CONFIDENCE


def opened(paths: Sequence[str]) -> list[Run]:
    """Raises UsageError: fewer than two runs, or one that is not finished."""
    if len(paths) < 2:
        raise UsageError(
            "there is nothing to compare with",
            received=", ".join(paths) or "no run",
            attempt="daybreak compare RUN RUN, with two or more folders of finished runs",
        )
    runs = [Run.open(path) for path in paths]
    for run in runs:
        if not run.finished():
            raise UsageError(
                "the run is not finished",
                received=str(run),
                attempt="repeat the `daybreak run` command to finish it, then compare",
            )
    return runs


def labels_of(runs: Sequence[Run]) -> list[str]:
    """The shortest ends of the paths that tell the folders apart; a folder that is named twice is numbered."""
    whole = [run.path.resolve().parts for run in runs]
    length = 1
    while length < max(map(len, whole)) and len({parts[-length:] for parts in whole}) < len(set(whole)):
        length += 1
    names: list[str] = []
    for parts in whole:
        name = "/".join(parts[-length:]).replace("//", "/")
        times = 1 + sum(whole[i] == parts for i in range(len(names)))
        names.append(name if times == 1 else f"{name} ({times})")
    return names


def verdict_on(
    difference: float, low: float, high: float, *, p: float, units: int, higher_is_better: bool = False
) -> str:
    """The verdict on a difference with its interval; p: adjusted for the number of all comparisons."""
    if units < bootstrap.LEAST_UNITS or p > SURE or low <= 0 <= high:
        return "cannot tell"
    return "better" if (difference > 0) == higher_is_better else "worse"
