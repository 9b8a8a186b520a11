"""Packages: the kinds of files that are zips of parts, in the order in which they are tried."""

from daybreak.data.formats.conversations import slack
from daybreak.data.formats.documents import books, docx, opendocument, sheets, slides, unread
from daybreak.data.formats.documents.package import PackageFormat

PACKAGES: tuple[PackageFormat, ...] = (
    books.EPUB,
    docx.DOCX,
    slides.SLIDES,
    sheets.XLSX,
    sheets.ODS,
    opendocument.ODT,
    slack.SLACK,
    unread.UNREAD,
)
