"""The pages as data: their code blocks, the commands in them, code spans, links and anchors."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README, README_ZH = ROOT / "README.md", ROOT / "README.zh.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, README_ZH, *DOCS]
TWINS = [(README, README_ZH)] + [
    (page.with_name(f"{page.name[:-6]}.md"), page) for page in DOCS if page.match("*.zh.md")
]

_BLOCK = re.compile(r"^```([\w-]*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SHELL_BLOCK = re.compile(
    r"^```(?:bash|sh|shell|console)\n(?P<fenced>.*?)^```|^```.*?^```|^(?P<indented> {4}(?:\$ )?daybreak [^\n]*\n)",
    re.MULTILINE | re.DOTALL,
)
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_EXIT_CODE = re.compile(r"#.*\bexit code (\d+)")
_SHELL = re.compile(r"[|;&<>]+")


@dataclass(frozen=True)
class Command:
    """A line of a shell block, and the exit code that the page says it has."""

    line: str
    exit_code: int = 0

    def words(self) -> list[str]:
        """The words of the `daybreak` command in it, without what the shell does before and after; or none."""
        lexer = shlex.shlex(self.line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        if "daybreak" not in words or words[0] == "pip":
            return []
        rest = words[words.index("daybreak") + 1 :]
        end = next((i for i, word in enumerate(rest) if _SHELL.fullmatch(word)), len(rest))
        return rest[:end]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(text: str) -> str:
    """Without its blocks."""
    return _BLOCK.sub("", text)


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced blocks in these languages, or all of them."""
    return [match[2] for match in _BLOCK.finditer(text) if not languages or match[1] in languages]


def commands(page: Path) -> list[Command]:
    """Every line of the page's shell blocks, fenced or indented, in which daybreak is called, in order."""
    found = []
    for match in _SHELL_BLOCK.finditer(text_of(page)):
        for line in (match["fenced"] or match["indented"] or "").replace("\\\n", " ").splitlines():
            code = _EXIT_CODE.search(line)
            bare = re.sub(r"\s+#\s.*$", "", line).strip().removeprefix("$ ")
            command = Command(bare, int(code[1]) if code else 0)
            if bare and not bare.startswith("#") and command.words():
                found.append(command)
    return found


def spans(page: Path) -> list[str]:
    """The inline code of the page, line breaks taken out."""
    return [" ".join(span.split()) for span in _SPAN.findall(prose_of(text_of(page)))]


def links(page: Path) -> list[str]:
    """Where the page's links lead, those to other sites left out."""
    targets = _LINK.findall(_SPAN.sub("", prose_of(text_of(page))))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the page's headings."""
    headings = re.findall(r"^#+ +(.+?) *$", prose_of(text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def numbers(text: str) -> list[str]:
    """Every number that stands in the prose and tables of a text, sorted."""
    return sorted(re.findall(r"\d(?:[\d,]*\d)?(?:\.\d+)*", re.sub(r"\]\([^)]*\)|<!--.*?-->", "", prose_of(text))))
