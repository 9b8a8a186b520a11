"""Parser: the command line's help in groups, its errors in three parts, and what a shell completes.

`Commands` and `Command` are typer's classes with another help: plain, as wide as the terminal up to 100 characters,
commands and options under headings, summaries whole, and an example at the end.
"""

import difflib
import importlib
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command_from_info
from typer.models import CommandInfo

from daybreak.core.errors import UsageError
from daybreak.core.messages import localized
from daybreak.core.terminal import wrapped

if TYPE_CHECKING:
    from typer._click import Command as ParsedCommand
    from typer._click import Context, HelpFormatter

WIDEST = 100  # characters of a line of help
FIRST_COLUMN = 30  # characters, at most
ALL_ELSE = "Other options"
_SORTS = {"valid integer": "a whole number", "valid number": "a number", "valid boolean": "yes or no"}
_LIKE_AN_OPTION = re.compile(r"--?[^\W\d][\w-]*(=.*)?|--", re.DOTALL)


@runtime_checkable
class ParserError(Protocol):
    """What the parser raises; typer brings click's classes under names that change."""

    def format_message(self) -> str: ...


def _own_width(formatter: "HelpFormatter") -> None:
    formatter.width = max(50, min(_columns(), WIDEST) - 2)


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size((WIDEST, 24)).columns


class Command(TyperCommand):
    """One command; its epilog is an example."""

    def format_help(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        _own_width(formatter)
        arguments = [_metavar(p) for p in self.params if isinstance(p, TyperArgument)]
        formatter.write_usage(ctx.command_path, " ".join([*arguments, "[OPTIONS]"]), localized("Usage:") + " ")
        formatter.write_paragraph()
        with formatter.indentation():
            _write_text(formatter, localized(self.help or ""))
        if self.epilog:
            with formatter.section(localized("Example")):
                for line in self.epilog.splitlines():
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if not isinstance(parameter, TyperArgument | TyperOption) or parameter.hidden:
                continue
            if isinstance(parameter, TyperArgument):
                groups.setdefault("", []).append((_metavar(parameter), localized(parameter.help or "")))
                continue
            heading = parameter.rich_help_panel or ALL_ELSE
            groups.setdefault(heading, []).append((_flags(parameter), _help(parameter)))
        both = [name for name in groups if name not in ("", ALL_ELSE)]
        for heading in ("", *both, ALL_ELSE):
            if rows := groups.get(heading):
                with formatter.section(localized(heading or "Arguments")):
                    _write_rows(formatter, rows)

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._text_last(args))

    def _text_last(self, words: list[str]) -> list[str]:
        """The words with those behind "--" that begin with "-" and cannot be options, such as "-lu = 3"."""
        with_value = {flag for p in self.params if isinstance(p, TyperOption) and not p.is_flag for flag in p.opts}
        options: list[str] = []
        texts: list[str] = []
        awaited = False
        for place, word in enumerate(words):
            if word == "--" and not awaited:
                return [*options, *words[place:]] if not texts else [*options, "--", *texts, *words[place + 1 :]]
            if not awaited and len(word) > 1 and word.startswith("-") and not _LIKE_AN_OPTION.fullmatch(word):
                texts.append(word)
            elif texts and not awaited and not word.startswith("-"):
                texts.append(word)  # arguments keep their order
            else:
                options.append(word)
            awaited = not awaited and word in with_value
        return [*options, "--", *texts] if texts else options


@dataclass(frozen=True)
class Listed:
    """A command as the help of all commands has it; the rest stands in its file."""

    heading: str
    module: str  # has it as `command`
    told: str


class Imported(Mapping[str, "ParsedCommand"]):
    """Commands by name, each imported when it is asked for."""

    def __init__(self, listed: Mapping[str, Listed]) -> None:
        self._listed, self._made = listed, dict[str, "ParsedCommand"]()

    def __getitem__(self, name: str) -> "ParsedCommand":
        if name not in self._made:
            declared = importlib.import_module(self._listed[name].module).command
            info = CommandInfo(name, cls=Command, callback=declared.function, epilog=declared.example)
            self._made[name] = get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


class Commands(TyperGroup):
    """All commands, each under the heading that it was given."""

    listed: ClassVar[Mapping[str, Listed]] = {}

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.commands: Any = Imported(self.listed)

    def format_help(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        _own_width(formatter)
        formatter.write_usage(ctx.command_path, "COMMAND [OPTIONS]", localized("Usage:") + " ")
        formatter.write_paragraph()
        with formatter.indentation():
            _write_text(formatter, localized(self.help or ""))
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, one in self.listed.items():
            groups.setdefault(one.heading, []).append((name, one.told))
        widest = max(len(name) for rows in groups.values() for name, _ in rows)
        for heading, rows in groups.items():
            with formatter.section(localized(heading)):
                _write_rows(formatter, [(f"{name:{widest}}", localized(told)) for name, told in rows])
        options = [option for option in self.get_params(ctx) if isinstance(option, TyperOption)]
        with formatter.section(localized("Options")):
            _write_rows(formatter, [(_flags(option), _help(option)) for option in options if not option.hidden])
        formatter.write_paragraph()
        _write_text(formatter, localized("daybreak COMMAND --help shows the options of a command, with an example."))


def _write_text(formatter: "HelpFormatter", text: str) -> None:
    """Paragraphs, wrapped by the columns that their characters take; the parser's own wrapping counts characters."""
    indent = " " * formatter.current_indent
    paragraphs = [" ".join(lines.split()) for lines in text.split("\n\n")]
    shown = (wrapped(paragraph, formatter.width - formatter.current_indent) for paragraph in paragraphs)
    formatter.write("\n\n".join("\n".join(indent + line for line in lines) for lines in shown) + "\n")


def _write_rows(formatter: "HelpFormatter", rows: Sequence[tuple[str, str]]) -> None:
    """Rows of an option or a command and what it does, which is wrapped as in `_write_text`."""
    indent = " " * formatter.current_indent
    first = min(FIRST_COLUMN, max(len(name) for name, _ in rows)) + 2
    for name, told in rows:
        lines = wrapped(told, max(10, formatter.width - first - 2))
        beside = lines if len(name) <= first - 2 else ["", *lines]
        formatter.write(f"{indent}{name:{first}}{beside[0]}".rstrip() + "\n")
        formatter.write("".join(f"{indent}{'':{first}}{line}\n" for line in beside[1:]))


def _metavar(argument: TyperArgument | TyperOption) -> str:
    return argument.metavar or str(argument.name).upper()


def _flags(option: TyperOption) -> str:
    flags = ", ".join((*option.opts, *option.secondary_opts))
    return flags if option.is_flag or option.count else f"{flags} {_metavar(option)}"


def _help(option: TyperOption) -> str:
    told = localized(option.help or "")
    shown = option.show_default and not option.is_flag and option.default not in (None, "", [], ())
    return f"{told} [{option.default}]" if shown and not callable(option.default) else told


def in_three_parts(error: ParserError, words: Sequence[str]) -> UsageError:
    """An error of the parser. words: the command line behind the program's name."""
    told = str(error.format_message()).strip().rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else f"daybreak {words[0]}" if words else "daybreak"
    attempt = f"{path} --help"
    option = getattr(error, "option_name", None)
    if option is not None and context is not None and type(error).__name__ == "NoSuchOption":
        told = f"there is no option {option}"
        flags = [flag for p in context.command.params if p.param_type_name == "option" for flag in p.opts]
        close = difflib.get_close_matches(option, flags, n=1, cutoff=0.6)
        takes_text = any(p.param_type_name == "argument" for p in context.command.params)
        attempt = f"did you mean {close[0]!r}? " if close else ""
        attempt += f"{path} --help lists them" + (
            (f'; to pass text that begins with "-", put "--" before it: {path} ... -- {shlex.quote(option)}')
            if takes_text and not close
            else ""
        )
    else:
        told = told[:1].lower() + told[1:]
        for sign, sort in _SORTS.items():
            if sign in told:
                told = f"{told.partition(':')[0]}: {sort} was expected"
                break
        told = told.replace("input should be", "it should be").replace("Input should be", "it should be")
    return UsageError(told, received=_shown(words), attempt=attempt)


def _shown(words: Sequence[str], most: int = 200) -> str:
    whole = shlex.join(["daybreak", *words])
    return whole if len(whole) <= most else f"{whole[:most]}..."


# What a shell completes: functions of the beginning of a word


def run_folders(incomplete: str) -> list[str]:
    """Run folders whose path begins so, and folders that lead to some."""
    head, _, beginning = incomplete.rpartition("/")
    above = Path(head or ("/" if incomplete.startswith("/") else "."))
    found = []
    try:
        with os.scandir(above) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith(beginning) and not entry.name.startswith(".") and entry.is_dir():
                    path = f"{head}/{entry.name}" if head or incomplete.startswith("/") else entry.name
                    ours = Path(path, "request.json").exists() or Path(path, "plan.json").exists()
                    if ours or any(Path(path).glob("*/request.json")):
                        found.append(path if ours else f"{path}/")
    except OSError:
        return []
    return found


def techniques(incomplete: str) -> list[str]:
    from daybreak.techniques import names

    return [name for name in names() if name.startswith(incomplete)]


def among(*known: str) -> Callable[[str], list[str]]:
    """Completes one of these words."""

    def completed(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return completed
