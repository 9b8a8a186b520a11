"""Export: a run's model for other programs, opened there and compared."""

from typing import Annotated

import typer

from daybreak.commands.options import (
    AsJson,
    RunFolder,
    check_named,
    declared,
)
from daybreak.commands.parser import among
from daybreak.commands.printing import tell
from daybreak.core import terminal
from daybreak.core.failures import translate_errors
from daybreak.core.messages import localized


@declared("daybreak export runs/novel --to gguf")
def command(
    path: RunFolder,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            autocompletion=among("hf", "gguf", "onnx", "executorch", "torch-export"),
            help="Export format: hf, gguf, onnx, executorch or torch-export.",
        ),
    ],
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Output folder. Default: exports/ and the format, in the run.")
    ] = "",
    precision: Annotated[
        str,
        typer.Option(
            metavar="DTYPE",
            autocompletion=among("float32", "bfloat16", "float16", "q8_0"),
            help="Precision of the weights: float32, bfloat16, float16 or q8_0, where the format has it.",
        ),
    ] = "float32",
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt", metavar="TEXT", help="Text to check the export on (repeatable). Default: held-out text."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export a model for other programs, and check it there."""
    check_named(path)
    from daybreak.stages.export.exporting import export as exported
    from daybreak.stages.export.exporting import lines

    found = translate_errors(lambda: exported(path, to, out=out, precision=precision, prompts=prompts or (), told=tell))
    print(terminal.as_json(found) if as_json else localized("\n".join(lines(found))))
