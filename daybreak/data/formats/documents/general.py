"""Any XML whose vocabulary is not known: all its text, with the elements within lines told from the others."""

from collections.abc import Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats.documents.elements import Blanks, Elements, element_documents, names
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


def _documents(text: Text) -> Iterator[Document]:
    return element_documents(_ELEMENTS, text)


GENERAL = Vocabulary(name="general", recognize=lambda _: True, documents=_documents)
