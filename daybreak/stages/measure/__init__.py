"""Measure: what each technique of a run's plan gained, on this machine."""

from typing import Annotated

import typer

from daybreak.commands.options import (
    Device,
    Json,
    RunFolder,
    check_named,
    declared,
)
from daybreak.commands.parser import techniques
from daybreak.commands.printing import tell
from daybreak.core import terminal, units
from daybreak.core.failures import guarded
from daybreak.core.run import Run


@declared("daybreak measure runs/novel --for 20m")
def command(
    path: RunFolder,
    duration: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long it may take, such as 20m; else until all is decided.")
    ] = "",
    techniques: Annotated[
        str, typer.Option(metavar="NAMES", help="Of the plan, such as averaging,bf16; else all that train.")
    ] = "",
    include: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NAME", autocompletion=techniques, help="Try one that is off. Again for more."),
    ] = None,
    share: Annotated[float, typer.Option(metavar="SHARE", help="Steps of a learning cell, of the run's own.")] = 0.25,
    seeds: Annotated[int, typer.Option(metavar="NUMBER", help="At most so many seeds.")] = 8,
    optimizers: Annotated[bool, typer.Option("--optimizers", help="Compare all optimizers.")] = False,
    norms: Annotated[bool, typer.Option("--norms", help="Compare all kinds of norm.")] = False,
    positions: Annotated[bool, typer.Option("--positions", help="Compare all kinds of position.")] = False,
    device: Device = "",
    as_json: Json = False,
) -> None:
    """Prove what each technique of a run's plan gained, on this machine."""
    Run.open(path)
    check_named(device=device)
    from daybreak.stages.measure.measurement import measure as measured
    from daybreak.views import gains

    seconds = units.seconds_of(duration) if duration else None
    found = guarded(
        lambda: measured(
            path,
            seconds=seconds,
            names=[name.strip() for name in techniques.split(",") if name.strip()],
            include=include or [],
            share=share,
            most_seeds=seeds,
            optimizers=optimizers,
            norms=norms,
            positions=positions,
            device=device,
            told=tell,
            estimated=tell,
        )
    )
    if as_json:
        print(terminal.as_json(found))
        return
    from rich.console import Console

    gains.show(found, Console())
