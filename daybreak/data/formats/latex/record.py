"""The record of LaTeX among the formats."""

from collections.abc import Iterator
from itertools import chain

from daybreak.data.cleaning import Document
from daybreak.data.formats import limits
from daybreak.data.formats.encodings import decoded
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.latex.text import is_latex, latex_text
from daybreak.data.formats.texts import plain_documents

_MOST = limits.ROW_BYTES  # a longer one is nobody's document; it stays as it is


def _recognize(sample: Sample) -> str | None:
    if sample.ending not in ("", "tex", "ltx", "latex", "txt"):
        return None
    if b"\\" not in sample.data[:4000]:
        return None
    return "" if is_latex(sample.lines.splitlines()[:400], named=sample.ending in ("tex", "ltx", "latex")) else None


def _documents(text: Text) -> Iterator[Document]:
    held, size = [], 0
    for block in text.blocks:
        held.append(block)
        size += len(block)
        if size > _MOST:
            yield from plain_documents(chain(held, text.blocks), "text", text.name, text.findings)
            return
    source = decoded(b"".join(held), text.name, text.findings)
    plain = latex_text(source, text.findings)
    text.findings.say(text.name, "LaTeX; the text is read without its commands, formulas as they are written")
    yield from plain_documents([f"{plain}\n".encode()], "text", text.name, text.findings)


LATEX = TextFormat(name="latex", recognize=_recognize, documents=_documents)
