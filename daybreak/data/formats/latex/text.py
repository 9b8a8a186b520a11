"""The text of LaTeX: commands are taken out and what they enclose is kept, as far as it is text."""

import re
import unicodedata
from collections.abc import Iterable

from daybreak.data.formats.findings import Findings
from daybreak.data.formats.latex.commands import (
    ACCENTS,
    DROPPED,
    ENVIRONMENTS,
    FILES,
    LAST_OF,
    MATH,
    PICTURES,
    SECTIONS,
    SYMBOLS,
    TABLES,
    VERBATIM,
)

PREAMBLE = "preambles of LaTeX"
_COMMENTS = "comments in LaTeX"
_PICTURES = "pictures drawn in LaTeX"
_SOURCES = "lists of references in LaTeX"
_ELSEWHERE = "parts of LaTeX that stand in other files"
_UNREAD = frozenset(("comment", "filecontents", "filecontents*", "thebibliography"))
_WHOLE = VERBATIM | MATH | TABLES | PICTURES | _UNREAD  # environments that are taken from their beginning to their end
_TOKEN = re.compile(
    r"(?P<comment>%[^\n]*)|\\(?P<env>begin|end)[ \t]*\{(?P<name>[^{}]*)\}|\\verb\*?(?P<quote>[^\sa-zA-Z*])"
    r"|\\(?P<command>[a-zA-Z@]+)\*?|\\(?P<sign>.|\n)|(?P<math>\$\$?)|(?P<brace>[{}])|(?P<dash>-{2,3})"
    r"|(?P<open>``)|(?P<close>'')|(?P<tie>~)|(?P<cell>&)",
    re.S,
)
_DEFINED = re.compile(r"\\(?:(?:re|provide)?newcommand|def)\*?\s*(?:\{\\([a-zA-Z]+)\}|\\([a-zA-Z]+))\s*\{")
_LABEL = re.compile(r"\\label\{[^{}]*\}")
_NAME = re.compile(r"\\([a-zA-Z]+)")
_LONGEST_MACRO = 200  # characters that a command without arguments stands for
_DEEPEST = 12  # of braces within braces; deeper ones are kept as they are written
_NOTE = "\x01"  # stands in the place of a footnote until its paragraph has ended


def latex_text(source: str, findings: Findings) -> str:
    """The body of a document, or all of a part of one. What is left out is counted."""
    source = source.replace("\r\n", "\n").replace(_NOTE, "")
    title = ""
    macros: dict[str, str] = {}
    begin = re.search(r"^(?:[^%\n]|\\%)*?\\begin\s*\{document\}", source, re.M)
    if begin:
        preamble, body = source[: begin.end()], source[begin.end() :]
        macros = _macros(preamble)
        found = re.search(r"\\title\s*(?:\[[^\]]*\])?\s*\{", preamble)
        if found:
            title = preamble[found.end() : _closing(preamble, found.end() - 1)]
        findings.leave_part(PREAMBLE, len(preamble.encode()) - len(title.encode()))
        end = body.find("\\end{document}")
        source = body[:end] if end >= 0 else body
    reading = _Reading(findings, macros)
    parts = [reading.text(title, 0), reading.text(source, 0)]
    return "\n\n".join(filter(None, (_laid_out(part, reading.notes) for part in parts)))


def _macros(preamble: str) -> dict[str, str]:
    """What commands without arguments stand for."""
    found = {}
    for one in _DEFINED.finditer(preamble):
        body = preamble[one.end() : _closing(preamble, one.end() - 1)]
        if "#" not in body and len(body) <= _LONGEST_MACRO:
            found[one[1] or one[2]] = body
    for _ in range(3):  # those that stand for others; what is long by then, or stands for itself, is none
        expanded = {name: _expanded(body, found) for name, body in found.items()}
        found = {name: body for name, body in expanded.items() if len(body) <= _LONGEST_MACRO}
    return {name: body for name, body in found.items() if not any(one in found for one in _NAME.findall(body))}


def _expanded(body: str, macros: dict[str, str]) -> str:
    return _NAME.sub(lambda one: macros.get(one[1], one[0]), body)


def _closing(source: str, at: int) -> int:
    """Where the brace that opens at a place is closed; the end, where it is not."""
    depth = 0
    for found in re.compile(r"\\.|%[^\n]*|[{}]", re.S).finditer(source, at):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if not depth:
            return found.start()
    return len(source)


def _laid_out(text: str, notes: list[str]) -> str:
    """Paragraphs without the blanks of the source; footnotes stand behind theirs."""
    paragraphs = []
    for paragraph in re.split(r"\n[ \t]*\n\s*", text):
        below = [_laid_out(notes[int(number)], notes) for number in re.findall(f"{_NOTE}(\\d+){_NOTE}", paragraph)]
        plain = re.sub(f"{_NOTE}\\d+{_NOTE}", "", paragraph)
        plain = re.sub(r"[ \t]+(?=\n|$)|(?<=\n)[ ]+(?=\S)(?! )", "", plain).strip("\n")
        paragraphs += [part for part in (plain, *below) if part.strip()]
    return "\n\n".join(paragraphs).strip()


class _Reading:
    def __init__(self, findings: Findings, macros: dict[str, str]) -> None:
        self._findings, self._macros = findings, macros
        self.notes: list[str] = []
        self._endless: set[tuple[str, int]] = set()  # environments without an end, and the length of what they are in

    def text(self, source: str, depth: int, *, in_table: bool = False) -> str:
        out: list[str] = []
        at = 0
        while found := _TOKEN.search(source, at):
            if found.start() > at:
                out.append(source[at : found.start()])
            kind, at = found.lastgroup, found.end()
            if kind == "comment":
                at = self._after_comment(source, found, out)
            elif kind == "name":
                at = self._environment(source, found, out, depth)
            elif kind == "quote":
                end = source.find(found["quote"], at)
                end = end if end >= 0 else len(source)
                out.append(source[at:end])
                at = end + 1
            elif kind == "command":
                at = self._command(source, found["command"], at, out, depth)
            elif kind == "sign":
                at = self._sign(source, found["sign"], at, out)
            elif kind == "math":
                end = source.find(found["math"], at)
                end = end + len(found["math"]) if end >= 0 else at
                out.append(source[found.start() : end])
                at = end
            elif kind == "cell":
                out.append("\t" if in_table else "&")
            else:
                shown = {"--": "–", "---": "—", "``": "“", "''": "”", "~": " "}
                out.append(shown.get(found[0], ""))
        out.append(source[at:])
        return "".join(out)

    def _after_comment(self, source: str, found: re.Match[str], out: list[str]) -> int:
        """A comment takes its line's end along, but for the blank line that ends a paragraph."""
        self._findings.leave_part(_COMMENTS, len(found[0].encode()))
        before = out[-1] if out else ""
        alone = not before.strip(" \t") or before.rstrip(" \t").endswith("\n")
        after = re.compile(r"\n[ \t]*(?!\s*\n)" if not alone else r"\n[ \t]*").match(source, found.end())
        return after.end() if after else found.end()

    def _environment(self, source: str, found: re.Match[str], out: list[str], depth: int) -> int:
        name, at = found["name"].strip(), found.end()
        if found["env"] == "end":
            out.append("\n\n" if name not in ("abstract", "center") else "\n")
            return at
        plain = name.rstrip("*")
        if name not in _WHOLE and plain not in _WHOLE:
            out.append("\n")
            return self._after_arguments(source, at, ENVIRONMENTS.get(name, 0))
        end = self._end_of(source, name, at)
        if end < 0:
            return at
        inner, after = source[at:end], source.find("}", end) + 1
        if name in VERBATIM:
            inner = re.sub(r"^\s*(?:\[[^\]\n]*\])?(?:\{[^{}\n]*\})?", "", inner, count=1) if "\n" in inner else inner
            out.append(f"\n\n{inner.strip(chr(10))}\n\n")
        elif plain in MATH:
            formula = _LABEL.sub("", inner)
            out.append(f"\\begin{{{name}}}{formula}\\end{{{name}}}")
        elif plain in PICTURES or name in _UNREAD:
            what = _SOURCES if name == "thebibliography" else _PICTURES if plain in PICTURES else _COMMENTS
            self._findings.leave_part(what, len(inner.encode()))
        else:
            at = min(end, self._after_arguments(source, at, ENVIRONMENTS.get(name, 0)))
            inner = source[at:end]
            rows = (self.text(inner, depth + 1, in_table=True) if depth < _DEEPEST else inner).split("\n")
            cells = ("\t".join(cell.strip() for cell in row.split("\t")) for row in rows if row.strip())
            out.append("\n\n" + "\n".join(cells) + "\n\n")
        return after

    def _end_of(self, source: str, name: str, at: int) -> int:
        """Where an environment ends, with others of its name in it; -1: nowhere, which is so for the next one, too."""
        if (name, len(source)) in self._endless:
            return -1
        depth = 1
        for found in re.compile(rf"\\(begin|end)[ \t]*\{{{re.escape(name)}\}}").finditer(source, at):
            depth += 1 if found[1] == "begin" and name not in VERBATIM else -1 if found[1] == "end" else 0
            if not depth:
                return found.start()
        self._endless.add((name, len(source)))
        return -1

    def _command(self, source: str, name: str, at: int, out: list[str], depth: int) -> int:
        if name in self._macros and depth < _DEEPEST:
            out.append(self.text(self._macros[name], depth + 5))
            return at if "\\xspace" in self._macros[name] else _after_blanks(source, at)
        if name == "item":
            label, at = _bracketed(source, at)
            if out:
                out[-1] = out[-1].rstrip()
            out.append(f"\n{self.text(label, depth + 1)} " if label else "\n- ")
            return _after_blanks(source, at)
        if name in SYMBOLS:
            out.append(SYMBOLS[name])
            return _after_blanks(source, at)
        if name in ACCENTS and len(name) == 1:
            return _accented(source, ACCENTS[name], at, out)
        if name == "def":
            found = re.compile(r"\s*\\[a-zA-Z]+[^{]{0,40}").match(source, at)
            return self._after_arguments(source, found.end(), 1) if found else at
        if name in DROPPED:
            if name in FILES:
                self._findings.leave_part(_ELSEWHERE)
            at = self._after_arguments(source, at, 8)
            if out and out[-1].endswith(" ") and source[at : at + 1] in tuple(" .,;:)"):
                out[-1] = out[-1][:-1]  # no blank on both sides of what is gone
            return at
        if name in SECTIONS or name in ("paragraph", "caption", "footnote", "footnotetext", *LAST_OF):
            inner, at = self._last_of(source, at, LAST_OF.get(name, 1))
            shown = self.text(inner, depth + 1) if depth < _DEEPEST else inner
            if name in SECTIONS or name == "caption":
                out.append(f"\n\n{shown.strip()}\n\n")
            elif name.startswith("footnote"):
                self.notes.append(shown)
                out.append(f"{_NOTE}{len(self.notes) - 1}{_NOTE}")
            else:
                out.append(f"{shown} " if name == "paragraph" else shown)
            return at
        if name == "url":
            inner, at = self._last_of(source, at, 1)
            out.append(inner)
            return at
        at = _bracketed(source, at)[1]  # what it encloses is text, as far as is known
        return at if source[at : at + 1] == "{" else _after_blanks(source, at)

    def _sign(self, source: str, sign: str, at: int, out: list[str]) -> int:
        if sign in "([":
            closing = "\\)" if sign == "(" else "\\]"
            end = source.find(closing, at)
            end = end + 2 if end >= 0 else at
            out.append(f"\\{sign}{source[at:end]}")
            return end
        if sign == "\\":
            out.append("\n")
            return _bracketed(source, at + (source[at : at + 1] == "*"))[1]
        if sign in ACCENTS:
            return _accented(source, ACCENTS[sign], at, out)
        out.append(sign if sign in "%&#$_{}" else "" if sign in "-/!@" else " ")
        return at

    def _last_of(self, source: str, at: int, count: int) -> tuple[str, int]:
        inner = ""
        for _ in range(count):
            at = _bracketed(source, at)[1]
            start = _after_blanks(source, at)
            if source[start : start + 1] != "{":
                return inner, at
            end = _closing(source, start)
            inner, at = source[start + 1 : end], end + 1
        return inner, at

    def _after_arguments(self, source: str, at: int, most: int) -> int:
        """Behind brackets and at most so many braces."""
        count = 0
        while True:
            _, behind = _bracketed(source, at)
            if behind == at:
                start = at + (source[at : at + 1] == " ")
                if source[start : start + 1] != "{" or count == most:
                    return at
                behind, count = _closing(source, start) + 1, count + 1
            at = behind


def _after_blanks(source: str, at: int) -> int:
    """Behind blanks and one line's end, which TeX takes for the end of a command's name."""
    found = re.compile(r"[ \t]*(?:\n(?![ \t]*\n)[ \t]*)?").match(source, at)
    return found.end() if found else at


def _bracketed(source: str, at: int) -> tuple[str, int]:
    """What stands in brackets right here, and the place behind them."""
    if source[at : at + 1] != "[":
        return "", at
    found = re.compile(r"\[((?:[^\[\]{}]|\{[^{}]*\})*)\]").match(source, at)
    return (found[1], found.end()) if found else ("", at)


def _accented(source: str, accent: str, at: int, out: list[str]) -> int:
    found = re.compile(r"[ \t]*(?:\{[ \t]*(\\[ij]|[^\W\d_])[ \t]*\}|(\\[ij](?![a-zA-Z])|[^\W\d_]))").match(source, at)
    if found is None:
        return at
    letter = (found[1] or found[2]).lstrip("\\")
    out.append(unicodedata.normalize("NFC", letter + accent))
    return found.end()


def is_latex(lines: Iterable[str], *, named: bool) -> bool:
    """It declares a class of documents before anything else, or has the commands of a part of one. named: `.tex`."""
    code = [line for line in lines if line.strip() and not line.lstrip().startswith("%")]
    if any(re.match(r"\s*\\document(?:class|style)\b", line) for line in code[:30]):
        return True
    if not named:
        return False
    told = re.compile(r"\\(?:begin|section|subsection|chapter|label|ref|cite|emph|item|textbf|footnote|input|par)\b")
    return sum(told.search(line) is not None for line in code) >= max(1, 0.02 * len(code))
