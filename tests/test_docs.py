"""The documents: every command and option in them exists."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from daybreak import cli

ROOT = Path(__file__).resolve().parents[1]


def commands() -> list[tuple[str, str]]:
    found = []
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for line in path.read_text(encoding="utf-8").splitlines():
            match = re.match(r"\s*(?:\$ |[\w /.|-]*\| )?(daybreak [a-z].*)", line)
            if match and (line.startswith("    ") or line.startswith("$ ")):
                found.append((path.name, match[1].split("  #")[0].split("   ")[0].strip()))
    return found


@pytest.mark.parametrize(("file", "line"), commands(), ids=str)
def test_a_documented_command_parses(file, line):
    words = [word for word in shlex.split(line)[1:] if word not in ("[--json]",)]
    group = typer.main.get_command(cli.app)
    verb = group.commands[words[0]]
    context = verb.make_context(words[0], list(words[1:]), resilient_parsing=False)
    assert context.info_name == words[0]


def test_the_readme_shows_every_verb():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for verb in typer.main.get_command(cli.app).commands:
        assert f"daybreak {verb}" in text, f"README.md does not show `daybreak {verb}`"
