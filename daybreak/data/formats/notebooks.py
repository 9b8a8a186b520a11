"""Notebooks: the cells of a Jupyter notebook in their order, as one document; what they printed is left out."""

from collections.abc import Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats.conversations.exports import Message, conversations
from daybreak.data.formats.conversations.outline import ELEMENT, outline
from daybreak.data.formats.conversations.transcript import transcript
from daybreak.data.formats.format import Sample, Text, TextFormat
from daybreak.data.formats.rows.json_kind import kind_of_json

_CELLS = (("cells",), ("worksheets", ELEMENT, "cells"))  # since version 4 of the format, and before
_OUTPUTS = "outputs of notebooks"


def _recognize(sample: Sample) -> str | None:
    """nbformat's cells (https://nbformat.readthedocs.io): each has a type and a source."""
    if sample.start != b"{" or b'"cell_type"' not in sample.data or kind_of_json(sample) == "jsonl":
        return None
    outlined = outline(sample.data)
    found = (outlined.merged(*path, ELEMENT) for path in _CELLS)
    told = any("cell_type" in cell and (cell.keys() & {"source", "input", "outputs", "metadata"}) for cell in found)
    return "" if told else None


def _documents(text: Text) -> Iterator[Document]:
    text.findings.say(text.name, "a notebook: the text and the code of its cells, without their outputs")
    cells = (cell for sheet in conversations(text.blocks, _CELLS, text.findings) for cell in sheet)
    return transcript(_sources(cells, text), text.name, text.findings, kind="code", between="\n\n")


def _sources(cells: Iterator[Message], text: Text) -> Iterator[str]:
    import orjson

    for cell in cells:
        outputs = cell.get("outputs")
        if isinstance(outputs, list) and outputs:
            text.findings.leave_part(_OUTPUTS, len(orjson.dumps(outputs, default=str)))
        source = cell.get("source", cell.get("input"))
        joined = "".join(part for part in source if isinstance(part, str)) if isinstance(source, list) else source
        if isinstance(joined, str) and joined.strip():
            level = cell.get("level")
            heading = cell.get("cell_type") == "heading" and isinstance(level, int)
            yield (f"{'#' * int(str(level))} " if heading else "") + joined.strip("\n")


NOTEBOOK = TextFormat(name="notebook", recognize=_recognize, documents=_documents)
