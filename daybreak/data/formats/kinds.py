"""Kinds: detects the kind of a text file by its beginning; the name decides only where the content is ambiguous."""

import re

from daybreak.data.formats.rows import delimiter_of, is_tagged
from daybreak.data.formats.trees import is_json

_HTML = re.compile(rb"\s*(?:<!--.{0,4000}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_XML = re.compile(rb"\s*<(?:\?xml\b|[A-Za-z_][\w:.-]*(?:\s[^<>]*)?>|!DOCTYPE\s)", re.S)
_XHTML = re.compile(rb"<(?:!doctype\s+html|html)\b", re.I)
_SHEBANG = re.compile(rb"#!\s*/\S+")
_PACKED = (".gz", ".xz", ".bz2", ".zst", ".lzma")
_CODE_NAMES = frozenset(("makefile", "dockerfile", "cmakelists.txt", "rakefile", "gemfile"))
_CODE_ENDINGS = """
    py pyi pyx c h cc cpp cxx hpp hh cu cs java kt kts scala go rs swift m mm js mjs cjs jsx ts tsx vue svelte php rb
    pl pm lua r jl sh bash zsh fish ps1 bat sql hs ml mli fs fsx ex exs erl clj cljs lisp el scm rkt dart nim zig v
    vhd vhdl sv f f90 f95 for pas asm s cmake mk gradle groovy proto thrift css scss less tcl vb sol
"""
_CODE = frozenset(_CODE_ENDINGS.split())
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


def ending(name: str) -> str:
    """Of a name, without that of what it is packed with: jsonl of rows.jsonl.gz."""
    base = name.rpartition("/")[2].lower()
    for packed in _PACKED:
        base = base.removesuffix(packed)
    return base.rpartition(".")[2] if "." in base else ""


def recognized(sample: bytes, name: str, *, whole: bool) -> tuple[str, str]:
    """page, xml, jsonl, json, table (and its delimiter), tagged, code or text. `sample` is UTF-8, of the start."""
    named = ending(name)
    start = sample.lstrip()[:1]
    if start == b"<":
        if _HTML.match(sample) or (_XML.match(sample) and _XHTML.search(sample[:2000])):
            return "page", ""
        told = sample.lstrip()[:5] == b"<?xml" or named in ("xml", "rss", "atom", "tei", "svg") or b"</" in sample
        if _XML.match(sample) and told and named not in _CODE | {"md", "jsonl", "csv", "tsv"}:
            return ("page" if named in ("html", "htm", "xhtml") else "xml"), ""
    if named in ("html", "htm", "xhtml") and re.search(rb"<(?:p|div|a|h1|table|br)\b", sample, re.I):
        return "page", ""
    if start in (b"{", b"[") or named in ("jsonl", "ndjson"):
        found = _json(sample, named, whole)
        if found:
            return found, ""
    text = sample.decode("utf-8", "replace")
    if named in _CODE or name.rpartition("/")[2].lower() in _CODE_NAMES or _SHEBANG.match(sample):
        return "code", ""
    if not whole and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    if is_tagged(text):
        return "tagged", ""
    if named not in ("md", "rst", "tex"):
        delimiter = delimiter_of(text, named=named if named in ("csv", "tsv") else "")
        if delimiter:
            return "table", delimiter
    return ("code" if named in ("", "txt") and _is_code(text) else "text"), ""


def _json(sample: bytes, named: str, whole: bool) -> str:
    lines = [line for line in sample.splitlines()[:50] if line.strip()]
    first = lines[0] if lines else b""
    if named in ("jsonl", "ndjson"):
        # Rows, unless one value goes over many lines; a row that is broken is passed over.
        over = first.strip() in (b"{", b"[") and is_json(sample, whole=whole)
        return "json" if over else "jsonl" if _has_rows(lines, sample, whole) else ""
    if len(lines) > 1 and _is_row(first) and _is_row(lines[1] if len(lines) > 2 or whole else b"{}"):
        return "jsonl"
    return "json" if is_json(sample, whole=whole) else ""


def _has_rows(lines: list[bytes], sample: bytes, whole: bool) -> bool:
    """One of the first lines is a row, or the first is longer than the sample and begins like one."""
    if any(_is_row(line) for line in lines):
        return True
    return len(lines) == 1 and not whole and is_json(sample, whole=False)


def _is_row(line: bytes) -> bool:
    import orjson

    if line.strip()[:1] not in (b"{", b"[", b'"'):
        return False
    try:
        orjson.loads(line)
    except ValueError:
        return False
    return True


def _is_code(text: str) -> bool:
    lines = [line for line in text.splitlines()[:400] if line.strip()]
    if len(lines) < 5:
        return False
    code = sum(_CODE_LINE.match(line[:400]) is not None for line in lines)
    marked = sum(_MARKED.match(line[:400]) is not None for line in lines)
    return code >= _LEAST_CODE * len(lines) and marked >= _LEAST_MARKED * len(lines)
