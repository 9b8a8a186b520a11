"""List: the runs of a folder."""

from pathlib import Path
from typing import Annotated

import typer

from daybreak.commands.options import (
    AsJson,
    declared,
)
from daybreak.commands.printing import tell
from daybreak.core import terminal
from daybreak.core.values import Json


@declared("daybreak list")
def command(
    folder: Annotated[str, typer.Argument(metavar="[FOLDER]", help="Folder that holds the runs.")] = "runs",
    as_json: AsJson = False,
) -> None:
    """List the runs of a folder, with date, family, score, time and state."""
    from daybreak.views import listing

    rows: list[Json] = [] if folder == "runs" and not Path(folder).exists() else listing.listed(folder)
    if as_json:
        print(terminal.as_json(rows))
    elif not rows:
        tell(f"there are no runs in {folder}")
    else:
        from rich.console import Console

        listing.show(rows, Console(highlight=False))
