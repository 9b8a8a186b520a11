"""Hypertext: the text of HTML that is all body: a chapter of a book, an item of a feed, a note."""

from daybreak.data.formats.documents import parts
from daybreak.data.formats.documents.elements import LINE, Attributes, Elements, ElementText, element_texts, names
from daybreak.data.formats.documents.package import attribute
from daybreak.data.formats.encodings import text_of
from daybreak.data.formats.findings import Findings, Stopped, Unsuitable
from daybreak.data.formats.format import Text
from daybreak.data.formats.streams import Stream

_LISTS = ("toc", "landmarks", "page-list", "loi", "lot", "index")


def _navigation(attributes: Attributes) -> str:
    told = f"{attribute(attributes, 'type')} {attribute(attributes, 'role').removeprefix('doc-')}".split()
    return parts.CONTENTS if any(one in _LISTS for one in told) else ""


def _page_number(attributes: Attributes) -> str:
    told = f"{attribute(attributes, 'type')} {attribute(attributes, 'role').removeprefix('doc-')}".split()
    return parts.PAGE_NUMBERS if "pagebreak" in told else ""


ELEMENTS = Elements(
    blocks=names(
        "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption"
        " figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main nav ol optgroup option p section"
        " summary table tbody tfoot thead ul"
    ),
    inline=names(
        "a abbr acronym b bdi bdo big button cite code data del dfn em font i img input ins kbd label mark math mi"
        " mn mo mrow output q rb ruby s samp small span strike strong sub sup time tt u var wbr"
    ),
    rows=names("tr"),
    cells=names("td th"),
    preserved=names("listing pre xmp"),
    skipped=names("annotation annotation-xml applet head iframe object rp script select style svg template textarea"),
    left_out={"rt": parts.READINGS},
    left_out_where={"nav": _navigation, "section": _navigation, "span": _page_number, "div": _page_number},
    stands_for={"br": lambda _: LINE},
)


class _Target:
    """Gives the events of lxml's parser to those who take them."""

    def __init__(self, kept: ElementText) -> None:
        self._kept = kept

    def start(self, tag: str, attributes: Attributes) -> None:
        self._kept.start(tag.rpartition(":")[2], attributes)

    def end(self, tag: str) -> None:
        self._kept.end(tag.rpartition(":")[2])

    def data(self, data: str) -> None:
        self._kept.text(data)

    def close(self) -> None:
        pass


def html_text(html: str, findings: Findings) -> str:
    """The text of a page or a part of one, however broken its HTML is."""
    from lxml import etree

    kept = ElementText(ELEMENTS, findings)
    parser = etree.HTMLParser(target=_Target(kept), huge_tree=True)
    parser.feed("<div>" + html.replace("\0", "") + "</div>" if html.lstrip()[:1] != "<" else html.replace("\0", ""))
    parser.close()
    return "".join(kept.done) + kept.take(last=True)


def page_text(stream: Stream, data: bytes, findings: Findings) -> str:
    """The text of a page: of XHTML as XML, where an element without content is closed, else of HTML.

    Raises Unsuitable: it is no text.
    """
    tried = Findings()
    kept = ElementText(ELEMENTS, tried)
    try:
        text = Text(stream=stream, blocks=iter([data]), detail="", findings=tried)
        found = "".join(element_texts(kept, text, None, mended=False))
    except (Unsuitable, Stopped, LookupError):
        return html_text(text_of(data, None, stream.name, findings), findings)
    findings.add(tried)
    return found
