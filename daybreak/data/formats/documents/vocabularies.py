"""Vocabularies: the kinds of XML that are read, in the order in which they are tried; the last takes every root."""

from daybreak.data.formats.documents import general, mediawiki, sitemaps
from daybreak.data.formats.documents.vocabulary import Vocabulary

VOCABULARIES: tuple[Vocabulary, ...] = (
    mediawiki.MEDIAWIKI,
    sitemaps.SITEMAP,
    general.GENERAL,
)
