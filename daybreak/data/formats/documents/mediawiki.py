"""MediaWiki: the dumps of wikis such as Wikipedia (https://www.mediawiki.org/wiki/Help:Export), a document a page."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.documents.events import parsed
from daybreak.data.formats.documents.vocabulary import Vocabulary, named
from daybreak.data.formats.documents.wikitext import Losses, Wiki, names, plain
from daybreak.data.formats.findings import LONG_ROW, Findings
from daybreak.data.formats.format import Text
from daybreak.data.formats.texts import text_documents

NO_PAGE = "a page without text of its own, such as a redirect"
OTHER_SPACE = "pages beside the articles, such as discussions, users and templates"
OLDER = "older versions of pages"
OTHER_MODEL = "pages that are no wikitext, such as scripts"
_REDIRECT = re.compile(r"\s*#[^\s\[:]{2,30}\s*:?\s*\[\[[^\]]*\]\]")
_FACTS = ("title", "ns", "model", "namespace", "text")
_FILES, _CATEGORIES = "6", "14"  # numbers of namespaces
_ARTICLES = "0"


@dataclass
class _Page:
    title: str = ""
    space: str = ""  # its number; empty: not told
    model: str = "wikitext"
    text: str | None = None  # None: too long, or none
    size: int = 0  # characters
    redirects: bool = False
    older: list[int] = field(default_factory=list)  # characters of versions before the last


class _Pages:
    """Takes the events of the parser and keeps the pages that have ended."""

    def __init__(self) -> None:
        self.done: list[_Page] = []
        self.spaces: dict[str, set[str]] = {}  # names of namespaces by their numbers
        self._page = _Page()
        self._kept: list[str] | None = None
        self._size = 0
        self._key = ""
        self._seen = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name in _FACTS:
            self._kept, self._size = [], 0
            self._key = attributes.get("key", "")
        elif name == "page":
            self._page = _Page()
        elif name == "redirect":
            self._page.redirects = True

    def end(self, name: str) -> None:
        if name in _FACTS and self._kept is not None:
            self._fact(name, "".join(self._kept))
            self._kept = None
        elif name == "page":
            self.done.append(self._page)
            self._seen = True

    def _fact(self, name: str, text: str) -> None:
        page = self._page
        if name == "text":
            if page.size:
                page.older.append(page.size)
            page.size = self._size
            page.text = text if self._size <= limits.ROW_BYTES else None
        elif name == "title":
            page.title = text.strip()
        elif name == "ns":
            page.space = text.strip()
        elif name == "model":
            page.model = text.strip()
        else:
            self.spaces.setdefault(self._key, set()).add(text)

    def text(self, text: str) -> None:
        if self._kept is not None:
            self._size += len(text)
            if self._size <= limits.ROW_BYTES:
                self._kept.append(text)

    def given(self) -> bool:
        return self._seen

    def wiki(self) -> Wiki:
        """The names that this wiki has for pictures and categories, beside the usual ones."""
        usual = Wiki()
        return Wiki(
            files=usual.files | names(self.spaces.get(_FILES, ())),
            categories=usual.categories | names(self.spaces.get(_CATEGORIES, ())),
        )

    def is_article(self, page: _Page) -> bool:
        if page.space:
            return page.space == _ARTICLES
        prefix, colon, _ = page.title.partition(":")
        return not colon or not any(prefix in known for key, known in self.spaces.items() if key != _ARTICLES)


def _documents(text: Text) -> Iterator[Document]:
    """Raises Unsuitable: not well-formed before any page; Stopped: further on."""
    findings = text.findings
    findings.say(text.name, "the text of the pages of a MediaWiki dump is read")
    pages = _Pages()
    wiki: Wiki | None = None
    for _ in parsed(text.blocks, pages, text.name, findings):
        done, pages.done = pages.done, []
        for page in done:
            wiki = wiki or pages.wiki()
            yield from _page_documents(page, pages, wiki, text.name, findings)


def _page_documents(page: _Page, pages: _Pages, wiki: Wiki, name: str, findings: Findings) -> Iterator[Document]:
    for size in page.older:
        findings.skip_row(OLDER, size)
    if not pages.is_article(page):
        findings.skip_row(OTHER_SPACE, page.size)
    elif page.model != "wikitext":
        findings.skip_row(OTHER_MODEL, page.size)
    elif page.redirects or not (page.size and (page.text is None or page.text.strip())):
        findings.skip_row(NO_PAGE, page.size)
    elif page.text is None:
        findings.skip_row(LONG_ROW, page.size)
    else:
        losses = Losses()
        body = "" if _REDIRECT.match(page.text) else plain(page.text, page.title, wiki, losses)
        if not body.strip():
            findings.skip_row(NO_PAGE, page.size)
            return
        for what, sizes in losses.sizes.items():
            for size in sizes:
                findings.leave_part(what, size)
        findings.rows_seen += 1
        whole = f"{page.title}\n\n{body}" if page.title else body
        yield from text_documents(whole, "text", name, findings)


MEDIAWIKI = Vocabulary(name="mediawiki", recognize=named("mediawiki"), documents=_documents)
