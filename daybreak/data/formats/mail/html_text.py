"""The text of a message in HTML, without what it quotes."""

import re

from daybreak.data.formats.findings import Findings
from daybreak.data.formats.mail.own_words import QUOTED

_QUOTES = (
    "//blockquote[@type='cite']|//*[contains(concat(' ', @class, ' '), ' gmail_quote ')]"
    "|//*[@id='divRplyFwdMsg']|//*[@id='appendonsend']|//*[@class='yahoo_quoted']|//*[@class='moz-cite-prefix']"
)
_UNSEEN = "//script|//style|//head|//title|//noscript|//comment()|//*[contains(@style, 'display:none')]"
_BREAKS = frozenset(
    ("p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "pre", "blockquote", "hr")
)


def html_text(page: str, findings: Findings) -> str:
    """Of a page as mail programs write it; what they mark as quoted is left out and counted."""
    import lxml.etree
    import lxml.html

    try:
        root = lxml.html.document_fromstring(page.encode(), parser=lxml.html.HTMLParser(encoding="utf-8"))
    except (lxml.etree.ParserError, ValueError):
        return ""
    for found in root.xpath(_UNSEEN):
        _dropped(found)
    for found in root.xpath(_QUOTES):
        if found.getparent() is not None:
            findings.leave_part(QUOTED, len(found.text_content().encode("utf-8", "replace")))
            _dropped(found)
    parts: list[str] = []
    for event, element in lxml.etree.iterwalk(root, events=("start", "end")):
        if not isinstance(element.tag, str):
            continue
        if element.tag in _BREAKS and (event == "start" or element.tag != "br"):
            parts.append("\n")
        parts.append(re.sub(r"\s+", " ", (element.text if event == "start" else element.tail) or ""))
    return re.sub(r"[ \u00a0]*\n\s*", "\n", "".join(parts)).strip()


def _dropped(element: object) -> None:
    import lxml.html

    assert isinstance(element, lxml.html.HtmlElement | lxml.html.HtmlComment)
    if element.getparent() is not None:
        element.drop_tree()
