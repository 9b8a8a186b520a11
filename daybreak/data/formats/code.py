"""Code: program text, told by the name of its file or by its first lines."""

import re
from collections.abc import Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats import borders
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.texts import plain_documents

_SHEBANG = re.compile(rb"#!\s*/\S+")
_CODE_NAMES = frozenset(("makefile", "dockerfile", "cmakelists.txt", "rakefile", "gemfile"))
_ENDINGS = """
    py pyi pyx c h cc cpp cxx hpp hh cu cs java kt kts scala go rs swift m mm js mjs cjs jsx ts tsx vue svelte php rb
    pl pm lua r jl sh bash zsh fish ps1 bat sql hs ml mli fs fsx ex exs erl clj cljs lisp el scm rkt dart nim zig v
    vhd vhdl sv f f90 f95 for pas asm s cmake mk gradle groovy proto thrift css scss less tcl vb sol
"""
CODE_ENDINGS = frozenset(_ENDINGS.split())
_CODE_LINE = re.compile(
    r"\s*(?:def \w+\(.*:|class \w+.*[:{]|import [\w.{*]+|from [\w.]+ import|#include\s*[<\"]|#define \w|package \w+;?$|"
    r"using [\w.]+;|public |private |static |function \w*\(|func \w+\(|fn \w+[(<]|(?:var|let|const) \w+ ?[:=]|"
    r"return\b.*;?$|if ?\(.*\{|for ?\(.*\{|while ?\(.*\{|\}.*$|.*[;{]$|@\w+)"
)
_LEAST_CODE = 0.35  # share of code among lines that are not blank; prose and verse with semicolons stay under it
_LEAST_MARKED = 0.03  # share of lines, such as `def f():`, that no prose has
_MARKED = re.compile(
    r"\s*(?:def \w+\(.*:|class \w+.*[:{]$|import [\w.]+;?$|from [\w.]+ import|#include|#define|fn \w+[(<]|"
    r"func \w+\(|function \w*\(|(?:public|private|static) \w+.*[({;]|(?:var|let|const) \w+ ?[:=].*)"
)


def by_name(sample: Sample) -> str | None:
    """The name, or a line that names an interpreter."""
    base = sample.name.rpartition("/")[2].lower()
    named = sample.ending in CODE_ENDINGS or base in _CODE_NAMES or _SHEBANG.match(sample.data)
    return borders.always(sample.data) if named else None


def by_lines(sample: Sample) -> str | None:
    """The lines, where the name says nothing."""
    return borders.always(sample.data) if sample.ending in ("", "txt") and _is_code(sample.lines) else None


def _is_code(text: str) -> bool:
    lines = [line for line in text.splitlines()[:400] if line.strip()]
    if len(lines) < 5:
        return False
    code = sum(_CODE_LINE.match(line[:400]) is not None for line in lines)
    marked = sum(_MARKED.match(line[:400]) is not None for line in lines)
    return code >= _LEAST_CODE * len(lines) and marked >= _LEAST_MARKED * len(lines)


def _documents(text: Text) -> Iterator[Document]:
    return plain_documents(text.blocks, "code", text.name, text.findings, always=text.detail, before=text.before)


NAMED_CODE = TextFormat(name="code", recognize=by_name, documents=_documents, in_ranges=True)
CODE = TextFormat(name="code", recognize=by_lines, documents=_documents, in_ranges=True)
