"""Rows of attributes: XML whose elements hold no text, such as the dumps of Stack Exchange (archive.org)."""

import re
from collections.abc import Callable, Iterator, Mapping

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.documents.events import parsed
from daybreak.data.formats.documents.hypertext import html_text
from daybreak.data.formats.documents.vocabulary import Root, Vocabulary
from daybreak.data.formats.findings import LONG_ROW, NO_TEXT, Findings, Unsuitable
from daybreak.data.formats.format import Text
from daybreak.data.formats.rows.documents import row_documents
from daybreak.data.formats.rows.shape import Row
from daybreak.data.formats.texts import text_documents

BETWEEN = "text between tags of an XML file that begins with attributes alone"
NO_POSTS = "a table of Stack Exchange without text of its own"
SAID = "the text of posts is read, without their markup"

_WORDS = re.compile(r"[^\W\d_]{2}[^\W\d_]*[,;:.!?]?\s+[^\W\d_]{2}|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]{4}")

_DRAWINGS = ("svg", "plist")

_Attributes = Mapping[str, str]


class _Rows:
    """Takes the events of the parser and keeps the attributes of each element below the root."""

    def __init__(self, findings: Findings) -> None:
        self.done: list[dict[str, str]] = []
        self._findings = findings
        self._depth = 0
        self._seen = False

    def start(self, _: str, attributes: _Attributes) -> None:
        self._depth += 1
        if self._depth > 1 and attributes:
            self._seen = True
            size = sum(map(len, attributes.values()))
            if size > limits.ROW_BYTES:
                self._findings.skip_row(LONG_ROW, size)
            else:
                self.done.append(dict(attributes))

    def end(self, _: str) -> None:
        self._depth -= 1

    def text(self, text: str) -> None:
        if not text.isspace():
            self._findings.leave_part(BETWEEN, len(text.encode("utf-8", "replace")))

    def given(self) -> bool:
        return self._seen


def _rows(text: Text) -> Iterator[dict[str, str]]:
    """Raises Unsuitable: not well-formed before any row; Stopped: further on."""
    kept = _Rows(text.findings)
    for _ in parsed(text.blocks, kept, text.name, text.findings):
        done, kept.done = kept.done, []
        yield from done


def _attribute_documents(text: Text) -> Iterator[Document]:
    def rows() -> Iterator[Row]:
        for row in _rows(text):
            if any(map(_WORDS.search, row.values())):
                yield row
            else:
                text.findings.skip_row(NO_TEXT, sum(map(len, row.values())))

    return row_documents(rows(), text.name, text.findings)


# Stack Exchange: https://meta.stackexchange.com/questions/2677


def _post(row: _Attributes, findings: Findings) -> str:
    return "\n\n".join(filter(None, (row.get("Title", "").strip(), html_text(row.get("Body", ""), findings).strip())))


def _comment(row: _Attributes, _: Findings) -> str:
    return row.get("Text", "").strip()


def _about(row: _Attributes, findings: Findings) -> str:
    return html_text(row.get("AboutMe", ""), findings).strip()


_TEXTS: dict[str, Callable[[_Attributes, Findings], str]] = {
    "posts": _post,
    "comments": _comment,
    "posthistory": _comment,
    "users": _about,
}
_WITHOUT = frozenset(("votes", "badges", "postlinks", "tags"))


def _is_stack_exchange(root: Root) -> bool:
    return root.name in (*_TEXTS, *_WITHOUT) and root.seen <= {root.name, "row"} and not root.text


def _documents_of(name: str) -> Callable[[Text], Iterator[Document]]:
    def documents(text: Text) -> Iterator[Document]:
        """A document a post. Raises Unsuitable: a table without text."""
        findings = text.findings
        if name in _WITHOUT:
            raise Unsuitable(NO_POSTS)
        findings.say(text.name, SAID)
        for row in _rows(text):
            found = _TEXTS[name](row, findings)
            if not found:
                findings.skip_row(NO_TEXT, sum(map(len, row.values())))
                continue
            findings.rows_seen += 1
            if licence := row.get("ContentLicense"):
                findings.licence(licence)
            yield from text_documents(found, "text", text.name, findings)

    return documents


STACK_EXCHANGE = tuple(
    Vocabulary(
        name=f"stack-exchange-{name}",
        recognize=lambda root, name=name: root.name == name and _is_stack_exchange(root),  # type: ignore[misc]
        documents=_documents_of(name),
    )
    for name in (*_TEXTS, *sorted(_WITHOUT))
)
ATTRIBUTES = Vocabulary(
    name="attributes",
    recognize=lambda root: not root.text and len(root.seen) > 1 and root.name not in _DRAWINGS,
    documents=_attribute_documents,
)
