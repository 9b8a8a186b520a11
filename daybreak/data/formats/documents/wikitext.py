"""Wikitext: the text of a page of MediaWiki without its markup (https://www.mediawiki.org/wiki/Help:Formatting).

The scanning is by regular expressions and one pass over brackets with a stack: the parsers that libraries have
(mwparserfromhell 0.7.2, wikitextparser 3.0) read 0.4 to 0.5 MB/s of 70 pages of Wikipedia, this 18 MB/s.
"""

import html
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from daybreak.data.formats.documents.wiki_names import CATEGORIES, DRAWN, FILES, words_of

TEMPLATES = "templates of wiki pages: boxes, notices and tables that other pages hold"
NOTES = "notes and sources of wiki pages"
DRAWINGS = "maps, graphs and other drawings of wiki pages"
_LITERAL = ("nowiki", "pre", "syntaxhighlight", "source", "math", "chem", "ce", "ch")
_DRAWN = tuple(DRAWN.split())
_PAIRS = re.compile(rf"<!--|<(ref|references|gallery|{'|'.join((*_LITERAL, *_DRAWN))})\b([^<>]*)>", re.I)
_CLOSING = {name: re.compile(rf"</{name}\s*>", re.I) for name in ("ref", "references", "gallery", *_LITERAL, *_DRAWN)}
_BRACKETS = re.compile(r"(\{\{+|\}\}+|\[\[|\]\]|\n[ \t:]*\{\||\n[ \t]*\|\}(?!\}))")
_DEEPEST = 100
_DEEPEST_HEADING = 6
_OPTION_CHARACTERS = 100  # of which a part tells what it is
_PIPE = "\x01"  # one that is text by now
_MARK = "\x02"  # around the number of a literal text
_MARKED = re.compile(f"{_MARK}(\\d+){_MARK}")
_VARIANTS = re.compile(r"-\{([^{}]*)\}-")
_VARIANT = re.compile(r"\s*(?:zh|sr|kk|ku|shi|iu|tg|uz|crh|gan)(?:-[a-z]+)?\s*:")
_ADDRESS = re.compile(
    r"\[(?:(?:https?|ftps?|irc|news|sftp|gopher):|//|mailto:)[^\s\[\]]*"
    r"[ \t\xa0]*([^\[\]\n]*(?:\[[^\[\]\n]*\][^\[\]\n]*)*)\]",
    re.I,
)
_BREAKS = re.compile(
    r"<(?:br|/?(?:p|div|blockquote|center|li|tr|table|poem|dl|dd|dt|ul|ol|hr|h[1-6]|caption|tbody|section))\b[^<>]*>",
    re.I,
)
_CELLS = re.compile(r"</?t[dh]\b[^<>]*>", re.I)
_TAGS = re.compile(
    r"</?(?:abbr|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|ins|kbd|link|mark|meta|nobr|noinclude|nowiki|onlyinclude|"
    r"noembed|q|rb|rbc|rp|rt|rtc|ruby|s|samp|small|span|strike|strong|sub|sup|time|translate|tvar|tt|u|var|wbr|languages|"
    r"references|ref|gallery|thead|tfoot|col|colgroup|includeonly|math|pre|source|syntaxhighlight)\b[^<>]*>",
    re.I,
)
_SWITCHES = re.compile(r"__[A-Z]{3,}__|__[A-ZÄÖÜ_]{6,}__")
_HEADING = re.compile(r"^=.*=[ \t]*$", re.M)
_LIST = re.compile(r"^[ \t]*[*#:;]+[ \t]*", re.M)
_RULER = re.compile(r"^-{4,}", re.M)
_EMPTY = re.compile(r"\([\s,;:/·–-]*\)|（[\s，；、：,;:]*）|\[\s*\]")
_OPENED = re.compile(r"([(（])[\s,;，；、]+(?=\S)")
_GAPS = re.compile(r"\n{3,}")
_BLANKS = re.compile("  +")
_LANGUAGES = re.compile(r"[a-z]{2,3}(?:-[a-z-]{2,12})?|simple|be-x-old|zh-min-nan|wikt|commons|species|meta")
_OPTION = re.compile(
    r"\s*(?:\d*x?\d*\s*(?:px|пкс|像素)|thumb(?:nail)?|thumbnail=.*|thumb=.*|mini(?:atur)?|frame[ds]?|frameless|gerahmt|border|"
    r"left|right|center|none|links|rechts|zentriert|gauche|droite|centré|derecha|izquierda|centro|miniatura(?:deimagen)?|"
    r"vignette|мини|справа|слева|upright(?:[= ].*)?|hochkant.*|"
    r"(?:alt|link|lang|page|class|style|upright|width|height)=.*|"
    r"缩略图|縮圖|右|左|居中|有框|无框|無框|替代文本?=.*|サムネイル|baseline|middle|sub|super|top|text-top|bottom|text-bottom)\s*",
    re.I,
)


@dataclass(frozen=True, kw_only=True)
class Wiki:
    """Names of namespaces in a wiki's language, in small letters; those of the largest wikis where none are told."""

    files: frozenset[str] = frozenset(FILES.split())
    categories: frozenset[str] = frozenset(CATEGORIES.split())


@dataclass
class Losses:
    """Characters that are left out, by what they are, with how often."""

    sizes: dict[str, list[int]] = field(default_factory=dict)

    def add(self, what: str, text: str) -> None:
        self.sizes.setdefault(what, []).append(len(text))


def plain(text: str, title: str, wiki: Wiki, losses: Losses) -> str:
    """The text of a page: headings, items of lists and rows of tables are lines, cells have tabs between them.

    Links are their labels, pictures their captions, templates what they stand for in a sentence if that is known.
    """
    literal: list[str] = []
    text = _without_pairs(text, literal, losses)
    if "}-" in text:
        text = _VARIANTS.sub(_variant, text)
    text = _flattened("\n" + text, title, wiki, losses)
    if "}-" in text:
        text = _VARIANTS.sub(_variant, text)
    if "[" in text:
        text = _ADDRESS.sub(r"\1", text)
    if "<" in text:
        text = _CELLS.sub("\t", _BREAKS.sub("\n", text))
        text = _TAGS.sub("", text)
    for quotes in ("'''''", "'''", "''"):  # of four one is an apostrophe
        text = text.replace(quotes, "")
    if "__" in text:
        text = _SWITCHES.sub("", text)
    text = _LIST.sub("", _RULER.sub("", text))
    text = _EMPTY.sub("", _OPENED.sub(r"\1", text))
    text = _with_headings(text)
    text = text.replace(_PIPE, "|")
    if "&" in text:
        text = html.unescape(text)
    text = _BLANKS.sub(" ", text.replace("\xa0", " "))
    if literal:
        text = _MARKED.sub(lambda mark: html.unescape(literal[int(mark[1])]), text)
    return _GAPS.sub("\n\n", "\n".join(map(str.rstrip, text.split("\n")))).strip()


def _without_pairs(text: str, literal: list[str], losses: Losses) -> str:
    """Without comments, notes and drawings; texts in which markup is none are put aside into `literal`."""
    parts, place = list[str](), 0
    never_closed = set[str]()
    while found := _PAIRS.search(text, place):
        start = found.start()
        parts.append(text[place:start])
        place = found.end()
        if found[0] == "<!--":
            end = text.find("-->", place)
            place = len(text) if end < 0 else end + 3
            if parts[-1].endswith("\n") and text[place : place + 1] == "\n":
                place += 1  # a comment on a line of its own
            continue
        name = found[1].lower()
        if found[2].endswith("/"):
            if name in ("ref", "references"):
                losses.add(NOTES, found[0])
            continue
        closing = None if name in never_closed else _CLOSING[name].search(text, place)
        if closing is None:
            never_closed.add(name)
            continue
        inside = text[place : closing.start()]
        place = closing.end()
        if name in _LITERAL:
            literal.append(inside)
            parts.append(f"{_MARK}{len(literal) - 1}{_MARK}")
        elif name == "gallery":
            parts.append(_captions(inside))
        else:
            losses.add(NOTES if name in ("ref", "references") else DRAWINGS, inside)
    parts.append(text[place:])
    return "".join(parts)


def _captions(gallery: str) -> str:
    """Of the pictures in a gallery, a line each."""
    lines = [line.partition("|")[2] for line in gallery.split("\n")]
    kept = [" ".join(part for part in line.split("|") if not _is_option(part)) for line in lines]
    return "\n" + "\n".join(filter(None, map(str.strip, kept))) + "\n"


def _variant(found: re.Match[str]) -> str:
    """Of words in several scripts the first: -{zh-hans:计算机; zh-hant:電腦}-; rules for a whole page are no words."""
    flags, bar, rules = found[1].rpartition("|")
    if bar and ("H" in flags or "T" in flags or "-" in flags):
        return ""
    rules = rules.partition("=>")[2] if _VARIANT.match(rules) is None and "=>" in rules else rules
    if _VARIANT.match(rules) is None:
        return rules
    return rules.partition(";")[0].partition(":")[2].strip()


# Brackets: templates, links and tables, of which each may be in each


def _flattened(text: str, title: str, wiki: Wiki, losses: Losses) -> str:
    pieces = _BRACKETS.split(text)
    parts = [pieces[0]]
    stack: list[tuple[str, list[str]]] = []  # open brackets, and the text before each

    def close(kind: str) -> bool:
        """Ends the bracket; what was opened within it and never closed is text. False: no such bracket is open."""
        nonlocal parts
        if not stack or (stack[-1][0] != kind and kind not in [opened for opened, _ in stack]):
            return False
        while True:
            opened, before = stack.pop()
            body = "".join(parts)
            parts = before
            if opened == kind:
                parts.append(_HANDLERS[kind](body, title, wiki, losses))
                return True
            parts.append(body)

    for token, after in zip(pieces[1::2], pieces[2::2], strict=True):
        if token == "[[":
            if len(stack) < _DEEPEST:
                stack.append(("[[", parts))
                parts = []
        elif token == "]]":
            close("[[")
        elif token[0] == "{":
            left = len(token)
            while left >= 2 and len(stack) < _DEEPEST:
                size = 3 if left in (3, 5) else 2
                stack.append(("{" * size, parts))
                parts = []
                left -= size
        elif token[0] == "}":
            left = len(token)
            while left >= 2:
                kind = "{{{" if left >= 3 and stack and stack[-1][0] == "{{{" else "{{"
                if not close(kind):
                    break
                left -= len(kind)
        elif token[-1] == "|" and len(stack) < _DEEPEST:
            parts.append("\n")
            stack.append(("{|", parts))
            parts = []
        else:
            close("{|")
        if after:
            parts.append(after)
    while stack:
        body = "".join(parts)
        parts = stack.pop()[1]
        parts.append(body)
    return "".join(parts)


def _template(body: str, title: str, _: Wiki, losses: Losses) -> str:
    words = words_of(body, title)
    if words is None:
        losses.add(TEMPLATES, body)
        return ""
    return words.replace("|", _PIPE)


def _parameter(body: str, *_: object) -> str:
    return body.partition("|")[2].replace("|", _PIPE)


def _link(body: str, _: str, wiki: Wiki, __: Losses) -> str:
    target, bar, label = body.partition("|")
    if ":" not in target:
        return (label or target).replace("|", _PIPE)
    shown = target.lstrip().startswith(":")
    prefix = target.strip().partition(":")[0].strip().lower()
    if not shown and prefix in wiki.files:
        return _caption(label)
    if not shown and (
        prefix in wiki.categories or (not bar and _LANGUAGES.fullmatch(target.strip().partition(":")[0]))
    ):
        return ""
    return (label or target.strip().lstrip(":")).replace("|", _PIPE)


def _is_option(text: str) -> bool:
    return _OPTION.fullmatch(text[:_OPTION_CHARACTERS]) is not None


def _caption(options: str) -> str:
    """Of a picture; the last of its options that is none. One of a single word is what a symbol stands for."""
    captions = [option.strip() for option in options.split("|") if option.strip() and not _is_option(option)]
    if not captions or (captions[-1].isascii() and " " not in captions[-1]):
        return ""
    return f"\n{captions[-1]}\n"


def _table(body: str, *_: object) -> str:
    rows: list[list[str]] = [[]]
    for line in body.split("\n")[1:]:
        cell = line.lstrip()
        if cell.startswith("|-"):
            rows.append([])
        elif cell.startswith("|+"):
            rows += [[_without_attributes(cell[2:])], []]
        elif cell.startswith(("|", "!")):
            if cell[0] == "!":
                cell = cell.replace("!!", "||")
            rows[-1] += map(_without_attributes, cell[1:].split("||"))
        elif rows[-1]:
            rows[-1][-1] += "\n" + line
        elif cell:
            rows[-1].append(line)
    lines = ("\t".join(filter(None, map(str.strip, row))) for row in rows)
    return "\n" + "\n".join(filter(None, lines)).replace("|", _PIPE) + "\n"


def _without_attributes(cell: str) -> str:
    return cell.partition("|")[2] if "|" in cell else cell


_HANDLERS: dict[str, Callable[[str, str, Wiki, Losses], str]] = {
    "{{": _template,
    "{{{": _parameter,
    "[[": _link,
    "{|": _table,
}


def _with_headings(text: str) -> str:
    """Headings as lines; one under which nothing is left, such as that of a list of sources, goes too."""
    headings = list(_HEADING.finditer(text))
    if not headings:
        return text
    parts = [text[: headings[0].start()]]
    ends = [following.start() for following in headings[1:]] + [len(text)]
    waiting: list[tuple[int, str]] = []  # with nothing under them yet: how deep they are, and their texts
    for heading, end in zip(headings, ends, strict=True):
        line = heading[0].rstrip()
        depth = min(len(line) - len(line.lstrip("=")), len(line) - len(line.rstrip("=")), _DEEPEST_HEADING)
        waiting = [above for above in waiting if above[0] < depth]
        waiting.append((depth, line[depth : len(line) - depth].strip()))
        under = text[heading.end() : end]
        if under.strip():
            parts += [f"{name}\n\n" for _, name in waiting[:-1]] + [waiting[-1][1], under]
            waiting = []
    return "".join(parts)


def names(texts: Collection[str]) -> frozenset[str]:
    """Names of namespaces as links have them, whatever their case."""
    return frozenset(text.strip().lower() for text in texts if text.strip())
