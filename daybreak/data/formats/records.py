"""Records: the formats that are read, in the order in which they are tried."""

from daybreak.data.formats import (
    archives,
    arrow,
    catalogues,
    code,
    crawls,
    har,
    markup,
    notebooks,
    parquet,
    sqlite,
    subtitles,
    tars,
    texts,
)
from daybreak.data.formats.conversations import exports, logs, twitter, whole
from daybreak.data.formats.documents import pdf, roff, rtf, xml
from daybreak.data.formats.format import BinaryFormat, TextFormat
from daybreak.data.formats.latex import record as latex
from daybreak.data.formats.mail import mailboxes
from daybreak.data.formats.rows import json_lines, json_tree, tables, tagged

BINARY: tuple[BinaryFormat, ...] = (
    archives.ZIP,
    tars.TAR,
    parquet.PARQUET,
    arrow.ARROW,
    arrow.ARROW_STREAM,
    arrow.ORC,
    sqlite.SQLITE,
    pdf.PDF,
    rtf.RTF,
    crawls.WARC,
    mailboxes.MAILBOX,
    mailboxes.MESSAGE,
)
TEXT: tuple[TextFormat, ...] = (
    subtitles.SUBTITLES,
    notebooks.NOTEBOOK,
    twitter.TWITTER,
    har.HAR,
    exports.MESSENGER,
    whole.CONVERSATION,
    json_lines.JSON_LINES,  # before pages: an error of a server can stand in front of its rows
    json_tree.JSON,
    markup.PAGE,
    xml.XML,
    roff.ROFF,
    catalogues.CATALOGUE,
    catalogues.CARD,
    logs.CHAT_LOG,
    latex.LATEX,
    code.NAMED_CODE,
    tagged.TAGGED,
    tables.TABLE,
    code.CODE,
    texts.TEXT,
)
