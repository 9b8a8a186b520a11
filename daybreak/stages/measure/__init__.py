"""Measure: what each technique of a run's plan gained, on this machine."""

from typing import Annotated

import typer

from daybreak.commands.options import (
    AsJson,
    Device,
    RunFolder,
    check_named,
    declared,
)
from daybreak.commands.parser import techniques
from daybreak.commands.printing import tell
from daybreak.core import terminal, units
from daybreak.core.failures import translate_errors
from daybreak.core.run import Run


@declared("daybreak measure runs/novel --for 20m")
def command(
    path: RunFolder,
    duration: Annotated[
        str,
        typer.Option(
            "--for", metavar="TIME", help="Time budget, such as 20m. Default: until every verdict is decided."
        ),
    ] = "",
    techniques: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Techniques of the plan to measure, such as early_stopping,bf16. Default: all that change training.",
        ),
    ] = "",
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="NAME",
            autocompletion=techniques,
            help="Technique to measure that the plan does not use (repeatable).",
        ),
    ] = None,
    share: Annotated[
        float, typer.Option(metavar="SHARE", help="Length of a training trial, as a fraction of the run's steps.")
    ] = 0.25,
    seeds: Annotated[int, typer.Option(metavar="NUMBER", help="Number of random seeds, at most.")] = 8,
    optimizers: Annotated[
        bool, typer.Option("--optimizers", help="Compare all optimizers, each at its best learning rate.")
    ] = False,
    norms: Annotated[bool, typer.Option("--norms", help="Compare all normalizations.")] = False,
    positions: Annotated[bool, typer.Option("--positions", help="Compare all position encodings.")] = False,
    tried: Annotated[
        list[str] | None,
        typer.Option(
            "--try",
            metavar="FIELD=VALUE",
            help="Setting of the model shape to measure, such as activation=squared_relu (repeatable).",
        ),
    ] = None,
    device: Device = "",
    as_json: AsJson = False,
) -> None:
    """Measure what each technique of a run gained, with repeated trials."""
    Run.open(path)
    check_named(device=device)
    from daybreak.stages.measure.measurement import measure as measured
    from daybreak.views import gains

    seconds = units.seconds_of(duration) if duration else None
    found = translate_errors(
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
            tried=tried or [],
            device=device,
            log=tell,
            log_estimate=tell,
        )
    )
    if as_json:
        print(terminal.as_json(found))
        return
    from rich.console import Console

    gains.show(found, Console())
