"""Packages that are not read, each with what to do."""

from collections.abc import Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats.documents.package import Package, PackageFormat
from daybreak.data.formats.findings import Unsuitable


def _is_work(package: Package) -> bool:
    return any(name.endswith(".iwa") or name == "index.apxl" for name in package.names)


def _recognize(package: Package) -> bool:
    return _is_work(package) or not package.names.isdisjoint(("[Content_Types].xml", "mimetype"))


def _documents(package: Package) -> Iterator[Document]:
    if _is_work(package):
        raise Unsuitable("a file of Apple's Pages, Numbers or Keynote, which is not read: export it as a Word file")
    if "xl/workbook.bin" in package.names:
        raise Unsuitable("a binary workbook (.xlsb), which is not read: save it as .xlsx")
    raise Unsuitable("an office file without body text")


UNREAD = PackageFormat(name="unread", recognize=_recognize, documents=_documents)
