"""HAR: the pages in what a browser has recorded of its traffic (w3c.github.io/web-performance/specs/HAR)."""

import base64
import re
from collections.abc import Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.crawls import LONG_PAGE, kind_of
from daybreak.data.formats.encodings import text_of
from daybreak.data.formats.findings import NO_TEXT, Findings, Stopped, Unsuitable
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.rows.json_tree import Fed
from daybreak.data.formats.texts import text_documents

SAID = "pages that a browser has recorded"
OTHER = "responses without a page or text"
_HAR = re.compile(rb'\s*\{\s*"log"\s*:\s*\{\s*"(?:version|creator|browser|pages|entries|comment)"\s*:')


def _recognize(sample: Sample) -> str | None:
    return "" if _HAR.match(sample.data) and b'"entries"' in sample.data else None


def _documents(text: Text) -> Iterator[Document]:
    """Raises Unsuitable: broken from the start; Stopped: further on, or an entry that is too long."""
    import ijson

    findings = text.findings
    findings.say(text.name, SAID)
    fed = Fed(text.blocks)
    count = 0
    try:
        for entry in ijson.items(fed, "log.entries.item"):
            fed.heard = fed.offset
            count += 1
            yield from _entry(entry, text.name, findings)
    except ijson.JSONError as error:
        raise (Stopped if count else Unsuitable)(f"broken JSON: {str(error).splitlines()[0].strip()}") from None


def _entry(entry: object, name: str, findings: Findings) -> Iterator[Document]:
    response = entry.get("response") if isinstance(entry, dict) else None
    content = response.get("content") if isinstance(response, dict) else None
    held = content.get("text") if isinstance(content, dict) else None
    told = str(content.get("mimeType") or "") if isinstance(content, dict) else ""
    kind = kind_of(told)
    if not isinstance(held, str) or not kind:
        findings.skip_row(OTHER, len(held) if isinstance(held, str) else 0)
        return
    assert isinstance(content, dict)
    if content.get("encoding") == "base64":
        try:
            label = told.lower().partition("charset=")[2].partition(";")[0].strip(" \"'")
            held = text_of(base64.b64decode(held), label, name, findings)
        except (ValueError, Unsuitable):
            findings.skip_row("binary, whatever its type says", len(held))
            return
    if not held.strip() or len(held) > limits.PAGE_BYTES:
        findings.skip_row(LONG_PAGE if held.strip() else NO_TEXT, len(held))
        return
    findings.rows_seen += 1
    if kind == "page":
        yield Document(held, True, "page")
    else:
        yield from text_documents(held, "text", name, findings)


HAR = TextFormat(name="har", recognize=_recognize, documents=_documents)
