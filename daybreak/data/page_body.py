"""Page body: what of a parsed page is its text, and what is menus, banners, footers and lists of links around it."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator

import lxml.html
from lxml.html import HtmlElement as Element

from daybreak.data.page_text import HEADINGS, Block, blocks_of, words

_NEVER_SHOWN = words(
    "script style template noscript noframes noembed head iframe object applet canvas audio video svg map area datalist"
    " select button input textarea optgroup frame embed param source track link meta base"
)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_MATHS_TWICE = words("annotation annotation-xml")  # of MathML: the formula once more, as source

_AROUND = words("nav footer aside menu dialog")
_AROUND_ROLES = words(
    "navigation banner contentinfo search complementary menu menubar toolbar dialog alertdialog tablist"
)
# Words of the classes and ids that pages give to what stands around their text.
_AROUND_WORDS = words(
    "nav navbar navigation navheader navfooter navbox navpath navlinks menu menubar submenu dropdown breadcrumb"
    " breadcrumbs sidebar sidebars sidenav footer foot bottombar topbar pagination pager paginator share sharing"
    " sharebar sharethis addthis social socials related recommended recommendations recirc trending popular readnext"
    " comments commentlist disqus respond newsletter subscribe subscription signup login signin cookie cookies consent"
    " gdpr banner advert advertisement advertising ads adsense adbox sponsor sponsored promo promotion popup modal"
    " lightbox skip skiplink skiplinks toolbar widget widgets masthead tags tagcloud taglist outbrain taboola"
    " searchbox searchform toc tableofcontents headerlink editsection mobiletopbar catlinks printfooter jumplink"
    " quickview toplang bottomlang screenreader"
)
_SURE_WORDS = words(
    "navbar navigation navheader navfooter sidebar sidebars footer comments commentlist disqus respond newsletter"
    " related recommended breadcrumbs cookie consent toc"
)
_NOTE_WORDS = words(
    "byline postmeta entrymeta articlemeta dateline posted postedon timestamp readtime readingtime credits credit"
    " photocredit viewcount"
)
_NOTE = 160  # characters of a note on who wrote it, and when
_NAMED = words("div section ul ol p table span form td dl li address small")
_ID_WORDS = 3  # of an id: one of more words was made of a heading
_SMALL = 0.15  # of a page's characters, for what a word may call so that stands for other things, too
_HEADER_WORDS = frozenset(("header", "head", "top", "titlearea"))
_PERMALINKS = frozenset(("\u00b6", "#", "\u00a7", "\u26d3", "\U0001f517", "[edit]", "[source]", "[src]"))
_MAIN_WORDS = re.compile(
    r"\b(?:entry|post|article|story|page|main|body|doc|document|markdown|mw)[-_]{0,2}(?:content|body|text|main)\b"
    r"|\barticle_?_?body\b|\bmw-content-text\b|\bmarkdown-body\b|\bcontent\b|\bmain\b|\bdocument\b|\barticle\b",
    re.I,
)
_NAME_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_MOST_OF = 0.45  # of a page's characters: what holds more is no menu, whatever it is called
_MAIN_LEAST = 0.4  # of the characters outside of links
_MENU_LINKS, _MENU_SHARE = 4, 0.75  # links, and characters in them, from which on a list is a menu
_NO_LETTERS = re.compile(r"[\W_]+")
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^<>]*>")
_TAKES_ALL = re.compile(rb"<(title|textarea|xmp|noembed|noframes|plaintext)\b[^<>]*>", re.I)
_TAKES_ALL_END = re.compile(rb"</(title|textarea|xmp|noembed|noframes|plaintext)\b", re.I)
_MOST_EXTRACTED = 1 << 20  # characters of a page for the extractor, which needs seconds for a megabyte
_MOST_COMPARED = 1 << 31  # blocks times letters
_LEAST = 0.1  # of the characters outside of links: a page with less of them in its body was not understood
_CLEAN_SHARE = 0.75  # of the characters: where less is left, much was around the text, and more may be
_AGREED = 0.3  # of the characters: where the extractor finds less of them, it has missed the text
_AROUND_LINKED = 0.35  # of the characters of blocks that the extractor left out
_PARAGRAPH = 60  # characters
_TITLE = 600  # characters, of a title and what may stand under it
_LONG_LINK = 60  # characters of a link's text, from which on it is a sentence


def body_of(text: str) -> list[Block]:
    """The blocks of the text of a page; none: it has no text. Raises what lxml raises for broken ones."""
    tree = _parsed(text)
    of_site = _is_of_site(tree)
    _remove_unseen(tree)
    page = _body_element(tree)
    whole = _size(page) - _linked(page)
    _remove_named(page)
    blocks = _without_link_lists(_main_blocks(page))
    left = sum(len(block.text) - block.linked for block in blocks)
    if len(text) <= _MOST_EXTRACTED and (of_site or left < _CLEAN_SHARE * whole):
        blocks = _agreed(blocks, _extracted(text))
    return blocks if sum(len(block.text) for block in blocks) >= _LEAST * whole else []


def _parsed(text: str) -> Element:
    """The whole document; its characters are as they are, whatever encoding it names."""
    data = _XML_DECLARATION.sub("", text, count=1).replace("\0", "").encode("utf-8", "replace")
    begun, ended = (Counter(name.lower() for name in found.findall(data)) for found in (_TAKES_ALL, _TAKES_ALL_END))
    if begun - ended:  # what is not closed would take the rest of the page, tags and all
        data = _TAKES_ALL.sub(b"<span>", data)
    return lxml.html.document_fromstring(data, parser=lxml.html.HTMLParser(encoding="utf-8"))


def _is_of_site(tree: Element) -> bool:
    """A page of a site of news or the like, which says so to other sites, to readers of feeds or to search engines."""
    return any(
        (element.get("property") or "").startswith(("og:", "article:"))
        or "rss" in (element.get("type") or "")
        or "atom" in (element.get("type") or "")
        for element in tree.iter("meta", "link")
    )


def _body_element(tree: Element) -> Element:
    found = tree.find("body") if tree.tag == "html" else None
    return tree if found is None else found


# What a browser does not show


def _remove_unseen(tree: Element) -> None:
    lxml.etree.strip_elements(tree, lxml.etree.Comment, lxml.etree.ProcessingInstruction, with_tail=False)
    lxml.etree.strip_elements(tree, *_NEVER_SHOWN, *_MATHS_TWICE, with_tail=False)
    whole = _size(tree)
    for element in _marked_hidden(tree):
        if element.getparent() is not None and _size(element) <= _MOST_OF * whole:
            _drop(element)


def _marked_hidden(tree: Element) -> list[Element]:
    return [
        element
        for element in tree.iter("*")
        if element.attrib
        and (
            element.get("hidden") is not None
            or element.get("aria-hidden") == "true"
            or ((style := element.get("style")) and _HIDDEN_STYLE.search(style))
        )
    ]


def _drop(element: Element) -> None:
    """Out of the tree; where it stood between words they stay apart."""
    element.tail = " " + (element.tail or "") if element.tag in ("div", "p", "ul", "nav") else element.tail
    element.drop_tree()


def _size(element: Element) -> int:
    return sum(len(part.strip()) for part in element.itertext())


# What is named as a menu or the like


def _remove_named(page: Element) -> None:
    whole = _size(page)
    for element in list(page.iter("*")):
        if element.getparent() is None or element is page or not _is_around(element):
            continue
        size = _size(element)
        if _linked(element) > _MENU_SHARE * size or size <= (_MOST_OF if _says_so(element) else _SMALL) * whole:
            _drop(element)


def _says_so(element: Element) -> bool:
    """By its tag or role, or a word that nothing but what stands around the text has."""
    return element.tag not in _NAMED or element.get("role") in _AROUND_ROLES or bool(_names(element) & _SURE_WORDS)


def _linked(element: Element) -> int:
    return sum(_size(link) for link in element.iter("a"))


def _is_around(element: Element) -> bool:
    tag = element.tag
    if tag == "a":
        return (element.text_content().strip() in _PERMALINKS) and element.get("href", "#").startswith("#")
    if tag in ("html", "body", "main", "article"):
        return False
    if tag in _AROUND or element.get("role") in _AROUND_ROLES:
        return True
    if tag == "header":
        return not any(parent.tag in ("article", "main", "section") for parent in element.iterancestors())
    if tag not in _NAMED:
        return False
    names = _names(element)
    if not names:
        return False
    if names & _NOTE_WORDS and tag in ("p", "div", "span", "ul") and _size(element) < _NOTE:
        return True
    if names & _AROUND_WORDS:
        return not any(parent.tag in ("pre", "code") for parent in element.iterancestors())
    return bool(names & _HEADER_WORDS) and next(element.iter(*HEADINGS), None) is None and tag != "td"


def _names(element: Element) -> set[str]:
    named = element.get("class") or ""
    own = element.get("id") or ""
    if own and len(_NAME_PART.findall(own)) < _ID_WORDS and not _is_of_heading(element, own):
        named += " " + own
    if not named:
        return set()
    parts = {part.lower() for part in _NAME_PART.findall(named)}
    return parts | {re.sub(r"[^a-z]", "", name.lower()) for name in named.split()}


def _is_of_heading(element: Element, own: str) -> bool:
    """An id that was made of the heading below it."""
    heading = next(element.iter(*HEADINGS), None)
    return heading is not None and _letters(own).lower() in _letters(heading.text_content()).lower()


# Where the text is


def _main_blocks(page: Element) -> list[Block]:
    """Of the element that says it is the main one and holds enough of the text, with the title above it; or all."""
    whole = _size(page) - _linked(page)
    blocks = blocks_of(page)
    for candidates in _candidates(page):
        for one in candidates:
            if _size(one) - _linked(one) >= _MAIN_LEAST * whole:
                inside = [one in (block.element, *block.element.iterancestors()) for block in blocks]
                first = inside.index(True) if True in inside else 0
                return _title(blocks[:first]) + [block for block, yes in zip(blocks, inside, strict=True) if yes]
    return blocks


def _title(above: list[Block]) -> list[Block]:
    """The last title above the text and what stands between the two, where it is short and has few links."""
    titles = [i for i, block in enumerate(above) if block.element.tag == "h1" or "title" in _names(block.element)]
    rest = above[titles[-1] :] if titles else []
    short = sum(len(block.text) for block in rest) < _TITLE and 3 * sum(b.linked for b in rest) < _TITLE
    return rest if short else []


def _candidates(page: Element) -> Iterator[list[Element]]:
    yield [
        one for one in page.iter("main", "div", "section", "article") if one.tag == "main" or one.get("role") == "main"
    ]
    yield [one for one in page.iter("*") if one.get("itemprop") == "articleBody"]
    yield list(page.iter("article"))
    yield [
        one
        for one in page.iter("div", "section", "td")
        if one.attrib and _MAIN_WORDS.search(f"{one.get('class', '')} {one.get('id', '')}")
    ]


# Lists of links


def _without_link_lists(blocks: list[Block]) -> list[Block]:
    kept: list[Block] = []
    run: list[Block] = []
    for block in [*blocks, None]:
        if (
            block is not None
            and block.links
            and block.linked > _MENU_SHARE * len(block.text.strip("-| "))
            and block.linked < _LONG_LINK * block.links
            and not block.is_heading
        ):
            run.append(block)
            continue
        if sum(one.links for one in run) < _MENU_LINKS:
            kept += run
        run = []
        if block is not None:
            kept.append(block)
    return kept if sum(len(b.text) for b in kept) > 0.2 * sum(len(b.text) for b in blocks) else blocks


# Where named and structured parts do not tell: the extractor for pages of news


def _extracted(text: str) -> str:
    import trafilatura

    tree = _parsed(text)
    return trafilatura.extract(tree, include_comments=False, include_tables=True, fast=True) or ""


def _agreed(blocks: list[Block], extracted: str) -> list[Block]:
    """From the first to the last block that the extractor has found, without runs of links that it has not.

    It leaves out tables, programs and lists, which lie between what it finds.
    """
    letters = _letters(extracted)
    keys = [_letters(block.text) for block in blocks]
    if len(keys) * len(letters) > _MOST_COMPARED:
        return blocks
    found = [bool(key) and key[:60] in letters and key[-40:] in letters for key in keys]
    if sum(len(key) for key, yes in zip(keys, found, strict=True) if yes) <= _AGREED * sum(map(len, keys)):
        return blocks
    long = [index for index, yes in enumerate(found) if yes and len(blocks[index].text) >= _PARAGRAPH]
    first, last = (long[0], long[-1]) if long else (found.index(True), len(found) - 1 - found[::-1].index(True))
    while first and (found[first - 1] or blocks[first - 1].is_heading):
        first -= 1
    while last + 1 < len(found) and found[last + 1]:
        last += 1
    kept = [block for block in blocks[:first] if block.element.tag == "h1"][:1]
    for yes, run in itertools.groupby(range(first, last + 1), key=lambda index: found[index]):
        part = [blocks[index] for index in run]
        if yes or sum(block.linked for block in part) < _AROUND_LINKED * sum(len(block.text) for block in part):
            kept += part
    return kept


def _letters(text: str) -> str:
    return _NO_LETTERS.sub("", text)
