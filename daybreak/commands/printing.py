"""Printing: results of commands, as lines for a terminal or as JSON."""

import sys
from collections.abc import Sequence
from typing import Protocol

from daybreak.core import terminal, units
from daybreak.core.errors import NotRepeatable
from daybreak.core.messages import localized
from daybreak.core.run import Run
from daybreak.core.values import Json


class Finished(Protocol):
    """A run at its end, with the figures that it is judged by."""

    @property
    def run(self) -> Run: ...

    @property
    def figures(self) -> Json: ...

    @property
    def skipped(self) -> Sequence[str]: ...
    @property
    def passed_over(self) -> Json: ...


def print_facts(facts: Json, as_json: bool) -> None:
    if as_json:
        print(terminal.as_json(facts))
        return
    from daybreak.views.terminal import fact_lines

    print("\n".join(fact_lines(facts)))


def print_by_tasks(facts: Json, words: dict[str, str], as_json: bool) -> None:
    if as_json:
        print(terminal.as_json(facts))
        return
    from rich.console import Console

    from daybreak.views.comparison import show_tasks

    show_tasks(facts, words, Console())


def print_finished(finished: Finished, as_json: bool) -> None:
    if as_json:
        not_read = {"skipped": finished.skipped, "passed_over": finished.passed_over}
        print(terminal.as_json({"run": str(finished.run), **finished.figures, **not_read}))
    else:
        from daybreak.views.terminal import finished_lines

        print(localized("\n".join(finished_lines(finished))))
    if why := finished.figures.get("deviations"):
        raise NotRepeatable(
            "the run left its plan, so it cannot be repeated exactly",
            received="; ".join(why),
            attempt="a budget longer than --for "
            f"{units.duration(finished.run.plan().budget.seconds)} if the deadline came too "
            f"early, with another --out; the model in {finished.run.model_folder} can be "
            "used as it is",
        )


def tell(line: str) -> None:
    """Prints a progress message to standard error."""
    print(localized(line), file=sys.stderr, flush=True)
