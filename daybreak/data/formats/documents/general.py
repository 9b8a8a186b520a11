"""Any XML whose vocabulary is not known: all its text, with the elements within lines told from the others."""

import re
from collections.abc import Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats.documents.elements import Blanks, Elements, ElementText, element_documents, names
from daybreak.data.formats.documents.hypertext import html_text
from daybreak.data.formats.documents.vocabulary import Vocabulary
from daybreak.data.formats.format import Text

_ELEMENTS = Elements(
    blanks=Blanks.LINES,
    blocks=names(
        "p para paragraph title head heading section sect chapter div body item list li table caption h1 h2 h3 h4 h5 h6"
        " line verse stanza lg br doc"
    ),
    inline=names("a abbr b bold em emph emphasis hi i italic q s small span strike strong sub sup tt u underline w"),
    rows=names("tr row"),
    cells=names("td th cell entry"),
    preserved=names("pre"),
    skipped=names("script style"),
)


_HTML = re.compile(r"</(?:p|div|span|b|i|a|ul|ol|li|em|strong|td|h[1-6]|blockquote|pre)>|<br ?/?>", re.I)


class _Text(ElementText):
    """As of any XML; where its text is HTML, as exports have it, the text of that."""

    def text(self, text: str) -> None:
        super().text(html_text(text, self.findings) if "<" in text and _HTML.search(text) else text)


def _documents(text: Text) -> Iterator[Document]:
    return element_documents(_ELEMENTS, text, _Text(_ELEMENTS, text.findings))


GENERAL = Vocabulary(name="general", recognize=lambda _: True, documents=_documents)
