"""Options: how a verb's file declares its command: heading, example, and the options that commands share."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from typer.models import ArgumentInfo, OptionInfo

from daybreak.commands.parser import among, run_folders, techniques
from daybreak.commands.printing import tell
from daybreak.core.messages import LANGUAGES as LANGUAGES
from daybreak.core.request import FIELDS, OPTIONS, USUAL_BUDGET, Request, request_of, usual_of
from daybreak.core.run import Run
from daybreak.core.values import Json
from daybreak.models import families


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A command as its file declares it."""

    function: Callable[..., None]
    example: str


def declared(example: str) -> Callable[[Callable[..., None]], Declared]:
    """Declares a command; its name and heading stand in cli.py, its help in the docstring."""
    return lambda function: Declared(function=function, example=example)


_COMPLETED = {
    "include": techniques,
    "exclude": techniques,
    "family": lambda incomplete: [name for name in families.listed() if name.startswith(incomplete)],
    "tokenizer": among("auto", "bytes", "characters", "bpe", "wordpiece", "unigram", "words"),
    "device": among("cpu", "cuda", "mps"),
    "parent": run_folders,
}


def annotated(name: str) -> tuple[object, ArgumentInfo | OptionInfo]:
    """The type and the option of a request's field, as the parser takes them."""
    option, kind = OPTIONS[name], FIELDS[name].type
    if not option.flag:
        return list[str] | None, typer.Argument(metavar=f"[{option.metavar}]...", help=option.help)
    told: Json = {"help": option.help, "rich_help_panel": option.group or None}
    if name in _COMPLETED:
        told["autocompletion"] = _COMPLETED[name]
    if kind is bool:
        flag = f"{option.flag}/{option.off}" if option.off else option.flag
        return bool, typer.Option(flag, **told)
    told |= {"metavar": option.metavar, "show_default": bool(usual_of(name))}
    if kind in (int, str):
        told |= {"min": option.least, "max": option.most} if kind is int else {}
        return kind, typer.Option(option.flag, **told)
    return str if kind is float else list[str] | None, typer.Option(option.flag, **told)


def ungrouped(name: str) -> ArgumentInfo | OptionInfo:
    """The option of a request's field, for a command with few options."""
    _, option = annotated(name)
    option.rich_help_panel = None
    return option


def asks(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of a request's fields (none named: all), and their values as its `asked`."""

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        own = dict(inspect.signature(command).parameters)
        parameters, keywords = [], set()
        for parameter in own.values():
            if parameter.name != "asked":
                parameters.append(parameter)
                continue
            for name in names or OPTIONS:
                kind, option = annotated(name)
                keywords.add(OPTIONS[name].name)
                # A budget that is given and empty is a mistake; one that is not given is the usual one.
                budget = name in ("seconds", "until")
                usual = usual_of(name) if FIELDS[name].type in (str, int, bool) and not budget else None
                parameters.append(
                    inspect.Parameter(
                        OPTIONS[name].name,
                        inspect.Parameter.KEYWORD_ONLY,
                        default=usual,
                        annotation=Annotated[kind, option],
                    )
                )

        @functools.wraps(command)
        def parsed(**given: object) -> None:
            asked = {keyword: given.pop(keyword) for keyword in keywords}
            command(**given, asked=asked)

        parsed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        )
        return parsed

    return with_options


def asked_request(asked: Mapping[str, object]) -> Request:
    """Raises UsageError."""
    from daybreak.core.clock import boot_seconds, process_start

    if asked["for_"] is None and asked["until"] is None:
        tell(f"no --for given: using --for {USUAL_BUDGET}; Ctrl-C stops it and keeps the model")
    return request_of(asked, used=boot_seconds() - process_start())


Out = Annotated[
    str,
    typer.Option(metavar="FOLDER", help="Output folder of the run. Default: runs/ and a name made of text and time."),
]
Sources = Annotated[list[str] | None, annotated("sources")[1]]
Heldout = Annotated[str, ungrouped("heldout")]
Without = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="NAME",
        autocompletion=among("ngram_mix", "history_mix"),
        help="Predictor not to mix in: ngram_mix or history_mix (repeatable).",
    ),
]
Seed = Annotated[int, ungrouped("seed")]
Device = Annotated[str, ungrouped("device")]
Mirror = Annotated[
    list[str] | None,
    typer.Option(
        "--mirror",
        metavar="TOOL",
        autocompletion=among("tensorboard", "wandb", "trackio"),
        help="Experiment tracker to log to: tensorboard, wandb or trackio (repeatable).",
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option("--task", metavar="FILE", help="Zero-shot task: a JSON Lines file of questions (repeatable)."),
]
Limit = Annotated[int, typer.Option(min=0, metavar="NUMBER", help="Questions per task, at most; 0: all.")]
Batch = Annotated[int, typer.Option(min=1, metavar="ROWS", help="Evaluation batch size; does not change scores.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
RunFolder = Annotated[
    str, typer.Argument(metavar="RUN", autocompletion=run_folders, help="Run folder, such as runs/NAME.")
]


def check_named(
    *runs: str, device: str = "", on: Sequence[str] | None = None, tasks: Sequence[str] | None = None
) -> None:
    """Checks what a command names before torch is imported. Raises UsageError and DataError."""
    from daybreak.planning import names

    for run in runs:
        Run.with_model(run)
    names.check_device(device)
    names.check_sources(on or ())
    for task in tasks or ():
        names.check_file(task, "--task", "a file with one question on each line, as in docs/evaluation.md")
