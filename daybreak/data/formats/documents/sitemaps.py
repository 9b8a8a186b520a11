"""Sitemaps (sitemaps.org): lists of addresses, which hold no text."""

from collections.abc import Iterator

from daybreak.data.cleaning import Document
from daybreak.data.formats.documents.vocabulary import Vocabulary, named
from daybreak.data.formats.findings import Unsuitable
from daybreak.data.formats.format import Text


def _documents(_: Text) -> Iterator[Document]:
    raise Unsuitable("a sitemap: addresses and no text")


SITEMAP = Vocabulary(name="sitemap", recognize=named("urlset", "sitemapindex"), documents=_documents)
