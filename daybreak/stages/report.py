"""Report: a page that tells what a run did, from its records alone, at any moment of it."""

from typing import Annotated

import typer

from daybreak.commands.options import LANGUAGES, AsJson, RunFolder, declared
from daybreak.commands.parser import among
from daybreak.core.messages import localized
from daybreak.core.run import Run


@declared("daybreak report runs/novel")
def command(
    path: RunFolder,
    language: Annotated[
        str, typer.Option(metavar="LANGUAGE", autocompletion=among(*LANGUAGES), help="Language of the page: en or zh.")
    ] = "en",
    out: Annotated[str, typer.Option(metavar="FILE", help="Output file (.html); the .json is written beside it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write the HTML report of a run, finished or not."""
    from daybreak.views import report_page

    page_file, data_file = report_page.write(Run.open(path), language=language, out=out)
    if as_json:
        print(data_file.read_text(encoding="utf-8"), end="")
    else:
        print(localized(f"page    {page_file}\ndata    {data_file}"))
