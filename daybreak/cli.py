"""The command line: the list of commands, and the exit code of each error; each command's file declares it."""

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from daybreak.commands.parser import Commands, Listed, ParserError, in_three_parts
from daybreak.core import failures, messages, process, terminal
from daybreak.core.errors import DaybreakError, Interrupted, UsageError

TRAIN, USE, LOOK, MEASURE = "Train", "Use a model", "Look at runs", "Measure"
# By heading, in the order of the help. The sentence is the first one of the command's docstring, which is not read for
# the help of all commands: importing every file would take a second.
COMMANDS = {
    "run": Listed(
        TRAIN,
        "daybreak.stages.run",
        "Train the best language model that the time allows.",
    ),
    "plan": Listed(TRAIN, "daybreak.stages.plan", "Show what `run` would do, with a reason for every decision."),
    "prepare": Listed(
        TRAIN, "daybreak.stages.prepare", "Clean the text, train a tokenizer, and write the tokens, to train on later."
    ),
    "train": Listed(TRAIN, "daybreak.stages.train", "Train as a saved plan says, or replay a run."),
    "evaluate": Listed(
        USE,
        "daybreak.stages.evaluate",
        "Score a model: bits per byte and perplexity on a text, or accuracy on zero-shot tasks.",
    ),
    "generate": Listed(
        USE,
        "daybreak.stages.generate",
        "Continue a text; with a BERT or T5, fill in its <mask>s.",
    ),
    "export": Listed(USE, "daybreak.stages.export", "Export a model for other programs, and check it there."),
    "sample": Listed(
        TRAIN,
        "daybreak.stages.sample",
        "Print a sample text: Python's reference manual, about 700 KB of English.",
    ),
    "list": Listed(
        LOOK, "daybreak.stages.list", "List the runs of a folder, with date, family, score, time and state."
    ),
    "tokenize": Listed(LOOK, "daybreak.stages.tokenize", "Show how a tokenizer splits a text."),
    "doctor": Listed(MEASURE, "daybreak.stages.doctor", "Measure what this machine can do, and say what is missing."),
    "mirror": Listed(
        LOOK, "daybreak.stages.mirror", "Copy a run's metrics to TensorBoard, Weights & Biases or trackio."
    ),
    "report": Listed(LOOK, "daybreak.stages.report", "Write the HTML report of a run, finished or not."),
    "watch": Listed(LOOK, "daybreak.stages.watch", "Follow a run on a live web page, on this machine only."),
    "compare": Listed(LOOK, "daybreak.stages.compare", "Compare runs, and test which one is better."),
    "baselines": Listed(
        MEASURE,
        "daybreak.apps.baselines",
        "Train a GPT, an LSTM, an RNN and n-grams for the same time, and compare them.",
    ),
    "measure": Listed(
        MEASURE, "daybreak.stages.measure", "Measure what each technique of a run gained, with repeated trials."
    ),
}


class AllCommands(Commands):
    """Those above, each imported when it is asked for."""

    listed = COMMANDS


app = typer.Typer(
    name="daybreak", no_args_is_help=True, cls=AllCommands, pretty_exceptions_enable=False, rich_markup_mode=None
)


def _version(asked: bool) -> None:
    if asked:
        import daybreak

        print(f"daybreak {daybreak.__version__}")
        raise typer.Exit


@app.callback()
def _daybreak(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train the best language model that a text, a machine and a deadline allow."""


def _leave(code: int) -> NoReturn:
    """Ends now: taking torch down in order would cost a part of the deadline, and all files are closed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # its reader has gone, or the disk behind it is full
            stream.flush()
    os._exit(code)


def main() -> None:
    """The console command."""
    process.leave_working_folder()
    terminal.open_streams()
    _leave(answered(sys.argv[1:]))


def answered(words: Sequence[str]) -> int:
    """Carries out a command line and gives its exit code; errors are told in three parts, without a traceback."""
    try:
        _check_working_folder()
        # The parser turns a Ctrl-C into the number 130.
        returned = app(list(words), prog_name="daybreak", standalone_mode=False)
        sys.stdout.flush()
        if returned == Interrupted.exit_code:
            print(messages.localized("interrupted"), file=sys.stderr)
        return returned if isinstance(returned, int) else 0
    except KeyboardInterrupt:
        print(messages.localized("interrupted"), file=sys.stderr)
        return Interrupted.exit_code
    except BrokenPipeError:  # the reader of our output has gone: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort:
        return Interrupted.exit_code
    except SystemExit:  # so does the parser end where the reader of our output has gone
        return 0
    except Exception as error:
        return _told(error, words)


def _check_working_folder() -> None:
    """Raises UsageError: it has been removed, and libraries end the process where they look for it."""
    try:
        Path.cwd()
    except OSError as error:
        raise UsageError(
            "the working folder is not there", received=str(error), attempt="cd to a folder that exists"
        ) from None


def _told(error: Exception, words: Sequence[str]) -> int:
    """Prints what is wrong in three parts. What has no name is a defect, and its traceback goes to a file."""
    if type(error).__name__ == "NoArgsIsHelpError":
        print(str(getattr(error, "message", error)), file=sys.stderr)
        return UsageError.exit_code
    named = error if isinstance(error, DaybreakError) else failures.named(error)
    if isinstance(error, ParserError):
        named = in_three_parts(error, words)
    named = named or failures.unknown(error)
    print(messages.error_text(named), file=sys.stderr)
    return named.exit_code


if __name__ == "__main__":
    main()
