"""MediaWiki: the dumps of wikis such as Wikipedia (https://www.mediawiki.org/wiki/Help:Export), a document a page."""

from collections.abc import Iterator, Mapping

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.documents.events import parsed
from daybreak.data.formats.documents.vocabulary import Vocabulary, named
from daybreak.data.formats.findings import LONG_ROW
from daybreak.data.formats.format import Text
from daybreak.data.formats.texts import text_documents

_NO_PAGE = "a page without text of its own, such as a redirect"


class _Pages:
    """Takes the events of the parser and keeps the texts of pages."""

    def __init__(self) -> None:
        self.done: list[str | None] = []  # None for one that is too long
        self._kept: list[str] = []
        self._size = 0
        self._inside = False

    def start(self, name: str, _: Mapping[str, str]) -> None:
        self._inside = self._inside or name == "text"

    def end(self, name: str) -> None:
        if name == "text":
            self.done.append("".join(self._kept) if self._size <= limits.ROW_BYTES else None)
            self._kept, self._size, self._inside = [], 0, False

    def text(self, text: str) -> None:
        if self._inside:
            self._size += len(text)
            if self._size <= limits.ROW_BYTES:
                self._kept.append(text)

    def given(self) -> bool:
        return bool(self.done)


def _documents(text: Text) -> Iterator[Document]:
    findings = text.findings
    findings.say(text.name, "the text of the pages of a MediaWiki dump is read")
    pages = _Pages()
    for _ in parsed(text.blocks, pages, text.name, findings):
        done, pages.done = pages.done, []
        for page in done:
            if page is None:
                findings.skip_row(LONG_ROW)
            elif not page.strip() or page.lstrip().upper().startswith("#REDIRECT"):
                findings.skip_row(_NO_PAGE, len(page.encode("utf-8", "replace")))
            else:
                findings.rows_seen += 1
                yield from text_documents(page, "text", text.name, findings)


MEDIAWIKI = Vocabulary(name="mediawiki", recognize=named("mediawiki"), documents=_documents)
