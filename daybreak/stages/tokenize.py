"""Tokenize: how a text is cut by the tokenizer of a run or of a file, in colours or as plain lines."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daybreak.commands.options import (
    AsJson,
    declared,
)
from daybreak.commands.parser import run_folders
from daybreak.core import terminal
from daybreak.core.errors import DataError, UsageError
from daybreak.core.messages import localized
from daybreak.core.run import Run
from daybreak.core.values import Json
from daybreak.data.tokenizers import load_tokenizer
from daybreak.data.tokenizers.base import Tokenizer, utf8

if TYPE_CHECKING:
    from rich.console import Console

SEPARATOR = "|"
# Neighbours differ, and each is readable on a light and on a dark ground.
STYLES = ("black on bright_cyan", "black on bright_yellow", "black on bright_green", "black on bright_magenta")
SHOWN_TOKENS = 2_000  # of a long text, and of its ids
_VISIBLE = {"\n": "\u23ce\n", "\t": "\u21e5\t", "\r": "\u240d"}


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token of the text: its id, its bytes there, and what stands for them on a terminal."""

    id: int
    bytes: bytes
    shown: str


def tokenize(tokenizer: Tokenizer, text: str) -> list[Token]:
    """The tokens of the text in order. Where several share one character, each shows its bytes as <e6>."""
    return [Token(id=token, bytes=piece, shown=_shown(piece)) for token, piece in tokenizer.pieces(text)]


def tokenizer_of(path: str) -> Tokenizer:
    """Of a run's folder, a model folder or a tokenizer.json. Raises UsageError and ResourceError."""
    place = Path(path)
    if place.is_dir():
        for file in (place / "tokenizer.json", place / "model" / "tokenizer.json"):
            if file.is_file():
                return load_tokenizer(file)
        run = Run.open(path)
        if run.merges_file.is_file():  # prepared or planned, and not yet encoded
            return load_tokenizer(run.merges_file)
        raise UsageError(
            "the run has no tokenizer yet", received=path, attempt="repeat the `daybreak run` command: it continues"
        )
    if not place.is_file():
        raise UsageError(
            "no such tokenizer", received=path, attempt="use a run's folder, such as runs/NAME, or a tokenizer.json"
        )
    return load_tokenizer(place)


def text_of(argument: str, file: str) -> str:
    """The text itself, or that of a file or of standard input (-). Raises UsageError and DataError."""
    if bool(argument) == bool(file):
        raise UsageError(
            "the text is missing" if not file else "there are two texts",
            received="neither TEXT nor --file" if not file else f"a TEXT and --file {file}",
            attempt="give a text in quotes, - for standard input, or a file with --file",
        )
    if argument == "-":
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    if argument:
        return argument
    try:
        return Path(file).read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise DataError(
            "the file cannot be read", received=f"{file}: {error.strerror}", attempt="name a file of text"
        ) from None


def facts(tokenizer: Tokenizer, text: str, tokens: list[Token]) -> Json:
    """Figures of the whole text; the keys are those of `daybreak tokenize --json`."""
    size, kept = len(utf8(text)), sum(len(token.bytes) for token in tokens)
    return {
        "kind": tokenizer.kind,
        "vocabulary": tokenizer.vocabulary,
        "lossless": tokenizer.lossless,
        "loss": tokenizer.loss,
        "characters": len(text),
        "bytes": size,
        "bytes_kept": kept,
        "tokens": len(tokens),
        "bytes_per_token": size / max(len(tokens), 1),
        "characters_per_token": len(text) / max(len(tokens), 1),
    }


def to_json(tokenizer: Tokenizer, text: str, tokens: list[Token]) -> Json:
    return {
        **facts(tokenizer, text, tokens),
        "ids": [token.id for token in tokens],
        "pieces": [token.bytes.decode("utf-8", "backslashreplace") for token in tokens],
    }


def show(tokenizer: Tokenizer, text: str, tokens: list[Token], console: "Console") -> None:
    """Prints the cut text, the ids and the figures; `console`: rich's. Without colours, | stands between tokens."""
    from rich.text import Text

    coloured = console.is_terminal and not console.no_color
    cut = Text()
    for index, token in enumerate(tokens[:SHOWN_TOKENS]):
        if not coloured and index:
            cut.append(SEPARATOR)
        cut.append(token.shown, style=STYLES[index % len(STYLES)] if coloured else "")
    console.print(cut, soft_wrap=True)
    console.print()
    ids = " ".join(str(token.id) for token in tokens[:SHOWN_TOKENS])
    console.print(Text(localized(f"ids     {ids}")), soft_wrap=True)
    if len(tokens) > SHOWN_TOKENS:
        console.print(Text(localized(f"        and {len(tokens) - SHOWN_TOKENS:,} tokens more")))
    told = facts(tokenizer, text, tokens)
    console.print(
        Text(
            "\n"
            + localized(
                f"{told['tokens']:,} tokens for {told['bytes']:,} bytes ({told['characters']:,} characters): "
                f"{told['bytes_per_token']:.2f} bytes and {told['characters_per_token']:.2f} characters a token; "
                f"{told['kind']}, vocabulary {told['vocabulary']:,}"
            )
        ),
        soft_wrap=True,
    )
    if not tokenizer.lossless:
        console.print(Text(localized(f"not every byte becomes part of a token: {tokenizer.loss}")), soft_wrap=True)


def _shown(piece: bytes) -> str:
    try:
        text = piece.decode()
    except UnicodeDecodeError:  # a part of a character, perhaps with whole ones beside it
        text = piece.decode("utf-8", "surrogateescape")
    shown = []
    for character in text:
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:
            shown.append(f"<{code - 0xDC00:02x}>")
        elif character in _VISIBLE:
            shown.append(_VISIBLE[character])
        elif character == " " or character.isprintable():
            shown.append(character)
        else:  # control characters would act on the terminal
            shown.append(f"<U+{code:04X}>")
    return "".join(shown)


@declared('daybreak tokenize runs/novel "It was a dark night"')
def command(
    path: Annotated[
        str, typer.Argument(metavar="RUN", autocompletion=run_folders, help="Run folder, or a tokenizer.json.")
    ],
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="Text to tokenize, or - for standard input.")] = "",
    file: Annotated[str, typer.Option("--file", metavar="FILE", help="File to read the text from.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show how a tokenizer splits a text."""
    tokenizer = tokenizer_of(path)
    given = text_of(text, file)
    tokens = tokenize(tokenizer, given)
    if as_json:
        print(terminal.as_json(to_json(tokenizer, given, tokens)))
        return
    from rich.console import Console

    show(tokenizer, given, tokens, Console(highlight=False))
